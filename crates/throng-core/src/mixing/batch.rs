//! Cells that arrive within one interval leave together.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use super::interval::{Interval, end_of_interval};
use super::strategy::{AtWork, Ticket};
use crate::departure::Source;
use crate::rng::Rng;
use crate::time::Time;

/// Cells that arrive within one interval leave together at its end, in random order (a timed mix).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The interval. A cell waits for half of it on average.
    pub every: Duration,
}

impl Interval for Batch {
    const NAME: &'static str = "batch";
    const EXAMPLE: &'static str = "batch=20ms (to 100ms)";

    fn of(every: Duration) -> Self {
        Self { every }
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn begin(&self, now: Time) -> Box<dyn AtWork> {
        Box::new(Collecting { every: self.every, flush: now, tickets: Vec::new() })
    }
}

struct Collecting {
    every: Duration,
    /// End of the running interval.
    flush: Time,
    tickets: Vec<Ticket>,
}

impl AtWork for Collecting {
    fn admit(&mut self, ticket: Ticket, _: Source, _: usize, now: Time, _: &mut Rng) {
        if self.tickets.is_empty() && self.flush <= now {
            self.flush = end_of_interval(self.flush, self.every, now);
        }
        self.tickets.push(ticket);
    }

    fn release(&mut self, now: Time, _: &mut Rng, out: &mut Vec<Ticket>) {
        if self.wake() <= now {
            out.append(&mut self.tickets);
        }
    }

    fn wake(&self) -> Time {
        if self.tickets.is_empty() { Time::NEVER } else { self.flush }
    }

    fn len(&self) -> usize {
        self.tickets.len()
    }

    fn into_tickets(self: Box<Self>) -> Vec<Ticket> {
        self.tickets
    }
}
