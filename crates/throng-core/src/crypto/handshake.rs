//! One hybrid handshake, for links and for circuits.
//!
//! X25519 and ML-KEM-768, both with keys of this handshake only; both secrets and the whole transcript go into HKDF. Out come
//! the session's secret and a value that nobody else has, which the responder signs with its identity: SIGMA's shape (Krawczyk
//! 2003), or TLS 1.3's, in one round trip. The initiator is anonymous, and a recorded session stays closed unless X25519 *and*
//! ML-KEM fall.
//!
//! A node has no other long-lived secret than its identity, and that opens nothing: whoever seizes it can act as the node from
//! then on, and read no session of the past or of others. The signature shows nothing to those who do not have the secrets, since
//! they cannot tell what was signed.

use alloc::boxed::Box;
use core::marker::PhantomData;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::suite::{Forged, KEM_ANSWER_BYTES, KEM_OFFER_BYTES, Suite};
use crate::rng::Rng;

/// First message, bytes: an X25519 key and an ML-KEM-768 encapsulation key.
pub const OFFER_BYTES: usize = 32 + KEM_OFFER_BYTES;
/// Second message, bytes: an X25519 key, an ML-KEM-768 ciphertext, and a signature.
pub const ANSWER_BYTES: usize = 32 + KEM_ANSWER_BYTES + SIGNATURE_BYTES;

const SIGNATURE_BYTES: usize = 64;
const SIGNATURE_CONTEXT: &[u8] = b"throng handshake 2\0";

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

    /// Checks the second message of the responder with this identity.
    ///
    /// # Errors
    /// [`Forged`] if it does not come from there, or belongs to another offer or purpose.
    pub fn finish(
        &self,
        purpose: KeyUse,
        identity: &[u8; 32],
        answer: &[u8; ANSWER_BYTES],
    ) -> Result<SessionSecret, Forged> {
        let (their_dh, rest) = answer.split_first_chunk::<32>().expect("fixed length");
        let (kem_answer, signature) = rest.split_first_chunk::<KEM_ANSWER_BYTES>().expect("fixed length");
        let shared = [S::dh(&self.dh, their_dh)?, S::kem_decapsulate(&self.kem, kem_answer)];
        let (session, proof) = conclude::<S>(purpose, identity, &self.offer, their_dh, kem_answer, &shared);
        S::verify(identity, &to_sign(&proof)[..], signature.try_into().expect("fixed length"))?;
        Ok(session)
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
    identity_secret: &[u8; 32],
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
    let shared = [S::dh(&dh, their_dh)?, kem_shared];
    let (session, proof) = conclude::<S>(purpose, identity, offer, &dh_public, &kem_answer, &shared);
    let mut answer = Box::new([0; ANSWER_BYTES]);
    answer[..32].copy_from_slice(&dh_public);
    answer[32..32 + KEM_ANSWER_BYTES].copy_from_slice(&kem_answer);
    answer[32 + KEM_ANSWER_BYTES..].copy_from_slice(&S::sign(identity_secret, &to_sign(&proof)[..]));
    Ok((session, answer))
}

/// Secrets and transcript become the session's secret and what the responder signs.
fn conclude<S: Suite>(
    purpose: KeyUse,
    identity: &[u8; 32],
    offer: &[u8; OFFER_BYTES],
    dh_public: &[u8; 32],
    kem_answer: &[u8; KEM_ANSWER_BYTES],
    [dh_shared, kem_shared]: &[Zeroizing<[u8; 32]>; 2],
) -> (SessionSecret, Zeroizing<[u8; 32]>) {
    let transcript = S::hash(&[
        b"throng handshake 2: x25519 ml-kem-768 ed25519 sha-256",
        &purpose.context(),
        identity,
        offer,
        dh_public,
        kem_answer,
    ]);
    let mut secrets = Zeroizing::new([0; 64]);
    secrets[..32].copy_from_slice(&dh_shared[..]);
    secrets[32..].copy_from_slice(&kem_shared[..]);
    let mut session = SessionSecret([0; 32]);
    let mut proof = Zeroizing::new([0; 32]);
    S::derive(&secrets[..], &transcript, b"session", &mut session.0);
    S::derive(&secrets[..], &transcript, b"proof", &mut proof[..]);
    (session, proof)
}

