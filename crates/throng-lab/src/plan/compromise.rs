//! Chains that an adversary sees from both ends, in a circuit, a day, a year.
//!
//! A chain is compromised if its user's end and its outside end are: the first mix is hostile or the link to it
//! observed, and the last mix is hostile or the way behind it observed. With hostile mixes only that is f² (the paper,
//! section 5); with observed links only q² (MorphMix, FC 2004, section 3). Mixes between do not matter to whoever
//! compares both ends (where there is only one, it is both: f); that *all* are hostile has probability fˡ, that any is 1 − (1 − f)ˡ.

use serde::Serialize;

use super::{Adversary, Question};

/// What an adversary gets to see.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compromise {
    /// f: share of mixes that are hostile.
    pub hostile_share: f64,
    /// q: share of links that are observed.
    pub observed_link_share: f64,
    /// Probability that a circuit is compromised: both ends are.
    pub per_circuit: f64,
    /// The same by hostile mixes alone, if both ends are different mixes: c·(c − 1) / (n·(n − 1)). If the question
    /// states mixes.
    pub both_mixes_without_replacement: Option<f64>,
    /// Probability that all mixes of a circuit are hostile: fˡ.
    pub all_mixes: f64,
    /// Probability that any is: 1 − (1 − f)ˡ.
    pub any_mix: f64,
    /// Circuits of a user in a day.
    pub circuits_per_day: f64,
    /// One user, a day.
    pub day: Exposure,
    /// One user, a year.
    pub year: Exposure,
    /// Probability that a user meets a hostile first hop within a year, with sticky first hops.
    pub hostile_first_hop_in_year: f64,
    /// Circuits with fresh first hops after which the predecessor attack has named the user almost surely: 2 (n/c)² ln n
    /// (Wright et al., NDSS 2002, give O((n/c)² ln n); the factor 2 is ours: it covered 99 % of simulated runs). If the
    /// question states mixes, and some are hostile.
    pub predecessor_circuits: Option<f64>,
    /// What the hostile mixes cost in a year. If the question states mixes.
    pub cost_per_year: Option<f64>,
}

/// One user's circuits over a time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Exposure {
    /// Circuits compromised, on average (the same with and without sticky first hops).
    pub circuits: f64,
    /// Probability of at least one, every circuit with a fresh first hop.
    pub once_fresh: f64,
    /// Probability of at least one, with sticky first hops.
    pub once_sticky: f64,
}

const DAYS_PER_YEAR: f64 = 365.0;

impl Compromise {
    /// Nothing if the question names no adversary.
    pub(crate) fn new(question: &Question) -> Option<Self> {
        if !question.has_adversary() {
            return None;
        }
        let adversary = &question.adversary;
        let hostile = question.hostile_share().unwrap_or(0.0);
        let observed = adversary.observed_link_share;
        let ends = Ends::new(question, hostile);
        let hops = f64::from(question.hops);
        let circuits_per_day = adversary
            .circuits_per_day
            .unwrap_or(question.online_hours_per_day * question.overhead.circuits_per_online_hour);
        let over = |days| Exposure::new(adversary, ends, circuits_per_day, days);
        let mixes = question.mixes.map(|mixes| mixes as f64);
        Some(Self {
            hostile_share: hostile,
            observed_link_share: observed,
            per_circuit: ends.per_circuit(),
            both_mixes_without_replacement: mixes
                .filter(|mixes| *mixes > 1.0 && question.hops > 1)
                .map(|mixes| both_ends_without_replacement(hostile * mixes, mixes)),
            all_mixes: hostile.powf(hops),
            any_mix: once_in(hostile, hops),
            circuits_per_day,
            day: over(1.0),
            year: over(DAYS_PER_YEAR),
            hostile_first_hop_in_year: first_hop_hostile(
                hostile,
                adversary.first_hops,
                adversary.first_hop_days,
                DAYS_PER_YEAR,
            ),
            predecessor_circuits: mixes
                .filter(|_| hostile > 0.0)
                .map(|mixes| 2.0 * hostile.powi(-2) * mixes.ln()),
            cost_per_year: mixes
                .map(|mixes| mixes * hostile * question.prices.of_a_mix(&question.mix_classes)),
        })
    }
}

