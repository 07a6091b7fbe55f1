//! A neighbour outlives its keys, its address, and a second link to it: what runs on the link does not notice.
#![allow(clippy::unwrap_used)]

mod common;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use common::{Network, Plan, address};
use throng_core::cover::{Cover, DEFAULT_RATE};
use throng_core::crypto::Portable;
use throng_core::limits::CIRCUIT_AGE_MAX;
use throng_core::membership::Record;
use throng_core::route::Route;
use throng_core::{CircuitId, ClientConfig, Command, Design, Event, Membership, NodeConfig, Ports, Scrubbed};
use throng_sim::{HostId, OnWire, Verdict, Wire, World, mix_config};

/// Whether a circuit of this host ended since the last question.
fn has_ended(network: &mut Network, circuit: CircuitId) -> bool {
    let ended = |(_, event)| matches!(event, Event::CircuitEnded { circuit: c, .. } if c == circuit);
    network.world.take_events(network.client).into_iter().any(ended)
}

/// The host of a circuit's first mix.
fn first_hop(network: &mut Network, circuit: CircuitId) -> HostId {
    let now = network.world.now();
    let own = network.world.node(network.client).own_circuits(now);
    assert!(!own.is_empty(), "{circuit:?} is ready");
    let used = own.iter().find(|own| own.is_used).unwrap();
    network.host_of(used.path[0])
}

#[test]
fn keys_are_renewed_under_a_circuit_that_does_not_notice() {
    let wire =
        Wire { latency: Duration::from_millis(20), jitter: Duration::from_millis(15), ..Wire::default() };
    let mut network = Network::new(Plan { spare: 0, wire, ..Plan::default() });
    type Calls = BTreeSet<(HostId, HostId, [u8; 4])>;
    let sessions: Rc<RefCell<Calls>> = Rc::default();
    let seen = Rc::clone(&sessions);
    network.world.tap(move |datagram: &OnWire| {
        let session = *datagram.bytes.first_chunk::<4>().unwrap();
        if session != [0; 4] {
            seen.borrow_mut().insert((datagram.from, datagram.to, session));
        }
        Verdict::Pass
    });
    let circuit = network.attach(1, 7).expect("a circuit");
    let links = |network: &Network| -> Vec<usize> {
        network.mixes.iter().map(|mix| network.world.node(*mix).sizes().links).collect()
    };
    let before = links(&network);
    let until = network.world.now() + (CIRCUIT_AGE_MAX - Duration::from_secs(60));
    for round in 0u32.. {
        if network.world.now() > until {
            break;
        }
        assert!(network.echo(circuit, &round.to_le_bytes(), Duration::from_secs(5)), "round {round}");
        network.world.run_for(Duration::from_secs(5));
        assert!(!has_ended(&mut network, circuit));
    }
    // Twice the age of keys: each end of each of the three links has called the other by three names, or by two.
    let by_direction = |from, to| sessions.borrow().iter().filter(|(f, t, _)| (*f, *t) == (from, to)).count();
    let directions: BTreeSet<(HostId, HostId)> = sessions.borrow().iter().map(|(f, t, _)| (*f, *t)).collect();
    let on_the_way: Vec<usize> = directions.iter().map(|(from, to)| by_direction(*from, *to)).collect();
    assert!(
        on_the_way.len() >= 6 && on_the_way.iter().all(|count| (2..=4).contains(count)),
        "{on_the_way:?}"
    );
    assert_eq!(links(&network), before, "and no link was opened for it");
}