fn to_sign(proof: &[u8; 32]) -> Zeroizing<[u8; SIGNATURE_CONTEXT.len() + 32]> {
    let mut bytes = Zeroizing::new([0; SIGNATURE_CONTEXT.len() + 32]);
    bytes[..SIGNATURE_CONTEXT.len()].copy_from_slice(SIGNATURE_CONTEXT);
    bytes[SIGNATURE_CONTEXT.len()..].copy_from_slice(proof);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Portable;
    use crate::rng::{Purpose, Seed};

    const SECRET: [u8; 32] = [7; 32];

    fn identity() -> [u8; 32] {
        Portable::sign_public(&SECRET)
    }

    fn exchange(number: u64) -> (Initiation<Portable>, SessionSecret, Box<[u8; ANSWER_BYTES]>) {
        let mut rng = Seed::from_bytes([1; 32]).rng(Purpose::Keys, number);
        let initiation = Initiation::new(&mut rng);
        let (secret, answer) =
            answer::<Portable>(KeyUse::Circuit, &identity(), &SECRET, initiation.offer(), &mut rng).unwrap();
        (initiation, secret, answer)
    }

    #[test]
    fn both_ends_have_one_secret_and_no_other_handshake_has_it() {
        let (initiation, theirs, answer) = exchange(0);
        let ours = initiation.finish(KeyUse::Circuit, &identity(), &answer).unwrap();
        assert_eq!(ours.0, theirs.0);
        assert_ne!(exchange(1).1.0, theirs.0);
    }

    #[test]
    fn an_answer_with_any_bit_changed_is_refused() {
        let (initiation, _, answer) = exchange(0);
        for byte in 0..ANSWER_BYTES {
            let mut forged = answer.clone();
            forged[byte] ^= 1 << (byte % 8);
            let outcome = initiation.finish(KeyUse::Circuit, &identity(), &forged);
            // X25519 does not look at the highest bit of a key (RFC 7748, section 5), but the transcript has it.
            assert!(outcome.is_err(), "byte {byte}");
        }
    }

    #[test]
    fn an_answer_is_good_for_its_own_offer_identity_and_use_alone() {
        let (initiation, _, answer) = exchange(0);
        let (_, _, of_another) = exchange(1);
        assert!(initiation.finish(KeyUse::Circuit, &identity(), &of_another).is_err());
        assert!(initiation.finish(KeyUse::Circuit, &Portable::sign_public(&[8; 32]), &answer).is_err());
        let link = KeyUse::Link { initiator: 1, responder: 2 };
        assert!(initiation.finish(link, &identity(), &answer).is_err());
    }

    #[test]
    fn who_does_not_have_the_identity_cannot_answer_for_it() {
        let mut rng = Seed::from_bytes([2; 32]).rng(Purpose::Keys, 0);
        let initiation = Initiation::<Portable>::new(&mut rng);
        let (_, answer) =
            answer::<Portable>(KeyUse::Circuit, &identity(), &[8; 32], initiation.offer(), &mut rng).unwrap();
        assert!(initiation.finish(KeyUse::Circuit, &identity(), &answer).is_err());
    }

    /// An observer has offer and answer, and may suspect whose they are; a signature over those alone would confirm it.
    #[test]
    fn what_is_signed_is_not_on_the_wire() {
        let (initiation, _, answer) = exchange(0);
        let signature = answer[32 + KEM_ANSWER_BYTES..].try_into().unwrap();
        let transcript = Portable::hash(&[
            b"throng handshake 2: x25519 ml-kem-768 ed25519 sha-256",
            &KeyUse::Circuit.context(),
            &identity(),
            initiation.offer(),
            &answer[..32],
            &answer[32..32 + KEM_ANSWER_BYTES],
        ]);
        assert!(Portable::verify(&identity(), &to_sign(&transcript)[..], signature).is_err());
    }
}
