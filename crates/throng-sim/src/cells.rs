//! Datagrams on their way, in memory that is used again.
//!
//! What the simulator's users send is padded, and the toy suite leaves padding alone. So most datagrams are short here:
//! their front, one byte that fills the middle, and their tag. What waits takes a tenth of the memory, and what a
//! processor has to fetch for a hop shrinks by seventeen cache lines.

use std::collections::BTreeMap;

/// Slots of one datagram each.
pub(crate) struct Cells {
    datagram: usize,
    short: Slab<ShortCell>,
    whole: Slab<Box<[u8]>>,
    /// What an adversary made that is not of the one length.
    odd: BTreeMap<u32, Vec<u8>>,
    odd_made: u32,
    /// A short one, written out.
    written: Box<[u8]>,
}

/// A datagram that has one byte all over its middle: two cache lines.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct ShortCell {
    front: [u8; FRONT_BYTES],
    middle: u8,
    back: [u8; BACK_BYTES],
}

const FRONT_BYTES: usize = 111;
const BACK_BYTES: usize = 16;
const _: () = assert!(size_of::<ShortCell>() == 128);
/// Marks slots of short datagrams,
const SHORT: u32 = 1 << 30;
/// and of odd lengths.
const ODD: u32 = 1 << 31;

impl Cells {
    pub(crate) fn new(datagram: usize) -> Self {
        assert!(datagram > size_of::<ShortCell>(), "short is shorter");
        Self {
            datagram,
            short: Slab::default(),
            whole: Slab::default(),
            odd: BTreeMap::new(),
            odd_made: 0,
            written: vec![0; datagram].into_boxed_slice(),
        }
    }

    /// A slot with a copy of `bytes`.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> u32 {
        if bytes.len() != self.datagram {
            self.odd_made = (self.odd_made + 1) % SHORT;
            self.odd.insert(ODD | self.odd_made, bytes.to_vec());
            return ODD | self.odd_made;
        }
        if let Some(short) = ShortCell::of(bytes) {
            return SHORT | self.short.put(|slot| *slot = short, || short);
        }
        self.whole.put(|slot| slot.copy_from_slice(bytes), || bytes.into())
    }

    /// The datagram in a slot. What is changed in it may be gone at the next call.
    pub(crate) fn get_mut(&mut self, slot: u32) -> &mut [u8] {
        if slot & ODD != 0 {
            return self.odd.get_mut(&slot).map_or(&mut [], Vec::as_mut_slice);
        }
        if slot & SHORT == 0 {
            return &mut self.whole.slots[slot as usize];
        }
        self.short.slots[(slot & !SHORT) as usize].write(&mut self.written);
        &mut self.written
    }

    /// Gives a slot back.
    pub(crate) fn free(&mut self, slot: u32) {
        if slot & ODD != 0 {
            self.odd.remove(&slot);
        } else if slot & SHORT != 0 {
            self.short.free.push(slot & !SHORT);
        } else {
            self.whole.free.push(slot);
        }
    }

    /// Bytes taken.
    pub(crate) fn bytes(&self) -> usize {
        self.short.bytes() + self.whole.bytes() + self.whole.slots.len() * self.datagram
    }
}

impl ShortCell {
    fn of(datagram: &[u8]) -> Option<Self> {
        let (front, rest) = datagram.split_first_chunk()?;
        let (middle, back) = rest.split_last_chunk()?;
        // Every byte is as the one before it.
        let is_short = middle[1..] == middle[..middle.len() - 1];
        is_short.then(|| Self { front: *front, middle: middle[0], back: *back })
    }

    fn write(&self, datagram: &mut [u8]) {
        let (front, rest) = datagram.split_at_mut(FRONT_BYTES);
        let (middle, back) = rest.split_at_mut(rest.len() - BACK_BYTES);
        front.copy_from_slice(&self.front);
        middle.fill(self.middle);
        back.copy_from_slice(&self.back);
    }
}

/// Slots that are used again. What was given back last goes first: it is still at the processor's hand.
struct Slab<T> {
    slots: Vec<T>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Fills a free slot, or makes one.
    fn put(&mut self, fill: impl FnOnce(&mut T), make: impl FnOnce() -> T) -> u32 {
        if let Some(slot) = self.free.pop() {
            fill(&mut self.slots[slot as usize]);
            return slot;
        }
        self.slots.push(make());
        (self.slots.len() - 1) as u32
    }

    fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<T>() + self.free.capacity() * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Short, whole or odd: what was put comes back, and slots are used again.
        #[test]
        fn what_is_put_comes_back(datagrams in proptest::collection::vec((any::<[u8; 4]>(), 0..1280usize, 0..3usize), 1..50)) {
            let mut cells = Cells::new(1280);
            let mut held = Vec::new();
            for ([filling, other, tag, pick], place, kind) in datagrams {
                let mut bytes = vec![filling; if kind == 2 { place } else { 1280 }];
                if kind == 1 {
                    bytes[place] = other;
                    bytes[1279] = tag;
                }
                held.push((cells.put(&bytes), bytes));
                if pick % 2 == 0 {
                    let (slot, bytes) = held.swap_remove(usize::from(pick) % held.len());
                    prop_assert_eq!(cells.get_mut(slot), &bytes[..]);
                    cells.free(slot);
                }
            }
            for (slot, bytes) in held {
                prop_assert_eq!(cells.get_mut(slot), &bytes[..]);
            }
        }
    }
}
