//! A node's signed description of itself.
//!
//! ```text
//! version u8 · families u8 (0 or 1) × (key 32, signature 64) · identity 32 · capacity u32 · from u64
//! · until u64 · ports u8 × (first u16, last u16) · addresses u8 × (4 or 6 u8, address 4 or 16, port u16) · signature 64
//! ```
//!
//! The family's key signs the identity: who could say to be of any family would keep others' mixes out of the paths that
//! it is in.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::crypto::Suite;
use crate::id::{Family, Member, NodeId};
use crate::limits::{PORT_RANGES_MAX, RECORD_ADDRESSES_MAX, RECORD_BYTES_MAX};
use crate::ports::Ports;
use crate::refused::Refused;
use crate::scrubbed::Scrubbed;
use crate::time::Time;
use crate::wire::{Malformed, Reader};

const VERSION: u8 = 3;
const SIGNATURE_CONTEXT: &[u8] = b"throng record 3\0";
const FAMILY_CONTEXT: &[u8] = b"throng family 2\0";
const SIGNATURE_BYTES: usize = 64;

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its Ed25519 identity.
    pub identity: NodeId,
    /// Whom it belongs to: no two mixes of a family are in one circuit.
    pub family: Option<Member>,
    /// What it can carry in each direction, in kbit/s, more than 0: paths choose it in proportion.
    pub capacity: u32,
    /// Where it listens; at least one.
    pub addresses: Vec<Scrubbed<SocketAddr>>,
    /// The ports that it opens connections to; none if it is not an exit.
    pub exit_ports: Ports,
    /// Begin of validity.
    pub from: Time,
    /// End of validity.
    pub until: Time,
}

/// A description whose signature was checked. There is no other way to have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    description: Description,
    bytes: Vec<u8>,
}

impl Record {
    /// Signs a description.
    ///
    /// # Panics
    /// If it has no address, or more than [`RECORD_ADDRESSES_MAX`]; if its capacity is 0; if `secret` is not its identity's;
    /// if its family did not sign that it is one of it.
    pub fn sign<S: Suite>(description: Description, secret: &[u8; 32]) -> Self {
        assert!(
            (1..=RECORD_ADDRESSES_MAX).contains(&description.addresses.len()),
            "a record has 1 to 4 addresses"
        );
        assert!(description.capacity > 0, "a mix that can carry nothing is none");
        assert_eq!(S::sign_public(secret), description.identity.0, "a record is signed by its own identity");
        assert!(description.is_of_its_family::<S>(), "a family's own key says who is of it");
        let mut bytes = description.write();
        let signature = S::sign(secret, &[SIGNATURE_CONTEXT, &bytes].concat());
        bytes.extend_from_slice(&signature);
        assert!(bytes.len() <= RECORD_BYTES_MAX, "the bounds on addresses and ports keep a record short");
        Self { description, bytes }
    }

    /// Reads a record, checks its signature and that it is valid `now`.
    ///
    /// # Errors
    /// [`Refused::Malformed`], [`Refused::OtherVersion`], [`Refused::Forged`] or [`Refused::OutOfDate`].
    pub fn verify<S: Suite>(bytes: &[u8], now: Time) -> Result<Self, Refused> {
        let record = Self::read::<S>(bytes)?;
        let Description { from, until, .. } = record.description;
        if (from..until).contains(&now) { Ok(record) } else { Err(Refused::OutOfDate) }
    }

    /// Reads a record, and checks its signature.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub(crate) fn read<S: Suite>(bytes: &[u8]) -> Result<Self, Refused> {
        let signed = bytes.len().checked_sub(SIGNATURE_BYTES).ok_or(Malformed)?;
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(Refused::Malformed);
        }
        let (content, signature) = bytes.split_at(signed);
        if content.first().is_some_and(|version| *version != VERSION) {
            return Err(Refused::OtherVersion);
        }
        let description = Description::parse(content)?;
        let signature = signature.try_into().map_err(|_| Malformed)?;
        S::verify(&description.identity.0, &[SIGNATURE_CONTEXT, content].concat(), signature)?;
        if !description.is_of_its_family::<S>() {
            return Err(Refused::Forged);
        }
        Ok(Self { description, bytes: bytes.to_vec() })
    }

    /// What the record says.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The signed bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Says, with a family's secret key, that a mix is of it.
pub fn join_family<S: Suite>(secret: &[u8; 32], mix: NodeId) -> Member {
    let signature = S::sign(secret, &[FAMILY_CONTEXT, &mix.0].concat());
    Member { family: Family(S::sign_public(secret)), signature }
}

/// Whether the family's key said that a mix is of it.
pub fn is_of_family<S: Suite>(member: &Member, mix: NodeId) -> bool {
    S::verify(&member.family.0, &[FAMILY_CONTEXT, &mix.0].concat(), &member.signature).is_ok()
}

impl Description {
    /// Whether it is an exit that opens connections to `port`; to any port at all if none is given.
    pub fn serves(&self, port: Option<u16>) -> bool {
        port.map_or(!self.exit_ports.is_none(), |port| self.exit_ports.allows(port))
    }

    fn is_of_its_family<S: Suite>(&self) -> bool {
        self.family.is_none_or(|member| is_of_family::<S>(&member, self.identity))
    }

    fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(RECORD_BYTES_MAX);
        out.extend_from_slice(&[VERSION, u8::from(self.family.is_some())]);
        if let Some(Member { family, signature }) = &self.family {
            out.extend_from_slice(&family.0);
            out.extend_from_slice(signature);
        }
        out.extend_from_slice(&self.identity.0);
        out.extend_from_slice(&self.capacity.to_le_bytes());
        out.extend_from_slice(&self.from.as_nanos().to_le_bytes());
        out.extend_from_slice(&self.until.as_nanos().to_le_bytes());
        out.push(self.exit_ports.ranges().len() as u8);
        for (first, last) in self.exit_ports.ranges() {
            out.extend_from_slice(&first.to_le_bytes());
            out.extend_from_slice(&last.to_le_bytes());
        }
        out.push(self.addresses.len() as u8);
        for address in &self.addresses {
            match address.0.ip() {
                IpAddr::V4(ip) => {
                    out.push(4);
                    out.extend_from_slice(&ip.octets());
                }
                IpAddr::V6(ip) => {
                    out.push(6);
                    out.extend_from_slice(&ip.octets());
                }
            }
            out.extend_from_slice(&address.0.port().to_le_bytes());
        }
        out
    }

    fn parse(content: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Reader::new(content);
        let family = match *fields.array()? {
            [VERSION, 0] => None,
            [VERSION, 1] => Some(Member { family: Family(*fields.array()?), signature: *fields.array()? }),
            _ => return Err(Malformed),
        };
        let identity = NodeId(*fields.array()?);
        let capacity = match fields.u32()? {
            0 => return Err(Malformed),
            capacity => capacity,
        };
        let from = Time::from_nanos(fields.u64()?);
        let until = Time::from_nanos(fields.u64()?);

        let ranges = usize::from(fields.u8()?);
        if ranges > PORT_RANGES_MAX {
            return Err(Malformed);
        }
        let ranges: Result<Vec<_>, Malformed> =
            (0..ranges).map(|_| Ok((fields.u16()?, fields.u16()?))).collect();
        let exit_ports = Ports::from_ranges(ranges?).map_err(|_| Malformed)?;

        let count = usize::from(fields.u8()?);
        if !(1..=RECORD_ADDRESSES_MAX).contains(&count) {
            return Err(Malformed);
        }
        let addresses: Result<Vec<_>, Malformed> = (0..count)
            .map(|_| {
                let ip = match fields.u8()? {
                    4 => IpAddr::V4(Ipv4Addr::from(*fields.array::<4>()?)),
                    6 => IpAddr::V6(Ipv6Addr::from(*fields.array::<16>()?)),
                    _ => return Err(Malformed),
                };
                if ip != ip.to_canonical() {
                    return Err(Malformed); // an IPv4 address in disguise
                }
                Ok(Scrubbed(SocketAddr::new(ip, fields.u16()?)))
            })
            .collect();
        let description = Self { identity, family, capacity, addresses: addresses?, exit_ports, from, until };
        // One record, one form: whatever reads differently than it writes is refused.
        if !fields.rest().is_empty() || description.write() != content {
            Err(Malformed)
        } else {
            Ok(description)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Portable;
    use proptest::prelude::*;

    fn example() -> (Description, [u8; 32]) {
        let secret = [3; 32];
        let description = Description {
            identity: NodeId(Portable::sign_public(&secret)),
            family: Some(join_family::<Portable>(&[5; 32], NodeId(Portable::sign_public(&secret)))),
            capacity: 1000,
            addresses: vec![
                Scrubbed("127.1.0.1:9000".parse().unwrap()),
                Scrubbed("[::1]:9000".parse().unwrap()),
            ],
            exit_ports: Ports::reduced(),
            from: Time::from_secs(100),
            until: Time::from_secs(200),
        };
        (description, secret)
    }

    #[test]
    fn a_signed_record_is_read_back() {
        let (description, secret) = example();
        let record = Record::sign::<Portable>(description, &secret);
        assert_eq!(Record::verify::<Portable>(record.as_bytes(), Time::from_secs(150)), Ok(record));
    }

    #[test]
    fn a_forged_record_is_refused_whichever_bit_was_changed() {
        let (description, secret) = example();
        let record = Record::sign::<Portable>(description, &secret);
        for byte in 0..record.as_bytes().len() {
            let mut forged = record.as_bytes().to_vec();
            forged[byte] ^= 1 << (byte % 8);
            let outcome = Record::verify::<Portable>(&forged, Time::from_secs(150));
            match byte {
                0 => assert_eq!(outcome, Err(Refused::OtherVersion)),
                _ => assert!(
                    matches!(outcome, Err(Refused::Forged | Refused::Malformed)),
                    "byte {byte}: {outcome:?}"
                ),
            }
        }
    }

    #[test]
    fn nobody_is_of_a_family_whose_key_did_not_say_so() {
        let (honest, _) = example();
        let secret = [6; 32];
        let copied = Description { identity: NodeId(Portable::sign_public(&secret)), ..honest };
        let mut bytes = copied.write();
        bytes.extend_from_slice(&Portable::sign(&secret, &[SIGNATURE_CONTEXT, &bytes].concat()));
        assert_eq!(Record::read::<Portable>(&bytes), Err(Refused::Forged));
    }

    #[test]
    fn a_record_out_of_its_time_is_refused() {
        let (description, secret) = example();
        let record = Record::sign::<Portable>(description, &secret);
        for seconds in [0, 99, 200, 10_000] {
            let outcome = Record::verify::<Portable>(record.as_bytes(), Time::from_secs(seconds));
            assert_eq!(outcome, Err(Refused::OutOfDate));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            prop_assert!(Record::verify::<Portable>(&bytes, Time::ZERO).is_err());
        }
    }
}
