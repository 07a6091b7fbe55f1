//! Paths that were cut at their first hop, or before it: what lies behind is used again.
//!
//! Whoever can cut a user's line for a moment must not have him draw other mixes each time, until hostile ones are among
//! them. So the next circuits go on behind their first hop as those did that were cut.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::id::NodeId;
use crate::limits::{CUT_PATHS_KEPT, CUT_PATHS_MAX};
use crate::membership::{Record, View};
use crate::time::Time;

/// The mixes behind the first hop of circuits that were cut, and when.
#[derive(Default)]
pub(super) struct CutPaths(Vec<(Time, Vec<Arc<Record>>)>);

impl CutPaths {
    /// A circuit was cut that went on like this.
    pub(super) fn note(&mut self, behind: Vec<Arc<Record>>, now: Time) {
        self.0.retain(|(at, _)| now - *at < CUT_PATHS_KEPT);
        let names =
            |path: &[Arc<Record>]| path.iter().map(|mix| mix.description().identity).collect::<Vec<NodeId>>();
        let is_known = self.0.iter().any(|(_, known)| names(known) == names(&behind));
        if !behind.is_empty() && !is_known && self.0.len() < CUT_PATHS_MAX {
            self.0.push((now, behind));
        }
    }

    /// How a path of so many mixes, whose exit serves `port`, is to go on behind its first hop, if one was cut that did.
    pub(super) fn take(
        &mut self,
        hops: usize,
        port: Option<u16>,
        view: &View,
        now: Time,
    ) -> Option<Vec<Arc<Record>>> {
        let fits = |(at, behind): &(Time, Vec<Arc<Record>>)| {
            let is_there = |mix: &Arc<Record>| {
                view.get(mix.description().identity) == Some(mix) && mix.description().until > now
            };
            now - *at < CUT_PATHS_KEPT
                && behind.len() + 1 == hops
                && behind.iter().all(is_there)
                && behind.last().is_some_and(|exit| exit.description().serves(port))
        };
        let place = self.0.iter().position(fits)?;
        Some(self.0.remove(place).1)
    }
}
