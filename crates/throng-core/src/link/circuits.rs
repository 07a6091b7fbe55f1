//! The circuits on a link, by the names that cells carry.

use alloc::vec::Vec;

use super::End;

/// A row in the order of names. Most links have one or two circuits: those lie in the first line that a processor fetches.
#[derive(Default)]
pub(crate) struct Circuits(Vec<(u32, End)>);

impl Circuits {
    /// Enters a circuit; not if there is one of that name.
    pub(crate) fn insert(&mut self, name: u32, end: End) -> bool {
        let Err(place) = self.find(name) else { return false };
        self.0.insert(place, (name, end));
        true
    }

    pub(crate) fn get(&self, name: u32) -> Option<End> {
        self.find(name).ok().map(|place| self.0[place].1)
    }

    pub(crate) fn remove(&mut self, name: u32) -> Option<End> {
        let (_, end) = self.0.remove(self.find(name).ok()?);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        Some(end)
    }

    /// What they stand for, by name.
    pub(crate) fn ends(&self) -> impl Iterator<Item = End> {
        self.0.iter().map(|(_, end)| *end)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, name: u32) -> Result<usize, usize> {
        self.0.binary_search_by_key(&name, |(name, _)| *name)
    }
}
