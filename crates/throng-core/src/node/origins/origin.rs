//! A path of our own: its hops' layers, its numbers, whether it lives.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::way::Build;
use crate::cover::CircuitPace;
use crate::crypto::{Initiation, Suite};
use crate::id::{NeighbourKey, NodeId};
use crate::layers::Layers;
use crate::limits::{
    ASKED_TOGETHER, BUILD_SLOW, BUILD_TIME_MAX, CIRCUIT_CELLS_MAX, CIRCUIT_SILENCE_DEAD,
    CIRCUIT_WINDOW_CELLS, REPLY_WINDOW_CELLS,
};
use crate::membership::Record;
use crate::refused::Refused;
use crate::silence::{Patience, Pulse, Silence, TripTime};
use crate::time::Time;
use crate::timers::Due;
use crate::window::Window;
use crate::wire::cell::{CellHeader, Space};
use crate::wire::message::{Message, is_recognised};

/// A circuit of our own.
pub(crate) struct Origin<S: Suite> {
    /// The hops that have joined.
    pub(crate) path: Vec<Arc<Record>>,
    pub(crate) link: NeighbourKey,
    /// What cells on the link call it; 0 before it is entered there.
    pub(crate) name: u32,
    pub(crate) stage: BuildStage<S>,
    pub(crate) due: Due,
    pub(crate) started: Time,
    pub(crate) use_: Use,
    hops: Vec<Layers<S>>,
    /// What each hop said of its company when it joined.
    next_number: u32,
    cells_sent: u32,
    seen_stream: Window<CIRCUIT_WINDOW_CELLS>,
    seen_reply: Window<REPLY_WINDOW_CELLS>,
    silence: Silence,
    /// An idle circuit is asked after this.
    idle: Duration,
    /// To the last hop and back.
    trip: TripTime,
    /// The latest question: its token, and when it was sent.
    question: (u32, Time),
    /// What mixing and cover add to a round trip: 99 of 100 take less.
    detour: Duration,
    /// None where the circuit speaks when there is something to say.
    pub(crate) pace: Option<Box<CircuitPace>>,
    /// A circuit with a mix of this one died, or this one takes long to come up, and nothing was heard of this one since.
    doubted: bool,
    /// Its first hop does not answer.
    pub(crate) is_cut_off: bool,
}

/// How far the circuit is.
pub(crate) enum BuildStage<S: Suite> {
    /// The next hop was asked, or waits for the link.
    Building(Box<Building<S>>),
    /// It is complete.
    Ready,
}

pub(crate) struct Building<S: Suite> {
    pub(crate) build: Build,
    pub(crate) initiation: Initiation<S>,
    pub(crate) sends: u32,
    /// When it was asked first.
    pub(crate) asked_at: Time,
}

/// Who uses the circuit.
#[derive(Default)]
pub(crate) struct Use {
    /// Whose streams run here; nobody's yet if none.
    pub(crate) isolation: Option<[u8; 32]>,
    /// When the first stream came.
    pub(crate) since: Option<Time>,
    /// No new stream may come.
    pub(crate) retired: bool,
    /// Streams now.
    pub(crate) streams: u32,
}

impl<S: Suite> Origin<S> {
    pub(crate) fn new(
        build: Build,
        link: NeighbourKey,
        first: Initiation<S>,
        number: u32,
        (idle, detour): (Duration, Duration),
        now: Time,
    ) -> Self {
        Self {
            path: Vec::new(),
            link,
            name: 0,
            stage: BuildStage::Building(Box::new(Building {
                build,
                initiation: first,
                sends: 0,
                asked_at: now,
            })),
            due: Due::NONE,
            started: now,
            use_: Use::default(),
            hops: Vec::new(),
            next_number: number,
            cells_sent: 0,
            seen_stream: Window::new(),
            seen_reply: Window::new(),
            silence: Silence::new(now),
            idle,
            trip: TripTime::default(),
            question: (0, Time::NEVER),
            detour,
            pace: None,
            doubted: false,
            is_cut_off: false,
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.stage, BuildStage::Ready)
    }

