//! All lengths of a network follow from one.

use super::cell::CELL_HEADER_BYTES;
use super::datagram::{LINK_HEADER_BYTES, LINK_TAG_BYTES};
use super::message::{MESSAGE_AUTH_BYTES, MESSAGE_HEADER_BYTES};
use crate::crypto::OFFER_BYTES;
use crate::limits::{DATAGRAM_BYTES_MAX, DATAGRAM_BYTES_MIN};

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
    pub const DEFAULT: Self = Self { datagram: DATAGRAM_BYTES_MIN };

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

    /// Most bytes that a message through a circuit carries.
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
const _: () = assert!(Geometry::DEFAULT.payload() >= 1200);
/// An extension names the next hop with 8 bytes and carries an offer.
const _: () = assert!(Geometry::DEFAULT.payload() >= 8 + OFFER_BYTES);
