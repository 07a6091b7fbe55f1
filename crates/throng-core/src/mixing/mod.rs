//! When a held cell leaves: the strategies of a mix.
//!
//! A strategy sees tickets, never cells: it cannot treat two of them differently. It is data first ([`Mixing`]), states in
//! closed form what it does, and says how it works: all in one file. Another one is another file (`mod`), and a line of the
//! list below.

mod at_once;
mod batch;
mod company;
mod each;
mod exponential;
mod interval;
mod min_company;
mod mixer;
mod pool;
mod slices;
mod strategy;
mod uniform;

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;
use core::time::Duration;

pub use company::Company;
pub(crate) use company::{Minute, WITHIN};
pub use min_company::MinCompany;
pub(crate) use mixer::Mixer;
pub use pool::Fire;
pub(crate) use strategy::Ticket;
use strategy::{AtWork, Strategy};

use crate::text::{InvalidValue, words};
use crate::time::Time;

/// All strategies: this list, and a file for each.
macro_rules! strategies {
    ($($(#[$attribute:meta])* $file:ident::$strategy:ident),+ $(,)?) => {
        $(pub use $file::$strategy;)+

        /// A mixing strategy.
        ///
        /// [`examples`](Self::examples) shows how each is written.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mixing {
            $($(#[$attribute])* $strategy($strategy)),+
        }

        impl Mixing {
            /// A time within which nearly every cell (99 of 100) leaves.
            pub fn long_delay(self) -> Duration {
                match self { $(Self::$strategy(strategy) => strategy.long_delay()),+ }
            }

            /// The mean of the delay, where `rate` cells arrive per second.
            pub fn mean_delay(self, rate: f64) -> Duration {
                match self { $(Self::$strategy(strategy) => strategy.mean_delay(rate)),+ }
            }

            /// The probability that a cell has left after `delay`; nothing where time does not say it.
            pub fn left_within(self, delay: Duration) -> Option<f64> {
                match self { $(Self::$strategy(strategy) => Strategy::left_within(&strategy, delay)),+ }
            }

            /// Bits that an observer lacks about one cell, where `rate` cells arrive per second.
            pub fn entropy_bits(self, rate: f64) -> f64 {
                match self { $(Self::$strategy(strategy) => strategy.entropy_bits(rate)),+ }
            }

            fn begin(self, now: Time) -> Box<dyn AtWork> {
                match self { $(Self::$strategy(strategy) => strategy.begin(now)),+ }
            }

            /// The strategy of this name with these values.
            fn read(name: &str, values: &mut dyn Iterator<Item = &str>) -> Option<Self> {
                match name {
                    $(<$strategy as Strategy>::NAME => $strategy::read(values).map(Self::$strategy),)+
                    _ => None,
                }
            }

            /// What may be written, with an example of each.
            pub fn examples() -> String {
                [$(<$strategy as Strategy>::EXAMPLE),+].join(", ")
            }
        }

        impl fmt::Display for Mixing {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$strategy(strategy) => {
                        f.write_str(<$strategy as Strategy>::NAME)?;
                        strategy.write(f)
                    })+
                }
            }
        }
    };
}

strategies! {
    /// A cell leaves at once.
    at_once::AtOnce,
    /// Cells that arrive within one interval leave together.
    batch::Batch,
    /// Every cell waits on its own, exponentially.
    exponential::Exponential,
    /// Every cell waits on its own, uniformly.
    uniform::Uniform,
    /// Rounds in which every circuit has a turn.
    slices::Slices,
    /// Some cells stay behind when others leave.
    pool::Pool,
}

impl Mixing {
    /// Cells leave at once.
    pub const NONE: Self = Self::AtOnce(AtOnce);
}

impl Default for Mixing {
    fn default() -> Self {
        Self::NONE
    }
}

impl FromStr for Mixing {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let (name, values) = words(text);
        let mut values = values.into_iter().flatten();
        let found = Self::read(name, &mut values);
        found.filter(|_| values.next().is_none()).ok_or_else(|| InvalidValue::new(text, Self::examples()))
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
        assert_eq!("pool=1:10".parse(), Ok(Mixing::Pool(Pool::AN_ON)));
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
