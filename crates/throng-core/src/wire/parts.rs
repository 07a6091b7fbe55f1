//! Messages that are longer than what carries them: cut into numbered parts, and gathered again.
//!
//! Parts may come in any order, more than once, and from several sends of one message: whoever repeats a message gives it
//! the same name. A message is complete when each part was there.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::Malformed;
use crate::limits::{GATHERED_EACH_MAX, PARTS_MAX};

/// Which part of a message this is, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    index: u8,
    of: u8,
}

impl Part {
    /// All of a message.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// Part `index` of so many, if there are so many and not too many.
    pub const fn new(index: usize, of: usize) -> Option<Self> {
        if index >= of || of > PARTS_MAX {
            return None;
        }
        Some(Self { index: index as u8, of: of as u8 })
    }

    /// From 0.
    pub const fn index(self) -> usize {
        self.index as usize
    }

    /// How many there are.
    pub const fn of(self) -> usize {
        self.of as usize
    }

    /// Whether there are no others.
    pub const fn is_whole(self) -> bool {
        self.of == 1
    }

    /// 0 for all of a message.
    pub(crate) const fn to_byte(self) -> u8 {
        (self.of - 1) << 4 | self.index
    }

    pub(crate) const fn from_byte(byte: u8) -> Result<Self, Malformed> {
        match Self::new((byte & 15) as usize, (byte >> 4) as usize + 1) {
            Some(part) => Ok(part),
            None => Err(Malformed),
        }
    }

    /// Where this part lies in a message of so many bytes: all parts but the last have one length.
    pub(crate) fn place(self, bytes: usize) -> core::ops::Range<usize> {
        let each = bytes.div_ceil(self.of());
        (each * self.index()).min(bytes)..(each * (self.index() + 1)).min(bytes)
    }
}

/// How many parts a message of so many bytes needs where one carries `room`.
///
/// # Panics
/// If that are more than [`PARTS_MAX`]: the least geometry carries every message in fewer.
pub(crate) fn needed(bytes: usize, room: usize) -> usize {
    let parts = bytes.div_ceil(room).max(1);
    assert!(parts <= PARTS_MAX, "the least geometry carries every message");
    parts
}

/// A message in so many parts.
pub(crate) fn cut(message: &[u8], of: usize) -> impl Iterator<Item = (Part, &[u8])> {
    let parts = (0..of).filter_map(move |index| Part::new(index, of));
    parts.map(|part| (part, &message[part.place(message.len())]))
}

/// Messages of which some parts are there, `MOST` at most and a few of each owner; over that the one that began first goes,
/// of the same owner if it has too many: nobody's parts make room for one other's. Where all messages fit
/// into what carries them it takes no memory.
pub(crate) struct Gathering<K, const MOST: usize>(Option<Box<Messages<K>>>);

struct Messages<K> {
    begun: BTreeMap<(K, u32), Begun>,
    /// The same, in the order in which they began.
    order: BTreeMap<u64, (K, u32)>,
    /// How many were begun.
    count: u64,
}

struct Begun {
    number: u64,
    parts: Box<[Option<NumberedPart>]>,
}

/// A part that is there, and what it came with.
type NumberedPart = (u32, Box<[u8]>);

/// A message that is complete.
pub(crate) struct Gathered {
    pub(crate) bytes: Vec<u8>,
    /// What each part came with.
    pub(crate) with: Vec<u32>,
}

impl<K: Ord + Copy, const MOST: usize> Gathering<K, MOST> {
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    /// Whether a part of the message of this owner and name was there.
    pub(crate) fn has(&self, owner: K, name: u32) -> bool {
        self.0.as_ref().is_some_and(|messages| messages.begun.contains_key(&(owner, name)))
    }