/// How the user's end becomes known, and what the outside end costs then.
#[derive(Clone, Copy)]
struct Ends {
    /// Probability that the first mix is hostile.
    hostile: f64,
    /// Probability that it is not, and the link to it is observed.
    observed: f64,
    /// Probability that the outside end is known where the first mix is hostile.
    outside_if_hostile: f64,
    /// The same where only the link is observed.
    outside_if_observed: f64,
}

impl Ends {
    fn new(question: &Question, hostile: f64) -> Self {
        let observed = question.adversary.observed_link_share;
        let outside = 1.0 - (1.0 - hostile) * (1.0 - observed);
        let (outside_if_hostile, outside_if_observed) = match question.hops {
            _ if question.adversary.hostile_destination => (1.0, 1.0),
            1 => (1.0, observed), // the first mix is the last
            _ => (outside, outside),
        };
        Self { hostile, observed: (1.0 - hostile) * observed, outside_if_hostile, outside_if_observed }
    }

    fn per_circuit(self) -> f64 {
        self.hostile * self.outside_if_hostile + self.observed * self.outside_if_observed
    }

    /// At least one of so many circuits through the same first mix.
    fn once_through_one(self, circuits: f64) -> f64 {
        self.hostile * once_in(self.outside_if_hostile, circuits)
            + self.observed * once_in(self.outside_if_observed, circuits)
    }
}

impl Exposure {
    fn new(adversary: &Adversary, ends: Ends, circuits_per_day: f64, days: f64) -> Self {
        let circuits = circuits_per_day * days;
        let met = first_hops_met(adversary.first_hops, adversary.first_hop_days, days);
        Self {
            circuits: circuits * ends.per_circuit(),
            once_fresh: once_in(ends.per_circuit(), circuits),
            once_sticky: once_in(ends.once_through_one(circuits / met), met),
        }
    }
}

/// Probability of at least one in `times` (also a mean number, so not whole), each with probability `each`:
/// 1 − (1 − p)ᵏ, exact for small p.
pub fn once_in(each: f64, times: f64) -> f64 {
    if times <= 0.0 {
        return 0.0;
    }
    -f64::exp_m1(times * f64::ln_1p(-each))
}

/// Probability that two different mixes, drawn from `mixes`, are both among the `hostile` ones.
pub fn both_ends_without_replacement(hostile: f64, mixes: f64) -> f64 {
    (hostile * (hostile - 1.0) / (mixes * (mixes - 1.0))).max(0.0)
}

/// Probability that a user who keeps so many first hops, each for so long, meets a hostile one within `days`.
pub fn first_hop_hostile(hostile_share: f64, first_hops: u32, first_hop_days: f64, days: f64) -> f64 {
    once_in(hostile_share, first_hops_met(first_hops, first_hop_days, days))
}

