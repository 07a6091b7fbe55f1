//! What is on the wire: a sealed cell of a session, or one of three messages that set a session up.
//!
//! ```text
//! sealed:  session u32 (never 0) · counter u64 · cell, encrypted · tag 16
//! offer:   0 u32 · kind 1 · version 3 · part u8 · 0 u8 · initiator u32 · offer 1216 · mac1 16 · mac2 16 · zeros
//! answer:  0 u32 · kind 2 · version 3 · part u8 · 0 u8 · initiator u32 · responder u32 · answer 1152 · zeros
//! cookie:  0 u32 · kind 3 · version 3 · part u8 · 0 u8 · initiator u32 · nonce 12 · cookie 16 + tag 16 · zeros
//! ```
//!
//! A session identifier is chosen at random by the side that will read it. Where a datagram is too short for a handshake,
//! offers and answers go in [`parts`], each with codes of its own; a cookie says to which part it belongs.

use super::parts::{self, Part};
use super::{Malformed, Reader, Writer};
use crate::crypto::{ANSWER_BYTES, OFFER_BYTES};
use crate::limits::DATAGRAM_BYTES_USUAL;

/// Session identifier and counter before a sealed cell, bytes.
pub const LINK_HEADER_BYTES: usize = 12;
/// Authentication tag behind it, bytes.
pub const LINK_TAG_BYTES: usize = 16;
/// The wire's version, which a design names. A datagram of another one is refused and counted; words are only for whoever
/// reads the network's document, since a stranger is to learn nothing.
pub const VERSION: u8 = 5;

const ENVELOPE_BYTES: usize = 12;
const CODES_BYTES: usize = 16 + 16;
const _: () = assert!(ENVELOPE_BYTES + OFFER_BYTES + CODES_BYTES <= DATAGRAM_BYTES_USUAL);

/// In how many parts an offer goes where datagrams are so long.
pub(crate) fn offer_parts(datagram: usize) -> usize {
    parts::needed(OFFER_BYTES, datagram - ENVELOPE_BYTES - CODES_BYTES)
}

/// In how many an answer does.
pub(crate) fn answer_parts(datagram: usize) -> usize {
    parts::needed(ANSWER_BYTES, datagram - ENVELOPE_BYTES - 4)
}

/// A datagram, told by its first bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// A cell of an established session; its header stays in front of the sealed bytes.
    Sealed {
        /// The reader's name for the session.
        session: u32,
        /// How many datagrams the sender sent before under this key.
        counter: u64,
    },
    /// Somebody wants a link.
    Offer(Offer<'a>),
    /// Our offer was taken.
    Answer {
        /// The initiator's name for the session.
        initiator: u32,
        /// The responder's.
        responder: u32,
        /// Which part of the handshake's second message this is.
        part: Part,
        /// What is in it.
        bytes: &'a [u8],
    },
    /// Our offer was not looked at yet: prove first that you are at your address.
    Cookie {
        /// The initiator's name for the session.
        initiator: u32,
        /// Which part of the offer it is for.
        part: Part,
        /// Nonce of the encrypted cookie.
        nonce: &'a [u8; 12],
        /// The cookie, encrypted.
        sealed: &'a [u8; 16],
        /// Its tag.
        tag: &'a [u8; 16],
    },
    /// Of another version of the wire: what it wants is not known.
    OtherVersion,
}

/// The first message of a link's handshake, or a part of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Offer<'a> {
    /// The initiator's name for the session.
    pub initiator: u32,
    /// Which part this is.
    pub part: Part,
    /// What is in it.
    pub bytes: &'a [u8],
    /// Shows that the sender knows the responder's keys.
    pub mac1: &'a [u8; 16],
    /// Shows that the sender got our cookie (zeros: it has none).
    pub mac2: &'a [u8; 16],
}

impl Offer<'_> {
    /// Bytes from the datagram's first to the first code: what the code covers.
    pub(crate) const fn covered(&self) -> usize {
        ENVELOPE_BYTES + self.bytes.len()
    }
}

const KIND_OFFER: u8 = 1;
const KIND_ANSWER: u8 = 2;
const KIND_COOKIE: u8 = 3;

