//! What the work of one room of a node means for the others. Rooms do not know each other: the door routes it.

use alloc::vec::Vec;

use crate::id::{End, NeighbourKey, NodeId};
use crate::wire::control::Ended;
use crate::wire::message::DocumentName;

/// What the work of one room means for others: the door tells them.
pub(crate) enum Effect {
    /// A circuit is no more: its name on a link is free again, and the neighbour is told why, if it does not know.
    CircuitOff { link: NeighbourKey, name: u32, told: Option<Ended> },
    /// A link came up, or a neighbour on one proved who it is.
    LinkUp(LinkUp),
    /// Circuits run on another link now: two links were one neighbour's.
    LinkMoved { from: NeighbourKey, ends: Vec<End>, to: NeighbourKey },
    /// A link is no more, and what ran on it cannot go on.
    LinkGone(LinkGone),
    /// A neighbour does not answer, or is heard again.
    LinkSilent { link: NeighbourKey, is_silent: bool },
    /// The far end of a circuit of ours says which network document it holds.
    ExitHolds { exit: NodeId, held: DocumentName },
}

/// A link that came up.
pub(crate) struct LinkUp {
    pub(crate) link: NeighbourKey,
    pub(crate) peer: NodeId,
    /// What waited for it.
    pub(crate) waiting: Vec<End>,
}

/// A link that is no more.
pub(crate) struct LinkGone {
    pub(crate) peer: Option<NodeId>,
    pub(crate) why: Ended,
    /// The circuits on it.
    pub(crate) ends: Vec<End>,
}
