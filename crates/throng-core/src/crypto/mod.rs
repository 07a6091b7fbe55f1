//! What the engine asks of cryptography, and one portable supplier of it.
//!
//! Everything here is a function of its arguments: secrets come in as bytes that the caller drew.

mod handshake;
mod layer;
mod portable;
mod suite;

pub use handshake::{ANSWER_BYTES, Initiation, KeyUse, OFFER_BYTES, SessionSecret, answer};
pub use layer::Uiv;
pub use portable::{KemSecret, Portable, PortableLinkCipher};
/// Bytes that are cleared when they go.
pub use zeroize::Zeroizing;

pub use suite::{Forged, KEM_ANSWER_BYTES, KEM_OFFER_BYTES, LayerCipher, LinkCipher, Suite};
