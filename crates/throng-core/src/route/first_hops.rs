//! Sticky first hops.
//!
//! Whoever owns a first hop sees us. A fresh one for every circuit would meet a hostile one soon; a few kept
//! for long meet none, or always the same (Øverlier and Syverson 2006; DESIGN D11).

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::NoRoute;
use crate::limits::{FIRST_HOP_REST, FIRST_HOPS, FIRST_HOPS_MAX};
use crate::membership::{NodeId, View};
use crate::rng::Rng;
use crate::time::Time;
use crate::wire::record::{Description, Record};

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

    /// Draws one of the sticky ones that the path allows; a new one joins only when too few of them answer.
    pub(crate) fn choose(
        &mut self,
        view: &View,
        allowed: impl Fn(&Description) -> bool,
        rng: &mut Rng,
        now: Time,
    ) -> Result<Arc<Record>, NoRoute> {
        let awake = self.hops.iter().filter(|hop| hop.rests_until <= now && view.get(hop.id).is_some());
        let missing = FIRST_HOPS.saturating_sub(awake.count());
        for _ in 0..missing {
            self.add(view, &allowed, rng);
        }
        let usable = |hop: &FirstHop| {
            let record = view.get(hop.id).filter(|_| hop.rests_until <= now)?;
            allowed(record.description()).then(|| Arc::clone(record))
        };
        let mut candidates: Vec<_> = self.hops.iter().filter_map(usable).take(FIRST_HOPS).collect();
        if candidates.is_empty() {
            // All sticky ones collide with this exit, or rest: one more, which the path allows.
            self.add(view, &allowed, rng);
            candidates.extend(self.hops.iter().filter_map(usable));
        }
        rng.pick(&candidates).cloned().ok_or(NoRoute::NoFirstHop)
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

    fn add(&mut self, view: &View, allowed: &impl Fn(&Description) -> bool, rng: &mut Rng) {
        let new = |record: &&Arc<Record>| {
            let mix = record.description();
            allowed(mix) && self.hops.iter().all(|hop| hop.id != mix.identity)
        };
        let candidates: Vec<_> = view.records().filter(new).collect();
        let Some(record) = rng.pick(&candidates) else { return };
        if self.hops.len() >= FIRST_HOPS_MAX {
            // Begin again with the oldest: the newest, least known one makes room.
            self.hops.pop();
            self.hops.iter_mut().for_each(|hop| hop.rests_until = Time::ZERO);
        }
        self.hops.push(FirstHop { id: record.description().identity, rests_until: Time::ZERO });
    }
}
