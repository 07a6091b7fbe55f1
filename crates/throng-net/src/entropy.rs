//! The one place that draws entropy.

use throng_core::rng::Seed;
use zeroize::Zeroize;

/// A seed from the operating system.
///
/// # Panics
/// If the operating system has no randomness to give: nothing safe can be done then.
pub fn seed() -> Seed {
    let mut bytes = secret();
    let seed = Seed::from_bytes(bytes);
    bytes.zeroize();
    seed
}

/// 32 random bytes from the operating system.
///
/// # Panics
/// As [`seed`].
#[expect(clippy::disallowed_methods, reason = "this file is where entropy is drawn")]
pub fn secret() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}
