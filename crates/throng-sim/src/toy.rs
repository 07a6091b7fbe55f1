//! A toy suite: the shape of cryptography without its price, and without any of its strength.
//!
//! It keeps what the protocol's behaviour depends on: two ends of a handshake agree and others do not, a layer of a
//! circuit that is not taken off leaves noise, a changed header or front of a datagram is refused. It hides nothing: a
//! datagram's payload lies open behind its headers ([`payload_of`]), which is how the simulator, and only it, knows the
//! truth about a datagram. Nothing but the simulator can reach it: it is not in `throng-core`.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use throng_core::crypto::{
    Forged, KEM_ANSWER_BYTES, KEM_OFFER_BYTES, LayerCipher, LinkCipher, Suite, Zeroizing,
};
use throng_core::wire::cell::CELL_HEADER_BYTES;
use throng_core::wire::datagram::LINK_HEADER_BYTES;
use throng_core::wire::message::{MESSAGE_AUTH_BYTES, MESSAGE_HEADER_BYTES};

/// The toy suite.
pub enum Toy {}

/// A toy link key: a tag over header and front, and nothing encrypted.
pub struct ToyLinkCipher(u128);

/// A toy layer: it changes the first 16 bytes only.
pub struct ToyLayerCipher(u128);

/// Where a circuit's payload begins in a datagram of the toy suite, bytes.
const PAYLOAD_AT: usize = LINK_HEADER_BYTES + CELL_HEADER_BYTES + MESSAGE_AUTH_BYTES + MESSAGE_HEADER_BYTES;

/// What lies in a toy datagram where a circuit's payload would lie. Whether it is one, its own marks must say.
pub fn payload_of(datagram: &[u8]) -> &[u8] {
    datagram.get(PAYLOAD_AT..).unwrap_or_default()
}

/// A key that was used twice with one nonce: what must never happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// A link sealed two datagrams under one key and nonce.
    Link,
    /// A hop laid one layer twice under one number.
    Layer,
}

thread_local! {
    /// Whether somebody watches: asked for every cell, so it has to be cheap.
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    /// Pairs of key and nonce that were used on this thread since [`watch`] began; none are kept outside of it.
    static USED: RefCell<Option<NoncesUsed>> = const { RefCell::new(None) };
}

#[derive(Default)]
struct NoncesUsed {
    pairs: BTreeSet<u128>,
    reuse: Vec<Reuse>,
}

/// Runs something, and says which pairs of key and nonce of the toy suite were used twice meanwhile.
///
/// Every use is remembered (32 bytes and more each): for small worlds.
pub fn watch<T>(run: impl FnOnce() -> T) -> (T, Vec<Reuse>) {
    USED.with_borrow_mut(|used| *used = Some(NoncesUsed::default()));
    WATCHED.set(true);
    let outcome = run();
    WATCHED.set(false);
    let used = USED.with_borrow_mut(Option::take).unwrap_or_default();
    (outcome, used.reuse)
}

fn note(pair: impl FnOnce() -> u128, kind: Reuse) {
    if !WATCHED.get() {
        return;
    }
    USED.with_borrow_mut(|used| {
        if let Some(used) = used
            && !used.pairs.insert(pair())
        {
            used.reuse.push(kind);
        }
    });
}

impl LinkCipher for ToyLinkCipher {
    fn new(key: &[u8; 16]) -> Self {
        Self(u128::from_le_bytes(*key))
    }

    fn seal(&self, nonce: &[u8; 12], header: &[u8], body: &mut [u8]) -> [u8; 16] {
        note(|| blend(self.0 ^ LINK, widen(nonce)), Reuse::Link);
        tag(self.0, nonce, header, body)
    }

    fn open(
        &self,
        nonce: &[u8; 12],
        header: &[u8],
        body: &mut [u8],
        expected: &[u8; 16],
    ) -> Result<(), Forged> {
        if tag(self.0, nonce, header, body) == *expected { Ok(()) } else { Err(Forged) }
    }
}

impl LayerCipher for ToyLayerCipher {
    fn new(key: &[u8; 16]) -> Self {
        Self(u128::from_le_bytes(*key))
    }

    fn encipher(&self, tweak: &[u8; 16], body: &mut [u8]) {
        let pad = mix(self.0, u128::from_le_bytes(*tweak));
        note(|| pad, Reuse::Layer);
        pad_front(pad, body);
    }

    fn decipher(&self, tweak: &[u8; 16], body: &mut [u8]) {
        pad_front(mix(self.0, u128::from_le_bytes(*tweak)), body);
    }
}

