//! Rounds in which every circuit has a turn.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use super::interval::{Interval, end_of_interval};
use super::strategy::{AtWork, Ticket};
use crate::departure::Source;
use crate::rng::Rng;
use crate::time::Time;

/// Rounds of a cascade: the round ends when every circuit has delivered a cell, or when its time is over; each then
/// sends one, in random order. Directions have rounds of their own. Its law is that of rounds that end by their time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slices {
    /// How long a round may last. A cell waits for half of it on average where not everybody delivers.
    pub every: Duration,
}

impl Interval for Slices {
    const NAME: &'static str = "slices";
    const EXAMPLE: &'static str = "slices=50ms (to 100ms)";

    fn of(every: Duration) -> Self {
        Self { every }
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn begin(&self, now: Time) -> Box<dyn AtWork> {
        let (forward, backward) = (Slice::default(), Slice::default());
        Box::new(Rounds { every: self.every, end: now, forward, backward, others: Vec::new() })
    }
}

struct Rounds {
    every: Duration,
    /// End of the running round.
    end: Time,
    forward: Slice,
    backward: Slice,
    /// Messages between neighbours belong to no circuit.
    others: Vec<Ticket>,
}

#[derive(Default)]
struct Slice {
    turns: BTreeMap<u64, VecDeque<Ticket>>,
    circuits: usize,
}

impl Slice {
    fn is_complete(&self) -> bool {
        !self.turns.is_empty() && self.turns.len() >= self.circuits
    }

    fn take_turns(&mut self, out: &mut Vec<Ticket>) {
        out.extend(self.turns.values_mut().filter_map(VecDeque::pop_front));
        self.turns.retain(|_, tickets| !tickets.is_empty());
    }

    fn len(&self) -> usize {
        self.turns.values().map(VecDeque::len).sum()
    }
}

impl AtWork for Rounds {
    fn admit(&mut self, ticket: Ticket, source: Source, circuits: usize, now: Time, _: &mut Rng) {
        if self.len() == 0 && self.end <= now {
            self.end = end_of_interval(self.end, self.every, now);
        }
        (self.forward.circuits, self.backward.circuits) = (circuits, circuits);
        match source {
            Source::Link => self.others.push(ticket),
            Source::Circuit { number, is_backward } => {
                let round = if is_backward { &mut self.backward } else { &mut self.forward };
                round.turns.entry(number).or_default().push_back(ticket);
            }
        }
    }

    fn release(&mut self, now: Time, _: &mut Rng, out: &mut Vec<Ticket>) {
        let is_over = self.end <= now;
        for round in [&mut self.forward, &mut self.backward] {
            if is_over || round.is_complete() {
                round.take_turns(out);
            }
        }
        if is_over {
            out.append(&mut self.others);
            self.end = end_of_interval(self.end, self.every, now);
        }
    }

    fn wake(&self) -> Time {
        match self.len() {
            0 => Time::NEVER,
            _ if self.forward.is_complete() || self.backward.is_complete() => Time::ZERO,
            _ => self.end,
        }
    }

    fn len(&self) -> usize {
        self.forward.len() + self.backward.len() + self.others.len()
    }

    fn into_tickets(self: Box<Self>) -> Vec<Ticket> {
        let rounds = [self.forward, self.backward].into_iter();
        rounds.flat_map(|round| round.turns.into_values().flatten()).chain(self.others).collect()
    }
}