    /// Hops that have answered.
    pub(crate) fn hops_done(&self) -> usize {
        self.hops.len()
    }

    /// Its mixes, those that are still to be asked as well, as far as they are known.
    pub(crate) fn mixes(&self) -> Vec<Arc<Record>> {
        let planned = match &self.stage {
            BuildStage::Building(building) => building.build.planned().flatten().cloned().collect(),
            BuildStage::Ready => Vec::new(),
        };
        self.path.iter().cloned().chain(planned).collect()
    }

    /// Its first mix.
    pub(crate) fn first(&self) -> Option<NodeId> {
        let planned = match &self.stage {
            BuildStage::Building(building) => building.build.planned().next().flatten(),
            BuildStage::Ready => None,
        };
        self.path.first().or(planned).map(|first| first.description().identity)
    }

    /// Its last mix, if it is known which one that will be.
    pub(crate) fn exit(&self) -> Option<&Arc<Record>> {
        match &self.stage {
            BuildStage::Building(building) => building.build.planned().next_back()?,
            BuildStage::Ready => self.path.last(),
        }
    }

    /// The circuit is one hop longer.
    pub(crate) fn add_hop(&mut self, mix: Arc<Record>, layers: Layers<S>, now: Time) {
        self.path.push(mix);
        self.hops.push(layers);
        self.silence.hear(now);
        if let BuildStage::Building(building) = &self.stage {
            self.trip = TripTime::guess(now - building.asked_at);
        }
    }

    /// When it is given up if it is not complete.
    pub(crate) fn given_up_at(&self) -> Time {
        self.started + BUILD_TIME_MAX + 6 * self.detour
    }

    /// When it takes so long that another one is begun beside it.
    pub(crate) fn slow_at(&self) -> Time {
        self.started + BUILD_SLOW + 3 * self.detour
    }

    /// What mixing and cover add to a round trip: 99 of 100 take less.
    pub(crate) fn detour(&self) -> Duration {
        self.detour
    }

