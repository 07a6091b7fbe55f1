//! The door: scenarios in, results out.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use throng_core::crypto::{Portable, Suite};

use crate::books::Digest;
use crate::memory;
use crate::nodes::{self, How, Outcome};
use crate::population;
use crate::results::{Results, RunResult};
use crate::scenario::{Level, Plan, Scenario, SuiteName};
use crate::stop::{OnProgress, Progress, Watch};
use crate::toy::Toy;
use crate::trace::Trace;

/// How a scenario is run.
#[derive(Clone, Copy)]
pub struct Options<'o> {
    /// Runs at once; each takes one core. Results do not depend on it.
    pub jobs: usize,
    /// Only the runs of this shard.
    pub shard: Shard,
    /// Is told how far it is, from the threads that run.
    pub told: &'o OnProgress<'o>,
    /// Set it, and all runs end soon; what is done is kept.
    pub stop: &'o AtomicBool,
}

/// A part of a scenario's runs: those whose number, divided by `of`, leaves `number`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which one, from 0.
    pub number: usize,
    /// Of how many.
    pub of: usize,
}

impl Shard {
    /// Everything.
    pub const ALL: Self = Self { number: 0, of: 1 };

    /// The `number`-th of `of`, from 0; nothing if there is none.
    pub fn new(number: usize, of: usize) -> Option<Self> {
        (number < of).then_some(Self { number, of })
    }

    /// Whether a run is of it.
    pub fn has(self, run: usize) -> bool {
        run % self.of == self.number
    }
}

/// A scenario that will not fit into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// What it will need, about, bytes.
    pub needs: u64,
    /// What there is, bytes.
    pub available: u64,
}

impl std::fmt::Display for TooLarge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        write!(
            f,
            "this needs about {} MiB of memory and {} are available: take fewer users, a shorter time, fewer jobs, \
             narrower taps, or level = \"population\"",
            mib(self.needs),
            mib(self.available)
        )
    }
}

impl std::error::Error for TooLarge {}

/// Whether so many runs at once fit into `available_bytes` of memory (on Linux: `MemAvailable` of `/proc/meminfo`).
///
/// # Errors
/// [`TooLarge`] if they do not.
pub fn check_memory(scenario: &Scenario, jobs: usize, available_bytes: u64) -> Result<(), TooLarge> {
    fits(memory::of_scenario(scenario, jobs), available_bytes)
}

/// The same for one run whose taps keep what they see.
///
/// # Errors
/// [`TooLarge`] if it does not fit.
pub fn check_memory_of_trace(plan: &Plan, available_bytes: u64) -> Result<(), TooLarge> {
    fits(memory::of_run(plan) + memory::of_taps(plan), available_bytes)
}

fn fits(needs: u64, available_bytes: u64) -> Result<(), TooLarge> {
    if needs <= available_bytes { Ok(()) } else { Err(TooLarge { needs, available: available_bytes }) }
}

/// Runs a scenario: all variants with all seeds, or a shard of them.
pub fn run(scenario: &Scenario, options: &Options<'_>) -> Results {
    go_on(scenario, options, Vec::new(), &|_| {})
}