impl Suite for Toy {
    type LinkCipher = ToyLinkCipher;
    type LayerCipher = ToyLayerCipher;
    type KemSecret = [u8; 32];

    fn hash(parts: &[&[u8]]) -> [u8; 32] {
        let (mut a, mut b) = (LINK, FILL);
        for part in parts {
            for chunk in part.chunks(16) {
                a = blend(a, widen(chunk));
                b = blend(b ^ a, FILL);
            }
            a = blend(a, part.len() as u128);
        }
        join(blend(a, b), blend(b, a ^ FILL))
    }

    fn derive(secret: &[u8], salt: &[u8], info: &[u8], out: &mut [u8]) {
        for (i, chunk) in out.chunks_mut(32).enumerate() {
            let block = Self::hash(&[secret, salt, info, &(i as u64).to_le_bytes()]);
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }

    fn dh_public(secret: &[u8; 32]) -> [u8; 32] {
        multiply(secret, &join(LINK | 1, FILL | 1))
    }

    fn dh(secret: &[u8; 32], public: &[u8; 32]) -> Result<Zeroizing<[u8; 32]>, Forged> {
        Ok(Zeroizing::new(multiply(secret, public)))
    }

    fn kem_generate(seed: &[u8; 64]) -> ([u8; 32], [u8; KEM_OFFER_BYTES]) {
        let secret = Self::hash(&[seed]);
        let mut offer = [0; KEM_OFFER_BYTES];
        offer[..32].copy_from_slice(&Self::hash(&[&secret]));
        (secret, offer)
    }

    fn kem_encapsulate(
        offer: &[u8; KEM_OFFER_BYTES],
        seed: &[u8; 32],
    ) -> Result<([u8; KEM_ANSWER_BYTES], Zeroizing<[u8; 32]>), Forged> {
        let mut answer = [0; KEM_ANSWER_BYTES];
        answer[..32].copy_from_slice(seed);
        Ok((answer, Zeroizing::new(Self::hash(&[&offer[..32], seed]))))
    }

    fn kem_decapsulate(secret: &[u8; 32], answer: &[u8; KEM_ANSWER_BYTES]) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(Self::hash(&[&Self::hash(&[secret]), &answer[..32]]))
    }

    fn sign_public(secret: &[u8; 32]) -> [u8; 32] {
        Self::hash(&[b"toy identity", secret])
    }

    fn sign(secret: &[u8; 32], message: &[u8]) -> [u8; 64] {
        signature(&Self::sign_public(secret), message)
    }

    fn verify(public: &[u8; 32], message: &[u8], given: &[u8; 64]) -> Result<(), Forged> {
        if signature(public, message) == *given { Ok(()) } else { Err(Forged) }
    }
}

fn tag(key: u128, nonce: &[u8; 12], header: &[u8], body: &[u8]) -> [u8; 16] {
    let front = widen(body);
    let second = widen(body.get(16..).unwrap_or_default());
    let covered = front ^ second.rotate_left(80) ^ body.len() as u128;
    // Headers are as long as nonces where speed matters; any length will do.
    let header = header.first_chunk().map_or_else(|| widen(header), twelve);
    mix(key ^ covered, twelve(nonce) ^ header.rotate_left(32)).to_le_bytes()
}

fn twelve(bytes: &[u8; 12]) -> u128 {
    let (low, high) = bytes.split_first_chunk::<8>().expect("12 bytes");
    let high = high.first_chunk().map_or(0, |high| u32::from_le_bytes(*high));
    u128::from(u64::from_le_bytes(*low)) | u128::from(high) << 64
}

fn pad_front(pad: u128, body: &mut [u8]) {
    if let Some(front) = body.first_chunk_mut() {
        *front = (u128::from_le_bytes(*front) ^ pad).to_le_bytes();
    }
}

fn signature(public: &[u8; 32], message: &[u8]) -> [u8; 64] {
    let half = Toy::hash(&[public, message]);
    std::array::from_fn(|i| half[i % 32])
}

/// A Diffie-Hellman of a child: multiplication commutes.
fn multiply(a: &[u8; 32], b: &[u8; 32]) -> [u8; 32] {
    let half = |bytes: &[u8; 32], at: usize| u128::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
    let product = |at: usize| half(a, at).wrapping_mul(half(b, at));
    join(product(0), product(16))
}

fn join(a: u128, b: u128) -> [u8; 32] {
    let (a, b) = (a.to_le_bytes(), b.to_le_bytes());
    std::array::from_fn(|i| if i < 16 { a[i] } else { b[i - 16] })
}

