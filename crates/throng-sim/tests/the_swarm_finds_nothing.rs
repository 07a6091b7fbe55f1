//! Random worlds, random faults: nothing happens that never should, and what was healed works.
//!
//! A seed that fails is printed first. It runs again with `throng_sim::swarm::replay(seed)`; what it found is mended,
//! and stays here under a name.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::AtomicBool;

use throng_sim::swarm::{replay, swarm};

fn are_safe_and_heal(seeds: impl IntoIterator<Item = u64>) {
    let mut seen = 0;
    swarm(seeds, &throng_sim::nobody, &AtomicBool::new(false), |fate| {
        assert!(fate.problems.is_empty() && fate.complete, "seed {}\n{fate:#?}", fate.seed);
        seen += 1;
        true
    });
    assert_eq!(seen, 50);
}

#[test]
fn fifty_random_worlds_without_cover_are_safe_and_heal() {
    are_safe_and_heal((1..100).step_by(2));
}

#[test]
fn fifty_random_worlds_with_cover_and_every_way_of_mixing_are_safe_and_heal() {
    are_safe_and_heal((0..100).step_by(2));
}

#[test]
fn a_seed_replays_to_the_last_datagram() {
    for seed in [3, 42, 77] {
        assert_eq!(replay(seed), replay(seed));
    }
    assert_ne!(replay(3).digest, replay(4).digest);
}

/// Four mixes that each hold cells for up to 98 ms: a question and its answer take longer than the first wait for the
/// answer to a set-up message. The repeated message then counted as the one that was answered, so the circuit took its
/// way for a short one, and itself for dead as soon as somebody used it (Karn's ambiguity, RFC 6298 section 3).
#[test]
fn a_circuit_whose_set_up_was_repeated_knows_how_long_its_way_is() {
    for seed in [129, 1143, 1373, 1455] {
        let fate = replay(seed);
        assert!(fate.problems.is_empty(), "{fate:#?}");
    }
}
