//! Sticky first hops.
//!
//! Whoever owns a first hop sees us. A fresh one for every circuit would meet a hostile one soon; a few kept
//! for long meet none, or always the same (Øverlier and Syverson 2006).
//!
//! A hostile one can refuse to go on to mixes that are not its own, until only circuits come up which it sees at both ends. So
//! it is counted how many hold of those that got past it ("path bias", as in Tor's path specification, section 7).

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::capacity::pick_by_capacity;
use crate::id::NodeId;
use crate::limits::{
    FIRST_HOP_HELD_PERCENT, FIRST_HOP_REST, FIRST_HOP_TRIALS, FIRST_HOP_TRIALS_KEPT, FIRST_HOPS,
    FIRST_HOPS_MAX,
};
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
    trials: Trials,
    /// Too few circuits held that went past it: it is used where there is no other one.
    is_mistrusted: bool,
}

/// What became of circuits that went past a first hop.
#[derive(Clone, Copy, Debug, Default)]
struct Trials {
    all: u16,
    held: u16,
}

impl FirstHop {
    fn new(id: NodeId) -> Self {
        Self { id, rests_until: Time::ZERO, trials: Trials::default(), is_mistrusted: false }
    }

    fn is_awake(&self, now: Time) -> bool {
        self.rests_until <= now && !self.is_mistrusted
    }
}

impl Trials {
    fn note(&mut self, has_held: bool) {
        if self.all >= FIRST_HOP_TRIALS_KEPT {
            *self = Self { all: self.all / 2, held: self.held / 2 };
        }
        self.all += 1;
        self.held += u16::from(has_held);
    }

    fn are_bad(self) -> bool {
        self.all >= FIRST_HOP_TRIALS && self.held * 100 < self.all * FIRST_HOP_HELD_PERCENT
    }
}

impl FirstHops {
    /// The first hops of an earlier run, oldest first.
    pub fn new(kept: impl IntoIterator<Item = NodeId>) -> Self {
        Self { hops: kept.into_iter().take(FIRST_HOPS_MAX).map(FirstHop::new).collect() }
    }

    /// Their names, oldest first, to keep for the next run; behind them those that are not trusted any more.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> {
        let of = |is_mistrusted| self.hops.iter().filter(move |hop| hop.is_mistrusted == is_mistrusted);
        of(false).chain(of(true)).map(|hop| hop.id)
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
        let awake = self.hops.iter().filter(|hop| hop.is_awake(now)).count();
        for _ in awake..FIRST_HOPS {
            self.add(view, rng, now);
        }
        let (awake, mut resting): (Vec<&FirstHop>, Vec<&FirstHop>) =
            self.hops.iter().partition(|hop| hop.is_awake(now));
        let mut order: Vec<&FirstHop> = awake.into_iter().take(FIRST_HOPS).collect();
        let in_use = in_use.min(order.len());
        rng.shuffle(&mut order[..in_use]);
        resting.sort_by_key(|hop| (hop.is_mistrusted, hop.rests_until));
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

    /// Notes what became of a circuit that got past a first hop: whether it came up, or broke then or later. Says so, once, if
    /// the hop is not trusted any more.
    pub(crate) fn led_on(&mut self, id: NodeId, has_held: bool) -> bool {
        let Some(hop) = self.hops.iter_mut().find(|hop| hop.id == id) else { return false };
        hop.trials.note(has_held);
        let is_news = !hop.is_mistrusted && hop.trials.are_bad();
        hop.is_mistrusted |= is_news;
        is_news
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
            self.hops.push(FirstHop::new(record.description().identity));
        }
    }
}
