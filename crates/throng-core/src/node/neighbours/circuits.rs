//! The circuits on a link, by the names that cells carry.

use alloc::vec::Vec;

use crate::id::End;

/// One circuit lies in the link itself, where a processor has it at hand: most links have no other. The others lie in a row
/// behind it, in the order of their names.
#[derive(Default)]
pub(crate) struct Circuits {
    /// None only if there are no others either.
    one: Option<(u32, End)>,
    others: Vec<(u32, End)>,
}

impl Circuits {
    /// Enters a circuit; not if there is one of that name.
    pub(crate) fn insert(&mut self, name: u32, end: End) -> bool {
        let Some((one, _)) = self.one else {
            self.one = Some((name, end));
            return true;
        };
        match self.find(name) {
            Err(place) if one != name => {
                self.others.insert(place, (name, end));
                true
            }
            _ => false,
        }
    }

    pub(crate) fn get(&self, name: u32) -> Option<End> {
        let (one, end) = self.one?;
        if one == name {
            return Some(end);
        }
        self.find(name).ok().map(|place| self.others[place].1)
    }

    pub(crate) fn remove(&mut self, name: u32) -> Option<End> {
        let (one, end) = self.one?;
        let removed = if one == name {
            self.one = self.others.pop();
            end
        } else {
            self.others.remove(self.find(name).ok()?).1
        };
        if self.others.is_empty() {
            self.others = Vec::new();
        }
        Some(removed)
    }

    /// One that comes from the neighbour, if one does. Names of one end's circuits mostly lie together, at the begin or at the
    /// end.
    pub(crate) fn any_from_there(&self) -> Option<End> {
        let looked_at = [self.one.as_ref(), self.others.first(), self.others.last()];
        let mut ends = looked_at.into_iter().flatten().map(|(_, end)| *end).chain(self.ends());
        ends.find(|end| matches!(end, End::Previous(_)))
    }

    /// What they stand for.
    pub(crate) fn ends(&self) -> impl Iterator<Item = End> {
        self.iter().map(|(_, end)| end)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, End)> {
        self.one.iter().chain(&self.others).copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.one.is_none()
    }

    fn find(&self, name: u32) -> Result<usize, usize> {
        self.others.binary_search_by_key(&name, |(name, _)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::RelayKey;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;
    use slotmap::KeyData;

    proptest! {
        /// Against a map: whatever comes and goes, every name is found, and no other.
        #[test]
        fn agrees_with_a_map(steps in proptest::collection::vec((any::<bool>(), 0..12u32), 1..200)) {
            let (mut circuits, mut map) = (Circuits::default(), BTreeMap::new());
            for (number, (leaves, name)) in steps.into_iter().enumerate() {
                if leaves {
                    prop_assert_eq!(circuits.remove(name), map.remove(&name));
                } else {
                    let end = End::Previous(RelayKey::from(KeyData::from_ffi(number as u64 + 1)));
                    let is_new = !map.contains_key(&name);
                    prop_assert_eq!(circuits.insert(name, end), is_new);
                    map.entry(name).or_insert(end);
                }
                prop_assert_eq!(circuits.is_empty(), map.is_empty());
                prop_assert_eq!(circuits.ends().count(), map.len());
                for name in 0..12 {
                    prop_assert_eq!(circuits.get(name), map.get(&name).copied());
                }
            }
        }
    }
}
