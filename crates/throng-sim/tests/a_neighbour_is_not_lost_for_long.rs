//! What a hostile reviewer of the neighbours proved: each a story that failed before it was mended.
#![allow(clippy::unwrap_used)]

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use common::{Network, Plan, address};
use throng_core::cover::{Cover, DEFAULT_RATE};
use throng_core::crypto::Portable;
use throng_core::route::Route;
use throng_core::{
    CircuitId, ClientConfig, Command, Design, Event, Membership, NodeConfig, NodeKeys, Ports, Time,
};
use throng_sim::{HostId, OnWire, Verdict, Wire, World, mix_config};

/// When the client first calls the mix by a second name: just after keys were renewed.
fn renewed_at(mut network: Network) -> Time {
    let (client, mix) = (network.client, network.mixes[0]);
    network.attach(1, 7).expect("a circuit");
    let (first, second) = (Rc::new(Cell::new(None)), Rc::new(Cell::new(None)));
    let found = Rc::clone(&second);
    network.world.tap(move |datagram: &OnWire| {
        if (datagram.from, datagram.to) == (client, mix) {
            let name = *datagram.bytes.first_chunk::<4>().unwrap();
            let known = first.get().unwrap_or(name);
            first.set(Some(known));
            if known != name && second.get().is_none() {
                second.set(Some(datagram.at));
            }
        }
        Verdict::Pass
    });
    network.world.run_for(Duration::from_secs(3700));
    found.get().expect("keys are renewed within the hour")
}

/// Whoever was to renew keys waited for the answer of one that was dead, up to three hours.
#[test]
fn a_mix_that_dies_just_before_keys_are_renewed_is_found_dead() {
    let plan = || Plan { mixes: 1, exits: 1, hops: 1, spare: 1, ..Plan::default() };
    let at = renewed_at(Network::new(plan()));
    for before in [1000, 300, 20].map(Duration::from_millis) {
        let mut network = Network::new(plan());
        network.attach(1, 7).expect("a circuit");
        let crash = at - Time::ZERO - before - Duration::from_millis(40);
        network.world.run_for(crash - (network.world.now() - Time::ZERO));
        network.world.crash(network.mixes[0]);
        network.world.run_for(Duration::from_secs(5));
        network.world.start(network.mixes[0], network.configs[0].clone());
        // A client cannot know whether its line or its only first hop was silent, and calls that anew after ten seconds.
        let circuit = network.attach(2, 8).expect("another circuit");
        assert!(network.echo(circuit, b"back", Duration::from_secs(5)), "{before:?} before");
    }
}

/// Two mixes and a client of the first one that goes on to the other. An introduction was given up after six attempts.
#[test]
fn an_introduction_that_got_lost_for_a_second_is_made_up_for() {
    let wire = Wire { latency: Duration::from_millis(30), ..Wire::default() };
    let mut world: World<Portable> = World::new([3; 32], wire);
    let hops = |hops| Arc::new(Design { route: Route::free(hops).unwrap(), ..Design::default() });
    let made: Vec<_> =
        (1..=2u8).map(|i| mix_config::<Portable>(i.into(), address(i), Ports::reduced(), &hops(1))).collect();
    let records: Vec<_> = made.iter().map(|(_, record)| Arc::clone(record)).collect();
    let smaller = usize::from(records[1].description().identity < records[0].description().identity);
    let hosts: Vec<HostId> = (1..=2u8).map(|i| world.add_down(address(i))).collect();
    let (y, x) = (hosts[smaller], hosts[1 - smaller]);
    let began = Cell::new(None);
    world.tap(move |datagram: &OnWire| {
        if datagram.from != y || datagram.bytes[..4] == [0; 4] {
            return Verdict::Pass;
        }
        let first: Time = began.get().unwrap_or(datagram.at);
        began.set(Some(first));
        if datagram.at - first < Duration::from_millis(1100) { Verdict::Drop } else { Verdict::Pass }
    });
    let membership = Membership::Given(records);
    let client = |spare| Some(ClientConfig { spare, ..ClientConfig::default() });
    for (host, client) in [(1 - smaller, None), (smaller, client(2))] {
        let membership = membership.clone();
        world.start(hosts[host], NodeConfig { client, membership, ..made[host].0.clone() });
    }
    world.run_for(Duration::from_secs(10));
    let design = hops(2);
    let keys = NodeKeys::new([200; 32]);
    let user = NodeConfig {
        keys,
        design,
        relays: false,
        is_exit: false,
        client: client(2),
        membership,
        defences: None,
    };
    let user = world.add(address(200), user);
    world.cut(user, y);
    world.run_for(Duration::from_secs(60));
    assert!(world.node(user).own_circuits(world.now()).len() >= 2, "{x:?} and {y:?} work together");
}

