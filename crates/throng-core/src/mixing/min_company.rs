//! What a mix does about lonely cells.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use crate::limits::{COMPANY_OTHERS_MAX, DELAY_MAX};
use crate::text::{InvalidValue, Span, number, span, words};

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
