//! Two histograms of intervals with the same bins, and which of them a few intervals are from.

/// What two histograms have in common with each other: so many intervals of both together are mixed into each.
const PRIOR: f64 = 8.0;
/// Where bins end, besides at every eighth: a leak may be only in the tails.
const TAILS: [f64; 6] = [0.003, 0.01, 0.025, 0.975, 0.99, 0.997];
const BODY: usize = 8;

/// What was learnt of the intervals of two kinds of windows.
pub(crate) struct Histograms {
    /// Where bins end; the last has no end.
    ends: Vec<u64>,
    /// ln(q/p) of each bin.
    weights: Vec<f64>,
}

impl Histograms {
    /// From intervals in order of their length.
    pub(crate) fn new(first: &[u64], second: &[u64]) -> Self {
        let ends = ends(first, second);
        let (p, q) = (counts(&ends, first), counts(&ends, second));
        let all = (first.len() + second.len()) as f64;
        let weight = |(p, q): (&u64, &u64)| {
            let (p, q) = (*p as f64, *q as f64);
            if p + q == 0.0 {
                return 0.0;
            }
            let prior = PRIOR * (p + q) / all;
            let share = |count: f64, of: usize| (count + prior) / (of as f64 + PRIOR);
            (share(q, second.len()) / share(p, first.len())).ln()
        };
        let weights = p.iter().zip(&q).map(weight).collect();
        Self { ends, weights }
    }

    /// How much likelier each of these is an interval of the second kind: the logarithm of it, on average.
    pub(crate) fn score(&self, intervals: &[u64]) -> f64 {
        let sum: f64 = intervals.iter().map(|interval| self.weights[bin(&self.ends, *interval)]).sum();
        sum / intervals.len().max(1) as f64
    }
}

/// Quantiles of both together, each once.
fn ends(first: &[u64], second: &[u64]) -> Vec<u64> {
    let mut all = [first, second].concat();
    all.sort_unstable();
    let Some(last) = all.len().checked_sub(1) else { return Vec::new() };
    let body = (1..BODY).map(|part| part as f64 / BODY as f64);
    let mut ends: Vec<u64> =
        TAILS.into_iter().chain(body).map(|share| all[(share * last as f64) as usize]).collect();
    ends.sort_unstable();
    ends.dedup();
    ends
}

fn counts(ends: &[u64], intervals: &[u64]) -> Vec<u64> {
    let mut counts = vec![0; ends.len() + 1];
    intervals.iter().for_each(|interval| counts[bin(ends, *interval)] += 1);
    counts
}

/// An interval as long as a bin's end belongs to it.
fn bin(ends: &[u64], interval: u64) -> usize {
    ends.partition_point(|end| *end < interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_histograms_say_nothing() {
        let same: Vec<u64> = (0..1000).collect();
        assert_eq!(Histograms::new(&same, &same).score(&[3, 500, 99_999]), 0.0);
        assert_eq!(Histograms::new(&[], &[]).score(&[3]), 0.0);
        assert_eq!(Histograms::new(&[5; 10], &[5; 10]).score(&[5, 5, 4, 6]), 0.0);
    }

    #[test]
    fn a_microsecond_in_a_tenth_of_a_second_is_seen() {
        let slots = |odd: u64| -> Vec<u64> { [vec![100_000_000; 97], vec![100_000_000 + odd; 3]].concat() };
        let histograms = Histograms::new(&slots(0), &slots(1000));
        assert!(histograms.score(&[100_001_000]) > 0.3, "{}", histograms.score(&[100_001_000]));
        assert!(histograms.score(&[100_000_000]) < 0.0);
    }

    #[test]
    fn the_score_is_the_logarithm_of_how_much_likelier_it_is() {
        // A long training leaves the prior no weight.
        let mixed = |short: usize| [vec![1; short], vec![9; 100_000 - short]].concat();
        let histograms = Histograms::new(&mixed(25_000), &mixed(75_000));
        let score = histograms.score(&[1, 1, 9]);
        assert!((score - 3.0f64.ln() / 3.0).abs() < 0.001, "{score}");
    }
}
