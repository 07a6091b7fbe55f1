//! Who is there: names of nodes, and the records that a node knows.

pub mod document;
pub(crate) mod exchange;
mod view;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

pub use document::{Document, Roots};
pub use exchange::Holding;
pub use view::View;

use crate::wire::record::Record;

/// Whom a node knows, and how it hears of others.
#[derive(Clone)]
pub enum Membership {
    /// These nodes, and whom its owner tells it of.
    Given(Vec<Arc<Record>>),
    /// The same, from a view that many nodes share: none has a table of its own before it learns more.
    Shared(View),
    /// The nodes of a document that the operators of a static network sign. Neighbours give each other newer ones.
    Signed {
        /// Whose signatures count.
        roots: Roots,
        /// The newest that the owner has.
        document: Arc<Document>,
    },
}

impl Membership {
    /// Whom the node knows at the beginning.
    pub fn view(&self) -> View {
        match self {
            Self::Given(records) => records.iter().cloned().collect(),
            Self::Shared(view) => view.clone(),
            Self::Signed { document, .. } => document.statement().records.iter().cloned().collect(),
        }
    }
}

/// A node's name: its Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub [u8; 32]);

impl NodeId {
    /// The short name by which a circuit's origin tells a mix whom it means. That it is the right node is
    /// proved by the handshake, not by this.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(*self.0.first_chunk().expect("an identity has 32 bytes"))
    }
}

/// The first eight bytes of an identity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 8]);

/// Whom a mix belongs to: the digest of an operator's name or key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Family(pub [u8; 16]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.fingerprint())
    }
}