/// First hops that a user has within `days`, on average: those of its beginning, and in each of their places another one
/// whenever one's time is over.
fn first_hops_met(first_hops: u32, first_hop_days: f64, days: f64) -> f64 {
    f64::from(first_hops) * (1.0 + days / first_hop_days)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(found: f64, expected: f64, within: f64) {
        assert!((found - expected).abs() <= within, "{found} against {expected}");
    }

    #[test]
    fn three_quarters_of_the_mixes_hold_56_percent_of_the_chains() {
        let mut question = Question { users: Some(1), mixes: Some(400), ..Question::default() };
        question.adversary.hostile_mixes = Some(300);
        let found = Compromise::new(&question).unwrap();
        assert_eq!(found.per_circuit, 0.5625);
        close(found.both_mixes_without_replacement.unwrap(), 0.5620, 5e-5);
        assert_eq!(found.cost_per_year, Some(3e6));
    }

    #[test]
    fn an_observer_of_a_tenth_of_the_links_sees_a_hundredth_of_the_circuits() {
        let mut question = Question { users: Some(1), ..Question::default() };
        question.adversary.observed_link_share = 0.1;
        close(Compromise::new(&question).unwrap().per_circuit, 0.01, 1e-12);
    }

    #[test]
    fn a_single_mix_is_both_ends() {
        let mut question = Question { users: Some(1), hops: 1, ..Question::default() };
        question.adversary.hostile_share = Some(0.1);
        close(Compromise::new(&question).unwrap().per_circuit, 0.1, 1e-12);
        question.adversary.observed_link_share = 0.5;
        close(Compromise::new(&question).unwrap().per_circuit, 0.1 + 0.9 * 0.25, 1e-12);
    }

    #[test]
    fn whoever_owns_the_destination_needs_one_end() {
        let mut question = Question { users: Some(1), ..Question::default() };
        question.adversary.hostile_share = Some(0.1);
        question.adversary.hostile_destination = true;
        close(Compromise::new(&question).unwrap().per_circuit, 0.1, 1e-12);
    }

    /// Row 51 of the table of checks, and section C.8, which count the changes of a year and not the first hops of its beginning.
    #[test]
    fn first_hops_of_a_year() {
        for (hostile, percent) in [(0.01, 3.0), (0.05, 14.4), (0.1, 27.4), (0.2, 49.3)] {
            close(once_in(hostile, 365.0 / 120.0) * 100.0, percent, 0.06);
        }
        for (hostile, percent) in [(0.01, 21.7), (0.05, 71.3), (0.1, 92.3), (0.2, 99.6)] {
            close(once_in(hostile, 3.0 * 365.0 / 45.0) * 100.0, percent, 0.06);
        }
        // With them: 1 − 0.9 to the power of 3 · (1 + 365/120); kept for nearly a year, each place has almost two.
        close(first_hop_hostile(0.1, 3, 120.0, 365.0) * 100.0, 72.1, 0.06);
        close(first_hop_hostile(0.1, 3, 364.0, 365.0) * 100.0, 46.9, 0.06);
        for (hostile, percent) in [(0.05f64, 22.1), (0.1, 63.4), (0.2, 98.3)] {
            close(once_in(hostile * hostile, 100.0) * 100.0, percent, 0.06);
        }
    }

    #[test]
    fn the_predecessor_bound_of_the_reference() {
        for (mixes, circuits) in [(100, 921.0), (1000, 1382.0)] {
            let mut question = Question { mixes: Some(mixes), ..Question::default() };
            question.adversary.hostile_share = Some(0.1);
            close(Compromise::new(&question).unwrap().predecessor_circuits.unwrap(), circuits, 0.7);
        }
    }

    proptest! {
        #[test]
        fn probabilities_are_some_and_grow(f in 0.0..1.0f64, more in 0.0..1.0f64, q in 0.0..1.0f64, hops in 1..9u32, circuits in 0.0..1000.0f64) {
            let at = |hostile_share| {
                let mut question = Question { users: Some(1), hops, ..Question::default() };
                question.adversary = Adversary { hostile_share: Some(hostile_share), observed_link_share: q, circuits_per_day: Some(circuits), ..Adversary::default() };
                Compromise::new(&question).unwrap()
            };
            let (low, high) = (at(f), at(f + (1.0 - f) * more));
            for (low, high) in [
                (low.per_circuit, high.per_circuit),
                (low.all_mixes, high.all_mixes),
                (low.any_mix, high.any_mix),
                (low.day.once_fresh, high.day.once_fresh),
                (low.day.once_sticky, high.day.once_sticky),
                (low.day.once_sticky, low.year.once_sticky),
                (low.year.once_sticky, high.year.once_sticky),
                (low.day.once_fresh, low.year.once_fresh),
            ] {
                prop_assert!((0.0..=1.0).contains(&low) && low <= high + 1e-12, "{low} {high}");
            }
        }

        #[test]
        fn sticky_first_hops_never_make_it_likelier(f in 0.0..1.0f64, circuits in 3.0..1000.0f64) {
            let mut question = Question { users: Some(1), ..Question::default() };
            question.adversary = Adversary { hostile_share: Some(f), circuits_per_day: Some(circuits), ..Adversary::default() };
            let found = Compromise::new(&question).unwrap();
            prop_assert!(found.year.once_sticky <= found.year.once_fresh + 1e-12);
        }
    }
}
