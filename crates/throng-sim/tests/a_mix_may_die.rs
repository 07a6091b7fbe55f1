//! Mixes crash, restart, and are cut off: what ran over them ends visibly, and new streams go elsewhere soon.

mod common;

use std::time::Duration;

use common::{Network, Plan};
use throng_core::wire::control::Ended;
use throng_core::{CircuitId, Command, Event};
use throng_sim::Wire;

/// A network with a circuit in use and one in store, and the path of the one in use.
fn in_use(plan: Plan) -> (Network, CircuitId, Vec<throng_core::NodeId>) {
    let mut network = Network::new(plan);
    network.world.run_for(Duration::from_secs(2));
    let ready = network.ready();
    let circuit = network.attach(1, 7).expect("a circuit");
    let path = ready.into_iter().find(|(id, _)| *id == circuit).expect("it was ready").1;
    assert!(network.echo(circuit, b"alive", Duration::from_secs(1)));
    (network, circuit, path)
}

#[test]
fn a_circuit_ends_visibly_when_any_of_its_mixes_dies_and_another_serves() {
    for place in 0..3 {
        let (mut network, circuit, path) = in_use(Plan { mixes: 9, exits: 3, spare: 3, ..Plan::default() });
        let dead = network.host_of(path[place]);
        network.world.crash(dead);
        let died = network.world.now();
        network.world.command(network.client, Command::Send { circuit, payload: b"into the void" });

        let client = network.client;
        let ended = network.world.run_until(Duration::from_secs(5), |world| {
            let ended = |(_, event)| matches!(event, Event::CircuitEnded { circuit: c, why: Ended::Silent } if c == circuit);
            world.take_events(client).into_iter().any(ended)
        });
        assert!(ended, "the end is told; hop {place}");
        let next = network.attach(2, 7).expect("another circuit");
        assert_ne!(next, circuit);
        assert!(network.echo(next, b"again", Duration::from_secs(1)), "hop {place}");
        let without = network.world.now() - died;
        assert!(without < Duration::from_secs(4), "hop {place}: {without:?} until the end was told");
        println!("hop {place} dead: told after {without:?}");
    }
}

#[test]
fn over_lines_of_20_ms_that_lose_a_hundredth_new_streams_are_served_within_two_seconds_nearly_always() {
    let wire = Wire {
        latency: Duration::from_millis(17),
        jitter: Duration::from_millis(6),
        loss: 0.01,
        ..Wire::default()
    };
    let mut all = Vec::new();
    for (seed, place) in (1..=12).flat_map(|seed| (0..3).map(move |place| (seed, place))) {
        let plan = Plan { seed, mixes: 9, exits: 3, spare: 3, wire, ..Plan::default() };
        let mut network = Network::new(plan);
        network.world.run_for(Duration::from_secs(3));
        let ready = network.ready();
        let circuit = network.attach(1, 7).expect("a circuit");
        let path = ready.into_iter().find(|(id, _)| *id == circuit).expect("it was ready").1;
        let dead = network.host_of(path[place]);
        network.world.crash(dead);
        let died = network.world.now();
        network.world.command(network.client, Command::Send { circuit, payload: b"into the void" });
        // A new stream, with as many attempts as an impatient application makes.
        let served = (2..40).any(|stream| {
            let next = network.attach(stream, 7).expect("a circuit");
            network.echo(next, b"again", Duration::from_millis(200))
        });
        assert!(served, "seed {seed}, hop {place}");
        all.push(network.world.now() - died);
    }
    all.sort();
    // Where all circuits in store went through the dead mix, a new one must be built, past it and past what gets lost: of
    // 600 worlds of this kind, two took 2 s or more (2.31 s at most).
    let late = all.iter().filter(|took| **took >= Duration::from_secs(2)).count();
    let (median, most) = (all[all.len() / 2], all[all.len() - 1]);
    println!(
        "without service: {median:?} at the median, {most:?} at most, {late} of {} 2 s or more",
        all.len()
    );
    assert!(late <= 1 && most < Duration::from_millis(2500), "{all:?}");
}

#[test]
fn a_mix_that_restarts_with_its_keys_is_used_again() {
    let plan = Plan { mixes: 3, exits: 1, spare: 1, ..Plan::default() };
    let (mut network, circuit, path) = in_use(plan);
    for mix in path {
        let host = network.host_of(mix);
        network.world.crash(host);
        network.world.run_for(Duration::from_millis(500));
        let config = network.configs[host.0].clone();
        network.world.start(host, config);
    }
    // All three mixes are needed for any circuit, so one that works uses all three again.
    network.world.command(network.client, Command::Send { circuit, payload: b"into the void" });
    network.world.run_for(Duration::from_secs(3));
    let echoed = (2..12).any(|stream| {
        let circuit = network.attach(stream, 7).expect("a circuit");
        network.echo(circuit, b"again", Duration::from_secs(3))
    });
    assert!(echoed);
}

#[test]
fn a_link_that_is_cut_and_healed_carries_circuits_again() {
    let (mut network, circuit, path) = in_use(Plan { mixes: 3, exits: 1, ..Plan::default() });
    let (a, b) = (network.host_of(path[0]), network.host_of(path[1]));
    network.world.cut(a, b);
    network.world.command(network.client, Command::Send { circuit, payload: b"into the void" });
    network.world.run_for(Duration::from_secs(20));
    network.world.heal();
    let echoed = (2..12).any(|stream| {
        network
            .attach(stream, 7)
            .is_some_and(|circuit| network.echo(circuit, b"again", Duration::from_secs(3)))
    });
    assert!(echoed);
}

#[test]
fn a_mix_that_takes_leave_ends_its_circuits_at_once() {
    let (mut network, circuit, path) = in_use(Plan { mixes: 6, exits: 2, ..Plan::default() });
    let leaving = network.host_of(path[1]);
    let before = network.world.now();
    network.world.command(leaving, Command::Leave);
    let client = network.client;
    let ended = network.world.run_until(Duration::from_millis(100), |world| {
        let ended = |(_, event)| matches!(event, Event::CircuitEnded { circuit: c, why: Ended::Leaving } if c == circuit);
        world.take_events(client).into_iter().any(ended)
    });
    assert!(ended, "told after {:?}", network.world.now() - before);
}

#[test]
fn nothing_is_left_behind_when_a_client_is_gone() {
    let (mut network, _, _) = in_use(Plan { mixes: 5, exits: 2, spare: 4, ..Plan::default() });
    let relayed = |network: &Network| {
        network.mixes.iter().map(|mix| network.world.node(*mix).sizes().relayed).sum::<usize>()
    };
    assert!(relayed(&network) > 0);
    network.world.crash(network.client);
    network.world.run_for(Duration::from_secs(600));
    assert_eq!(relayed(&network), 0, "circuits of a dead client are forgotten");
    let links: usize = network.mixes.iter().map(|mix| network.world.node(*mix).sizes().links).sum();
    assert_eq!(links, 0, "and so are idle links");
}
