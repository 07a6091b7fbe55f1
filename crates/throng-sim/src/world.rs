//! Virtual time: hosts, the wire between them, and what happens next.
//!
//! A world is a timing wheel around [`Node::step`]. Nothing in it follows from the order in which hosts were made: what
//! is drawn for a host follows from its address, and what happens in one nanosecond is ordered by addresses.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use throng_core::config::Membership;
use throng_core::crypto::Suite;
use throng_core::limits::SLOT_LATE_MAX;
use throng_core::membership::{Description, Record};
use throng_core::rng::{Purpose, Seed};
use throng_core::wire::Geometry;
use throng_core::{
    CircuitId, Command, Design, Event, Input, Node, NodeConfig, NodeKeys, Outbox, Ports, Scrubbed, Time,
};
use throng_machine::Maybenot;

use crate::cells::Cells;
use crate::chance::{Draws, For};
use crate::host::{HostId, Inbox, LineRate, SimHost, Work, owner};
use crate::wheel::Wheel;
use crate::wire::{OnWire, Verdict, Watcher, Way, Wire, WireAdversary, share};

/// A world of hosts and the wire between them, with somebody who watches it.
pub struct World<S: Suite, W: Watcher = ()> {
    now: Time,
    queue: Wheel<Happening>,
    cells: Cells,
    hosts: Vec<SimHost<S>>,
    by_address: HashMap<u64, u32, BuildHasherDefault<AddressHasher>>,
    /// The lengths of all datagrams.
    geometry: Geometry,
    /// Lent out while it is worked off.
    outbox: Option<Box<Outbox>>,
    wire: Wire,
    taps: Vec<Box<dyn WireAdversary>>,
    cut: BTreeSet<(HostId, HostId)>,
    seed: Seed,
    chance: Draws,
    happened: u64,
    watcher: W,
}

/// Hosts are numbers of 32 bits here: what waits in the queue decides its speed.
#[derive(Clone, Copy)]
enum Happening {
    /// A datagram reaches the far end of the wire.
    Arrives { from: u32, to: u32, cell: u32 },
    /// A datagram has passed its receiver's line.
    Enters { from: u32, to: u32, cell: u32 },
    /// A timer fires.
    Wakes(u32),
    /// An application at a host asked to be called.
    Calls { host: u32, token: u32 },
}

/// What one turn of the world brought about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing that an application has to see.
    Quiet,
    /// Events or deliveries wait at this host.
    Heard(HostId),
    /// An application wanted to be called now.
    Called(HostId, u32),
}

/// A line holds at most what it carries in this time,
const LINE_QUEUE_MAX: Duration = Duration::from_secs(1);
/// or so many datagrams, if that is more.
const LINE_DATAGRAMS_MIN: u64 = 16;
/// IPv4 and UDP headers around a datagram, bytes.
pub(crate) const IP_UDP_BYTES: u64 = 28;

/// The configuration and record of a mix, everything of it following from `number`.
pub fn mix_config<S: Suite>(
    number: u32,
    address: SocketAddr,
    exit_ports: Ports,
    design: &Arc<Design>,
) -> (NodeConfig, Arc<Record>) {
    mix_with_capacity::<S>(number, address, exit_ports, design, 1_000_000)
}

/// The same, for a mix that says that it can carry so much, kb/s.
pub(crate) fn mix_with_capacity<S: Suite>(
    number: u32,
    address: SocketAddr,
    exit_ports: Ports,
    design: &Arc<Design>,
    capacity: u32,
) -> (NodeConfig, Arc<Record>) {
    let keys = keys_of::<S>(b"mix", number);
    let description = Description {
        identity: keys.id::<S>(),
        family: None,
        capacity,
        addresses: vec![Scrubbed(address)],
        exit_ports: exit_ports.clone(),
        from: Time::ZERO,
        until: Time::from_secs(1_000_000),
    };
    let record = Arc::new(Record::sign::<S>(description, keys.identity_secret()));
    let config = NodeConfig {
        keys,
        design: Arc::clone(design),
        relays: true,
        is_exit: !exit_ports.is_none(),
        client: None,
        membership: Membership::Given(Vec::new()),
        defences: Some(Arc::new(Maybenot)),
    };
    (config, record)
}

/// The keys of the `number`-th host of a kind.
pub(crate) fn keys_of<S: Suite>(kind: &[u8], number: u32) -> NodeKeys {
    NodeKeys::new(S::hash(&[b"throng-sim", kind, b"identity", &number.to_le_bytes()]))
}

