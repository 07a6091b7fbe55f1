//! Whoever asks a mix, and asks it often, learns nothing of what others do with it.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Network, Plan, address};
use throng_core::config::Membership;
use throng_core::route::Route;
use throng_core::{ClientConfig, Command, Design, Event, NodeConfig, NodeKeys, Time};
use throng_sim::HostId;

const MIXES: u8 = 6;
const HOUR: Duration = Duration::from_secs(3600);

/// One anonymous client for each mix, which makes circuits of one hop there, again and again.
struct Spies {
    hosts: Vec<HostId>,
    streams: u64,
    /// When something came, at whom, and what.
    seen: Vec<(Time, usize, String)>,
}

impl Spies {
    fn new(network: &mut Network) -> Self {
        let base = network.configs.last().unwrap().clone();
        let records = network.records.clone().into_iter().enumerate();
        let hosts = records.map(|(place, record)| {
            let number = 210 + place as u8;
            let config = NodeConfig {
                keys: NodeKeys::new([number; 32]),
                design: Arc::new(Design { route: Route::free(1).unwrap(), ..(*base.design).clone() }),
                membership: Membership::Given(vec![record]),
                client: Some(ClientConfig { spare: 1, ..ClientConfig::default() }),
                ..base.clone()
            };
            network.world.add(address(number), config)
        });
        Self { hosts: hosts.collect(), streams: 1000, seen: Vec::new() }
    }

    /// Each has a new circuit made, and closes the one before.
    fn ask(&mut self, network: &mut Network) {
        for host in &self.hosts {
            self.streams += 1;
            let mut isolation = [0; 32];
            isolation[..8].copy_from_slice(&self.streams.to_le_bytes());
            network
                .world
                .command(*host, Command::Attach { stream: self.streams, isolation, port: None, avoid: &[] });
        }
        network.world.run_for(Duration::from_secs(2));
        for (place, host) in self.hosts.clone().into_iter().enumerate() {
            // Whatever a node knows of its own circuits, others' words included.
            let now = network.world.now();
            self.seen.push((now, place, format!("{:?}", network.world.node(host).own_circuits(now))));
            for (at, event) in network.world.take_events(host) {
                let what = match event {
                    Event::Attached { circuit, .. } => {
                        network.world.command(host, Command::Close { circuit });
                        "attached".to_owned()
                    }
                    Event::CircuitReady { .. } => "ready".to_owned(),
                    other => format!("{other:?}"),
                };
                self.seen.push((at, place, what));
            }
        }
    }
}

/// What the spies saw within so long, beside a user who rests or browses.
fn spied(
    seed: u8,
    cover: &str,
    is_busy: bool,
    every: Duration,
    span: Duration,
) -> Vec<(Time, usize, String)> {
    let plan =
        Plan { seed, mixes: MIXES, exits: MIXES, spare: 1, cover: cover.parse().unwrap(), ..Plan::default() };
    let mut network = Network::new(plan);
    let mut spies = Spies::new(&mut network);
    let begin = Time::from_secs(90);
    let rounds = (span.as_nanos() / every.as_nanos()) as u64;
    for round in 0..rounds {
        let at = begin + every * round as u32;
        run_to(&mut network, at);
        if is_busy {
            browse(&mut network, round);
        }
        run_to(&mut network, at + every / 2);
        spies.ask(&mut network);
    }
    let answers = spies.seen.iter().filter(|(_, _, what)| what == "attached").count();
    assert!(answers as u64 >= rounds * u64::from(MIXES), "{answers} in {rounds} rounds");
    spies.seen
}

fn run_to(network: &mut Network, at: Time) {
    network.world.run_for(at - network.world.now());
}

/// A stream, now of the same isolation and now of another one, and what it carries both ways.
fn browse(network: &mut Network, round: u64) {
    let Some(circuit) = network.attach(round, round as u8 / 3) else { panic!("no circuit") };
    for _ in 0..8 {
        network.world.command(network.client, Command::Send { circuit, payload: &[1; 1000] });
    }
    network.world.run_for(Duration::from_secs(1));
    for mix in network.mixes.clone() {
        for (at, payload) in network.world.take_delivered(mix) {
            network.world.command(mix, Command::Send { circuit: at, payload: &payload });
        }
    }
}

fn nobody_can_tell(seeds: std::ops::RangeInclusive<u8>, cover: &str, every: Duration, span: Duration) {
    for seed in seeds {
        let [idle, busy] = [false, true].map(|is_busy| spied(seed, cover, is_busy, every, span));
        let differs = idle.iter().zip(&busy).find(|(idle, busy)| idle != busy);
        assert_eq!((idle.len(), differs), (busy.len(), None), "seed {seed}, cover {cover}");
    }
}

#[test]
fn who_polls_all_mixes_for_two_hours_sees_the_same_whatever_a_user_does() {
    nobody_can_tell(1..=3, "none", Duration::from_secs(60), 2 * HOUR);
}

#[test]
fn nor_where_links_are_covered() {
    nobody_can_tell(
        1..=2,
        "user-link=256kbps,links=256kbps",
        Duration::from_secs(10),
        Duration::from_secs(120),
    );
}

#[test]
#[ignore = "nearly an hour"]
fn who_polls_all_mixes_for_a_day_does_in_a_hundred_worlds() {
    nobody_can_tell(1..=100, "none", Duration::from_secs(600), 24 * HOUR);
}
