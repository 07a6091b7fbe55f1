//! What has to be looked at, and when. Every owner has at most one entry.

use alloc::collections::BTreeSet;

use crate::circuit::{OwnKey, RelayKey};
use crate::link::LinkKey;
use crate::time::Time;

/// Who wants to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    Link(LinkKey),
    Relay(RelayKey),
    Own(OwnKey),
    Supply,
    Exchange,
    Mesh,
}

/// The moments of all timers.
#[derive(Default)]
pub(crate) struct Timers(BTreeSet<(Time, Timer)>);

/// When an owner's entry is due; kept by the owner, so that entries are found without a search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due(Time);

impl Due {
    pub(crate) const NONE: Self = Self(Time::NEVER);
}

impl Timers {
    /// Moves an owner's entry to `at`.
    pub(crate) fn set(&mut self, due: &mut Due, at: Time, timer: Timer) {
        if due.0 == at {
            return;
        }
        self.unset(due, timer);
        if at != Time::NEVER {
            self.0.insert((at, timer));
            due.0 = at;
        }
    }

    /// Moves an owner's entry to `at` unless it is due before.
    pub(crate) fn by(&mut self, due: &mut Due, at: Time, timer: Timer) {
        if at < due.0 {
            self.set(due, at, timer);
        }
    }

    /// Takes an owner's entry out.
    pub(crate) fn unset(&mut self, due: &mut Due, timer: Timer) {
        if due.0 != Time::NEVER {
            self.0.remove(&(due.0, timer));
            due.0 = Time::NEVER;
        }
    }

    /// The next timer that is due at `now`, taken out. Its owner's [`Due`] is stale until it is set again.
    pub(crate) fn pop(&mut self, now: Time) -> Option<Timer> {
        let (at, timer) = *self.0.first()?;
        if at > now {
            return None;
        }
        self.0.pop_first();
        if self.0.is_empty() {
            self.0 = BTreeSet::new(); // an empty tree may keep a node's memory
        }
        Some(timer)
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Time {
        self.0.first().map_or(Time::NEVER, |(at, _)| *at)
    }
}
