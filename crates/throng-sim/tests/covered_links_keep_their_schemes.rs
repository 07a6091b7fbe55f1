//! What is seen of covered links is what their scheme says: rates, common rates, slow rates; through loss, and when keys
//! are renewed.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use common::{Network, Plan};
use throng_core::cover::{Act, Defence, Defences, Passed};
use throng_core::rng::Seed;
use throng_core::{Command, NodeConfig, Time};
use throng_sim::{OnWire, Verdict, Wire};

/// From whom, to whom, when.
type Sent = Rc<RefCell<BTreeMap<(usize, usize), Vec<Time>>>>;

fn watched(cover: &str, plan: Plan) -> (Network, Sent) {
    let mut network = Network::new(Plan { cover: cover.parse().unwrap(), ..plan });
    let sent = Sent::default();
    let log = Rc::clone(&sent);
    network.world.tap(move |seen: &OnWire| {
        log.borrow_mut().entry((seen.from.0, seen.to.0)).or_default().push(seen.at);
        Verdict::Pass
    });
    (network, sent)
}

fn within(times: &[Time], from: Time, span: Duration) -> usize {
    times.iter().filter(|at| from <= **at && **at < from + span).count()
}

#[test]
fn a_user_link_has_the_rate_that_was_asked_for_both_ways() {
    for (rate, bps) in [("8kbps", 8e3), ("64kbps", 64e3), ("2mbps", 2e6), ("100mbps", 100e6)] {
        let plan = Plan { mixes: 3, exits: 1, spare: 1, ..Plan::default() };
        let (mut network, sent) = watched(&format!("user-link={rate}"), plan);
        network.world.run_for(Duration::from_secs(20));
        let (begin, span) = (network.world.now(), Duration::from_secs(if bps > 1e7 { 6 } else { 60 }));
        network.world.run_for(span);
        let client = network.client.0;
        let sent = sent.borrow();
        let links: Vec<_> = sent.iter().filter(|((from, to), _)| *from == client || *to == client).collect();
        assert_eq!(
            links.iter().filter(|(_, times)| within(times, begin, span) > 0).count(),
            2,
            "one link, two ways"
        );
        for ((from, to), times) in links {
            let count = within(times, begin, span);
            let measured = count as f64 * 1308.0 * 8.0 / span.as_secs_f64();
            let one = 1308.0 * 8.0 / span.as_secs_f64();
            println!("{rate}, {from} to {to}: {measured:.0} bit/s");
            assert!((measured - bps).abs() < bps * 0.005 + one || count == 0, "{rate}: {measured}");
        }
    }
}

#[test]
fn a_mix_speaks_to_a_client_in_slots_although_announcements_get_lost() {
    for seed in 1..6 {
        let wire = Wire { loss: 0.3, ..Wire::default() };
        let plan = Plan { seed, mixes: 4, exits: 2, spare: 1, wire, ..Plan::default() };
        let (mut network, sent) = watched("user-link=64kbps", plan);
        network.world.run_for(Duration::from_secs(30));
        let (begin, client) = (network.world.now(), network.client.0);
        network.world.run_for(Duration::from_secs(20));
        let sent = sent.borrow();
        let ways = |up: bool| {
            let mine = sent.iter().filter(|((from, to), _)| if up { *from == client } else { *to == client });
            mine.map(|(_, times)| within(times, begin, Duration::from_secs(20))).sum::<usize>()
        };
        // 122 slots each way; what is sent is counted, also if it is lost then.
        assert!(ways(true) >= 120 && ways(false) >= 120, "seed {seed}: {} and {}", ways(true), ways(false));
    }
}

#[test]
fn for_three_hours_renewed_keys_and_circuits_change_nothing_on_a_covered_link() {
    (1..=4).for_each(three_hours);
}

