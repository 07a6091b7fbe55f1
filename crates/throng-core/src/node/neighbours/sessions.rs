//! Neighbours by the session number that datagrams carry: one look for every datagram, two where keys were renewed.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::id::NeighbourKey;
use crate::rng::Rng;

/// A table in which every session has a place of its own.
///
/// We choose the numbers by which neighbours call us. So they are drawn until the low bits of their hash name a free place, and
/// nothing is searched when a datagram comes. A larger table looks at one bit more, so no two meet in it that did not before.
/// The hash has a secret key: strangers see the numbers that they get, and from the places that never come they could count
/// our neighbours, to the last one.
pub(crate) struct Sessions<T> {
    /// Of the hash; drawn with the first number.
    key: [u64; 2],
    /// A power of two of them, or none. At most half are taken.
    places: Vec<Option<(NeighbourKey, Place<T>)>>,
    taken: usize,
    /// How many of them are neighbours, and not other numbers of one.
    neighbours: usize,
    before: u32,
}

/// What lies in a session's place.
enum Place<T> {
    /// The neighbour, whose first session this was.
    Home(Box<T>),
    /// Where it lies: this is another of its sessions.
    Other(NeighbourKey),
}

impl<T> Sessions<T> {
    pub(crate) const fn new() -> Self {
        Self { key: [0; 2], places: Vec::new(), taken: 0, neighbours: 0, before: 0 }
    }

    /// A random number, never 0, whose place is free. Half of them are, so two draws do on average.
    pub(crate) fn fresh(&mut self, rng: &mut Rng) -> u32 {
        if self.places.is_empty() {
            self.key = [(); 2].map(|()| u64::from_le_bytes(rng.bytes()));
        }
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

    /// Puts a neighbour in the place of its [`fresh`](Self::fresh) session.
    ///
    /// # Panics
    /// If the place is taken: of two neighbours with one name, one would never hear anything.
    pub(crate) fn insert(&mut self, session: u32, neighbour: T) -> NeighbourKey {
        let key = self.put(session, Place::Home(Box::new(neighbour)));
        self.neighbours += 1;
        key
    }

    /// Another [`fresh`](Self::fresh) session of a neighbour.
    ///
    /// # Panics
    /// If its place is taken.
    pub(crate) fn add(&mut self, session: u32, neighbour: NeighbourKey) {
        self.put(session, Place::Other(neighbour));
    }

    fn put(&mut self, session: u32, what: Place<T>) -> NeighbourKey {
        let place = self.place(session);
        assert!(self.places[place].is_none(), "a fresh session's place is free");
        let key = NeighbourKey::new(session, self.before);
        self.places[place] = Some((key, what));
        self.taken += 1;
        self.before = self.before.wrapping_add(1);
        key
    }

    /// A session is no more; its neighbour may be.
    pub(crate) fn forget(&mut self, session: u32) {
        let place = self.place(session);
        let is_it =
            |(key, what): &mut (NeighbourKey, _)| key.session() == session && matches!(what, Place::Other(_));
        if self.places.get_mut(place).and_then(|there| there.take_if(is_it)).is_some() {
            self.taken -= 1;
        }
    }

    /// What was a neighbour of its own turned out to be another one: its handle and its session are that one's from now
    /// on, until the session is [forgotten](Self::forget).
    pub(crate) fn merge(&mut self, from: NeighbourKey, into: NeighbourKey) -> Option<T> {
        let place = self.place(from.session());
        let there = self.places.get_mut(place)?.as_mut()?;
        if there.0 != from || !matches!(there.1, Place::Home(_)) {
            return None;
        }
        let Place::Home(neighbour) = core::mem::replace(&mut there.1, Place::Other(into)) else {
            return None;
        };
        self.neighbours -= 1;
        Some(*neighbour)
    }

    pub(crate) fn by_session(&mut self, session: u32) -> Option<(NeighbourKey, &mut T)> {
        let place = self.place(session);
        let (key, what) = self.places.get(place)?.as_ref()?;
        if key.session() != session {
            return None;
        }
        let (key, place) = match what {
            Place::Home(_) => (*key, place), // as for nearly every datagram: nothing is hashed again
            Place::Other(home) => (*home, self.place(home.session())),
        };
        self.at_home(place, key).map(|neighbour| (key, neighbour))
    }

    pub(crate) fn get(&self, key: NeighbourKey) -> Option<&T> {
        match self.places.get(self.place(key.session()))?.as_ref()? {
            (there, Place::Home(neighbour)) => (*there == key).then_some(neighbour),
            (there, Place::Other(home)) if *there == key && *home != key => self.get(*home),
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, key: NeighbourKey) -> Option<&mut T> {
        self.find(key).map(|(_, neighbour)| neighbour)
    }

    /// A neighbour, and its own handle: the one that was asked for may be of one that turned out to be this one.
    pub(crate) fn find(&mut self, key: NeighbourKey) -> Option<(NeighbourKey, &mut T)> {
        let place = self.place(key.session());
        let (home, place) = match self.places.get(place)?.as_ref()? {
            (there, Place::Other(home)) if *there == key => (*home, self.place(home.session())),
            _ => (key, place),
        };
        self.at_home(place, home).map(|neighbour| (home, neighbour))
    }

    fn at_home(&mut self, place: usize, key: NeighbourKey) -> Option<&mut T> {
        match self.places.get_mut(place)?.as_mut()? {
            (there, Place::Home(neighbour)) if *there == key => Some(neighbour),
            _ => None,
        }
    }

    pub(crate) fn remove(&mut self, key: NeighbourKey) -> Option<T> {
        let place = self.place(key.session());
        let is_it = |(there, what): &mut (NeighbourKey, _)| *there == key && matches!(what, Place::Home(_));
        match self.places.get_mut(place)?.take_if(is_it)? {
            (_, Place::Home(neighbour)) => {
                self.taken -= 1;
                self.neighbours -= 1;
                Some(*neighbour)
            }
            (_, Place::Other(_)) => None,
        }
    }

    /// All neighbours, in no order that means anything.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (NeighbourKey, &T)> {
        self.places.iter().flatten().filter_map(|(key, what)| match what {
            Place::Home(neighbour) => Some((*key, &**neighbour)),
            Place::Other(_) => None,
        })
    }

    /// All neighbours, to be changed.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (NeighbourKey, &mut T)> {
        self.places.iter_mut().flatten().filter_map(|(key, what)| match what {
            Place::Home(neighbour) => Some((*key, &mut **neighbour)),
            Place::Other(_) => None,
        })
    }

