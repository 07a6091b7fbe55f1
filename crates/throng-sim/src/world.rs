//! Virtual time: a queue of happenings, ordered by time and then by the order of their making.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use throng_core::crypto::Suite;
use throng_core::membership::{Family, Membership};
use throng_core::mixing::Mixing;
use throng_core::rng::{Purpose, Rng, Seed};
use throng_core::wire::Geometry;
use throng_core::wire::record::{Description, Record};
use throng_core::{
    CircuitId, Command, Event, Input, Node, NodeConfig, NodeKeys, Outbox, Ports, Scrubbed, Time,
};

use crate::host::{Host, HostId};
use crate::wire::{Seen, Tap, Verdict, Wire};

/// A world of hosts and the wire between them.
pub struct World<S: Suite> {
    now: Time,
    queue: BTreeMap<(Time, u64), Happening>,
    made: u64,
    hosts: Vec<Host<S>>,
    by_address: HashMap<SocketAddr, HostId>,
    wire: Wire,
    taps: Vec<Box<dyn Tap>>,
    cut: Vec<(HostId, HostId)>,
    seed: Seed,
    rng: Rng,
}

enum Happening {
    Arrives { from: SocketAddr, to: HostId, bytes: Vec<u8> },
    Wakes(HostId),
}

/// The configuration and record of a mix, everything of it following from `number`.
pub fn mix_config<S: Suite>(
    number: u8,
    address: SocketAddr,
    exit_ports: Ports,
    mixing: Mixing,
) -> (NodeConfig, Arc<Record>) {
    let keys = NodeKeys::new([number; 32], [number ^ 0x80; 32]);
    let description = Description {
        identity: keys.id::<S>(),
        link_key: keys.link_public::<S>(),
        family: Some(Family([number; 16])),
        capacity: 1000,
        addresses: vec![Scrubbed(address)],
        exit_ports: exit_ports.clone(),
        from: Time::ZERO,
        until: Time::from_secs(1_000_000),
    };
    let record = Arc::new(Record::sign::<S>(description, keys.identity_secret()));
    let config = NodeConfig {
        keys,
        geometry: Geometry::DEFAULT,
        relays: true,
        is_exit: !exit_ports.is_none(),
        mixing,
        client: None,
        membership: Membership::Given(Vec::new()),
    };
    (config, record)
}

impl<S: Suite> World<S> {
    /// An empty world. Everything random follows from `seed`.
    pub fn new(seed: [u8; 32], wire: Wire) -> Self {
        let seed = Seed::from_bytes(seed);
        Self {
            now: Time::from_secs(1),
            queue: BTreeMap::new(),
            made: 0,
            hosts: Vec::new(),
            by_address: HashMap::new(),
            wire,
            taps: Vec::new(),
            cut: Vec::new(),
            rng: seed.rng(Purpose::World, u64::MAX),
            seed,
        }
    }

    /// Adds a host that runs a node.
    pub fn add(&mut self, address: SocketAddr, config: NodeConfig) -> HostId {
        let id = HostId(self.hosts.len());
        let outbox = Outbox::new(config.geometry);
        self.by_address.insert(address, id);
        self.hosts.push(Host {
            address,
            node: None,
            outbox,
            wake: Time::NEVER,
            events: Vec::new(),
            delivered: Vec::new(),
        });
        self.start(id, config);
        id
    }

    /// Starts a host's node (again): it knows nothing of before but what `config` says.
    pub fn start(&mut self, id: HostId, config: NodeConfig) {
        // Another life, other chance.
        let mut lives = self.seed.rng(Purpose::World, id.0 as u64);
        let mut seed = lives.bytes::<32>();
        seed[..8].copy_from_slice(&self.now.as_nanos().to_le_bytes());
        let node = Node::new(config, &Seed::from_bytes(seed), self.now);
        let wake = node.next_wake();
        self.hosts[id.0].node = Some(node);
        self.schedule_wake(id, wake);
    }

    /// Stops a host's node without a farewell. What is on the way to it is lost.
    pub fn crash(&mut self, id: HostId) {
        self.hosts[id.0].node = None;
    }