impl<S: Suite> World<S> {
    /// An empty world. Everything random follows from `seed`.
    pub fn new(seed: [u8; 32], wire: Wire) -> Self {
        Self::watched(seed, wire, ())
    }
}

impl<S: Suite, W: Watcher> World<S, W> {
    /// An empty world with somebody who watches it. Everything random follows from `seed`.
    pub fn watched(seed: [u8; 32], wire: Wire, watcher: W) -> Self {
        Self {
            now: Time::from_secs(1),
            queue: Wheel::new(),
            geometry: Geometry::DEFAULT,
            cells: Cells::new(Geometry::DEFAULT.datagram()),
            hosts: Vec::new(),
            by_address: HashMap::default(),
            outbox: Some(Box::new(Outbox::new(Geometry::DEFAULT))),
            wire,
            taps: Vec::new(),
            cut: BTreeSet::new(),
            chance: Draws::new(&seed),
            seed: Seed::from_bytes(seed),
            happened: 0,
            watcher,
        }
    }

    /// Adds a host that runs a node. No two hosts may have one address.
    pub fn add(&mut self, address: SocketAddr, config: NodeConfig) -> HostId {
        let id = self.add_down(address);
        self.start(id, config);
        id
    }

    /// Adds a host whose node does not run yet.
    ///
    /// # Panics
    /// If there is a host with this address already.
    pub fn add_down(&mut self, address: SocketAddr) -> HostId {
        let id = HostId(self.hosts.len());
        let before = self.by_address.insert(owner(address), id.0 as u32);
        assert!(before.is_none(), "an address belongs to one host");
        let owner = owner(address);
        self.hosts.push(SimHost {
            address,
            owner,
            ways: self.chance.of(For::Way, owner),
            node: None,
            wants: Time::NEVER,
            wakes: Time::NEVER,
            wakes_for: Time::NEVER,
            woken: 0,
            sent: 0,
            work: Work::default(),
            limits: None,
            island: 0,
            inbox: None,
        });
        id
    }

    /// Starts a host's node (again): it knows nothing of before but what `config` says.
    pub fn start(&mut self, id: HostId, config: NodeConfig) {
        self.measure(config.design.geometry);
        // Another life, other chance.
        let host = &mut self.hosts[id.0];
        let mut seed = self.seed.rng(Purpose::World, host.owner).bytes::<32>();
        seed[..8].copy_from_slice(&self.now.as_nanos().to_le_bytes());
        let node = Node::new(config, &Seed::from_bytes(seed), self.now);
        let wake = node.next_wake();
        host.node = Some(node);
        host.wakes_for = Time::NEVER;
        host.wakes = Time::NEVER;
        self.wake_by(id, wake);
    }

    /// The first node says how long the world's datagrams are.
    fn measure(&mut self, geometry: Geometry) {
        if geometry == self.geometry {
            return;
        }
        let is_first = self.hosts.iter().all(|host| host.node.is_none());
        assert!(is_first, "all nodes of a world have datagrams of one length");
        self.geometry = geometry;
        self.cells = Cells::new(geometry.datagram());
        self.outbox = Some(Box::new(Outbox::new(geometry)));
    }

    /// Stops a host's node without a farewell. What is on the way to it is lost.
    pub fn crash(&mut self, id: HostId) {
        self.hosts[id.0].node = None;
    }

    /// A host is at another address from now on, and nobody at its old one: its provider or its router decided so.
    ///
    /// # Panics
    /// If somebody is there already.
    pub fn relocate(&mut self, id: HostId, address: SocketAddr) {
        let host = &mut self.hosts[id.0];
        self.by_address.remove(&owner(host.address));
        host.address = address;
        let before = self.by_address.insert(owner(address), id.0 as u32);
        assert!(before.is_none(), "an address belongs to one host");
    }

    /// Whether a host's node runs.
    pub fn is_up(&self, id: HostId) -> bool {
        self.hosts[id.0].node.is_some()
    }

    /// Takes the wire between two hosts away, in both directions.
    pub fn cut(&mut self, a: HostId, b: HostId) {
        self.cut.insert((a.min(b), a.max(b)));
    }

    /// Puts hosts on an island: they reach only each other, and others do not reach them. Island 0 is the mainland.
    pub fn move_to_island(&mut self, hosts: impl IntoIterator<Item = HostId>, island: u32) {
        hosts.into_iter().for_each(|id| self.hosts[id.0].island = island);
    }

