//! A question to the planner: plain data with defaults, checked before it is answered.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use throng_core::ClientConfig;
use throng_core::limits::{CIRCUIT_USE_MAX, FIRST_HOPS, IDLE_PROBE, SESSION_AGE};
use throng_core::wire::Geometry;

use super::Invalid;
use super::formulas::{ConstantCover, Demand};
use super::invalid::one_of;

/// A question. A field left out has the default of the paper's Table 1, or is computed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Question {
    /// Who the mixes are.
    pub kind: MixKind,
    /// The formulas as printed, or with what a real network adds (the default, with the formulas' own numbers beside).
    pub mode: Mode,
    /// Users; without a number: how many? 1 to 10¹⁰.
    pub users: Option<u64>,
    /// Mixes of a static network; without a number: how many? 1 to 10⁷. A dynamic network has as many as users.
    pub mixes: Option<u64>,
    /// l, mixes in a chain: 1 to 8 (default 4: the paper does not say, and only 4 gives its Table 1).
    pub hops: u32,
    /// d_s, megabytes (10⁶ bytes) that a user sends a day: 0 to 10⁶ (default 0.5).
    pub sent_mb_per_day: f64,
    /// d_r, megabytes that a user receives a day: 0 to 10⁶ (default 4.5).
    pub received_mb_per_day: f64,
    /// The cover scheme that is asked about; the others are computed as well.
    pub cover: CoverScheme,
    /// r_d, the rate of cover in each direction, kb/s of what applications could use: 0.001 to 10⁷ (default 64).
    pub cover_rate_kbps: f64,
    /// u, hours a day that a user is online: 0.01 to 24 (default 1).
    pub online_hours_per_day: f64,
    /// Lines of mixes in a static network (default: 1 Mb/s each, the paper's volunteers).
    pub mix_classes: Vec<BandwidthClass>,
    /// Lines of members in a dynamic network (default: [`super::presets::fc04`]).
    pub member_classes: Vec<BandwidthClass>,
    /// How chains choose among mixes with unequal lines.
    pub choice: Choice,
    /// Share of the capacity whose owners open connections to the outside: above 0, to 1 (default 1).
    pub exit_share: f64,
    /// What mixes cost.
    pub prices: Prices,
    /// What a real network adds; used in [`Mode::Realistic`].
    pub overhead: Overhead,
    /// Who attacks.
    pub adversary: Adversary,
    /// What takes time.
    pub delays: Delays,
    /// What must hold.
    pub require: Requirements,
}

/// Who the mixes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MixKind {
    /// A listed set.
    Static,
    /// Every user.
    Dynamic,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The paper's formulas (1) to (4) as printed.
    Bare,
    /// The same, and [`Overhead`].
    Realistic,
}

/// A cover scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CoverScheme {
    /// Only real data.
    None,
    /// A constant rate between a user and the first mix.
    Link,
    /// A constant rate between a user and the last mix.
    EndToEnd,
}

impl CoverScheme {
    /// All of them, the least protective first.
    pub const ALL: [Self; 3] = [Self::None, Self::Link, Self::EndToEnd];

    /// Its name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "no cover",
            Self::Link => "link cover",
            Self::EndToEnd => "end-to-end cover",
        }
    }
}

impl FromStr for CoverScheme {
    type Err = Invalid;
    fn from_str(word: &str) -> Result<Self, Invalid> {
        one_of("cover", word, &[("none", Self::None), ("link", Self::Link), ("end-to-end", Self::EndToEnd)])
    }
}

impl FromStr for MixKind {
    type Err = Invalid;
    fn from_str(word: &str) -> Result<Self, Invalid> {
        one_of("kind", word, &[("static", Self::Static), ("dynamic", Self::Dynamic)])
    }
}

impl FromStr for Mode {
    type Err = Invalid;
    fn from_str(word: &str) -> Result<Self, Invalid> {
        one_of("mode", word, &[("bare", Self::Bare), ("realistic", Self::Realistic)])
    }
}

impl FromStr for Choice {
    type Err = Invalid;
    fn from_str(word: &str) -> Result<Self, Invalid> {
        let words = [
            ("by-bandwidth", Self::ByBandwidth),
            ("uniform", Self::Uniform),
            ("by-acceptance", Self::ByAcceptance),
        ];
        one_of("choice", word, &words)
    }
}

impl MixKind {
    /// Its name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Dynamic => "dynamic",
        }
    }
}

/// How chains choose among mixes with unequal lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// In proportion to what each can carry: all are full at the same time. Formula (1) assumes this.
    ByBandwidth,
    /// All alike: the slowest class is full first.
    Uniform,
    /// In proportion to [`BandwidthClass::acceptance`], as nodes of MorphMix do.
    ByAcceptance,
}

