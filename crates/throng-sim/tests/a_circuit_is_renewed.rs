//! Circuits get old: new streams go over fresh ones, and streams of different isolation never meet.

mod common;

use std::time::Duration;

use common::{Network, Plan};
use throng_core::limits::{CIRCUIT_AGE_MAX, CIRCUIT_USE_MAX};
use throng_core::{Command, Event};

#[test]
fn after_ten_minutes_of_use_a_new_stream_gets_a_new_circuit() {
    let mut network = Network::new(Plan::default());
    let first = network.attach(1, 7).expect("a circuit");
    network.world.run_for(CIRCUIT_USE_MAX - Duration::from_secs(30));
    assert_eq!(network.attach(2, 7), Some(first), "before that the same one");
    network.world.run_for(Duration::from_secs(60));
    let second = network.attach(3, 7).expect("a circuit");
    assert_ne!(second, first);
    assert!(network.echo(first, b"old", Duration::from_secs(1)), "old streams keep their circuit");
    assert!(network.echo(second, b"new", Duration::from_secs(1)));
}

#[test]
fn an_old_circuit_ends_with_its_last_stream() {
    let mut network = Network::new(Plan::default());
    let circuit = network.attach(1, 7).expect("a circuit");
    network.world.run_for(CIRCUIT_USE_MAX + Duration::from_secs(60));
    network.world.take_events(network.client);
    network.world.command(network.client, Command::Detach { circuit });
    let ended = network.world.take_events(network.client);
    assert!(
        ended
            .iter()
            .any(|(_, event)| matches!(event, Event::CircuitEnded { circuit: c, .. } if *c == circuit))
    );
}

#[test]
fn a_circuit_ends_at_its_age_even_in_use() {
    let mut network = Network::new(Plan::default());
    let circuit = network.attach(1, 7).expect("a circuit");
    network.world.run_for(CIRCUIT_AGE_MAX + Duration::from_secs(60));
    let ended = network.world.take_events(network.client);
    assert!(
        ended
            .iter()
            .any(|(_, event)| matches!(event, Event::CircuitEnded { circuit: c, .. } if *c == circuit))
    );
}

#[test]
fn streams_of_different_isolation_never_share_a_circuit() {
    let mut network = Network::new(Plan { mixes: 8, exits: 3, spare: 2, ..Plan::default() });
    let mut circuits = Vec::new();
    for isolation in 0..6 {
        let circuit = network.attach(u64::from(isolation), isolation).expect("a circuit");
        assert!(!circuits.contains(&circuit));
        assert_eq!(network.attach(100 + u64::from(isolation), isolation), Some(circuit), "the same shares");
        circuits.push(circuit);
    }
}

#[test]
fn renewing_leaves_old_circuits_to_old_streams() {
    let mut network = Network::new(Plan::default());
    let first = network.attach(1, 7).expect("a circuit");
    network.world.command(network.client, Command::Renew);
    let second = network.attach(2, 7).expect("a circuit");
    assert_ne!(first, second);
    assert!(network.echo(first, b"old", Duration::from_secs(1)));
}

#[test]
fn for_two_hours_there_is_always_a_circuit_in_store_and_nothing_grows() {
    let mut network = Network::new(Plan { mixes: 8, exits: 3, spare: 3, ..Plan::default() });
    for _ in 0..24 {
        network.world.run_for(Duration::from_secs(300));
        let own = network.world.node(network.client).sizes().own;
        assert_eq!(own, 3, "three spare circuits at {:?}", network.world.now());
    }
}
