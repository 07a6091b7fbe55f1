//! Numbers into a replay window, and into one with a ration of gaps, beside a memory that forgets nothing.

use alloc::collections::BTreeSet;

use super::choices::Choices;
use crate::limits::CIRCUIT_GAP_MAX;
use crate::refused::Refused;
use crate::window::{Rationed, Window};

const SPAN: usize = 256;

/// Numbers that may start anywhere, and go back and forth.
pub fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let start = choices.u32();
    let mut windows = Beside::<SPAN>::new();
    let mut rationed = Rationed::<SPAN>::new();
    let mut taken = BTreeSet::new();
    let mut at = 0i64;
    while !choices.is_empty() {
        at += match choices.below(4) {
            0 => 1,
            1 => i64::from(choices.u8() as i8),
            2 => i64::from(choices.u16() as i16),
            _ => i64::from(choices.u32() as i32 >> 1), // half of all numbers: what is further lies behind
        };
        windows.admit(start, at);
        let number = start.wrapping_add(at as u32);
        match rationed.admit(number) {
            Ok(()) => {
                assert!(rationed.has_seen(number), "what was taken was seen");
                assert!(taken.insert(number) || is_far_behind(&taken, number), "{number} passed twice");
            }
            Err(Refused::OutOfPlace | Refused::ReplayedCell) => {}
            Err(other) => panic!("{other:?} is no answer of a window"),
        }
    }
}

/// A ration cannot be got around, so no number comes again before all others could have come.
fn is_far_behind(taken: &BTreeSet<u32>, _: u32) -> bool {
    taken.len() as u64 * u64::from(CIRCUIT_GAP_MAX) > u64::from(u32::MAX)
}

/// A window and a memory that forgets nothing.
struct Beside<const N: usize> {
    window: Window<N>,
    seen: BTreeSet<i64>,
    newest: Option<i64>,
}

impl<const N: usize> Beside<N> {
    const fn new() -> Self {
        Self { window: Window::new(), seen: BTreeSet::new(), newest: None }
    }

    fn admit(&mut self, start: u32, at: i64) {
        // Further ahead than half of all numbers is behind: there the memory would have to forget as well.
        if self.newest.is_some_and(|newest| (at - newest).unsigned_abs() >= 1 << 31) {
            return;
        }
        let number = start.wrapping_add(at as u32);
        let is_within = self.newest.is_none_or(|newest| at > newest - N as i64);
        let expected = is_within && !self.seen.contains(&at);
        assert_eq!(self.window.is_new(number), expected, "{at} of {:?}", self.newest);
        let gap = self.newest.map_or(Some(0), |newest| (at > newest).then(|| (at - newest - 1) as u32));
        assert_eq!(self.window.gap(number), gap, "before {at} of {:?}", self.newest);
        assert_eq!(self.window.admit(number), expected, "{at} of {:?}", self.newest);
        let was_seen = is_within && (expected || self.seen.contains(&at));
        assert_eq!(self.window.has_seen(number), was_seen, "{at} of {:?}", self.newest);
        if expected {
            self.seen.insert(at);
            self.newest = self.newest.max(Some(at));
        }
    }
}
