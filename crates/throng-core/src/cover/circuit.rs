//! Covered circuits: their schemes, and the slots at one end of one at work, a payload, a dummy or a loop in each.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::fmt;
use core::time::Duration;

use super::mutant::{self, Mutant};
use super::schedule::{Grid, SLOT_OVERHEAD, Slots};
use super::scheme::Scheme;
use super::{Rate, Schedule};
use crate::limits::{
    ANNOUNCE_AGAIN_EVERY, ANNOUNCE_EVERY, RATE_BPS_MIN, SLOT_QUEUE_CELLS_MAX, SLOT_QUEUE_CELLS_MIN,
    SLOT_QUEUE_SPAN,
};
use crate::rng::Rng;
use crate::time::Time;
use crate::wire::Geometry;
use crate::wire::message::{Message, Piece};
use crate::wire::parts::{self, Part};

/// A scheme of circuits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CircuitCover {
    /// They speak when there is something to say.
    #[default]
    None,
    /// One payload or dummy in every slot, both ways, from origin to last mix (the paper's Fig. 2c).
    Constant(Rate),
    /// Payloads or dummies at exponential intervals both ways, and loops through the last mix and back (Loopix).
    Poisson {
        /// Payloads and drops.
        rate: Rate,
        /// Loops.
        loops: Rate,
    },
}

impl CircuitCover {
    /// What the end of a circuit sends, bits per second.
    pub(crate) const fn bps(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Constant(rate) => rate.as_bps(),
            Self::Poisson { rate, loops } => rate.as_bps() + loops.as_bps(),
        }
    }

    /// What may be written.
    pub(super) const EXAMPLES: &'static str = "end-to-end=64kbps or poisson=64kbps:8kbps (payloads : loops)";

    /// What a scheme chooses here; nothing if it is none of these.
    pub(super) fn read(scheme: &Scheme<'_>) -> Option<Self> {
        match scheme.name {
            "end-to-end" => scheme.rate().map(Self::Constant),
            "poisson" => {
                let (rate, loops) = scheme.two_rates()?;
                let loops = loops.unwrap_or_else(|| Rate((rate.0 / 10).max(RATE_BPS_MIN)));
                Some(Self::Poisson { rate, loops })
            }
            _ => None,
        }
    }

    /// What one circuit takes of a link, bits per second, whether it is used or not; nothing if circuits are not covered.
    pub(super) fn takes_bps(self) -> Option<u64> {
        match self {
            Self::None => None,
            Self::Constant(rate) => Some(rate.0),
            Self::Poisson { rate, loops } => Some(rate.0 + loops.0),
        }
    }

    /// The mean from one slot for a payload to the next.
    pub(super) fn widest_gap(self, geometry: Geometry) -> Option<Duration> {
        match self {
            Self::None => None,
            Self::Constant(rate) | Self::Poisson { rate, .. } => Some(rate.gap(geometry)),
        }
    }

    /// Nearly the longest that a payload waits for its slot.
    pub(crate) fn wait(self, geometry: Geometry) -> Duration {
        match self {
            Self::None => Duration::ZERO,
            Self::Constant(rate) => rate.gap(geometry) + SLOT_OVERHEAD,
            // Longer in one of 150 cases.
            Self::Poisson { rate, .. } => rate.gap(geometry) * 5 + SLOT_OVERHEAD,
        }
    }
}

impl fmt::Display for CircuitCover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Constant(rate) => write!(f, "end-to-end={rate}"),
            Self::Poisson { rate, loops } => write!(f, "poisson={rate}:{loops}"),
        }
    }
}

/// One end's slots of a covered circuit.
pub(crate) struct CircuitPace {
    slots: Slots,
    /// Of the slots, this share is for loops.
    loops: f64,
    queue: VecDeque<Parcel>,
    /// What names the next packet: it starts elsewhere than the previous pace's numbers, whose parts may still be in flight.
    packets: u32,
    is_heard: bool,
    turns: u64,
}

/// A packet that waits, or a part of one.
pub(crate) struct Parcel {
    part: Part,
    name: u32,
    bytes: Box<[u8]>,
}

