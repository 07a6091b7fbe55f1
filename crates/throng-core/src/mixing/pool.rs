//! Some cells stay behind when others leave.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::interval::end_of_interval;
use super::strategy::{AtWork, Strategy, Ticket};
use crate::departure::Source;
use crate::limits::{BATCH_EVERY_MAX, DELAY_MAX, POOL_CELLS_MAX};
use crate::rng::Rng;
use crate::text::{Span, number, span};
use crate::time::Time;

/// A pool mix: some cells stay behind when others leave, drawn at random. A dummy takes part where cells stay away, so that
/// nothing stays for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// When some leave.
    pub fire: Fire,
    /// How many stay. The pool begins full of dummies.
    pub keep: u16,
    /// After this long without a cell a dummy comes in (AN.ON: 200 ms).
    pub dummy_after: Duration,
}

/// When cells leave a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fire {
    /// As soon as so many are there beyond those that stay; so many leave then.
    Threshold(u16),
    /// At the end of every interval; all leave beyond those that stay.
    Every(Duration),
}

impl Pool {
    /// The pool of AN.ON's mixes: ten cells stay, each that comes sends one away; a dummy comes after 200 ms of silence.
    pub const AN_ON: Self =
        Self { fire: Fire::Threshold(1), keep: 10, dummy_after: Duration::from_millis(200) };

    /// Cells that leave in one round.
    fn leave(self, rate: f64) -> f64 {
        match self.fire {
            Fire::Threshold(cells) => cells.into(),
            Fire::Every(every) => rate * every.as_secs_f64(),
        }
    }

    /// The probability that a cell has left within so many rounds: 1 - (f/(n+f))^rounds.
    pub fn left_within(self, rounds: u32, rate: f64) -> f64 {
        let keep = f64::from(self.keep);
        1.0 - libm::pow(keep / (self.leave(rate) + keep), rounds.into())
    }
}

impl Strategy for Pool {
    const NAME: &'static str = "pool";
    const EXAMPLE: &'static str = "pool=1:10:200ms (how many must come or how often some leave; how many stay; the \
        silence after which a dummy is added)";

    fn read(values: &mut dyn Iterator<Item = &str>) -> Option<Self> {
        let fire = values.next()?;
        let threshold = number(fire, 1..=POOL_CELLS_MAX).map(Fire::Threshold);
        let fire = threshold.or_else(|| span(fire, BATCH_EVERY_MAX).map(Fire::Every))?;
        let keep = number(values.next()?, 0..=POOL_CELLS_MAX)?;
        Some(Self { fire, keep, dummy_after: span(values.next().unwrap_or("200ms"), DELAY_MAX)? })
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fire, keep, dummy_after } = *self;
        match fire {
            Fire::Threshold(cells) => write!(f, "={cells}:{keep}:{}", Span(dummy_after)),
            Fire::Every(every) => write!(f, "={}:{keep}:{}", Span(every), Span(dummy_after)),
        }
    }

    /// The worst case, that nothing but dummies comes: a draw of one of `keep + 1` must hit it.
    fn long_delay(&self) -> Duration {
        let rounds = |leave: f64| {
            let stay = f64::from(self.keep) / (f64::from(self.keep) + leave);
            if stay == 0.0 { 1.0 } else { libm::ceil(libm::log(0.01) / libm::log(stay)).max(1.0) }
        };
        match self.fire {
            Fire::Threshold(leave) => self.dummy_after.mul_f64(rounds(leave.into()) * f64::from(leave)),
            Fire::Every(every) => every.max(self.dummy_after).mul_f64(rounds(1.0)),
        }
    }

    /// n/N rounds in the pool, and half a round before the first. Where cells stay away, dummies come.
    fn mean_delay(&self, rate: f64) -> Duration {
        let rate = rate.max(1.0 / self.dummy_after.as_secs_f64().max(1e-9));
        let (leave, keep) = (self.leave(rate), f64::from(self.keep));
        Duration::from_secs_f64(match self.fire {
            Fire::Threshold(_) => (keep + (leave - 1.0) / 2.0) / rate,
            Fire::Every(every) => every.as_secs_f64() * (0.5 + keep / leave),
        })
    }

    /// Pools count in rounds: [`Pool::left_within`].
    fn left_within(&self, _: Duration) -> Option<f64> {
        None
    }

    /// (1 + n/N) log2(N + n) - (n/N) log2 n, of N that leave and n that stay.
    fn entropy_bits(&self, rate: f64) -> f64 {
        let (leave, keep) = (self.leave(rate), f64::from(self.keep));
        let staying = if keep == 0.0 { 0.0 } else { keep / leave * libm::log2(keep) };
        (1.0 + keep / leave) * libm::log2(leave + keep) - staying
    }

    fn begin(&self, now: Time) -> Box<dyn AtWork> {
        let flush = match self.fire {
            Fire::Threshold(_) => Time::NEVER,
            Fire::Every(every) => now + every,
        };
        let tickets = alloc::vec![Ticket::DUMMY; self.keep.into()];
        let silent_at = now + self.dummy_after;
        Box::new(Tickets { pool: *self, tickets, fresh: 0, flush, silent_at })
    }
}

struct Tickets {
    pool: Pool,
    tickets: Vec<Ticket>,
    /// Those that came since some left.
    fresh: usize,
    /// End of the running interval; never, where a threshold decides.
    flush: Time,
    /// When a dummy comes in, if nothing else does before.
    silent_at: Time,
}

impl Tickets {
    fn take_in(&mut self, ticket: Ticket, now: Time) {
        self.tickets.push(ticket);
        self.fresh += 1;
        self.silent_at = now + self.pool.dummy_after;
    }
}

impl AtWork for Tickets {
    fn admit(&mut self, ticket: Ticket, _: Source, _: usize, now: Time, _: &mut Rng) {
        self.take_in(ticket, now);
    }

    fn release(&mut self, now: Time, rng: &mut Rng, out: &mut Vec<Ticket>) {
        if self.silent_at <= now {
            self.take_in(Ticket::DUMMY, now);
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

    fn len(&self) -> usize {
        self.tickets.len()
    }

    fn into_tickets(self: Box<Self>) -> Vec<Ticket> {
        self.tickets
    }
}