/// Mixes or members with the same line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BandwidthClass {
    /// What tables call it.
    pub name: String,
    /// Speed towards the network, Mb/s: above 0, to 10⁶.
    pub up_mbps: f64,
    /// Speed from the network, Mb/s: above 0, to 10⁶.
    pub down_mbps: f64,
    /// Share of all mixes or members: 0 to 1; the classes' shares sum to 1.
    pub share: f64,
    /// Share of the day that it is online: above 0, to 1.
    #[serde(default = "whole")]
    pub online_share: f64,
    /// Share of the line that it lends: above 0, to 1.
    #[serde(default = "whole")]
    pub lent_share: f64,
    /// Weight with which it is chosen under [`Choice::ByAcceptance`]: above 0, to 1.
    #[serde(default = "whole")]
    pub acceptance: f64,
}

fn whole() -> f64 {
    1.0
}

impl BandwidthClass {
    /// A class of equal speed in both directions, always online, all of it lent, and the only one.
    pub fn symmetric(name: impl Into<String>, mbps: f64) -> Self {
        Self {
            name: name.into(),
            up_mbps: mbps,
            down_mbps: mbps,
            share: 1.0,
            online_share: 1.0,
            lent_share: 1.0,
            acceptance: 1.0,
        }
    }
}

/// What mixes cost, in any one currency.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prices {
    /// One mix, a year: 0 to 10⁹ (default 10 000, the paper's 5 000 + 5 000 for each mix of an attacker).
    pub per_mix_per_year: f64,
    /// One Mb/s of a mix's line, a year: 0 to 10⁹ (default 0).
    pub per_mbps_per_year: f64,
}

impl Default for Prices {
    fn default() -> Self {
        Self { per_mix_per_year: 10_000.0, per_mbps_per_year: 0.0 }
    }
}

/// What a real network adds to the bare formulas. The defaults are Throng's own.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Overhead {
    /// Load at the busiest moment, as a multiple of the mean, with whatever no formula covers: 1 to 1000 (default 5: the paper says 100 000 users
    /// where its formula gives 500 000). It multiplies all that users cause, as the paper does; with cover all day, which
    /// has no peaks, 1 is nearer.
    pub peak_factor: f64,
    /// UDP payload of every datagram, bytes: 256 to 8192 (default 1280).
    pub datagram_bytes: usize,
    /// IP and UDP headers, bytes: 0 to 1000 (default 28 for IPv4; IPv6 has 48).
    pub ip_udp_bytes: f64,
    /// Headers and tag of QUIC in a cell's payload, bytes: 0 to 500 (default 34: flags 1, connection 8, number 2, tag
    /// 16; stream frame: type 1, stream 2, offset 4).
    pub quic_bytes: f64,
    /// Packets that one acknowledgement cell answers at most: 1 to 1000 (default 30).
    pub packets_per_ack: f64,
    /// Longest wait for an acknowledgement, ms: 1 to 1000 (default 25).
    pub ack_delay_ms: f64,
    /// Speed of a circuit while it moves data, Mb/s: 0.001 to 10⁵ (default 5, an assumption). Acknowledgements come
    /// after a time, so slow circuits send more of them; under cover, none is faster than the cover.
    pub burst_mbps: f64,
    /// Mean length of a reply, bytes: 1 to 10⁹ (default 12 000: MorphMix' model of the web, FC 2004). Request
    /// and reply each leave half of their last cell empty on average.
    pub reply_bytes: f64,
    /// Circuits that a user sets up in an hour online: 0 to 3600 (default 6: each is used for ten minutes).
    pub circuits_per_online_hour: f64,
    /// Idle circuits kept ready: 0 to 1000 (default 3).
    pub spare_circuits: f64,
    /// Seconds between two questions to an idle circuit whether it lives: 1 to 10⁶ (default 20).
    pub probe_seconds: f64,
    /// Handshakes with first mixes in an hour online: 0 to 3600 (default 3: three first hops, keys of an hour).
    pub link_handshakes_per_online_hour: f64,
    /// Constant rate between two neighbouring mixes, kb/s of what applications could use: 0 to 10⁷ (default 0).
    pub filler_kbps: f64,
    /// Neighbours with which a mix keeps that rate: 0 to 10⁵ (default 20: MorphMix' least, FC 2004).
    pub filler_links: f64,
}

impl Default for Overhead {
    fn default() -> Self {
        Self {
            peak_factor: 5.0,
            datagram_bytes: Geometry::DEFAULT.datagram(),
            ip_udp_bytes: 28.0,
            quic_bytes: 34.0,
            packets_per_ack: 30.0,
            ack_delay_ms: 25.0,
            burst_mbps: 5.0,
            reply_bytes: 12_000.0,
            circuits_per_online_hour: 3600.0 / CIRCUIT_USE_MAX.as_secs_f64(),
            spare_circuits: ClientConfig::default().spare as f64,
            probe_seconds: IDLE_PROBE.as_secs_f64(),
            link_handshakes_per_online_hour: FIRST_HOPS as f64 * 3600.0 / SESSION_AGE.as_secs_f64(),
            filler_kbps: 0.0,
            filler_links: 20.0,
        }
    }
}

