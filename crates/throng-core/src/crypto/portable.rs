//! The portable suite: pure Rust, no operating system. Tests use it; the fast one must agree with it.

use aes_gcm::Aes128Gcm;
use aes_gcm::aead::array::Array;
use aes_gcm::aead::{AeadInOut, KeyInit};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use hkdf::Hkdf;
use ml_kem::kem::{Decapsulate, KeyExport};
use ml_kem::{DecapsulationKey, EncapsulationKey, MlKem768};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::layer::Uiv;
use super::suite::{Forged, KEM_ANSWER_BYTES, KEM_OFFER_BYTES, LinkCipher, Suite};

/// Pure Rust primitives.
pub enum Portable {}

/// AES-128-GCM from the `aes-gcm` crate.
pub struct PortableLinkCipher(Aes128Gcm);

/// A decapsulation key from the `ml-kem` crate, which clears itself.
pub struct KemSecret(DecapsulationKey<MlKem768>);

impl LinkCipher for PortableLinkCipher {
    fn new(key: &[u8; 16]) -> Self {
        Self(Aes128Gcm::new(&Array::from(*key)))
    }

    fn seal(&self, nonce: &[u8; 12], header: &[u8], body: &mut [u8]) -> [u8; 16] {
        self.0
            .encrypt_inout_detached(&Array::from(*nonce), header, body.into())
            .expect("a datagram is far below the longest message of GCM")
            .into()
    }

    fn open(&self, nonce: &[u8; 12], header: &[u8], body: &mut [u8], tag: &[u8; 16]) -> Result<(), Forged> {
        self.0
            .decrypt_inout_detached(&Array::from(*nonce), header, body.into(), &Array::from(*tag))
            .map_err(|_| Forged)
    }
}

impl Suite for Portable {
    type LinkCipher = PortableLinkCipher;
    type LayerCipher = Uiv<PortableLinkCipher>;
    type KemSecret = KemSecret;

    fn hash(parts: &[&[u8]]) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part);
        }
        hash.finalize().into()
    }

    fn derive(secret: &[u8], salt: &[u8], info: &[u8], out: &mut [u8]) {
        Hkdf::<Sha256>::new(Some(salt), secret).expand(info, out).expect("at most 255 blocks are asked for");
    }

    fn dh_public(secret: &[u8; 32]) -> [u8; 32] {
        x25519_dalek::x25519(*secret, x25519_dalek::X25519_BASEPOINT_BYTES)
    }

    fn dh(secret: &[u8; 32], public: &[u8; 32]) -> Result<Zeroizing<[u8; 32]>, Forged> {
        let shared = Zeroizing::new(x25519_dalek::x25519(*secret, *public));
        let zero: bool = subtle::ConstantTimeEq::ct_eq(&shared[..], &[0u8; 32][..]).into();
        if zero { Err(Forged) } else { Ok(shared) }
    }

    fn kem_generate(seed: &[u8; 64]) -> (KemSecret, [u8; KEM_OFFER_BYTES]) {
        let secret = DecapsulationKey::<MlKem768>::from_seed((*seed).into());
        let offer = secret.encapsulation_key().to_bytes().into();
        (KemSecret(secret), offer)
    }

    fn kem_encapsulate(
        offer: &[u8; KEM_OFFER_BYTES],
        seed: &[u8; 32],
    ) -> Result<([u8; KEM_ANSWER_BYTES], Zeroizing<[u8; 32]>), Forged> {
        let key = EncapsulationKey::<MlKem768>::new(&(*offer).into()).map_err(|_| Forged)?;
        let (answer, mut shared) = key.encapsulate_deterministic(&(*seed).into());
        let kept = Zeroizing::new(shared.into());
        shared.as_mut_slice().zeroize();
        Ok((answer.into(), kept))
    }

    fn kem_decapsulate(secret: &KemSecret, answer: &[u8; KEM_ANSWER_BYTES]) -> Zeroizing<[u8; 32]> {
        let mut shared = secret.0.decapsulate(&(*answer).into());
        let kept = Zeroizing::new(shared.into());
        shared.as_mut_slice().zeroize();
        kept
    }

    fn sign_public(secret: &[u8; 32]) -> [u8; 32] {
        SigningKey::from_bytes(secret).verifying_key().to_bytes()
    }

    fn sign(secret: &[u8; 32], message: &[u8]) -> [u8; 64] {
        SigningKey::from_bytes(secret).sign(message).to_bytes()
    }

    fn verify(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> Result<(), Forged> {
        VerifyingKey::from_bytes(public)
            .and_then(|key| key.verify_strict(message, &Signature::from_bytes(signature)))
            .map_err(|_| Forged)
    }
}
