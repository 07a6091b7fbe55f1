//! Links by the session number that datagrams carry: one look for every datagram.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::id::NeighbourKey;
use crate::rng::Rng;

/// A table in which every session has a place of its own.
///
/// We choose the numbers by which neighbours call us. So they are drawn until their low bits name a free place, and nothing
/// is searched when a datagram comes. A larger table looks at one bit more, so no two meet in it that did not before.
pub(crate) struct Sessions<T> {
    /// A power of two of them, or none. At most half are taken.
    places: Vec<Option<(NeighbourKey, Box<T>)>>,
    taken: usize,
    before: u32,
}

impl<T> Sessions<T> {
    pub(crate) const fn new() -> Self {
        Self { places: Vec::new(), taken: 0, before: 0 }
    }

    /// A random number, never 0, whose place is free. Half of them are, so two draws do on average.
    pub(crate) fn fresh(&mut self, rng: &mut Rng) -> u32 {
        if 2 * (self.taken + 1) > self.places.len() {
            self.widen();
        }
        loop {
            let session = rng.u32();
            if session != 0 && self.places[self.place(session)].is_none() {
                return session;
            }
        }
    }

    /// Puts a link in the place of its [`fresh`](Self::fresh) session.
    ///
    /// # Panics
    /// If the place is taken: of two links with one name, one would never hear anything.
    pub(crate) fn insert(&mut self, session: u32, link: T) -> NeighbourKey {
        let place = self.place(session);
        assert!(self.places[place].is_none(), "a fresh session's place is free");
        let key = NeighbourKey::new(session, self.before);
        self.places[place] = Some((key, Box::new(link)));
        self.taken += 1;
        self.before = self.before.wrapping_add(1);
        key
    }

    pub(crate) fn by_session(&mut self, session: u32) -> Option<(NeighbourKey, &mut T)> {
        let place = self.place(session);
        let (key, link) = self.places.get_mut(place)?.as_mut()?;
        (key.session() == session).then_some((*key, link))
    }

    pub(crate) fn get(&self, key: NeighbourKey) -> Option<&T> {
        let (there, link) = self.places.get(self.place(key.session()))?.as_ref()?;
        (*there == key).then_some(link)
    }

    pub(crate) fn get_mut(&mut self, key: NeighbourKey) -> Option<&mut T> {
        self.by_session(key.session()).and_then(|(there, link)| (there == key).then_some(link))
    }

    pub(crate) fn remove(&mut self, key: NeighbourKey) -> Option<T> {
        let place = self.place(key.session());
        let (_, link) = self.places.get_mut(place)?.take_if(|(there, _)| *there == key)?;
        self.taken -= 1;
        Some(*link)
    }

    /// All links, in no order that means anything.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (NeighbourKey, &T)> {
        self.places.iter().flatten().map(|(key, link)| (*key, &**link))
    }

    pub(crate) const fn len(&self) -> usize {
        self.taken
    }

    fn place(&self, session: u32) -> usize {
        session as usize & self.places.len().wrapping_sub(1)
    }

    fn widen(&mut self) {
        let wider = (0..(2 * self.places.len()).max(2)).map(|_| None).collect();
        let narrow = core::mem::replace(&mut self.places, wider);
        for (key, link) in narrow.into_iter().flatten() {
            let place = self.place(key.session());
            self.places[place] = Some((key, link));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Seed};
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    proptest! {
        /// Against a map: whatever comes and goes, every link is found, and no other; nor is one that went.
        #[test]
        fn agrees_with_a_map(seed: [u8; 32], steps in proptest::collection::vec(any::<(bool, u32)>(), 1..300)) {
            let mut rng = Seed::from_bytes(seed).rng(Purpose::Keys, 0);
            let (mut sessions, mut map, mut gone) = (Sessions::new(), BTreeMap::new(), Vec::new());
            for (number, (leaves, random)) in steps.into_iter().enumerate() {
                if leaves && !map.is_empty() {
                    let key = *map.keys().nth(random as usize % map.len()).unwrap();
                    prop_assert_eq!(sessions.remove(key), map.remove(&key));
                    gone.push(key);
                } else {
                    let session = sessions.fresh(&mut rng);
                    let key = sessions.insert(session, number);
                    prop_assert_eq!(key.session(), session);
                    prop_assert_eq!(map.insert(key, number), None);
                }
                prop_assert_eq!(sessions.len(), map.len());
                prop_assert_eq!(sessions.iter().map(|(key, link)| (key, *link)).collect::<BTreeMap<_, _>>(), map.clone());
                prop_assert!(gone.iter().all(|key| sessions.get(*key).is_none()));
                prop_assert!(map.keys().all(|key| key.session() != random) == sessions.by_session(random).is_none());
                for (key, link) in &mut map {
                    prop_assert_eq!(sessions.get(*key), Some(&*link));
                    prop_assert_eq!(sessions.by_session(key.session()), Some((*key, link)));
                }
            }
        }
    }

    #[test]
    fn a_session_that_comes_again_is_another_link() {
        let mut sessions = Sessions::new();
        let mut rng = Seed::from_bytes([1; 32]).rng(Purpose::Keys, 0);
        let session = sessions.fresh(&mut rng);
        let first = sessions.insert(session, "first");
        sessions.remove(first);
        let second = sessions.insert(session, "second");
        assert_eq!((sessions.get(first), sessions.get(second)), (None, Some(&"second")));
    }
}
