//! Messages between the origin of a circuit and one of its hops, under the layers.
//!
//! ```text
//! zeros 16 · kind u8 · part u8 · length u16 · content
//! ```
//!
//! The zeros are the authentication (encode, then encipher): after the last layer is off, a body that begins
//! with anything else was not made for us, or was changed on the way, and is noise from end to end.
//!
//! A content that is longer than a cell goes in [`parts`]: `part` says which, and the message's name (u32) lies
//! before its bytes.

use alloc::vec::Vec;

use subtle::ConstantTimeEq;

use super::control::Ended;
pub use super::geometry::{MESSAGE_AUTH_BYTES, MESSAGE_HEADER_BYTES};
use super::parts::{self, Part};
use super::{Geometry, Malformed, Reader, Writer};
use crate::crypto::{ANSWER_BYTES, OFFER_BYTES};
use crate::id::Fingerprint;
use crate::limits::RECORD_BYTES_MAX;

/// A message between the origin of a circuit and one of its hops.
#[derive(Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A packet of the pipe, for the last hop or from it.
    Payload(&'a [u8]),
    /// A dummy: the hop drops it.
    Dummy,
    /// Make the circuit one hop longer.
    Extend {
        /// The handshake's first message, for the next hop.
        offer: &'a [u8; OFFER_BYTES],
        /// Which node comes next.
        next: Next<'a>,
    },
    /// It is one hop longer.
    Extended {
        /// The handshake's second message, from the next hop.
        answer: &'a [u8; ANSWER_BYTES],
        /// Its record, if the choice was the asked hop's.
        record: Option<&'a [u8]>,
    },
    /// It could not be made longer.
    NotExtended {
        /// Which request this answers: the first bytes of its offer.
        request: u32,
        /// Why not.
        why: Ended,
    },
    /// Are you there?
    Probe {
        /// Comes back in the answer.
        token: u32,
    },
    /// I am.
    Alive {
        /// The question's.
        token: u32,
        /// Which network document is in force here: those on the way cannot show the origin another one than this.
        holds: DocumentName,
    },
    /// A part of a longer one.
    Piece(Piece<'a>),
}

/// Which network document a hop holds; serial 0 where none is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DocumentName {
    /// Its serial.
    pub serial: u64,
    /// The hash of what was signed.
    pub digest: [u8; 32],
}

/// Which node comes next in a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// This one, which the asked hop knows.
    Named(Fingerprint),
    /// The one whose signed record this is: the asked hop may never have heard of it.
    Described(&'a [u8]),
    /// Whichever the asked hop chooses.
    YouChoose,
}

/// A part of a message that is longer than a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// What the message is.
    kind: u8,
    /// Which part this is.
    pub part: Part,
    /// Of which message.
    pub name: u32,
    /// What is in it.
    pub bytes: &'a [u8],
}

