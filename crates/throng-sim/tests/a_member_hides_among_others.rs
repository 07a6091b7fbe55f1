//! In a dynamic network every user is a mix: nothing may tell a member's own cells from those that it passes on.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use throng_core::crypto::Portable;
use throng_core::route::Route;
use throng_core::{ClientConfig, Command, Design, Event, Membership, NodeConfig, Ports, Time};
use throng_sim::{OnWire, Verdict, Wire, World, mix_config};

/// Slices give every circuit one turn a round. If own cells were no circuit's, twenty of them would leave together, and the
/// first hop would know whose they are.
#[test]
fn own_cells_take_turns_like_those_of_others() {
    let mixing = "slices=50ms".parse().unwrap();
    let design = Arc::new(Design { route: Route::free(2).unwrap(), mixing, ..Design::default() });
    let mut world: World<Portable> = World::new([3; 32], Wire::default());
    let address = |i: u8| format!("10.{i}.0.1:9000").parse().unwrap();
    let made: Vec<_> =
        (1..=5u8).map(|i| mix_config::<Portable>(i.into(), address(i), Ports::reduced(), &design)).collect();
    let records: Vec<_> = made.iter().map(|(_, record)| Arc::clone(record)).collect();
    let hosts: Vec<_> = made
        .into_iter()
        .zip(1..=5u8)
        .map(|((config, _), i)| {
            let client = Some(ClientConfig { spare: 1, ..ClientConfig::default() });
            let membership = Membership::Given(records.clone());
            world.add(address(i), NodeConfig { client, membership, ..config })
        })
        .collect();
    let origin = hosts[0];
    world.run_for(Duration::from_secs(5));
    world.command(origin, Command::Attach { stream: 1, isolation: [1; 32], port: Some(443), avoid: &[] });
    let mut circuit = None;
    world.run_until(Duration::from_secs(20), |world| {
        for (_, event) in world.take_events(origin) {
            if let Event::Attached { circuit: attached, .. } = event {
                circuit = Some(attached);
            }
        }
        circuit.is_some()
    });
    let circuit = circuit.expect("a circuit comes up");
    world.run_for(Duration::from_secs(2));

    let moments: Rc<RefCell<BTreeMap<Time, usize>>> = Rc::default();
    let seen = Rc::clone(&moments);
    world.tap(move |datagram: &OnWire| {
        if datagram.from == origin {
            *seen.borrow_mut().entry(datagram.at).or_default() += 1;
        }
        Verdict::Pass
    });
    for i in 0..20u8 {
        world.command(origin, Command::Send { circuit, payload: &[i; 10] });
    }
    world.run_for(Duration::from_secs(5));
    let moments = moments.borrow();
    let circuits = world.node(origin).sizes();
    let most = moments.values().max().copied().unwrap_or(0);
    assert!(moments.len() >= 20, "each of twenty cells has a round of its own: {moments:?}");
    assert!(most <= circuits.own + circuits.relayed, "{most} of {circuits:?} left together");
}