fn three_hours(seed: u8) {
    let plan = Plan { seed, mixes: 4, exits: 2, spare: 1, ..Plan::default() };
    let (mut network, sent) = watched("user-link=16kbps,links=16kbps", plan);
    network.world.run_for(Duration::from_secs(60));
    let begin = network.world.now();
    let hours = Duration::from_secs(3 * 3600);
    network.world.run_for(hours);
    let sent = sent.borrow();
    // 16 kb/s: a slot every 0.654 s.
    let live: Vec<_> = sent.iter().filter(|(_, times)| within(times, begin, hours) > 0).collect();
    assert_eq!(live.len(), 2 + 4 * 3, "the client's link, and those between four mixes, both ways");
    for (link, times) in live {
        for minute in 0..180 {
            let from = begin + Duration::from_secs(60 * minute);
            let count = within(times, from, Duration::from_secs(60));
            assert!((91..=92).contains(&count), "{link:?}, minute {minute}: {count}");
        }
    }
}

/// A pool's dummies, and the fillers of lonely cells, queued in front of cells: the swarm's first worlds with cover found it.
#[test]
fn fillers_of_mixes_take_no_slots_from_cells() {
    for (mixing, company) in [("pool=1:2:5ms", "none"), ("uniform=5ms", "fill=50")] {
        let (mixing, company) = (mixing.parse().unwrap(), company.parse().unwrap());
        let plan = Plan { mixes: 5, exits: 2, spare: 1, mixing, company, ..Plan::default() };
        let (mut network, _) = watched("user-link=64kbps,links=64kbps", plan);
        network.world.run_for(Duration::from_secs(30));
        let circuit = network.attach(1, 7).expect("a circuit");
        for round in 0..10 {
            // Six links with 163 ms from slot to slot, and what pools keep for a while.
            let came = network.echo(circuit, &[round; 900], Duration::from_millis(2500));
            assert!(came, "{mixing}, {company}, round {round}");
        }
    }
}

#[test]
fn demand_driven_links_of_a_mix_have_one_rate_that_rises_at_once_and_falls_slowly() {
    let plan = Plan { mixes: 5, exits: 2, spare: 1, ..Plan::default() };
    let (mut network, sent) = watched("demand-driven=32kbps:2mbps", plan);
    network.world.run_for(Duration::from_secs(15));
    let circuit = network.attach(1, 7).expect("a circuit");
    network.world.run_for(Duration::from_secs(15));
    let (calm, busy) = (network.world.now(), network.world.now() + Duration::from_secs(10));
    network.world.run_for(Duration::from_secs(10));
    for _ in 0..100 {
        for _ in 0..6 {
            network.world.command(network.client, Command::Send { circuit, payload: &[1; 900] });
        }
        network.world.run_for(Duration::from_millis(100));
    }
    let after = network.world.now();
    network.world.run_for(Duration::from_secs(54));
    let late = network.world.now();
    network.world.run_for(Duration::from_secs(6));
    let sent = sent.borrow();
    let mixes: Vec<usize> = network.mixes.iter().map(|mix| mix.0).collect();
    let counts = |mix: usize, from: Time| -> Vec<usize> {
        let of =
            |to: &usize| sent.get(&(mix, *to)).map_or(0, |times| within(times, from, Duration::from_secs(5)));
        mixes.iter().filter(|to| **to != mix).map(of).collect()
    };
    let mut rose = 0;
    for &mix in &mixes {
        let (calm, busy, after) =
            (counts(mix, calm), counts(mix, busy + Duration::from_secs(5)), counts(mix, after));
        println!("mix {mix}: {calm:?} calm, {busy:?} busy, {after:?} after");
        for rates in [&calm, &busy, &after] {
            let (least, most) = (rates.iter().min().unwrap(), rates.iter().max().unwrap());
            assert!(most - least <= 3 + most / 20, "one rate for all links of mix {mix}: {rates:?}");
        }
        if busy[0] > 3 * calm[0].max(1) {
            rose += 1;
            assert!(
                after[0] * 9 > busy[0] * 4,
                "it is halved once in ten seconds at most: {busy:?}, {after:?}"
            );
            let late = counts(mix, late);
            assert!(late[0] * 2 < busy[0], "and falls in the end: {busy:?}, {late:?}");
        }
    }
    assert!(rose >= 2, "the mixes of the busy circuit speak faster, on all their links");
}

