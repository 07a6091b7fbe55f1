//! Where lines are full, circuits that are not completed are begun again: not so many that nothing else passes.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // panics are how a test says no

use std::sync::atomic::AtomicBool;

use throng_sim::{Options, Scenario, Shard, nobody, run};

/// Six mixes with 400 kb/s, two of them exits, which carry some 460 kb/s for users: 10 want 0.6 times that, 40 want 2.3 times.
const SCENARIO: &str = "duration_s = 300\nseeds = 3\nmixes = { count = 6, exits = 2 }\nusers.count = 10\nwire.latency_ms = 5\n\
     traffic = { model = \"constant\", up_mb_per_day = 0.864, down_mb_per_day = 288, every_s = 30 }\n\
     lines = { users_up_kbps = 800, users_down_kbps = 100000, mixes_up_kbps = 400, mixes_down_kbps = 100000 }\n\
     [sweep]\n\"users.count\" = [10, 40]\n";

#[test]
fn four_times_the_users_still_get_a_quarter_of_what_the_lines_carry() {
    let scenario = Scenario::parse("full.toml", SCENARIO).unwrap();
    let stop = AtomicBool::new(false);
    let results = run(&scenario, &Options { jobs: 2, shard: Shard::ALL, told: &nobody, stop: &stop });
    let received = |variant| results.mean(variant, "users received, parts included").unwrap().mean;
    let (some, many) = (received(0), received(1));
    println!("{some} bytes with 10 users, {many} with 40");
    assert!(many > 0.25 * some, "{some} bytes with 10 users, {many} with 40");
}