/// Who attacks. Without a hostile mix and an observed link, nothing is said about compromise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adversary {
    /// f, the share of mixes that are hostile, as chains choose them: 0 to 1. (Where chains choose by bandwidth, by
    /// subnet or by stake, that is the share of bandwidth, of subnets or of stake.)
    pub hostile_share: Option<f64>,
    /// The same as a number of [`Question::mixes`]; not both.
    pub hostile_mixes: Option<u64>,
    /// Share of links that are observed: 0 to 1 (default 0).
    pub observed_link_share: f64,
    /// The adversary also owns the destination, so one end is enough.
    pub hostile_destination: bool,
    /// Circuits of a user in a day: 0 to 10⁶ (default: as [`Overhead::circuits_per_online_hour`] says).
    pub circuits_per_day: Option<f64>,
    /// First hops that a user keeps: 1 to 100 (default 3).
    pub first_hops: u32,
    /// Days for which one is kept: 1 to 36 500 (default 120).
    pub first_hop_days: f64,
}

impl Default for Adversary {
    fn default() -> Self {
        Self {
            hostile_share: None,
            hostile_mixes: None,
            observed_link_share: 0.0,
            hostile_destination: false,
            circuits_per_day: None,
            first_hops: FIRST_HOPS as u32,
            first_hop_days: 120.0,
        }
    }
}

/// What takes time: means, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Delays {
    /// One link, one way: 0 to 10⁵ (default 85, the mean of MorphMix' 20 to 150, FC 2004).
    pub link_ms: f64,
    /// A mix holds a cell for so long: 0 to 10⁶ (default 0; an exponential or a batch: its mean).
    pub mixing_ms: f64,
    /// Work of a mix on a cell: 0 to 10⁵ (default 0.01: measured on our own machine).
    pub processing_ms: f64,
    /// Work of both sides of a handshake: 0 to 10⁵ (default 0.5: 0.43 measured there, portable code).
    pub handshake_ms: f64,
    /// A page with all that belongs to it, kilobytes: 0 to 10⁶ (default 60: MorphMix' 12 kB and four objects of 12).
    pub page_kb: f64,
    /// Round trips until it has arrived, besides the data itself: 1 to 1000 (default 3, an assumption: name and connection
    /// at the exit, the page, its objects).
    pub page_round_trips: f64,
}

impl Default for Delays {
    fn default() -> Self {
        Self {
            link_ms: 85.0,
            mixing_ms: 0.0,
            processing_ms: 0.01,
            handshake_ms: 0.5,
            page_kb: 60.0,
            page_round_trips: 3.0,
        }
    }
}

/// What must hold; what is left out is not required.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Requirements {
    /// Most money a year: 0 to 10¹⁵, in the currency of [`Prices`].
    pub budget_per_year: Option<f64>,
    /// Most load, in parts of the capacity: above 0, to 1. (With users and mixes given, 1 is required anyway.)
    pub load_share_max: Option<f64>,
    /// Longest delay that the network adds to a round trip, ms: 0 to 10⁷.
    pub added_delay_ms_max: Option<f64>,
    /// Most circuits compromised, in parts of all: 0 to 1.
    pub compromised_share_max: Option<f64>,
    /// Highest probability that a user has at least one circuit compromised in a year, with sticky first hops: 0 to 1.
    pub compromised_in_year_max: Option<f64>,
}

impl Question {
    /// The lines that carry the traffic.
    pub(crate) fn classes(&self) -> &[BandwidthClass] {
        match self.kind {
            MixKind::Static => &self.mix_classes,
            MixKind::Dynamic => &self.member_classes,
        }
    }

    pub(crate) fn demand(&self) -> Demand {
        Demand {
            hops: self.hops,
            sent_bits_per_day: self.sent_mb_per_day * 8e6,
            received_bits_per_day: self.received_mb_per_day * 8e6,
        }
    }

    pub(crate) fn schedule(&self) -> ConstantCover {
        ConstantCover {
            rate_bps: self.cover_rate_kbps * 1e3,
            online_seconds_per_day: self.online_hours_per_day * 3600.0,
        }
    }

    /// Share of mixes that are hostile, if the question says.
    pub(crate) fn hostile_share(&self) -> Option<f64> {
        let counted = || Some(self.adversary.hostile_mixes? as f64 / self.mixes? as f64);
        self.adversary.hostile_share.or_else(counted)
    }

    pub(crate) fn has_adversary(&self) -> bool {
        self.hostile_share().is_some() || self.adversary.observed_link_share > 0.0
    }
}

impl Overhead {
    pub(crate) fn geometry(&self) -> Geometry {
        Geometry::new(self.datagram_bytes).unwrap_or_default()
    }
}
