//! Everything of a node that speaks in slots: who is next, and what was spent.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use slotmap::Key as _;

use super::IP_UDP_BYTES;
use super::budget::{Budget, Purse};
use super::mutant::{self, Mutant};
use super::pace::Content;
use super::schedule::Grid;
use super::{Defence, Guard, LinkCover, Pace, Parcel, Turn};
use crate::departure::Departure;
use crate::id::LinkKey;
use crate::id::{OriginKey, RelayKey};
use crate::limits::{DEMAND_HOLD, DEMAND_TICK, SLOT_GUARD};
use crate::rng::{Purpose, Rng, Seed};
use crate::time::Time;
use crate::wire::Geometry;

/// What speaks in slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Speaker {
    /// The common rate of all links is set anew.
    Tick,
    /// All links to this neighbour.
    Link(SocketAddr),
    /// A circuit of our own.
    Own(OriginKey),
    /// A circuit that ends here.
    Relay(RelayKey),
    /// The defence of a link.
    Guard(SocketAddr),
    /// Another day begins, and with it another budget.
    Day,
}

/// Whose slot it is.
pub(crate) enum Next {
    /// A neighbour's, and what it carries.
    Link(SocketAddr, Turn),
    /// A circuit's; it knows itself what to say.
    Own(OriginKey),
    /// The same.
    Relay(RelayKey),
    /// A defence's time has come.
    Guard(SocketAddr),
    /// There is a new budget.
    Day,
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

/// Everything of a node that speaks in slots.
pub(crate) struct Covering {
    seed: Seed,
    grid: Grid,
    geometry: Geometry,
    paces: BTreeMap<SocketAddr, Box<Pace>>,
    due: BTreeSet<(Time, Speaker)>,
    demand: Option<Demand>,
    guards: BTreeMap<SocketAddr, Box<Guard>>,
    /// What a client may spend; mixes spend what the design says.
    pub(crate) purse: Option<Purse>,
    pub(crate) spent: Spent,
    spare: Vec<Box<[u8]>>,
}

/// The rate that all links of a mix have in common.
struct Demand {
    least: Duration,
    most: Duration,
    gap: Duration,
    /// When the rate was needed last.
    needed: Time,
    tick: Time,
}

/// Buffers that are kept for the next cells.
const SPARE_MAX: usize = 256;

impl Covering {
    /// `budget`: a client's.
    pub(crate) fn new(seed: Seed, geometry: Geometry, budget: Option<Budget>, now: Time) -> Self {
        let mut due = BTreeSet::new();
        if budget.is_some_and(|budget| budget.bytes_per_day.is_some()) {
            due.insert((Purse::next_day(now), Speaker::Day));
        }
        Self {
            grid: Grid::new(seed.rng(Purpose::Cover, u64::MAX).seed()),
            seed,
            geometry,
            paces: BTreeMap::new(),
            due,
            demand: None,
            guards: BTreeMap::new(),
            purse: budget.map(Purse::new),
            spent: Spent::default(),
            spare: Vec::new(),
        }
    }

    /// A stream of chance for whatever speaks: the order in which speakers come must not decide what they draw.
    pub(crate) fn chance_of(&self, speaker: Speaker) -> Rng {
        let owner = match speaker {
            Speaker::Tick | Speaker::Day => fnv(&[0]),
            Speaker::Link(SocketAddr::V4(v4)) | Speaker::Guard(SocketAddr::V4(v4)) => {
                fnv(&[&[1][..], &v4.ip().octets(), &v4.port().to_le_bytes()].concat())
            }
            Speaker::Link(SocketAddr::V6(v6)) | Speaker::Guard(SocketAddr::V6(v6)) => {
                fnv(&[&[1][..], &v6.ip().octets(), &v6.port().to_le_bytes()].concat())
            }
            Speaker::Own(key) => fnv(&[&[2][..], &key.data().as_ffi().to_le_bytes()].concat()),
            Speaker::Relay(key) => fnv(&[&[3][..], &key.data().as_ffi().to_le_bytes()].concat()),
        };
        self.seed.rng(Purpose::Cover, owner)
    }

    /// The same for a circuit, with the moments at which the node speaks.
    pub(crate) fn timing_of(&self, speaker: Speaker) -> (Rng, Grid) {
        (self.chance_of(speaker), self.grid.clone())
    }

    /// When something is to be decided.
    pub(crate) fn wake(&self) -> Time {
        let early = if mutant::has(Mutant::DecidedLate) { Duration::ZERO } else { SLOT_GUARD };
        let before = |at: &Time| Time::from_nanos(at.as_nanos().saturating_sub(early.as_nanos() as u64));
        self.due.first().map_or(Time::NEVER, |(at, _)| before(at))
    }

    // --- Links ----------------------------------------------------------------------------------------

