//! The paper's four formulas, bare: as printed in its section 4.
//!
//! With n users, l mixes per chain, d_s and d_r bits sent and received per user and day, r_d the rate of cover on a
//! user's link and u the seconds a day that a user is online:
//!
//! ```text
//! (1) c      = Σ b_i
//! (2) C_none = n · l·(d_s + d_r) / 86400
//! (3) C_link = n · (l·(d_s + d_r) + r_d·u − min(d_s, d_r)) / 86400
//! (4) C_e2e  = n · ((2l − 1)·r_d·u + max(d_s, d_r)) / 86400
//! ```
//!
//! Capacity is what mixes receive or what they send, whichever is more; b_i counts a line of equal speed in both
//! directions once. For (3), mixes receive l·(d_s + d_r) + r_d·u − d_s and send l·(d_s + d_r) + r_d·u − d_r. For (4), they
//! receive (2l − 1)·r_d·u + d_r and send (2l − 1)·r_d·u + d_s. Headers, padding, set-up, peaks and dummies between
//! mixes are left out: [`Mode::Realistic`](super::Mode::Realistic) puts them in.

/// Seconds of a day.
pub const SECONDS_PER_DAY: f64 = 86_400.0;

/// What one user moves, and through how many mixes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Demand {
    /// l: mixes in a chain.
    pub hops: u32,
    /// d_s: bits that a user sends a day.
    pub sent_bits_per_day: f64,
    /// d_r: bits that a user receives a day.
    pub received_bits_per_day: f64,
}

impl Demand {
    fn relayed_bits_per_day(self) -> f64 {
        f64::from(self.hops) * (self.sent_bits_per_day + self.received_bits_per_day)
    }
}

/// Cover at a constant rate while a user is online.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConstantCover {
    /// r_d: the rate in each direction, bit/s.
    pub rate_bps: f64,
    /// u: seconds a day that the user is online.
    pub online_seconds_per_day: f64,
}

impl ConstantCover {
    /// r_d·u: bits a day in each direction.
    pub fn bits_per_day(self) -> f64 {
        self.rate_bps * self.online_seconds_per_day
    }
}

/// (1): the capacity of mixes with these lines, bit/s.
pub fn capacity_bps(lines_bps: impl IntoIterator<Item = f64>) -> f64 {
    lines_bps.into_iter().sum()
}

/// (2): the capacity that `users` need without cover, bit/s.
pub fn none_bps(users: f64, demand: Demand) -> f64 {
    users * demand.relayed_bits_per_day() / SECONDS_PER_DAY
}

/// (3): the capacity that `users` need with cover on their links to the first mix, bit/s.
pub fn link_bps(users: f64, demand: Demand, schedule: ConstantCover) -> f64 {
    let hidden = demand.sent_bits_per_day.min(demand.received_bits_per_day);
    users * (demand.relayed_bits_per_day() + schedule.bits_per_day() - hidden) / SECONDS_PER_DAY
}

/// (4): the capacity that `users` need with cover from end to end, bit/s.
pub fn end_to_end_bps(users: f64, demand: Demand, schedule: ConstantCover) -> f64 {
    let outside = demand.sent_bits_per_day.max(demand.received_bits_per_day);
    let covered = (2.0 * f64::from(demand.hops) - 1.0) * schedule.bits_per_day();
    users * (covered + outside) / SECONDS_PER_DAY
}

/// Any of (2) to (4) backwards: users that a capacity carries, if one user needs so much of it. All three are
/// linear in the users.
pub fn users(capacity_bps: f64, one_user_bps: f64) -> f64 {
    capacity_bps / one_user_bps
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TABLE_1: Demand = Demand { hops: 4, sent_bits_per_day: 4e6, received_bits_per_day: 36e6 };

    fn schedule(hours: f64) -> ConstantCover {
        ConstantCover { rate_bps: 64e3, online_seconds_per_day: hours * 3600.0 }
    }

    #[test]
    fn table_1_to_six_digits() {
        let cases = [
            (none_bps(1e5, TABLE_1), 185.185),
            (link_bps(1e5, TABLE_1, schedule(1.0)), 447.222),
            (link_bps(1e5, TABLE_1, schedule(24.0)), 6580.556),
            (end_to_end_bps(1e5, TABLE_1, schedule(1.0)), 1908.333),
            (end_to_end_bps(1e5, TABLE_1, schedule(24.0)), 44841.667),
        ];
        for (bps, mbps) in cases {
            assert!((bps / 1e6 - mbps).abs() < 5e-4, "{bps} against {mbps}");
        }
    }

    #[test]
    fn capacity_grows_with_the_hops() {
        for (hops, mbps) in [(1, 46.3), (2, 92.6), (3, 138.9), (4, 185.2), (5, 231.5)] {
            let found = none_bps(1e5, Demand { hops, ..TABLE_1 }) / 1e6;
            assert!((found - mbps).abs() < 0.05, "{hops} hops: {found}");
        }
    }

    proptest! {
        #[test]
        fn users_undo_capacity(users in 1.0..1e9f64, hops in 1..9u32, sent in 0.0..1e12f64, received in 1.0..1e12f64, hours in 0.1..24.0f64) {
            let demand = Demand { hops, sent_bits_per_day: sent, received_bits_per_day: received };
            for need in [
                &none_bps as &dyn Fn(f64, Demand) -> f64,
                &|n, d| link_bps(n, d, schedule(hours)),
                &|n, d| end_to_end_bps(n, d, schedule(hours)),
            ] {
                let one = need(1.0, demand);
                if one > 0.0 {
                    let back = super::users(need(users, demand), one);
                    prop_assert!((back / users - 1.0).abs() < 1e-9);
                }
            }
        }
    }
}
