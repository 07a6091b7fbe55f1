//! Which path a circuit takes.

mod capacity;
mod first_hops;
mod free;
mod resting;

use alloc::vec::Vec;
use core::fmt;

pub use first_hops::FirstHops;
pub(crate) use free::{Wanted, WideBlock, choose};
pub(crate) use resting::Resting;

use crate::id::NodeId;
use crate::limits::HOPS_MAX;
use crate::membership::Description;
use crate::text::InvalidValue;

/// How a path is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Every hop is drawn, in proportion to capacities, from the mixes that the path rules allow; the first from a few
    /// sticky ones.
    Free {
        /// Mixes in a circuit.
        hops: usize,
    },
}

impl Route {
    /// A free route of `hops` mixes, or nothing if that is not 1 to [`HOPS_MAX`].
    pub const fn free(hops: usize) -> Option<Self> {
        if hops >= 1 && hops <= HOPS_MAX { Some(Self::Free { hops }) } else { None }
    }

    /// Three hops, freely chosen.
    pub const DEFAULT: Self = Self::Free { hops: 3 };

    /// Mixes in a circuit.
    pub const fn hops(self) -> usize {
        match self {
            Self::Free { hops } => hops,
        }
    }

    /// What the kind of route is called.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Free { .. } => "free",
        }
    }

    /// As long a route of the kind that is called so.
    pub(crate) fn named(self, text: &str) -> Result<Self, InvalidValue> {
        if text == self.name() { Ok(self) } else { Err(InvalidValue::new(text, "free")) }
    }

    /// A route of the same kind with so many mixes.
    pub(crate) fn with_hops(self, text: &str) -> Result<Self, InvalidValue> {
        const _: () = assert!(HOPS_MAX == 8, "as the words below say");
        let route = text.parse().ok().and_then(|hops| match self {
            Self::Free { .. } => Self::free(hops),
        });
        route.ok_or_else(|| InvalidValue::new(text, "mixes in a circuit, 1 to 8"))
    }
}

impl Default for Route {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What the exit of a circuit shall be like.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ExitWish {
    /// A port that it must serve; any exit will do if none.
    pub(crate) port: Option<u16>,
    /// Which ones it shall not be.
    pub(crate) avoid: Vec<NodeId>,
}

impl ExitWish {
    /// Whether a mix is such an exit.
    pub(crate) fn is_met_by(&self, mix: &Description) -> bool {
        mix.serves(self.port) && !self.avoid.contains(&mix.identity)
    }
}

/// Which mixes may stand in one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PathRules {
    /// At most one of a /16 (IPv4), of a /32 (IPv6), and of an operator's family.
    #[default]
    Diverse,
    /// Only not the same mix twice: for a network on one machine that has no prefixes to choose from.
    SamePrefixAllowed,
}

/// Why no path could be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoute {
    /// No known exit opens connections to this port (none: there is no exit at all).
    NoExit(Option<u16>),
    /// The path rules leave too few mixes.
    TooFewMixes {
        /// Mixes known.
        known: usize,
        /// Hops wanted.
        hops: usize,
    },
    /// No first hop answers.
    NoFirstHop,
    /// The network document has expired.
    Expired,
    /// Operators signed two network documents of one serial that say different things.
    Conflict,
}

impl fmt::Display for NoRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoExit(Some(port)) => write!(f, "no known exit opens connections to port {port}"),
            Self::NoExit(None) => write!(f, "no exit is known"),
            Self::TooFewMixes { known, hops } => write!(
                f,
                "of the {known} mixes known, too few are of different networks and operators for {hops} hops"
            ),
            Self::NoFirstHop => write!(f, "none of our first hops answers"),
            Self::Expired => {
                write!(
                    f,
                    "the network document has expired, and no neighbour has a newer one: the operators must sign it"
                )
            }
            Self::Conflict => write!(
                f,
                "there are two valid network documents of one serial that say different things: none is used before \
                 the operators have signed a newer one"
            ),
        }
    }
}

impl core::error::Error for NoRoute {}