    /// From now on, all that goes to `address` goes in slots of this scheme. If it does already, only fillers go by
    /// another link; what waits for slots of another scheme waits for these.
    pub(crate) fn begin(
        &mut self,
        address: SocketAddr,
        cover: &LinkCover,
        link: LinkKey,
        decides: bool,
        now: Time,
    ) {
        if let Some(pace) = self.paces.get_mut(&address).filter(|pace| pace.is_of(cover)) {
            pace.link = link;
            return;
        }
        let chance = (self.chance_of(Speaker::Link(address)), self.grid.clone());
        let Some(mut pace) = Pace::new(cover, link, decides, self.geometry, chance, now) else { return };
        if let Some(before) = self.paces.remove(&address) {
            self.due.remove(&(before.due(), Speaker::Link(address)));
            pace.take_over(*before);
        }
        self.schedule(pace.due(), Speaker::Link(address));
        self.paces.insert(address, Box::new(pace));
        if let LinkCover::DemandDriven { least, most } = cover
            && self.demand.is_none()
        {
            let (least, most) = (least.gap(self.geometry), most.gap(self.geometry));
            let tick = next_tick(now);
            self.demand = Some(Demand { least, most, gap: least, needed: now, tick });
            self.schedule(tick, Speaker::Tick);
        }
    }

    /// What goes to `address` goes at once again; nothing of what waits is sent.
    pub(crate) fn end(&mut self, address: SocketAddr) {
        if let Some(pace) = self.paces.remove(&address) {
            self.due.remove(&(pace.due(), Speaker::Link(address)));
        }
        if let Some(guard) = self.guards.remove(&address) {
            self.due.remove(&(guard.due, Speaker::Guard(address)));
        }
    }

    // --- Defences -------------------------------------------------------------------------------------

    /// From now on, a defence watches what passes on the link to `address`.
    pub(crate) fn guard(&mut self, address: SocketAddr, link: LinkKey, defence: Box<dyn Defence>) {
        self.guards.insert(address, Box::new(Guard::new(link, defence)));
        self.look_at_guard(address);
    }

    /// The defence of a link.
    pub(crate) fn guard_of(&mut self, address: SocketAddr) -> Option<&mut Guard> {
        self.guards.get_mut(&address).map(Box::as_mut)
    }

    /// Notes when a defence wants to be looked at. Defences react: nothing can be decided before its time.
    pub(crate) fn look_at_guard(&mut self, address: SocketAddr) {
        let Some(guard) = self.guards.get_mut(&address) else { return };
        self.due.remove(&(guard.due, Speaker::Guard(address)));
        guard.due = guard.defence.wake().max(guard.not_before) + SLOT_GUARD;
        if guard.due != Time::NEVER {
            self.due.insert((guard.due, Speaker::Guard(address)));
        }
    }

    /// The neighbour on a link moved. Slots that go by another link stay where they are: anybody may say that he is at
    /// somebody else's address.
    pub(crate) fn moved(&mut self, link: LinkKey, from: SocketAddr, to: SocketAddr) {
        let is_its_pace = self.paces.get(&from).is_none_or(|pace| pace.link == link);
        let is_its_guard = self.guards.get(&from).is_none_or(|guard| guard.link == link);
        if !is_its_pace || !is_its_guard {
            return;
        }
        if self.paces.contains_key(&to) || self.guards.contains_key(&to) {
            return self.end(from); // somebody is there already, whose slots are not to be touched
        }
        if let Some(pace) = self.paces.remove(&from) {
            self.due.remove(&(pace.due(), Speaker::Link(from)));
            self.schedule(pace.due(), Speaker::Link(to));
            self.paces.insert(to, pace);
        }
        if let Some(guard) = self.guards.remove(&from) {
            self.due.remove(&(guard.due, Speaker::Guard(from)));
            self.guards.insert(to, guard);
            self.look_at_guard(to);
        }
    }

    /// The slots of a neighbour.
    pub(crate) fn pace(&mut self, address: SocketAddr) -> Option<&mut Pace> {
        self.paces.get_mut(&address).map(Box::as_mut)
    }

    /// Whether what goes to `address` goes in slots now.
    pub(crate) fn has(&self, address: SocketAddr) -> bool {
        self.paces.get(&address).is_some_and(|pace| pace.due() != Time::NEVER)
    }

    /// How many neighbours hear us in slots.
    pub(crate) fn len(&self) -> usize {
        self.paces.len()
    }

    /// Lets a cell wait for a slot of `address`; whether there was room.
    pub(crate) fn hold(&mut self, address: SocketAddr, departure: Departure, body: &[u8]) -> bool {
        let Some(pace) = self.paces.get_mut(&address) else { return false };
        let mut copy = self.spare.pop().unwrap_or_else(|| alloc::vec![0; body.len()].into_boxed_slice());
        copy.copy_from_slice(body);
        let circuit = (departure.link, departure.header.circuit);
        match pace.push(circuit, Parcel::Cell(departure, copy)) {
            Ok(()) => true,
            Err(Parcel::Cell(_, copy)) => {
                self.reuse(copy);
                false
            }
            Err(Parcel::Datagram { .. }) => false,
        }
    }

    /// Lets a message that sets a link up wait for a slot of `address`; whether there was room.
    pub(crate) fn hold_datagram(&mut self, address: SocketAddr, bytes: Box<[u8]>, to_stranger: bool) -> bool {
        let Some(pace) = self.paces.get_mut(&address) else { return false };
        pace.push((LinkKey::default(), 0), Parcel::Datagram { bytes, to_stranger }).is_ok()
    }

