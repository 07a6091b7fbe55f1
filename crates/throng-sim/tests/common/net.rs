//! Nodes with their datagrams and nothing between: for many nodes, and for hostile ones.
// Test support: every story uses a part of it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use throng_core::crypto::Suite as _;
use throng_core::membership::{Description, Record};
use throng_core::rng::Seed;
use throng_core::route::{PathRules, Route};
use throng_core::wire::Geometry;
use throng_core::{
    CircuitId, ClientConfig, Command, Design, Event, Input, Membership, Node, NodeConfig, NodeId, NodeKeys,
    Outbox, Ports, Scrubbed, Time,
};
use throng_sim::Toy;

/// Nodes on a network that loses and delays nothing.
pub struct Net {
    seed: u8,
    pub now: Time,
    pub nodes: Vec<(SocketAddr, Node<Toy>)>,
    by_address: BTreeMap<SocketAddr, usize>,
    wakes: BinaryHeap<Reverse<(Time, usize)>>,
    out: Outbox,
    /// Circuits of each node's own that are ready.
    pub ready: Vec<usize>,
    open: Vec<BTreeSet<CircuitId>>,
    /// Paths of the circuits of each node's own that were ready.
    pub paths: Vec<Vec<Vec<NodeId>>>,
    /// First hops that nodes do not trust any more, and when.
    pub mistrusted: Vec<(usize, NodeId, Time)>,
    /// How the network works, but for the length of paths.
    pub design: Design,
    /// Nodes between which nothing passes.
    pub apart: BTreeSet<(usize, usize)>,
    /// A node that comes so late to what it could do at once.
    pub late: Option<(usize, Duration)>,
}

impl Net {
    /// Everything random follows from `seed`.
    pub fn new(seed: u8) -> Self {
        Self {
            seed,
            now: Time::from_secs(1000),
            nodes: Vec::new(),
            by_address: BTreeMap::new(),
            wakes: BinaryHeap::new(),
            out: Outbox::new(Geometry::DEFAULT),
            ready: Vec::new(),
            open: Vec::new(),
            paths: Vec::new(),
            mistrusted: Vec::new(),
            design: Design::default(),
            apart: BTreeSet::new(),
            late: None,
        }
    }

    /// A mix and its record.
    pub fn mix(&mut self, address: &str, mut known: Vec<Arc<Record>>) -> (usize, Arc<Record>) {
        let address = address.parse().unwrap();
        let config = self.config(Vec::new(), None);
        let description = Description {
            identity: config.keys.id::<Toy>(),
            family: None,
            capacity: 1000,
            addresses: vec![Scrubbed(address)],
            exit_ports: Ports::reduced(),
            from: Time::ZERO,
            until: Time::from_secs(1_000_000),
        };
        let record = Arc::new(Record::sign::<Toy>(description, config.keys.identity_secret()));
        known.push(Arc::clone(&record));
        let config = NodeConfig { membership: Membership::Given(known), ..config };
        (self.insert(address, config), record)
    }

    /// A client with so many circuits through all of `through`, in some order.
    pub fn client(&mut self, address: SocketAddr, circuits: usize, through: &[Arc<Record>]) -> usize {
        let mut config = self.config(through.to_vec(), Some(circuits));
        config.design =
            Arc::new(Design { route: Route::free(through.len()).unwrap(), ..self.design.clone() });
        self.insert(address, config)
    }

    /// A client gives up all circuits that it has, and needs others.
    pub fn close_all(&mut self, number: usize) {
        for circuit in std::mem::take(&mut self.open[number]) {
            self.command(number, Command::Close { circuit });
        }
    }

    /// A node hears of a mix.
    pub fn learn(&mut self, number: usize, record: &Arc<Record>) {
        self.command(number, Command::Learn(Arc::clone(record)));
    }

    fn command(&mut self, number: usize, command: Command<'_>) {
        let mut under_way = VecDeque::new();
        self.give(number, Input::Command(command), &mut under_way);
        self.carry(under_way);
    }

