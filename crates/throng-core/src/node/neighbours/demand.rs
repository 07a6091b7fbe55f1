//! The rate that all demand-driven links of a mix have in common.

use core::time::Duration;

use crate::limits::{DEMAND_HOLD, DEMAND_TICK};
use crate::time::Time;

/// The rate that all links of a mix have in common.
pub(super) struct CommonRate {
    least: Duration,
    most: Duration,
    gap: Duration,
    /// When the rate was needed last.
    needed: Time,
    /// When it is set anew.
    pub(super) tick: Time,
}

impl CommonRate {
    /// Between these two gaps.
    pub(super) fn new((least, most): (Duration, Duration), now: Time) -> Self {
        Self { least, most, gap: least, needed: now, tick: next_tick(now) }
    }

    /// A tick begins: when, and the next one is due later.
    pub(super) fn begin_tick(&mut self, now: Time) -> Time {
        let tick = self.tick;
        self.tick = next_tick(tick.max(now));
        tick
    }

    /// The gap that carries so many datagrams in a tick: narrower at once, wider only after a while, and then not more
    /// than twice.
    pub(super) fn follow(&mut self, datagrams: u64, tick: Time) -> Duration {
        let wanted = DEMAND_TICK.div_f64(datagrams.max(1) as f64).clamp(self.most, self.least);
        if wanted <= self.gap + self.gap / 3 {
            (self.gap, self.needed) = (wanted.min(self.gap), tick);
        } else if tick - self.needed >= DEMAND_HOLD {
            (self.gap, self.needed) = (wanted.min(self.gap * 2), tick);
        }
        self.gap
    }
}

fn next_tick(after: Time) -> Time {
    let tick = DEMAND_TICK.as_nanos() as u64;
    Time::from_nanos((after.as_nanos() / tick + 1) * tick)
}
