//! Sticky first hops.
//!
//! Whoever owns a first hop sees us. A fresh one for every circuit would meet a hostile one soon; a few kept
//! for long meet none, or always the same (Øverlier and Syverson 2006).

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::capacity::pick_by_capacity;
use crate::id::NodeId;
use crate::limits::{FIRST_HOP_REST, FIRST_HOPS, FIRST_HOPS_MAX};
use crate::membership::Record;
use crate::membership::View;
use crate::rng::Rng;
use crate::time::Time;

/// The first hops of a client, oldest first: the first [`FIRST_HOPS`] that answer are used.
#[derive(Clone, Debug, Default)]
pub struct FirstHops {
    hops: Vec<FirstHop>,
}

#[derive(Clone, Debug)]
struct FirstHop {
    id: NodeId,
    /// It did not answer; not to be asked before.
    rests_until: Time,
}

impl FirstHops {
    /// The first hops of an earlier run, oldest first.
    pub fn new(kept: impl IntoIterator<Item = NodeId>) -> Self {
        let hop = |id| FirstHop { id, rests_until: Time::ZERO };
        Self { hops: kept.into_iter().take(FIRST_HOPS_MAX).map(hop).collect() }
    }

    /// Their names, oldest first, to keep for the next run.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> {
        self.hops.iter().map(|hop| hop.id)
    }

    /// Of the first [`FIRST_HOPS`] that are known and do not rest, `in_use` in random order, then the others; behind them,
    /// as a last resort, those that rest, the longest first. New ones join only where too few are left, and never more than
    /// [`FIRST_HOPS_MAX`] in all: then the oldest are tried again.
    pub(crate) fn in_order(
        &mut self,
        view: &View,
        in_use: usize,
        rng: &mut Rng,
        now: Time,
    ) -> Vec<Arc<Record>> {
        self.hops.retain(|hop| view.get(hop.id).is_some_and(|record| record.description().until > now));
        let awake = self.hops.iter().filter(|hop| hop.rests_until <= now).count();
        for _ in awake..FIRST_HOPS {
            self.add(view, rng, now);
        }
        let (awake, mut resting): (Vec<&FirstHop>, Vec<&FirstHop>) =
            self.hops.iter().partition(|hop| hop.rests_until <= now);
        let mut order: Vec<&FirstHop> = awake.into_iter().take(FIRST_HOPS).collect();
        let in_use = in_use.min(order.len());
        rng.shuffle(&mut order[..in_use]);
        resting.sort_by_key(|hop| hop.rests_until);
        order.extend(resting);
        order.into_iter().filter_map(|hop| view.get(hop.id).cloned()).collect()
    }

    /// Notes that a first hop did not answer.
    pub(crate) fn failed(&mut self, id: NodeId, now: Time) {
        if let Some(hop) = self.hops.iter_mut().find(|hop| hop.id == id) {
            hop.rests_until = now + FIRST_HOP_REST;
        }
    }

    /// Notes that it did.
    pub(crate) fn answered(&mut self, id: NodeId) {
        if let Some(hop) = self.hops.iter_mut().find(|hop| hop.id == id) {
            hop.rests_until = Time::ZERO;
        }
    }

    fn add(&mut self, view: &View, rng: &mut Rng, now: Time) {
        if self.hops.len() >= FIRST_HOPS_MAX {
            self.hops.iter_mut().for_each(|hop| hop.rests_until = Time::ZERO);
            return;
        }
        let new = |record: &&Arc<Record>| {
            let mix = record.description();
            mix.until > now && self.hops.iter().all(|hop| hop.id != mix.identity)
        };
        let candidates: Vec<_> = view.records().filter(new).collect();
        if let Some(record) = pick_by_capacity(&candidates, rng) {
            self.hops.push(FirstHop { id: record.description().identity, rests_until: Time::ZERO });
        }
    }
}
