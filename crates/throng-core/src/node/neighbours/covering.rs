//! The slots and the defences of a node's links, by the address of the neighbour.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::cover::{Content, Defence, Guard, LinkSlots, Pace, Parcel, Speaker, Turn};
use crate::departure::Departure;
use crate::id::NeighbourKey;
use crate::limits::{DEMAND_HOLD, DEMAND_TICK, SLOT_GUARD};
use crate::node::context::Cx;
use crate::time::Time;

/// The slots and the defences of a node's links.
#[derive(Default)]
pub(super) struct Covering {
    paces: BTreeMap<SocketAddr, Box<Pace>>,
    demand: Option<Box<Demand>>,
    guards: BTreeMap<SocketAddr, Box<Guard>>,
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

impl Covering {
    // --- Links ----------------------------------------------------------------------------------------

    /// From now on, all that goes to `address` goes in slots of this law. If it does already, only fillers go by
    /// another link; what waits for slots of another law waits for these.
    pub(super) fn begin(
        &mut self,
        address: SocketAddr,
        law: LinkSlots,
        link: NeighbourKey,
        decides: bool,
        cx: &mut Cx<'_>,
    ) {
        if let Some(pace) = self.paces.get_mut(&address).filter(|pace| pace.follows(law)) {
            pace.link = link;
            return;
        }
        let (geometry, timing) = (cx.design.geometry, cx.slots.timing_of(Speaker::Link(address)));
        let mut pace = Pace::new(law, link, decides, geometry, timing, cx.now);
        if let Some(before) = self.paces.remove(&address) {
            cx.slots.unschedule(before.due(), Speaker::Link(address));
            pace.take_over(*before);
        }
        cx.slots.schedule(pace.due(), Speaker::Link(address));
        self.paces.insert(address, Box::new(pace));
        if let LinkSlots::DemandDriven { least, most } = law
            && self.demand.is_none()
        {
            let (least, most) = (least.gap(geometry), most.gap(geometry));
            let tick = next_tick(cx.now);
            self.demand = Some(Box::new(Demand { least, most, gap: least, needed: cx.now, tick }));
            cx.slots.schedule(tick, Speaker::Tick);
        }
    }

    /// What goes to `address` goes at once again; nothing of what waits is sent.
    pub(super) fn end(&mut self, address: SocketAddr, cx: &mut Cx<'_>) {
        if let Some(pace) = self.paces.remove(&address) {
            cx.slots.unschedule(pace.due(), Speaker::Link(address));
        }
        if let Some(guard) = self.guards.remove(&address) {
            cx.slots.unschedule(guard.due, Speaker::Guard(address));
        }
    }

    /// The neighbour on a link moved. Slots that go by another link stay where they are: anybody may say that he is at
    /// somebody else's address.
    pub(super) fn moved(&mut self, link: NeighbourKey, from: SocketAddr, to: SocketAddr, cx: &mut Cx<'_>) {
        let is_its_pace = self.paces.get(&from).is_none_or(|pace| pace.link == link);
        let is_its_guard = self.guards.get(&from).is_none_or(|guard| guard.link == link);
        if !is_its_pace || !is_its_guard {
            return;
        }
        if self.paces.contains_key(&to) || self.guards.contains_key(&to) {
            return self.end(from, cx); // somebody is there already, whose slots are not to be touched
        }
        if let Some(pace) = self.paces.remove(&from) {
            cx.slots.unschedule(pace.due(), Speaker::Link(from));
            cx.slots.schedule(pace.due(), Speaker::Link(to));
            self.paces.insert(to, pace);
        }
        if let Some(guard) = self.guards.remove(&from) {
            cx.slots.unschedule(guard.due, Speaker::Guard(from));
            self.guards.insert(to, guard);
            self.look_at_guard(to, cx);
        }
    }

    /// The slots of a neighbour.
    pub(super) fn pace(&mut self, address: SocketAddr) -> Option<&mut Pace> {
        self.paces.get_mut(&address).map(Box::as_mut)
    }

    /// Whether what goes to `address` goes in slots now.
    pub(super) fn has(&self, address: SocketAddr) -> bool {
        self.paces.get(&address).is_some_and(|pace| pace.due() != Time::NEVER)
    }

    /// How many neighbours hear us in slots.
    pub(super) fn len(&self) -> usize {
        self.paces.len()
    }

    /// Lets a cell wait for a slot of `address`; whether there was room.
    pub(super) fn hold(
        &mut self,
        address: SocketAddr,
        departure: Departure,
        body: &[u8],
        cx: &mut Cx<'_>,
    ) -> bool {
        let Some(pace) = self.paces.get_mut(&address) else { return false };
        let mut copy = cx.out.body();
        copy.copy_from_slice(body);
        let circuit = (departure.link, departure.header.circuit);
        match pace.push(circuit, Parcel::Cell(departure, copy)) {
            Ok(()) => true,
            Err(Parcel::Cell(_, copy)) => {
                cx.out.reuse(copy);
                false
            }
            Err(Parcel::Datagram { .. }) => false,
        }
    }

