//! How much memory runs will need, as far as one can say before.

use crate::population::{BINS_MAX, MixTraffic};
use crate::scenario::{Level, Plan, Scenario, TapAt};

// Measured with the toy suite (`tests/a_user_costs_little_memory.rs`), rounded up.
const BASE_BYTES: u64 = 16 << 20;
const USER_BYTES: u64 = 2_600;
const OWN_BYTES: u64 = 1_800;
const RELAYED_BYTES: u64 = 2_450;
const MIX_BYTES: u64 = 64 << 10;

/// Bytes that so many runs at once will need at most.
pub(crate) fn of_scenario(scenario: &Scenario, jobs: usize) -> u64 {
    let largest = scenario.variants.iter().map(|variant| of_run(&variant.plan)).max().unwrap_or(0);
    largest * (jobs as u64).min((scenario.variants.len() * scenario.seeds.len()) as u64).max(1)
}

/// Bytes that one run will need at most, but for what taps keep.
pub(crate) fn of_run(plan: &Plan) -> u64 {
    let (users, mixes) = (plan.users as u64, plan.mixes as u64);
    match plan.level {
        Level::Population => {
            (4 << 20) + users * 16 + mixes * (size_of::<MixTraffic>() as u64 + 16) + BINS_MAX * 3 * 16
        }
        Level::Nodes => {
            let mixes = if plan.dynamic { 0 } else { mixes };
            let (circuits, hops) = (plan.spare as u64 + 1, plan.design.route.hops() as u64);
            BASE_BYTES
                + users * (USER_BYTES + circuits * (OWN_BYTES + hops * RELAYED_BYTES))
                + mixes * MIX_BYTES
        }
    }
}

/// What a tap keeps of each datagram, if users did nothing but what their traffic says.
pub(crate) fn of_taps(plan: &Plan) -> u64 {
    if plan.taps == TapAt::Nowhere {
        return 0;
    }
    let datagrams = plan.traffic.bytes_per_second() * plan.duration.as_secs_f64() / 500.0 + 100.0;
    (datagrams * plan.users as f64 * (plan.design.route.hops() as f64 + 1.0)) as u64 * 32
}
