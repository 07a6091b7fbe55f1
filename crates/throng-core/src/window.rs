//! Which numbers have been seen: a sliding window over counters that come out of order.

use alloc::boxed::Box;

use crate::limits::CIRCUIT_GAP_MAX;
use crate::refused::Refused;

/// Remembers the last `N` of a sequence of 32-bit numbers that may start anywhere and wrap around.
///
/// Its memory is taken when the first number comes, and grows with the span of what came: an idle circuit costs
/// nothing, a quiet link little.
pub(crate) struct Window<const N: usize> {
    /// One bit per number, at its value modulo the length in bits, a power of two. While that is below `N`, all numbers
    /// that ever came lie within it.
    seen: Option<Box<[u64]>>,
    newest: u32,
    /// How far back the oldest number lies, itself included; `N` at most.
    reach: u32,
}

impl<const N: usize> Window<N> {
    pub(crate) const fn new() -> Self {
        assert!(N.is_power_of_two() && N >= 64, "bits are addressed by the low part of a number");
        Self { seen: None, newest: 0, reach: 0 }
    }

    /// Whether `number` is new. If so it is not new any more.
    pub(crate) fn admit(&mut self, number: u32) -> bool {
        if self.seen.is_none() {
            self.seen = Some(alloc::vec![0; 1].into_boxed_slice());
            self.newest = number;
            self.reach = 1;
            self.mark(number);
            return true;
        }
        let ahead = number.wrapping_sub(self.newest);
        if ahead != 0 && ahead < 1 << 31 {
            self.advance(ahead as usize);
            self.newest = number;
        } else {
            let behind = self.newest.wrapping_sub(number) as usize;
            if behind >= N || self.has(number) {
                return false;
            }
            self.span(behind + 1);
            self.reach = self.reach.max(behind as u32 + 1);
        }
        self.mark(number);
        true
    }

    /// Whether [`admit`](Self::admit) would say so; nothing is remembered.
    pub(crate) fn is_new(&self, number: u32) -> bool {
        if self.seen.is_none() {
            return true;
        }
        let ahead = number.wrapping_sub(self.newest);
        if ahead != 0 && ahead < 1 << 31 {
            return true;
        }
        (self.newest.wrapping_sub(number) as usize) < N && !self.has(number)
    }

    /// How many numbers `number` would leave out, if it lies ahead of all that came; nothing if it lies behind.
    pub(crate) fn gap(&self, number: u32) -> Option<u32> {
        if self.seen.is_none() {
            return Some(0);
        }
        let ahead = number.wrapping_sub(self.newest);
        (ahead != 0 && ahead < 1 << 31).then(|| ahead - 1)
    }

    /// Goes forward. The numbers that are jumped over have not been seen; those that fall out are forgotten.
    fn advance(&mut self, ahead: usize) {
        let reach = (self.reach as usize + ahead).min(N);
        self.span(reach);
        self.reach = reach as u32;
        let Some(seen) = self.seen.as_mut() else { return };
        let bits = seen.len() * 64;
        if ahead >= bits {
            return seen.fill(0);
        }
        for step in 1..=ahead as u32 {
            let bit = self.newest.wrapping_add(step) as usize % bits;
            seen[bit / 64] &= !(1 << (bit % 64));
        }
    }

    /// Makes room for the last `numbers` numbers, `N` at most.
    fn span(&mut self, numbers: usize) {
        let (old, new) = (self.bits(), numbers.next_power_of_two().clamp(64, N));
        if new <= old {
            return;
        }
        let mut wider = alloc::vec![0u64; new / 64].into_boxed_slice();
        for back in 0..old as u32 {
            let number = self.newest.wrapping_sub(back);
            if self.has(number) {
                let bit = number as usize % new;
                wider[bit / 64] |= 1 << (bit % 64);
            }
        }
        self.seen = Some(wider);
    }

    fn bits(&self) -> usize {
        self.seen.as_ref().map_or(0, |seen| seen.len() * 64)
    }

