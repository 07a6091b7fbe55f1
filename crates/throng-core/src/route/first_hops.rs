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
    FIRST_HOP_FORGIVEN_AFTER, FIRST_HOP_HELD_PERCENT, FIRST_HOP_REST, FIRST_HOP_TRIALS,
    FIRST_HOP_TRIALS_BESIDE, FIRST_HOP_TRIALS_KEPT, FIRST_HOPS, FIRST_HOPS_LOST_MAX, FIRST_HOPS_MAX,
};
use crate::membership::Record;
use crate::membership::View;
use crate::rng::Rng;
use crate::time::Time;

/// The first hops of a client, oldest first: the first [`FIRST_HOPS`] that answer are used.
#[derive(Clone, Debug)]
pub struct FirstHops {
    hops: Vec<FirstHop>,
    /// Since when circuits are wanted and none came up; never, if one did.
    lost_since: Time,
    /// When one was wanted last.
    wanted_at: Time,
}

#[derive(Clone, Debug)]
struct FirstHop {
    id: NodeId,
    /// It did not answer; not to be asked before.
    rests_until: Time,
    /// When it answered last; zero if it did not.
    answered: Time,
    /// Of circuits that somebody used.
    used: Trials,
    /// Of circuits that nobody had used yet: a first hop may break only those that are, or only those that are not.
    unused: Trials,
    /// Until then it is used only where there is no other one: too few circuits held that went past it.
    mistrusted_until: Time,
}

/// What became of circuits that went past a first hop.
#[derive(Clone, Copy, Debug, Default)]
struct Trials {
    all: u16,
    held: u16,
}

impl FirstHop {
    fn new(id: NodeId) -> Self {
        let (used, unused) = (Trials::default(), Trials::default());
        Self { id, rests_until: Time::ZERO, answered: Time::ZERO, used, unused, mistrusted_until: Time::ZERO }
    }

    fn is_mistrusted(&self, now: Time) -> bool {
        self.mistrusted_until > now
    }

    fn is_awake(&self, now: Time) -> bool {
        self.rests_until <= now && !self.is_mistrusted(now)
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

    /// Whether three times as large a part of them held.
    fn are_much_better_than(self, other: Self) -> bool {
        let (held, others) = (u32::from(self.held), u32::from(other.held));
        self.all >= FIRST_HOP_TRIALS_BESIDE
            && held * u32::from(other.all) >= 3 * others * u32::from(self.all)
            && held > 0
    }
}

impl FirstHops {
    /// The first hops of an earlier run, oldest first.
    pub fn new(kept: impl IntoIterator<Item = NodeId>) -> Self {
        let hops = kept.into_iter().take(FIRST_HOPS_MAX).map(FirstHop::new).collect();
        Self { hops, lost_since: Time::NEVER, wanted_at: Time::ZERO }
    }

    /// Their names, oldest first, to keep for the next run; behind them those that are not trusted any more.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> {
        let is_trusted = |hop: &&FirstHop| hop.mistrusted_until == Time::ZERO;
        let others = self.hops.iter().filter(move |hop| !is_trusted(hop));
        self.hops.iter().filter(is_trusted).chain(others).map(|hop| hop.id)
    }

    /// Of the first [`FIRST_HOPS`] that are known and do not rest, `in_use` in random order, then the others; behind them,
    /// as a last resort, those that rest, the longest first. New ones join where too few are trusted.
    pub(crate) fn in_order(
        &mut self,
        view: &View,
        in_use: usize,
        rng: &mut Rng,
        now: Time,
    ) -> Vec<Arc<Record>> {
        self.hops.retain(|hop| view.get(hop.id).is_some_and(|record| record.description().until > now));
        let trusted = self.hops.iter().filter(|hop| !hop.is_mistrusted(now)).count();
        for _ in trusted..FIRST_HOPS {
            self.add(view, rng, now);
        }
        let (awake, mut resting): (Vec<&FirstHop>, Vec<&FirstHop>) =
            self.hops.iter().partition(|hop| hop.is_awake(now));
        let mut order: Vec<&FirstHop> = awake.into_iter().take(FIRST_HOPS).collect();
        let in_use = in_use.min(order.len());
        rng.shuffle(&mut order[..in_use]);
        resting.sort_by_key(|hop| (hop.is_mistrusted(now), hop.rests_until));
        order.extend(resting);
        order.into_iter().filter_map(|hop| view.get(hop.id).cloned()).collect()
    }

    /// A circuit is wanted. If none came up for [`FIRST_HOPS_LOST_MAX`] although they were wanted, another first hop joins, should
    /// that help: whether it may is asked with those that answered meanwhile. (Not sooner: whoever cuts our line for a moment must
    /// not have us look for others.) There are never more than [`FIRST_HOPS_MAX`] in all: then the oldest are tried again.
    pub(crate) fn join_if_lost(
        &mut self,
        view: &View,
        may_help: impl FnOnce(&[Arc<Record>]) -> bool,
        rng: &mut Rng,
        now: Time,
    ) {
        let is_new = self.lost_since == Time::NEVER || now - self.wanted_at >= FIRST_HOP_REST;
        self.wanted_at = now;
        if is_new {
            self.lost_since = now;
        }
        if now - self.lost_since < FIRST_HOPS_LOST_MAX {
            return;
        }
        let has_answered = |hop: &&FirstHop| {
            !hop.is_mistrusted(now) && hop.answered != Time::ZERO && now - hop.answered < FIRST_HOPS_LOST_MAX
        };
        let answering = self.hops.iter().filter(has_answered);
        let answering: Vec<_> = answering.filter_map(|hop| view.get(hop.id).cloned()).collect();
        if may_help(&answering) {
            self.lost_since = now;
            self.add(view, rng, now);
        }
    }

