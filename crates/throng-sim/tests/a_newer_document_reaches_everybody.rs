//! Operators sign a newer network document and give it to one mix: soon everybody has it, whatever the wire loses.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Network, Plan, address, signed, signed_design};
use throng_core::config::Membership;
use throng_core::crypto::Portable;
use throng_core::design::Design;
use throng_core::membership::Record;
use throng_core::output::NotAttached;
use throng_core::route::NoRoute;
use throng_core::{Command, Event, NodeConfig, Ports, Time};
use throng_sim::{HostId, Wire, mix_config};

/// Lossy enough that no single word can be relied on.
fn lossy() -> Wire {
    Wire { loss: 0.1, jitter: Duration::from_millis(20), ..Wire::default() }
}

/// Restarts a mix with another document.
fn give(network: &mut Network, mix: usize, membership: Membership) {
    let host = network.mixes[mix];
    network.world.crash(host);
    let mut config = NodeConfig { membership, ..network.configs[mix].clone() };
    if let Membership::Signed { document, .. } = &config.membership {
        config.design = Arc::new(document.statement().design.clone());
    }
    network.world.start(host, config);
}

/// Adopted serials and conflicts at a host since the last question.
fn heard(network: &mut Network, host: HostId) -> (Option<u64>, bool) {
    let events = network.world.take_events(host);
    let adopted = events.iter().rev().find_map(|(_, event)| match event {
        Event::Document(document) => Some(document.statement().serial),
        _ => None,
    });
    (adopted, events.iter().any(|(_, event)| matches!(event, Event::Conflict(_))))
}

/// Many records, so that the document needs many cells.
fn long(records: &[Arc<Record>]) -> Vec<Arc<Record>> {
    let more =
        (20..150).map(|i| mix_config::<Portable>(i.into(), address(i), Ports::none(), &Arc::default()).1);
    records.iter().cloned().chain(more).collect()
}

#[test]
fn a_document_of_many_cells_spreads_from_one_mix_to_all_over_a_lossy_wire() {
    for seed in 1..=5 {
        let plan = Plan { seed, mixes: 8, exits: 3, signed: true, wire: lossy(), ..Plan::default() };
        let mut network = Network::new(plan);
        network.world.run_for(Duration::from_secs(10));
        let newer = signed(2, &long(&network.records), 3);
        give(&mut network, 0, newer);
        let began = network.world.now();
        let mut behind: Vec<HostId> = network.mixes[1..].iter().copied().chain([network.client]).collect();
        while !behind.is_empty() {
            network.world.run_for(Duration::from_secs(1));
            behind.retain(|host| heard(&mut network, *host).0 != Some(2));
            assert!(network.world.now() - began < Duration::from_secs(300), "{} are behind", behind.len());
        }
        println!("all nine have it after {:?}", network.world.now() - began);
        assert_eq!(network.world.node(network.client).view().len(), 138);
    }
}

/// The operators sign a new mix in, and put the document nowhere but there.
#[test]
fn a_mix_that_nobody_knows_yet_brings_the_document_that_names_it_to_all_within_seconds() {
    for seed in 1..=20 {
        let plan = Plan { seed, mixes: 8, exits: 3, signed: true, ..Plan::default() };
        let mut network = Network::new(plan);
        network.world.run_for(Duration::from_secs(100));
        let (mut config, record) = mix_config::<Portable>(9, address(9), Ports::none(), &Arc::default());
        let records: Vec<_> = network.records.iter().cloned().chain([record]).collect();
        config.membership = signed(2, &records, 3);
        if let Membership::Signed { document, .. } = &config.membership {
            config.design = Arc::new(document.statement().design.clone());
        }
        network.world.add(address(9), config);
        let began = network.world.now();
        let mut behind: Vec<HostId> = network.mixes.iter().copied().chain([network.client]).collect();
        while !behind.is_empty() {
            network.world.run_for(Duration::from_millis(100));
            behind.retain(|host| heard(&mut network, *host).0 != Some(2));
            let took = network.world.now() - began;
            assert!(took < Duration::from_secs(10), "seed {seed}: {} are behind", behind.len());
        }
        println!("seed {seed}: all nine have it after {:?}", network.world.now() - began);
    }
}

#[test]
fn a_client_with_a_stale_document_learns_where_a_mix_has_gone() {
    let mut network = Network::new(Plan { mixes: 4, exits: 1, signed: true, ..Plan::default() });
    network.world.run_for(Duration::from_secs(2));
    // The only exit moves, and the operators sign its new address in.
    let exit = network.mixes[0];
    network.world.crash(exit);
    let (config, moved) = mix_config::<Portable>(1, address(77), Ports::reduced(), &Arc::default());
    let records: Vec<_> = network.records[1..].iter().cloned().chain([moved]).collect();
    let membership = signed(2, &records, 3);
    network.world.add(address(77), NodeConfig { membership: membership.clone(), ..config });
    for mix in 1..4 {
        give(&mut network, mix, membership.clone());
    }
    let client = network.client;
    assert!(network.world.run_until(Duration::from_secs(120), |world| {
        let mut events = world.take_events(client).into_iter();
        events
            .any(|(_, event)| matches!(event, Event::Document(document) if document.statement().serial == 2))
    }));
    assert!((1..10).any(|stream| network.attach(stream, 7).is_some()), "the only exit is reached again");
}

