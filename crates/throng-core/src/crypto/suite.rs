//! The seam between protocol and primitives.

use zeroize::Zeroizing;

/// ML-KEM-768 encapsulation key, bytes (FIPS 203, table 3).
pub const KEM_OFFER_BYTES: usize = 1184;
/// ML-KEM-768 ciphertext, bytes (FIPS 203, table 3).
pub const KEM_ANSWER_BYTES: usize = 1088;

/// A message or signature that was not made by whom it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forged;

/// One direction of a link: authenticated encryption of whole datagrams in place.
pub trait LinkCipher: Sized + Send {
    /// From 16 secret bytes.
    fn new(key: &[u8; 16]) -> Self;
    /// Encrypts `body` in place and returns the tag. A nonce must not be used twice.
    fn seal(&self, nonce: &[u8; 12], header: &[u8], body: &mut [u8]) -> [u8; 16];
    /// Decrypts `body` in place.
    ///
    /// # Errors
    /// [`Forged`] if tag, header and body do not belong together; `body` is then garbage.
    fn open(&self, nonce: &[u8; 12], header: &[u8], body: &mut [u8], tag: &[u8; 16]) -> Result<(), Forged>;
}

/// One layer of a circuit in one direction: a length-preserving permutation of whole cells.
///
/// Whoever changes any bit of `body` or `tweak` before it is *enciphered* changes every bit of the outcome with
/// probability one half; before it is *deciphered*, every bit of the outcome's first 16 bytes at least.
pub trait LayerCipher: Sized + Send {
    /// From 16 secret bytes.
    fn new(key: &[u8; 16]) -> Self;
    /// Applies the permutation in place. `body` has at least 16 bytes.
    fn encipher(&self, tweak: &[u8; 16], body: &mut [u8]);
    /// Undoes [`encipher`](Self::encipher).
    fn decipher(&self, tweak: &[u8; 16], body: &mut [u8]);
}

/// A supplier of primitives. All suppliers but the toy of the simulator speak the same wire language.
pub trait Suite: 'static {
    /// Link encryption (AES-128-GCM).
    type LinkCipher: LinkCipher;
    /// Circuit layers (UIV with AES-128).
    type LayerCipher: LayerCipher;
    /// A secret that opens encapsulations (ML-KEM-768).
    type KemSecret: Send;

    /// SHA-256 of the parts in a row; the caller makes them unambiguous.
    fn hash(parts: &[&[u8]]) -> [u8; 32];
    /// HKDF-SHA-256 (RFC 5869): extract with `salt`, expand with `info`. `out` has at most 8160 bytes.
    fn derive(secret: &[u8], salt: &[u8], info: &[u8], out: &mut [u8]);

    /// X25519 public key of a secret (RFC 7748).
    fn dh_public(secret: &[u8; 32]) -> [u8; 32];
    /// X25519 shared secret.
    ///
    /// # Errors
    /// [`Forged`] if `public` is of small order, so that the outcome would not be secret.
    fn dh(secret: &[u8; 32], public: &[u8; 32]) -> Result<Zeroizing<[u8; 32]>, Forged>;

    /// ML-KEM-768 key pair from 64 random bytes (FIPS 203: d and z).
    fn kem_generate(seed: &[u8; 64]) -> (Self::KemSecret, [u8; KEM_OFFER_BYTES]);
    /// ML-KEM-768 encapsulation with 32 random bytes.
    ///
    /// # Errors
    /// [`Forged`] if `offer` is not an encapsulation key (FIPS 203, modulus check).
    fn kem_encapsulate(
        offer: &[u8; KEM_OFFER_BYTES],
        seed: &[u8; 32],
    ) -> Result<([u8; KEM_ANSWER_BYTES], Zeroizing<[u8; 32]>), Forged>;
    /// ML-KEM-768 decapsulation; a false ciphertext gives a secret that nobody else has.
    fn kem_decapsulate(secret: &Self::KemSecret, answer: &[u8; KEM_ANSWER_BYTES]) -> Zeroizing<[u8; 32]>;

    /// Ed25519 public key of a secret (RFC 8032).
    fn sign_public(secret: &[u8; 32]) -> [u8; 32];
    /// Ed25519 signature.
    fn sign(secret: &[u8; 32], message: &[u8]) -> [u8; 64];
    /// Ed25519 verification, strict: one message, one valid signature.
    ///
    /// # Errors
    /// [`Forged`] if the signature is not `public`'s.
    fn verify(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> Result<(), Forged>;
}
