//! Circuits that are built: over hops that their neighbours know, do not know, or choose, in cells of any length.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::config::{ClientConfig, Membership, NodeConfig, NodeKeys};
use crate::crypto::Portable;
use crate::design::Design;
use crate::id::{CircuitId, End, NodeId};
use crate::limits::DATAGRAM_BYTES_MIN;
use crate::membership::{Description, Record};
use crate::node::context::Cx;
use crate::node::origins::{Build, Hop};
use crate::node::rooms::Rooms;
use crate::node::{Command, Input, Node};
use crate::output::{Event, Outbox};
use crate::ports::Ports;
use crate::rng::{Purpose, Rng, Seed};
use crate::scrubbed::Scrubbed;
use crate::time::Time;
use crate::wire::Geometry;
use crate::wire::control::Ended;

const MIXES: u8 = 5;
const NO_LOSS: (f64, u8) = (0.0, 0);

/// A client and some mixes, and nothing between them.
struct Net {
    nodes: BTreeMap<SocketAddr, Node<Portable>>,
    records: Vec<Arc<Record>>,
    /// When it arrives, from where, where.
    under_way: VecDeque<(Time, SocketAddr, SocketAddr, Vec<u8>)>,
    latency: Duration,
    geometry: Geometry,
    now: Time,
    /// This share of all datagrams is lost.
    loss: f64,
    chance: Rng,
    events: Vec<Event>,
    delivered: Vec<(SocketAddr, CircuitId, Vec<u8>)>,
}

fn address(number: u8) -> SocketAddr {
    ([10, 0, 0, number], 9000).into()
}

fn client() -> SocketAddr {
    address(100)
}

fn keys(number: u8) -> NodeKeys {
    NodeKeys::new([number; 32])
}

impl Net {
    /// `knows`: whether one mix knows another one.
    fn new(geometry: Geometry, (loss, seed): (f64, u8), knows: impl Fn(u8, u8) -> bool) -> Self {
        let design = Arc::new(Design { geometry, ..Design::default() });
        let records: Vec<_> = (1..=MIXES)
            .map(|number| {
                let description = Description {
                    identity: keys(number).id::<Portable>(),
                    family: None,
                    capacity: 1000,
                    addresses: vec![Scrubbed(address(number))],
                    exit_ports: Ports::reduced(),
                    from: Time::ZERO,
                    until: Time::from_secs(1000),
                };
                Arc::new(Record::sign::<Portable>(description, keys(number).identity_secret()))
            })
            .collect();
        let config = |number: u8, client: Option<ClientConfig>, known: Vec<Arc<Record>>| NodeConfig {
            keys: keys(number),
            design: Arc::clone(&design),
            relays: client.is_none(),
            is_exit: client.is_none(),
            client,
            membership: Membership::Given(known),
            defences: None,
        };
        let now = Time::from_secs(1);
        let start =
            |number: u8, config| (address(number), Node::new(config, &Seed::from_bytes([number; 32]), now));
        let mut nodes = BTreeMap::new();
        for number in 1..=MIXES {
            let known = records.iter().zip(1..).filter(|(_, other)| knows(number, *other));
            let known = known.map(|(record, _)| Arc::clone(record)).collect();
            nodes.extend([start(number, config(number, None, known))]);
        }
        let spare = ClientConfig { spare: 0, ..ClientConfig::default() };
        nodes.extend([start(100, config(100, Some(spare), records.clone()))]);
        let (under_way, events, delivered) = (VecDeque::new(), Vec::new(), Vec::new());
        let chance = Seed::from_bytes([seed; 32]).rng(Purpose::World, 0);
        Self {
            nodes,
            records,
            under_way,
            latency: Duration::ZERO,
            geometry,
            now,
            loss,
            chance,
            events,
            delivered,
        }
    }

    /// Begins a circuit and runs until it is there or not. Its path.
    fn build(&mut self, hops: Vec<Hop>) -> Result<(CircuitId, Vec<NodeId>), Ended> {
        let Hop::Known(first) = hops[0].clone() else { panic!("the client knows its first hop") };
        let mut out = Outbox::new(self.geometry);
        let Node { rooms, common } = self.nodes.get_mut(&client()).unwrap();
        let cx = &mut common.at(self.now, &mut out);
        rooms.build(Build::Telescope { rest: hops.into(), may_describe: true }, &first, cx).unwrap();
        rooms.settle(cx);
        self.take(client(), &out);
        for _ in 0..20_000 {
            self.run(Duration::from_millis(1));
            for event in core::mem::take(&mut self.events) {
                match event {
                    Event::CircuitReady { circuit, path, .. } => return Ok((circuit, path)),
                    Event::CircuitNotBuilt { why, .. } => return Err(why),
                    _ => {}
                }
            }
        }
        panic!("neither built nor given up");
    }

