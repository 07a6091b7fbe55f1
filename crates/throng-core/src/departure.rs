//! What is on its way out of a node, and where it will go.

use alloc::boxed::Box;

use crate::id::NeighbourKey;
use crate::time::Time;
use crate::wire::cell::CellHeader;

/// Where a cell will go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Departure {
    pub(crate) link: NeighbourKey,
    pub(crate) header: CellHeader,
    /// The slot of its circuit; [`Time::ZERO`]: at once.
    pub(crate) at: Time,
}

impl Departure {
    /// As soon as the strategy lets it go.
    pub(crate) const fn soon(link: NeighbourKey, header: CellHeader) -> Self {
        Self { link, header, at: Time::ZERO }
    }
}

/// Whose cell it is: all that a mixing strategy may know of it, to give everybody one turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A message between neighbours.
    Link,
    /// A circuit, as an opaque number, in one direction.
    Circuit { number: u64, is_backward: bool },
}

/// What a room wants to send.
pub(crate) enum Outgoing {
    /// A cell, which a mix holds as its strategy says.
    Cell(Source, Departure, Box<[u8]>),
    /// A cell past the strategy: a link's own questions and answers about itself.
    AtOnce(Departure, Box<[u8]>),
}