#[test]
fn keys_are_renewed_although_every_message_of_it_may_be_lost() {
    // What follows a look at both ends is dropped for a while, at another moment of the renewal each time.
    for lost in 0..6 {
        let mut network = Network::new(Plan { spare: 0, hops: 1, seed: lost, ..Plan::default() });
        let circuit = network.attach(1, 7).expect("a circuit");
        let known: Rc<RefCell<BTreeSet<[u8; 4]>>> = Rc::default();
        let passed = Rc::new(Cell::new(0));
        let (seen, count, client) = (Rc::clone(&known), Rc::clone(&passed), network.client);
        let drops = Rc::new(Cell::new(false));
        let now = Rc::clone(&drops);
        network.world.tap(move |datagram: &OnWire| {
            if datagram.from != client && datagram.to != client {
                return Verdict::Pass;
            }
            seen.borrow_mut().insert(*datagram.bytes.first_chunk::<4>().unwrap());
            count.set(count.get() + 1);
            // Every third datagram, another one in each world: some question, answer or first word gets lost.
            if now.get() && count.get() % 3 == u32::from(lost) % 3 { Verdict::Drop } else { Verdict::Pass }
        });
        network.world.run_for(Duration::from_secs(2600));
        drops.set(true);
        network.world.run_for(Duration::from_secs(1100)); // keys are renewed at 45 to 60 minutes
        drops.set(false);
        network.world.run_for(Duration::from_secs(300)); // and change within two minutes after that
        assert!(known.borrow().len() >= 4, "both ends have other names: {}", known.borrow().len());
        let again = network.attach(2, 8).expect("a circuit");
        assert!(network.echo(again, b"after", Duration::from_secs(5)), "{lost}: {circuit:?}");
    }
}

#[test]
fn a_client_that_is_at_another_address_keeps_its_circuits() {
    for scheme in ["none", "user-link=64kbps"] {
        let cover = Cover::parse(scheme, DEFAULT_RATE).unwrap();
        let mut network = Network::new(Plan { cover, ..Plan::default() });
        let circuit = network.attach(1, 7).expect("a circuit");
        network.world.run_for(Duration::from_secs(3)); // another circuit comes up, and takes slots
        for step in 0..3u8 {
            network.world.relocate(network.client, address(210 + step));
            // The answer to the first may go to the old address: the new one is not proved yet.
            network.echo(circuit, &[step; 9], Duration::from_millis(500));
            assert!(
                network.echo(circuit, &[step; 8], Duration::from_millis(1500)),
                "{scheme}: answered there"
            );
            assert!(!has_ended(&mut network, circuit));
        }
    }
}

#[test]
fn a_datagram_that_somebody_sends_again_from_elsewhere_moves_nobody() {
    let mut network = Network::new(Plan::default());
    let circuit = network.attach(1, 7).expect("a circuit");
    let first = first_hop(&mut network, circuit);
    let (stolen, steals) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(false)));
    let (taken, now, client) = (Rc::clone(&stolen), Rc::clone(&steals), network.client);
    network.world.tap(move |datagram: &OnWire| {
        if !now.get() || datagram.from != client {
            return Verdict::Pass;
        }
        taken.borrow_mut().push((datagram.to, datagram.bytes.clone()));
        Verdict::Drop
    });
    for round in 0..20u8 {
        steals.set(true);
        network.world.command(client, Command::Send { circuit, payload: &[round] });
        network.world.run_for(Duration::from_millis(50));
        steals.set(false);
        for (to, bytes) in stolen.borrow_mut().drain(..) {
            assert_eq!(to, first);
            network.world.inject(address(99), to, bytes);
        }
        network.world.take_delivered(client);
        assert!(network.echo(circuit, &[round; 7], Duration::from_millis(200)), "round {round}");
    }
}

#[test]
fn a_mix_is_reached_at_its_other_address_before_a_circuit_ends() {
    let mut network = Network::new(Plan { mixes: 0, ..Plan::default() });
    let mut records = Vec::new();
    for i in 1..=3u8 {
        let (mut config, record) =
            mix_config::<Portable>(i.into(), address(i), Ports::reduced(), &Arc::default());
        let mut description = record.description().clone();
        description.addresses = vec![Scrubbed(address(i)), Scrubbed(address(100 + i))];
        let record = Arc::new(Record::sign::<Portable>(description, config.keys.identity_secret()));
        records.push(Arc::clone(&record));
        config.membership = Membership::Given(records.clone());
        network.mixes.push(network.world.add(address(i), config));
    }
    network.records.clone_from(&records);
    for record in &records {
        for host in network.mixes.iter().chain([&network.client]) {
            network.world.command(*host, Command::Learn(Arc::clone(record)));
        }
    }
    let circuit = network.attach(1, 7).expect("a circuit");
    assert!(network.echo(circuit, b"hello", Duration::from_secs(1)));
    for i in 1..=3u8 {
        network.world.relocate(network.mixes[usize::from(i) - 1], address(100 + i));
        // The first is lost at the old address.
        network.world.command(network.client, Command::Send { circuit, payload: b"lost" });
        network.world.run_for(Duration::from_millis(900));
        assert!(network.echo(circuit, &[i; 5], Duration::from_secs(1)), "mix {i}");
        assert!(!has_ended(&mut network, circuit), "mix {i}");
    }
}

