//! What a strategy is: its text, its law, and itself at work. One file each.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::departure::Source;
use crate::rng::Rng;
use crate::time::Time;

/// A held cell, as its strategy sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticket(pub(crate) u32);

impl Ticket {
    /// Stands for no cell: whoever redeems it sends a filler.
    pub(crate) const DUMMY: Self = Self(u32::MAX);
}

/// The data of a strategy. It says in closed form what the strategy does: its delay, and how little an observer knows of
/// which cell is which, for Poisson arrivals and an observer who sees all arrivals and departures of the mix (Serjantov and
/// Danezis 2002). Tests hold the laws against draws.
pub(crate) trait Strategy: Copy {
    /// The word that its text begins with.
    const NAME: &'static str;
    /// A text of it and what may stand there, for whoever wrote something else.
    const EXAMPLE: &'static str;

    /// Reads what stands behind the name, up to the end or not; nothing if it means nothing.
    fn read(values: &mut dyn Iterator<Item = &str>) -> Option<Self>;
    /// Writes what stands behind the name, with `=` before it if it is anything.
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// See [`Mixing::long_delay`](super::Mixing::long_delay).
    fn long_delay(&self) -> Duration;
    /// See [`Mixing::mean_delay`](super::Mixing::mean_delay).
    fn mean_delay(&self, rate: f64) -> Duration;
    /// See [`Mixing::left_within`](super::Mixing::left_within).
    fn left_within(&self, delay: Duration) -> Option<f64>;
    /// See [`Mixing::entropy_bits`](super::Mixing::entropy_bits).
    fn entropy_bits(&self, rate: f64) -> f64;

    /// Begins to work.
    fn begin(&self, now: Time) -> Box<dyn AtWork>;
}

/// A strategy at work.
pub(crate) trait AtWork: Send {
    /// Takes a ticket in. `circuits` is how many pass the mix now.
    fn admit(&mut self, ticket: Ticket, source: Source, circuits: usize, now: Time, rng: &mut Rng);
    /// Moves the tickets whose time has come to `out`, in any order.
    fn release(&mut self, now: Time, rng: &mut Rng, out: &mut Vec<Ticket>);
    /// When [`release`](Self::release) has something to do.
    fn wake(&self) -> Time;
    /// How many tickets are here.
    fn len(&self) -> usize;
    /// All of them: another strategy is in force.
    fn into_tickets(self: Box<Self>) -> Vec<Ticket>;
}

/// A delay that is uniform over a span: the probability that it is over.
pub(crate) fn share(delay: Duration, whole: Duration) -> f64 {
    (delay.as_secs_f64() / whole.as_secs_f64()).min(1.0)
}

/// The mean of log2(1 + N), for the Poisson many others of a cell's batch.
pub(crate) fn entropy_of_a_batch(mean: f64) -> f64 {
    let mut probability = libm::exp(-mean);
    if probability == 0.0 {
        return libm::log2(1.0 + mean); // so many that their number hardly varies
    }
    let mut sum = 0.0;
    for others in 1..(mean * 10.0 + 100.0) as u32 {
        probability *= mean / f64::from(others);
        sum += probability * libm::log2(1.0 + f64::from(others));
    }
    sum
}
