//! Messages between two neighbours, in cells of circuit 0.

use core::time::Duration;

use super::parts::Part;
use super::{Malformed, Reader, Writer};
use crate::crypto::{ANSWER_BYTES, OFFER_BYTES};

/// A message between two neighbours.
#[derive(Debug, PartialEq, Eq)]
pub enum Control<'a> {
    /// Nothing; it only looks like something.
    Filler {
        /// From one of the sender's slots on this link to the next, if it has any and wants them known.
        gap: Option<Duration>,
    },
    /// I have no slots on this link any more: have none for me either.
    Uncover,
    /// Are you there?
    Ping {
        /// Comes back in the answer. 0 where any answer will do.
        token: u64,
    },
    /// I am.
    Pong {
        /// The question's.
        token: u64,
    },
    /// This is who I am: the first thing that the one who opened a link says on it.
    Introduce(Introduced<'a>),
    /// I know now who you are.
    Introduced,
    /// Let us have other keys.
    Renew {
        /// The sender's name for the session under them.
        session: u32,
        /// The handshake's first message.
        offer: &'a [u8; OFFER_BYTES],
    },
    /// Here they are.
    Renewed {
        /// The asker's name for the session.
        initiator: u32,
        /// The sender's.
        responder: u32,
        /// The handshake's second message.
        answer: &'a [u8; ANSWER_BYTES],
    },
    /// Make a circuit.
    Create {
        /// Its name on this link.
        circuit: u32,
        /// The handshake's first message.
        offer: &'a [u8; OFFER_BYTES],
    },
    /// The circuit is made.
    Created {
        /// Its name on this link.
        circuit: u32,
        /// The handshake's second message.
        answer: &'a [u8; ANSWER_BYTES],
    },
    /// The circuit is no more.
    Destroy {
        /// Its name on this link.
        circuit: u32,
        /// Why.
        why: Ended,
    },
    /// The network document that the sender holds.
    Holding(Holding),
    /// Give me a part of yours.
    Want {
        /// Which document.
        digest: &'a [u8; 32],
        /// Which part, from 0.
        part: u32,
    },
    /// Here it is.
    Part {
        /// Of which document.
        digest: &'a [u8; 32],
        /// Which part.
        part: u32,
        /// Its bytes; behind those of the last part zeros follow.
        bytes: &'a [u8],
    },
    /// A part of a longer message.
    Piece(ControlPiece<'a>),
}

/// Who opened a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Introduced<'a> {
    /// A client: nobody in particular.
    Client,
    /// A mix, which proves which one.
    Mix {
        /// Its identity.
        identity: &'a [u8; 32],
        /// Its signature over this link's binding.
        signature: &'a [u8; 64],
    },
}

impl<'a> Introduced<'a> {
    fn read(fields: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(match fields.u8()? {
            0 => Self::Client,
            1 => Self::Mix { identity: fields.array()?, signature: fields.array()? },
            _ => return Err(Malformed),
        })
    }

    fn write<'w, 'o>(&self, fields: &'w mut Writer<'o>) -> &'w mut Writer<'o> {
        match self {
            Self::Client => fields.u8(0),
            Self::Mix { identity, signature } => fields.u8(1).put(*identity).put(*signature),
        }
    }
}

/// A part of a message between neighbours that is longer than a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlPiece<'a> {
    /// Which part this is.
    pub part: Part,
    /// Of which message.
    pub name: u32,
    /// What is in it.
    pub bytes: &'a [u8],
}

/// Kind, name, part and length of a piece, bytes.
pub(crate) const CONTROL_PART_BYTES: usize = 4 + 4 + 1 + 2;

/// Why a circuit ended or could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Ended {
    /// Its origin no longer needs it.
    Finished = 1,
    /// A hop or a link did not answer any more.
    Silent = 2,
    /// A hop is at a bound.
    Busy = 3,
    /// A hop does not know the next one.
    UnknownHop = 4,
    /// It reached its age.
    Old = 5,
    /// A hop shuts down.
    Leaving = 6,
    /// It could not be completed in time.
    NotBuilt = 7,
    /// A hop broke the protocol.
    Broken = 8,
}

impl Ended {
    /// Reads the reason; an unknown one counts as [`Ended::Broken`].
    pub const fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Finished,
            2 => Self::Silent,
            3 => Self::Busy,
            4 => Self::UnknownHop,
            5 => Self::Old,
            6 => Self::Leaving,
            7 => Self::NotBuilt,
            _ => Self::Broken,
        }
    }
}

/// What a neighbour says of the document that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Its serial.
    pub serial: u64,
    /// The hash of what was signed: two documents of one serial must not differ in it.
    pub digest: [u8; 32],
    /// Its length in bytes, signatures included.
    pub length: u32,
}