#[test]
fn mimics_have_the_same_rate_both_ways_and_change_it_by_a_tenth_in_a_minute_at_most() {
    let plan = Plan { mixes: 4, exits: 2, spare: 1, ..Plan::default() };
    let (mut network, sent) = watched("mimics=64kbps", plan);
    network.world.run_for(Duration::from_secs(119)); // a minute turns at the next second
    let begin = network.world.now() + Duration::from_secs(1);
    let circuit = network.attach(1, 7).expect("a circuit");
    let (mut came, client) = (0, network.client);
    for _ in 0..900 {
        network.world.command(client, Command::Send { circuit, payload: &[1; 900] });
        network.world.run_for(Duration::from_millis(333));
        for mix in network.mixes.clone() {
            for (at_exit, payload) in network.world.take_delivered(mix) {
                network.world.command(mix, Command::Send { circuit: at_exit, payload: &payload });
                came += 1;
            }
        }
    }
    // A third of 6.1 slots a second is real: 2 of the 3 a second that are sent, and more as the rate grows.
    assert!(came > 550 && came < 850, "{came}");
    let sent = sent.borrow();
    let mixes: Vec<usize> = network.mixes.iter().map(|mix| mix.0).collect();
    let minute = |from: usize, to: usize, minute: u64| {
        let begin = begin + Duration::from_secs(60 * minute + 2); // the neighbour hears of a change within two seconds
        sent.get(&(from, to)).map_or(0, |times| within(times, begin, Duration::from_secs(55)))
    };
    let mut grew = 0;
    for &from in &mixes {
        for &to in mixes.iter().filter(|to| from < **to) {
            for at in 0..4 {
                let (there, back, then) =
                    (minute(from, to, at), minute(to, from, at), minute(from, to, at + 1));
                assert!(there.abs_diff(back) <= 6, "{from} and {to}: {there} and {back}");
                assert!(
                    then <= there * 111 / 100 + 4 && then * 111 / 100 + 4 >= there,
                    "{there}, then {then}"
                );
                grew += usize::from(then > there + 15);
            }
        }
    }
    assert!(grew >= 2, "the busy links grew");
}

/// Padding 20 ms after something passed, and after each padding, up to a thousand.
const PADDING: &str = "02eNplyzEKACAMA8BEH6ZPc/R/fsLR3UW0SGl7S0gge2Y8q+BLEiSBpvOtoo9qMnLfA/oqB9Q=";
/// Holds what leaves for 50 ms, once.
const BLOCKING: &str = "02eNqNyrEVABAQBNFZjZ16VHFVeEoUKkAgcAKJ5yc7wUKYXlvksLRDEridC0r8Kj1f+7AAiCgHxQ==";

#[test]
fn machines_pad_a_user_link_and_hold_it_and_nothing_gets_lost() {
    let plan = Plan { mixes: 4, exits: 2, spare: 1, ..Plan::default() };
    let (mut network, sent) = watched(&format!("machine={PADDING}:{PADDING}"), plan);
    let circuit = network.attach(1, 7).expect("a circuit");
    let (begin, client) = (network.world.now(), network.client.0);
    network.world.run_for(Duration::from_secs(10));
    for i in 0..20 {
        assert!(network.echo(circuit, &[i; 900], Duration::from_secs(1)), "{i}");
    }
    let ways = |up: bool| {
        let sent = sent.borrow();
        let mine = sent.iter().filter(|((from, to), _)| if up { *from == client } else { *to == client });
        mine.map(|(_, times)| within(times, begin, Duration::from_secs(10))).sum::<usize>()
    };
    // 50 a second, each way; nothing else passes.
    assert!(
        (450..=550).contains(&ways(true)) && (450..=550).contains(&ways(false)),
        "{} {}",
        ways(true),
        ways(false)
    );

    let plan = Plan { mixes: 4, exits: 2, spare: 1, ..Plan::default() };
    let (mut network, sent) = watched(&format!("machine={BLOCKING}"), plan);
    let circuit = network.attach(1, 7).expect("a circuit");
    // The first cell of all was held, and every one that came meanwhile.
    let client = network.client.0;
    let held = sent
        .borrow()
        .iter()
        .filter(|((from, _), _)| *from == client)
        .any(|(_, times)| times.windows(2).any(|pair| pair[1] - pair[0] >= Duration::from_millis(50)));
    assert!(held, "something was held");
    assert!(network.echo(circuit, b"through", Duration::from_secs(1)));
}

