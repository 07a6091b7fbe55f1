//! What a sealed datagram carries: eight bytes of header, and a body of one length.
//!
//! ```text
//! circuit u32 · number u32 · body
//! ```
//!
//! Circuit 0 carries the link's own [`control`](super::control) messages. Otherwise the top bit of the
//! circuit says which end of the link made it up (set: the responder), so that both can at the same time;
//! the next bit tells the two spaces of backward numbers apart ([`Space`]).

use super::{Malformed, Reader, Writer};

/// Circuit and number before a body, bytes.
pub const CELL_HEADER_BYTES: usize = 8;

const REPLY_BIT: u32 = 1 << 30;

/// In which sequence a cell's number counts.
///
/// Forward numbers are given by the origin. Backward, a hop that is being asked to extend the circuit answers
/// under the number of the question (`Reply`), and the last hop of a finished circuit counts on its own
/// (`Stream`): so two hops never give the same number, although neither knows the other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// From the origin outwards, and backward from the last hop.
    Stream,
    /// Backward, in answer to the forward cell of this number.
    Reply,
}

/// The header of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellHeader {
    /// The link's name for the circuit, 0 for the link itself. Without the space bit.
    pub circuit: u32,
    /// In which sequence [`number`](Self::number) counts.
    pub space: Space,
    /// Where the cell stands in its circuit, as this link counts: every hop adds an offset of its own.
    pub number: u32,
}

impl CellHeader {
    /// The header of a link's control message.
    pub const CONTROL: Self = Self { circuit: 0, space: Space::Stream, number: 0 };

    /// Splits a cell.
    ///
    /// # Errors
    /// [`Malformed`] if it is too short for a header.
    pub fn parse(cell: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Reader::new(cell);
        let name = fields.u32()?;
        let space = if name & REPLY_BIT == 0 { Space::Stream } else { Space::Reply };
        Ok(Self { circuit: name & !REPLY_BIT, space, number: fields.u32()? })
    }

    /// Writes the header to the front of a cell.
    pub fn write(self, cell: &mut [u8]) {
        let space = match self.space {
            Space::Stream => 0,
            Space::Reply => REPLY_BIT,
        };
        Writer::new(cell).u32(self.circuit | space).u32(self.number);
    }

    /// Whether a number is a name that an end of a link may give.
    pub const fn is_name(number: u32) -> bool {
        number & 1 == 1 && number & REPLY_BIT == 0
    }

    /// Makes a random 32-bit number a name that one end of a link may give: never 0, and never one that the
    /// other end may give too.
    pub const fn name(random: u32, by_responder: bool) -> u32 {
        let name = (random & (REPLY_BIT - 1)) | 1;
        if by_responder { name | 1 << 31 } else { name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn headers_round_trip(random: u32, by_responder: bool, reply: bool, number: u32) {
            let space = if reply { Space::Reply } else { Space::Stream };
            let header = CellHeader { circuit: CellHeader::name(random, by_responder), space, number };
            let mut cell = [0xAA; 16];
            header.write(&mut cell);
            prop_assert_eq!(CellHeader::parse(&cell), Ok(header));
            prop_assert_ne!(header.circuit, 0);
        }
    }
}