    /// Notes that a circuit came up.
    pub(crate) fn led_to_an_exit(&mut self) {
        self.lost_since = Time::NEVER;
    }

    /// Notes that a first hop did not answer.
    pub(crate) fn failed(&mut self, id: NodeId, now: Time) {
        if let Some(hop) = self.hops.iter_mut().find(|hop| hop.id == id) {
            hop.rests_until = now + FIRST_HOP_REST;
        }
    }

    /// Notes that it did.
    pub(crate) fn answered(&mut self, id: NodeId, now: Time) {
        if let Some(hop) = self.hops.iter_mut().find(|hop| hop.id == id) {
            (hop.rests_until, hop.answered) = (Time::ZERO, now);
        }
    }

    /// Notes what became of a circuit that got past a first hop, used or not: whether it held until we needed it no more. Says so if the hop
    /// gives way to another one. That takes another first hop behind which circuits do hold, since whatever breaks them further
    /// on breaks them behind all; and it never happens to all, or who can break circuits would choose our first hops.
    pub(crate) fn led_on(&mut self, id: NodeId, was_used: bool, has_held: bool, now: Time) -> bool {
        let trials = |hop: &FirstHop| if was_used { hop.used } else { hop.unused };
        let mistrusted = self.hops.iter().filter(|hop| hop.is_mistrusted(now)).count();
        let Some(hop) = self.hops.iter_mut().find(|hop| hop.id == id) else { return false };
        if was_used {
            hop.used.note(has_held)
        } else {
            hop.unused.note(has_held)
        }
        let (own, is_mistrusted) = (trials(hop), hop.is_mistrusted(now));
        let is_worst = self.hops.iter().any(|other| trials(other).are_much_better_than(own));
        let gives_way = own.are_bad() && is_worst && !is_mistrusted && mistrusted + 1 < FIRST_HOPS;
        if let Some(hop) = self.hops.iter_mut().find(|hop| gives_way && hop.id == id) {
            *hop = FirstHop { mistrusted_until: now + FIRST_HOP_FORGIVEN_AFTER, ..FirstHop::new(id) };
        }
        gives_way
    }

    /// Whether a first hop gave way to another one.
    pub(crate) fn is_mistrusted(&self, id: NodeId, now: Time) -> bool {
        self.hops.iter().any(|hop| hop.id == id && hop.is_mistrusted(now))
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
            self.hops.reserve_exact(1); // few ever join, and many users are simulated
            self.hops.push(FirstHop::new(record.description().identity));
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn three() -> (FirstHops, [NodeId; 3]) {
        let ids = [1, 2, 3].map(|number| NodeId([number; 32]));
        (FirstHops::new(ids), ids)
    }

    /// Of a hundred circuits past each first hop, so many hold. Which first hops give way.
    fn gone(held: [u32; 3], now: Time) -> Vec<NodeId> {
        let (mut hops, ids) = three();
        let mut gone = Vec::new();
        for trial in 0..100 {
            for (id, held) in ids.into_iter().zip(held) {
                if hops.led_on(id, true, trial * 37 % 100 < held, now) {
                    gone.push(id);
                }
            }
        }
        gone
    }

    #[test]
    fn a_first_hop_gives_way_only_if_circuits_hold_behind_another_one() {
        let now = Time::from_secs(1);
        let id = |number| NodeId([number; 32]);
        assert_eq!(gone([8, 95, 90], now), [id(1)]);
        assert_eq!(gone([8, 40, 5], now), [id(1), id(3)], "two of three hostile, and a third of all mixes");
        assert_eq!(gone([0, 0, 0], now), [], "whatever breaks circuits behind all: an outage of the exits");
        assert_eq!(gone([8, 10, 9], now), [], "or mixes that answer nobody");
        assert_eq!(gone([40, 95, 95], now), [], "bad, and not as bad as that");
    }

    #[test]
    fn a_first_hop_that_breaks_only_what_is_used_gives_way_however_much_holds_that_is_not() {
        let (mut hops, ids) = three();
        let now = Time::from_secs(1);
        let mut gone = Vec::new();
        for trial in 0..100 {
            for id in ids {
                (0..10).for_each(|_| assert!(!hops.led_on(id, false, true, now)));
                if hops.led_on(id, true, id != ids[1] || trial % 20 == 0, now) {
                    gone.push(id);
                }
            }
        }
        assert_eq!(gone, [ids[1]]);
    }

    #[test]
    fn never_do_all_give_way_and_each_is_forgiven_after_a_week() {
        let (mut hops, ids) = three();
        let mut count = |now| {
            let mut count = 0;
            for trial in 0..1000 {
                // Somebody on the line breaks what goes past whichever first hop is the best.
                count += ids
                    .iter()
                    .filter(|id| hops.led_on(**id, false, trial % 3 == 0 && **id == ids[trial / 90 % 3], now))
                    .count();
            }
            (count, ids.iter().filter(|id| hops.is_mistrusted(**id, now)).count())
        };
        let (most, at_once) = count(Time::ZERO + DAY);
        assert!(most <= 2 && at_once <= 2, "{most} gave way");
        assert_eq!(ids.iter().filter(|id| hops.is_mistrusted(**id, Time::ZERO + 9 * DAY)).count(), 0);
    }
}