#[test]
fn two_members_that_open_links_to_each_other_at_once_have_one() {
    for seed in 0..40u8 {
        println!("seed {seed}");
        let loss = if seed % 4 == 3 { 0.1 } else { 0.0 };
        let jitter = Duration::from_millis(u64::from(seed % 3) * 20);
        let latency = Duration::from_millis(30);
        let design = Arc::new(Design { route: Route::free(1).unwrap(), ..Design::default() });
        let mut world: World<Portable> =
            World::new([seed; 32], Wire { latency, jitter, loss, ..Wire::default() });
        let made: Vec<_> = (1..=2u8)
            .map(|i| mix_config::<Portable>(i.into(), address(i), Ports::reduced(), &design))
            .collect();
        let records: Vec<_> = made.iter().map(|(_, record)| Arc::clone(record)).collect();
        let members: Vec<_> = made
            .into_iter()
            .zip(1..=2u8)
            .map(|((config, _), i)| {
                let client = Some(ClientConfig { spare: 2, ..ClientConfig::default() });
                let membership = Membership::Given(records.clone());
                world.add(address(i), NodeConfig { client, membership, ..config })
            })
            .collect();
        world.run_for(Duration::from_secs(20));
        for member in &members {
            let node = world.node(*member);
            assert_eq!(node.sizes().links, 1, "seed {seed}");
            assert!(node.own_circuits(world.now()).len() >= 2, "seed {seed}");
            assert_eq!(node.audit(), Vec::<String>::new());
        }
        // And what was built on either of the two links, before they were one, works.
        for (member, other) in [(0, 1), (1, 0)] {
            world.command(
                members[member],
                Command::Attach { stream: 1, isolation: [1; 32], port: Some(443), avoid: &[] },
            );
            let mut circuit = None;
            world.run_until(Duration::from_secs(5), |world| {
                for (_, event) in world.take_events(members[member]) {
                    if let Event::Attached { circuit: attached, .. } = event {
                        circuit = Some(attached);
                    }
                }
                circuit.is_some()
            });
            let circuit = circuit.expect("a circuit");
            let arrives = (0..10).any(|_| {
                world.command(members[member], Command::Send { circuit, payload: b"over there" });
                world.run_for(Duration::from_millis(200));
                world.take_delivered(members[other]).iter().any(|(_, payload)| payload == b"over there")
            });
            assert!(arrives, "seed {seed}");
        }
    }
}

#[test]
fn a_member_that_restarts_is_the_neighbour_that_it_was() {
    for seed in 0..8u8 {
        let mut network =
            Network::new(Plan { mixes: 2, exits: 2, hops: 2, spare: 4, seed, ..Plan::default() });
        network.world.run_for(Duration::from_secs(20));
        for round in 0..6 {
            let mix = round % 2;
            network.world.crash(network.mixes[mix]);
            network.world.start(network.mixes[mix], network.configs[mix].clone());
            network.world.run_for(Duration::from_secs(30));
        }
        let links = network.mixes.iter().map(|mix| network.world.node(*mix).sizes().links);
        // One to the other mix, and one to the client. (What the client had before a crash of its own end is gone.)
        assert!(links.clone().all(|links| links <= 2), "seed {seed}: {:?}", links.collect::<Vec<_>>());
        assert!(network.attach(1, 7).is_some());
    }
}
