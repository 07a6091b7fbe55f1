//! One hybrid handshake, for links and for circuits.
//!
//! X25519 twice (ephemeral with ephemeral, ephemeral with the responder's static key) and ML-KEM-768, all three
//! secrets and the whole transcript into HKDF. The shape is ntor's (Goldberg, Stebila, Ustaoglu 2011) with a
//! KEM beside it, as in Tor's proposal 332: the responder is authenticated by its static key, the initiator
//! is anonymous, and a recorded session stays closed unless X25519 *and* ML-KEM fall.

use alloc::boxed::Box;
use core::marker::PhantomData;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::suite::{Forged, KEM_ANSWER_BYTES, KEM_OFFER_BYTES, Suite};
use crate::rng::Rng;

/// First message, bytes: an X25519 key and an ML-KEM-768 encapsulation key.
pub const OFFER_BYTES: usize = 32 + KEM_OFFER_BYTES;
/// Second message, bytes: an X25519 key, an ML-KEM-768 ciphertext, and a tag over the transcript.
pub const ANSWER_BYTES: usize = 32 + KEM_ANSWER_BYTES + 32;

/// What the keys will be for; a transcript for one purpose means nothing for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUse {
    /// A link, between these two session identifiers.
    Link {
        /// The initiator's.
        initiator: u32,
        /// The responder's.
        responder: u32,
    },
    /// A layer of a circuit.
    Circuit,
}

impl KeyUse {
    fn context(self) -> [u8; 9] {
        let mut context = [0; 9];
        match self {
            Self::Link { initiator, responder } => {
                context[0] = 1;
                context[1..5].copy_from_slice(&initiator.to_le_bytes());
                context[5..].copy_from_slice(&responder.to_le_bytes());
            }
            Self::Circuit => context[0] = 2,
        }
        context
    }
}

/// What both ends share after a handshake; keys are drawn from it by name.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SessionSecret([u8; 32]);

impl SessionSecret {
    /// Bytes for the named use.
    pub fn expand<S: Suite>(&self, name: &[u8], out: &mut [u8]) {
        S::derive(&self.0, b"throng session", name, out);
    }
}

/// The initiator's state between offer and answer.
pub struct Initiation<S: Suite> {
    dh: [u8; 32],
    kem: S::KemSecret,
    offer: Box<[u8; OFFER_BYTES]>,
    suite: PhantomData<S>,
}

impl<S: Suite> Initiation<S> {
    /// Draws ephemeral secrets.
    pub fn new(rng: &mut Rng) -> Self {
        let dh = rng.bytes::<32>();
        let seed = Zeroizing::new(rng.bytes::<64>());
        rng.forget();
        let (kem, kem_offer) = S::kem_generate(&seed);
        let mut offer = Box::new([0; OFFER_BYTES]);
        offer[..32].copy_from_slice(&S::dh_public(&dh));
        offer[32..].copy_from_slice(&kem_offer);
        Self { dh, kem, offer, suite: PhantomData }
    }

    /// The first message; the same on every retry.
    pub fn offer(&self) -> &[u8; OFFER_BYTES] {
        &self.offer
    }

    /// Checks the second message of the responder with this identity and static key.
    ///
    /// # Errors
    /// [`Forged`] if it does not come from there, or belongs to another offer or purpose.
    pub fn finish(
        &self,
        purpose: KeyUse,
        identity: &[u8; 32],
        static_public: &[u8; 32],
        answer: &[u8; ANSWER_BYTES],
    ) -> Result<SessionSecret, Forged> {
        let (their_dh, rest) = answer.split_first_chunk::<32>().expect("fixed length");
        let (kem_answer, tag) = rest.split_first_chunk::<KEM_ANSWER_BYTES>().expect("fixed length");
        let mut secrets = Zeroizing::new([0u8; 96]);
        secrets[..32].copy_from_slice(&S::dh(&self.dh, their_dh)?);
        secrets[32..64].copy_from_slice(&S::dh(&self.dh, static_public)?);
        secrets[64..].copy_from_slice(&S::kem_decapsulate(&self.kem, kem_answer));
        let (session, expected) =
            conclude::<S>(purpose, identity, static_public, &self.offer, their_dh, kem_answer, &secrets);
        if bool::from(expected.ct_eq(tag)) { Ok(session) } else { Err(Forged) }
    }
}

impl<S: Suite> Drop for Initiation<S> {
    fn drop(&mut self) {
        self.dh.zeroize();
    }
}

/// The responder's whole part: from an offer to the answer and the shared secret.
///
/// # Errors
/// [`Forged`] if the offer holds a key of small order or no encapsulation key.
pub fn answer<S: Suite>(
    purpose: KeyUse,
    identity: &[u8; 32],
    static_secret: &[u8; 32],
    static_public: &[u8; 32],
    offer: &[u8; OFFER_BYTES],
    rng: &mut Rng,
) -> Result<(SessionSecret, Box<[u8; ANSWER_BYTES]>), Forged> {
    let (their_dh, kem_offer) = offer.split_first_chunk::<32>().expect("fixed length");
    let kem_offer = kem_offer.try_into().expect("fixed length");
    let dh = Zeroizing::new(rng.bytes::<32>());
    let seed = Zeroizing::new(rng.bytes::<32>());
    rng.forget();
    let (kem_answer, kem_shared) = S::kem_encapsulate(kem_offer, &seed)?;
    let dh_public = S::dh_public(&dh);
    let kem_shared = Zeroizing::new(kem_shared);
    let mut secrets = Zeroizing::new([0u8; 96]);
    secrets[..32].copy_from_slice(&S::dh(&dh, their_dh)?);
    secrets[32..64].copy_from_slice(&S::dh(static_secret, their_dh)?);
    secrets[64..].copy_from_slice(&kem_shared[..]);
    let (session, tag) =
        conclude::<S>(purpose, identity, static_public, offer, &dh_public, &kem_answer, &secrets);
    let mut answer = Box::new([0; ANSWER_BYTES]);
    answer[..32].copy_from_slice(&dh_public);
    answer[32..32 + KEM_ANSWER_BYTES].copy_from_slice(&kem_answer);
    answer[32 + KEM_ANSWER_BYTES..].copy_from_slice(&tag);
    Ok((session, answer))
}

/// Secrets and transcript become the session's secret and the answer's tag.
fn conclude<S: Suite>(
    purpose: KeyUse,
    identity: &[u8; 32],
    static_public: &[u8; 32],
    offer: &[u8; OFFER_BYTES],
    dh_public: &[u8; 32],
    kem_answer: &[u8; KEM_ANSWER_BYTES],
    secrets: &[u8; 96],
) -> (SessionSecret, [u8; 32]) {
    let transcript = S::hash(&[
        b"throng handshake 1: x25519 ml-kem-768 sha-256",
        &purpose.context(),
        identity,
        static_public,
        offer,
        dh_public,
        kem_answer,
    ]);
    let mut out = Zeroizing::new([0u8; 64]);
    S::derive(secrets, &transcript, b"session and tag", &mut out[..]);
    let (session, tag) = out.split_first_chunk::<32>().expect("64 bytes");
    (SessionSecret(*session), tag.try_into().expect("64 bytes"))
}
