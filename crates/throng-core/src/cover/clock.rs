//! Who speaks in slots, and who is next; and what that has cost.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use slotmap::Key as _;

use super::budget::{Budget, Purse};
use super::circuit::CircuitTurn;
use super::mutant::{self, Mutant};
use super::queue::Room;
use super::rate::IP_UDP_BYTES;
use super::schedule::Grid;
use crate::id::{NeighbourKey, OriginKey, RelayKey};
use crate::limits::SLOT_GUARD;
use crate::rng::{Purpose, Rng, Seed};
use crate::time::Time;
use crate::wire::Geometry;

/// What speaks in slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Speaker {
    /// The common rate of all links is set anew.
    Tick,
    /// The link to this neighbour.
    Link(NeighbourKey),
    /// A circuit of our own.
    Origin(OriginKey),
    /// A circuit that ends here.
    Relay(RelayKey),
    /// The defence of a link.
    Guard(NeighbourKey),
    /// Another day begins, and with it another budget.
    Day,
}

/// Whose stream of chance for slots. A link's is that of the neighbour's address, since nothing in it may depend on how much
/// a node did before, as the keys of its tables do.
#[derive(Clone, Copy)]
pub(crate) enum Timing {
    Link(SocketAddr),
    Origin(OriginKey),
    Relay(RelayKey),
}

/// What cover has cost so far, in datagrams and cells; and what real ones went in slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Datagrams in slots of covered links that carried something.
    pub real: u64,
    /// Datagrams in slots of covered links that carried nothing.
    pub filler: u64,
    /// Payloads in slots of covered circuits that end here.
    pub payloads: u64,
    /// Dummies and loops in such slots.
    pub dummies: u64,
    /// Slots that stayed empty since we were too late for them.
    pub missed: u64,
}

impl Spent {
    /// Notes what a circuit's slot carried, or how many of its slots stayed empty.
    pub(crate) fn note_turn(&mut self, missed: u64, turn: Option<&CircuitTurn>) {
        self.missed += missed;
        match turn {
            Some(CircuitTurn::Payload(_)) => self.payloads += 1,
            Some(CircuitTurn::Dummy | CircuitTurn::Loop) => self.dummies += 1,
            None => {}
        }
    }
}

/// The clock of everything in a node that speaks in slots. A node without cover has none, and no memory for one.
#[derive(Default)]
pub(crate) struct SlotClock(Option<Box<Inner>>);

struct Inner {
    seed: Seed,
    grid: Grid,
    geometry: Geometry,
    due: BTreeSet<(Time, Speaker)>,
    /// What a client may spend; mixes spend what the design says.
    purse: Option<Purse>,
    spent: Spent,
    renewals: Rng,
    /// For cells that wait for slots.
    room: Room,
}

impl SlotClock {
    /// `budget`: a client's.
    pub(crate) fn new(seed: Seed, geometry: Geometry, budget: Option<Budget>, now: Time) -> Self {
        let mut due = BTreeSet::new();
        if budget.is_some_and(|budget| budget.bytes_per_day.is_some()) {
            due.insert((Purse::next_day(now), Speaker::Day));
        }
        let grid = Grid::new(seed.rng(Purpose::Cover, u64::MAX).seed());
        let (purse, spent) = (budget.map(Purse::new), Spent::default());
        let renewals = seed.rng(Purpose::Renewal, 0);
        Self(Some(Box::new(Inner {
            seed,
            grid,
            geometry,
            due,
            purse,
            spent,
            renewals,
            room: Room::default(),
        })))
    }

    /// Whether anything here may speak in slots.
    pub(crate) fn is_running(&self) -> bool {
        self.0.is_some()
    }

    /// Goes on counting what another one counted: what was spent stays spent.
    pub(crate) fn take_over(&mut self, before: Self) {
        if let (Some(running), Some(before)) = (&mut self.0, before.0) {
            (running.purse, running.spent) = (before.purse, before.spent);
        }
    }

