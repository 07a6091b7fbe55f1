//! Each ticket has a moment of its own: what strategies that draw a delay for every cell have in common.

use alloc::boxed::Box;
use alloc::collections::binary_heap::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::time::Duration;

use super::strategy::{AtWork, Ticket};
use crate::departure::Source;
use crate::rng::Rng;
use crate::time::Time;

/// Tickets that wait, each for its own moment.
pub(super) struct Each {
    draw: Box<dyn Fn(&mut Rng) -> Duration + Send>,
    waiting: BinaryHeap<Reverse<(Time, Ticket)>>,
}

impl Each {
    /// Every delay is drawn so.
    pub(super) fn new(draw: impl Fn(&mut Rng) -> Duration + Send + 'static) -> Self {
        Self { draw: Box::new(draw), waiting: BinaryHeap::new() }
    }
}

impl AtWork for Each {
    fn admit(&mut self, ticket: Ticket, _: Source, _: usize, now: Time, rng: &mut Rng) {
        self.waiting.push(Reverse((now + (self.draw)(rng), ticket)));
    }

    fn release(&mut self, now: Time, _: &mut Rng, out: &mut Vec<Ticket>) {
        while self.wake() <= now
            && let Some(Reverse((_, ticket))) = self.waiting.pop()
        {
            out.push(ticket);
        }
    }

    fn wake(&self) -> Time {
        self.waiting.peek().map_or(Time::NEVER, |Reverse((at, _))| *at)
    }

    fn len(&self) -> usize {
        self.waiting.len()
    }

    fn into_tickets(self: Box<Self>) -> Vec<Ticket> {
        self.waiting.into_iter().map(|Reverse((_, ticket))| ticket).collect()
    }
}
