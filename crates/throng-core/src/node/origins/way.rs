//! How a circuit is built: which hop is to be asked next, and how the one before it learns where that is.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::membership::Record;
use crate::wire::control::Ended;
use crate::wire::message::Next;

/// A way to build a circuit. It says what is to be done next, and hears what came of it.
pub(crate) enum Build {
    /// Hop by hop, each asked through those before it.
    Telescope {
        /// Those that have not joined.
        rest: VecDeque<Hop>,
        /// Whether hops may be told of others that they do not know.
        may_describe: bool,
    },
}

/// A hop that is still to be asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Hop {
    /// This one, which the hop before it knows as well.
    Known(Arc<Record>),
    /// This one, of which the hop before it has not heard.
    Stranger(Arc<Record>),
    /// Whichever the hop before it chooses.
    #[cfg_attr(not(test), expect(dead_code, reason = "no design has such paths yet"))]
    Any,
}

/// What is to be done next.
#[derive(Debug, PartialEq)]
pub(crate) enum Step<'b> {
    /// This hop is to be asked.
    Ask(&'b Hop),
    /// Nothing: all have joined.
    Ready,
}

impl Build {
    /// Over these mixes, hop by hop.
    pub(crate) fn telescope(path: Vec<Arc<Record>>, may_describe: bool) -> Self {
        Self::Telescope { rest: path.into_iter().map(Hop::Known).collect(), may_describe }
    }

    pub(crate) fn next(&self) -> Step<'_> {
        let Self::Telescope { rest, .. } = self;
        rest.front().map_or(Step::Ready, Step::Ask)
    }

    /// The hop that was asked joined.
    pub(crate) fn joined(&mut self) {
        let Self::Telescope { rest, .. } = self;
        rest.pop_front();
    }

    /// The hop before it could not ask it. Whether there is another way to ask.
    pub(crate) fn refused(&mut self, why: Ended) -> bool {
        let Self::Telescope { rest, may_describe } = self;
        match rest.front_mut() {
            Some(hop @ Hop::Known(_)) if *may_describe && why == Ended::UnknownHop => {
                if let Hop::Known(record) = hop {
                    *hop = Hop::Stranger(Arc::clone(record));
                }
                true
            }
            _ => false,
        }
    }

    /// The mixes that are still to be asked, as far as they are known.
    pub(crate) fn planned(&self) -> impl DoubleEndedIterator<Item = Option<&Arc<Record>>> {
        let Self::Telescope { rest, .. } = self;
        rest.iter().map(Hop::record)
    }
}

impl Hop {
    /// Which one it is, if that is known.
    pub(crate) fn record(&self) -> Option<&Arc<Record>> {
        match self {
            Self::Known(record) | Self::Stranger(record) => Some(record),
            Self::Any => None,
        }
    }

    /// What the hop before it is told.
    pub(crate) fn as_next(&self) -> Next<'_> {
        match self {
            Self::Known(record) => Next::Named(record.description().identity.fingerprint()),
            Self::Stranger(record) => Next::Described(record.as_bytes()),
            Self::Any => Next::YouChoose,
        }
    }
}