/// The same, where these are done already. `keep` is given what there is each time that a run has ended.
pub fn go_on(
    scenario: &Scenario,
    options: &Options<'_>,
    done_before: Vec<RunResult>,
    keep: &(dyn Fn(&[RunResult]) + Sync),
) -> Results {
    let seeds = scenario.seeds.len();
    let in_all = scenario.variants.len() * seeds;
    let mut runs = done_before;
    // What went wrong, or did not end, is run again.
    runs.retain(|run| run.is_good() && run.number < in_all);
    runs.sort_by_key(|run| run.number);
    runs.dedup_by_key(|run| run.number);
    let is_new = |number: &usize| runs.binary_search_by_key(number, |run| run.number).is_err();
    let mine: Vec<usize> = (0..in_all).filter(|number| options.shard.has(*number)).filter(is_new).collect();
    let (next, done, events) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicU64::new(0));
    let runs = Mutex::new(runs);
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.clamp(1, mine.len().max(1)) {
            scope.spawn(|| {
                while let Some(number) = mine.get(next.fetch_add(1, Ordering::Relaxed)).copied() {
                    if options.stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let (variant, seed) = (number / seeds, scenario.seeds[number % seeds]);
                    let plan = &scenario.variants[variant].plan;
                    let watch = Watch {
                        told: options.told,
                        stop: options.stop,
                        events: &events,
                        runs_done: done.load(Ordering::Relaxed),
                        runs: mine.len(),
                        of: plan.duration,
                    };
                    let one = one(plan, seed, How::default(), &watch);
                    done.fetch_add(1, Ordering::Relaxed);
                    let result = one.into_result(number, variant, seed);
                    let mut runs = runs.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    runs.push(result);
                    keep(&runs);
                }
            });
        }
    });
    Results::of(scenario, runs.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// Runs one variant with one seed, and gives its trace, too: what its taps saw, and the truth. (None is made at
/// population level, where scenarios with taps are refused.)
pub fn trace(plan: &Plan, seed: u64, told: &OnProgress<'_>, stop: &AtomicBool) -> (RunResult, Trace) {
    let one = alone(plan, seed, How { is_traced: true, ..How::default() }, told, stop);
    let trace = one.trace.clone();
    (one.into_result(0, 0, seed), trace)
}

/// Runs one variant with one seed, with its hosts made in reverse order: the result must be the same.
pub fn with_hosts_reversed(plan: &Plan, seed: u64) -> RunResult {
    let how = How { reversed: true, ..How::default() };
    alone(plan, seed, how, &|_| {}, &AtomicBool::new(false)).into_result(0, 0, seed)
}

/// Cells of exchanges on each user's link, from the user and to it: what node level and population level must agree on.
pub fn cells_on_user_links(plan: &Plan, seed: u64) -> Vec<[u64; 2]> {
    alone(plan, seed, How::default(), &|_| {}, &AtomicBool::new(false)).user_cells
}

/// One run on its own.
pub(crate) fn alone(plan: &Plan, seed: u64, how: How, told: &OnProgress<'_>, stop: &AtomicBool) -> One {
    let events = AtomicU64::new(0);
    one(plan, seed, how, &Watch { told, stop, events: &events, runs_done: 0, runs: 1, of: plan.duration })
}

/// What one run came to, at whatever level.
pub(crate) type One = Outcome;

fn one(plan: &Plan, seed: u64, how: How, watch: &Watch<'_>) -> One {
    let bytes = seed_bytes(seed);
    match (plan.level, plan.suite) {
        (Level::Nodes, SuiteName::Toy) => nodes::run::<Toy>(plan, &bytes, how, watch),
        (Level::Nodes, SuiteName::Real) => nodes::run::<Portable>(plan, &bytes, how, watch),
        (Level::Population, _) => {
            let counts = population::run(plan, &bytes, memory::of_run(plan), watch);
            let metrics = counts.metrics(plan, &bytes);
            let mut digest = Digest::new();
            metrics.iter().for_each(|metric| digest.note(&[metric.value.to_bits()]));
            for bins in [&counts.user_up, &counts.user_down, &counts.between] {
                digest.note(&bins.counts());
            }
            let complete = counts.users == plan.users;
            Outcome {
                metrics,
                digest: digest.to_hex(),
                problems: Vec::new(),
                complete,
                trace: Trace::default(),
                user_cells: counts.user_cells,
            }
        }
    }
}

impl One {
    fn into_result(self, number: usize, variant: usize, seed: u64) -> RunResult {
        let Self { metrics, digest, problems, complete, .. } = self;
        RunResult { number, variant, seed, metrics, digest, problems, complete }
    }
}

/// A run's seed from its number.
fn seed_bytes(seed: u64) -> [u8; 32] {
    Portable::hash(&[b"throng-sim seed", &seed.to_le_bytes()])
}

/// Nobody is told.
pub fn nobody(_: &Progress) {}
