//! Capacity, forwards (users to mixes and money) and backwards (mixes to users).

use serde::Serialize;

use super::load::{Bounds, printed_one_user_bps};
use super::{BandwidthClass, Choice, CoverScheme, MixKind, Prices, Question};

/// What one cover scheme requires, and what it gets.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SchemeCapacity {
    /// The scheme.
    pub cover: CoverScheme,
    /// Whether the question asks about it.
    pub stated: bool,
    /// Why it cannot be used, if so; then all numbers are missing.
    pub impossible: Option<String>,
    /// Capacity that one user needs, Mb/s.
    pub per_user_mbps: Option<f64>,
    /// The same by the paper's formula.
    pub per_user_printed_mbps: f64,
    /// What it needs beyond no cover in the same mode, percent.
    pub overhead_percent: Option<f64>,
    /// Which count decides.
    pub bottleneck: Option<String>,
    /// Capacity that all users need, Mb/s; if the question states users.
    pub required_mbps: Option<f64>,
    /// Mixes for that (static).
    pub mixes_needed: Option<u64>,
    /// Capacity that there is, Mb/s; if the question states mixes, or members.
    pub available_mbps: Option<f64>,
    /// Users that it carries (static).
    pub users_supported: Option<u64>,
    /// Need in parts of what there is; above 1 it is not enough. (Dynamic: the same for any number of users.)
    pub load_share: Option<f64>,
    /// Cost of the mixes, a year: of those that there are, else of those needed.
    pub cost_per_year: Option<f64>,
    /// Whether it can be had: mixes needed cost no more than the budget; in a dynamic network, members carry it.
    pub affordable: Option<bool>,
}

impl SchemeCapacity {
    pub(crate) fn new(question: &Question, cover: CoverScheme) -> Self {
        let mut scheme = Self {
            cover,
            stated: cover == question.cover,
            impossible: None,
            per_user_mbps: None,
            per_user_printed_mbps: printed_one_user_bps(question, cover) / 1e6,
            overhead_percent: None,
            bottleneck: None,
            required_mbps: None,
            mixes_needed: None,
            available_mbps: None,
            users_supported: None,
            load_share: None,
            cost_per_year: None,
            affordable: None,
        };
        match Bounds::new(question, cover) {
            Ok(load) => scheme.fill_in(question, &load),
            Err(why) => scheme.impossible = Some(why.to_string()),
        }
        scheme
    }

    fn fill_in(&mut self, question: &Question, load: &Bounds) {
        let line_bps = usable_mean_bps(question.classes(), question.choice);
        let (need_bps, bottleneck) = load.one_user_bps(line_bps);
        if let Ok(plain) = Bounds::new(question, CoverScheme::None) {
            self.overhead_percent = Some((need_bps / plain.one_user_bps(line_bps).0 - 1.0) * 100.0);
        }
        let users = question.users.map(|users| users as f64);
        self.per_user_mbps = Some(need_bps / 1e6);
        self.bottleneck = Some(bottleneck.to_owned());
        self.required_mbps = users.map(|users| users * need_bps / 1e6);
        match question.kind {
            MixKind::Static => self.fill_in_static(question, need_bps, line_bps, users),
            MixKind::Dynamic => {
                self.available_mbps = users.map(|users| users * line_bps / 1e6);
                self.load_share = Some(need_bps / line_bps);
                self.affordable = Some(need_bps <= line_bps);
            }
        }
    }

    fn fill_in_static(&mut self, question: &Question, need_bps: f64, line_bps: f64, users: Option<f64>) {
        let mixes = question.mixes.map(|mixes| mixes as f64);
        let least = u64::from(question.hops);
        self.mixes_needed = users.map(|users| round_up(users * need_bps / line_bps).max(least));
        self.available_mbps = mixes.map(|mixes| mixes * line_bps / 1e6);
        self.users_supported = mixes.map(|mixes| round_down(mixes * line_bps / need_bps));
        self.load_share = mixes.zip(users).map(|(mixes, users)| users * need_bps / (mixes * line_bps));
        let cost = |mixes| mixes as f64 * question.prices.of_a_mix(&question.mix_classes);
        self.cost_per_year = question.mixes.or(self.mixes_needed).map(cost);
        let needed_cost = self.mixes_needed.or(question.mixes).map(cost);
        self.affordable =
            question.require.budget_per_year.zip(needed_cost).map(|(budget, cost)| cost <= budget);
    }
}

/// Up, but not for the last bits of a division.
fn round_up(value: f64) -> u64 {
    (value * (1.0 - 1e-12)).ceil() as u64
}

fn round_down(value: f64) -> u64 {
    (value * (1.0 + 1e-12)).floor() as u64
}

