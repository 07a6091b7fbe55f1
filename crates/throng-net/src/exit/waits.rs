//! How long names take at an exit.
//!
//! What an exit looked up last, it and its name servers know for a while. If it answered sooner for that, whoever asks for a
//! name could tell that somebody else had (for Tor's exits: Dahlberg and Pulls, "Timeless Timing Attacks and Preload Defenses in
//! Tor's DNS Cache", USENIX Security 2023). So whoever asks after others waits as long as the first of them did.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::request::Name;

/// Names of which is remembered how long they took: more than a [`Resolver`](super::Resolver) keeps answers.
const NAMES_MAX: usize = 16_384;
/// Names of which is remembered that a circuit has waited for them.
const WAITED_FOR_MAX: usize = 256;
/// Nobody waits longer than this for an answer that is there already.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// How long each name took that was looked up of late.
pub(super) struct Waits {
    /// Names themselves would be a list of what users visit.
    hasher: RandomState,
    took: Mutex<Took>,
}

#[derive(Default)]
struct Took {
    times: HashMap<u64, Duration>,
    /// The names, those first that were looked up first.
    order: VecDeque<u64>,
}

/// The names that a circuit has waited for.
#[derive(Debug, Default)]
pub(super) struct WaitedFor(Mutex<HashSet<u64>>);

impl Waits {
    pub(super) fn new() -> Self {
        Self { hasher: RandomState::new(), took: Mutex::default() }
    }

    /// The answer for a name took so long. How much longer a circuit waits for it.
    pub(super) fn rest(&self, name: &Name, took: Duration, circuit: &WaitedFor) -> Duration {
        let name = self.hasher.hash_one(name);
        let longest = self.took.lock().unwrap_or_else(PoisonError::into_inner).note(name, took);
        let mut waited_for = circuit.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waited_for.contains(&name) {
            return Duration::ZERO;
        }
        if waited_for.len() < WAITED_FOR_MAX {
            waited_for.insert(name);
        }
        longest.min(WAIT_MAX).saturating_sub(took)
    }
}

impl Took {
    /// The longest that it took.
    fn note(&mut self, name: u64, took: Duration) -> Duration {
        if let Some(longest) = self.times.get_mut(&name) {
            *longest = took.max(*longest);
            return *longest;
        }
        if self.order.len() >= NAMES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.times.remove(&oldest);
        }
        self.order.push_back(name);
        self.times.insert(name, took);
        took
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn whoever_asks_after_others_waits_as_long_as_the_first_and_once() {
        let (waits, name) = (Waits::new(), Name::new("a.example").unwrap());
        let (first, second) = (WaitedFor::default(), WaitedFor::default());
        assert_eq!(waits.rest(&name, 32 * MILLI, &first), Duration::ZERO);
        assert_eq!(waits.rest(&name, MILLI, &second), 31 * MILLI, "as if nobody had asked");
        assert_eq!(waits.rest(&name, MILLI, &first), Duration::ZERO, "it knows that it asked");
        assert_eq!(waits.rest(&name, MILLI, &second), Duration::ZERO);
        let other = Name::new("b.example").unwrap();
        assert_eq!(waits.rest(&other, 5000 * MILLI, &first), Duration::ZERO);
        assert_eq!(waits.rest(&other, MILLI, &second), WAIT_MAX - MILLI, "a bad moment does not last");
    }

    #[test]
    fn what_is_remembered_has_bounds() {
        let (waits, circuit) = (Waits::new(), WaitedFor::default());
        for number in 0..NAMES_MAX + 10 {
            waits.rest(&Name::new(&format!("{number}.example")).unwrap(), MILLI, &circuit);
        }
        let took = waits.took.lock().unwrap();
        assert_eq!((took.times.len(), took.order.len()), (NAMES_MAX, NAMES_MAX));
        assert_eq!(circuit.0.lock().unwrap().len(), WAITED_FOR_MAX);
    }
}
