//! How often something may happen.

use core::time::Duration;

use crate::time::Time;

/// A token bucket: so many at once, and one more each time that a span has passed.
pub(crate) struct Bucket {
    most: u32,
    /// What a token takes to come, microseconds.
    every_us: u32,
    /// What has passed and was not used, microseconds.
    saved_us: u64,
    filled: Time,
}

impl Bucket {
    /// So many per second, and as many at once.
    pub(crate) fn new(per_second: u32, now: Time) -> Self {
        Self::of(per_second, Duration::from_secs(1) / per_second.max(1), now)
    }

    /// `most` at once, and another one each time that `every` has passed: a microsecond to an hour.
    pub(crate) fn of(most: u32, every: Duration, now: Time) -> Self {
        let every_us = u32::try_from(every.as_micros()).unwrap_or(u32::MAX).max(1);
        Self { most, every_us, saved_us: u64::from(most) * u64::from(every_us), filled: now }
    }

    /// Takes a token if there is one.
    pub(crate) fn take(&mut self, now: Time) -> bool {
        let passed = u64::try_from((now - self.filled).as_micros()).unwrap_or(u64::MAX);
        self.filled = self.filled + Duration::from_micros(passed);
        let each = u64::from(self.every_us);
        self.saved_us = self.saved_us.saturating_add(passed).min(u64::from(self.most) * each);
        let granted = self.saved_us >= each;
        if granted {
            self.saved_us -= each;
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn a_bucket_gives_its_rate_and_no_more() {
        let mut bucket = Bucket::new(10, Time::ZERO);
        let granted = (0..2000).filter(|i| bucket.take(Time::from_nanos(i * 1_000_000))).count();
        assert!((29..=30).contains(&granted), "ten at once, and ten a second for two seconds: {granted}");
    }

    #[test]
    fn a_slow_bucket_gives_one_after_each_span() {
        let mut bucket = Bucket::of(3, Duration::from_secs(20), Time::ZERO);
        let granted: Vec<u64> = (0..100).filter(|second| bucket.take(Time::from_secs(*second))).collect();
        assert_eq!(granted, [0, 1, 2, 20, 40, 60, 80]);
    }
}
