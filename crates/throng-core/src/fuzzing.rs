//! What is private here, for the targets in `fuzz/`: their sources are modules of this crate.

use core::sync::atomic::{AtomicU8, Ordering};

#[path = "../../../fuzz/src/core/admission.rs"]
pub mod admission;
#[path = "../../../fuzz/src/core/choices.rs"]
mod choices;
#[path = "../../../fuzz/src/core/cover.rs"]
pub mod cover;
#[path = "../../../fuzz/src/core/first_hops.rs"]
pub mod first_hops;
#[path = "../../../fuzz/src/core/mixing.rs"]
pub mod mixing;
#[path = "../../../fuzz/src/core/parts.rs"]
pub mod parts;
#[path = "../../../fuzz/src/core/timers.rs"]
pub mod timers;
#[path = "../../../fuzz/src/core/window.rs"]
pub mod window;

pub use choices::Choices;

static PLANTED: AtomicU8 = AtomicU8::new(0);

/// Switches on one of the faults that `cargo xtask fuzz --planted` writes into a copy of the source. Here there are none.
pub fn plant(number: u8) {
    PLANTED.store(number, Ordering::Relaxed);
}

/// Whether this fault is switched on.
pub fn has(number: u8) -> bool {
    PLANTED.load(Ordering::Relaxed) == number
}