    /// A stream of chance for whatever speaks, and the moments at which the node does: the order in which speakers come
    /// must not decide what they draw.
    ///
    /// # Panics
    /// Where nothing speaks in slots.
    pub(crate) fn timing_of(&self, whose: Timing) -> (Rng, Grid) {
        let running = self.0.as_ref().expect("only what is covered asks");
        let owner = match whose {
            Timing::Link(address) => {
                let port = address.port().to_le_bytes();
                match address.ip() {
                    IpAddr::V4(v4) => fnv(&[&[1][..], &v4.octets(), &port].concat()),
                    IpAddr::V6(v6) => fnv(&[&[1][..], &v6.octets(), &port].concat()),
                }
            }
            Timing::Origin(key) => fnv(&[&[2][..], &key.data().as_ffi().to_le_bytes()].concat()),
            Timing::Relay(key) => fnv(&[&[3][..], &key.data().as_ffi().to_le_bytes()].concat()),
        };
        (running.seed.rng(Purpose::Cover, owner), running.grid.clone())
    }

    /// Where cells of this node wait for slots, all together.
    ///
    /// # Panics
    /// Where nothing speaks in slots.
    pub(crate) fn room(&self) -> Room {
        self.0.as_ref().expect("only what is covered asks").room.clone()
    }

    /// A number from 0 to 1 for the moment of another renewal of keys: what else is drawn, and how often, does not change it.
    /// Nothing where nothing speaks in slots.
    pub(crate) fn draw_renewal(&mut self) -> Option<f64> {
        Some(self.0.as_mut()?.renewals.unit())
    }

    /// Notes when a speaker has its next slot.
    pub(crate) fn schedule(&mut self, at: Time, speaker: Speaker) {
        if let Some(running) = self.0.as_mut().filter(|_| at != Time::NEVER) {
            running.due.insert((at, speaker));
        }
    }

    /// Notes that there is another budget tomorrow.
    pub(crate) fn schedule_next_day(&mut self, now: Time) {
        self.schedule(Purse::next_day(now), Speaker::Day);
    }

    /// Forgets that slot.
    pub(crate) fn unschedule(&mut self, at: Time, speaker: Speaker) {
        if let Some(running) = &mut self.0 {
            running.due.remove(&(at, speaker));
        }
    }

    /// All slots that are to come, for whoever audits them.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (Time, Speaker)> {
        self.0.iter().flat_map(|running| running.due.iter().copied())
    }

    /// When something is to be decided.
    pub(crate) fn wake(&self) -> Time {
        let first = self.0.as_ref().and_then(|running| running.due.first());
        first.map_or(Time::NEVER, |(at, _)| {
            Time::from_nanos(at.as_nanos().saturating_sub(early().as_nanos() as u64))
        })
    }

    /// Whose next slot is to be decided at `now`, taken out.
    pub(crate) fn pop(&mut self, now: Time) -> Option<Speaker> {
        let due = &mut self.0.as_mut()?.due;
        due.first().filter(|(at, _)| *at <= now + early())?;
        due.pop_first().map(|(_, speaker)| speaker)
    }

    /// A slot was used: it costs its datagram.
    pub(crate) fn pay(&mut self, now: Time) {
        if let Some(running) = &mut self.0 {
            let bytes = running.geometry.datagram() as u64 + IP_UDP_BYTES;
            running.purse.iter_mut().for_each(|purse| purse.pay(bytes, now));
        }
    }

    /// Whether the budget permits cover now.
    pub(crate) fn may_spend(&self, now: Time) -> bool {
        self.purse().is_none_or(|purse| purse.is_open(now))
    }

    /// Whether today's budget is spent.
    pub(crate) fn is_spent(&self, now: Time) -> bool {
        self.purse().is_some_and(|purse| purse.is_spent(now))
    }

    /// The owner permits cover, or does not. Whether it was permitted before; nothing where it is not the owner's to say.
    pub(crate) fn permit(&mut self, may: bool) -> Option<bool> {
        let purse = self.0.as_mut()?.purse.as_mut()?;
        Some(core::mem::replace(&mut purse.may_spend, may))
    }

    /// What was spent so far; nothing where there is no cover.
    pub(crate) fn spent(&self) -> Option<Spent> {
        self.0.as_ref().map(|running| running.spent)
    }

    /// Notes what was spent.
    pub(crate) fn note(&mut self, note: impl FnOnce(&mut Spent)) {
        if let Some(running) = &mut self.0 {
            note(&mut running.spent);
        }
    }

    fn purse(&self) -> Option<&Purse> {
        self.0.as_ref()?.purse.as_ref()
    }
}

/// What goes into a slot is decided this long before it.
fn early() -> Duration {
    if mutant::has(Mutant::DecidedLate) { Duration::ZERO } else { SLOT_GUARD }
}

/// The Fowler-Noll-Vo hash: names of streams must be the same on every machine.
fn fnv(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
