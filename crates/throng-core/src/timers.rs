//! What has to be looked at, and when. Every owner has at most one entry.

use alloc::collections::BTreeSet;

use crate::id::NeighbourKey;
use crate::id::{OriginKey, RelayKey};
use crate::time::Time;

/// Who wants to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    Link(NeighbourKey),
    Relay(RelayKey),
    Origin(OriginKey),
    Supply,
    Exchange,
    Mesh,
}

/// The moments of all timers.
pub(crate) struct Timers {
    entries: BTreeSet<(Time, Timer)>,
    /// When the first of them is due: every step asks, and a tree has its first entry far down.
    next: Time,
}

impl Default for Timers {
    fn default() -> Self {
        Self { entries: BTreeSet::new(), next: Time::NEVER }
    }
}

/// When an owner's entry is due; kept by the owner, so that entries are found without a search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due(Time);

impl Due {
    pub(crate) const NONE: Self = Self(Time::NEVER);

    /// Whether its owner is to be looked at then.
    pub(crate) fn is_at(self, at: Time) -> bool {
        self.0 == at
    }
}

impl Timers {
    /// Moves an owner's entry to `at`.
    pub(crate) fn set(&mut self, due: &mut Due, at: Time, timer: Timer) {
        if due.0 == at {
            return;
        }
        self.unset(due, timer);
        if at != Time::NEVER {
            self.entries.insert((at, timer));
            due.0 = at;
            self.next = self.next.min(at);
        }
    }

    /// Moves an owner's entry to `at` unless it is due before.
    pub(crate) fn no_later_than(&mut self, due: &mut Due, at: Time, timer: Timer) {
        if at < due.0 {
            self.set(due, at, timer);
        }
    }

    /// Takes an owner's entry out.
    pub(crate) fn unset(&mut self, due: &mut Due, timer: Timer) {
        if due.0 != Time::NEVER {
            self.entries.remove(&(due.0, timer));
            if due.0 == self.next {
                self.look_again();
            }
            due.0 = Time::NEVER;
        }
    }

    /// The next timer that is due at `now`, taken out. Its owner's [`Due`] is stale until it is set again.
    pub(crate) fn pop(&mut self, now: Time) -> Option<Timer> {
        if self.next > now {
            return None;
        }
        let (_, timer) = self.entries.pop_first()?;
        if self.entries.is_empty() {
            self.entries = BTreeSet::new(); // an empty tree may keep a node's memory
        }
        self.look_again();
        Some(timer)
    }

    /// All entries, for whoever audits them.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (Time, Timer)> {
        self.entries.iter().copied()
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Time {
        self.next
    }

    fn look_again(&mut self) {
        self.next = self.entries.first().map_or(Time::NEVER, |(at, _)| *at);
    }
}