    fn run(&mut self, span: Duration) {
        self.now = self.now + span;
        let addresses: Vec<_> = self.nodes.keys().copied().collect();
        addresses.into_iter().for_each(|at| self.step(at, Input::Wake));
        while let Some((_, from, to, mut bytes)) = self.under_way.pop_front_if(|(at, ..)| *at <= self.now) {
            if self.nodes.contains_key(&to) {
                self.step(to, Input::Datagram { from, bytes: &mut bytes });
            }
        }
    }

    fn step(&mut self, at: SocketAddr, input: Input<'_>) {
        let mut out = Outbox::new(self.geometry);
        self.nodes.get_mut(&at).unwrap().step(self.now, input, &mut out);
        self.take(at, &out);
    }

    fn take(&mut self, from: SocketAddr, out: &Outbox) {
        for lane in out.lanes() {
            for datagram in lane.datagrams.chunks(self.geometry.datagram()) {
                if self.chance.unit() >= self.loss {
                    self.under_way.push_back((self.now + self.latency, from, lane.to, datagram.to_vec()));
                }
            }
        }
        if from == client() {
            self.events.extend(out.events.iter().cloned());
        }
        self.delivered.extend(out.deliveries().map(|(circuit, packet)| (from, circuit, packet.to_vec())));
    }

    /// Sends a packet to the exit and its echo back.
    fn echoes(&mut self, circuit: CircuitId) -> bool {
        let packet: Box<[u8]> = (0..self.geometry.packet()).map(|at| at as u8).collect();
        self.step(client(), Input::Command(Command::Send { circuit, payload: &packet }));
        self.run(Duration::from_millis(1));
        let Some((exit, back, there)) = self.delivered.pop() else { return false };
        self.step(exit, Input::Command(Command::Send { circuit: back, payload: &there }));
        self.run(Duration::from_millis(1));
        let here = self.delivered.pop();
        there == *packet && here.is_some_and(|(at, _, here)| at == client() && here == *packet)
    }

    fn known(&self, mix: usize) -> Hop {
        Hop::Known(Arc::clone(&self.records[mix - 1]))
    }
}

fn geometries() -> impl Iterator<Item = Geometry> {
    [DATAGRAM_BYTES_MIN, 400, 512, 1279, 1280, 1300, 4000].into_iter().filter_map(Geometry::new)
}

#[test]
fn circuits_come_up_and_carry_packets_in_cells_of_any_length() {
    for geometry in geometries() {
        let mut net = Net::new(geometry, NO_LOSS, |_, _| true);
        let hops = vec![net.known(1), net.known(2), net.known(3)];
        let (circuit, path) = net.build(hops).unwrap();
        assert_eq!(path, [1, 2, 3].map(|number| keys(number).id::<Portable>()));
        assert!(net.echoes(circuit) && net.echoes(circuit), "{geometry:?}");
    }
}

#[test]
fn a_set_up_in_many_parts_survives_that_some_are_lost() {
    let mut built = 0;
    for seed in 0..40 {
        let mut net = Net::new(Geometry::new(400).unwrap(), (0.05, seed), |_, _| true);
        let hops = vec![net.known(1), net.known(2), net.known(3)];
        built += usize::from(net.build(hops).is_ok());
    }
    assert!(built >= 38, "{built} of 40 are built although one datagram in twenty is lost");
}

#[test]
fn a_hop_links_to_one_of_which_it_never_heard() {
    for geometry in geometries() {
        let mut net = Net::new(geometry, NO_LOSS, |_, _| false);
        // The client learns by the refusal that the second one does not know the third.
        let hops = vec![net.known(1), Hop::Stranger(Arc::clone(&net.records[1])), net.known(3)];
        let (circuit, path) = net.build(hops).unwrap();
        assert_eq!(path, [1, 2, 3].map(|number| keys(number).id::<Portable>()));
        assert!(net.echoes(circuit), "{geometry:?}");
        for number in 1..=MIXES {
            assert!(net.nodes[&address(number)].view().is_empty(), "for this circuit only");
        }
    }
}

/// A request is repeated after 250 ms: on a long way it is refused twice before the other one, with the record, is answered.
#[test]
fn a_refusal_that_comes_again_does_not_end_a_circuit_that_is_built_otherwise_by_now() {
    for latency in [10, 63, 70, 100, 130, 200].map(Duration::from_millis) {
        for geometry in geometries() {
            let mut net = Net::new(geometry, NO_LOSS, |from, _| from == 1);
            net.latency = latency;
            let hops = vec![net.known(1), net.known(2), net.known(3)];
            let built = net.build(hops);
            assert!(built.is_ok(), "{latency:?} {geometry:?}: {built:?}");
        }
    }
}

