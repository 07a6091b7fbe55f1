//! The fast suite: the portable one with aws-lc's AES-GCM, X25519 and signing. Both speak the same language.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::signature::Ed25519KeyPair;
use throng_core::crypto::{
    Forged, KEM_ANSWER_BYTES, KEM_OFFER_BYTES, KemSecret, LinkCipher, Portable, Suite, Uiv, Zeroizing,
};

/// Primitives for real traffic.
pub enum Fast {}

/// AES-128-GCM from aws-lc.
pub struct FastLinkCipher(LessSafeKey);

impl LinkCipher for FastLinkCipher {
    fn new(key: &[u8; 16]) -> Self {
        Self(LessSafeKey::new(UnboundKey::new(&AES_128_GCM, key).expect("the key has the right length")))
    }

    fn seal(&self, nonce: &[u8; 12], header: &[u8], body: &mut [u8]) -> [u8; 16] {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(header), body);
        let tag = tag.expect("a datagram is far below the longest message of GCM");
        tag.as_ref().try_into().expect("a tag has 16 bytes")
    }

    fn open(&self, nonce: &[u8; 12], header: &[u8], body: &mut [u8], tag: &[u8; 16]) -> Result<(), Forged> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.0.open_in_place_separate_tag(nonce, Aad::from(header), tag, body);
        opened.map(|_| ()).map_err(|_| Forged)
    }
}

impl Suite for Fast {
    type LinkCipher = FastLinkCipher;
    type LayerCipher = Uiv<FastLinkCipher>;
    type KemSecret = KemSecret;

    fn hash(parts: &[&[u8]]) -> [u8; 32] {
        Portable::hash(parts)
    }

    fn derive(secret: &[u8], salt: &[u8], info: &[u8], out: &mut [u8]) {
        Portable::derive(secret, salt, info, out);
    }

    fn dh_public(secret: &[u8; 32]) -> [u8; 32] {
        let key = PrivateKey::from_private_key(&X25519, secret).expect("any 32 bytes are an X25519 secret");
        let public = key.compute_public_key().expect("every X25519 secret has a public key");
        public.as_ref().try_into().expect("a public key has 32 bytes")
    }

    fn dh(secret: &[u8; 32], public: &[u8; 32]) -> Result<Zeroizing<[u8; 32]>, Forged> {
        let key = PrivateKey::from_private_key(&X25519, secret).expect("any 32 bytes are an X25519 secret");
        agree(&key, UnparsedPublicKey::new(&X25519, public), Forged, |shared| {
            shared.try_into().map(Zeroizing::new).map_err(|_| Forged)
        })
    }

    fn kem_generate(seed: &[u8; 64]) -> (KemSecret, [u8; KEM_OFFER_BYTES]) {
        Portable::kem_generate(seed)
    }

    fn kem_encapsulate(
        offer: &[u8; KEM_OFFER_BYTES],
        seed: &[u8; 32],
    ) -> Result<([u8; KEM_ANSWER_BYTES], Zeroizing<[u8; 32]>), Forged> {
        Portable::kem_encapsulate(offer, seed)
    }

    fn kem_decapsulate(secret: &KemSecret, answer: &[u8; KEM_ANSWER_BYTES]) -> Zeroizing<[u8; 32]> {
        Portable::kem_decapsulate(secret, answer)
    }

    fn sign_public(secret: &[u8; 32]) -> [u8; 32] {
        Portable::sign_public(secret)
    }

    fn sign(secret: &[u8; 32], message: &[u8]) -> [u8; 64] {
        let key = Ed25519KeyPair::from_seed_unchecked(secret).expect("any 32 bytes are an Ed25519 secret");
        key.sign(message).as_ref().try_into().expect("a signature has 64 bytes")
    }

    fn verify(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> Result<(), Forged> {
        Portable::verify(public, message, signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::kem::{Ciphertext, DecapsulationKey, EncapsulationKey, ML_KEM_768};
    use throng_core::crypto::{LayerCipher, PortableLinkCipher};

    type FastLayerCipher = <Fast as Suite>::LayerCipher;
    type PortableLayerCipher = <Portable as Suite>::LayerCipher;

    #[test]
    fn the_fast_suite_agrees_with_the_portable_one() {
        for round in 0..50u8 {
            let secret = [round; 32];
            let public = Portable::dh_public(&[round ^ 0x55; 32]);
            assert_eq!(Fast::dh_public(&secret), Portable::dh_public(&secret));
            assert_eq!(Fast::dh(&secret, &public), Portable::dh(&secret, &public));
            assert_eq!(Fast::sign_public(&secret), Portable::sign_public(&secret));
            assert_eq!(Fast::sign(&secret, &[round; 51]), Portable::sign(&secret, &[round; 51]));

            let (fast, portable) = (FastLinkCipher::new(&[round; 16]), PortableLinkCipher::new(&[round; 16]));
            let mut sealed = vec![round; 1252];
            let tag = fast.seal(&[round; 12], b"header", &mut sealed);
            assert_eq!(portable.open(&[round; 12], b"header", &mut sealed, &tag), Ok(()));
            assert_eq!(sealed, vec![round; 1252]);
            let tag = portable.seal(&[round; 12], b"header", &mut sealed);
            assert_eq!(fast.open(&[round; 12], b"other!", &mut sealed.clone(), &tag), Err(Forged));
            assert_eq!(fast.open(&[round; 12], b"header", &mut sealed, &tag), Ok(()));

            let (fast, portable) =
                (FastLayerCipher::new(&[round; 16]), PortableLayerCipher::new(&[round; 16]));
            fast.encipher(&[round; 16], &mut sealed);
            assert_ne!(sealed, vec![round; 1252]);
            portable.decipher(&[round; 16], &mut sealed);
            assert_eq!(sealed, vec![round; 1252]);
        }
    }

    #[test]
    fn both_refuse_a_key_of_small_order() {
        assert_eq!(Fast::dh(&[1; 32], &[0; 32]), Err(Forged));
        assert_eq!(Portable::dh(&[1; 32], &[0; 32]), Err(Forged));
    }

    /// The `ml-kem` crate against aws-lc's independent implementation, in both directions.
    #[test]
    fn ml_kem_agrees_with_aws_lc() {
        let (secret, offer) = Portable::kem_generate(&[7; 64]);
        let theirs = EncapsulationKey::new(&ML_KEM_768, &offer).unwrap();
        let (answer, shared) = theirs.encapsulate().unwrap();
        let answer = answer.as_ref().try_into().unwrap();
        assert_eq!(&Portable::kem_decapsulate(&secret, answer)[..], shared.as_ref());

        let theirs = DecapsulationKey::generate(&ML_KEM_768).unwrap();
        let offer = theirs.encapsulation_key().unwrap().key_bytes().unwrap();
        let (answer, shared) =
            Portable::kem_encapsulate(offer.as_ref().try_into().unwrap(), &[8; 32]).unwrap();
        assert_eq!(theirs.decapsulate(Ciphertext::from(answer.as_slice())).unwrap().as_ref(), &shared[..]);
    }
}
