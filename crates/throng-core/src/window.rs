//! Which numbers have been seen: a sliding window over counters that come out of order.

use alloc::boxed::Box;

use crate::limits::CIRCUIT_GAP_MAX;
use crate::refused::Refused;

/// Remembers the last `N` of a sequence of 32-bit numbers that may start anywhere and wrap around.
///
/// Its memory grows with the span of what came: an idle circuit costs nothing, a quiet link little.
#[derive(Clone)]
pub(crate) struct Window<const N: usize> {
    /// A bit for each number of the newest one's word: all that most numbers touch.
    front: u64,
    /// The words before it, each at its place modulo their count, a power of two. While they are fewer than `N / 64`, all
    /// numbers that ever came lie within them.
    words: Option<Box<[u64]>>,
    newest: u32,
    /// How far back the oldest number lies, itself included; `N` at most. 0: none came.
    reach: u32,
}

impl<const N: usize> Window<N> {
    pub(crate) const fn new() -> Self {
        assert!(N.is_power_of_two() && N >= 64, "words are addressed by the high part of a number");
        Self { front: 0, words: None, newest: 0, reach: 0 }
    }

    /// Whether `number` is new. If so it is not new any more.
    pub(crate) fn admit(&mut self, number: u32) -> bool {
        let ahead = number.wrapping_sub(self.newest);
        if self.reach == 0 {
            self.newest = number;
            self.reach = 1;
        } else if ahead != 0 && ahead < 1 << 31 {
            self.advance(number, ahead);
        } else {
            let behind = self.newest.wrapping_sub(number);
            if behind as usize >= N || self.has(number) {
                return false;
            }
            self.reach = self.reach.max(behind + 1);
            self.span(words_from(number, self.newest));
        }
        let bit = 1 << (number % 64);
        match words_from(number, self.newest) {
            0 => self.front |= bit,
            _ => *self.word_mut(number / 64) |= bit,
        }
        true
    }

    /// Whether [`admit`](Self::admit) would say so; nothing is remembered.
    pub(crate) fn is_new(&self, number: u32) -> bool {
        if self.reach == 0 {
            return true;
        }
        let ahead = number.wrapping_sub(self.newest);
        if ahead != 0 && ahead < 1 << 31 {
            return true;
        }
        (self.newest.wrapping_sub(number) as usize) < N && !self.has(number)
    }

    /// Whether `number` came, and not so long ago that it is forgotten.
    pub(crate) fn has_seen(&self, number: u32) -> bool {
        self.reach > 0 && (self.newest.wrapping_sub(number) as usize) < N && self.has(number)
    }

    /// How many numbers `number` would leave out, if it lies ahead of all that came; nothing if it lies behind.
    pub(crate) fn gap(&self, number: u32) -> Option<u32> {
        if self.reach == 0 {
            return Some(0);
        }
        let ahead = number.wrapping_sub(self.newest);
        (ahead != 0 && ahead < 1 << 31).then(|| ahead - 1)
    }

    /// Goes forward. The numbers that are jumped over have not been seen; those that fall out are forgotten.
    fn advance(&mut self, number: u32, ahead: u32) {
        self.reach = (self.reach as usize + ahead as usize).min(N) as u32;
        let crossed = words_from(self.newest, number);
        if crossed > 0 {
            self.span(words_from(number.wrapping_sub(self.reach - 1), number));
            let (front, left) = (core::mem::take(&mut self.front), self.newest / 64);
            if crossed > self.len() {
                self.words.iter_mut().for_each(|words| words.fill(0));
            } else {
                *self.word_mut(left) = front;
                (1..crossed as u32).for_each(|step| *self.word_mut(left + step) = 0);
            }
        }
        self.newest = number;
    }

    /// Makes room for so many words before the newest one's.
    fn span(&mut self, words: usize) {
        let old = self.len();
        if words <= old {
            return;
        }
        let mut wider = alloc::vec![0u64; words.next_power_of_two()].into_boxed_slice();
        let places = wider.len() - 1;
        for back in 1..=old as u32 {
            let word = (self.newest / 64).wrapping_sub(back);
            wider[word as usize & places] = *self.word_mut(word);
        }
        self.words = Some(wider);
    }

    /// How many words there are before the newest one's.
    fn len(&self) -> usize {
        self.words.as_ref().map_or(0, |words| words.len())
    }

    /// Whether a number within `N` of the newest was seen.
    fn has(&self, number: u32) -> bool {
        let word = match (words_from(number, self.newest), &self.words) {
            (0, _) => self.front,
            (back, Some(words)) if back <= words.len() => words[(number / 64) as usize & (words.len() - 1)],
            _ => return false,
        };
        word & (1 << (number % 64)) != 0
    }

