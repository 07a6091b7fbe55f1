//! What a node is told when it is made: only valid values.

use alloc::sync::Arc;
use alloc::vec::Vec;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::cover::{Budget, Defences};
use crate::crypto::Suite;
use crate::design::Design;
use crate::documents::{Document, Roots};
use crate::id::NodeId;
use crate::membership::{Record, View};
use crate::route::PathRules;

/// A node's long-lived secret. Keys of links and circuits are drawn for each of them.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct NodeKeys {
    identity: [u8; 32],
}

impl NodeKeys {
    /// From the secret of its Ed25519 identity.
    pub const fn new(identity: [u8; 32]) -> Self {
        Self { identity }
    }

    /// The node's name.
    pub fn id<S: Suite>(&self) -> NodeId {
        NodeId(S::sign_public(&self.identity))
    }

    /// The secret of its identity, to sign records and answers to handshakes.
    pub const fn identity_secret(&self) -> &[u8; 32] {
        &self.identity
    }
}

/// What a node is and does.
#[derive(Clone)]
pub struct NodeConfig {
    /// Its secrets.
    pub keys: NodeKeys,
    /// How the network works.
    pub design: Arc<Design>,
    /// Whether it carries others' circuits.
    pub relays: bool,
    /// Whether circuits may end here in its pipe.
    pub is_exit: bool,
    /// Circuits of its own, if it is a client.
    pub client: Option<ClientConfig>,
    /// Whom it knows.
    pub membership: Membership,
    /// What makes defences of the design's texts; nothing if the owner has no such library.
    pub defences: Option<Arc<dyn Defences>>,
}

/// How a client makes circuits.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Which mixes may stand in one path.
    pub rules: PathRules,
    /// Circuits kept ready ahead of need.
    pub spare: usize,
    /// First hops of an earlier run, oldest first.
    pub first_hops: Vec<NodeId>,
    /// What its cover may cost.
    pub budget: Budget,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self { rules: PathRules::Diverse, spare: 3, first_hops: Vec::new(), budget: Budget::default() }
    }
}

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
