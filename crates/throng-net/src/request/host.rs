//! Where a stream goes: names and addresses, validated and never shown by accident.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{NotUnderstood, take, take_u8};

/// Longest host name, without the trailing dot (RFC 1035 §2.3.4).
pub const NAME_MAX_BYTES: usize = 253;
/// Longest label of a host name (RFC 1035 §2.3.4).
pub const LABEL_MAX_BYTES: usize = 63;

pub(super) const HOST_NAME: u8 = 1;
const HOST_V4: u8 = 4;
const HOST_V6: u8 = 6;

const _: () = assert!(NAME_MAX_BYTES <= u8::MAX as usize);

/// A host name: 1 to [`NAME_MAX_BYTES`] bytes of ASCII letters, digits, `-`, `_`, in labels of 1 to
/// [`LABEL_MAX_BYTES`] bytes with dots between them. Lower case, without a trailing dot, not an IP address.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<str>);

impl Name {
    /// The name that `text` writes, in any case and with or without a trailing dot.
    ///
    /// # Errors
    /// [`NotUnderstood`] if it is no host name; an IP address is none ([`Host::from_text`] takes both).
    pub fn new(text: &str) -> Result<Self, NotUnderstood> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let label = |label: &str| {
            (1..=LABEL_MAX_BYTES).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        if text.len() > NAME_MAX_BYTES || !text.split('.').all(label) || text.parse::<Ipv4Addr>().is_ok() {
            return Err(NotUnderstood);
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }

    /// The text. It tells where somebody goes: it must not reach a log.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Where a stream goes: a name that the exit resolves, or an address.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A host name.
    Name(Name),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address.
    V6(Ipv6Addr),
}

impl Host {
    /// The host that `text` writes: an IP address (IPv6 with or without brackets), otherwise a name.
    ///
    /// # Errors
    /// [`NotUnderstood`] if it is neither.
    pub fn from_text(text: &str) -> Result<Self, NotUnderstood> {
        if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return inner.parse().map(Self::V6).map_err(|_| NotUnderstood);
        }
        let undotted = text.strip_suffix('.').unwrap_or(text);
        match undotted.parse::<IpAddr>() {
            Ok(address) => Ok(address.into()),
            Err(_) => Name::new(text).map(Self::Name),
        }
    }

    /// The address, if this is not a name.
    pub fn address(&self) -> Option<IpAddr> {
        match *self {
            Self::Name(_) => None,
            Self::V4(address) => Some(address.into()),
            Self::V6(address) => Some(address.into()),
        }
    }

    /// The text. It tells where somebody goes: it must not reach a log.
    pub fn reveal(&self) -> Cow<'_, str> {
        match self {
            Self::Name(name) => Cow::Borrowed(name.reveal()),
            Self::V4(address) => Cow::Owned(address.to_string()),
            Self::V6(address) => Cow::Owned(address.to_string()),
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Name(name) => {
                let text = name.reveal().as_bytes();
                // A name holds at most NAME_MAX_BYTES, which fits (asserted below).
                out.extend_from_slice(&[HOST_NAME, text.len() as u8]);
                out.extend_from_slice(text);
            }
            Self::V4(address) => {
                out.push(HOST_V4);
                out.extend_from_slice(&address.octets());
            }
            Self::V6(address) => {
                out.push(HOST_V6);
                out.extend_from_slice(&address.octets());
            }
        }
    }

    pub(super) fn parse(bytes: &mut &[u8]) -> Result<Self, NotUnderstood> {
        match take_u8(bytes)? {
            HOST_NAME => {
                let length = usize::from(take_u8(bytes)?);
                let (text, rest) = bytes.split_at_checked(length).ok_or(NotUnderstood)?;
                *bytes = rest;
                let name = Name::new(std::str::from_utf8(text).map_err(|_| NotUnderstood)?)?;
                // Only the canonical spelling: a second one would be a place to hide a mark.
                if name.reveal().as_bytes() == text { Ok(Self::Name(name)) } else { Err(NotUnderstood) }
            }
            HOST_V4 => take::<4>(bytes).map(|octets| Self::V4(octets.into())),
            HOST_V6 => take::<16>(bytes).map(|octets| Self::V6(octets.into())),
            _ => Err(NotUnderstood),
        }
    }
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6(address),
        }
    }
}

/// A host and a TCP port.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// The host.
    pub host: Host,
    /// The TCP port, 1 to 65535.
    pub port: u16,
}

impl Target {
    /// The text, as in a URI (`host:port`, IPv6 in brackets). It must not reach a log.
    pub fn reveal(&self) -> String {
        match &self.host {
            Host::V6(address) => format!("[{address}]:{}", self.port),
            host => format!("{}:{}", host.reveal(), self.port),
        }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SCRUBBED)
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SCRUBBED)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SCRUBBED)
    }
}

/// What `Debug` shows instead.
pub(super) const SCRUBBED: &str = "[scrubbed]";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_is_lower_case_and_bounded() {
        assert_eq!(Name::new("WWW.Example.COM.").unwrap().reveal(), "www.example.com");
        assert_eq!(Name::new("_dmarc.a-b.c").unwrap().reveal(), "_dmarc.a-b.c");
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(longest.len(), NAME_MAX_BYTES);
        assert!(Name::new(&longest).is_ok() && Name::new(&format!("{longest}.")).is_ok());
        let too_long_label = "a".repeat(64);
        let bad = ["", ".", "..", "a..b", ".a", "a b", "a/b", "ä", "a\0", "1.2.3.4", "::1", &too_long_label];
        for text in bad.into_iter().chain([format!("{longest}a").as_str()]) {
            assert_eq!(Name::new(text), Err(NotUnderstood), "{text:?}");
        }
    }

    #[test]
    fn an_address_as_text_is_an_address() {
        let v4 = Host::V4(Ipv4Addr::new(1, 2, 3, 4));
        let v6 = Host::V6(Ipv6Addr::LOCALHOST);
        for (text, host) in [("1.2.3.4", &v4), ("1.2.3.4.", &v4), ("::1", &v6), ("[::1]", &v6)] {
            assert_eq!(Host::from_text(text).as_ref(), Ok(host), "{text}");
        }
        for text in ["[1.2.3.4]", "[a]", "[::1", "::1]", "[]"] {
            assert_eq!(Host::from_text(text), Err(NotUnderstood), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_host_or_malformed(text in ".{0,300}") {
            if let Ok(host) = Host::from_text(&text) {
                prop_assert_eq!(Host::from_text(&host.reveal()).unwrap(), host);
            }
        }
    }
}
