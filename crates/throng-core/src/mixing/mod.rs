//! When a held cell leaves: the strategies of a mix.
//!
//! A strategy sees [`Ticket`]s, never cells: it cannot treat two of them differently. It is data first ([`Mixing`]), and
//! states in closed form what it does ([`law`]).

mod company;
pub mod law;
mod mixer;

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

pub use company::Company;
pub(crate) use company::{Minute, WITHIN};
pub(crate) use mixer::{Mixer, Ticket};

use crate::limits::{BATCH_EVERY_MAX, COMPANY_OTHERS_MAX, DELAY_MAX, POOL_CELLS_MAX};
use crate::text::{InvalidValue, Span, number, span, words};

/// A mixing strategy.
///
/// As text: `none`, `batch=20ms`, `pool=1:10:200ms`, `slices=50ms`, `exponential=15ms`, `uniform=20ms`.
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
    /// Some cells stay behind when others leave, drawn at random.
    Pool(Pool),
    /// Rounds of a cascade: the round ends when every circuit has delivered a cell, or when its time is over; each then
    /// sends one, in random order. Directions have rounds of their own.
    Slices {
        /// How long a round may last. A cell waits for half of it on average where not everybody delivers.
        every: Duration,
    },
    /// Every cell waits on its own, exponentially: of all delays with this mean the one with the greatest entropy.
    Exponential {
        /// The mean.
        mean: Duration,
    },
    /// Every cell waits on its own, uniformly between nothing and `most`.
    Uniform {
        /// The longest delay; twice the mean.
        most: Duration,
    },
}

/// A pool mix. A dummy takes part where cells stay away, so that nothing stays for ever.
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

/// What a mix does when a cell is about to leave and fewer than `others` other cells were there with it.
///
/// As text: `none`, `fill=3`, `hold=3:20ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MinCompany {
    /// Nothing.
    #[default]
    Off,
    /// It sends fillers to neighbours drawn at random, as many as are missing; not to those that hear it in slots.
    Fill {
        /// How many others there should be.
        others: u16,
    },
    /// It holds the cell until there are as many, at most so long.
    Hold {
        /// How many others there should be.
        others: u16,
        /// How long it waits for them.
        at_most: Duration,
    },
}

impl Mixing {
    /// A timed batch, or nothing if the interval is zero or above [`BATCH_EVERY_MAX`].
    pub fn batch(every: Duration) -> Option<Self> {
        (Duration::ZERO < every && every <= BATCH_EVERY_MAX).then_some(Self::Batch { every })
    }

    /// The pool of AN.ON's mixes: ten cells stay, each that comes sends one away; a dummy comes after 200 ms of silence.
    pub const AN_ON: Self =
        Self::Pool(Pool { fire: Fire::Threshold(1), keep: 10, dummy_after: Duration::from_millis(200) });

    /// A time within which nearly every cell (99 of 100) leaves.
    ///
    /// For a pool this is the worst case, that nothing but dummies comes: a draw of one of `keep + 1` must hit it.
    pub fn long_delay(self) -> Duration {
        match self {
            Self::None => Duration::ZERO,
            Self::Batch { every } | Self::Slices { every } => every,
            Self::Pool(pool) => pool.long_delay(),
            Self::Exponential { mean } => mean.mul_f64(core::f64::consts::LN_10 * 2.0),
            Self::Uniform { most } => most,
        }
    }
}

impl Pool {
    fn long_delay(self) -> Duration {
        let rounds = |leave: f64| {
            let stay = f64::from(self.keep) / (f64::from(self.keep) + leave);
            if stay == 0.0 { 1.0 } else { libm::ceil(libm::log(0.01) / libm::log(stay)).max(1.0) }
        };
        match self.fire {
            Fire::Threshold(leave) => self.dummy_after.mul_f64(rounds(leave.into()) * f64::from(leave)),
            Fire::Every(every) => every.max(self.dummy_after).mul_f64(rounds(1.0)),
        }
    }
}

impl MinCompany {
    /// How many others there should be.
    pub(crate) fn others(self) -> usize {
        match self {
            Self::Off => 0,
            Self::Fill { others } | Self::Hold { others, .. } => others.into(),
        }
    }

    /// How long it holds a cell at most.
    pub(crate) fn longest(self) -> Duration {
        if let Self::Hold { at_most, .. } = self { at_most } else { Duration::ZERO }
    }
}

const MIXINGS: &str = "none, batch=20ms (to 100ms), exponential=15ms and uniform=20ms (to 10s), slices=50ms (to 100ms), \
    and pool=1:10:200ms (how many must come or how often some leave; how many stay; after which silence a dummy comes)";

