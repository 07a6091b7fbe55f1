//! The records that a node knows.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use super::Record;
use crate::id::{Fingerprint, NodeId};
use crate::limits::RECORDS_MAX;

/// A node's view of the network: at most [`RECORDS_MAX`] records, by name. Copies share their table until one of them
/// learns something.
#[derive(Clone, Default)]
pub struct View {
    records: Arc<BTreeMap<Fingerprint, Arc<Record>>>,
    /// Who looks: nobody is in its own view.
    own: Option<Fingerprint>,
}

impl View {
    /// An empty view.
    pub fn new() -> Self {
        Self::default()
    }

    /// The view of this node, in which it is not itself.
    pub fn without(self, own: NodeId) -> Self {
        Self { own: Some(own.fingerprint()), ..self }
    }

    /// Takes a record in, unless a newer one of the same node is known or the view is full. A second node that
    /// happens to have another's fingerprint is not taken.
    pub fn learn(&mut self, record: Arc<Record>) -> bool {
        let new = record.description();
        let name = new.identity.fingerprint();
        if self.own == Some(name) {
            return false;
        }
        if let Some(known) = self.records.get(&name) {
            let known = known.description();
            if known.identity != new.identity || known.from > new.from {
                return false;
            }
        } else if self.records.len() >= RECORDS_MAX {
            return false;
        }
        Arc::make_mut(&mut self.records).insert(name, record);
        true
    }

    /// The record of the node with this short name.
    pub fn by_fingerprint(&self, name: Fingerprint) -> Option<&Arc<Record>> {
        self.records.get(&name).filter(|record| self.shows(record))
    }

    /// The record of this node.
    pub fn get(&self, id: NodeId) -> Option<&Arc<Record>> {
        self.by_fingerprint(id.fingerprint()).filter(|record| record.description().identity == id)
    }

    /// All records, in the order of their names.
    pub fn records(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.records.values().filter(|record| self.shows(record))
    }

    /// How many.
    pub fn len(&self) -> usize {
        let hidden = self.own.is_some_and(|own| self.records.contains_key(&own));
        self.records.len() - usize::from(hidden)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shows(&self, record: &Record) -> bool {
        self.own != Some(record.description().identity.fingerprint())
    }
}

impl FromIterator<Arc<Record>> for View {
    fn from_iter<T: IntoIterator<Item = Arc<Record>>>(records: T) -> Self {
        let mut view = Self::new();
        records.into_iter().for_each(|record| {
            view.learn(record);
        });
        view
    }
}