    /// Sessions beside the first one of each neighbour, and whose they are.
    pub(crate) fn others(&self) -> impl Iterator<Item = (u32, NeighbourKey)> {
        self.places.iter().flatten().filter_map(|(key, what)| match what {
            Place::Home(_) => None,
            Place::Other(home) => Some((key.session(), *home)),
        })
    }

    /// How many neighbours there are.
    pub(crate) const fn len(&self) -> usize {
        self.neighbours
    }

    fn place(&self, session: u32) -> usize {
        hash(self.key, session) as usize & self.places.len().wrapping_sub(1)
    }

    fn widen(&mut self) {
        let wider = (0..(2 * self.places.len()).max(2)).map(|_| None).collect();
        let narrow = core::mem::replace(&mut self.places, wider);
        for (key, what) in narrow.into_iter().flatten() {
            let place = self.place(key.session());
            self.places[place] = Some((key, what));
        }
    }
}

/// SipHash-1-3 (Aumasson and Bernstein 2012) of four bytes: nobody who lacks the key can tell it from chance.
const fn hash([k0, k1]: [u64; 2], word: u32) -> u64 {
    let v = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let block = (4 << 56) | word as u64; // the length, and the bytes
    let [v0, v1, v2, v3] = sip_round([v[0], v[1], v[2], v[3] ^ block]);
    let [v0, v1, v2, v3] = sip_round(sip_round(sip_round([v0 ^ block, v1, v2 ^ 0xff, v3])));
    v0 ^ v1 ^ v2 ^ v3
}

