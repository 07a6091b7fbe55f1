//! Messages between the origin of a circuit and one of its hops, under the layers.
//!
//! ```text
//! zeros 16 · kind u8 · 0 u8 · length u16 · content
//! ```
//!
//! The zeros are the authentication (encode, then encipher): after the last layer is off, a body that begins
//! with anything else was not made for us, or was changed on the way, and is noise from end to end.

use subtle::ConstantTimeEq;

use super::control::Ended;
use super::told::Told;
use super::{Malformed, Reader, Writer};
use crate::crypto::{ANSWER_BYTES, OFFER_BYTES};
use crate::id::Fingerprint;

/// The zeros, bytes.
pub const MESSAGE_AUTH_BYTES: usize = 16;
/// Kind and length, bytes.
pub const MESSAGE_HEADER_BYTES: usize = 4;

/// A message between the origin of a circuit and one of its hops.
#[derive(Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A packet of the pipe, for the last hop or from it.
    Payload(&'a [u8]),
    /// A dummy: the hop drops it.
    Dummy,
    /// Make the circuit one hop longer.
    Extend {
        /// Which node comes next.
        next: Fingerprint,
        /// The handshake's first message, for that node.
        offer: &'a [u8; OFFER_BYTES],
    },
    /// It is one hop longer.
    Extended {
        /// The handshake's second message, from that node.
        answer: &'a [u8; ANSWER_BYTES],
        /// How well that node mixes, as it says.
        company: Told,
    },
    /// It could not be made longer.
    NotExtended(Ended),
    /// Are you there?
    Probe {
        /// Comes back in the answer.
        token: u32,
    },
    /// I am.
    Alive {
        /// The question's.
        token: u32,
    },
}

const PAYLOAD: u8 = 1;
const DUMMY: u8 = 2;
const EXTEND: u8 = 3;
const EXTENDED: u8 = 4;
const NOT_EXTENDED: u8 = 5;
const PROBE: u8 = 6;
const ALIVE: u8 = 7;

/// Whether a body whose last layer was just taken off is meant for us. In constant time.
pub fn is_recognised(body: &[u8]) -> bool {
    let Some((auth, _)) = body.split_first_chunk::<MESSAGE_AUTH_BYTES>() else { return false };
    // Folded to one word: byte by byte it costs ten times as much, for every cell at every hop.
    let auth = u128::from_le_bytes(*auth);
    (auth as u64 | (auth >> 64) as u64).ct_eq(&0).into()
}

impl<'a> Message<'a> {
    /// Reads a recognised body.
    ///
    /// # Errors
    /// [`Malformed`] if it is no message.
    pub fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Reader::new(body);
        fields.take(MESSAGE_AUTH_BYTES)?;
        let [kind, 0] = *fields.array()? else { return Err(Malformed) };
        let length = usize::from(fields.u16()?);
        Ok(match kind {
            PAYLOAD => Self::Payload(fields.take(length)?),
            DUMMY => Self::Dummy,
            EXTEND => Self::Extend { next: Fingerprint(*fields.array()?), offer: fields.array()? },
            EXTENDED => Self::Extended { answer: fields.array()?, company: Told::read(&mut fields)? },
            NOT_EXTENDED => Self::NotExtended(Ended::from_byte(fields.u8()?)),
            PROBE => Self::Probe { token: fields.u32()? },
            ALIVE => Self::Alive { token: fields.u32()? },
            _ => return Err(Malformed),
        })
    }

    /// Writes a body, zeros in front and to its end.
    ///
    /// # Panics
    /// If a payload is longer than [`Geometry::payload`](super::Geometry::payload).
    pub fn write(&self, body: &mut [u8]) {
        let mut fields = Writer::new(body);
        fields.put(&[0; MESSAGE_AUTH_BYTES]);
        match *self {
            Self::Payload(payload) => {
                let length = u16::try_from(payload.len()).expect("a payload fits a datagram");
                fields.u8(PAYLOAD).u8(0).u16(length).put(payload)
            }
            Self::Dummy => fields.u8(DUMMY).u8(0).u16(0),
            Self::Extend { next, offer } => fields.u8(EXTEND).u8(0).u16(0).put(&next.0).put(offer),
            Self::Extended { answer, company } => company.write(fields.u8(EXTENDED).u8(0).u16(0).put(answer)),
            Self::NotExtended(why) => fields.u8(NOT_EXTENDED).u8(0).u16(0).u8(why as u8),
            Self::Probe { token } => fields.u8(PROBE).u8(0).u16(0).u32(token),
            Self::Alive { token } => fields.u8(ALIVE).u8(0).u16(0).u32(token),
        };
        fields.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Geometry;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_body_parses_or_is_refused(kind in 0..10u8, rest in proptest::collection::vec(any::<u8>(), 0..1300)) {
            let mut body = vec![0; 16];
            body.push(kind);
            body.push(0);
            body.extend(rest);
            let _ = Message::parse(&body);
        }

        #[test]
        fn messages_round_trip(token: u32, fill: u8, why in 1..9u8, length in 0..=Geometry::DEFAULT.payload()) {
            let payload = vec![fill; length];
            let messages = [
                Message::Payload(&payload),
                Message::Dummy,
                Message::Extend { next: Fingerprint([fill; 8]), offer: &[fill; OFFER_BYTES] },
                Message::Extended { answer: &[fill; ANSWER_BYTES], company: Told { set: 7, ..Told::default() } },
                Message::NotExtended(Ended::from_byte(why)),
                Message::Probe { token },
                Message::Alive { token },
            ];
            for message in messages {
                let mut body = vec![0xAA; Geometry::DEFAULT.body()];
                message.write(&mut body);
                prop_assert!(is_recognised(&body));
                prop_assert_eq!(Message::parse(&body), Ok(message));
            }
        }
    }
}
