//! How often something may happen.

use crate::time::Time;

/// A token bucket: so many per second, and as many at once.
pub(crate) struct Bucket {
    per_second: u32,
    /// Tokens, in billionths.
    tokens: u64,
    filled: Time,
}

const ONE: u64 = 1_000_000_000;

impl Bucket {
    pub(crate) fn new(per_second: u32, now: Time) -> Self {
        Self { per_second, tokens: u64::from(per_second) * ONE, filled: now }
    }

    /// Takes a token if there is one.
    pub(crate) fn take(&mut self, now: Time) -> bool {
        let per_second = u64::from(self.per_second);
        let passed = u64::try_from((now - self.filled).as_nanos()).unwrap_or(u64::MAX);
        self.filled = now;
        self.tokens = self.tokens.saturating_add(passed.saturating_mul(per_second)).min(per_second * ONE);
        let granted = self.tokens >= ONE;
        if granted {
            self.tokens -= ONE;
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_rate_and_no_more() {
        let mut bucket = Bucket::new(10, Time::ZERO);
        let granted = (0..2000).filter(|i| bucket.take(Time::from_nanos(i * 1_000_000))).count();
        assert!((29..=30).contains(&granted), "ten at once, and ten a second for two seconds: {granted}");
    }
}
