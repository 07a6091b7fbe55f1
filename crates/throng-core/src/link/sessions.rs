//! Links by the session number that datagrams carry: one look for every datagram.

use alloc::vec::Vec;

use super::LinkKey;
use crate::rng::Rng;

/// A table in which every session has a place of its own.
///
/// We choose the numbers by which neighbours call us. So they are drawn until their low bits name a free place, and nothing
/// is searched when a datagram comes. A larger table looks at one bit more, so no two meet in it that did not before.
pub(crate) struct Sessions {
    /// A power of two of them, or none. At most half are taken.
    places: Vec<Option<(u32, LinkKey)>>,
    taken: usize,
}

impl Sessions {
    pub(crate) const fn new() -> Self {
        Self { places: Vec::new(), taken: 0 }
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

    /// Puts a [`fresh`](Self::fresh) session in its place.
    ///
    /// # Panics
    /// If the place is taken: of two links with one name, one would never hear anything.
    pub(crate) fn insert(&mut self, session: u32, link: LinkKey) {
        let place = self.place(session);
        assert!(self.places[place].is_none(), "a fresh session's place is free");
        self.places[place] = Some((session, link));
        self.taken += 1;
    }

    pub(crate) fn get(&self, session: u32) -> Option<LinkKey> {
        let (there, link) = (*self.places.get(self.place(session))?)?;
        (there == session).then_some(link)
    }

    pub(crate) fn remove(&mut self, session: u32) {
        if self.get(session).is_some() {
            let place = self.place(session);
            self.places[place] = None;
            self.taken -= 1;
        }
    }

    fn place(&self, session: u32) -> usize {
        session as usize & self.places.len().wrapping_sub(1)
    }

    fn widen(&mut self) {
        let wider = alloc::vec![None; (2 * self.places.len()).max(2)];
        let narrow = core::mem::replace(&mut self.places, wider);
        for (session, link) in narrow.into_iter().flatten() {
            let place = self.place(session);
            self.places[place] = Some((session, link));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Seed};
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;
    use slotmap::KeyData;

    proptest! {
        /// Against a map: whatever comes and goes, every session is found, and no other.
        #[test]
        fn agrees_with_a_map(seed: [u8; 32], steps in proptest::collection::vec(any::<(bool, u32)>(), 1..300)) {
            let mut rng = Seed::from_bytes(seed).rng(Purpose::Keys, 0);
            let (mut sessions, mut map) = (Sessions::new(), BTreeMap::new());
            for (number, (leaves, random)) in steps.into_iter().enumerate() {
                if leaves && !map.is_empty() {
                    let session = *map.keys().nth(random as usize % map.len()).unwrap();
                    sessions.remove(session);
                    map.remove(&session);
                    prop_assert_eq!(sessions.get(session), None);
                } else {
                    let (session, link) = (sessions.fresh(&mut rng), KeyData::from_ffi(number as u64 + 1).into());
                    sessions.insert(session, link);
                    prop_assert_eq!(map.insert(session, link), None);
                }
                prop_assert_eq!(sessions.get(random), map.get(&random).copied());
                for (session, link) in &map {
                    prop_assert_eq!(sessions.get(*session), Some(*link));
                }
            }
        }
    }
}
