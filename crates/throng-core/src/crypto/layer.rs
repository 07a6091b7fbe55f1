//! HCTR2 with AES-128: the wide-block permutation of circuit layers.
//!
//! Crowley, Huckleberry, Biggers: "Length-preserving encryption with HCTR2" (2021), section 3. Hash, one block
//! of AES, a keystream, hash again: two passes of POLYVAL and one of AES over the message. Built on `aes` and
//! `polyval`, which use the processor's instructions where it has them and are constant-time everywhere.

use aes::Aes128;
use aes::cipher::array::Array;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use polyval::universal_hash::UniversalHash;
use polyval::{Block, Polyval};
use zeroize::Zeroize;

use super::suite::LayerKey;

/// Keystream blocks that are made at once.
const STRIDE_BLOCKS: usize = 16;

/// A key of HCTR2-AES-128 for 16-byte tweaks.
pub struct Hctr2 {
    aes: Aes128,
    /// POLYVAL after the length block: for messages of whole blocks, and for others.
    hash_even: Polyval,
    hash_ragged: Polyval,
    /// E(1), which separates the keystream's inputs from the block cipher's other one.
    l: [u8; 16],
}

impl LayerKey for Hctr2 {
    fn new(key: &[u8; 16]) -> Self {
        let aes = Aes128::new(&Array::from(*key));
        let encrypt = |first: u8| {
            let mut block = Array::from([0u8; 16]);
            block[0] = first;
            aes.encrypt_block(&mut block);
            block
        };
        let mut hash_key = encrypt(0);
        let l = encrypt(1);
        let keyed = Polyval::new(&hash_key);
        hash_key.zeroize();
        // Length block: 2·|tweak in bits| + 2, one more for messages that do not end on a block.
        let after_length = |length: u128| {
            let mut hash = keyed.clone();
            hash.update(&[Block::from(length.to_le_bytes())]);
            hash
        };
        Self {
            aes,
            hash_even: after_length(2 * 128 + 2),
            hash_ragged: after_length(2 * 128 + 3),
            l: l.into(),
        }
    }

    fn encipher(&self, tweak: &[u8; 16], body: &mut [u8]) {
        let (head, rest) = body.split_first_chunk_mut::<16>().expect("a wide block has at least 16 bytes");
        let mm = xor(head, &self.hash(tweak, rest));
        let mut uu = Array::from(mm);
        self.aes.encrypt_block(&mut uu);
        let uu = uu.into();
        self.keystream(&xor(&xor(&mm, &uu), &self.l), rest);
        *head = xor(&uu, &self.hash(tweak, rest));
    }

    fn decipher(&self, tweak: &[u8; 16], body: &mut [u8]) {
        let (head, rest) = body.split_first_chunk_mut::<16>().expect("a wide block has at least 16 bytes");
        let uu = xor(head, &self.hash(tweak, rest));
        let mut mm = Array::from(uu);
        self.aes.decrypt_block(&mut mm);
        let mm = mm.into();
        self.keystream(&xor(&xor(&mm, &uu), &self.l), rest);
        *head = xor(&mm, &self.hash(tweak, rest));
    }
}

impl Hctr2 {
    /// POLYVAL over length, tweak and message; a ragged end is closed with a one bit and zeros.
    fn hash(&self, tweak: &[u8; 16], message: &[u8]) -> [u8; 16] {
        let (blocks, ragged) = Block::slice_as_chunks(message);
        let mut hash = if ragged.is_empty() { self.hash_even.clone() } else { self.hash_ragged.clone() };
        hash.update(&[Block::from(*tweak)]);
        hash.update(blocks);
        if !ragged.is_empty() {
            let mut last = [0u8; 16];
            last[..ragged.len()].copy_from_slice(ragged);
            last[ragged.len()] = 1;
            hash.update(&[Block::from(last)]);
        }
        hash.finalize().into()
    }

    /// XCTR: the i-th block of keystream is E(nonce ⊕ i), i little-endian and counted from one.
    fn keystream(&self, nonce: &[u8; 16], message: &mut [u8]) {
        let nonce = u128::from_le_bytes(*nonce);
        let mut counter = 0u128;
        for stride in message.chunks_mut(16 * STRIDE_BLOCKS) {
            let mut blocks: [Block; STRIDE_BLOCKS] =
                core::array::from_fn(|i| Block::from((nonce ^ (counter + 1 + i as u128)).to_le_bytes()));
            counter += STRIDE_BLOCKS as u128;
            let blocks = &mut blocks[..stride.len().div_ceil(16)];
            self.aes.encrypt_blocks(blocks);
            for (byte, key) in stride.iter_mut().zip(Block::slice_as_flattened(blocks)) {
                *byte ^= key;
            }
        }
    }
}

impl Drop for Hctr2 {
    fn drop(&mut self) {
        // `aes` and `polyval` clear themselves.
        self.l.zeroize();
    }
}

fn xor(a: &[u8; 16], b: &[u8; 16]) -> [u8; 16] {
    (u128::from_ne_bytes(*a) ^ u128::from_ne_bytes(*b)).to_ne_bytes()
}
