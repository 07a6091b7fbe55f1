//! What a user takes, measured as what the process has more afterwards.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use throng_sim::{Toy, bench};

/// Bytes of memory that this process has.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// What a user more takes, from worlds of 10 000 and of 30 000 users.
fn bytes_per_user(circuits: usize) -> u64 {
    let before = resident();
    let small = bench::idle::<Toy>(10_000, 50, circuits);
    let between = resident();
    let large = bench::idle::<Toy>(30_000, 50, circuits);
    let after = resident();
    let per_user = ((after - between) - (between - before)) / 20_000;
    println!("{circuits} circuits: {per_user} bytes per user");
    drop((small, large));
    per_user
}

// One test: what another one takes meanwhile would count, too.
#[test]
fn an_idle_user_takes_a_kibibyte_and_one_with_a_circuit_what_the_estimate_says() {
    let (idle, ready) = (bytes_per_user(0), bytes_per_user(1));
    assert!(idle <= 1024, "{idle}");
    // Its own circuit and link, and three mixes' shares of it.
    assert!(ready <= 2_800 + 1_800 + 3 * 2_500, "{ready}");
}