impl Prices {
    /// A mix with a mean line, a year.
    pub(crate) fn of_a_mix(self, classes: &[BandwidthClass]) -> f64 {
        let mean_mbps: f64 = classes.iter().map(|class| class.share * class.line_mbps()).sum();
        self.per_mix_per_year + mean_mbps * self.per_mbps_per_year
    }
}

impl BandwidthClass {
    /// What a mix relays comes in and goes out: the slower direction counts.
    fn line_mbps(&self) -> f64 {
        self.up_mbps.min(self.down_mbps)
    }

    fn usable_bps(&self) -> f64 {
        self.line_mbps() * 1e6 * self.lent_share
    }
}

/// Capacity per mix or member, averaged over all and over the day, when none is asked for more than it has, bit/s.
///
/// With weights w, a class gets a part of the traffic in proportion to w times those online. The first class to be
/// full decides: capacity is min(b/w) times the mean of w. By bandwidth, w = b, and it is the mean of b, formula (1).
pub(crate) fn usable_mean_bps(classes: &[BandwidthClass], choice: Choice) -> f64 {
    let weight = |class: &BandwidthClass| match choice {
        Choice::ByBandwidth => class.usable_bps(),
        Choice::Uniform => 1.0,
        Choice::ByAcceptance => class.acceptance,
    };
    let present = || classes.iter().filter(|class| class.share > 0.0);
    let mean_weight: f64 = present().map(|class| class.share * class.online_share * weight(class)).sum();
    let first_full = present().map(|class| class.usable_bps() / weight(class)).fold(f64::INFINITY, f64::min);
    first_full * mean_weight
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Mode, presets};
    use proptest::prelude::*;

    #[test]
    fn equal_lines_carry_the_same_however_chosen() {
        let classes = [BandwidthClass::symmetric("t1", 1.544)];
        for choice in [Choice::ByBandwidth, Choice::Uniform, Choice::ByAcceptance] {
            assert!((usable_mean_bps(&classes, choice) - 1.544e6).abs() < 1e-3);
        }
    }

    #[test]
    fn members_of_2004_have_568_kbps_while_online() {
        let online: Vec<_> = presets::fc04()
            .classes()
            .into_iter()
            .map(|class| BandwidthClass { online_share: 1.0, ..class })
            .collect();
        assert!((usable_mean_bps(&online, Choice::ByBandwidth) - 568.4e3).abs() < 1.0);
        let uniform = usable_mean_bps(&online, Choice::Uniform);
        assert!((uniform - 64e3).abs() < 1.0, "the slowest class decides: {uniform}");
        assert!(usable_mean_bps(&online, Choice::ByAcceptance) > uniform);
    }

    proptest! {
        #[test]
        fn users_of_the_mixes_for_users(users in 1000..10_000_000u64, hops in 1..9u32, realistic: bool, cover in 0..3usize) {
            let mode = if realistic { Mode::Realistic } else { Mode::Bare };
            let cover = CoverScheme::ALL[cover];
            let forwards = Question { users: Some(users), hops, mode, cover, ..Question::default() };
            let need = SchemeCapacity::new(&forwards, cover);
            let mixes = need.mixes_needed.unwrap();
            let back = |mixes: u64| {
                let question = Question { users: None, mixes: Some(mixes), ..forwards.clone() };
                SchemeCapacity::new(&question, cover).users_supported.unwrap()
            };
            prop_assert!(back(mixes) >= users);
            prop_assert!(mixes <= u64::from(hops) || back(mixes - 1) < users);
            let exact = need.required_mbps.unwrap() / need.per_user_mbps.unwrap();
            prop_assert!((exact / users as f64 - 1.0).abs() < 1e-12);
        }

        #[test]
        fn more_of_anything_needs_more(users in 1000..1_000_000u64, hops in 1..8u32, received in 0.5..20.0f64, hours in 1.0..23.0f64) {
            let base = Question { users: Some(users), hops, received_mb_per_day: received, online_hours_per_day: hours, cover_rate_kbps: 256.0, ..Question::default() };
            let more = [
                Question { users: Some(users + 1), ..base.clone() },
                Question { hops: hops + 1, ..base.clone() },
                Question { received_mb_per_day: received * 1.1, ..base.clone() },
            ];
            for mode in [Mode::Bare, Mode::Realistic] {
                let need = |question: &Question, cover| {
                    SchemeCapacity::new(&Question { mode, ..question.clone() }, cover).required_mbps.unwrap()
                };
                for cover in CoverScheme::ALL {
                    for question in &more {
                        prop_assert!(need(question, cover) > need(&base, cover));
                    }
                }
                prop_assert!(need(&base, CoverScheme::None) <= need(&base, CoverScheme::Link));
                prop_assert!(need(&base, CoverScheme::Link) <= need(&base, CoverScheme::EndToEnd));
            }
        }
    }
}
