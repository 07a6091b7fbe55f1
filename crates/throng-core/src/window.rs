//! Which numbers have been seen: a sliding window over counters that come out of order.

use alloc::boxed::Box;

/// Remembers the last `N` of a sequence of 32-bit numbers that may start anywhere and wrap around.
///
/// Its memory is taken when the first number comes: an idle circuit costs nothing.
pub(crate) struct Window<const N: usize> {
    /// One bit per number, at its value modulo `N`.
    seen: Option<Box<[u64]>>,
    newest: u32,
}

impl<const N: usize> Window<N> {
    pub(crate) const fn new() -> Self {
        assert!(N.is_power_of_two() && N >= 64, "bits are addressed by the low part of a number");
        Self { seen: None, newest: 0 }
    }

    /// Whether `number` is new. If so it is not new any more.
    pub(crate) fn admit(&mut self, number: u32) -> bool {
        let Some(seen) = self.seen.as_mut() else {
            self.seen = Some(alloc::vec![0; N / 64].into_boxed_slice());
            self.newest = number;
            self.mark(number);
            return true;
        };
        let ahead = number.wrapping_sub(self.newest);
        if ahead != 0 && ahead < 1 << 31 {
            // The numbers that were jumped over have not been seen; those that fall out are forgotten.
            if ahead as usize >= N {
                seen.fill(0);
            } else {
                (1..=ahead).for_each(|step| clear::<N>(seen, self.newest.wrapping_add(step)));
            }
            self.newest = number;
        } else if self.newest.wrapping_sub(number) as usize >= N || self.has(number) {
            return false;
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

    fn has(&self, number: u32) -> bool {
        let bit = number as usize % N;
        self.seen.as_ref().is_some_and(|seen| seen[bit / 64] & 1 << (bit % 64) != 0)
    }

    fn mark(&mut self, number: u32) {
        let bit = number as usize % N;
        if let Some(seen) = self.seen.as_mut() {
            seen[bit / 64] |= 1 << (bit % 64);
        }
    }
}

fn clear<const N: usize>(seen: &mut [u64], number: u32) {
    let bit = number as usize % N;
    seen[bit / 64] &= !(1 << (bit % 64));
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

    proptest! {
        /// Against a model that remembers everything: never twice, and never refused within the window.
        #[test]
        fn agrees_with_a_perfect_memory(start: u32, steps in proptest::collection::vec(-100i64..200, 1..500)) {
            let mut window = Window::<64>::new();
            let mut seen = BTreeSet::new();
            let (mut at, mut newest) = (0i64, i64::MIN);
            for step in steps {
                at += step;
                let number = start.wrapping_add(at as u32);
                prop_assert_eq!(window.is_new(number), { let mut copy = Window::<64> { seen: window.seen.clone(), newest: window.newest }; copy.admit(number) });
                let admitted = window.admit(number);
                let expected = !seen.contains(&at) && (newest == i64::MIN || at > newest - 64);
                prop_assert_eq!(admitted, expected, "{} of {}", at, newest);
                seen.insert(at);
                newest = newest.max(at);
            }
        }
    }
}
