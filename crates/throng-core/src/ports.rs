//! Which TCP ports an exit opens connections to.

use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use crate::limits::PORT_RANGES_MAX;

/// A set of TCP ports: sorted, disjoint, non-adjacent inclusive ranges, at most [`PORT_RANGES_MAX`] of them.
///
/// Written as text it is `80,443,6660-6669`, `all`, or `none`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Ports(Vec<(u16, u16)>);

impl Ports {
    /// No port at all: what a mix that is not an exit offers.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Every port from 1 to 65535.
    pub fn all() -> Self {
        Self(alloc::vec![(1, u16::MAX)])
    }

    /// The default of an exit: the web, and a short list of what people use daily (DNS over TLS, mail
    /// submission and reading, XMPP, IRC over TLS, git, SSH, alternative web ports). Port 25 is not in it.
    pub fn reduced() -> Self {
        Self::from_ranges([
            (22, 22),
            (80, 80),
            (443, 443),
            (465, 465),
            (587, 587),
            (853, 853),
            (993, 993),
            (995, 995),
            (5222, 5223),
            (6697, 6697),
            (8080, 8080),
            (8443, 8443),
            (9418, 9418),
        ])
        .expect("the reduced list is short and valid")
    }

    /// Makes a set from inclusive ranges in any order.
    ///
    /// # Errors
    /// [`PortsError`] if a range is empty or begins at 0, or if more than [`PORT_RANGES_MAX`] remain after
    /// adjacent ones are joined.
    pub fn from_ranges(ranges: impl IntoIterator<Item = (u16, u16)>) -> Result<Self, PortsError> {
        let mut given: Vec<(u16, u16)> = ranges.into_iter().collect();
        given.sort_unstable();
        let mut joined: Vec<(u16, u16)> = Vec::new();
        for (first, last) in given {
            if first == 0 || first > last {
                return Err(PortsError::BadRange);
            }
            match joined.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                _ => joined.push((first, last)),
            }
        }
        if joined.len() > PORT_RANGES_MAX {
            return Err(PortsError::TooMany);
        }
        Ok(Self(joined))
    }

    /// Whether `port` is in the set.
    pub fn allows(&self, port: u16) -> bool {
        self.0.iter().any(|&(first, last)| (first..=last).contains(&port))
    }

    /// Whether the set is empty.
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// The ranges, sorted and disjoint.
    pub fn ranges(&self) -> &[(u16, u16)] {
        &self.0
    }
}

/// Why a set of ports was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortsError {
    /// A range is empty, begins at 0, or is not a number.
    BadRange,
    /// More than [`PORT_RANGES_MAX`] ranges.
    TooMany,
}

impl fmt::Display for PortsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadRange => {
                write!(f, "a port list is `all`, `none`, or like `80,443,6660-6669` (1 to 65535)")
            }
            Self::TooMany => write!(f, "a port list has at most {PORT_RANGES_MAX} ranges"),
        }
    }
}

impl core::error::Error for PortsError {}

impl FromStr for Ports {
    type Err = PortsError;

    fn from_str(text: &str) -> Result<Self, PortsError> {
        match text.trim() {
            "all" => return Ok(Self::all()),
            "none" => return Ok(Self::none()),
            _ => {}
        }
        let number = |part: &str| part.trim().parse::<u16>().map_err(|_| PortsError::BadRange);
        let ranges: Result<Vec<_>, _> = text
            .split(',')
            .map(|item| match item.split_once('-') {
                Some((first, last)) => Ok((number(first)?, number(last)?)),
                None => number(item).map(|port| (port, port)),
            })
            .collect();
        Self::from_ranges(ranges?)
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [] => f.write_str("none"),
            [(1, u16::MAX)] => f.write_str("all"),
            ranges => {
                for (i, &(first, last)) in ranges.iter().enumerate() {
                    let comma = if i == 0 { "" } else { "," };
                    if first == last {
                        write!(f, "{comma}{first}")?;
                    } else {
                        write!(f, "{comma}{first}-{last}")?;
                    }
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn ports_read_and_write_the_same_text() {
        for text in ["all", "none", "80", "80,443,6660-6669"] {
            assert_eq!(text.parse::<Ports>().unwrap().to_string(), text);
        }
        assert_eq!("443,80,81-90".parse::<Ports>().unwrap().to_string(), "80-90,443");
    }

    #[test]
    fn bad_port_lists_are_refused() {
        for text in ["", "0", "90-80", "http", "70000", "1-2-3"] {
            assert_eq!(text.parse::<Ports>(), Err(PortsError::BadRange), "{text}");
        }
        let many = (0..=PORT_RANGES_MAX as u16).map(|i| (1 + 2 * i, 1 + 2 * i));
        assert_eq!(Ports::from_ranges(many), Err(PortsError::TooMany));
    }

    #[test]
    fn mail_is_not_in_the_reduced_list() {
        let ports = Ports::reduced();
        assert!(ports.allows(80) && ports.allows(443) && !ports.allows(25) && !ports.allows(0));
    }
}