/// Slots of each way between two mixes within ten seconds from now.
fn between_mixes(network: &mut Network, sent: &Sent) -> Vec<usize> {
    let (begin, span) = (network.world.now(), Duration::from_secs(10));
    network.world.run_for(span);
    let (sent, mixes) = (sent.borrow(), &network.mixes);
    let ways =
        mixes.iter().flat_map(|from| mixes.iter().map(move |to| (from.0, to.0))).filter(|(a, b)| a != b);
    ways.map(|way| sent.get(&way).map_or(0, |times| within(times, begin, span))).collect()
}

#[test]
fn mixes_speak_to_each_other_at_their_own_rate_although_one_is_a_stranger_at_first() {
    let plan = Plan { mixes: 4, exits: 2, spare: 1, ..Plan::default() };
    let (mut network, sent) = watched("user-link=16kbps,links=64kbps", plan);
    network.world.run_for(Duration::from_secs(30));
    let slots = between_mixes(&mut network, &sent);
    assert!(slots.iter().all(|count| (60..=62).contains(count)), "64 kb/s, not a client's 16: {slots:?}");
}

#[test]
fn a_mix_that_a_newer_document_brings_is_covered_by_those_who_did_not_know_it() {
    let cover = "links=64kbps";
    let plan = Plan { mixes: 4, exits: 2, spare: 1, signed: true, ..Plan::default() };
    let (mut network, sent) = watched(cover, plan);
    let design =
        throng_core::Design { cover: cover.parse().unwrap(), ..(*network.configs[0].design).clone() };
    for newcomer in 0..4 {
        let (mut old, all) = (network.records.clone(), network.records.clone());
        old.remove(newcomer);
        for mix in 0..4 {
            // One of those that were there before has it, too: nobody takes a document from a stranger.
            let membership = match mix == newcomer || mix == (newcomer + 1) % 4 {
                true => common::signed_design(2, &all, design.clone()),
                false => common::signed_design(1, &old, design.clone()),
            };
            let config = NodeConfig { membership, ..network.configs[mix].clone() };
            network.world.start(network.mixes[mix], config);
        }
        let mixes = network.mixes.clone();
        assert!(network.world.run_until(Duration::from_secs(900), |world| {
            mixes.iter().all(|mix| world.node(*mix).view().records().count() == 3)
        }));
        network.world.run_for(Duration::from_secs(30));
        let slots = between_mixes(&mut network, &sent);
        assert!(slots.iter().all(|count| (60..=62).contains(count)), "newcomer {newcomer}: {slots:?}");
    }
}

#[test]
fn a_covered_circuit_past_mixes_that_hold_cells_loses_none_of_them() {
    let mixing = "exponential=15ms".parse().unwrap();
    let plan = Plan { mixes: 4, exits: 2, spare: 1, mixing, ..Plan::default() };
    let (mut network, _) = watched("end-to-end=64kbps", plan);
    let circuit = network.attach(1, 7).expect("a circuit");
    for i in 0..60 {
        assert!(network.echo(circuit, &[i; 900], Duration::from_secs(3)), "{i} is answered");
    }
}