    /// Puts all wires back, and everybody on the mainland.
    pub fn heal(&mut self) {
        self.cut.clear();
        self.hosts.iter_mut().for_each(|host| host.island = 0);
    }

    /// Changes how the network treats datagrams from now on.
    pub fn set_wire(&mut self, wire: Wire) {
        self.wire = wire;
    }

    /// Gives a host a line of this speed.
    pub fn set_line(&mut self, id: HostId, line: LineRate) {
        if line != LineRate::default() || self.hosts[id.0].limits.is_some() {
            self.hosts[id.0].limits.get_or_insert_default().line = line;
        }
    }

    /// Lets a host hear everything so much later, datagrams and timers.
    pub fn set_slow(&mut self, id: HostId, by: Duration) {
        if !by.is_zero() || self.hosts[id.0].limits.is_some() {
            self.hosts[id.0].limits.get_or_insert_default().slow = by;
        }
    }

    /// Puts an adversary on all wires.
    pub fn tap(&mut self, tap: impl WireAdversary + 'static) {
        self.taps.push(Box::new(tap));
    }

    /// Who watches.
    pub fn watcher(&self) -> &W {
        &self.watcher
    }

    /// Who watches, to give it something to note.
    pub fn watcher_mut(&mut self) -> &mut W {
        &mut self.watcher
    }

    /// Ends the world; its watcher stays.
    pub fn into_watcher(self) -> W {
        self.watcher
    }

    /// What time it is.
    pub fn now(&self) -> Time {
        self.now
    }

    /// How much happened so far: datagrams, timers, calls.
    pub fn happened(&self) -> u64 {
        self.happened
    }

    /// Bytes of memory that the queue, datagrams on their way and hosts take, without what nodes have on the heap.
    pub fn bytes(&self) -> usize {
        self.queue.bytes() + self.cells.bytes() + self.hosts.capacity() * size_of::<SimHost<S>>()
    }

    /// The node of a host.
    ///
    /// # Panics
    /// If the host is down.
    pub fn node(&self, id: HostId) -> &Node<S> {
        self.hosts[id.0].node.as_ref().expect("the host is up")
    }

    /// Gives a node a command. A host that is down does not hear it.
    pub fn command(&mut self, id: HostId, command: Command<'_>) {
        self.step(id, Input::Command(command));
    }

    /// A datagram from nowhere arrives at a host, at once.
    pub fn inject(&mut self, from: SocketAddr, to: HostId, mut bytes: Vec<u8>) {
        self.step(to, Input::Datagram { from, bytes: &mut bytes });
    }

    /// What happened at a host since the last question.
    pub fn take_events(&mut self, id: HostId) -> Vec<(Time, Event)> {
        self.inbox(id).map_or(Vec::new(), |inbox| std::mem::take(&mut inbox.events))
    }

    /// Payloads that came to a host since the last question.
    pub fn take_delivered(&mut self, id: HostId) -> Vec<(CircuitId, Vec<u8>)> {
        self.inbox(id).map_or(Vec::new(), |inbox| std::mem::take(&mut inbox.delivered))
    }

    fn inbox(&mut self, id: HostId) -> Option<&mut Inbox> {
        self.hosts[id.0].inbox.as_deref_mut()
    }

