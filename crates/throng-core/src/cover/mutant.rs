//! Faults that a test plants to see that it would find them. Without `--cfg mutants` there are none, and no way to plant
//! one.

/// A fault of a cover scheme that leaks the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mutant {
    /// A long queue gets a second cell in a slot.
    SecondCell = 1,
    /// Dummies are drawn from the stream of the slots.
    DummyFromSlots = 2,
    /// Slots are counted from "now" instead of from the last one.
    CountedFromNow = 3,
    /// What goes into a slot is decided when it is there, and leaves when that is done.
    DecidedLate = 4,
}

#[cfg(mutants)]
static PLANTED: core::sync::atomic::AtomicU8 = core::sync::atomic::AtomicU8::new(0);

/// Plants a fault in everything that runs in this process, or takes it out.
#[cfg(mutants)]
pub fn plant(mutant: Option<Mutant>) {
    PLANTED.store(mutant.map_or(0, |mutant| mutant as u8), core::sync::atomic::Ordering::SeqCst);
}

/// Whether a fault is planted.
#[cfg(mutants)]
pub(crate) fn has(mutant: Mutant) -> bool {
    PLANTED.load(core::sync::atomic::Ordering::SeqCst) == mutant as u8
}

/// Whether a fault is planted: never.
#[cfg(not(mutants))]
pub(crate) const fn has(_: Mutant) -> bool {
    false
}
