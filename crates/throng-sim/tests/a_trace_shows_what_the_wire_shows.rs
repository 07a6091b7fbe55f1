//! What a tap records is what an adversary there sees, and the truth lies elsewhere.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

use throng_sim::{Plan, Scenario, Trace, What, trace};

fn plan(taps: &str, suite: &str) -> Plan {
    let text = format!(
        "suite = \"{suite}\"\nduration_s = 20\nmixes.count = 6\nusers.count = 4\ntaps = {taps}\n\
         traffic = {{ model = \"constant\", up_mb_per_day = 10, down_mb_per_day = 90, every_s = 2 }}\n"
    );
    Scenario::parse("trace.toml", &text).unwrap().variants[0].plan.clone()
}

fn recorded(taps: &str, suite: &str) -> Trace {
    trace(&plan(taps, suite), 5, &throng_sim::nobody, &AtomicBool::new(false)).1
}

#[test]
fn each_tap_sees_its_links_and_no_others() {
    let everywhere = recorded("{ at = \"everywhere\" }", "toy");
    let users = recorded("{ at = \"user-links\" }", "toy");
    let one = recorded("{ at = \"mixes\", mixes = [2] }", "toy");
    assert!(recorded("{ at = \"nowhere\" }", "toy").seen.is_empty());
    let of = |keep: &dyn Fn(u32, u32) -> bool| {
        everywhere.seen.iter().filter(|row| keep(row.from, row.to)).copied().collect::<Vec<_>>()
    };
    assert_eq!(users.seen, of(&|from, to| from.max(to) >= 6));
    assert_eq!(one.seen, of(&|from, to| from == 2 || to == 2));
    assert!(!one.seen.is_empty() && one.seen.len() < everywhere.seen.len());
    assert!(!users.seen.is_empty() && users.seen.len() < everywhere.seen.len());
    let times: Vec<u64> = everywhere.seen.iter().map(|row| row.at).collect();
    assert!(times.is_sorted());
}

#[test]
fn the_truth_names_the_user_behind_datagrams_between_mixes() {
    let mut trace = recorded("{ at = \"everywhere\" }", "toy");
    let between: BTreeSet<u32> = trace
        .seen
        .iter()
        .zip(&trace.inside)
        .filter(|(row, _)| row.from < 6 && row.to < 6)
        .filter_map(|(_, inside)| inside.map(|inside| inside.user))
        .collect();
    assert_eq!(between, BTreeSet::from([0, 1, 2, 3]));
    let done = trace.deeds.iter().filter(|deed| deed.what == What::Done);
    assert!(done.clone().count() > 30);
    assert!(done.clone().all(|deed| deed.exit < 6));

    // The two files together are all of it, and the first one alone says nothing of users.
    let (seen, truth) = (trace.seen_to_bytes(), trace.truth_to_bytes());
    let mut read = Trace::seen_from_bytes(&seen).unwrap();
    assert!(read.inside.is_empty() && read.deeds.is_empty());
    read.add_truth(&truth).unwrap();
    assert_eq!(read, trace);
    trace.inside.clear();
    assert_ne!(read, trace);
}

#[test]
fn real_ciphers_send_as_many_datagrams_at_the_same_times() {
    // The handshakes' chance is the same; only the bytes differ, which nobody on the wire may tell apart.
    let (toy, real) =
        (recorded("{ at = \"everywhere\" }", "toy"), recorded("{ at = \"everywhere\" }", "real"));
    assert!(
        real.inside.iter().all(Option::is_none),
        "what is encrypted stays closed, for the simulator, too"
    );
    assert!(toy.seen.len().abs_diff(real.seen.len()) < toy.seen.len() / 4);
}