impl<'a> Control<'a> {
    /// Reads the body of a control cell.
    ///
    /// # Errors
    /// [`Malformed`] if it is no control message.
    pub fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Reader::new(body);
        Ok(match fields.u32()? {
            0 => Self::Filler { gap: Some(Duration::from_nanos(fields.u64()?)).filter(|gap| !gap.is_zero()) },
            1 => Self::Ping { token: fields.u64()? },
            2 => Self::Pong { token: fields.u64()? },
            3 => Self::Introduce(Introduced::read(&mut fields)?),
            4 => Self::Introduced,
            5 => Self::Create { circuit: fields.u32()?, offer: fields.array()? },
            6 => Self::Created { circuit: fields.u32()?, answer: fields.array()? },
            7 => Self::Destroy { circuit: fields.u32()?, why: Ended::from_byte(fields.u8()?) },
            8 => Self::Holding(Holding {
                serial: fields.u64()?,
                digest: *fields.array()?,
                length: fields.u32()?,
            }),
            9 => Self::Want { digest: fields.array()?, part: fields.u32()? },
            10 => Self::Part { digest: fields.array()?, part: fields.u32()?, bytes: fields.rest() },
            11 => Self::Uncover,
            12 => Self::Renew { session: fields.u32()?, offer: fields.array()? },
            13 => {
                Self::Renewed { initiator: fields.u32()?, responder: fields.u32()?, answer: fields.array()? }
            }
            14 => {
                let (name, part, length) = (fields.u32()?, Part::from_byte(fields.u8()?)?, fields.u16()?);
                Self::Piece(ControlPiece { part, name, bytes: fields.take(length.into())? })
            }
            _ => return Err(Malformed),
        })
    }

    /// Whether this body is nothing that only looks like something.
    pub(crate) fn is_filler(body: &[u8]) -> bool {
        body.starts_with(&[0; 4])
    }

    /// Whether the neighbour answers it. (A pong or a farewell wants no answer; a filler in a slot does, since the neighbour
    /// has slots as well.)
    pub(crate) fn asks(&self) -> bool {
        match self {
            Self::Filler { gap } => gap.is_some(),
            Self::Ping { .. } | Self::Introduce(_) | Self::Renew { .. } | Self::Create { .. } => true,
            _ => false,
        }
    }

    /// Its length, bytes: of those that may be longer than a cell, with a handshake in them; 0 for all others.
    pub(crate) fn long(&self) -> usize {
        match self {
            Self::Create { .. } | Self::Renew { .. } => 8 + OFFER_BYTES,
            Self::Created { .. } => 8 + ANSWER_BYTES,
            Self::Renewed { .. } => 12 + ANSWER_BYTES,
            _ => 0,
        }
    }

    /// A name for the parts of a long one, written down, that it has whenever it is sent: bytes that belong to a random key
    /// of the handshake in it.
    pub(crate) fn name_of(bytes: &[u8]) -> u32 {
        bytes.get(12..).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    /// Writes the body of a control cell, zeros to its end.
    ///
    /// # Panics
    /// If `body` is too short for it. Only those with a handshake in them are longer than a cell of the least geometry.
    pub fn write(&self, body: &mut [u8]) {
        let mut fields = Writer::new(body);
        match *self {
            Self::Filler { gap } => {
                let gap = gap.unwrap_or_default().as_nanos();
                fields.u32(0).u64(u64::try_from(gap).unwrap_or(u64::MAX))
            }
            Self::Ping { token } => fields.u32(1).u64(token),
            Self::Pong { token } => fields.u32(2).u64(token),
            Self::Introduce(who) => who.write(fields.u32(3)),
            Self::Introduced => fields.u32(4),
            Self::Create { circuit, offer } => fields.u32(5).u32(circuit).put(offer),
            Self::Created { circuit, answer } => fields.u32(6).u32(circuit).put(answer),
            Self::Destroy { circuit, why } => fields.u32(7).u32(circuit).u8(why as u8),
            Self::Holding(Holding { serial, digest, length }) => {
                fields.u32(8).u64(serial).put(&digest).u32(length)
            }
            Self::Want { digest, part } => fields.u32(9).put(digest).u32(part),
            Self::Part { digest, part, bytes } => fields.u32(10).put(digest).u32(part).put(bytes),
            Self::Uncover => fields.u32(11),
            Self::Renew { session, offer } => fields.u32(12).u32(session).put(offer),
            Self::Renewed { initiator, responder, answer } => {
                fields.u32(13).u32(initiator).u32(responder).put(answer)
            }
            Self::Piece(ControlPiece { part, name, bytes }) => {
                let length = u16::try_from(bytes.len()).expect("it fits a datagram");
                fields.u32(14).u32(name).u8(part.to_byte()).u16(length).put(bytes)
            }
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
        fn any_body_parses_or_is_refused(kind in 0..16u32, rest in proptest::collection::vec(any::<u8>(), 0..1300)) {
            let mut body = kind.to_le_bytes().to_vec();
            body.extend(rest);
            let _ = Control::parse(&body);
        }

        #[test]
        fn control_messages_round_trip(circuit: u32, fill: u8, why in 1..9u8) {
            let messages = [
                Control::Filler { gap: None },
                Control::Filler { gap: Some(Duration::from_nanos(u64::from(circuit) + 1)) },
                Control::Uncover,
                Control::Piece(ControlPiece { part: Part::WHOLE, name: circuit, bytes: &[fill; 100] }),
                Control::Ping { token: circuit.into() },
                Control::Pong { token: circuit.into() },
                Control::Introduce(Introduced::Client),
                Control::Introduce(Introduced::Mix { identity: &[fill; 32], signature: &[fill; 64] }),
                Control::Introduced,
                Control::Renew { session: circuit, offer: &[fill; OFFER_BYTES] },
                Control::Renewed { initiator: circuit, responder: !circuit, answer: &[fill; ANSWER_BYTES] },
                Control::Create { circuit, offer: &[fill; OFFER_BYTES] },
                Control::Created {
                    circuit,
                    answer: &[fill; ANSWER_BYTES],
                },
                Control::Destroy { circuit, why: Ended::from_byte(why) },
                Control::Holding(Holding { serial: circuit.into(), digest: [fill; 32], length: circuit }),
                Control::Want { digest: &[fill; 32], part: circuit },
                Control::Part {
                    digest: &[fill; 32],
                    part: circuit,
                    bytes: &vec![fill; Geometry::DEFAULT.document_part()],
                },
            ];
            for message in messages {
                let mut body = vec![0xAA; Geometry::DEFAULT.body()];
                message.write(&mut body);
                prop_assert_eq!(Control::parse(&body), Ok(message));
            }
        }
    }
}
