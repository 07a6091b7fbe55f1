//! Cells leave at once.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::strategy::{AtWork, Strategy, Ticket};
use crate::departure::Source;
use crate::rng::Rng;
use crate::time::Time;

/// A cell leaves at once. No protection against anyone who watches both sides of the mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AtOnce;

impl Strategy for AtOnce {
    const NAME: &'static str = "none";
    const EXAMPLE: &'static str = "none";

    fn read(_: &mut dyn Iterator<Item = &str>) -> Option<Self> {
        Some(Self)
    }

    fn write(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }

    fn long_delay(&self) -> Duration {
        Duration::ZERO
    }

    fn mean_delay(&self, _: f64) -> Duration {
        Duration::ZERO
    }

    fn left_within(&self, _: Duration) -> Option<f64> {
        Some(1.0)
    }

    fn entropy_bits(&self, _: f64) -> f64 {
        0.0
    }

    fn begin(&self, _: Time) -> Box<dyn AtWork> {
        Box::new(Leaving(Vec::new()))
    }
}

struct Leaving(Vec<Ticket>);

impl AtWork for Leaving {
    fn admit(&mut self, ticket: Ticket, _: Source, _: usize, _: Time, _: &mut Rng) {
        self.0.push(ticket);
    }

    fn release(&mut self, _: Time, _: &mut Rng, out: &mut Vec<Ticket>) {
        out.append(&mut self.0);
    }

    fn wake(&self) -> Time {
        if self.0.is_empty() { Time::NEVER } else { Time::ZERO }
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn into_tickets(self: Box<Self>) -> Vec<Ticket> {
        self.0
    }
}