/// Whoever could hold datagrams up for a second, and sent them again from elsewhere, stayed in between for ever.
#[test]
fn a_thief_who_was_on_the_way_for_a_second_is_not_there_afterwards() {
    let mut network = Network::new(Plan::default());
    let thief = network.world.add_down(address(99));
    let circuit = network.attach(1, 7).expect("a circuit");
    let (client, now) = (network.client, network.world.now());
    let own = network.world.node(client).own_circuits(now);
    let first = network.host_of(own.iter().find(|own| own.is_used).unwrap().path[0]);
    let is_there = Rc::new(Cell::new(true));
    type Stolen = Vec<(HostId, Vec<u8>)>;
    let stolen: Rc<RefCell<Stolen>> = Rc::default();
    let by_thief = Rc::new(Cell::new(0));
    let (there, taken, count) = (Rc::clone(&is_there), Rc::clone(&stolen), Rc::clone(&by_thief));
    network.world.tap(move |datagram: &OnWire| {
        let is_link = [(client, first), (first, client)].contains(&(datagram.from, datagram.to));
        let other = if datagram.from == client { first } else { client };
        if datagram.to == thief {
            count.set(count.get() + 1);
        } else if !(is_link && there.get()) {
            return Verdict::Pass;
        }
        taken.borrow_mut().push((other, datagram.bytes.clone()));
        Verdict::Drop
    });
    let mut live = |seconds: u64| {
        for _ in 0..seconds * 10 {
            network.world.command(client, Command::Send { circuit, payload: b"still here" });
            for _ in 0..100 {
                network.world.run_for(Duration::from_millis(1));
                for mix in network.mixes.clone() {
                    for (at_exit, payload) in network.world.take_delivered(mix) {
                        network.world.command(mix, Command::Send { circuit: at_exit, payload: &payload });
                    }
                }
                let again: Vec<_> = stolen.borrow_mut().drain(..).collect();
                again.into_iter().for_each(|(to, bytes)| network.world.inject(address(99), to, bytes));
            }
        }
        network.world.take_delivered(client).len()
    };
    live(1);
    is_there.set(false);
    live(1);
    by_thief.set(0);
    assert!(live(20) > 190, "it works");
    assert_eq!(by_thief.get(), 0, "and nothing goes to the thief");
}

/// Set-ups of circuits went before everything else on a covered link, and those who only build them silenced the rest.
#[test]
fn clients_that_only_build_circuits_leave_others_their_slots() {
    let cover = Cover::parse("links=256kbps", DEFAULT_RATE).unwrap();
    let mut network = Network::new(Plan { mixes: 2, exits: 2, hops: 2, cover, ..Plan::default() });
    let (client, second) = (network.client, network.mixes[1]);
    network.world.cut(client, second);
    let circuit = network.attach(1, 7).expect("a circuit");
    for i in 0..5u8 {
        let mut config = network.configs[2].clone();
        config.keys = NodeKeys::new([100 + i; 32]);
        config.client = Some(ClientConfig { spare: 1000, ..ClientConfig::default() });
        let host = network.world.add(address(100 + i), config);
        network.world.cut(host, second);
    }
    network.world.run_for(Duration::from_secs(2));
    let answered =
        (0..60u8).filter(|round| network.echo(circuit, &[*round; 9], Duration::from_secs(1))).count();
    assert!(answered >= 55, "{answered} of 60");
}

/// The first circuit that a stream gets.
fn attached(world: &mut World<Portable>, at: HostId) -> CircuitId {
    world.command(at, Command::Attach { stream: 1, isolation: [1; 32], port: Some(443), avoid: &[] });
    world.run_for(Duration::from_secs(30));
    let attached = |(_, event)| match event {
        Event::Attached { circuit, .. } => Some(circuit),
        _ => None,
    };
    world.take_events(at).into_iter().find_map(attached).expect("a circuit")
}

/// Of two mimics one sets the rate. After a merge both did, and the wire showed which way the load went.
#[test]
fn mimics_that_opened_links_at_once_have_one_rate_both_ways() {
    let cover = Cover::parse("mimics=1mbps", DEFAULT_RATE).unwrap();
    let design = Arc::new(Design { route: Route::free(1).unwrap(), cover, ..Design::default() });
    let mut world: World<Portable> =
        World::new([3; 32], Wire { latency: Duration::from_millis(30), ..Wire::default() });
    let made: Vec<_> =
        (1..=2u8).map(|i| mix_config::<Portable>(i.into(), address(i), Ports::reduced(), &design)).collect();
    let membership = Membership::Given(made.iter().map(|(_, record)| Arc::clone(record)).collect());
    let hosts: Vec<_> = made
        .into_iter()
        .zip(1..=2u8)
        .map(|((config, _), i)| {
            let client = Some(ClientConfig { spare: 1, ..ClientConfig::default() });
            world.add(address(i), NodeConfig { client, membership: membership.clone(), ..config })
        })
        .collect();
    let counts = Rc::new(Cell::new([0i64; 2]));
    let (count, one) = (Rc::clone(&counts), hosts[0]);
    world.tap(move |datagram: &OnWire| {
        let mut sent = count.get();
        sent[usize::from(datagram.from == one)] += 1;
        count.set(sent);
        Verdict::Pass
    });
    for loaded in [0, 1] {
        let circuit = attached(&mut world, hosts[loaded]);
        for minute in 0..3 {
            counts.set([0; 2]);
            for _ in 0..1764 {
                world.command(hosts[loaded], Command::Send { circuit, payload: b"much" });
                world.run_for(Duration::from_millis(34));
            }
            let [there, back] = counts.get();
            assert!((there - back).abs() <= 2, "{loaded}, minute {minute}: {there} there, {back} back");
        }
        let ended = world.take_events(hosts[loaded]);
        assert!(
            !ended
                .iter()
                .any(|(_, event)| matches!(event, Event::CircuitEnded { circuit: c, .. } if *c == circuit))
        );
    }
}