    /// Gives a cell's memory back.
    pub(crate) fn reuse(&mut self, body: Box<[u8]>) {
        if self.spare.len() < SPARE_MAX {
            self.spare.push(body);
        }
    }

    // --- Slots ----------------------------------------------------------------------------------------

    /// Notes when a circuit speaks next.
    pub(crate) fn schedule(&mut self, at: Time, speaker: Speaker) {
        if at != Time::NEVER {
            self.due.insert((at, speaker));
        }
    }

    /// The next slot that is to be decided at `now`. `is_needed`: whether any circuit is open.
    pub(crate) fn next(&mut self, now: Time, is_needed: bool) -> Option<Next> {
        loop {
            let (at, speaker) = *self.due.first()?;
            let early = if mutant::has(Mutant::DecidedLate) { Duration::ZERO } else { SLOT_GUARD };
            if at > now + early {
                return None;
            }
            self.due.pop_first();
            match speaker {
                Speaker::Tick => self.tick(now, is_needed),
                Speaker::Day => return Some(Next::Day),
                Speaker::Own(key) => return Some(Next::Own(key)),
                Speaker::Relay(key) => return Some(Next::Relay(key)),
                Speaker::Guard(address) => return Some(Next::Guard(address)),
                Speaker::Link(address) => {
                    if let Some(turn) = self.turn(address, now) {
                        return Some(Next::Link(address, turn));
                    }
                }
            }
        }
    }

    /// What a neighbour's slot carries; nothing if it is too late for it.
    fn turn(&mut self, address: SocketAddr, now: Time) -> Option<Turn> {
        let pace = self.paces.get_mut(&address)?;
        let missed = pace.skip(now);
        self.spent.missed += missed;
        let turn = (missed == 0).then(|| pace.turn(now));
        let due = pace.due();
        self.schedule(due, Speaker::Link(address));
        if turn.is_some() {
            self.pay(now);
        }
        match turn.as_ref().map(|turn| &turn.content) {
            Some(Content::Parcel(_)) => self.spent.real += 1,
            Some(Content::Filler) => self.spent.filler += 1,
            None => {}
        }
        turn
    }

    /// A slot was used: it costs its datagram.
    pub(crate) fn pay(&mut self, now: Time) {
        let bytes = self.geometry.datagram() as u64 + IP_UDP_BYTES;
        if let Some(purse) = &mut self.purse {
            purse.pay(bytes, now);
        }
    }

    /// Whether the budget permits cover now.
    pub(crate) fn may_spend(&self, now: Time) -> bool {
        self.purse.as_ref().is_none_or(|purse| purse.is_open(now))
    }

    /// All neighbours that hear us in slots.
    pub(crate) fn neighbours(&self) -> Vec<SocketAddr> {
        self.paces.keys().copied().collect()
    }

    /// All neighbours on whose links a defence is at work.
    pub(crate) fn guarded(&self) -> Vec<SocketAddr> {
        self.guards.keys().copied().collect()
    }

    /// The links that slots go by, and the mean from one to the next.
    pub(crate) fn gaps(&self) -> Vec<(LinkKey, Duration)> {
        self.paces.values().map(|pace| (pace.link, pace.gap())).collect()
    }

    /// Sets the rate of all demand-driven links for the tick that begins.
    fn tick(&mut self, now: Time, is_needed: bool) {
        let Some(demand) = &mut self.demand else { return };
        let tick = demand.tick;
        demand.tick = next_tick(tick.max(now));
        let most = self.paces.values_mut().filter_map(|pace| pace.take_demand()).max().unwrap_or(0);
        let gap = (is_needed || most > 0).then(|| demand.follow(most, tick));
        let again = demand.tick;
        for (address, pace) in &mut self.paces {
            if pace.follows_demand() {
                self.due.remove(&(pace.due(), Speaker::Link(*address)));
                pace.retune(gap, tick);
                if pace.due() != Time::NEVER {
                    self.due.insert((pace.due(), Speaker::Link(*address)));
                }
            }
        }
        self.schedule(again, Speaker::Tick);
    }
}

impl Demand {
    /// The gap that carries so many datagrams in a tick: narrower at once, wider only after a while, and then not more
    /// than twice.
    fn follow(&mut self, datagrams: u64, tick: Time) -> Duration {
        let wanted = DEMAND_TICK.div_f64(datagrams.max(1) as f64).clamp(self.most, self.least);
        if wanted <= self.gap + self.gap / 3 {
            (self.gap, self.needed) = (wanted.min(self.gap), tick);
        } else if tick - self.needed >= DEMAND_HOLD {
            (self.gap, self.needed) = (wanted.min(self.gap * 2), tick);
        }
        self.gap
    }
}

fn next_tick(after: Time) -> Time {
    let tick = DEMAND_TICK.as_nanos() as u64;
    Time::from_nanos((after.as_nanos() / tick + 1) * tick)
}

/// The Fowler-Noll-Vo hash: names of streams must be the same on every machine.
fn fnv(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
