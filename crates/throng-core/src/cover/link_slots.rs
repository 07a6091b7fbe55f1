//! The slots of a link: exactly one datagram in each, a waiting one or filler. Their laws, and one neighbour's at work.

use alloc::boxed::Box;
use core::fmt;
use core::time::Duration;

use super::mutant::{self, Mutant};
use super::queue::{Queue, Room};
use super::schedule::{Grid, SLOT_OVERHEAD, Slots};
use super::scheme::Scheme;
use super::{Rate, Schedule};
use crate::departure::Departure;
use crate::limits::{
    ANNOUNCE_AGAIN_EVERY, ANNOUNCE_EVERY, MIMICS_EPOCH, MIMICS_STEP_PERCENT, RATE_BPS_MAX,
    SLOT_QUEUE_CELLS_MAX, SLOT_QUEUE_CELLS_MIN, SLOT_QUEUE_SPAN,
};
use crate::rng::Rng;
use crate::time::Time;
use crate::wire::Geometry;

/// Of a mimic's slots, one in so many may carry a real cell: changes of the rate must not mirror a flow.
const MIMICS_REAL_SHARE: u32 = 3;
/// A mimic's rate grows to at most so many times what the design says.
const MIMICS_GROWTH_MAX: u64 = 8;

/// A law of the slots of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkSlots {
    /// One datagram in every slot, at a constant rate each way (the paper's Fig. 2b).
    Constant(Rate),
    /// All links of a mix speak at one rate, which follows the busiest of them: up at once, down slowly (the Anonymity
    /// Network).
    DemandDriven {
        /// The rate while any circuit is open.
        least: Rate,
        /// The rate that is never exceeded.
        most: Rate,
    },
    /// Both ways at one rate that changes slowly; real cells take a third of it at most (Tarzan's mimics: Freedman and
    /// Morris 2002).
    Mimics(Rate),
}

impl LinkSlots {
    /// What may be written for links between mixes.
    pub(super) const EXAMPLES: &'static str = "links=64kbps, demand-driven=8kbps:2mbps or mimics=64kbps";

    /// The law that a scheme of links between mixes chooses; nothing if it is none.
    pub(super) fn read(scheme: &Scheme<'_>) -> Option<Self> {
        match scheme.name {
            "links" => scheme.rate().map(Self::Constant),
            "mimics" => scheme.rate().map(Self::Mimics),
            "demand-driven" => {
                let (rate, most) = scheme.two_rates()?;
                let most = most.unwrap_or_else(|| Rate((rate.0 * 32).min(RATE_BPS_MAX)));
                Some(Self::DemandDriven { least: rate.min(most), most })
            }
            _ => None,
        }
    }

    /// From one slot for a real cell to the next, where that is fixed.
    pub(super) fn widest_gap(self, geometry: Geometry) -> Option<Duration> {
        match self {
            Self::DemandDriven { .. } => None,
            Self::Constant(rate) => Some(rate.gap(geometry)),
            Self::Mimics(rate) => Some(rate.gap(geometry) * MIMICS_REAL_SHARE),
        }
    }

    /// What real cells can take, bits per second.
    pub(super) fn carries_bps(self) -> u64 {
        match self {
            Self::Constant(rate) | Self::DemandDriven { most: rate, .. } => rate.0,
            Self::Mimics(rate) => rate.0 / u64::from(MIMICS_REAL_SHARE),
        }
    }

    /// Nearly the longest that a cell waits for its slot.
    pub(super) fn wait(self, geometry: Geometry) -> Duration {
        let gap = match self {
            Self::Constant(rate) => rate.gap(geometry),
            Self::DemandDriven { least, .. } => least.gap(geometry),
            Self::Mimics(rate) => rate.gap(geometry) * MIMICS_REAL_SHARE,
        };
        gap + SLOT_OVERHEAD
    }
}

impl fmt::Display for LinkSlots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(rate) => write!(f, "links={rate}"),
            Self::Mimics(rate) => write!(f, "mimics={rate}"),
            Self::DemandDriven { least, most } => write!(f, "demand-driven={least}:{most}"),
        }
    }
}

/// A cell that waits, to be sealed when it leaves.
pub(crate) type Waits = (Departure, Box<[u8]>);

