//! Chance without a stream: every draw is a function of the seed, of what it is for, of whose it is, and of which one.
//!
//! So nothing depends on the order in which hosts are made or draw, two variants of a scenario meet the same weather and
//! the same pages, and any part of a run can be drawn again alone. Not for secrets: nodes have
//! [`throng_core::rng`] for theirs.
//!
//! Laws that need a logarithm or a power use `libm`, whose results are the same on every machine; everything else is
//! integers, or the four operations and the square root, which IEEE 754 fixes.

/// Whose draws these are. Copy it, narrow it with [`of`](Self::of), and draw by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Draws(u64, u64);

/// What draws are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum For {
    Delay = 1,
    Loss,
    Copy,
    Jitter,
    Way,
    Lateness,
    Class,
    Session,
    Page,
    Phase,
    Path,
    Fault,
}

impl Draws {
    /// All chance of the world with this seed.
    pub(crate) fn new(seed: &[u8; 32]) -> Self {
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| seed[at + i]));
        Self(stir(word(0) ^ FIRST, word(8) ^ SECOND), stir(word(16) ^ SECOND, word(24) ^ THIRD))
    }

    /// The draws for one purpose of one owner.
    pub(crate) fn of(self, purpose: For, owner: u64) -> Self {
        Self(stir(self.0 ^ purpose as u64, self.1 ^ owner), stir(self.1 ^ FIRST, self.0.wrapping_add(owner)))
    }

    /// 64 uniform bits: always the same ones for the same `number`.
    pub(crate) fn bits(self, number: u64) -> u64 {
        let once = stir(self.0 ^ number.wrapping_mul(THIRD), self.1 ^ number);
        stir(once ^ SECOND, self.1 ^ FIRST)
    }

    /// A uniform number in `[0, 1)` with 53 bits.
    pub(crate) fn unit(self, number: u64) -> f64 {
        unit(self.bits(number))
    }

    /// A uniform number below `bound`. (The bias is below `bound` in 2^64.)
    pub(crate) fn below(self, number: u64, bound: u64) -> u64 {
        ((u128::from(self.bits(number)) * u128::from(bound)) >> 64) as u64
    }
}

/// A number in `[0, 1)` from 64 bits.
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// Exponential with this mean, from a uniform number in `[0, 1)`.
pub(crate) fn exponential(mean: f64, unit: f64) -> f64 {
    -mean * libm::log(1.0 - unit)
}

/// Pareto of the second kind (Lomax) with scale k and shape α, from a uniform number in `[0, 1)`: mean k/(α − 1).
pub(crate) fn lomax(k: f64, alpha: f64, unit: f64) -> f64 {
    let tail = 1.0 - unit;
    let power = if alpha == 2.0 { 1.0 / tail.sqrt() } else { libm::pow(tail, -1.0 / alpha) };
    k * (power - 1.0)
}

/// Multiplies to 128 bits and folds (as in wyhash): every bit of both words reaches every bit of the outcome.
fn stir(a: u64, b: u64) -> u64 {
    let wide = u128::from(a ^ FIRST) * u128::from(b ^ SECOND);
    let folded = (wide as u64) ^ ((wide >> 64) as u64);
    let mixed = (folded ^ (folded >> 32)).wrapping_mul(THIRD);
    mixed ^ (mixed >> 29)
}

// Odd numbers with equally many zeros and ones (from wyhash and the golden ratio).
const FIRST: u64 = 0xa076_1d64_78bd_642f;
const SECOND: u64 = 0xe703_7ed1_a0b4_28db;
const THIRD: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_uniform_over_numbers_and_over_owners() {
        let all = Draws::new(&[7; 32]);
        for by_owner in [false, true] {
            let mut seen = [0u32; 64];
            let mut ones = [0u32; 64];
            for i in 0..640_000u64 {
                let bits = if by_owner { all.of(For::Page, i).bits(0) } else { all.of(For::Page, 1).bits(i) };
                seen[(bits >> 58) as usize] += 1;
                (0..64).for_each(|bit| ones[bit] += (bits >> bit & 1) as u32);
            }
            // 10 000 expected with a standard deviation of 99; 320 000 with one of 400.
            assert!(seen.iter().all(|n| n.abs_diff(10_000) < 500), "{by_owner} {seen:?}");
            assert!(ones.iter().all(|n| n.abs_diff(320_000) < 2_000), "{by_owner} {ones:?}");
        }
        assert_eq!(all.of(For::Page, 3).bits(9), Draws::new(&[7; 32]).of(For::Page, 3).bits(9));
        assert_ne!(all.of(For::Page, 3).bits(9), all.of(For::Loss, 3).bits(9));
    }

    #[test]
    fn laws_have_the_means_that_they_say() {
        let draws = Draws::new(&[1; 32]).of(For::Page, 0);
        let mean =
            |law: &dyn Fn(f64) -> f64| (0..400_000).map(|i| law(draws.unit(i))).sum::<f64>() / 400_000.0;
        let exponential = mean(&|unit| exponential(3.0, unit));
        assert!((exponential - 3.0).abs() < 0.03, "{exponential}");
        // α = 3 has a finite variance: mean k/2, standard deviation of the mean 0.0014 k.
        let lomax = mean(&|unit| lomax(8.0, 3.0, unit));
        assert!((lomax - 4.0).abs() < 0.06, "{lomax}");
    }
}