    /// Takes the wire between two hosts away, in both directions.
    pub fn cut(&mut self, a: HostId, b: HostId) {
        self.cut.push((a, b));
    }

    /// Puts all wires back.
    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// Changes how the network treats datagrams from now on.
    pub fn set_wire(&mut self, wire: Wire) {
        self.wire = wire;
    }

    /// Puts an adversary on all wires.
    pub fn tap(&mut self, tap: impl Tap + 'static) {
        self.taps.push(Box::new(tap));
    }

    /// What time it is.
    pub fn now(&self) -> Time {
        self.now
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
        std::mem::take(&mut self.hosts[id.0].events)
    }

    /// Payloads that came to a host since the last question.
    pub fn take_delivered(&mut self, id: HostId) -> Vec<(CircuitId, Vec<u8>)> {
        std::mem::take(&mut self.hosts[id.0].delivered)
    }

    /// Lets time pass.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while self.queue.first_key_value().is_some_and(|((at, _), _)| *at <= end) {
            self.happen();
        }
        self.now = end;
    }

    /// Lets time pass until `done`, but not longer than `at_most`. Whether it was done.
    pub fn run_until(&mut self, at_most: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + at_most;
        loop {
            if done(self) {
                return true;
            }
            if self.queue.first_key_value().is_none_or(|((at, _), _)| *at > end) {
                self.now = end;
                return false;
            }
            self.happen();
        }
    }

    fn happen(&mut self) {
        let Some(((at, _), happening)) = self.queue.pop_first() else { return };
        self.now = at;
        match happening {
            Happening::Arrives { from, to, mut bytes } => {
                self.step(to, Input::Datagram { from, bytes: &mut bytes })
            }
            Happening::Wakes(id) if self.hosts[id.0].wake == at => self.step(id, Input::Wake),
            Happening::Wakes(_) => {}
        }
    }

    fn step(&mut self, id: HostId, input: Input<'_>) {
        let host = &mut self.hosts[id.0];
        let Some(node) = host.node.as_mut() else { return };
        let wake = node.step(self.now, input, &mut host.outbox);
        let mut outbox = std::mem::replace(&mut host.outbox, Outbox::new(Geometry::DEFAULT));
        host.events.extend(outbox.events.drain(..).map(|event| (self.now, event)));
        host.delivered.extend(outbox.deliveries().map(|(circuit, payload)| (circuit, payload.to_vec())));
        for (to, datagrams) in outbox.lanes() {
            if let Some(to) = self.by_address.get(&to).copied() {
                for datagram in datagrams.chunks(Geometry::DEFAULT.datagram()) {
                    self.transmit(id, to, datagram.to_vec());
                }
            }
        }
        outbox.clear();
        self.hosts[id.0].outbox = outbox;
        self.schedule_wake(id, wake);
    }

    fn transmit(&mut self, from: HostId, to: HostId, bytes: Vec<u8>) {
        if self.cut.contains(&(from, to)) || self.cut.contains(&(to, from)) {
            return;
        }
        let seen = Seen { at: self.now, from, to, bytes };
        let mut copies = vec![seen.bytes.clone()];
        for tap in &mut self.taps {
            match tap.on_wire(&seen) {
                Verdict::Pass => {}
                Verdict::Drop => return,
                Verdict::Replace(other) => copies = vec![other],
                Verdict::Inject(more) => copies.extend(more),
            }
        }
        let from = self.hosts[from.0].address;
        for bytes in copies {
            for at in self.wire.arrivals(self.now, &mut self.rng) {
                self.schedule(at, Happening::Arrives { from, to, bytes: bytes.clone() });
            }
        }
    }

    /// A timer fires late, never early.
    fn schedule_wake(&mut self, id: HostId, wake: Time) {
        if wake == Time::NEVER {
            self.hosts[id.0].wake = wake;
            return;
        }
        let at = wake.max(self.now) + self.wire.lateness.mul_f64(self.rng.unit());
        self.hosts[id.0].wake = at;
        self.schedule(at, Happening::Wakes(id));
    }

    fn schedule(&mut self, at: Time, happening: Happening) {
        self.queue.insert((at, self.made), happening);
        self.made += 1;
    }
}