const PAYLOAD: u8 = 1;
const DUMMY: u8 = 2;
const EXTEND_NAMED: u8 = 3;
const EXTEND_DESCRIBED: u8 = 4;
const EXTEND_YOU_CHOOSE: u8 = 5;
const EXTENDED: u8 = 6;
const EXTENDED_BY: u8 = 7;
const NOT_EXTENDED: u8 = 8;
const PROBE: u8 = 9;
const ALIVE: u8 = 10;

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
        let [kind, part] = *fields.array()?;
        let part = Part::from_byte(part)?;
        let length = usize::from(fields.u16()?);
        if part.is_whole() {
            return Self::parse_content(kind, fields.take(length)?);
        }
        let name = fields.u32()?;
        Ok(Self::Piece(Piece { kind, part, name, bytes: fields.take(length)? }))
    }

    /// Reads the content of a message of this kind.
    fn parse_content(kind: u8, content: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Reader::new(content);
        Ok(match kind {
            PAYLOAD => Self::Payload(content),
            DUMMY => Self::Dummy,
            EXTEND_NAMED => {
                Self::Extend { offer: fields.array()?, next: Next::Named(Fingerprint(*fields.array()?)) }
            }
            EXTEND_DESCRIBED => {
                Self::Extend { offer: fields.array()?, next: Next::Described(record(fields)?) }
            }
            EXTEND_YOU_CHOOSE => Self::Extend { offer: fields.array()?, next: Next::YouChoose },
            EXTENDED => Self::Extended { answer: fields.array()?, record: None },
            EXTENDED_BY => Self::Extended { answer: fields.array()?, record: Some(record(fields)?) },
            NOT_EXTENDED => Self::NotExtended { request: fields.u32()?, why: Ended::from_byte(fields.u8()?) },
            PROBE => Self::Probe { token: fields.u32()? },
            ALIVE => Self::Alive {
                token: fields.u32()?,
                holds: DocumentName { serial: fields.u64()?, digest: *fields.array()? },
            },
            _ => return Err(Malformed),
        })
    }

    /// Writes a body, zeros in front and to its end.
    ///
    /// # Panics
    /// If the content is longer than [`Geometry::payload`].
    pub fn write(&self, body: &mut [u8]) {
        let mut fields = Writer::new(body);
        fields.put(&[0; MESSAGE_AUTH_BYTES]);
        let length = |bytes: usize| u16::try_from(bytes).expect("it fits a datagram");
        match self {
            Self::Piece(Piece { kind, part, name, bytes }) => {
                let header = fields.u8(*kind).u8(part.to_byte()).u16(length(bytes.len()));
                header.u32(*name).put(bytes);
            }
            _ => {
                fields.u8(self.kind()).u8(Part::WHOLE.to_byte()).u16(length(self.len()));
                self.write_content(&mut fields);
            }
        }
        fields.finish();
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Payload(_) => PAYLOAD,
            Self::Dummy => DUMMY,
            Self::Extend { next: Next::Named(_), .. } => EXTEND_NAMED,
            Self::Extend { next: Next::Described(_), .. } => EXTEND_DESCRIBED,
            Self::Extend { next: Next::YouChoose, .. } => EXTEND_YOU_CHOOSE,
            Self::Extended { record: None, .. } => EXTENDED,
            Self::Extended { record: Some(_), .. } => EXTENDED_BY,
            Self::NotExtended { .. } => NOT_EXTENDED,
            Self::Probe { .. } => PROBE,
            Self::Alive { .. } => ALIVE,
            Self::Piece(piece) => piece.kind,
        }
    }

    /// Length of the content, bytes.
    fn len(&self) -> usize {
        match self {
            Self::Payload(bytes) | Self::Piece(Piece { bytes, .. }) => bytes.len(),
            Self::Dummy => 0,
            Self::Extend { next: Next::Named(_), .. } => OFFER_BYTES + 8,
            Self::Extend { next: Next::Described(record), .. } => OFFER_BYTES + record.len(),
            Self::Extend { next: Next::YouChoose, .. } => OFFER_BYTES,
            Self::Extended { record, .. } => ANSWER_BYTES + record.map_or(0, <[u8]>::len),
            Self::NotExtended { .. } => 5,
            Self::Probe { .. } => 4,
            Self::Alive { .. } => 4 + 8 + 32,
        }
    }

    fn write_content(&self, fields: &mut Writer<'_>) {
        match self {
            Self::Payload(bytes) | Self::Piece(Piece { bytes, .. }) => fields.put(bytes),
            Self::Dummy => fields,
            Self::Extend { offer, next: Next::Named(next) } => fields.put(*offer).put(&next.0),
            Self::Extend { offer, next: Next::Described(record) } => fields.put(*offer).put(record),
            Self::Extend { offer, next: Next::YouChoose } => fields.put(*offer),
            Self::Extended { answer, record } => fields.put(*answer).put(record.unwrap_or_default()),
            Self::NotExtended { request, why } => fields.u32(*request).u8(*why as u8),
            Self::Probe { token } => fields.u32(*token),
            Self::Alive { token, holds } => fields.u32(*token).u64(holds.serial).put(&holds.digest),
        };
    }

    /// In how many cells it travels. A question takes as many as its answer may take, since each cell of the answer goes
    /// back under the number of one of the question.
    pub(crate) fn cells(&self, geometry: Geometry) -> usize {
        let longest = match self {
            Self::Extend { next: Next::YouChoose, .. } => self.len().max(ANSWER_BYTES + RECORD_BYTES_MAX),
            _ => self.len(),
        };
        if longest <= geometry.payload() { 1 } else { parts::needed(longest, geometry.message_part()) }
    }

    /// Hands on what goes into cells: the message itself, or its parts under a `name`.
    pub(crate) fn in_cells(&self, geometry: Geometry, name: u32, mut each: impl FnMut(&Message<'_>)) {
        match self.long(geometry) {
            None => each(self),
            Some(content) => content.pieces(name).for_each(|piece| each(&Message::Piece(piece))),
        }
    }

    /// Its content, if it is too long for one cell: to be [cut](LongMessage::pieces).
    pub(crate) fn long(&self, geometry: Geometry) -> Option<LongMessage> {
        let of = self.cells(geometry);
        if of == 1 {
            return None;
        }
        let mut bytes = alloc::vec![0; self.len()];
        self.write_content(&mut Writer::new(&mut bytes));
        Some(LongMessage { kind: self.kind(), of, bytes })
    }
}