    fn word_mut(&mut self, word: u32) -> &mut u64 {
        let words = self.words.as_mut().expect("room was made before");
        &mut words[word as usize & (words.len() - 1)]
    }
}

/// How many words lie between two numbers, the second one's included.
fn words_from(number: u32, later: u32) -> usize {
    ((later / 64).wrapping_sub(number / 64) & (u32::MAX / 64)) as usize
}

/// A window in which numbers that are left out cost, and are given back when they come late; every number that comes
/// earns a quarter of one.
///
/// Whoever chooses numbers can write messages into gaps, past honest mixes to another one in the same hands; and with two
/// jumps of 2^31 all that was seen would be new again. Numbers that were refused have come: they are not left out, and earn
/// like others, so that a circuit on which much was lost recovers.
pub(crate) struct Rationed<const N: usize> {
    window: Window<N>,
    /// Numbers that may still be left out, in quarters.
    quarters: u32,
    /// The latest that was refused, and how many were since the newest that was taken: none of them twice.
    refused: (u32, u32),
}

impl<const N: usize> Rationed<N> {
    pub(crate) const fn new() -> Self {
        Self { window: Window::new(), quarters: 4 * CIRCUIT_GAP_MAX, refused: (0, 0) }
    }

    /// Takes a number that is new.
    ///
    /// # Errors
    /// [`Refused::OutOfPlace`] if it leaves out too many, [`Refused::ReplayedCell`] if it is not new.
    pub(crate) fn admit(&mut self, number: u32) -> Result<(), Refused> {
        let left = match self.window.gap(number) {
            Some(gap) => {
                let left_out = gap.saturating_sub(self.refused.1);
                let Some(left) = self.quarters.checked_sub(left_out.saturating_mul(4)) else {
                    self.refuse(number);
                    return Err(Refused::OutOfPlace);
                };
                self.refused.1 = 0;
                left
            }
            None => self.quarters + 4,
        };
        if !self.window.admit(number) {
            return Err(Refused::ReplayedCell);
        }
        self.quarters = (left + 1).min(4 * CIRCUIT_GAP_MAX);
        Ok(())
    }

    /// Whether `number` was taken, and not so long ago that it is forgotten.
    pub(crate) fn has_seen(&self, number: u32) -> bool {
        self.window.has_seen(number)
    }

    fn refuse(&mut self, number: u32) {
        let (latest, count) = self.refused;
        if count == 0 || number.wrapping_sub(latest).wrapping_sub(1) < u32::MAX / 2 {
            self.refused = (number, count + 1);
            self.quarters = self.quarters.saturating_add(1); // more than usual, if more was lost than usual
        }
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

    #[test]
    fn a_circuit_on_which_much_was_lost_recovers() {
        let mut rationed = Rationed::<256>::new();
        let mut number = 0;
        let lossy = (0..2 * CIRCUIT_GAP_MAX).filter(|_| {
            number += 3; // two of three are lost
            rationed.admit(number).is_err()
        });
        assert!(lossy.count() > 1000, "the ration is used up");
        let perfect = (0..40 * CIRCUIT_GAP_MAX).position(|_| {
            number += 1;
            rationed.admit(number).is_ok()
        });
        let waited = perfect.expect("it recovers");
        println!("{waited} cells were refused");
        assert!((0..1000).all(|_| {
            number += 1;
            rationed.admit(number).is_ok()
        }));
    }

    /// Junk earns no more than cells that pass: a gap still costs four cells for each number left out.
    #[test]
    fn who_sends_junk_again_and_again_may_not_jump_further() {
        let mut rationed = Rationed::<64>::new();
        assert_eq!(rationed.admit(0), Ok(()));
        assert_eq!(rationed.admit(1 + CIRCUIT_GAP_MAX), Ok(()), "the ration is used up");
        let far = 1 + 2 * CIRCUIT_GAP_MAX;
        for _ in 0..100_000 {
            assert_eq!(rationed.admit(far), Err(Refused::OutOfPlace), "the same number counts once");
        }
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
                prop_assert_eq!(window.is_new(number), window.clone().admit(number));
                let admitted = window.admit(number);
                let expected = !seen.contains(&at) && (newest == i64::MIN || at > newest - 256);
                prop_assert_eq!(admitted, expected, "{} of {}", at, newest);
                seen.insert(at);
                newest = newest.max(at);
            }
        }
    }
}
