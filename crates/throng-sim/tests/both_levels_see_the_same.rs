//! Where cells depend on data only, the population's counts are what real nodes send, user by user.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::AtomicBool;

use throng_sim::{Plan, Scenario, What, cells_on_user_links, trace};

/// A world without loss and overtaking, at one of the two levels.
fn plan(level: &str, model: &str) -> Plan {
    let text = format!(
        "level = \"{level}\"\nduration_s = 120\nmixes.count = 12\nusers.count = 20\n[wire]\nlatency_ms = 5\n\
         [traffic]\n{model}\n"
    );
    Scenario::parse("both.toml", &text).unwrap().variants[0].plan.clone()
}

#[test]
fn every_user_link_carries_the_same_cells_of_data_at_both_levels() {
    // The last visits must be over before the end: nothing begins that does not end.
    for model in [
        "model = \"constant\"\nup_mb_per_day = 5\ndown_mb_per_day = 50\nevery_s = 50",
        "model = \"constant\"\nup_mb_per_day = 40\ndown_mb_per_day = 8\nevery_s = 45",
        "model = \"on-off\"\non_mean_s = 4\noff_mean_s = 9\nup_bps = 5000\ndown_bps = 90000\nevery_s = 40",
    ] {
        for seed in 1..4 {
            let nodes = cells_on_user_links(&plan("nodes", model), seed);
            let population = cells_on_user_links(&plan("population", model), seed);
            assert_eq!(nodes, population, "{model}, seed {seed}");
            assert!(nodes.iter().flatten().sum::<u64>() > 300, "there is something to compare");
        }
    }
}

#[test]
fn what_an_adversary_counts_on_user_links_is_the_populations_cells_and_little_else() {
    let model = "model = \"web\"\nreading_s = 4\nlargest_kb = 400";
    let (mut nodes_plan, population) = (plan("nodes", model), plan("population", model));
    nodes_plan.taps = throng_sim::TapAt::UserLinks;
    let (_, seen) = trace(&nodes_plan, 1, &throng_sim::nobody, &AtomicBool::new(false));
    let mut counted = vec![[0u64; 2]; nodes_plan.users];
    for row in &seen.seen {
        assert_eq!(row.length, 1280);
        for (end, way) in [(row.from, 0), (row.to, 1)] {
            if let Some(user) = end.checked_sub(seen.mixes) {
                counted[user as usize][way] += 1;
            }
        }
    }
    let expected = cells_on_user_links(&population, 1);
    for (user, (counted, expected)) in counted.iter().zip(&expected).enumerate() {
        for (way, (counted, expected)) in counted.iter().zip(expected).enumerate() {
            // Besides: questions to idle circuits and links. And after each exchange nobody answers its last
            // acknowledgement, so circuit and link are asked whether they live: two cells, and a third where the way
            // is long.
            let exchanges =
                seen.deeds.iter().filter(|deed| deed.user == user as u32 && deed.what == What::Began);
            let most = expected + 20 + 3 * exchanges.count() as u64;
            assert!(
                (*expected..most).contains(counted) || counted.abs_diff(*expected) < 5,
                "user {user} way {way}: {counted} against {expected} to {most}"
            );
        }
    }
}
