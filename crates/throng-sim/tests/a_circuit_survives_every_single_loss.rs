//! Set-up messages may be lost, doubled, overtaken: circuits come up all the same.

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use common::{Network, Plan};
use throng_sim::{OnWire, Verdict, Wire};

#[test]
fn two_nodes_and_a_client_echo_through_one_hop() {
    let mut network = Network::new(Plan { mixes: 1, exits: 1, hops: 1, ..Plan::default() });
    let circuit = network.attach(1, 7).expect("a circuit");
    assert!(network.echo(circuit, b"hello", Duration::from_secs(1)));
}

#[test]
fn five_nodes_echo_through_three_hops() {
    let mut network = Network::new(Plan::default());
    let circuit = network.attach(1, 7).expect("a circuit");
    for length in [0, 1, 1200, 1224] {
        assert!(network.echo(circuit, &vec![9; length], Duration::from_secs(1)), "{length} bytes");
    }
}

/// How many datagrams it takes until the first stream has a circuit.
fn datagrams_of_a_set_up(drop: Option<usize>) -> (bool, usize) {
    let mut network = Network::new(Plan { spare: 0, mixes: 3, exits: 1, ..Plan::default() });
    let sent = Rc::new(Cell::new(0));
    let counter = Rc::clone(&sent);
    network.world.tap(move |_: &OnWire| {
        let number = counter.replace(counter.get() + 1);
        if Some(number) == drop { Verdict::Drop } else { Verdict::Pass }
    });
    let circuit = network.attach(1, 7);
    (circuit.is_some_and(|circuit| network.echo(circuit, b"hello", Duration::from_secs(3))), sent.get())
}

#[test]
fn every_single_message_of_a_set_up_may_be_lost() {
    let (built, datagrams) = datagrams_of_a_set_up(None);
    assert!(built && datagrams > 15, "{datagrams}");
    for lost in 0..datagrams {
        // The echo itself is not protected (that is the pipe's task): its six datagrams may fail it.
        let (built, sent) = datagrams_of_a_set_up(Some(lost));
        assert!(built || lost + 6 >= datagrams, "datagram {lost} of {datagrams} lost: {sent} sent");
    }
}

#[test]
fn every_message_may_come_twice_and_in_any_order() {
    let wire = Wire { doubled: 1.0, jitter: Duration::from_millis(40), ..Wire::default() };
    let mut network = Network::new(Plan { wire, ..Plan::default() });
    let circuit = network.attach(1, 7).expect("a circuit");
    assert!(network.echo(circuit, b"hello", Duration::from_secs(1)));
}

#[test]
fn circuits_come_up_over_links_that_lose_a_tenth() {
    for seed in 0..10 {
        let wire = Wire { loss: 0.1, jitter: Duration::from_millis(10), ..Wire::default() };
        let mut network = Network::new(Plan { seed, wire, ..Plan::default() });
        let circuit = network.attach(1, 7).expect("a circuit");
        let echoed =
            (0..20u8).filter(|i| network.echo(circuit, &[*i; 100], Duration::from_millis(300))).count();
        assert!(echoed >= 5, "seed {seed}: {echoed} of 20; six links that lose a tenth let half through");
    }
}
