//! How well a score tells two kinds of windows apart.

use std::fmt;

/// The area under the curve of a classifier: how often a window of the second kind has the higher score than one of the
/// first, of all pairs, where equal scores count half. 0.5 is chance, 1 is certainty; 0 is certainty that was trained
/// on the wrong thing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Auc {
    /// The area.
    pub area: f64,
    /// Windows of the first kind.
    pub first: usize,
    /// Windows of the second kind.
    pub second: usize,
}

impl Auc {
    /// From the scores of both kinds; nothing, if there are none of one of them.
    ///
    /// By ranks (Mann and Whitney): with R the sum of the ranks of the m scores of the second kind among all, equal ones
    /// having the middle of their ranks, the area is (R − m(m + 1)/2) / (n·m).
    pub fn of(first: &[f64], second: &[f64]) -> Option<Self> {
        let (n, m) = (first.len() as f64, second.len() as f64);
        if first.is_empty() || second.is_empty() {
            return None;
        }
        let kinds =
            first.iter().map(|score| (*score, false)).chain(second.iter().map(|score| (*score, true)));
        let mut all: Vec<(f64, bool)> = kinds.collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut before = 0;
        let mut ranks = 0.0;
        for equal in all.chunk_by(|a, b| a.0 == b.0) {
            let middle = before as f64 + (equal.len() as f64 + 1.0) / 2.0;
            ranks += middle * equal.iter().filter(|(_, is_second)| *is_second).count() as f64;
            before += equal.len();
        }
        let area = (ranks - m * (m + 1.0) / 2.0) / (n * m);
        Some(Self { area, first: first.len(), second: second.len() })
    }

    /// The standard error of the area of a classifier that knows nothing: √((n + m + 1) / (12·n·m)).
    ///
    /// For windows that do not depend on each other: where they do, chance is wider. Equal scores make it narrower.
    pub fn standard_error(&self) -> f64 {
        let (n, m) = (self.first as f64, self.second as f64);
        ((n + m + 1.0) / (12.0 * n * m)).sqrt()
    }

    /// How many standard errors it is from chance.
    pub fn deviation(&self) -> f64 {
        (self.area - 0.5) / self.standard_error()
    }
}

impl fmt::Display for Auc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { area, first, second } = self;
        write!(f, "AUC {area:.3} (chance 0.500 ± {:.3}; {first} and {second} windows)", self.standard_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(first: &[f64], second: &[f64]) -> f64 {
        Auc::of(first, second).unwrap().area
    }

    #[test]
    fn it_counts_pairs_and_halves_of_equal_ones() {
        assert_eq!(area(&[1.0, 2.0], &[3.0, 4.0]), 1.0);
        assert_eq!(area(&[3.0, 4.0], &[1.0, 2.0]), 0.0);
        assert_eq!(area(&[0.0; 5], &[0.0; 3]), 0.5);
        // Of six pairs, four are won and one is a draw.
        assert_eq!(area(&[1.0, 2.0, 5.0], &[2.0, 6.0]), 4.5 / 6.0);
        assert_eq!(area(&[0.0], &[-0.0]), 0.5);
        assert_eq!(Auc::of(&[], &[1.0]), None);
    }

    #[test]
    fn the_standard_error_is_that_of_ranks() {
        let auc = Auc { area: 0.55, first: 40, second: 40 };
        assert!((auc.standard_error() - 0.064_95).abs() < 1e-5, "{}", auc.standard_error());
        assert!((auc.deviation() - 0.769_8).abs() < 1e-3);
        assert_eq!(auc.to_string(), "AUC 0.550 (chance 0.500 ± 0.065; 40 and 40 windows)");
    }
}
