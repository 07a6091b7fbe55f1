//! Under load a mix asks for cookies, which prove one address of the client's; over IPv6 it sees the client at another one
//! than over IPv4. Both must find their way in.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use throng_core::crypto::Portable;
use throng_core::membership::{Description, Record};
use throng_core::rng::Seed;
use throng_core::route::{PathRules, Route};
use throng_core::wire::Geometry;
use throng_core::{
    ClientConfig, Design, Event, Input, Membership, Node, NodeConfig, NodeKeys, Outbox, Ports, Scrubbed, Time,
};

const TRIES: u64 = 20;

struct Running {
    node: Node<Portable>,
    out: Outbox,
}

impl Running {
    fn new(config: NodeConfig, seed: u8, now: Time) -> Self {
        let node = Node::new(config, &Seed::from_bytes([seed; 32]), now);
        Self { node, out: Outbox::new(Geometry::DEFAULT) }
    }

    /// What leaves, and to whom, and what the owner is told.
    fn step(&mut self, now: Time, input: Input<'_>) -> (Vec<(SocketAddr, Vec<u8>)>, Vec<Event>) {
        self.out.clear();
        let mut wake = self.node.step(now, input, &mut self.out);
        while wake <= now {
            wake = self.node.step(now, Input::Wake, &mut self.out);
        }
        let lanes = self.out.lanes().flat_map(|lane| {
            let datagrams = lane.datagrams.chunks(Geometry::DEFAULT.datagram());
            datagrams.map(move |datagram| (lane.to, datagram.to_vec()))
        });
        (lanes.collect(), std::mem::take(&mut self.out.events))
    }
}

fn config(secret: u8, relays: bool, records: Vec<Arc<Record>>) -> NodeConfig {
    let client = ClientConfig { spare: 1, rules: PathRules::SamePrefixAllowed, ..ClientConfig::default() };
    NodeConfig {
        keys: NodeKeys::new([secret; 32]),
        design: Arc::new(Design { route: Route::free(1).unwrap(), ..Design::default() }),
        relays,
        is_exit: relays,
        client: (!relays).then_some(client),
        membership: Membership::Given(records),
        defences: None,
    }
}

fn record_of(config: &NodeConfig, addresses: &[&str]) -> Arc<Record> {
    let description = Description {
        identity: config.keys.id::<Portable>(),
        family: None,
        capacity: 1000,
        addresses: addresses.iter().map(|address| Scrubbed(address.parse().unwrap())).collect(),
        exit_ports: Ports::reduced(),
        from: Time::ZERO,
        until: Time::from_secs(1_000_000),
    };
    Arc::new(Record::sign::<Portable>(description, config.keys.identity_secret()))
}

/// Whether a client has a circuit within nine seconds, while somebody sends a mix 5000 offers a second.
fn gets_in(client: &mut Running, mix: &mut Running, noise: &[u8], now: &mut Time) -> bool {
    let (v4, v6): (SocketAddr, SocketAddr) =
        ("192.0.2.7:5555".parse().unwrap(), "[2001:db8:7::7]:5555".parse().unwrap());
    let stranger: SocketAddr = "198.51.100.1:1".parse().unwrap();
    let end = *now + Duration::from_secs(12);
    let flood = |mix: &mut Running, now: &mut Time| {
        *now = *now + Duration::from_millis(10);
        for _ in 0..50 {
            mix.step(*now, Input::Datagram { from: stranger, bytes: &mut noise.to_vec() });
        }
    };
    for _ in 0..300 {
        flood(mix, now); // what may be done without cookies is used up
    }
    while *now < end {
        flood(mix, now);
        let (mut to_mix, _) = client.step(*now, Input::Wake);
        while let Some((to, mut datagram)) = to_mix.pop() {
            // A socket speaks from the address of the family that it speaks to.
            let from = if to.is_ipv4() { v4 } else { v6 };
            let (answers, _) = mix.step(*now, Input::Datagram { from, bytes: &mut datagram });
            for (_, mut answer) in answers.into_iter().filter(|(to, _)| [v4, v6].contains(to)) {
                let (more, events) = client.step(*now, Input::Datagram { from: to, bytes: &mut answer });
                to_mix.extend(more);
                if events.iter().any(|event| matches!(event, Event::CircuitReady { .. })) {
                    return true;
                }
            }
        }
    }
    false
}

#[test]
fn clients_of_one_family_and_of_two_get_in_while_cookies_are_asked_for() {
    for addresses in [&["10.0.0.1:9000"][..], &["10.0.0.1:9000", "[2001:db8::1]:9000"]] {
        let mut now = Time::from_secs(1000);
        let mix = config(1, true, Vec::new());
        let record = record_of(&mix, addresses);
        let mut mix = Running::new(mix, 1, now);
        // An offer that somebody recorded: whatever it costs, it costs each time that it comes.
        let mut recorded = Running::new(config(8, false, vec![Arc::clone(&record)]), 99, now);
        let noise = recorded.step(now, Input::Wake).0.remove(0).1;
        let got_in = (0..TRIES).filter(|number| {
            let client = config(9, false, vec![Arc::clone(&record)]);
            let mut client = Running::new(client, 100 + *number as u8, now);
            gets_in(&mut client, &mut mix, &noise, &mut now)
        });
        let got_in = got_in.count() as u64;
        println!("{addresses:?}: {got_in} of {TRIES} clients get in");
        assert_eq!(got_in, TRIES, "{addresses:?}");
    }
}
