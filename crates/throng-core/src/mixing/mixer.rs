//! A strategy at work, and what it does about lonely cells.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::strategy::{AtWork, Ticket};
use super::{MinCompany, Mixing};
use crate::departure::Source;
use crate::rng::Rng;
use crate::time::Time;

/// A strategy at work.
pub(crate) struct Mixer {
    mixing: Mixing,
    company: MinCompany,
    running: Box<dyn AtWork>,
    /// Those that had their time and wait for company, and until when.
    alone: Vec<(Time, Ticket)>,
    leaving: Vec<Ticket>,
    /// Cells that had too little company.
    lonely_cells: u64,
}

impl Mixer {
    pub(crate) fn new(mixing: Mixing, company: MinCompany, now: Time) -> Self {
        let running = mixing.begin(now);
        Self { mixing, company, running, alone: Vec::new(), leaving: Vec::new(), lonely_cells: 0 }
    }

    /// Works by another strategy from now on. What is held leaves at once.
    pub(crate) fn change(&mut self, mixing: Mixing, company: MinCompany, now: Time) {
        self.company = company;
        if mixing != self.mixing {
            let old = core::mem::replace(&mut self.running, mixing.begin(now));
            let cells = old.into_tickets().into_iter().filter(|ticket| *ticket != Ticket::DUMMY);
            self.alone.extend(cells.map(|ticket| (now, ticket)));
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
        rng.forget(); // whoever seizes the mix must not find out from it how it mixed before
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

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
