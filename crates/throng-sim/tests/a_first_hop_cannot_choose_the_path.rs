//! A hostile first hop that goes on to hostile mixes only sees that circuits come up only there. Clients count how many hold of
//! those that got past each first hop, and take another one.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "common/net.rs"]
mod net;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use net::Net;
use throng_core::membership::Record;
use throng_core::{NodeId, Time};

/// Of so many mixes, the first ones are hostile: nothing passes between them and the others. A client builds circuits for an
/// hour, streams come and go.
fn an_hour(mixes: usize, hostile: usize, seed: u8) -> (Net, Vec<NodeId>, usize) {
    let mut net = Net::new(seed);
    let there: Vec<(usize, Arc<Record>)> =
        (1..=mixes).map(|mix| net.mix(&format!("9.{mix}.0.1:9000"), Vec::new())).collect();
    let known: Vec<Arc<Record>> = there.iter().map(|(_, record)| Arc::clone(record)).collect();
    for (number, _) in &there {
        known.iter().for_each(|record| net.learn(*number, record));
    }
    for one in 0..hostile {
        net.apart.extend((hostile..mixes).map(|other| (one, other)));
    }
    let client = net.client_of_three_hops("20.0.0.1:5000".parse().unwrap(), 3, &known);
    for _ in 0..360 {
        net.close_all(client);
        net.run(Duration::from_secs(10));
    }
    let owned = known[..hostile].iter().map(|record| record.description().identity).collect();
    (net, owned, client)
}

#[test]
fn a_first_hop_that_lets_down_what_it_does_not_own_is_used_no_more() {
    const WORLDS: u8 = 12;
    let (mut met, mut seen_at_both_ends, mut all, mut all_after) = (0, 0, 0, 0);
    for seed in 0..WORLDS {
        let (net, owned, client) = an_hour(12, 4, seed);
        let is_owned = |mix: &NodeId| owned.contains(mix);
        let begin = Time::from_secs(1000);
        for (_, mix, at) in &net.mistrusted {
            println!(
                "seed {seed}: a first hop (hostile: {}) is used no more after {:?}",
                is_owned(mix),
                *at - begin
            );
            assert!(is_owned(mix), "no honest first hop is let down");
        }
        let paths = &net.paths[client];
        let at_both_ends = |path: &&Vec<NodeId>| is_owned(&path[0]) && is_owned(&path[2]);
        let late = &paths[paths.len() / 2..];
        met += u8::from(!net.mistrusted.is_empty());
        seen_at_both_ends += paths.iter().filter(at_both_ends).count();
        all += paths.len();
        all_after += late.iter().filter(at_both_ends).count();
        assert!(paths.len() > 300, "circuits come up: {}", paths.len());
    }
    println!(
        "{met} of {WORLDS} met a hostile first hop; {seen_at_both_ends} of {all} circuits seen at both ends, {all_after} in the second half"
    );
    assert!(met >= WORLDS / 2, "most meet one");
    assert!(
        all_after * 100 <= all / 2,
        "after half an hour less than a hundredth is seen at both ends: {all_after}"
    );
}

#[test]
fn an_honest_first_hop_is_kept_though_a_third_of_the_mixes_lets_circuits_down() {
    for seed in 0..4 {
        let (net, owned, _) = an_hour(30, 10, seed);
        let honest = net.mistrusted.iter().filter(|(_, mix, _)| !owned.contains(mix)).count();
        assert_eq!(honest, 0, "seed {seed}");
    }
}

/// Somebody cuts a user's line for two seconds every ten, for half an hour.
#[test]
fn whoever_cuts_a_line_again_and_again_has_its_user_meet_no_other_first_hops_and_few_other_exits() {
    for seed in 0..3 {
        let mut net = Net::new(seed);
        let there: Vec<(usize, Arc<Record>)> =
            (1..=24).map(|mix| net.mix(&format!("9.{mix}.0.1:9000"), Vec::new())).collect();
        let known: Vec<Arc<Record>> = there.iter().map(|(_, record)| Arc::clone(record)).collect();
        for (number, _) in &there {
            known.iter().for_each(|record| net.learn(*number, record));
        }
        let client = net.client_of_three_hops("20.0.0.1:5000".parse().unwrap(), 1, &known);
        for _ in 0..180 {
            net.apart.extend((0..24).map(|mix| (mix, client)));
            net.run(Duration::from_secs(2));
            net.apart.clear();
            net.run(Duration::from_secs(8));
        }
        let exits: BTreeSet<NodeId> = net.paths[client].iter().map(|path| path[2]).collect();
        let firsts: BTreeSet<NodeId> = net.paths[client].iter().map(|path| path[0]).collect();
        println!(
            "seed {seed}: {} circuits through {} exits and {} first hops",
            net.paths[client].len(),
            exits.len(),
            firsts.len()
        );
        assert!(firsts.len() <= 3, "seed {seed}: {} first hops", firsts.len());
        // One or two would be met in peace, and ten to twenty if every cut had other mixes drawn.
        assert!(exits.len() <= 9, "seed {seed}: {} exits of 24", exits.len());
    }
}
