//! All lengths of a network follow from one.

use core::str::FromStr;

use super::cell::CELL_HEADER_BYTES;
use super::control::CONTROL_PART_BYTES;
use super::datagram::{LINK_HEADER_BYTES, LINK_TAG_BYTES};
use super::parts::needed;
use crate::crypto::{ANSWER_BYTES, OFFER_BYTES};
use crate::limits::{
    DATAGRAM_BYTES_MAX, DATAGRAM_BYTES_MIN, DATAGRAM_BYTES_USUAL, PACKET_BYTES_MIN, PARTS_MAX,
    RECORD_BYTES_MAX,
};
use crate::text::InvalidValue;

/// The zeros before a message through a circuit, bytes.
pub const MESSAGE_AUTH_BYTES: usize = 16;
/// Its kind, part and length, bytes.
pub const MESSAGE_HEADER_BYTES: usize = 4;
/// The name of one in parts, bytes.
const MESSAGE_NAME_BYTES: usize = 4;

/// The one length of a network's datagrams, and what fits inside.
///
/// ```text
/// datagram 1280 = link header 12 + cell 1252 + tag 16
/// cell     1252 = cell header 8  + body 1244
/// body     1244 = 16 zero bytes  + message header 4 + payload 1224
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    datagram: usize,
}

impl Geometry {
    /// 1280 bytes of UDP payload.
    pub const DEFAULT: Self = Self { datagram: DATAGRAM_BYTES_USUAL };

    /// A network whose datagrams have `datagram` bytes, or nothing if that is below
    /// [`DATAGRAM_BYTES_MIN`] or above [`DATAGRAM_BYTES_MAX`].
    pub const fn new(datagram: usize) -> Option<Self> {
        if datagram < DATAGRAM_BYTES_MIN || datagram > DATAGRAM_BYTES_MAX {
            return None;
        }
        Some(Self { datagram })
    }

    /// Length of every UDP payload, bytes.
    pub const fn datagram(self) -> usize {
        self.datagram
    }

    /// Length of a cell, bytes.
    pub const fn cell(self) -> usize {
        self.datagram - LINK_HEADER_BYTES - LINK_TAG_BYTES
    }

    /// Length of a cell's body, which the layers encrypt, bytes.
    pub const fn body(self) -> usize {
        self.cell() - CELL_HEADER_BYTES
    }

    /// Bytes of a network document that one cell carries: what kind, digest and number leave.
    pub const fn document_part(self) -> usize {
        self.body() - (4 + 32 + 4)
    }

    /// Most bytes that can be sent through a circuit at once, in one cell or in parts.
    pub const fn packet(self) -> usize {
        if self.payload() < PACKET_BYTES_MIN { PACKET_BYTES_MIN } else { self.payload() }
    }

    /// In how many cells such a packet travels.
    pub fn packet_cells(self) -> usize {
        if self.payload() < PACKET_BYTES_MIN { needed(PACKET_BYTES_MIN, self.message_part()) } else { 1 }
    }

    /// Bytes of a part of a message through a circuit that one cell carries.
    pub(crate) const fn message_part(self) -> usize {
        self.payload() - MESSAGE_NAME_BYTES
    }

    /// Most parts that a message through a circuit may have.
    pub(crate) fn message_parts(self) -> usize {
        let longest = (OFFER_BYTES + RECORD_BYTES_MAX).max(PACKET_BYTES_MIN);
        if longest <= self.payload() { 1 } else { needed(longest, self.message_part()) }
    }

    /// In how many cells the answer of a hop that joins travels.
    pub(crate) fn answer_cells(self) -> usize {
        if ANSWER_BYTES <= self.payload() { 1 } else { needed(ANSWER_BYTES, self.message_part()) }
    }

    /// Most parts that a message between neighbours may have.
    pub(crate) fn control_parts(self) -> usize {
        let longest = 12 + OFFER_BYTES;
        if longest <= self.body() { 1 } else { needed(longest, self.control_part()) }
    }

    /// Bytes of a part of a message between neighbours that one cell carries.
    pub(crate) const fn control_part(self) -> usize {
        self.body() - CONTROL_PART_BYTES
    }

    /// Most bytes that one cell of a circuit carries.
    pub const fn payload(self) -> usize {
        self.body() - MESSAGE_AUTH_BYTES - MESSAGE_HEADER_BYTES
    }
}

impl Default for Geometry {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// QUIC asks for packets of at least 1200 bytes (RFC 9000, section 14).
const _: () = assert!(PACKET_BYTES_MIN >= 1200 && Geometry::DEFAULT.packet() == Geometry::DEFAULT.payload());
/// In the usual geometry an extension names the next hop with 8 bytes and carries an offer, in one cell.
const _: () = assert!(Geometry::DEFAULT.payload() >= 8 + OFFER_BYTES);
/// In the least one, every message has parts enough.
const LEAST: Geometry = Geometry { datagram: DATAGRAM_BYTES_MIN };
const _: () = assert!(LEAST.message_part() * PARTS_MAX >= OFFER_BYTES + RECORD_BYTES_MAX + 2);
const _: () = assert!(LEAST.message_part() * PARTS_MAX >= ANSWER_BYTES + 16 + RECORD_BYTES_MAX + 2);
const _: () = assert!(LEAST.message_part() * PARTS_MAX >= PACKET_BYTES_MIN);
const _: () = assert!(LEAST.control_part() * PARTS_MAX >= 8 + OFFER_BYTES);
/// A part of a document has its digest before it.
const _: () = assert!(LEAST.document_part() >= 64);

impl FromStr for Geometry {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        const _: () =
            assert!(DATAGRAM_BYTES_MIN == 256 && DATAGRAM_BYTES_MAX == 8192, "as the words below say");
        let geometry = text.parse().ok().and_then(Self::new);
        geometry.ok_or_else(|| InvalidValue::new(text, "bytes of a datagram, 256 to 8192"))
    }
}
