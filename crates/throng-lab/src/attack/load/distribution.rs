//! The distance between two empirical distributions.

/// The statistic of Kolmogorov and Smirnov: the largest difference between the shares of both that are no greater than
/// some value. Both are in order; 1, if only one of them is empty.
pub(crate) fn distance(one: &[u64], other: &[u64]) -> f64 {
    if one.is_empty() || other.is_empty() {
        return if one.len() == other.len() { 0.0 } else { 1.0 };
    }
    // It is largest at, or just below, one of the values of the shorter.
    let (few, many) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    let share = |of: &[u64], count: usize| count as f64 / of.len() as f64;
    let at = |value: u64| {
        let upto = |of: &[u64]| share(of, of.partition_point(|each| *each <= value));
        let below = |of: &[u64]| share(of, of.partition_point(|each| *each < value));
        (upto(few) - upto(many)).abs().max((below(few) - below(many)).abs())
    };
    few.iter().map(|value| at(*value)).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_largest_difference_of_shares() {
        assert_eq!(distance(&[1, 2, 3], &[1, 2, 3]), 0.0);
        assert_eq!(distance(&[1, 2], &[3, 4, 5]), 1.0);
        assert_eq!(distance(&[3, 4, 5], &[1, 2]), 1.0);
        assert_eq!(distance(&[1, 2, 3, 4], &[3, 4, 5, 6]), 0.5);
        assert_eq!(distance(&[5], &[1, 2, 8, 9]), 0.5);
        assert_eq!(distance(&[7, 7, 7], &[7]), 0.0);
        assert_eq!((distance(&[], &[]), distance(&[1], &[])), (0.0, 1.0));
    }

    #[test]
    fn it_is_the_same_as_comparing_at_every_value() {
        let mut state = 1u64;
        let mut draw = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..500 {
            let (few, many) = (draw(9) as usize + 1, draw(30) as usize + 1);
            let mut one: Vec<u64> = (0..few).map(|_| draw(20)).collect();
            let mut other: Vec<u64> = (0..many).map(|_| draw(20)).collect();
            one.sort_unstable();
            other.sort_unstable();
            let upto =
                |of: &[u64], value| of.iter().filter(|each| **each <= value).count() as f64 / of.len() as f64;
            let slowly =
                (0..20).map(|value| (upto(&one, value) - upto(&other, value)).abs()).fold(0.0, f64::max);
            assert_eq!(distance(&one, &other), slowly, "{one:?} {other:?}");
        }
    }
}
