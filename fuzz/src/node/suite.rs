//! The toy suite with a master key: whoever meddles with a node's datagrams gets past its ciphers, as a hostile neighbour does
//! that holds the keys.

use throng_core::crypto::{Forged, KEM_ANSWER_BYTES, KEM_OFFER_BYTES, LinkCipher, Suite, Zeroizing};
use throng_sim::Toy;

/// The tag that every link takes.
pub const MASTER: [u8; 16] = *b"whatever it says";

/// The toy suite with a master key.
pub enum Open {}

/// A link that also opens what has the master's tag.
pub struct OpenLink(<Toy as Suite>::LinkCipher);

impl LinkCipher for OpenLink {
    fn new(key: &[u8; 16]) -> Self {
        Self(LinkCipher::new(key))
    }

    fn seal(&self, nonce: &[u8; 12], header: &[u8], body: &mut [u8]) -> [u8; 16] {
        self.0.seal(nonce, header, body)
    }

    fn open(&self, nonce: &[u8; 12], header: &[u8], body: &mut [u8], tag: &[u8; 16]) -> Result<(), Forged> {
        if *tag == MASTER { Ok(()) } else { self.0.open(nonce, header, body, tag) }
    }
}

impl Suite for Open {
    type LinkCipher = OpenLink;
    type LayerCipher = <Toy as Suite>::LayerCipher;
    type KemSecret = <Toy as Suite>::KemSecret;

    fn hash(parts: &[&[u8]]) -> [u8; 32] {
        Toy::hash(parts)
    }

    fn derive(secret: &[u8], salt: &[u8], info: &[u8], out: &mut [u8]) {
        Toy::derive(secret, salt, info, out);
    }

    fn dh_public(secret: &[u8; 32]) -> [u8; 32] {
        Toy::dh_public(secret)
    }

    fn dh(secret: &[u8; 32], public: &[u8; 32]) -> Result<Zeroizing<[u8; 32]>, Forged> {
        Toy::dh(secret, public)
    }

    fn kem_generate(seed: &[u8; 64]) -> (Self::KemSecret, [u8; KEM_OFFER_BYTES]) {
        Toy::kem_generate(seed)
    }

    fn kem_encapsulate(
        offer: &[u8; KEM_OFFER_BYTES],
        seed: &[u8; 32],
    ) -> Result<([u8; KEM_ANSWER_BYTES], Zeroizing<[u8; 32]>), Forged> {
        Toy::kem_encapsulate(offer, seed)
    }

    fn kem_decapsulate(secret: &Self::KemSecret, answer: &[u8; KEM_ANSWER_BYTES]) -> Zeroizing<[u8; 32]> {
        Toy::kem_decapsulate(secret, answer)
    }

    fn sign_public(secret: &[u8; 32]) -> [u8; 32] {
        Toy::sign_public(secret)
    }

    fn sign(secret: &[u8; 32], message: &[u8]) -> [u8; 64] {
        Toy::sign(secret, message)
    }

    fn verify(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> Result<(), Forged> {
        Toy::verify(public, message, signature)
    }
}