/// The content of a message that is too long for one cell.
pub(crate) struct LongMessage {
    kind: u8,
    of: usize,
    bytes: Vec<u8>,
}

impl LongMessage {
    /// Parts of a message of this name.
    pub(crate) fn pieces(&self, name: u32) -> impl Iterator<Item = Piece<'_>> {
        parts::cut(&self.bytes, self.of).map(move |(part, bytes)| Piece {
            kind: self.kind,
            part,
            name,
            bytes,
        })
    }

    /// A name that it has whenever it is sent: handshakes begin with 32 random bytes.
    pub(crate) fn name(&self) -> u32 {
        self.bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }
}

impl Piece<'_> {
    /// A part of a payload.
    pub(crate) fn of_payload(part: Part, name: u32, bytes: &[u8]) -> Piece<'_> {
        Piece { kind: PAYLOAD, part, name, bytes }
    }

    /// Reads a message of whose pieces this was one, from all of their bytes.
    pub(crate) fn whole<'b>(&self, content: &'b [u8]) -> Result<Message<'b>, Malformed> {
        Message::parse_content(self.kind, content)
    }
}

/// What names a request to make a circuit longer: the first bytes of its offer, which are random.
pub(crate) fn request_name(offer: &[u8; OFFER_BYTES]) -> u32 {
    offer.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// A record behind other fields.
fn record(fields: Reader<'_>) -> Result<&[u8], Malformed> {
    if fields.len() > RECORD_BYTES_MAX { Err(Malformed) } else { Ok(fields.rest()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::DATAGRAM_BYTES_MIN;
    use crate::wire::parts::Gathering;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_body_parses_or_is_refused(kind in 0..13u8, part: u8, rest in proptest::collection::vec(any::<u8>(), 0..1300)) {
            let mut body = vec![0; 16];
            body.push(kind);
            body.push(part & 0x13);
            body.extend(rest);
            let _ = Message::parse(&body);
        }

        #[test]
        fn messages_round_trip(token: u32, fill: u8, why in 1..9u8, length in 0..=Geometry::DEFAULT.payload()) {
            let payload = vec![fill; length];
            let messages = [
                Message::Payload(&payload),
                Message::Dummy,
                Message::Extend { next: Next::Named(Fingerprint([fill; 8])), offer: &[fill; OFFER_BYTES] },
                Message::Extended {
                    answer: &[fill; ANSWER_BYTES],
                    record: None,
                },
                Message::NotExtended { request: token, why: Ended::from_byte(why) },
                Message::Probe { token },
                Message::Alive { token, holds: DocumentName { serial: token.into(), digest: [fill; 32] } },
            ];
            for message in messages {
                let mut body = vec![0xAA; Geometry::DEFAULT.body()];
                message.write(&mut body);
                prop_assert!(is_recognised(&body));
                prop_assert_eq!(message.cells(Geometry::DEFAULT), 1);
                prop_assert_eq!(Message::parse(&body), Ok(message));
            }
        }

        #[test]
        fn long_messages_round_trip_in_parts_in_every_geometry(
            fill: u8,
            record in 0..=RECORD_BYTES_MAX,
            datagram in DATAGRAM_BYTES_MIN..2000usize,
        ) {
            let geometry = Geometry::new(datagram).unwrap();
            let (record, offer, answer) = (vec![fill; record], [fill; OFFER_BYTES], [fill; ANSWER_BYTES]);
            let packet = vec![fill; geometry.packet()];
            let asks = Message::Extend { offer: &offer, next: Next::YouChoose };
            let says = Message::Extended { answer: &answer, record: Some(&record) };
            prop_assert!(says.cells(geometry) <= asks.cells(geometry), "each cell of the answer has a number");
            let messages = [
                asks,
                says,
                Message::Extend { offer: &offer, next: Next::Named(Fingerprint([fill; 8])) },
                Message::Extend { offer: &offer, next: Next::Described(&record) },
                Message::Extended { answer: &answer, record: None },
                Message::Payload(&packet),
            ];
            for message in messages {
                let Some(content) = message.long(geometry) else { continue };
                let mut gathering = Gathering::<(), 1>::new();
                let mut whole = None;
                for piece in content.pieces(5) {
                    let mut body = vec![0xAA; geometry.body()];
                    Message::Piece(piece).write(&mut body);
                    prop_assert_eq!(Message::parse(&body), Ok(Message::Piece(piece)));
                    whole = gathering.add(((), 5), piece.part, 0, piece.bytes).map(|whole| (piece, whole));
                }
                let (piece, whole) = whole.unwrap();
                prop_assert_eq!(piece.whole(&whole.bytes), Ok(message));
            }
        }
    }
}
