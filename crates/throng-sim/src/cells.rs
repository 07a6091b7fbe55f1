//! Datagrams on their way: memory of one size, used again.

use std::collections::BTreeMap;

/// Slots of one datagram each.
pub(crate) struct Cells {
    datagram: usize,
    chunks: Vec<Box<[u8]>>,
    free: Vec<u32>,
    /// What an adversary made that is not of the one length.
    odd: BTreeMap<u32, Vec<u8>>,
    odd_made: u32,
}

const CHUNK_CELLS: usize = 256;
/// Marks slots of odd lengths.
const ODD: u32 = 1 << 31;

impl Cells {
    pub(crate) fn new(datagram: usize) -> Self {
        Self { datagram, chunks: Vec::new(), free: Vec::new(), odd: BTreeMap::new(), odd_made: 0 }
    }

    /// A slot with a copy of `bytes`.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> u32 {
        if bytes.len() != self.datagram {
            self.odd_made = (self.odd_made + 1) % ODD;
            self.odd.insert(ODD | self.odd_made, bytes.to_vec());
            return ODD | self.odd_made;
        }
        let slot = self.free.pop().unwrap_or_else(|| self.grow());
        self.get_mut(slot).copy_from_slice(bytes);
        slot
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> &mut [u8] {
        if slot & ODD != 0 {
            return self.odd.get_mut(&slot).map_or(&mut [], Vec::as_mut_slice);
        }
        let start = slot as usize % CHUNK_CELLS * self.datagram;
        &mut self.chunks[slot as usize / CHUNK_CELLS][start..start + self.datagram]
    }

    /// Gives a slot back.
    pub(crate) fn free(&mut self, slot: u32) {
        if slot & ODD != 0 {
            self.odd.remove(&slot);
        } else {
            self.free.push(slot);
        }
    }

    /// Bytes taken.
    pub(crate) fn bytes(&self) -> usize {
        self.chunks.len() * CHUNK_CELLS * self.datagram + self.free.capacity() * 4
    }

    fn grow(&mut self) -> u32 {
        let first = (self.chunks.len() * CHUNK_CELLS) as u32;
        self.chunks.push(vec![0; CHUNK_CELLS * self.datagram].into_boxed_slice());
        self.free.extend((first + 1..first + CHUNK_CELLS as u32).rev());
        first
    }
}
