//! What a client's cover may cost.
//!
//! Every slot counts, whatever was in it: when a budget is spent follows from the schedule and the clock, not from what the
//! user does.

use crate::limits::SLOT_GUARD;
use crate::time::Time;

/// What a client may spend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Bytes a day (UTC) that go out in slots, real ones included; none: as many as the design says.
    pub bytes_per_day: Option<u64>,
}

/// What is left.
pub(crate) struct Purse {
    budget: Budget,
    day: u64,
    used: u64,
    /// The owner permits it.
    pub(crate) may_spend: bool,
}

const DAY_SECONDS: u64 = 86_400;

impl Purse {
    pub(crate) fn new(budget: Budget) -> Self {
        Self { budget, day: 0, used: 0, may_spend: true }
    }

    /// Notes what a slot cost.
    pub(crate) fn pay(&mut self, bytes: u64, now: Time) {
        let day = now.as_secs() / DAY_SECONDS;
        if day != self.day {
            (self.day, self.used) = (day, 0);
        }
        self.used = self.used.saturating_add(bytes);
    }

    /// Whether there is something left, and the owner lets us spend it.
    pub(crate) fn is_open(&self, now: Time) -> bool {
        self.may_spend && !self.is_spent(now)
    }

    /// Whether nothing is left for today.
    pub(crate) fn is_spent(&self, now: Time) -> bool {
        let is_today = now.as_secs() / DAY_SECONDS == self.day;
        is_today && self.budget.bytes_per_day.is_some_and(|most| self.used >= most)
    }

    /// When the next day begins, in terms of slots: what is due then is looked at a guard time before.
    pub(crate) fn next_day(now: Time) -> Time {
        Time::from_secs((now.as_secs() / DAY_SECONDS + 1) * DAY_SECONDS) + SLOT_GUARD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_spent_and_comes_back_the_next_day() {
        let noon = Time::from_secs(10 * DAY_SECONDS + 43_200);
        let mut purse = Purse::new(Budget { bytes_per_day: Some(1000) });
        purse.pay(999, noon);
        assert!(purse.is_open(noon));
        purse.pay(1, noon);
        assert!(!purse.is_open(noon));
        let tomorrow = Purse::next_day(noon);
        assert_eq!(tomorrow, Time::from_secs(11 * DAY_SECONDS) + SLOT_GUARD);
        assert!(purse.is_open(tomorrow));
        purse.pay(1, tomorrow);
        purse.may_spend = false;
        assert!(!purse.is_open(tomorrow), "the owner does not want it now");
        assert!(Purse::new(Budget::default()).is_open(noon));
    }
}
