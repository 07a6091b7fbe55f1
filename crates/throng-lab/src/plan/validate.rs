//! Whether a question can be answered: every field in its range, and none against another.

use throng_core::limits::{DATAGRAM_BYTES_MAX, DATAGRAM_BYTES_MIN, HOPS_MAX};

use super::capacity::usable_mean_bps;
use super::invalid::within;
use super::load::{Bounds, filler_bps};
use super::{Adversary, BandwidthClass, Delays, Invalid, MixKind, Overhead, Prices, Question, Requirements};

impl Question {
    /// Whether it can be answered.
    ///
    /// # Errors
    /// The first field that is outside its range or contradicts another one.
    pub fn validate(&self) -> Result<(), Invalid> {
        self.validate_ranges()?;
        self.validate_together()
    }

    fn validate_ranges(&self) -> Result<(), Invalid> {
        if let Some(users) = self.users {
            within("users", users as f64, 1.0..=1e10)?;
        }
        if let Some(mixes) = self.mixes {
            within("mixes", mixes as f64, 1.0..=1e7)?;
        }
        within("hops", f64::from(self.hops), 1.0..=HOPS_MAX as f64)?;
        within("sent_mb_per_day", self.sent_mb_per_day, 0.0..=1e6)?;
        within("received_mb_per_day", self.received_mb_per_day, 0.0..=1e6)?;
        within("cover_rate_kbps", self.cover_rate_kbps, 1e-3..=1e7)?;
        within("online_hours_per_day", self.online_hours_per_day, 0.01..=24.0)?;
        validate_classes("mix_classes", &self.mix_classes)?;
        validate_classes("member_classes", &self.member_classes)?;
        within("exit_share", self.exit_share, SHARE_MIN..=1.0)?;
        self.prices.validate()?;
        self.overhead.validate()?;
        self.adversary.validate()?;
        self.delays.validate()?;
        self.require.validate()
    }

    fn validate_together(&self) -> Result<(), Invalid> {
        if self.sent_mb_per_day + self.received_mb_per_day <= 0.0 {
            return Err(Invalid::new(
                "received_mb_per_day",
                self.received_mb_per_day,
                "above 0 where sent_mb_per_day is 0: otherwise there is no traffic",
            ));
        }
        match (self.kind, self.users, self.mixes) {
            (MixKind::Static, None, None) => {
                return Err(Invalid::new(
                    "users",
                    "nothing",
                    "1 to 10000000000, or leave them out and give mixes: a static network needs one of both",
                ));
            }
            (MixKind::Dynamic, _, Some(mixes)) => {
                return Err(Invalid::new(
                    "mixes",
                    mixes,
                    "nothing: in a dynamic network every user is a mix",
                ));
            }
            (_, _, Some(mixes)) if u64::from(self.hops) > mixes => {
                return Err(Invalid::new("hops", self.hops, format!("1 to {mixes}, the number of mixes")));
            }
            (MixKind::Dynamic, Some(users), None) if u64::from(self.hops) > users => {
                return Err(Invalid::new("hops", self.hops, format!("1 to {users}, the number of members")));
            }
            _ => {}
        }
        self.validate_adversary()?;
        self.validate_filler()?;
        Bounds::new(self, self.cover)?;
        if self.require.budget_per_year.is_some()
            && self.kind == MixKind::Static
            && self.prices.per_mix_per_year + self.prices.per_mbps_per_year <= 0.0
        {
            return Err(Invalid::new(
                "prices.per_mix_per_year",
                self.prices.per_mix_per_year,
                "above 0 (or prices.per_mbps_per_year): a budget is stated and everything is free",
            ));
        }
        Ok(())
    }

    fn validate_adversary(&self) -> Result<(), Invalid> {
        let Adversary { hostile_share, hostile_mixes, .. } = self.adversary;
        if let Some(hostile) = hostile_mixes {
            if hostile_share.is_some() {
                return Err(Invalid::new(
                    "adversary.hostile_mixes",
                    hostile,
                    "nothing: adversary.hostile_share is given",
                ));
            }
            let Some(mixes) = self.mixes else {
                return Err(Invalid::new(
                    "adversary.hostile_mixes",
                    hostile,
                    "a number only where mixes is one; else use adversary.hostile_share",
                ));
            };
            within("adversary.hostile_mixes", hostile as f64, 0.0..=mixes as f64)?;
        }
        if self.has_adversary() {
            return Ok(());
        }
        let stated = [
            ("require.compromised_share_max", self.require.compromised_share_max),
            ("require.compromised_in_year_max", self.require.compromised_in_year_max),
        ];
        for (field, limit) in stated {
            if let Some(limit) = limit {
                return Err(Invalid::new(
                    field,
                    limit,
                    "nothing without an adversary: give adversary.hostile_share or adversary.observed_link_share",
                ));
            }
        }
        Ok(())
    }

    fn validate_filler(&self) -> Result<(), Invalid> {
        let line_bps = usable_mean_bps(self.classes(), self.choice);
        if filler_bps(self) < line_bps {
            return Ok(());
        }
        let per_kbps = filler_bps(self) / self.overhead.filler_kbps;
        Err(Invalid::new(
            "overhead.filler_kbps",
            self.overhead.filler_kbps,
            format!("below {:.3}: the mean mix has {:.3} Mb/s", line_bps / per_kbps, line_bps / 1e6),
        ))
    }
}