/// The first 16 bytes; zeros behind them if there are fewer.
fn widen(bytes: &[u8]) -> u128 {
    if let Some(wide) = bytes.first_chunk() {
        return u128::from_le_bytes(*wide);
    }
    let mut wide = [0; 16];
    wide[..bytes.len()].copy_from_slice(bytes);
    u128::from_le_bytes(wide)
}

/// Every bit of both goes into every bit of the outcome, often enough for play.
fn blend(a: u128, b: u128) -> u128 {
    let x = (a ^ (b >> 64) ^ (b << 64)).wrapping_mul(FILL | 1);
    let y = (b ^ (x >> 67)).wrapping_mul(LINK | 1);
    let z = (x ^ y ^ (y >> 61)).wrapping_mul(FILL | 1);
    z ^ (z >> 71)
}

/// As [`blend`], at a third of its price: for what every cell needs several times.
fn mix(a: u128, b: u128) -> u128 {
    let fold = |x: u64, y: u64| {
        let wide = u128::from(x ^ LINK as u64) * u128::from(y ^ FILL as u64);
        wide as u64 ^ (wide >> 64) as u64
    };
    let first = fold(a as u64 ^ (b >> 64) as u64, (a >> 64) as u64 ^ b as u64);
    let second = fold(first ^ a as u64, (b as u64).rotate_left(32) ^ (a >> 64) as u64 ^ (b >> 64) as u64);
    u128::from(first ^ second.rotate_left(17)) | u128::from(second) << 64
}

const LINK: u128 = 0xa076_1d64_78bd_642f_e703_7ed1_a0b4_28db;
const FILL: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ends_agree_and_a_third_does_not() {
        let secrets = [[3u8; 32], [4; 32], [5; 32]];
        let public = secrets.map(|secret| Toy::dh_public(&secret));
        assert_eq!(Toy::dh(&secrets[0], &public[1]).unwrap(), Toy::dh(&secrets[1], &public[0]).unwrap());
        assert_ne!(Toy::dh(&secrets[0], &public[1]).unwrap(), Toy::dh(&secrets[2], &public[1]).unwrap());
        let (secret, offer) = Toy::kem_generate(&[1; 64]);
        let (other, _) = Toy::kem_generate(&[2; 64]);
        let (answer, shared) = Toy::kem_encapsulate(&offer, &[9; 32]).unwrap();
        assert_eq!(Toy::kem_decapsulate(&secret, &answer), shared);
        assert_ne!(Toy::kem_decapsulate(&other, &answer), shared);
        let signed = Toy::sign(&secrets[0], b"yes");
        assert!(Toy::verify(&Toy::sign_public(&secrets[0]), b"yes", &signed).is_ok());
        assert!(Toy::verify(&Toy::sign_public(&secrets[0]), b"no", &signed).is_err());
    }

    #[test]
    fn a_nonce_that_is_used_twice_is_noticed_while_watched() {
        let (link, layer) = (ToyLinkCipher::new(&[1; 16]), ToyLayerCipher::new(&[1; 16]));
        let seal = |nonce: u8| link.seal(&[nonce; 12], b"header", &mut [0; 40]);
        let ((), reuse) = watch(|| {
            seal(1);
            seal(2);
            layer.encipher(&[1; 16], &mut [0; 16]);
            layer.decipher(&[1; 16], &mut [0; 16]);
        });
        assert_eq!(reuse, []);
        let ((), reuse) = watch(|| {
            seal(1);
            ToyLinkCipher::new(&[1; 16]).seal(&[1; 12], b"other", &mut [7; 40]);
            layer.encipher(&[1; 16], &mut [0; 16]);
            layer.encipher(&[1; 16], &mut [0; 16]);
        });
        assert_eq!(reuse, [Reuse::Link, Reuse::Layer]);
    }

    #[test]
    fn a_layer_comes_off_and_a_changed_front_is_refused() {
        let layer = ToyLayerCipher::new(&[7; 16]);
        let mut body = [0u8; 64];
        layer.encipher(&[1; 16], &mut body);
        assert_ne!(body[..16], [0; 16]);
        layer.decipher(&[1; 16], &mut body);
        assert_eq!(body, [0; 64]);
        let link = ToyLinkCipher::new(&[8; 16]);
        let tag = link.seal(&[2; 12], b"h", &mut body);
        assert!(link.open(&[2; 12], b"h", &mut body, &tag).is_ok());
        body[20] ^= 1;
        assert!(link.open(&[2; 12], b"h", &mut body, &tag).is_err());
    }
}