    /// Lets time pass.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while self.turn(end).is_some() {}
    }

    /// Lets time pass until `done`, but not longer than `at_most`. Whether it was done.
    pub fn run_until(&mut self, at_most: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + at_most;
        loop {
            if done(self) {
                return true;
            }
            if self.turn(end).is_none() {
                return false;
            }
        }
    }

    /// Calls the application at a host at `at`, with a token of its own.
    pub(crate) fn call_at(&mut self, at: Time, host: HostId, token: u32) {
        let order = self.chance.of(For::Phase, self.hosts[host.0].owner).bits(u64::from(token));
        self.queue.push(at.max(self.now).as_nanos(), order, Happening::Calls { host: host.0 as u32, token });
    }

    /// The next thing that happens until `until`. If there is none, it is `until` afterwards.
    pub(crate) fn turn(&mut self, until: Time) -> Option<Turn> {
        let Some(next) = self.queue.pop_until(until.as_nanos()) else {
            self.now = self.now.max(until);
            return None;
        };
        self.now = self.now.max(Time::from_nanos(next.at));
        self.happened += 1;
        Some(match next.what {
            Happening::Arrives { from, to, cell } => self.arrive(from, to, cell),
            Happening::Enters { from, to, cell } => self.enter(from, to, cell),
            Happening::Wakes(id) => self.wake(HostId(id as usize)),
            Happening::Calls { host, token } => Turn::Called(HostId(host as usize), token),
        })
    }

    /// A datagram is at the end of the wire: it has to pass the line, if that has a bound.
    fn arrive(&mut self, from: u32, to: u32, cell: u32) -> Turn {
        let Some(limits) = self.hosts[to as usize].limits.as_mut() else { return self.enter(from, to, cell) };
        let bytes = self.cells.get_mut(cell).len();
        let passed = pass(&mut limits.down_free, limits.line.down_bps, self.now, bytes);
        let (Some(passed), slow) = (passed, limits.slow) else {
            self.watcher.dropped(self.now, HostId(to as usize));
            self.cells.free(cell);
            return Turn::Quiet;
        };
        let order = self.chance.of(For::Delay, self.hosts[from as usize].owner).bits(self.happened);
        self.queue.push((passed + slow).as_nanos(), order, Happening::Enters { from, to, cell });
        Turn::Quiet
    }

    fn enter(&mut self, from: u32, to: u32, cell: u32) -> Turn {
        let (from, to) = (HostId(from as usize), HostId(to as usize));
        let address = self.hosts[from.0].address;
        let bytes = self.cells.get_mut(cell);
        let mut outbox = self.outbox.take().expect("no step is within another");
        let wake = self.hosts[to.0].node.as_mut().map(|node| {
            self.watcher.arrived(self.now, from, to, bytes);
            node.step(self.now, Input::Datagram { from: address, bytes }, &mut outbox)
        });
        // Before what leaves is put down: it takes the same memory, which the processor has at hand.
        self.cells.free(cell);
        let turn = wake.map_or(Turn::Quiet, |wake| self.collect(to, wake, &mut outbox));
        self.outbox = Some(outbox);
        turn
    }

    fn wake(&mut self, id: HostId) -> Turn {
        let host = &mut self.hosts[id.0];
        if host.wakes != self.now {
            return Turn::Quiet; // another one counts
        }
        host.wakes_for = Time::NEVER;
        host.wakes = Time::NEVER;
        let wants = host.wants;
        if wants <= self.now {
            return self.step(id, Input::Wake);
        }
        self.wake_by(id, wants);
        Turn::Quiet
    }

    fn step(&mut self, id: HostId, input: Input<'_>) -> Turn {
        let Some(node) = self.hosts[id.0].node.as_mut() else { return Turn::Quiet };
        let mut outbox = self.outbox.take().expect("no step is within another");
        let wake = node.step(self.now, input, &mut outbox);
        let turn = self.collect(id, wake, &mut outbox);
        self.outbox = Some(outbox);
        turn
    }

    /// Takes out what a step caused.
    fn collect(&mut self, id: HostId, wake: Time, outbox: &mut Outbox) -> Turn {
        self.hosts[id.0].work.note(self.now);
        let heard = !outbox.events.is_empty() || outbox.payloads().is_some();
        if heard {
            let inbox = self.hosts[id.0].inbox.get_or_insert_default();
            inbox.events.extend(outbox.events.drain(..).map(|event| (self.now, event)));
            inbox.delivered.extend(outbox.deliveries().map(|(circuit, payload)| (circuit, payload.to_vec())));
        }
        for lane in outbox.lanes() {
            if let Some(to) = self.by_address.get(&owner(lane.to)).copied() {
                // Not before its slot; a host that was late with it sends it late, or, as the real one, not at all.
                let at = lane.at.max(self.now);
                if lane.at != Time::ZERO && at - lane.at > SLOT_LATE_MAX {
                    self.watcher.dropped(self.now, id);
                    continue;
                }
                for datagram in lane.datagrams.chunks_exact(self.geometry.datagram()) {
                    self.transmit(at, id, HostId(to as usize), datagram);
                }
            }
        }
        outbox.clear();
        self.wake_by(id, wake);
        if heard { Turn::Heard(id) } else { Turn::Quiet }
    }

    fn transmit(&mut self, at: Time, from: HostId, to: HostId, bytes: &[u8]) {
        let leaves = match self.hosts[from.0].limits.as_mut() {
            None => at,
            Some(limits) => match pass(&mut limits.up_free, limits.line.up_bps, at, bytes.len()) {
                Some(leaves) => leaves,
                None => return self.watcher.dropped(self.now, from),
            },
        };
        self.watcher.sent(leaves, from, to, bytes);
        if self.hosts[from.0].island != self.hosts[to.0].island
            || (!self.cut.is_empty() && self.cut.contains(&(from.min(to), from.max(to))))
        {
            return;
        }
        if self.taps.is_empty() {
            return self.travel(leaves, from, to, bytes);
        }
        let seen = OnWire { at: leaves, from, to, bytes: bytes.to_vec() };
        let mut copies = vec![seen.bytes.clone()];
        for tap in &mut self.taps {
            match tap.on_wire(&seen) {
                Verdict::Pass => {}
                Verdict::Drop => return,
                Verdict::Replace(other) => copies = vec![other],
                Verdict::Inject(more) => copies.extend(more),
            }
        }
        copies.iter().for_each(|copy| self.travel(leaves, from, to, copy));
    }

    fn travel(&mut self, leaves: Time, from: HostId, to: HostId, bytes: &[u8]) {
        let sender = &mut self.hosts[from.0];
        let number = sender.sent;
        sender.sent += 1;
        let (sender, receiver) = (&self.hosts[from.0], &self.hosts[to.0]);
        let way = Way::new(sender, receiver);
        let due = leaves + self.wire.delay(way);
        let arrivals = self.wire.arrivals(due, sender.owner, receiver.owner, number, self.chance);
        for at in arrivals.into_iter().flatten() {
            let cell = self.cells.put(bytes);
            let what = Happening::Arrives { from: from.0 as u32, to: to.0 as u32, cell };
            self.queue.push(at.as_nanos(), way.order(number), what);
        }
    }

    /// A timer fires late, never early. A host has one that counts; none is needed by one that has something to do at once.
    fn wake_by(&mut self, id: HostId, wake: Time) {
        let host = &mut self.hosts[id.0];
        host.wants = wake;
        if wake >= host.wakes_for && wake > self.now {
            return; // it wakes before, and looks again
        }
        let draws = self.chance.of(For::Lateness, host.owner);
        let late = if self.wire.lateness.is_zero() {
            Duration::ZERO
        } else {
            share(self.wire.lateness, draws.bits(host.woken))
        };
        host.woken += 1;
        host.wakes_for = wake;
        let busy = self.wire.busy_lateness.mul_f64(host.work.share());
        let slow = host.limits.as_ref().map_or(Duration::ZERO, |limits| limits.slow);
        host.wakes = if wake > self.now { wake + late + busy + slow } else { self.now };
        let order = draws.bits(host.woken << 32);
        self.queue.push(host.wakes.as_nanos(), order, Happening::Wakes(id.0 as u32));
    }
}

