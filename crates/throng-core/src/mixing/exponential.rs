//! Every cell waits on its own, exponentially.

use alloc::boxed::Box;
use core::fmt;
use core::time::Duration;

use super::each::Each;
use super::strategy::{AtWork, Strategy};
use crate::limits::DELAY_MAX;
use crate::text::{Span, span};
use crate::time::Time;

/// Every cell waits on its own, exponentially: of all delays with this mean the one with the greatest entropy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exponential {
    /// The mean.
    pub mean: Duration,
}

impl Strategy for Exponential {
    const NAME: &'static str = "exponential";
    const EXAMPLE: &'static str = "exponential=15ms (to 10s)";

    fn read(values: &mut dyn Iterator<Item = &str>) -> Option<Self> {
        span(values.next()?, DELAY_MAX).map(|mean| Self { mean })
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "={}", Span(self.mean))
    }

    fn long_delay(&self) -> Duration {
        self.mean.mul_f64(core::f64::consts::LN_10 * 2.0)
    }

    fn mean_delay(&self, _: f64) -> Duration {
        self.mean
    }

    fn left_within(&self, delay: Duration) -> Option<f64> {
        Some(1.0 - libm::exp(-delay.as_secs_f64() / self.mean.as_secs_f64()))
    }

    fn entropy_bits(&self, rate: f64) -> f64 {
        libm::log2(rate * self.mean.as_secs_f64() * core::f64::consts::E).max(0.0)
    }

    fn begin(&self, _: Time) -> Box<dyn AtWork> {
        let mean = self.mean;
        Box::new(Each::new(move |rng| mean.mul_f64(rng.exponential())))
    }
}
