//! How a run tells how far it is, and how it is told to stop.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How far one run is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Runs that are finished, of this shard,
    pub runs_done: usize,
    /// and runs in all.
    pub runs: usize,
    /// Virtual time that has passed in this run.
    pub simulated: Duration,
    /// Virtual time that will.
    pub of: Duration,
    /// What happened in all runs so far: datagrams, timers, visits. (Events per second: the caller has the clock.)
    pub events: u64,
    /// Memory that this run takes, about, bytes.
    pub memory_bytes: u64,
}

/// Somebody who is told of progress, from any thread.
pub type OnProgress<'t> = dyn Fn(&Progress) + Sync + 't;

/// What one run counts for its progress.
#[derive(Default)]
pub(crate) struct Ticks {
    pub(crate) events: u64,
    said: std::cell::Cell<u64>,
}

impl Ticks {
    pub(crate) fn new() -> Self {
        Self::default()
    }
}

/// The outer world, as a run sees it.
pub(crate) struct Watch<'t> {
    pub(crate) told: &'t OnProgress<'t>,
    pub(crate) stop: &'t AtomicBool,
    /// Of all runs.
    pub(crate) events: &'t AtomicU64,
    pub(crate) runs_done: usize,
    pub(crate) runs: usize,
    pub(crate) of: Duration,
}

impl Watch<'_> {
    /// Tells how far the run is. Whether it shall stop.
    pub(crate) fn tick(&self, ticks: &Ticks, simulated: Duration, memory_bytes: u64) -> bool {
        let new = ticks.events - ticks.said.replace(ticks.events);
        let events = self.events.fetch_add(new, Ordering::Relaxed) + new;
        let (runs_done, runs, of) = (self.runs_done, self.runs, self.of);
        (self.told)(&Progress { runs_done, runs, simulated, of, events, memory_bytes });
        self.stop.load(Ordering::Relaxed)
    }
}
