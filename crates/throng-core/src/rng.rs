//! Chance as a value: one seed, and from it one stream per purpose *and owner*.
//!
//! Two owners that share a stream leak to each other: the order of their draws follows the load.

use alloc::boxed::Box;

use chacha20::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// 32 bytes from which everything random in a node follows.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Seed([u8; 32]);

/// What a stream of random numbers is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Purpose {
    /// Secrets of handshakes, circuit numbers, session identifiers.
    Keys = 1,
    /// Which path.
    Route = 2,
    /// Order and delay of held cells.
    Mixing = 3,
    /// Moments of questions to idle circuits.
    Timing = 4,
    /// A simulated network: delay and loss.
    World = 5,
    /// Slots of covered links and circuits.
    Cover = 6,
    /// Moments at which keys of covered links are renewed: drawn from nothing else, they cannot follow what else is drawn.
    Renewal = 7,
}

impl Seed {
    /// A seed from 32 bytes that nobody else knows (in tests: from any).
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// One number, the `number`-th of a purpose: for whoever must not draw in turn.
    pub(crate) fn number(&self, purpose: Purpose, number: u64) -> u64 {
        let mut hash = Sha256::new();
        hash.update(b"throng number of chance");
        hash.update(self.0);
        hash.update([purpose as u8]);
        hash.update(number.to_le_bytes());
        let digest: [u8; 32] = hash.finalize().into();
        u64::from_le_bytes(*digest.first_chunk().expect("32 bytes"))
    }

    /// The stream for `purpose` of `owner` (a link, a circuit, a node: whatever draws on its own).
    pub fn rng(&self, purpose: Purpose, owner: u64) -> Rng {
        let mut hash = Sha256::new();
        hash.update(b"throng stream of chance");
        hash.update(self.0);
        hash.update([purpose as u8]);
        hash.update(owner.to_le_bytes());
        Rng(State::Folded(Zeroizing::new(hash.finalize().into())))
    }
}

/// A stream of random numbers (ChaCha20).
///
/// It is a key of 32 bytes until something is drawn, and again after [`forget`](Self::forget): most nodes of a large
/// simulated network draw nothing for most of the time.
pub struct Rng(State);

enum State {
    /// The key from which the next number follows.
    Folded(Zeroizing<[u8; 32]>),
    Running(Box<ChaCha20Rng>),
}

impl Rng {
    /// Fills `out`.
    pub fn fill(&mut self, out: &mut [u8]) {
        self.stream().fill_bytes(out);
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    /// Makes what was drawn before unrecoverable from what is here now (fast key erasure): whoever seizes a running
    /// node must not find the secrets of its past handshakes.
    pub fn forget(&mut self) {
        let next = Zeroizing::new(self.bytes::<32>());
        self.0 = State::Folded(next);
    }

    /// Whether nothing that was drawn can be found out from it.
    #[cfg(test)]
    pub(crate) fn has_forgotten(&self) -> bool {
        matches!(self.0, State::Folded(_))
    }

    /// A seed, for an owner that comes later.
    pub(crate) fn seed(&mut self) -> Seed {
        Seed(self.bytes())
    }

    /// Another stream, for an owner that comes later.
    pub(crate) fn fork(&mut self) -> Self {
        Self(State::Folded(Zeroizing::new(self.bytes())))
    }

    fn stream(&mut self) -> &mut ChaCha20Rng {
        if let State::Folded(key) = &self.0 {
            self.0 = State::Running(Box::new(ChaCha20Rng::from_seed(**key)));
        }
        match &mut self.0 {
            State::Running(stream) => stream,
            State::Folded(_) => unreachable!("it was just unfolded"),
        }
    }

    /// A uniform 32-bit number.
    pub fn u32(&mut self) -> u32 {
        self.stream().next_u32()
    }

    /// A uniform number below `bound`, without bias (Lemire's multiplication with rejection).
    ///
    /// # Panics
    /// If `bound` is zero.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("usize fits 64 bits");
        assert!(bound > 0, "a draw needs something to draw from");
        let reject_below = bound.wrapping_neg() % bound;
        loop {
            let wide = u128::from(self.stream().next_u64()) * u128::from(bound);
            if (wide as u64) >= reject_below {
                return (wide >> 64) as usize;
            }
        }
    }

    /// A uniform number in `[0, 1)` with 53 bits.
    pub fn unit(&mut self) -> f64 {
        (self.stream().next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// An exponential number of mean 1, the same on every machine.
    pub fn exponential(&mut self) -> f64 {
        -libm::log(1.0 - self.unit())
    }

    /// Puts `items` into a uniformly random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// One of `items`, each as likely; none of an empty list.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() { None } else { Some(&items[self.below(items.len())]) }
    }

    /// One of `items`, in proportion to its weight; none if all weights are zero.
    pub fn pick_by_weight<'a, T>(&mut self, items: &'a [T], weight: impl Fn(&T) -> u32) -> Option<&'a T> {
        let total: u64 = items.iter().map(|item| u64::from(weight(item))).sum();
        if total == 0 {
            return None;
        }
        let mut rest = self.below(usize::try_from(total).ok()?) as u64;
        items.iter().find(|item| {
            let weight = u64::from(weight(item));
            let found = rest < weight;
            rest = rest.saturating_sub(weight);
            found
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_kept() {
        let mut rng = Seed::from_bytes([3; 32]).rng(Purpose::Route, 0);
        let mut seen = [0u32; 4];
        for _ in 0..40_000 {
            seen[*rng.pick_by_weight(&[0usize, 1, 2, 3], |i| [1, 0, 2, 5][*i]).unwrap()] += 1;
        }
        // 5 000, 0, 10 000 and 25 000 expected; the largest standard deviation is 97.
        for (seen, expected) in seen.into_iter().zip([5_000u32, 0, 10_000, 25_000]) {
            assert!(seen.abs_diff(expected) < 500 && (seen == 0) == (expected == 0), "{seen} of {expected}");
        }
        assert_eq!(rng.pick_by_weight(&[1, 2], |_| 0), None);
        assert_eq!(rng.pick_by_weight(&[0; 0], |_| 1), None);
    }

    #[test]
    fn streams_of_two_owners_differ_and_repeat() {
        let seed = Seed::from_bytes([7; 32]);
        let draw = |purpose, owner| seed.rng(purpose, owner).bytes::<16>();
        assert_eq!(draw(Purpose::Route, 1), draw(Purpose::Route, 1));
        assert_ne!(draw(Purpose::Route, 1), draw(Purpose::Route, 2));
        assert_ne!(draw(Purpose::Route, 1), draw(Purpose::Mixing, 1));
    }

    #[test]
    fn a_shuffle_puts_every_item_everywhere_equally_often() {
        let mut rng = Seed::from_bytes([1; 32]).rng(Purpose::Mixing, 0);
        let mut seen = [[0u32; 4]; 4];
        for _ in 0..40_000 {
            let mut items = [0, 1, 2, 3];
            rng.shuffle(&mut items);
            for (place, item) in items.into_iter().enumerate() {
                seen[item][place] += 1;
            }
        }
        // 10 000 expected, standard deviation 87: five of them is far outside chance.
        assert!(seen.iter().flatten().all(|n| n.abs_diff(10_000) < 440), "{seen:?}");
    }
}
