//! A strategy at work.

use alloc::collections::binary_heap::BinaryHeap;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::time::Duration;

use super::{Fire, MinCompany, Mixing, Pool};
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

/// A strategy at work.
pub(crate) struct Mixer {
    mixing: Mixing,
    company: MinCompany,
    running: Running,
    /// Those that had their time and wait for company, and until when.
    alone: Vec<(Time, Ticket)>,
    leaving: Vec<Ticket>,
    /// Cells that had too little company.
    lonely_cells: u64,
}

impl Mixer {
    pub(crate) fn new(mixing: Mixing, company: MinCompany, now: Time) -> Self {
        let running = Running::new(mixing, now);
        Self { mixing, company, running, alone: Vec::new(), leaving: Vec::new(), lonely_cells: 0 }
    }

    /// Works by another strategy from now on. What is held leaves at once.
    pub(crate) fn change(&mut self, mixing: Mixing, company: MinCompany, now: Time) {
        self.company = company;
        if mixing != self.mixing {
            let old = core::mem::replace(&mut self.running, Running::new(mixing, now));
            self.alone.extend(old.into_tickets().map(|ticket| (now, ticket)));
            self.mixing = mixing;
        }
    }

    /// Takes a ticket in. `circuits` is how many pass the mix now.
    pub(crate) fn admit(
        &mut self,
        ticket: Ticket,
        source: Source,
        circuits: usize,
        now: Time,
        rng: &mut Rng,
    ) {
        self.running.admit(ticket, source, circuits, now, rng);
    }

    /// Moves the tickets whose time has come to `out`, in an order that says nothing of their arrival.
    pub(crate) fn release(&mut self, now: Time, rng: &mut Rng, out: &mut Vec<Ticket>) {
        self.running.release(now, rng, &mut self.leaving);
        let missing = self.missing();
        self.lonely_cells += if missing > 0 { self.leaving.len() as u64 } else { 0 };
        match self.company {
            MinCompany::Hold { at_most, .. } if missing > 0 => {
                self.alone.extend(self.leaving.drain(..).map(|ticket| (now + at_most, ticket)));
                out.extend(self.alone.extract_if(.., |(until, _)| *until <= now).map(|(_, ticket)| ticket));
            }
            _ => {
                if matches!(self.company, MinCompany::Fill { .. }) && !self.leaving.is_empty() {
                    out.extend(core::iter::repeat_n(Ticket::DUMMY, missing));
                }
                out.append(&mut self.leaving);
                out.extend(self.alone.drain(..).map(|(_, ticket)| ticket));
            }
        }
        rng.shuffle(out);
    }

    /// When [`release`](Self::release) has something to do.
    pub(crate) fn wake(&self) -> Time {
        if !self.alone.is_empty() && self.missing() == 0 {
            return Time::ZERO;
        }
        let patience = self.alone.iter().map(|(until, _)| *until).min();
        self.running.wake().min(patience.unwrap_or(Time::NEVER))
    }

    /// How many cells had too little company so far.
    pub(crate) fn lonely_cells(&self) -> u64 {
        self.lonely_cells
    }

    /// How many cells are here.
    pub(crate) fn len(&self) -> usize {
        self.running.len() + self.alone.len() + self.leaving.len()
    }

    /// How many others each cell here lacks.
    fn missing(&self) -> usize {
        self.company.others().saturating_sub(self.len().saturating_sub(1))
    }
}

enum Running {
    AtOnce(Vec<Ticket>),
    Batch(Batch),
    Pool(PoolOfTickets),
    Slices(Slices),
    Each(Each),
}

impl Running {
    fn new(mixing: Mixing, now: Time) -> Self {
        match mixing {
            Mixing::None => Self::AtOnce(Vec::new()),
            Mixing::Batch { every } => Self::Batch(Batch { every, flush: now, tickets: Vec::new() }),
            Mixing::Pool(pool) => Self::Pool(PoolOfTickets::new(pool, now)),
            Mixing::Slices { every } => Self::Slices(Slices::new(every, now)),
            Mixing::Exponential { mean } => Self::Each(Each::new(Delay::Exponential(mean))),
            Mixing::Uniform { most } => Self::Each(Each::new(Delay::Uniform(most))),
        }
    }

    fn admit(&mut self, ticket: Ticket, source: Source, circuits: usize, now: Time, rng: &mut Rng) {
        match self {
            Self::AtOnce(tickets) => tickets.push(ticket),
            Self::Batch(batch) => batch.admit(ticket, now),
            Self::Pool(pool) => pool.admit(ticket, now),
            Self::Slices(slices) => slices.admit(ticket, source, circuits, now),
            Self::Each(each) => each.admit(ticket, now, rng),
        }
    }

    fn release(&mut self, now: Time, rng: &mut Rng, out: &mut Vec<Ticket>) {
        match self {
            Self::AtOnce(tickets) => out.append(tickets),
            Self::Batch(batch) => batch.release(now, out),
            Self::Pool(pool) => pool.release(now, rng, out),
            Self::Slices(slices) => slices.release(now, out),
            Self::Each(each) => each.release(now, out),
        }
    }

    fn wake(&self) -> Time {
        match self {
            Self::AtOnce(tickets) if tickets.is_empty() => Time::NEVER,
            Self::AtOnce(_) => Time::ZERO,
            Self::Batch(batch) => batch.wake(),
            Self::Pool(pool) => pool.wake(),
            Self::Slices(slices) => slices.wake(),
            Self::Each(each) => each.wake(),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::AtOnce(tickets) => tickets.len(),
            Self::Batch(batch) => batch.tickets.len(),
            Self::Pool(pool) => pool.tickets.len(),
            Self::Slices(slices) => slices.len(),
            Self::Each(each) => each.waiting.len(),
        }
    }