impl Parcel {
    /// What the cell carries.
    pub(crate) fn message(&self) -> Message<'_> {
        match self.part.is_whole() {
            true => Message::Payload(&self.bytes),
            false => Message::Piece(Piece::of_payload(self.part, self.name, &self.bytes)),
        }
    }
}

/// What a slot carries.
pub(crate) enum CircuitTurn {
    /// Something that waited.
    Payload(Parcel),
    /// A dummy, which the other end drops.
    Dummy,
    /// A question to the other end, which comes back: nobody on the way can tell it from a payload and its answer.
    Loop,
}

impl CircuitPace {
    /// Slots from `now` on; nothing if the scheme has none. Loops are the origin's only.
    pub(crate) fn new(
        cover: CircuitCover,
        is_origin: bool,
        geometry: Geometry,
        (mut chance, grid): (Rng, Grid),
        now: Time,
    ) -> Option<Self> {
        let (schedule, loops) = match cover {
            CircuitCover::None => return None,
            CircuitCover::Constant(rate) => (Schedule::constant(rate.gap(geometry), &mut chance), 0.0),
            CircuitCover::Poisson { rate, loops } if is_origin => {
                // Two Poisson processes are one, in which each slot is of either kind by chance.
                let (payloads, loops) =
                    (1.0 / rate.gap(geometry).as_secs_f64(), 1.0 / loops.gap(geometry).as_secs_f64());
                let mean = Duration::from_secs_f64(1.0 / (payloads + loops));
                (Schedule::poisson(mean), loops / (payloads + loops))
            }
            CircuitCover::Poisson { rate, .. } => (Schedule::poisson(rate.gap(geometry)), 0.0),
        };
        let slots = Slots::new(Some(schedule), (chance, grid), now);
        Some(Self {
            slots,
            loops,
            queue: VecDeque::new(),
            packets: now.as_nanos() as u32,
            is_heard: false,
            turns: 0,
        })
    }

    /// The mean from one slot to the next.
    pub(crate) fn gap(&self) -> Duration {
        self.slots.gap()
    }

    /// When the cell of the next slot leaves.
    pub(crate) fn due(&self) -> Time {
        self.slots.due()
    }

    /// Lets a packet wait for a slot, or for as many as it needs. How many cells of it were too many.
    pub(crate) fn push(&mut self, packet: &[u8], geometry: Geometry) -> u64 {
        let most = (SLOT_QUEUE_SPAN.as_nanos() / self.gap().as_nanos().max(1)) as usize;
        let cells = Message::Payload(packet).cells(geometry);
        if self.queue.len() + cells > most.clamp(SLOT_QUEUE_CELLS_MIN, SLOT_QUEUE_CELLS_MAX) {
            return cells as u64;
        }
        let name = self.packets;
        self.packets = name.wrapping_add(1);
        let parcels =
            parts::cut(packet, cells).map(|(part, bytes)| Parcel { part, name, bytes: bytes.into() });
        self.queue.extend(parcels);
        0
    }

    /// The other end spoke without being asked: it knows the schedule.
    pub(crate) fn hear(&mut self) {
        self.is_heard = true;
    }

    /// Passes over slots that are too long ago at `now`. How many.
    pub(crate) fn skip(&mut self, now: Time) -> u64 {
        self.slots.skip(now)
    }

    /// What the next slot carries; the one after it is the next then.
    pub(crate) fn turn(&mut self, now: Time) -> CircuitTurn {
        self.turns += 1;
        // Kinds are drawn from the stream of slots whatever waits: the draws must not follow the load.
        let is_loop = self.loops > 0.0 && self.slots.draw() < self.loops;
        let after = if mutant::has(Mutant::CountedFromNow) { now } else { self.slots.slot() };
        self.slots.advance_from(after);
        let announce = if self.is_heard { ANNOUNCE_AGAIN_EVERY } else { ANNOUNCE_EVERY };
        if is_loop {
            return CircuitTurn::Loop;
        }
        let is_dummy = self.turns % announce == 1;
        match if is_dummy { None } else { self.queue.pop_front() } {
            Some(payload) => CircuitTurn::Payload(payload),
            None => {
                if mutant::has(Mutant::DummyFromSlots) {
                    self.slots.draw();
                }
                CircuitTurn::Dummy
            }
        }
    }
}