    /// Whether a number within `N` of the newest was seen.
    fn has(&self, number: u32) -> bool {
        let Some(seen) = self.seen.as_ref() else { return false };
        let bits = seen.len() * 64;
        let bit = number as usize % bits;
        (self.newest.wrapping_sub(number) as usize) < bits && seen[bit / 64] & 1 << (bit % 64) != 0
    }

    fn mark(&mut self, number: u32) {
        if let Some(seen) = self.seen.as_mut() {
            let bit = number as usize % (seen.len() * 64);
            seen[bit / 64] |= 1 << (bit % 64);
        }
    }
}

/// A window in which numbers that are left out cost, and are given back when they come late; every number that comes
/// earns a quarter of one.
///
/// Whoever chooses numbers can write messages into gaps, past honest mixes to another one in the same hands; and with two
/// jumps of 2^31 all that was seen would be new again.
pub(crate) struct Rationed<const N: usize> {
    window: Window<N>,
    /// Numbers that may still be left out, in quarters.
    quarters: u32,
}

impl<const N: usize> Rationed<N> {
    pub(crate) const fn new() -> Self {
        Self { window: Window::new(), quarters: 4 * CIRCUIT_GAP_MAX }
    }

    /// Takes a number that is new.
    ///
    /// # Errors
    /// [`Refused::OutOfPlace`] if it leaves out too many, [`Refused::ReplayedCell`] if it is not new.
    pub(crate) fn admit(&mut self, number: u32) -> Result<(), Refused> {
        let left = match self.window.gap(number) {
            Some(gap) => self.quarters.checked_sub(gap.saturating_mul(4)).ok_or(Refused::OutOfPlace)?,
            None => self.quarters + 4,
        };
        if !self.window.admit(number) {
            return Err(Refused::ReplayedCell);
        }
        self.quarters = (left + 1).min(4 * CIRCUIT_GAP_MAX);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_number_passes_once_also_around_the_end() {
        let mut window = Window::<64>::new();
        for number in [u32::MAX - 2, u32::MAX, 1, 0, u32::MAX - 1, 60] {
            assert!(window.admit(number), "{number}");
            assert!(!window.admit(number), "{number} again");
        }
        assert!(!window.admit(u32::MAX - 5), "older than the window");
    }

    #[test]
    fn no_jumps_make_an_old_number_new() {
        let mut rationed = Rationed::<64>::new();
        assert_eq!(rationed.admit(7), Ok(()));
        assert_eq!(rationed.admit(7 + (1 << 31) - 1), Err(Refused::OutOfPlace));
        assert_eq!(rationed.admit(8 + CIRCUIT_GAP_MAX), Ok(()), "what may be under way may be lost");
        assert_eq!(
            rationed.admit(8 + 2 * CIRCUIT_GAP_MAX),
            Err(Refused::OutOfPlace),
            "but not again at once"
        );
        assert_eq!(rationed.admit(9 + CIRCUIT_GAP_MAX), Ok(()));
        assert_eq!(rationed.admit(9 + CIRCUIT_GAP_MAX), Err(Refused::ReplayedCell));
    }

    proptest! {
        /// Against a model that remembers everything: never twice, and never refused within the window.
        #[test]
        fn agrees_with_a_perfect_memory(start: u32, steps in proptest::collection::vec(prop_oneof![-400i64..600, -3i64..4], 1..500)) {
            let mut window = Window::<256>::new();
            let mut seen = BTreeSet::new();
            let (mut at, mut newest) = (0i64, i64::MIN);
            for step in steps {
                at += step;
                let number = start.wrapping_add(at as u32);
                prop_assert_eq!(window.is_new(number), { let mut copy = Window::<256> { seen: window.seen.clone(), newest: window.newest, reach: window.reach }; copy.admit(number) });
                let admitted = window.admit(number);
                let expected = !seen.contains(&at) && (newest == i64::MIN || at > newest - 256);
                prop_assert_eq!(admitted, expected, "{} of {}", at, newest);
                seen.insert(at);
                newest = newest.max(at);
            }
        }
    }
}