#[test]
fn a_hop_may_choose_the_next_one_and_the_path_grows() {
    for geometry in geometries() {
        let mut net = Net::new(geometry, NO_LOSS, |from, to| to == from + 1);
        let (circuit, path) = net.build(vec![net.known(1), Hop::Any, Hop::Any, Hop::Any]).unwrap();
        assert_eq!(path, [1, 2, 3, 4].map(|number| keys(number).id::<Portable>()), "each knew one other");
        assert!(net.echoes(circuit), "{geometry:?}");
    }
}

#[test]
fn a_hop_that_chooses_one_that_is_there_already_ends_the_circuit() {
    let mut net =
        Net::new(Geometry::DEFAULT, NO_LOSS, |from, to| (from, to) == (1, 2) || (from, to) == (2, 3));
    let (_, path) = net.build(vec![net.known(1), Hop::Any, Hop::Any]).unwrap();
    assert_eq!(path.len(), 3);
    let mut net =
        Net::new(Geometry::DEFAULT, NO_LOSS, |from, to| (from, to) == (1, 2) || (from, to) == (3, 1));
    assert_eq!(net.build(vec![net.known(1), Hop::Any, net.known(3), Hop::Any]), Err(Ended::Broken));
    // One that is planned as a later hop is no choice either.
    let mut net = Net::new(Geometry::DEFAULT, NO_LOSS, |from, to| (from, to) == (1, 3));
    assert_eq!(net.build(vec![net.known(1), Hop::Any, net.known(4), net.known(3)]), Err(Ended::Broken));
    // Nobody is left to be chosen but the one before.
    let mut net =
        Net::new(Geometry::DEFAULT, NO_LOSS, |from, to| (from, to) == (1, 2) || (from, to) == (2, 1));
    assert_eq!(net.build(vec![net.known(1), Hop::Any, Hop::Any]), Err(Ended::UnknownHop));
}

#[test]
fn a_circuit_does_not_go_back_to_where_it_came_from_or_stay_where_it_is() {
    for hops in [[1, 2, 1], [1, 1, 2], [1, 2, 2]] {
        let mut net = Net::new(Geometry::DEFAULT, NO_LOSS, |_, _| true);
        let hops = hops.map(|mix| net.known(mix)).into();
        assert_eq!(net.build(hops), Err(Ended::UnknownHop));
    }
}

impl Net {
    /// Whatever is under way arrives now.
    fn deliver_all(&mut self) {
        while let Some((_, from, to, mut bytes)) = self.under_way.pop_front() {
            if self.nodes.contains_key(&to) {
                self.step(to, Input::Datagram { from, bytes: &mut bytes });
            }
        }
    }

    /// The client begins a circuit, and ends all but the first `kept` when `is_time` says so.
    fn begin_and_end(
        &mut self,
        hops: Vec<Hop>,
        kept: usize,
        is_time: impl Fn(&Self) -> bool,
        awake: &[SocketAddr],
    ) {
        let Hop::Known(first) = hops[0].clone() else { panic!("a first hop is known") };
        self.with_client(|rooms, cx| {
            let build = Build::Telescope { rest: hops.into(), may_describe: true };
            rooms.build(build, &first, cx).unwrap();
        });
        while !is_time(self) {
            self.now = self.now + Duration::from_millis(1);
            awake.iter().for_each(|at| self.step(*at, Input::Wake));
            self.deliver_all();
        }
        self.with_client(|rooms, cx| {
            let ends: Vec<End> = rooms.origins.places().map(|(end, _)| end).skip(kept).collect();
            ends.into_iter().for_each(|end| rooms.end(end, Ended::Finished, cx));
        });
        self.deliver_all();
    }

    fn with_client(&mut self, act: impl FnOnce(&mut Rooms<Portable>, &mut Cx<'_>)) {
        let mut out = Outbox::new(self.geometry);
        let Node { rooms, common } = self.nodes.get_mut(&client()).unwrap();
        let cx = &mut common.at(self.now, &mut out);
        act(rooms, cx);
        rooms.settle(cx);
        self.take(client(), &out);
    }
}

#[test]
fn a_circuit_that_ends_before_a_mix_had_time_for_it_never_comes_to_be() {
    let mut net = Net::new(Geometry::DEFAULT, NO_LOSS, |_, _| true);
    let hops = vec![net.known(1), net.known(2)];
    net.build(hops.clone()).unwrap();
    let last = address(2);
    for _ in 0..20 {
        let is_asked = |net: &Net| net.nodes[&last].owes();
        net.begin_and_end(hops.clone(), 1, is_asked, &[address(1), client()]);
        assert!(!net.nodes[&last].owes(), "nothing is owed to whoever wants it no more");
        net.run(Duration::from_millis(1));
    }
    assert_eq!(net.nodes[&last].sizes().relayed, 1);
}