#[test]
fn whoever_claims_to_be_at_a_mixs_address_does_not_touch_its_slots() {
    for farewell in [false, true] {
        let plan = Plan { mixes: 4, exits: 2, spare: 1, ..Plan::default() };
        let (mut network, sent) = watched("user-link=32kbps,links=64kbps", plan);
        let stolen = Rc::new(RefCell::new(Vec::new()));
        let (taken, client) = (Rc::clone(&stolen), network.client);
        let steals = Rc::new(std::cell::Cell::new(false));
        let now = Rc::clone(&steals);
        network.world.tap(move |seen: &OnWire| {
            if seen.from != client || !now.get() {
                return Verdict::Pass;
            }
            taken.borrow_mut().push((seen.to.0, seen.bytes.clone()));
            Verdict::Drop
        });
        network.world.run_for(Duration::from_secs(30));
        // The client's own datagrams come to its first mix from another mix's address: fillers, or that it ends its slots.
        steals.set(true);
        if farewell {
            network.world.command(client, Command::Spend(false));
        }
        network.world.run_for(Duration::from_millis(1500));
        steals.set(false);
        let stolen = stolen.take();
        assert!(!stolen.is_empty());
        for (first, bytes) in stolen {
            let other = (0..4).find(|other| network.mixes[*other].0 != first).unwrap();
            let from = common::address(other as u8 + 1);
            network.world.inject(from, throng_sim::HostId(first), bytes);
        }
        let slots = between_mixes(&mut network, &sent);
        assert!(slots.iter().all(|count| (60..=62).contains(count)), "farewell {farewell}: {slots:?}");
    }
}

#[test]
fn the_far_end_of_a_covered_circuit_is_silent_soon_after_its_origin() {
    let plan = Plan { mixes: 4, exits: 2, spare: 1, ..Plan::default() };
    let (mut network, sent) = watched("end-to-end=64kbps", plan);
    network.world.run_for(Duration::from_secs(20));
    let client = network.client;
    let down = |network: &mut Network| {
        let begin = network.world.now();
        network.world.run_for(Duration::from_secs(10));
        let sent = sent.borrow();
        let mine = sent.iter().filter(|((_, to), _)| *to == client.0);
        mine.map(|(_, times)| within(times, begin, Duration::from_secs(10))).sum::<usize>()
    };
    assert!(down(&mut network) >= 60);
    network.world.command(client, Command::Spend(false));
    network.world.run_for(Duration::from_secs(5));
    let left = down(&mut network);
    assert!(left < 8, "nothing but answers to questions: {left}");
}

/// A defence that wants padding now, and then again.
struct Endless;

impl Defences for Endless {
    fn build(&self, _: &str, _: &Seed, _: Time) -> Option<Box<dyn Defence>> {
        Some(Box::new(Self))
    }

    fn name(&self, _: &str) -> Result<String, String> {
        Ok("endless".into())
    }
}

impl Defence for Endless {
    fn observe(&mut self, _: Passed, _: Time) {}
    fn wake(&self) -> Time {
        Time::ZERO
    }
    fn act(&mut self, _: Time) -> Option<Act> {
        Some(Act::Pad { bypass: false, replace: false })
    }
    fn holds(&self) -> bool {
        false
    }
}

#[test]
fn a_defence_that_wants_padding_without_end_pads_at_the_rate_that_its_link_counts_for() {
    let plan = Plan { mixes: 4, exits: 2, spare: 1, ..Plan::default() };
    let (mut network, sent) = watched(&format!("machine={PADDING}:{PADDING}"), plan);
    let config = network.configs.last().unwrap().clone();
    network.world.start(network.client, NodeConfig { defences: Some(Arc::new(Endless)), ..config });
    let begin = network.world.now();
    network.world.run_for(Duration::from_secs(1));
    let (sent, client) = (sent.borrow(), network.client.0);
    let most =
        sent.iter().filter(|((from, _), _)| *from == client).map(|(_, times)| times.len()).max().unwrap();
    // 512 kb/s are 48 datagrams: those of the second before at once, and those of this one.
    assert!((90..=110).contains(&most), "{most} since {begin:?}");
}

