//! Replayed, tampered, tagged, forged: refused and counted, and nothing else happens.

mod common;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use common::{Network, Plan, address};
use throng_core::refused::Refused;
use throng_core::wire::Geometry;
use throng_sim::{OnWire, Verdict};

fn refused(network: &Network, why: Refused) -> u64 {
    let mixes = network.mixes.iter().map(|mix| network.world.node(*mix).counts().refused(why)).sum::<u64>();
    mixes + network.world.node(network.client).counts().refused(why)
}

#[test]
fn every_datagram_has_the_networks_one_length_and_none_comes_twice() {
    let mut network = Network::new(Plan { mixes: 6, exits: 2, spare: 3, ..Plan::default() });
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&seen);
    network.world.tap(move |datagram: &OnWire| {
        log.borrow_mut().push(datagram.bytes.clone());
        Verdict::Pass
    });
    let circuit = network.attach(1, 7).expect("a circuit");
    for i in 0..20 {
        assert!(network.echo(circuit, &[i; 10], Duration::from_secs(1)));
    }
    let mut seen = seen.take();
    assert!(seen.len() > 100 && seen.iter().all(|bytes| bytes.len() == Geometry::DEFAULT.datagram()));
    let all = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), all, "no two datagrams are the same");
}

#[test]
fn a_replayed_datagram_is_refused_and_delivers_nothing_twice() {
    let mut network = Network::new(Plan::default());
    let circuit = network.attach(1, 7).expect("a circuit");
    // From now on everything is sent again, twice.
    network.world.tap(|seen: &OnWire| Verdict::Inject(vec![seen.bytes.clone(), seen.bytes.clone()]));
    assert!(network.echo(circuit, b"once", Duration::from_secs(1)));
    network.world.run_for(Duration::from_secs(1));
    let delivered: usize =
        network.mixes.clone().into_iter().map(|mix| network.world.take_delivered(mix).len()).sum();
    assert_eq!(delivered, 0, "nothing came a second time to the exit");
    assert!(refused(&network, Refused::ReplayedDatagram) >= 12, "six datagrams, two copies each");
}

#[test]
fn a_datagram_changed_on_the_wire_is_refused_whichever_it_is() {
    for place in 0..6 {
        let mut network = Network::new(Plan { spare: 0, ..Plan::default() });
        let circuit = network.attach(1, 7).expect("a circuit");
        network.world.run_for(Duration::from_secs(1));
        let mut number = 0;
        network.world.tap(move |seen: &OnWire| {
            number += 1;
            if number - 1 != place {
                return Verdict::Pass;
            }
            let mut changed = seen.bytes.clone();
            let place = 12 + usize::from(seen.bytes[12]);
            changed[place] ^= 1;
            Verdict::Replace(changed)
        });
        assert!(!network.echo(circuit, b"never", Duration::from_millis(300)), "datagram {place}");
        assert_eq!(refused(&network, Refused::Forged), 1, "datagram {place}");
        assert!(network.echo(circuit, b"undisturbed", Duration::from_secs(1)));
    }
}

#[test]
fn an_offer_that_is_replayed_opens_nothing_that_lasts() {
    let mut network = Network::new(Plan::default());
    let offers = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&offers);
    network.world.tap(move |seen: &OnWire| {
        if seen.bytes[..5] == [0, 0, 0, 0, 1] {
            log.borrow_mut().push((seen.to, seen.bytes.clone()));
        }
        Verdict::Pass
    });
    let circuit = network.attach(1, 7).expect("a circuit");
    let links = |network: &Network| {
        network.mixes.iter().map(|mix| network.world.node(*mix).sizes().links).sum::<usize>()
    };
    network.world.run_for(Duration::from_secs(15));
    let before = links(&network);
    for (to, bytes) in offers.take() {
        network.world.inject(address(99), to, bytes);
    }
    network.world.run_for(Duration::from_secs(15));
    assert_eq!(links(&network), before, "what nobody confirms is forgotten");
    assert!(network.echo(circuit, b"undisturbed", Duration::from_secs(1)));
}

#[test]
fn garbage_of_any_kind_is_refused_without_harm() {
    let mut network = Network::new(Plan::default());
    let circuit = network.attach(1, 7).expect("a circuit");
    let mut rng = throng_core::rng::Seed::from_bytes([5; 32]).rng(throng_core::rng::Purpose::World, 0);
    for round in 0..2000u32 {
        let mut bytes = vec![0; if round % 10 == 0 { rng.below(3000) } else { 1280 }];
        rng.fill(&mut bytes);
        if round % 3 == 0 && bytes.len() > 8 {
            bytes[..8].copy_from_slice(&[0, 0, 0, 0, 1 + (round % 4) as u8, 1, 0, 0]);
        }
        let to = network.mixes[rng.below(network.mixes.len())];
        network.world.inject(address(99), to, bytes);
    }
    assert!(network.echo(circuit, b"undisturbed", Duration::from_secs(1)));
    assert!(refused(&network, Refused::WrongLength) + refused(&network, Refused::Malformed) > 100);
}