    /// Takes a part in. All of the message, if it was the last part that was missing.
    pub(crate) fn add(
        &mut self,
        (owner, name): (K, u32),
        part: Part,
        with: u32,
        bytes: &[u8],
    ) -> Option<Gathered> {
        if part.is_whole() {
            return Some(Gathered { bytes: bytes.to_vec(), with: alloc::vec![with] });
        }
        let messages = self.0.get_or_insert_with(|| {
            Box::new(Messages { begun: BTreeMap::new(), order: BTreeMap::new(), count: 0 })
        });
        let key = (owner, name);
        if messages.begun.get(&key).is_none_or(|begun| begun.parts.len() != part.of()) {
            messages.begin(key, part.of(), MOST);
        }
        let begun = messages.begun.get_mut(&key)?;
        begun.parts[part.index()] = Some((with, bytes.into()));
        if begun.parts.iter().any(Option::is_none) {
            return None;
        }
        let parts = messages.remove(key)?.parts;
        let mut gathered = Gathered { bytes: Vec::new(), with: Vec::new() };
        for (with, bytes) in parts.into_iter().flatten() {
            gathered.bytes.extend_from_slice(&bytes);
            gathered.with.push(with);
        }
        Some(gathered)
    }

    /// An owner is no more, nor are its messages.
    pub(crate) fn forget(&mut self, owner: K) {
        let Some(messages) = &mut self.0 else { return };
        let own: Vec<_> = messages.begun.range((owner, 0)..=(owner, u32::MAX)).map(|(key, _)| *key).collect();
        own.into_iter().for_each(|key| drop(messages.remove(key)));
        if messages.begun.is_empty() {
            self.0 = None;
        }
    }

    /// How many there are.
    fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |messages| messages.begun.len())
    }

    /// Whether there are not more of them than there may be.
    pub(crate) fn is_within_bound(&self) -> bool {
        self.len() <= MOST
    }
}

impl<K: Ord + Copy> Messages<K> {
    fn begin(&mut self, key: (K, u32), of: usize, most: usize) {
        self.remove(key);
        let own = self.begun.range((key.0, 0)..=(key.0, u32::MAX));
        let (count, first) = (own.clone().count(), own.min_by_key(|(_, begun)| begun.number));
        let first = first.map(|(key, _)| *key).filter(|_| count >= GATHERED_EACH_MAX);
        let crowded = self.begun.len() >= most;
        let first = first.or_else(|| self.order.first_key_value().map(|(_, key)| *key).filter(|_| crowded));
        first.into_iter().for_each(|first| drop(self.remove(first)));
        self.begun.insert(key, Begun { number: self.count, parts: (0..of).map(|_| None).collect() });
        self.order.insert(self.count, key);
        self.count += 1;
    }

    fn remove(&mut self, key: (K, u32)) -> Option<Begun> {
        let begun = self.begun.remove(&key)?;
        self.order.remove(&begun.number);
        Some(begun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_in_any_order_and_doubled_are_the_message_again(
            message in proptest::collection::vec(any::<u8>(), 1..2000),
            of in 1..=PARTS_MAX,
            order in proptest::collection::vec(any::<usize>(), 0..40),
        ) {
            let mut gathering = Gathering::<u8, 12>::new();
            let parts: Vec<_> = cut(&message, of).collect();
            prop_assert_eq!(parts.len(), of);
            let order: Vec<usize> = order.into_iter().map(|at| at % of).chain(0..of).collect();
            let mut whole = None;
            for at in order {
                let (part, bytes) = parts[at];
                prop_assert_eq!(Part::from_byte(part.to_byte()), Ok(part));
                if whole.is_none() {
                    whole = gathering.add((1, 7), part, at as u32, bytes);
                }
            }
            let whole = whole.unwrap();
            prop_assert_eq!(whole.bytes, message);
            prop_assert_eq!(whole.with, (0..of as u32).collect::<Vec<_>>());
            prop_assert_eq!(gathering.len(), 0);
        }
    }

    #[test]
    fn whoever_begins_messages_without_end_has_so_many_at_most() {
        let mut gathering = Gathering::<u8, 12>::new();
        let part = Part::new(0, 2).unwrap();
        assert!(gathering.add((9, 0), part, 0, &[1]).is_none());
        for name in 0..100 {
            assert!(gathering.add((1, name), part, 0, &[1]).is_none());
            assert!(gathering.is_within_bound());
        }
        assert!(!gathering.has(1, 95) && gathering.has(1, 96) && gathering.has(1, 99));
        assert!(gathering.has(9, 0), "and takes nobody else's place");
        for owner in 10..30 {
            assert!(gathering.add((owner, 0), part, 0, &[1]).is_none());
            assert!(gathering.is_within_bound());
        }
        assert!(!gathering.has(9, 0) && gathering.has(29, 0));
        (10..30).for_each(|owner| gathering.forget(owner));
        assert_eq!(gathering.len(), 0);
    }
}