const fn sip_round([mut v0, mut v1, mut v2, mut v3]: [u64; 4]) -> [u64; 4] {
    v0 = v0.wrapping_add(v1);
    v2 = v2.wrapping_add(v3);
    v1 = v1.rotate_left(13) ^ v0;
    v3 = v3.rotate_left(16) ^ v2;
    v0 = v0.rotate_left(32);
    v2 = v2.wrapping_add(v1);
    v0 = v0.wrapping_add(v3);
    v1 = v1.rotate_left(17) ^ v2;
    v3 = v3.rotate_left(21) ^ v0;
    v2 = v2.rotate_left(32);
    [v0, v1, v2, v3]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Seed};
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    proptest! {
        /// Against a map: whatever comes and goes, every neighbour is found by each of its sessions, and no other; nor is one
        /// that went.
        #[test]
        fn agrees_with_a_map(seed: [u8; 32], steps in proptest::collection::vec(any::<(u8, u32)>(), 1..300)) {
            let mut rng = Seed::from_bytes(seed).rng(Purpose::Keys, 0);
            let (mut sessions, mut map, mut gone) = (Sessions::new(), BTreeMap::new(), Vec::new());
            let mut others: BTreeMap<u32, NeighbourKey> = BTreeMap::new();
            for (number, (what, random)) in steps.into_iter().enumerate() {
                let any = map.keys().nth(random as usize % map.len().max(1)).copied();
                match (what % 6, any) {
                    (0, Some(key)) => {
                        let session = sessions.fresh(&mut rng);
                        sessions.add(session, key);
                        others.insert(session, key);
                    }
                    (1, _) => if let Some((session, _)) = others.pop_first() {
                        sessions.forget(session);
                    }
                    (2, Some(into)) if map.len() > 1 => {
                        let from = *map.keys().find(|key| **key != into).unwrap();
                        prop_assert_eq!(sessions.merge(from, into), map.remove(&from));
                        // As whoever merges has to: what pointed there points nowhere, or to the other one.
                        let stale: Vec<u32> = others.iter().filter(|(_, home)| **home == from).map(|(s, _)| *s).collect();
                        stale.into_iter().for_each(|session| {
                            sessions.forget(session);
                            others.remove(&session);
                        });
                        prop_assert_eq!(sessions.get(from), map.get(&into));
                        others.insert(from.session(), into);
                    }
                    _ => {}
                }
                let leaves = what % 6 == 3;
                if leaves && !map.is_empty() {
                    let key = *map.keys().nth(random as usize % map.len()).unwrap();
                    prop_assert_eq!(sessions.remove(key), map.remove(&key));
                    gone.push(key);
                    let stale: Vec<u32> = others.iter().filter(|(_, home)| **home == key).map(|(s, _)| *s).collect();
                    stale.into_iter().for_each(|session| {
                        sessions.forget(session);
                        others.remove(&session);
                    });
                } else {
                    let session = sessions.fresh(&mut rng);
                    let key = sessions.insert(session, number);
                    prop_assert_eq!(key.session(), session);
                    prop_assert_eq!(map.insert(key, number), None);
                }
                prop_assert_eq!(sessions.len(), map.len());
                prop_assert_eq!(sessions.iter().map(|(key, link)| (key, *link)).collect::<BTreeMap<_, _>>(), map.clone());
                prop_assert!(gone.iter().all(|key| sessions.get(*key).is_none()));
                for (session, home) in &others {
                    prop_assert_eq!(sessions.by_session(*session).map(|(key, _)| key), Some(*home));
                }
                let is_known = map.keys().any(|key| key.session() == random) || others.contains_key(&random);
                prop_assert_eq!(is_known, sessions.by_session(random).is_some());
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

    /// Of the numbers that a stranger gets, none of the low bits, at any width of the table, tell how many others there are.
    #[test]
    fn numbers_do_not_tell_how_many_neighbours_there_are() {
        for neighbours in [10, 40, 200, 300] {
            let mut rng = Seed::from_bytes([neighbours as u8; 32]).rng(Purpose::Keys, 0);
            let mut sessions = Sessions::new();
            for number in 0..neighbours {
                let session = sessions.fresh(&mut rng);
                sessions.insert(session, number);
            }
            let drawn: Vec<u32> = (0..40_000).map(|_| sessions.fresh(&mut rng)).collect();
            for bits in 4..=12 {
                let mut seen = alloc::vec![0u32; 1 << bits];
                drawn.iter().for_each(|number| seen[*number as usize & ((1 << bits) - 1)] += 1);
                let mean = f64::from(drawn.len() as u32) / f64::from(1 << bits);
                let spread: f64 = seen.iter().map(|n| (f64::from(*n) - mean).powi(2) / mean).sum();
                // Chi square of 2^bits - 1 degrees: six standard deviations.
                let degrees = f64::from((1 << bits) - 1);
                assert!(
                    spread < degrees + 6.0 * (2.0 * degrees).sqrt(),
                    "{neighbours}, {bits} bits: {spread}"
                );
            }
        }
    }

    #[test]
    fn the_hash_is_that_of_the_standard_library_where_its_key_is_zero() {
        use std::hash::{DefaultHasher, Hasher};
        for word in [0, 1, 7, 0xdead_beef, u32::MAX] {
            let mut siphash = DefaultHasher::new();
            siphash.write(&word.to_le_bytes());
            assert_eq!(hash([0; 2], word), siphash.finish(), "SipHash-1-3");
        }
        assert_ne!(hash([1, 2], 7), hash([1, 3], 7));
    }
}
