//! The records that a node knows.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use super::{Fingerprint, NodeId};
use crate::limits::RECORDS_MAX;
use crate::wire::record::Record;

/// A node's view of the network: at most [`RECORDS_MAX`] records, by name. Copies share their records.
#[derive(Clone, Default)]
pub struct View {
    records: BTreeMap<Fingerprint, Arc<Record>>,
}

impl View {
    /// An empty view.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a record in, unless a newer one of the same node is known or the view is full. A second node that
    /// happens to have another's fingerprint is not taken.
    pub fn learn(&mut self, record: Arc<Record>) -> bool {
        let new = record.description();
        let name = new.identity.fingerprint();
        if let Some(known) = self.records.get(&name) {
            let known = known.description();
            if known.identity != new.identity || known.from > new.from {
                return false;
            }
        } else if self.records.len() >= RECORDS_MAX {
            return false;
        }
        self.records.insert(name, record);
        true
    }

    /// The record of the node with this short name.
    pub fn by_fingerprint(&self, name: Fingerprint) -> Option<&Arc<Record>> {
        self.records.get(&name)
    }

    /// The record of this node.
    pub fn get(&self, id: NodeId) -> Option<&Arc<Record>> {
        self.records.get(&id.fingerprint()).filter(|record| record.description().identity == id)
    }

    /// All records, in the order of their names.
    pub fn records(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.records.values()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}