    /// A client with so many circuits of three hops, of mixes that it knows.
    pub fn client_of_three_hops(
        &mut self,
        address: SocketAddr,
        circuits: usize,
        known: &[Arc<Record>],
    ) -> usize {
        let config = self.config(known.to_vec(), Some(circuits));
        self.insert(address, config)
    }

    fn config(&self, known: Vec<Arc<Record>>, circuits: Option<usize>) -> NodeConfig {
        let rules = PathRules::SamePrefixAllowed;
        let secret = Toy::hash(&[b"secret", &[self.seed], &self.nodes.len().to_le_bytes()]);
        NodeConfig {
            keys: NodeKeys::new(secret),
            design: Arc::new(self.design.clone()),
            relays: circuits.is_none(),
            is_exit: circuits.is_none(),
            client: circuits.map(|spare| ClientConfig { spare, rules, ..ClientConfig::default() }),
            membership: Membership::Given(known),
            defences: None,
        }
    }

    fn insert(&mut self, address: SocketAddr, config: NodeConfig) -> usize {
        let number = self.nodes.len();
        let seed = Seed::from_bytes(Toy::hash(&[b"seed", &[self.seed], &number.to_le_bytes()]));
        self.nodes.push((address, Node::new(config, &seed, self.now)));
        self.by_address.insert(address, number);
        self.wakes.push(Reverse((self.now, number)));
        self.ready.push(0);
        self.open.push(BTreeSet::new());
        self.paths.push(Vec::new());
        number
    }

    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(&Reverse((at, number))) = self.wakes.peek()
            && at <= end
        {
            self.wakes.pop();
            if self.nodes[number].1.next_wake() > at && at > Time::from_secs(1000) {
                continue; // it was woken since
            }
            self.now = self.now.max(at);
            let mut under_way = VecDeque::new();
            self.step(number, None, &mut under_way);
            self.carry(under_way);
        }
        self.now = end;
    }

    fn carry(&mut self, mut under_way: VecDeque<(SocketAddr, SocketAddr, Vec<u8>)>) {
        while let Some((from, to, datagram)) = under_way.pop_front() {
            let from_node = self.by_address[&from];
            if let Some(&to) = self.by_address.get(&to)
                && !self.apart.contains(&(from_node.min(to), from_node.max(to)))
            {
                self.step(to, Some((from, datagram)), &mut under_way);
            }
        }
    }

    pub fn step(
        &mut self,
        number: usize,
        datagram: Option<(SocketAddr, Vec<u8>)>,
        under_way: &mut VecDeque<(SocketAddr, SocketAddr, Vec<u8>)>,
    ) {
        match datagram {
            None => self.give(number, Input::Wake, under_way),
            Some((from, mut bytes)) => {
                self.give(number, Input::Datagram { from, bytes: &mut bytes }, under_way)
            }
        }
    }

    fn give(
        &mut self,
        number: usize,
        input: Input<'_>,
        under_way: &mut VecDeque<(SocketAddr, SocketAddr, Vec<u8>)>,
    ) {
        let (own, node) = &mut self.nodes[number];
        self.out.clear();
        let wake = node.step(self.now, input, &mut self.out);
        for lane in self.out.lanes() {
            let datagrams = lane.datagrams.chunks(Geometry::DEFAULT.datagram());
            under_way.extend(datagrams.map(|datagram| (*own, lane.to, datagram.to_vec())));
        }
        for event in &self.out.events {
            match event {
                Event::CircuitReady { circuit, path, .. } => {
                    self.ready[number] += 1;
                    self.open[number].insert(*circuit);
                    self.paths[number].push(path.clone());
                }
                Event::FirstHopMistrusted(mix) => self.mistrusted.push((number, *mix, self.now)),
                Event::CircuitEnded { circuit, .. } => {
                    self.ready[number] -= 1;
                    self.open[number].remove(circuit);
                }
                _ => {}
            }
        }
        let wake = match self.late {
            Some((late, by)) if late == number && wake <= self.now => self.now + by,
            _ => wake,
        };
        self.wakes.push(Reverse((wake, number)));
    }
}
