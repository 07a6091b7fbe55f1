//! Circuits ahead of need, and which one a stream gets.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use crate::limits::{
    BUILD_PAUSE_FIRST, BUILD_PAUSE_MAX, CIRCUIT_YOUNG_FORGOTTEN, REDRAW_EVERY, REDRAWS_MAX, STREAM_WAIT_MAX,
    WAITING_STREAMS_MAX,
};
use crate::rate::Bucket;
use crate::route::ExitWish;
use crate::time::Time;
use crate::timers::Due;

/// What a stream needs of a circuit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    /// The owner's name for the stream.
    pub(crate) stream: u64,
    /// Streams of different isolation never share a circuit.
    pub(crate) isolation: [u8; 32],
    /// What its exit shall be like.
    pub(crate) exit: ExitWish,
    /// When it came.
    pub(crate) since: Time,
}

/// What a node knows about its supply of circuits.
pub(crate) struct Supply {
    /// Circuits that should be ready and unused.
    pub(crate) spare: usize,
    pub(crate) due: Due,
    waiting: VecDeque<Need>,
    failures: u32,
    not_before: Time,
    /// None before others ended a circuit that had just been completed.
    young: Option<Box<EndedYoung>>,
    /// Paths that may be drawn anew because circuits fell silent, and nobody but us says so. None before one did.
    redraws: Option<Box<Bucket>>,
}

/// Circuits that others ended when they had just been completed.
#[derive(Default)]
struct EndedYoung {
    count: u32,
    last: Time,
    /// None is begun before.
    not_before: Time,
}

impl Supply {
    pub(crate) fn new(spare: usize) -> Self {
        Self {
            spare,
            due: Due::NONE,
            waiting: VecDeque::new(),
            failures: 0,
            not_before: Time::ZERO,
            young: None,
            redraws: None,
        }
    }

    /// Whether a circuit that fell silent may have other mixes drawn in place of its own. A mix that died is told by its neighbours, and
    /// few circuits fall silent at once otherwise: but whoever can hold up by choice what we send would have us draw without end.
    pub(crate) fn may_redraw(&mut self, now: Time) -> bool {
        self.redraws.get_or_insert_with(|| Box::new(Bucket::of(REDRAWS_MAX, REDRAW_EVERY, now))).take(now)
    }

    /// Lets a stream wait; whether there is room.
    pub(crate) fn wait(&mut self, need: Need) -> bool {
        let room = self.waiting.len() < WAITING_STREAMS_MAX;
        if room {
            self.waiting.push_back(need);
        }
        room
    }

    /// Takes out the first stream that has waited for too long.
    pub(crate) fn overdue(&mut self, now: Time) -> Option<Need> {
        self.waiting.pop_front_if(|need| now - need.since >= STREAM_WAIT_MAX)
    }

    /// All streams that wait, taken out, first come first.
    pub(crate) fn take_waiting(&mut self) -> VecDeque<Need> {
        core::mem::take(&mut self.waiting)
    }

    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Need> {
        self.waiting.iter()
    }

    /// When the first stream will have waited for too long.
    pub(crate) fn patience(&self) -> Time {
        self.waiting.front().map_or(Time::NEVER, |need| need.since + STREAM_WAIT_MAX)
    }

    /// Notes a circuit that was completed.
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
        self.not_before = Time::ZERO;
    }

    /// Notes one that was not; the next attempt waits, longer each time.
    ///
    /// Circuits that fail together fail once.
    pub(crate) fn failed(&mut self, now: Time) {
        if now < self.not_before {
            return;
        }
        let pause = BUILD_PAUSE_FIRST * 2u32.pow(self.failures.min(7));
        self.failures += 1;
        self.not_before = now + pause.min(BUILD_PAUSE_MAX);
    }

    /// Notes one that was completed, and that somebody else ended at once: an exit that is full, say. The next attempt waits, longer
    /// each time, also if it is completed: or who is refused would ask without end.
    pub(crate) fn ended_young(&mut self, now: Time) {
        let young = self.young.get_or_insert_default();
        if now < young.not_before {
            return;
        }
        young.count = if now - young.last < CIRCUIT_YOUNG_FORGOTTEN { young.count + 1 } else { 1 };
        young.last = now;
        young.not_before = now + (BUILD_PAUSE_FIRST * 2u32.pow(young.count.min(7))).min(BUILD_PAUSE_MAX);
    }

    /// When the next circuit may be begun.
    pub(crate) fn not_before(&self) -> Time {
        self.young.as_ref().map_or(self.not_before, |young| self.not_before.max(young.not_before))
    }
}