    /// Lets a message that sets a link up wait for a slot of `address`; whether there was room.
    pub(super) fn hold_datagram(&mut self, address: SocketAddr, bytes: Box<[u8]>, to_stranger: bool) -> bool {
        let Some(pace) = self.paces.get_mut(&address) else { return false };
        pace.push((NeighbourKey::default(), 0), Parcel::Datagram { bytes, to_stranger }).is_ok()
    }

    /// What the next slot of a neighbour carries; nothing if it is too late for it.
    pub(super) fn turn(&mut self, address: SocketAddr, cx: &mut Cx<'_>) -> Option<Turn> {
        let pace = self.paces.get_mut(&address)?;
        let missed = pace.skip(cx.now);
        let turn = (missed == 0).then(|| pace.turn(cx.now));
        cx.slots.schedule(pace.due(), Speaker::Link(address));
        if turn.is_some() {
            cx.slots.pay(cx.now);
        }
        cx.slots.note(|spent| {
            spent.missed += missed;
            match turn.as_ref().map(|turn| &turn.content) {
                Some(Content::Parcel(_)) => spent.real += 1,
                Some(Content::Filler) => spent.filler += 1,
                None => {}
            }
        });
        turn
    }

    /// All neighbours that hear us in slots.
    pub(super) fn neighbours(&self) -> Vec<SocketAddr> {
        self.paces.keys().copied().collect()
    }

    /// The links that slots go by, and the mean from one to the next.
    pub(super) fn gaps(&self) -> Vec<(NeighbourKey, Duration)> {
        self.paces.values().map(|pace| (pace.link, pace.gap())).collect()
    }

    /// Sets the rate of all demand-driven links for the tick that begins. `is_needed`: whether any circuit is open.
    pub(super) fn tick(&mut self, is_needed: bool, cx: &mut Cx<'_>) {
        let Some(demand) = &mut self.demand else { return };
        let tick = demand.tick;
        demand.tick = next_tick(tick.max(cx.now));
        let most = self.paces.values_mut().filter_map(|pace| pace.take_demand()).max().unwrap_or(0);
        let gap = (is_needed || most > 0).then(|| demand.follow(most, tick));
        for (address, pace) in self.paces.iter_mut().filter(|(_, pace)| pace.follows_demand()) {
            cx.slots.unschedule(pace.due(), Speaker::Link(*address));
            pace.retune(gap, tick);
            cx.slots.schedule(pace.due(), Speaker::Link(*address));
        }
        cx.slots.schedule(demand.tick, Speaker::Tick);
    }

    // --- Audit ----------------------------------------------------------------------------------------

    /// Whose slots there are, by which link they go, and when the next one is due.
    pub(super) fn speakers(&self) -> impl Iterator<Item = (SocketAddr, NeighbourKey, Time)> {
        self.paces.iter().map(|(address, pace)| (*address, pace.link, pace.due()))
    }

    /// Whether a speaker has a slot then.
    pub(super) fn speaks_at(&self, speaker: Speaker, at: Time) -> bool {
        match speaker {
            Speaker::Link(address) => self.paces.get(&address).is_some_and(|pace| pace.due() == at),
            Speaker::Guard(address) => self.guards.get(&address).is_some_and(|guard| guard.due == at),
            _ => false,
        }
    }

    // --- Defences -------------------------------------------------------------------------------------

    /// From now on, a defence watches what passes on the link to `address`.
    pub(super) fn guard(
        &mut self,
        address: SocketAddr,
        link: NeighbourKey,
        defence: Box<dyn Defence>,
        cx: &mut Cx<'_>,
    ) {
        self.guards.insert(address, Box::new(Guard::new(link, defence)));
        self.look_at_guard(address, cx);
    }

    /// The defence of a link.
    pub(super) fn guard_of(&mut self, address: SocketAddr) -> Option<&mut Guard> {
        self.guards.get_mut(&address).map(Box::as_mut)
    }

    /// Notes when a defence wants to be looked at. Defences react: nothing can be decided before its time.
    pub(super) fn look_at_guard(&mut self, address: SocketAddr, cx: &mut Cx<'_>) {
        let Some(guard) = self.guards.get_mut(&address) else { return };
        cx.slots.unschedule(guard.due, Speaker::Guard(address));
        guard.due = guard.defence.wake().max(guard.not_before) + SLOT_GUARD;
        cx.slots.schedule(guard.due, Speaker::Guard(address));
    }

    /// All neighbours on whose links a defence is at work.
    pub(super) fn guarded(&self) -> Vec<SocketAddr> {
        self.guards.keys().copied().collect()
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
