//! Every cell waits on its own, uniformly.

use alloc::boxed::Box;
use core::fmt;
use core::time::Duration;

use super::each::Each;
use super::strategy::{AtWork, Strategy, share};
use crate::limits::DELAY_MAX;
use crate::text::{Span, span};
use crate::time::Time;

/// Every cell waits on its own, uniformly between nothing and `most`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uniform {
    /// The longest delay; twice the mean.
    pub most: Duration,
}

impl Strategy for Uniform {
    const NAME: &'static str = "uniform";
    const EXAMPLE: &'static str = "uniform=20ms (to 10s)";

    fn read(values: &mut dyn Iterator<Item = &str>) -> Option<Self> {
        span(values.next()?, DELAY_MAX).map(|most| Self { most })
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "={}", Span(self.most))
    }

    fn long_delay(&self) -> Duration {
        self.most
    }

    fn mean_delay(&self, _: f64) -> Duration {
        self.most / 2
    }

    fn left_within(&self, delay: Duration) -> Option<f64> {
        Some(share(delay, self.most))
    }

    fn entropy_bits(&self, rate: f64) -> f64 {
        libm::log2(rate * self.most.as_secs_f64()).max(0.0)
    }

    fn begin(&self, _: Time) -> Box<dyn AtWork> {
        let most = self.most;
        Box::new(Each::new(move |rng| most.mul_f64(rng.unit())))
    }
}
