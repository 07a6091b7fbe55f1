//! Cells wait for the end of an interval that all have in common: the text and the law of such strategies.

use alloc::boxed::Box;
use core::fmt;
use core::time::Duration;

use super::strategy::{AtWork, Strategy, entropy_of_a_batch, share};
use crate::limits::BATCH_EVERY_MAX;
use crate::text::{Span, span};
use crate::time::Time;

/// A strategy that is told by the length of its intervals.
pub(super) trait Interval: Copy {
    /// See [`Strategy::NAME`].
    const NAME: &'static str;
    /// See [`Strategy::EXAMPLE`].
    const EXAMPLE: &'static str;

    /// The strategy with such intervals.
    fn of(every: Duration) -> Self;
    /// Their length.
    fn every(&self) -> Duration;
    /// See [`Strategy::begin`].
    fn begin(&self, now: Time) -> Box<dyn AtWork>;
}

impl<I: Interval> Strategy for I {
    const NAME: &'static str = <I as Interval>::NAME;
    const EXAMPLE: &'static str = <I as Interval>::EXAMPLE;

    fn read(values: &mut dyn Iterator<Item = &str>) -> Option<Self> {
        span(values.next()?, BATCH_EVERY_MAX).map(Self::of)
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "={}", Span(self.every()))
    }

    fn long_delay(&self) -> Duration {
        self.every()
    }

    fn mean_delay(&self, _: f64) -> Duration {
        self.every() / 2
    }

    fn left_within(&self, delay: Duration) -> Option<f64> {
        Some(share(delay, self.every()))
    }

    fn entropy_bits(&self, rate: f64) -> f64 {
        entropy_of_a_batch(rate * self.every().as_secs_f64())
    }

    fn begin(&self, now: Time) -> Box<dyn AtWork> {
        Interval::begin(self, now)
    }
}

/// The end of the interval after `last` in which `now` lies. Counted from the first one, never from "now": a late
/// wake-up must not move what comes after it.
pub(super) fn end_of_interval(last: Time, every: Duration, now: Time) -> Time {
    let every = (every.as_nanos() as u64).max(1);
    let passed = (now - last).as_nanos() as u64 / every;
    Time::from_nanos(last.as_nanos() + (passed + 1) * every)
}