/// A neighbour's slots.
pub(crate) struct Pace {
    law: LinkSlots,
    rhythm: Rhythm,
    slots: Slots,
    /// By the circuit's name on the link; 0, messages between neighbours, has every second turn.
    queue: Queue<Waits>,
    /// The neighbour has shown that it speaks in slots as well.
    is_heard: bool,
    turns: u64,
}

enum Rhythm {
    /// Always the same.
    Fixed,
    /// The rate that all links of the mix have, in each tick; silent where it has none.
    Common { share_of_gap: f64, sent: u64 },
    /// A rate that changes once in an epoch.
    Mimics(Mimics),
}

struct Mimics {
    gap: u64,
    /// The gap that the design says: the rate does not fall below it.
    widest: u64,
    /// Whether we choose, and tell the neighbour.
    decides: bool,
    epoch: u64,
    real: u64,
    slots: u64,
}

/// What a slot carries, and when it leaves.
pub(crate) struct LinkTurn {
    pub(crate) at: Time,
    pub(crate) content: Content,
}

pub(crate) enum Content {
    /// A cell that waited.
    Cell(Waits),
    /// Nothing; it tells the neighbour how far apart our slots are.
    Filler,
}

impl Pace {
    /// Slots from `now` on. `decides`: of two mimics, whether we are the one that sets the rate.
    pub(crate) fn new(
        law: LinkSlots,
        decides: bool,
        geometry: Geometry,
        (mut chance, grid): (Rng, Grid),
        room: Room,
        now: Time,
    ) -> Self {
        let (rhythm, schedule) = match law {
            LinkSlots::Constant(rate) => {
                (Rhythm::Fixed, Some(Schedule::constant(rate.gap(geometry), &mut chance)))
            }
            LinkSlots::DemandDriven { .. } => (Rhythm::Common { share_of_gap: chance.unit(), sent: 0 }, None),
            LinkSlots::Mimics(rate) => {
                let mimics = Mimics::new(rate, decides, geometry);
                let begins = Schedule::Constant { gap: mimics.gap, phase: 0 };
                (Rhythm::Mimics(mimics), Some(begins))
            }
        };
        let mut slots = Slots::new(schedule, (chance, grid), now);
        if let Rhythm::Mimics(mimics) = &rhythm {
            slots.follow(Schedule::Following { gap: mimics.gap });
        }
        Self { law, rhythm, slots, queue: Queue::new(room), is_heard: false, turns: 0 }
    }

    /// Whether its slots follow this law.
    pub(crate) fn follows(&self, law: LinkSlots) -> bool {
        self.law == law
    }

    /// Takes over what waits for another one's slots.
    pub(crate) fn take_over(&mut self, other: Self) {
        self.queue = other.queue;
    }

    /// When the datagram of the next slot leaves.
    pub(crate) fn due(&self) -> Time {
        self.slots.due()
    }

    /// The mean from one slot to the next.
    pub(crate) fn gap(&self) -> Duration {
        self.slots.gap()
    }

    /// Takes a cell in for a later slot, perhaps in the place of another circuit's; what has no room comes back.
    pub(crate) fn push(&mut self, cell: Waits) -> Result<Option<Waits>, Waits> {
        let each = (SLOT_QUEUE_SPAN.as_nanos() / self.gap().as_nanos().max(1)) as usize;
        let each = each.clamp(SLOT_QUEUE_CELLS_MIN, SLOT_QUEUE_CELLS_MAX);
        self.queue.push(cell.0.header.circuit, cell, each)
    }

    /// Passes over slots that are too long ago at `now`. How many.
    pub(crate) fn skip(&mut self, now: Time) -> u64 {
        self.slots.skip(now)
    }

    /// What the next slot carries; the one after it is the next then.
    pub(crate) fn turn(&mut self, now: Time) -> LinkTurn {
        let at = if mutant::has(Mutant::DecidedLate) { Time::ZERO } else { self.due() };
        self.turns += 1;
        let announce = if self.is_heard { ANNOUNCE_AGAIN_EVERY } else { ANNOUNCE_EVERY };
        let is_filler = self.turns % announce == 1 || !self.may_be_real();
        let cell = if is_filler { None } else { self.queue.pop() };
        self.note(cell.is_some());
        let content = cell.map_or(Content::Filler, Content::Cell);
        if !(mutant::has(Mutant::SecondCell) && self.queue.len() > 3) {
            self.advance();
        }
        if mutant::has(Mutant::CountedFromNow) {
            self.slots.place(now + self.gap());
        }
        LinkTurn { at, content }
    }

