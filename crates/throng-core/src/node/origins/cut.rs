//! Paths that were cut at their first hop, or before it: what lies behind is used again.
//!
//! Whoever can cut a user's line for a moment must not have him draw other mixes each time, until hostile ones are among
//! them. So the next circuits go on behind their first hop as those did that were cut.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::id::NodeId;
use crate::limits::{CIRCUIT_AGE_MAX, CUT_PATHS_KEPT, CUT_PATHS_MAX};
use crate::membership::{Record, View};
use crate::route::{ExitWish, Resting};
use crate::time::Time;

/// What lay behind the first hop of circuits that were cut.
#[derive(Default)]
pub(super) struct CutPaths(Vec<CutPath>);

struct CutPath {
    /// When a circuit that went on like this was cut first: cutting it again makes nothing last longer.
    since: Time,
    behind: Vec<Arc<Record>>,
    /// Whether none goes on like this now.
    is_free: bool,
}

impl CutPaths {
    /// A circuit was cut that went on like this.
    pub(super) fn note(&mut self, behind: Vec<Arc<Record>>, now: Time) {
        self.0.retain(|path| now - path.since < CIRCUIT_AGE_MAX);
        if let Some(known) = self.0.iter_mut().find(|path| names(&path.behind).eq(names(&behind))) {
            known.is_free = true;
        } else if !behind.is_empty() && self.0.len() < CUT_PATHS_MAX {
            self.0.push(CutPath { since: now, behind, is_free: true });
        }
    }

    /// How a path of so many mixes with such an exit is to go on behind its first hop, if one was cut that did. Not
    /// over mixes that rest: they did not answer behind a first hop that did.
    pub(super) fn take(
        &mut self,
        hops: usize,
        wish: &ExitWish,
        (view, resting): (&View, &Resting),
        now: Time,
    ) -> Option<Vec<Arc<Record>>> {
        let is_there = |mix: &Arc<Record>| {
            let identity = mix.description().identity;
            view.get(identity) == Some(mix) && mix.description().until > now && !resting.has(identity, now)
        };
        let fits = |path: &&mut CutPath| {
            path.is_free
                && now - path.since < CUT_PATHS_KEPT
                && path.behind.len() + 1 == hops
                && path.behind.iter().all(is_there)
                && path.behind.last().is_some_and(|exit| wish.is_met_by(exit.description()))
        };
        let path = self.0.iter_mut().find(fits)?;
        path.is_free = false;
        Some(path.behind.clone())
    }
}

fn names(path: &[Arc<Record>]) -> impl Iterator<Item = NodeId> {
    path.iter().map(|mix| mix.description().identity)
}
