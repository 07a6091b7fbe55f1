//! What each strategy does, in closed form: its delay, and how little an observer knows of which cell is which.
//!
//! Entropies are those of one cell that leaves, over the cells that it may have been, for Poisson arrivals and an observer
//! who sees all arrivals and departures of the mix (Serjantov and Danezis 2002).

use core::time::Duration;

use super::{Fire, Mixing, Pool};

impl Mixing {
    /// The mean of the delay, where `rate` cells arrive per second.
    ///
    /// Slices: where rounds end by their time.
    pub fn mean_delay(self, rate: f64) -> Duration {
        match self {
            Self::None => Duration::ZERO,
            Self::Batch { every } | Self::Slices { every } => every / 2,
            Self::Pool(pool) => Duration::from_secs_f64(pool.mean_delay(rate)),
            Self::Exponential { mean } => mean,
            Self::Uniform { most } => most / 2,
        }
    }

    /// The probability that a cell has left after `delay`. Pools count in rounds: [`Pool::left_within`].
    pub fn left_within(self, delay: Duration) -> Option<f64> {
        let share = |whole: Duration| (delay.as_secs_f64() / whole.as_secs_f64()).min(1.0);
        match self {
            Self::None => Some(1.0),
            Self::Batch { every } | Self::Slices { every } => Some(share(every)),
            Self::Pool(_) => None,
            Self::Exponential { mean } => Some(1.0 - libm::exp(-delay.as_secs_f64() / mean.as_secs_f64())),
            Self::Uniform { most } => Some(share(most)),
        }
    }

    /// Bits that an observer lacks about one cell, where `rate` cells arrive per second.
    pub fn entropy_bits(self, rate: f64) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Batch { every } | Self::Slices { every } => of_a_batch(rate * every.as_secs_f64()),
            Self::Pool(pool) => pool.entropy_bits(rate),
            Self::Exponential { mean } => {
                libm::log2(rate * mean.as_secs_f64() * core::f64::consts::E).max(0.0)
            }
            Self::Uniform { most } => libm::log2(rate * most.as_secs_f64()).max(0.0),
        }
    }
}

impl Pool {
    /// Cells that leave in one round.
    fn leave(self, rate: f64) -> f64 {
        match self.fire {
            Fire::Threshold(cells) => cells.into(),
            Fire::Every(every) => rate * every.as_secs_f64(),
        }
    }

    /// The probability that a cell has left within so many rounds: 1 - (f/(n+f))^rounds.
    pub fn left_within(self, rounds: u32, rate: f64) -> f64 {
        let keep = f64::from(self.keep);
        1.0 - libm::pow(keep / (self.leave(rate) + keep), rounds.into())
    }

    /// n/N rounds in the pool, and half a round before the first.
    fn mean_delay(self, rate: f64) -> f64 {
        let (leave, keep) = (self.leave(rate), f64::from(self.keep));
        match self.fire {
            Fire::Threshold(_) => (keep + (leave - 1.0) / 2.0) / rate,
            Fire::Every(every) => every.as_secs_f64() * (0.5 + keep / leave),
        }
    }

    /// (1 + n/N) log2(N + n) - (n/N) log2 n, of N that leave and n that stay.
    fn entropy_bits(self, rate: f64) -> f64 {
        let (leave, keep) = (self.leave(rate), f64::from(self.keep));
        let staying = if keep == 0.0 { 0.0 } else { keep / leave * libm::log2(keep) };
        (1.0 + keep / leave) * libm::log2(leave + keep) - staying
    }
}

/// The mean of log2(1 + N), for the Poisson many others of a cell's batch.
fn of_a_batch(mean: f64) -> f64 {
    let mut probability = libm::exp(-mean);
    if probability == 0.0 {
        return libm::log2(1.0 + mean); // so many that their number hardly varies
    }
    let mut sum = 0.0;
    for others in 1..(mean * 10.0 + 100.0) as u32 {
        probability *= mean / f64::from(others);
        sum += probability * libm::log2(1.0 + f64::from(others));
    }
    sum
}
