//! What a mix observes of how well it mixes: how many circuits a cell that left could have belonged to.
//!
//! When cells leave, the mix holds `n_c` cells of circuit `c`, those that leave included, `n` in all. An observer who sees
//! everything outside may take a cell that leaves for one of any of these circuits. So its *set* is the number of circuits
//! there, and its *entropy* is H = -sum (n_c/n) log2 (n_c/n) bits (Serjantov and Danezis 2002). Both are averaged over all
//! cells that left within the last minute. Where cells leave at once, a cell's set is its own circuit, and H = 0.

use core::time::Duration;

use crate::limits::{COMPANY_EVERY, COMPANY_SECONDS};
use crate::time::Time;

/// What a mix observed within the last minute.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Company {
    /// Neighbours that are no mixes and sent something: users, as far as a mix can tell.
    pub users: u32,
    /// Circuits on which something passed.
    pub circuits: u32,
    /// Cells that left.
    pub cells: u32,
    /// Circuits among which a cell that left was, on average, its own included; 1 where none left.
    pub set: f32,
    /// Entropy of a cell that left, on average, bits.
    pub bits: f32,
}

/// Company, second by second.
pub(crate) struct Minute {
    seconds: [Second; COMPANY_SECONDS],
    /// When was looked last, and what was seen then: it holds for a moment.
    looked: Time,
    set: f32,
    bits: f32,
}

#[derive(Clone, Copy, Default)]
struct Second {
    /// Which second; another one's numbers are old.
    number: u64,
    cells: u32,
    set: f32,
    bits: f32,
}

impl Minute {
    pub(crate) fn new() -> Self {
        Self { seconds: [Second::default(); COMPANY_SECONDS], looked: Time::ZERO, set: 1.0, bits: 0.0 }
    }

    /// Notes that cells leave, out of so many of each circuit.
    pub(crate) fn note(&mut self, leaving: usize, circuits: impl Iterator<Item = usize> + Clone, now: Time) {
        if now - self.looked >= COMPANY_EVERY || self.looked == Time::ZERO {
            self.looked = now;
            (self.set, self.bits) = set_and_bits(circuits);
        }
        let number = now.as_secs();
        let second = &mut self.seconds[number as usize % COMPANY_SECONDS];
        if second.number != number {
            *second = Second { number, ..Second::default() };
        }
        second.cells += leaving as u32;
        second.set += self.set * leaving as f32;
        second.bits += self.bits * leaving as f32;
    }

    /// The last minute.
    pub(crate) fn company(&self, now: Time) -> Company {
        let oldest = now.as_secs().saturating_sub(COMPANY_SECONDS as u64 - 1);
        let recent = || self.seconds.iter().filter(|second| second.number >= oldest);
        let cells: u32 = recent().map(|second| second.cells).sum();
        let mean =
            |of: fn(&Second) -> f32| recent().map(of).fold(0.0, core::ops::Add::add) / cells.max(1) as f32;
        let set = if cells == 0 { 1.0 } else { mean(|second| second.set) };
        Company { cells, set, bits: mean(|second| second.bits), ..Company::default() }
    }
}

/// Within this, a circuit or a user counts.
pub(crate) const WITHIN: Duration = Duration::from_secs(COMPANY_SECONDS as u64);

fn set_and_bits(circuits: impl Iterator<Item = usize> + Clone) -> (f32, f32) {
    let all: usize = circuits.clone().sum();
    let of = |cells: usize| {
        let share = cells as f64 / all as f64;
        -share * libm::log2(share)
    };
    let bits: f64 = circuits.clone().map(of).sum();
    (circuits.count().max(1) as f32, bits as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_forgets_what_is_older_and_weighs_by_cells() {
        let mut minute = Minute::new();
        minute.note(4, [4].into_iter(), Time::from_secs(10));
        assert_eq!(minute.company(Time::from_secs(10)).set, 1.0);
        minute.note(4, [2, 1, 1].into_iter(), Time::from_secs(11));
        let company = minute.company(Time::from_secs(12));
        assert_eq!((company.cells, company.set, company.bits), (8, 2.0, 0.75));
        let later = minute.company(Time::from_secs(10 + COMPANY_SECONDS as u64));
        assert_eq!((later.cells, later.set, later.bits), (4, 3.0, 1.5));
        let nothing = minute.company(Time::from_secs(1000));
        assert_eq!((nothing.cells, nothing.set, nothing.bits), (0, 1.0, 0.0));
    }

    #[test]
    fn the_entropy_is_that_of_the_circuits_shares() {
        let (set, bits) = set_and_bits([1usize; 8].into_iter());
        assert_eq!((set, bits), (8.0, 3.0));
        // Diaz et al. (2002): 0.25 and 0.75 are 0.811 bits.
        let (_, bits) = set_and_bits([1, 3].into_iter());
        assert!((bits - 0.811).abs() < 0.001);
    }
}