#[test]
fn two_truths_of_one_serial_stop_every_client_until_there_is_a_newer_one() {
    let mut network = Network::new(Plan { mixes: 5, exits: 2, signed: true, ..Plan::default() });
    network.world.run_for(Duration::from_secs(2));
    assert!(network.attach(1, 1).is_some());
    let other = signed(1, &network.records[..4], 3);
    for mix in 0..4 {
        give(&mut network, mix, other.clone());
    }
    let client = network.client;
    assert!(
        network.world.run_until(Duration::from_secs(200), |world| {
            world.take_events(client).iter().any(|(_, event)| matches!(event, Event::Conflict(_)))
        }),
        "the conflict is told"
    );
    network
        .world
        .command(client, Command::Attach { stream: 2, isolation: [2; 32], port: Some(443), avoid: &[] });
    let refused = |(_, event): &(Time, Event)| {
        matches!(event, Event::NotAttached { stream: 2, why: NotAttached::NoRoute(NoRoute::Conflict) })
    };
    assert!(network.world.take_events(client).iter().any(refused), "and no stream is opened");
    let newer = signed(2, &network.records, 3);
    give(&mut network, 1, newer);
    assert!(network.world.run_until(Duration::from_secs(300), |world| {
        let events = world.take_events(client);
        events.iter().any(|(_, event)| matches!(event, Event::Document(_)))
    }));
    assert!(network.attach(3, 3).is_some(), "a newer document ends it");
}

/// A document with a history that nobody else knows, signed with operators' keys.
#[test]
fn a_client_that_is_given_a_history_of_its_own_hears_of_it_from_the_far_ends_of_its_circuits() {
    let mut network = Network::new(Plan { mixes: 5, exits: 2, signed: true, ..Plan::default() });
    network.world.run_for(Duration::from_secs(2));
    let Membership::Signed { document, .. } = signed(2, &network.records, 3) else { unreachable!() };
    let client = network.client;
    network.world.command(client, Command::Document(document));
    let exits: Vec<_> = network.records[..2].iter().map(|exit| exit.description().identity).collect();
    let doubts = |(_, event): &(Time, Event)| {
        matches!(event, Event::DocumentDoubted(doubt)
            if doubt.serial == 1 && !doubt.is_newer && exits.contains(&doubt.exit))
    };
    assert!(
        network
            .world
            .run_until(Duration::from_secs(60), |world| { world.take_events(client).iter().any(doubts) })
    );
    // Whoever goes from one history to the other sees that, too.
    let other = signed(3, &network.records, 3);
    give(&mut network, 0, other);
    assert!(network.world.run_until(Duration::from_secs(300), |world| {
        let is_seen = |(_, event): &(Time, Event)| {
            matches!(event, Event::OtherHistory { before } if before.statement().serial == 2)
        };
        world.take_events(client).iter().any(is_seen)
    }));
}

#[test]
fn circuits_outlive_a_document_that_brings_other_cover_or_none() {
    let mut network = Network::new(Plan { mixes: 12, exits: 2, spare: 1, signed: true, ..Plan::default() });
    network.world.run_for(Duration::from_secs(10));
    let design = network.world.node(network.client).design().clone();
    for (serial, cover) in [(2, "end-to-end=64kbps"), (3, "end-to-end=128kbps"), (4, "none")] {
        let circuit = network.attach(serial, serial as u8).expect("a circuit");
        let newer = Design { cover: cover.parse().unwrap(), ..design.clone() };
        let membership = signed_design(serial, &network.records, newer);
        give(&mut network, 11, membership);
        let everybody: Vec<HostId> = network.mixes.iter().copied().chain([network.client]).collect();
        assert!(network.world.run_until(Duration::from_secs(300), |world| {
            everybody.iter().all(|host| world.node(*host).design().cover == cover.parse().unwrap())
        }));
        assert!(network.echo(circuit, cover.as_bytes(), Duration::from_secs(2)), "{cover}: still heard");
    }
}

#[test]
fn an_expired_document_opens_no_stream() {
    let mut network = Network::new(Plan { mixes: 4, exits: 1, signed: true, ..Plan::default() });
    network.world.run_for(Duration::from_secs(99_990));
    assert!(network.attach(1, 1).is_some());
    network.world.run_for(Duration::from_secs(20));
    network.world.command(
        network.client,
        Command::Attach { stream: 2, isolation: [2; 32], port: Some(443), avoid: &[] },
    );
    let client = network.client;
    let refused = |(_, event): &(Time, Event)| {
        matches!(event, Event::NotAttached { stream: 2, why: NotAttached::NoRoute(NoRoute::Expired) })
    };
    assert!(network.world.take_events(client).iter().any(refused));
}