impl<'a> Datagram<'a> {
    /// Reads the outside of a datagram.
    ///
    /// # Errors
    /// [`Malformed`] if it is none.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Reader::new(bytes);
        let session = fields.u32()?;
        if session != 0 {
            return Ok(Self::Sealed { session, counter: fields.u64()? });
        }
        let [kind, version, part, reserved] = *fields.array()?;
        if version != VERSION {
            return Ok(Self::OtherVersion);
        }
        if reserved != 0 {
            return Err(Malformed);
        }
        let part = Part::from_byte(part)?;
        let initiator = fields.u32()?;
        if initiator == 0 {
            return Err(Malformed); // no session is called so
        }
        match kind {
            KIND_OFFER => Ok(Self::Offer(Offer {
                initiator,
                part,
                bytes: fields.take(part.place(OFFER_BYTES).len())?,
                mac1: fields.array()?,
                mac2: fields.array()?,
            })),
            KIND_ANSWER => Ok(Self::Answer {
                initiator,
                responder: fields.u32()?,
                part,
                bytes: fields.take(part.place(ANSWER_BYTES).len())?,
            }),
            KIND_COOKIE => Ok(Self::Cookie {
                initiator,
                part,
                nonce: fields.array()?,
                sealed: fields.array()?,
                tag: fields.array()?,
            }),
            _ => Err(Malformed),
        }
    }

    /// Writes a set-up message into a datagram's full length. (Sealed cells are written by the link, in place.)
    pub(crate) fn write(&self, out: &mut [u8]) {
        let mut fields = Writer::new(out);
        let envelope = |fields: &mut Writer<'_>, kind, part: Part, initiator| {
            fields.u32(0).u8(kind).u8(VERSION).u8(part.to_byte()).u8(0).u32(initiator);
        };
        match *self {
            Self::Sealed { .. } => unreachable!("sealed cells are written by their link"),
            Self::OtherVersion => unreachable!("only our own version is written"),
            Self::Offer(Offer { initiator, part, bytes, mac1, mac2 }) => {
                envelope(&mut fields, KIND_OFFER, part, initiator);
                fields.put(bytes).put(mac1).put(mac2);
            }
            Self::Answer { initiator, responder, part, bytes } => {
                envelope(&mut fields, KIND_ANSWER, part, initiator);
                fields.u32(responder).put(bytes);
            }
            Self::Cookie { initiator, part, nonce, sealed, tag } => {
                envelope(&mut fields, KIND_COOKIE, part, initiator);
                fields.put(nonce).put(sealed).put(tag);
            }
        }
        fields.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::DATAGRAM_BYTES_MIN;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_parse_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..1300), zeros in 0..3usize) {
            let mut bytes = bytes;
            if zeros > 0 && bytes.len() > 8 {
                bytes[..4].fill(0);
                bytes[4] %= 4;
                bytes[5] = VERSION;
                bytes[6] &= 0x11;
                bytes[7] = 0;
            }
            let _ = Datagram::parse(&bytes);
        }

        #[test]
        fn set_up_messages_round_trip(initiator in 1..u32::MAX, responder: u32, fill: u8, length in DATAGRAM_BYTES_MIN..2000) {
            let (offer, answer) = ([fill; OFFER_BYTES], [fill; ANSWER_BYTES]);
            let offers = parts::cut(&offer, offer_parts(length)).map(|(part, bytes)| {
                Datagram::Offer(Offer { initiator, part, bytes, mac1: &[1; 16], mac2: &[2; 16] })
            });
            let answers = parts::cut(&answer, answer_parts(length))
                .map(|(part, bytes)| Datagram::Answer { initiator, responder, part, bytes });
            let cookie = Datagram::Cookie {
                initiator,
                part: Part::WHOLE,
                nonce: &[fill; 12],
                sealed: &[3; 16],
                tag: &[4; 16],
            };
            for message in offers.chain(answers).chain([cookie]) {
                let mut bytes = vec![0xAA; length];
                message.write(&mut bytes);
                prop_assert_eq!(Datagram::parse(&bytes), Ok(message));
            }
        }
    }

    #[test]
    fn another_version_is_refused_as_such() {
        let mut bytes = [0; 1280];
        bytes[4..6].copy_from_slice(&[KIND_COOKIE, VERSION + 1]);
        assert_eq!(Datagram::parse(&bytes), Ok(Datagram::OtherVersion));
        bytes[5] = VERSION;
        assert_eq!(Datagram::parse(&bytes), Err(Malformed), "no session is called 0");
    }
}