    /// Whether its numbers are used up.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.cells_sent >= CIRCUIT_CELLS_MAX
    }

    /// The number that its next cell will have.
    pub(crate) fn next_number(&self) -> u32 {
        self.next_number
    }

    /// Writes a message for the last hop so far into `body`, under all layers.
    ///
    /// # Panics
    /// If there is no hop yet.
    pub(crate) fn wrap(&mut self, message: &Message<'_>, body: &mut [u8]) -> CellHeader {
        message.write(body);
        let first = self.next_number;
        self.next_number = first.wrapping_add(1);
        self.cells_sent += 1;
        let (last, before) = self.hops.split_last().expect("a message needs a hop");
        // The number at the last hop; then back over the hops to the first link.
        let mut number = before.iter().fold(first, |number, hop| hop.number_behind(number));
        last.prepare_forward(number, body);
        for hop in before.iter().rev() {
            number = hop.number_ahead(number);
            hop.prepare_forward(number, body);
        }
        CellHeader { circuit: self.name, space: Space::Stream, number: first }
    }

    /// Takes layers off until one hop's message appears; says which hop's.
    pub(crate) fn unwrap<'b>(
        &mut self,
        header: CellHeader,
        body: &'b mut [u8],
        now: Time,
    ) -> Result<(usize, Message<'b>), Refused> {
        let new = match header.space {
            Space::Reply if self.is_ready() => return Err(Refused::OutOfPlace),
            Space::Stream => self.seen_stream.is_new(header.number),
            Space::Reply => self.seen_reply.is_new(header.number),
        };
        if !new {
            return Err(Refused::ReplayedCell);
        }
        let mut number = header.number;
        for (place, hop) in self.hops.iter().enumerate() {
            hop.undo_backward(header.space, number, body);
            if is_recognised(body) {
                match header.space {
                    Space::Stream => self.seen_stream.admit(header.number),
                    Space::Reply => self.seen_reply.admit(header.number),
                };
                // Only the last hop shows that the whole circuit lives.
                if place + 1 == self.hops.len() {
                    self.silence.hear(now);
                    self.doubted = false;
                }
                return Ok((place, Message::parse(body)?));
            }
            number = hop.backward_number_behind(header.space, number);
        }
        Err(Refused::Noise)
    }

    /// Notes that something was sent to which the last hop will answer. When to look, if nothing was awaited
    /// before.
    pub(crate) fn await_answer(&mut self, now: Time) -> Option<Time> {
        self.silence.speak(self.patience(), now)
    }

    /// No stream should begin here before it was heard again.
    pub(crate) fn doubt(&mut self) {
        self.doubted = true;
    }

    /// Whether it was doubted, and not heard since.
    pub(crate) fn is_doubted(&self) -> bool {
        self.doubted
    }

    /// Whether an answer of its last hop is overdue, or will not come: no stream should begin here before it was heard again.
    pub(crate) fn is_doubtful(&self, now: Time) -> bool {
        self.is_suspected() || self.silence.is_long(self.patience(), now)
    }

    /// Whether it may be dead or is cut off, so that another one should be there in its place.
    pub(crate) fn is_suspected(&self) -> bool {
        self.doubted || self.is_cut_off
    }

    /// The first hop is silent, too: whether the circuit lives, nobody can say.
    pub(crate) fn excuse(&mut self, now: Time) {
        self.silence.excuse(now);
    }

    /// Whether it is silent for so long, although its first hop answers, that hardly a queue is the reason.
    pub(crate) fn is_probably_dead(&self, now: Time) -> bool {
        self.silence.since().is_some_and(|since| now - since >= self.patience().dead_after / 3)
    }

    /// Whether, if it is silent, that is not for what keeps us from hearing anything of its first hop: that answered a question which was
    /// sent, at `first_asked_at`, with the latest one here. (On a covered circuit no question is sent.)
    pub(crate) fn is_told_from_its_first_hop(&self, first_asked_at: Time) -> bool {
        let sent = Some(self.question.1).filter(|sent| *sent != Time::NEVER);
        let asked_at = sent.max(self.silence.since()).unwrap_or_default();
        let apart = (asked_at - first_asked_at).max(first_asked_at - asked_at);
        self.silence.since().is_none() || apart <= ASKED_TOGETHER
    }

    /// Questions to its last hop since an answer is due.
    pub(crate) fn questions(&self) -> u32 {
        self.silence.questions()
    }

    /// When something came last from its last hop.
    pub(crate) fn heard(&self) -> Time {
        self.silence.heard()
    }

    /// Since when an answer of its last hop is due.
    pub(crate) fn silent_since(&self) -> Option<Time> {
        self.silence.since()
    }

    /// Whether a question has been without an answer for longer than the way takes.
    pub(crate) fn is_unanswered(&self, now: Time) -> bool {
        self.silence.is_unanswered(self.patience(), self.trip, now)
    }

    /// Whether the circuit lives; an idle one is asked from time to time.
    pub(crate) fn pulse(&self, now: Time) -> Pulse {
        match self.silence.pulse(self.patience(), now) {
            Pulse::Calm if now - self.silence.heard() >= self.idle => Pulse::Ask,
            Pulse::Calm => Pulse::Look(self.silence.heard() + self.idle),
            other => other,
        }
    }

    /// Notes that it was asked, with a question that was sent then. When to look again.
    pub(crate) fn asked(&mut self, token: u32, sent: Time, now: Time) -> Time {
        self.question = (token, sent);
        self.silence.ask(self.patience(), now)
    }

    /// Notes that a question was answered.
    pub(crate) fn answered(&mut self, token: u32, now: Time) {
        let (question, asked) = self.question;
        if token == question && asked <= now {
            self.question.1 = Time::NEVER; // an answer that comes twice measures nothing
            self.trip.note(now - asked);
        }
    }

    /// A long way takes long.
    fn patience(&self) -> Patience {
        let Patience { ask_after, dead_after } = self.trip.patience(CIRCUIT_SILENCE_DEAD);
        Patience { ask_after: ask_after + self.detour, dead_after: dead_after + 2 * self.detour }
    }
}
