//! UIV: the permutation of circuit layers, of AES-128 and AES-128-GCM.
//!
//! Degabriele, Melloni, Münch, Stam: "Counter Galois Onion" (2025), section 4, as Tor is about to use it; here with a
//! tweak that makes every cell unique instead of a chained state, since cells get lost and overtake each other. Of a
//! body's first block L and the rest R:
//!
//! ```text
//! encipher   h = hash(tweak ‖ R)          L' = E(L ⊕ h) ⊕ h        R' = R ⊕ stream(tweak, L')
//! decipher   R = R' ⊕ stream(tweak, L')   h = hash(tweak ‖ R)      L = D(L' ⊕ h) ⊕ h
//! ```
//!
//! The hash is GMAC under a key and a nonce of its own (NIST SP 800-38D): a universal hash with a constant on top. The
//! stream is that of AES-GCM under the first 96 bits of a CBC-MAC of tweak and L' (two blocks, always). The tweak must
//! be in there: at a cell's last hop L' is the block of zeros that authenticates it, the same for all cells. Two cells
//! share a stream with probability 2^-96 for each pair: 2^-41 over the 2^28 cells that a circuit has forward at most.
//!
//! Mixes only ever *encipher*, origins decipher: whoever changes one bit of a cell changes all bits behind the next
//! honest mix. Deciphering what was changed spoils the first block, which authenticates the cell.

use aes::Aes128;
use aes::cipher::array::Array;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use zeroize::Zeroize;

use super::suite::{LayerCipher, LinkCipher};

/// A key of UIV over a supplier's AES-128-GCM.
pub struct Uiv<G> {
    block: Aes128,
    /// Makes the stream's nonce of the tweak and the enciphered first block.
    start: Aes128,
    hash: G,
    stream: G,
}

impl<G: LinkCipher> LayerCipher for Uiv<G> {
    fn new(key: &[u8; 16]) -> Self {
        let aes = Aes128::new(&Array::from(*key));
        let subkey = |number: u8| {
            let mut block = Array::from([0u8; 16]);
            block[0] = number;
            aes.encrypt_block(&mut block);
            <[u8; 16]>::from(block)
        };
        let mut keys = [subkey(0), subkey(1), subkey(2), subkey(3)];
        let made = Self {
            block: Aes128::new(&Array::from(keys[0])),
            start: Aes128::new(&Array::from(keys[1])),
            hash: G::new(&keys[2]),
            stream: G::new(&keys[3]),
        };
        keys.zeroize();
        made
    }

    fn encipher(&self, tweak: &[u8; 16], body: &mut [u8]) {
        let (left, hash) = self.left_and_hash(tweak, body);
        let mut block = Array::from(xor(&left, &hash));
        self.block.encrypt_block(&mut block);
        let left = xor(&block.into(), &hash);
        put_left(body, &left);
        self.apply_stream(tweak, &left, &mut body[16..]);
    }

    fn decipher(&self, tweak: &[u8; 16], body: &mut [u8]) {
        let left = *body.first_chunk().expect(TOO_SHORT);
        self.apply_stream(tweak, &left, &mut body[16..]);
        let (left, hash) = self.left_and_hash(tweak, body);
        let mut block = Array::from(xor(&left, &hash));
        self.block.decrypt_block(&mut block);
        put_left(body, &xor(&block.into(), &hash));
    }
}

impl<G: LinkCipher> Uiv<G> {
    /// The first block, and the hash of tweak and rest. The tweak takes the first block's place meanwhile, so that both
    /// lie in a row.
    fn left_and_hash(&self, tweak: &[u8; 16], body: &mut [u8]) -> ([u8; 16], [u8; 16]) {
        let left = *body.first_chunk().expect(TOO_SHORT);
        put_left(body, tweak);
        (left, self.hash.seal(&[0; 12], body, &mut []))
    }

    fn apply_stream(&self, tweak: &[u8; 16], left: &[u8; 16], rest: &mut [u8]) {
        let mut block = Array::from(*tweak);
        self.start.encrypt_block(&mut block);
        block = Array::from(xor(&block.into(), left));
        self.start.encrypt_block(&mut block);
        let nonce = block.first_chunk().expect("12 of 16 bytes");
        // The tag is of no use here; on processors with the instructions it costs next to nothing.
        let _tag = self.stream.seal(nonce, &[], rest);
    }
}

const TOO_SHORT: &str = "a wide block has at least 16 bytes";

fn put_left(body: &mut [u8], left: &[u8; 16]) {
    *body.first_chunk_mut().expect(TOO_SHORT) = *left;
}

fn xor(a: &[u8; 16], b: &[u8; 16]) -> [u8; 16] {
    (u128::from_ne_bytes(*a) ^ u128::from_ne_bytes(*b)).to_ne_bytes()
}