    fn into_tickets(self) -> impl Iterator<Item = Ticket> {
        let tickets: Vec<Ticket> = match self {
            Self::AtOnce(tickets) => tickets,
            Self::Batch(batch) => batch.tickets,
            Self::Pool(pool) => pool.tickets,
            Self::Slices(slices) => slices.into_tickets().collect(),
            Self::Each(each) => each.waiting.into_iter().map(|Reverse((_, ticket))| ticket).collect(),
        };
        tickets.into_iter().filter(|ticket| *ticket != Ticket::DUMMY)
    }
}

/// The end of the interval after `last` in which `now` lies. Counted from the first one, never from "now": a late
/// wake-up must not move what comes after it.
fn end_of_interval(last: Time, every: Duration, now: Time) -> Time {
    let every = (every.as_nanos() as u64).max(1);
    let passed = (now - last).as_nanos() as u64 / every;
    Time::from_nanos(last.as_nanos() + (passed + 1) * every)
}

struct Batch {
    every: Duration,
    /// End of the running interval.
    flush: Time,
    tickets: Vec<Ticket>,
}

impl Batch {
    fn admit(&mut self, ticket: Ticket, now: Time) {
        if self.tickets.is_empty() && self.flush <= now {
            self.flush = end_of_interval(self.flush, self.every, now);
        }
        self.tickets.push(ticket);
    }

    fn release(&mut self, now: Time, out: &mut Vec<Ticket>) {
        if self.wake() <= now {
            out.append(&mut self.tickets);
        }
    }

    fn wake(&self) -> Time {
        if self.tickets.is_empty() { Time::NEVER } else { self.flush }
    }
}

struct PoolOfTickets {
    pool: Pool,
    tickets: Vec<Ticket>,
    /// Those that came since some left.
    fresh: usize,
    /// End of the running interval; never, where a threshold decides.
    flush: Time,
    /// When a dummy comes in, if nothing else does before.
    silent_at: Time,
}

impl PoolOfTickets {
    fn new(pool: Pool, now: Time) -> Self {
        let flush = match pool.fire {
            Fire::Threshold(_) => Time::NEVER,
            Fire::Every(every) => now + every,
        };
        let tickets = alloc::vec![Ticket::DUMMY; pool.keep.into()];
        Self { pool, tickets, fresh: 0, flush, silent_at: now + pool.dummy_after }
    }

    fn admit(&mut self, ticket: Ticket, now: Time) {
        self.tickets.push(ticket);
        self.fresh += 1;
        self.silent_at = now + self.pool.dummy_after;
    }

    fn release(&mut self, now: Time, rng: &mut Rng, out: &mut Vec<Ticket>) {
        if self.silent_at <= now {
            self.admit(Ticket::DUMMY, now);
        }
        let leave = match self.pool.fire {
            Fire::Threshold(cells) => self.fresh / usize::from(cells) * usize::from(cells),
            Fire::Every(every) if self.flush <= now => {
                self.flush = end_of_interval(self.flush, every, now);
                self.tickets.len().saturating_sub(self.pool.keep.into())
            }
            Fire::Every(_) => 0,
        };
        if leave > 0 {
            self.fresh -= leave.min(self.fresh);
            rng.shuffle(&mut self.tickets);
            out.extend(self.tickets.drain(..leave));
        }
    }

    fn wake(&self) -> Time {
        match self.pool.fire {
            Fire::Threshold(cells) if self.fresh >= cells.into() => Time::ZERO,
            Fire::Every(_) if self.fresh > 0 => self.flush.min(self.silent_at),
            _ => self.silent_at,
        }
    }
}

/// Each ticket has a moment of its own.
struct Each {
    delay: Delay,
    waiting: BinaryHeap<Reverse<(Time, Ticket)>>,
}

enum Delay {
    Exponential(Duration),
    Uniform(Duration),
}

impl Each {
    fn new(delay: Delay) -> Self {
        Self { delay, waiting: BinaryHeap::new() }
    }

    fn admit(&mut self, ticket: Ticket, now: Time, rng: &mut Rng) {
        let delay = match self.delay {
            Delay::Exponential(mean) => mean.mul_f64(rng.exponential()),
            Delay::Uniform(most) => most.mul_f64(rng.unit()),
        };
        self.waiting.push(Reverse((now + delay, ticket)));
    }

    fn release(&mut self, now: Time, out: &mut Vec<Ticket>) {
        while self.wake() <= now
            && let Some(Reverse((_, ticket))) = self.waiting.pop()
        {
            out.push(ticket);
        }
    }

    fn wake(&self) -> Time {
        self.waiting.peek().map_or(Time::NEVER, |Reverse((at, _))| *at)
    }
}

/// Rounds in which every circuit has a turn.
struct Slices {
    every: Duration,
    /// End of the running round.
    end: Time,
    forward: Round,
    backward: Round,
    /// Messages between neighbours belong to no circuit.
    others: Vec<Ticket>,
}

#[derive(Default)]
struct Round {
    turns: BTreeMap<u64, VecDeque<Ticket>>,
    circuits: usize,
}

impl Round {
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

impl Slices {
    fn new(every: Duration, now: Time) -> Self {
        let (forward, backward) = (Round::default(), Round::default());
        Self { every, end: now, forward, backward, others: Vec::new() }
    }

    fn admit(&mut self, ticket: Ticket, source: Source, circuits: usize, now: Time) {
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

    fn release(&mut self, now: Time, out: &mut Vec<Ticket>) {
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

    fn into_tickets(self) -> impl Iterator<Item = Ticket> {
        let rounds = [self.forward, self.backward].into_iter();
        rounds.flat_map(|round| round.turns.into_values().flatten()).chain(self.others)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