    /// The neighbour may have forgotten our schedule: it is told of it as at first.
    pub(crate) fn may_be_forgotten(&mut self) {
        self.is_heard = false;
    }

    /// The neighbour told us how far apart its slots are.
    pub(crate) fn hear(&mut self, gap: Duration) {
        let gap = gap.as_nanos() as u64;
        self.is_heard = match &mut self.rhythm {
            Rhythm::Mimics(mimics) if mimics.decides => mimics.gap == gap,
            Rhythm::Mimics(mimics) => {
                mimics.gap = gap.clamp(mimics.widest / MIMICS_GROWTH_MAX, mimics.widest);
                self.slots.follow(Schedule::Following { gap: mimics.gap });
                true
            }
            Rhythm::Fixed | Rhythm::Common { .. } => true,
        };
    }

    /// Of two mimics, whether we are the one that sets the rate.
    pub(crate) fn decide(&mut self, decides: bool) {
        if let Rhythm::Mimics(mimics) = &mut self.rhythm {
            mimics.decides = decides;
        }
    }

    /// Demand-driven: what waits, and what was sent since the last question.
    pub(crate) fn take_demand(&mut self) -> Option<u64> {
        let Rhythm::Common { sent, .. } = &mut self.rhythm else { return None };
        Some(core::mem::take(sent) + self.queue.len() as u64)
    }

    /// Whether its rate follows the mix's demand.
    pub(crate) fn follows_demand(&self) -> bool {
        matches!(self.rhythm, Rhythm::Common { .. })
    }

    /// Demand-driven: from `tick` on, slots are `gap` apart, or there are none.
    pub(crate) fn retune(&mut self, gap: Option<Duration>, tick: Time) {
        let Rhythm::Common { share_of_gap, .. } = self.rhythm else { return };
        if gap == self.slots.schedule().map(|schedule| schedule.gap()) {
            return;
        }
        let schedule = gap.map(|gap| {
            let gap = (gap.as_nanos() as u64).max(1);
            Schedule::Constant { gap, phase: (gap as f64 * share_of_gap) as u64 }
        });
        self.slots.begin_again(schedule, Time::from_nanos(tick.as_nanos() - 1));
    }

    fn may_be_real(&self) -> bool {
        match self.rhythm {
            Rhythm::Fixed | Rhythm::Common { .. } => true,
            Rhythm::Mimics(_) => self.turns.is_multiple_of(MIMICS_REAL_SHARE.into()),
        }
    }

    fn note(&mut self, is_real: bool) {
        match &mut self.rhythm {
            Rhythm::Fixed => {}
            Rhythm::Common { sent, .. } => *sent += u64::from(is_real),
            Rhythm::Mimics(mimics) => {
                mimics.slots += 1;
                mimics.real += u64::from(is_real);
            }
        }
    }

    fn advance(&mut self) {
        if let Rhythm::Mimics(mimics) = &mut self.rhythm
            && mimics.turn_epoch(self.slots.slot())
        {
            self.is_heard = false;
            self.slots.follow(Schedule::Following { gap: mimics.gap });
        }
        self.slots.advance();
    }
}

impl Mimics {
    fn new(rate: Rate, decides: bool, geometry: Geometry) -> Self {
        let gap = rate.gap(geometry).as_nanos() as u64;
        Self { gap, widest: gap, decides, epoch: 0, real: 0, slots: 0 }
    }

    /// Once in an epoch the rate may change a little: up where most of the real share was used, down where little was.
    /// Whether it changed.
    fn turn_epoch(&mut self, slot: Time) -> bool {
        let epoch = slot.as_nanos() / MIMICS_EPOCH.as_nanos() as u64;
        if epoch == self.epoch || !self.decides {
            return false;
        }
        self.epoch = epoch;
        let (real, possible) = (self.real, self.slots / u64::from(MIMICS_REAL_SHARE));
        (self.real, self.slots) = (0, 0);
        let before = self.gap;
        if real * 10 > possible * 9 {
            self.gap = self.gap * 100 / (100 + MIMICS_STEP_PERCENT);
        } else if real * 2 < possible {
            self.gap = self.gap * (100 + MIMICS_STEP_PERCENT) / 100;
        }
        self.gap = self.gap.clamp(self.widest / MIMICS_GROWTH_MAX, self.widest);
        self.gap != before
    }
}