impl FromStr for Mixing {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let (name, values) = words(text);
        let mut values = values.into_iter().flatten();
        let value = values.next();
        let found = match (name, value) {
            ("none", None) => Some(Self::None),
            ("batch", Some(every)) => span(every, BATCH_EVERY_MAX).map(|every| Self::Batch { every }),
            ("slices", Some(every)) => span(every, BATCH_EVERY_MAX).map(|every| Self::Slices { every }),
            ("exponential", Some(mean)) => span(mean, DELAY_MAX).map(|mean| Self::Exponential { mean }),
            ("uniform", Some(most)) => span(most, DELAY_MAX).map(|most| Self::Uniform { most }),
            ("pool", Some(fire)) => pool(fire, values.next(), values.next()).map(Self::Pool),
            _ => None,
        };
        found.filter(|_| values.next().is_none()).ok_or_else(|| InvalidValue::new(text, MIXINGS))
    }
}

fn pool(fire: &str, keep: Option<&str>, dummy_after: Option<&str>) -> Option<Pool> {
    let threshold = number(fire, 1..=POOL_CELLS_MAX).map(Fire::Threshold);
    let fire = threshold.or_else(|| span(fire, BATCH_EVERY_MAX).map(Fire::Every))?;
    let keep = number(keep?, 0..=POOL_CELLS_MAX)?;
    Some(Pool { fire, keep, dummy_after: span(dummy_after.unwrap_or("200ms"), DELAY_MAX)? })
}

impl fmt::Display for Mixing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::None => f.write_str("none"),
            Self::Batch { every } => write!(f, "batch={}", Span(every)),
            Self::Slices { every } => write!(f, "slices={}", Span(every)),
            Self::Exponential { mean } => write!(f, "exponential={}", Span(mean)),
            Self::Uniform { most } => write!(f, "uniform={}", Span(most)),
            Self::Pool(Pool { fire: Fire::Threshold(cells), keep, dummy_after }) => {
                write!(f, "pool={cells}:{keep}:{}", Span(dummy_after))
            }
            Self::Pool(Pool { fire: Fire::Every(every), keep, dummy_after }) => {
                write!(f, "pool={}:{keep}:{}", Span(every), Span(dummy_after))
            }
        }
    }
}

impl FromStr for MinCompany {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let (name, values) = words(text);
        let mut values = values.into_iter().flatten();
        let others = values.next().and_then(|others| number(others, 1..=COMPANY_OTHERS_MAX));
        let at_most = values.next();
        let found = match (name, others, at_most) {
            ("none", None, None) if text == "none" => Some(Self::Off),
            ("fill", Some(others), None) => Some(Self::Fill { others }),
            ("hold", Some(others), Some(at_most)) => {
                span(at_most, DELAY_MAX).map(|at_most| Self::Hold { others, at_most })
            }
            _ => None,
        };
        let allowed = "none, fill=3 (fillers to other neighbours), and hold=3:20ms (until others come, at most so long)";
        found.filter(|_| values.next().is_none()).ok_or_else(|| InvalidValue::new(text, allowed))
    }
}

impl fmt::Display for MinCompany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Off => f.write_str("none"),
            Self::Fill { others } => write!(f, "fill={others}"),
            Self::Hold { others, at_most } => write!(f, "hold={others}:{}", Span(at_most)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn strategies_are_read_written_and_explained() {
        for text in [
            "none",
            "batch=20ms",
            "pool=1:10:200ms",
            "pool=20ms:7:150ms",
            "slices=50ms",
            "exponential=15ms",
            "uniform=1500us",
        ] {
            assert_eq!(text.parse::<Mixing>().unwrap().to_string(), text);
        }
        assert_eq!("pool=1:10".parse(), Ok(Mixing::AN_ON));
        for wrong in
            ["", "batch", "batch=", "batch=101ms", "batch=20", "pool=0:1", "pool=1", "none=1", "batch=1ms:2"]
        {
            assert!(
                wrong.parse::<Mixing>().is_err_and(|why| why.to_string().contains("batch=20ms")),
                "{wrong}"
            );
        }
        for text in ["none", "fill=3", "hold=3:20ms"] {
            assert_eq!(text.parse::<MinCompany>().unwrap().to_string(), text);
        }
        for wrong in ["", "fill", "fill=0", "hold=3", "hold=3:0ms", "none=1", "fill=1:2"] {
            assert!(
                wrong.parse::<MinCompany>().is_err_and(|why| why.to_string().contains("hold=3:20ms")),
                "{wrong}"
            );
        }
    }
}