/// When a datagram of so many bytes has passed a line; nothing if the line is full.
fn pass(free: &mut Time, bps: Option<u64>, now: Time, bytes: usize) -> Option<Time> {
    let Some(bps) = bps else { return Some(now) };
    let nanos = (bytes as u64 + IP_UDP_BYTES) * 8 * 1_000_000_000 / bps.max(1);
    let passed = now.max(*free) + Duration::from_nanos(nanos);
    let bound = LINE_QUEUE_MAX.max(Duration::from_nanos(nanos * LINE_DATAGRAMS_MIN));
    if passed - now > bound {
        return None;
    }
    *free = passed;
    Some(passed)
}

/// Addresses are the world's own: nobody makes them collide on purpose.
#[derive(Default)]
struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_carries_its_rate_and_drops_what_does_not_fit() {
        // 1280 + 28 bytes at 1.308 Mb/s: 8 ms each; a second holds 125.
        let (mut free, bps) = (Time::ZERO, Some(1_308_000));
        let passed: Vec<_> = (0..200).filter_map(|_| pass(&mut free, bps, Time::ZERO, 1280)).collect();
        assert_eq!(passed.len(), 125);
        assert_eq!(passed[0], Time::from_nanos(8_000_000));
        assert_eq!(passed[124], Time::from_secs(1));
        assert!(pass(&mut free, bps, Time::from_nanos(8_000_000), 1280).is_some(), "one has left");
        // Even a line that needs longer than a second for it holds sixteen.
        let (mut free, slow) = (Time::ZERO, Some(1_000));
        assert_eq!((0..40).filter_map(|_| pass(&mut free, slow, Time::ZERO, 1280)).count(), 16);
    }
}
