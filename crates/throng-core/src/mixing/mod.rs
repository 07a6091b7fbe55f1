//! When a held cell leaves: the strategies of a mix.
//!
//! A strategy sees [`Ticket`]s, never cells: it cannot treat two of them differently. It is data first
//! ([`Mixing`]), and says what it does in closed form ([`Mixing::mean_delay`]).

mod held;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

pub(crate) use held::{Departure, Held};

use crate::limits::BATCH_EVERY_MAX;
use crate::rng::Rng;
use crate::time::Time;

/// A mixing strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mixing {
    /// A cell leaves at once. No protection against anyone who watches both sides of the mix.
    #[default]
    None,
    /// Cells that arrive within one interval leave together at its end, in random order (a timed mix).
    Batch {
        /// The interval. A cell waits for half of it on average.
        every: Duration,
    },
}

impl Mixing {
    /// A timed batch, or nothing if the interval is zero or above [`BATCH_EVERY_MAX`].
    pub fn batch(every: Duration) -> Option<Self> {
        (Duration::ZERO < every && every <= BATCH_EVERY_MAX).then_some(Self::Batch { every })
    }

    /// The mean of the delay law. (None: 0. Batch: uniform on `[0, every]`, so half of it.)
    pub fn mean_delay(self) -> Duration {
        match self {
            Self::None => Duration::ZERO,
            Self::Batch { every } => every / 2,
        }
    }
}

/// A strategy at work, and the cells that it holds.
pub(crate) struct Waiting {
    pub(crate) mixer: Mixer,
    pub(crate) held: Held,
    /// Room for tickets that leave.
    pub(crate) released: Vec<Ticket>,
    /// For order and delay.
    pub(crate) chance: Rng,
}

impl Waiting {
    /// Nothing, if cells leave at once.
    pub(crate) fn new(strategy: Mixing, chance: Rng, now: Time) -> Option<Box<Self>> {
        let mixer = Mixer::new(strategy, now);
        mixer.holds().then(|| Box::new(Self { mixer, held: Held::default(), released: Vec::new(), chance }))
    }
}

/// A held cell, as its strategy sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(pub(crate) u32);

/// A strategy at work.
pub(crate) struct Mixer {
    strategy: Mixing,
    tickets: Vec<Ticket>,
    /// End of the running interval. Counted from the first one, never from "now": a late wake-up must not
    /// move what comes after it.
    flush: Time,
}

impl Mixer {
    pub(crate) fn new(strategy: Mixing, now: Time) -> Self {
        Self { strategy, tickets: Vec::new(), flush: now }
    }

    /// Whether cells are held at all.
    pub(crate) fn holds(&self) -> bool {
        self.strategy != Mixing::None
    }

    /// Works by another strategy from now on. What is held leaves at once.
    pub(crate) fn change(&mut self, strategy: Mixing, now: Time) {
        if strategy != self.strategy {
            self.strategy = strategy;
            self.flush = now;
        }
    }

    /// Takes a ticket in.
    pub(crate) fn admit(&mut self, ticket: Ticket, now: Time) {
        if let Mixing::Batch { every } = self.strategy
            && self.tickets.is_empty()
            && self.flush <= now
        {
            let every = (every.as_nanos() as u64).max(1);
            let passed = (now.as_nanos() - self.flush.as_nanos()) / every;
            self.flush = Time::from_nanos(self.flush.as_nanos() + (passed + 1) * every);
        }
        self.tickets.push(ticket);
    }

    /// Moves the tickets whose time has come to `out`, in an order that says nothing of their arrival.
    pub(crate) fn release(&mut self, now: Time, rng: &mut Rng, out: &mut Vec<Ticket>) {
        if self.wake() > now {
            return;
        }
        rng.shuffle(&mut self.tickets);
        out.append(&mut self.tickets);
    }

    /// When [`release`](Self::release) has something to do.
    pub(crate) fn wake(&self) -> Time {
        if self.tickets.is_empty() { Time::NEVER } else { self.flush }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Seed};

    #[test]
    fn a_batch_delays_as_it_says_and_forgets_the_order() {
        let every = Duration::from_millis(20);
        let strategy = Mixing::batch(every).unwrap();
        let mut mixer = Mixer::new(strategy, Time::ZERO);
        let mut rng = Seed::from_bytes([2; 32]).rng(Purpose::Mixing, 0);
        let (mut total, mut count, mut in_order, mut neighbours) = (0.0, 0u32, 0u32, 0u32);
        let mut arrivals = Vec::new();
        let mut now = Time::ZERO;
        while count < 40_000 {
            now = now + Duration::from_nanos(1 + rng.below(4_000_000) as u64);
            if mixer.wake() <= now {
                let flush = mixer.wake();
                let mut out = Vec::new();
                mixer.release(flush, &mut rng, &mut out);
                for pair in out.windows(2) {
                    neighbours += 1;
                    in_order += u32::from(pair[0].0 < pair[1].0);
                }
                for ticket in out {
                    let arrived: Time = arrivals[ticket.0 as usize];
                    assert!(flush - arrived <= every);
                    total += (flush - arrived).as_secs_f64();
                    count += 1;
                }
            }
            mixer.admit(Ticket(arrivals.len() as u32), now);
            arrivals.push(now);
        }
        let mean = total / f64::from(count);
        // Uniform on 20 ms: standard deviation 5.8 ms, of the mean of 40 000 draws 0.03 ms.
        assert!((mean - strategy.mean_delay().as_secs_f64()).abs() < 0.0002, "{mean}");
        let share = f64::from(in_order) / f64::from(neighbours);
        assert!((share - 0.5).abs() < 0.015, "neighbours keep their order half of the time: {share}");
    }
}