#[test]
fn a_budget_ends_the_padding_of_machines_as_well() {
    let plan = Plan { mixes: 4, exits: 2, spare: 1, budget: Some(300_000), ..Plan::default() };
    let (mut network, sent) = watched(&format!("machine={PADDING}"), plan);
    let circuit = network.attach(1, 7).expect("a circuit");
    network.world.run_for(Duration::from_secs(30));
    let (begin, client, span) = (network.world.now(), network.client.0, Duration::from_secs(10));
    network.world.run_for(span);
    let up = |sent: &Sent| {
        let sent = sent.borrow();
        let mine = sent.iter().filter(|((from, _), _)| *from == client);
        mine.map(|(_, times)| (times.len(), within(times, begin, span)))
            .fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
    };
    let (all, late) = up(&sent);
    // 300 kB are 229 datagrams: five seconds of padding.
    assert!((229..400).contains(&all) && late < 8, "{all} in all, {late} at the end");
    assert!(network.echo(circuit, b"still here", Duration::from_secs(2)));
}

#[test]
fn a_budget_ends_cover_for_the_day_whatever_the_load_and_the_owner_can_end_it_at_any_time() {
    let ends = |load: bool| {
        let plan = Plan { mixes: 4, exits: 2, spare: 1, budget: Some(1_000_000), ..Plan::default() };
        let (mut network, sent) = watched("user-link=64kbps", plan);
        let circuit = network.attach(1, 7).expect("a circuit");
        for _ in 0..200 {
            if load {
                network.world.command(network.client, Command::Send { circuit, payload: &[1; 900] });
            }
            network.world.run_for(Duration::from_secs(1));
        }
        (network, sent, circuit)
    };
    let count = |network: &mut Network, sent: &Sent, seconds: u64| {
        let (begin, client, span) = (network.world.now(), network.client.0, Duration::from_secs(seconds));
        network.world.run_for(span);
        let sent = sent.borrow();
        let mine = sent.iter().filter(|((from, to), _)| *from == client || *to == client);
        mine.map(|(_, times)| within(times, begin, span)).sum::<usize>()
    };
    let last_slot = |sent: &Sent, client: usize| {
        let sent = sent.borrow();
        let up = sent
            .iter()
            .filter(|((from, _), _)| *from == client)
            .max_by_key(|(_, times)| times.len())
            .unwrap()
            .1;
        // The last of an unbroken row of slots.
        *up.iter()
            .zip(&up[1..])
            .skip(20)
            .find(|(a, b)| !(161..=166).contains(&(**b - **a).as_millis()))
            .map_or(&up[0], |(a, _)| a)
    };
    let (mut idle, idle_sent, circuit) = ends(false);
    let (busy, busy_sent, _) = ends(true);
    // 1 MB are 764 slots of 1308 bytes: 125 s.
    let end = last_slot(&idle_sent, idle.client.0);
    assert_eq!(end, last_slot(&busy_sent, busy.client.0), "whatever the load");
    assert!((115..135).contains(&end.as_secs()), "{end:?}");
    assert!(count(&mut idle, &idle_sent, 10) < 16, "both ways are silent then, but for questions");
    assert!(idle.echo(circuit, b"still here", Duration::from_secs(2)), "and the network works");
    // The next day.
    idle.world.run_for(Time::from_secs(86_402) - idle.world.now());
    assert!((115..130).contains(&count(&mut idle, &idle_sent, 10)), "61 slots each way");
    let client = idle.client;
    idle.world.command(client, Command::Spend(false));
    idle.world.run_for(Duration::from_secs(1));
    assert!(count(&mut idle, &idle_sent, 10) < 16, "the connection is metered now");
    idle.world.command(client, Command::Spend(true));
    idle.world.run_for(Duration::from_secs(1));
    assert!((115..130).contains(&count(&mut idle, &idle_sent, 10)), "and is no more");
}
