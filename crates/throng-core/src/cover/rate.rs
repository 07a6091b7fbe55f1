//! Bits per second, and the gap between two datagrams that they leave.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use crate::limits::{RATE_BPS_MAX, RATE_BPS_MIN};
use crate::text::InvalidValue;
use crate::wire::Geometry;

/// Bits per second on the wire, IPv4 and UDP headers included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(pub(super) u64);

/// IPv4 and UDP headers around a datagram, bytes.
pub(super) const IP_UDP_BYTES: u64 = 28;

impl Rate {
    /// So many bits per second, or nothing if that is not within [`RATE_BPS_MIN`] and [`RATE_BPS_MAX`].
    pub const fn bps(bps: u64) -> Option<Self> {
        if RATE_BPS_MIN <= bps && bps <= RATE_BPS_MAX { Some(Self(bps)) } else { None }
    }

    /// The rate at which datagrams `gap` apart leave, within the bounds.
    pub fn of_gap(gap: Duration, geometry: Geometry) -> Self {
        let bps = bits(geometry) * 1_000_000_000 / (gap.as_nanos() as u64).max(1);
        Self(bps.clamp(RATE_BPS_MIN, RATE_BPS_MAX))
    }

    /// Bits per second.
    pub const fn as_bps(self) -> u64 {
        self.0
    }

    /// From one datagram to the next.
    pub const fn gap(self, geometry: Geometry) -> Duration {
        Duration::from_nanos(bits(geometry) * 1_000_000_000 / self.0)
    }
}

const fn bits(geometry: Geometry) -> u64 {
    (geometry.datagram() as u64 + IP_UDP_BYTES) * 8
}

/// The paper's rate for users' links.
pub const DEFAULT_RATE: Rate = Rate(64_000);

/// What a defence may pad on one link.
pub(crate) const DEFENCE_PADDING: Rate = Rate(512_000);

impl FromStr for Rate {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match &text[digits.len()..] {
            "bps" => Some(1.0),
            "kbps" => Some(1e3),
            "mbps" | "Mbps" => Some(1e6),
            _ => None,
        };
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let number = digits.parse::<f64>().ok().filter(|_| plain);
        let bps = unit.zip(number).map(|(unit, number)| (unit * number + 0.5) as u64);
        bps.and_then(Self::bps)
            .ok_or_else(|| InvalidValue::new(text, "1kbps to 100mbps, as 64kbps or 1.5mbps"))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bps if bps.is_multiple_of(1_000_000) => write!(f, "{}mbps", bps / 1_000_000),
            bps if bps.is_multiple_of(1000) => write!(f, "{}kbps", bps / 1000),
            bps => write!(f, "{bps}bps"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_and_its_gap_belong_together() {
        let geometry = Geometry::DEFAULT;
        assert_eq!("64kbps".parse::<Rate>().unwrap().gap(geometry), Duration::from_micros(163_500));
        for bps in [1000, 8_000, 64_000, 1_500_000, 100_000_000] {
            let rate = Rate::bps(bps).unwrap();
            let back = Rate::of_gap(rate.gap(geometry), geometry).as_bps();
            assert!(back.abs_diff(bps) * 1000 <= bps, "{bps}: {back}");
        }
        for wrong in ["", "64", "64kb", "999bps", "101mbps", "-1kbps", "1e3kbps"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }
}
