//! Datagrams on their way, in memory that is used again.
//!
//! What the simulator's users send is padded, and the toy suite leaves padding alone. So most datagrams are short here:
//! their front, one byte that fills the middle, and their tag. What waits takes a tenth of the memory, and what a
//! processor has to fetch for a hop shrinks by seventeen cache lines.

use std::collections::BTreeMap;

/// Slots of one datagram each.
pub(crate) struct Cells {
    datagram: usize,
    short: Slots,
    whole: Slots,
    /// What an adversary made that is not of the one length.
    odd: BTreeMap<u32, Vec<u8>>,
    odd_made: u32,
    /// A short one, written out.
    written: Box<[u8]>,
}

/// A short datagram: `front · filling byte · back`.
const SHORT_BYTES: usize = FRONT_BYTES + 1 + BACK_BYTES;
const FRONT_BYTES: usize = 111;
const BACK_BYTES: usize = 16;
/// Marks slots of short datagrams,
const SHORT: u32 = 1 << 30;
/// and of odd lengths.
const ODD: u32 = 1 << 31;

impl Cells {
    pub(crate) fn new(datagram: usize) -> Self {
        assert!(datagram > SHORT_BYTES, "short is shorter");
        Self {
            datagram,
            short: Slots::new(SHORT_BYTES),
            whole: Slots::new(datagram),
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
        let (front, rest) = bytes.split_at(FRONT_BYTES);
        let (middle, back) = rest.split_at(rest.len() - BACK_BYTES);
        // Every byte is as the one before it.
        if middle[1..] != middle[..middle.len() - 1] {
            let slot = self.whole.take();
            self.whole.get_mut(slot).copy_from_slice(bytes);
            return slot;
        }
        let slot = self.short.take();
        let short = self.short.get_mut(slot);
        short[..FRONT_BYTES].copy_from_slice(front);
        short[FRONT_BYTES] = middle[0];
        short[FRONT_BYTES + 1..].copy_from_slice(back);
        SHORT | slot
    }

    /// The datagram in a slot. What is changed in it may be gone at the next call.
    pub(crate) fn get_mut(&mut self, slot: u32) -> &mut [u8] {
        if slot & ODD != 0 {
            return self.odd.get_mut(&slot).map_or(&mut [], Vec::as_mut_slice);
        }
        if slot & SHORT == 0 {
            return self.whole.get_mut(slot);
        }
        let short = self.short.get_mut(slot & !SHORT);
        let (front, rest) = self.written.split_at_mut(FRONT_BYTES);
        let (middle, back) = rest.split_at_mut(rest.len() - BACK_BYTES);
        front.copy_from_slice(&short[..FRONT_BYTES]);
        middle.fill(short[FRONT_BYTES]);
        back.copy_from_slice(&short[FRONT_BYTES + 1..]);
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
        self.short.bytes() + self.whole.bytes()
    }
}

/// Slots of one length.
struct Slots {
    length: usize,
    chunks: Vec<Box<[u8]>>,
    /// What was given back last goes first: it is still at the processor's hand.
    free: Vec<u32>,
}

const CHUNK_SLOTS: usize = 256;

impl Slots {
    const fn new(length: usize) -> Self {
        Self { length, chunks: Vec::new(), free: Vec::new() }
    }

    fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| self.grow())
    }

    fn get_mut(&mut self, slot: u32) -> &mut [u8] {
        let start = slot as usize % CHUNK_SLOTS * self.length;
        &mut self.chunks[slot as usize / CHUNK_SLOTS][start..start + self.length]
    }

    fn grow(&mut self) -> u32 {
        let first = (self.chunks.len() * CHUNK_SLOTS) as u32;
        self.chunks.push(vec![0; CHUNK_SLOTS * self.length].into_boxed_slice());
        self.free.extend((first + 1..first + CHUNK_SLOTS as u32).rev());
        first
    }

    fn bytes(&self) -> usize {
        self.chunks.len() * CHUNK_SLOTS * self.length + self.free.capacity() * 4
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