/// Least share that is not "none".
const SHARE_MIN: f64 = 1e-9;

fn validate_classes(field: &str, classes: &[BandwidthClass]) -> Result<(), Invalid> {
    if classes.is_empty() {
        return Err(Invalid::new(field, "an empty list", "at least one class"));
    }
    for (index, class) in classes.iter().enumerate() {
        let name = |part: &str| format!("{field}[{index}].{part}");
        within(&name("up_mbps"), class.up_mbps, 1e-6..=1e6)?;
        within(&name("down_mbps"), class.down_mbps, 1e-6..=1e6)?;
        within(&name("share"), class.share, 0.0..=1.0)?;
        within(&name("online_share"), class.online_share, SHARE_MIN..=1.0)?;
        within(&name("lent_share"), class.lent_share, SHARE_MIN..=1.0)?;
        within(&name("acceptance"), class.acceptance, SHARE_MIN..=1.0)?;
    }
    let sum: f64 = classes.iter().map(|class| class.share).sum();
    if (sum - 1.0).abs() > 1e-6 {
        return Err(Invalid::new(format!("{field}[].share"), sum, "shares that sum to 1"));
    }
    Ok(())
}

impl Prices {
    fn validate(&self) -> Result<(), Invalid> {
        within("prices.per_mix_per_year", self.per_mix_per_year, 0.0..=1e9)?;
        within("prices.per_mbps_per_year", self.per_mbps_per_year, 0.0..=1e9)
    }
}

impl Overhead {
    fn validate(&self) -> Result<(), Invalid> {
        within("overhead.peak_factor", self.peak_factor, 1.0..=1000.0)?;
        let datagrams = DATAGRAM_BYTES_MIN as f64..=DATAGRAM_BYTES_MAX as f64;
        within("overhead.datagram_bytes", self.datagram_bytes as f64, datagrams)?;
        within("overhead.ip_udp_bytes", self.ip_udp_bytes, 0.0..=1000.0)?;
        within("overhead.quic_bytes", self.quic_bytes, 0.0..=500.0)?;
        within("overhead.packets_per_ack", self.packets_per_ack, 1.0..=1000.0)?;
        within("overhead.ack_delay_ms", self.ack_delay_ms, 1.0..=1000.0)?;
        within("overhead.burst_mbps", self.burst_mbps, 1e-3..=1e5)?;
        within("overhead.reply_bytes", self.reply_bytes, 1.0..=1e9)?;
        within("overhead.circuits_per_online_hour", self.circuits_per_online_hour, 0.0..=3600.0)?;
        within("overhead.spare_circuits", self.spare_circuits, 0.0..=1000.0)?;
        within("overhead.probe_seconds", self.probe_seconds, 1.0..=1e6)?;
        let handshakes = self.link_handshakes_per_online_hour;
        within("overhead.link_handshakes_per_online_hour", handshakes, 0.0..=3600.0)?;
        within("overhead.filler_kbps", self.filler_kbps, 0.0..=1e7)?;
        within("overhead.filler_links", self.filler_links, 0.0..=1e5)
    }
}

impl Adversary {
    fn validate(&self) -> Result<(), Invalid> {
        if let Some(share) = self.hostile_share {
            within("adversary.hostile_share", share, 0.0..=1.0)?;
        }
        within("adversary.observed_link_share", self.observed_link_share, 0.0..=1.0)?;
        if let Some(circuits) = self.circuits_per_day {
            within("adversary.circuits_per_day", circuits, 0.0..=1e6)?;
        }
        within("adversary.first_hops", f64::from(self.first_hops), 1.0..=100.0)?;
        within("adversary.first_hop_days", self.first_hop_days, 1.0..=36_500.0)
    }
}

impl Delays {
    fn validate(&self) -> Result<(), Invalid> {
        within("delays.link_ms", self.link_ms, 0.0..=1e5)?;
        within("delays.mixing_ms", self.mixing_ms, 0.0..=1e6)?;
        within("delays.processing_ms", self.processing_ms, 0.0..=1e5)?;
        within("delays.handshake_ms", self.handshake_ms, 0.0..=1e5)?;
        within("delays.page_kb", self.page_kb, 0.0..=1e6)?;
        within("delays.page_round_trips", self.page_round_trips, 1.0..=1000.0)
    }
}

impl Requirements {
    fn validate(&self) -> Result<(), Invalid> {
        let fields = [
            ("require.budget_per_year", self.budget_per_year, 0.0..=1e15),
            ("require.load_share_max", self.load_share_max, SHARE_MIN..=1.0),
            ("require.added_delay_ms_max", self.added_delay_ms_max, 0.0..=1e7),
            ("require.compromised_share_max", self.compromised_share_max, 0.0..=1.0),
            ("require.compromised_in_year_max", self.compromised_in_year_max, 0.0..=1.0),
        ];
        for (field, value, allowed) in fields {
            if let Some(value) = value {
                within(field, value, allowed)?;
            }
        }
        Ok(())
    }
}
