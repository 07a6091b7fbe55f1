//! Circuits for streams: which one a stream gets, and how many are kept ahead of need.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::Origins;
use super::origin::Origin;
use super::supply::Need;
use crate::crypto::Suite;
use crate::id::{CircuitId, OriginKey};
use crate::limits::{
    BUILD_CELLS_EVERY, BUILDS_AT_ONCE_MAX, CIRCUIT_USE_MAX, OWN_CIRCUITS_MAX, SILENCE_PROBE_EVERY,
    STREAMS_PER_CIRCUIT_MAX,
};
use crate::membership::View;
use crate::node::context::Cx;
use crate::output::{Event, NotAttached};
use crate::route::{ExitWish, NoRoute};
use crate::time::Time;
use crate::timers::Timer;

/// One look at what is missing.
pub(in crate::node) struct Round {
    /// What has no route now must not keep the rest from having one.
    without_route: BTreeSet<ExitWish>,
    /// When to look again.
    next: Time,
}

impl<S: Suite> Origins<S> {
    // --- Use ------------------------------------------------------------------------------------------

    /// A stream wants a circuit. `forbidden`: why none may be chosen now, if the network document is the reason.
    pub(in crate::node) fn attach(
        &mut self,
        (stream, isolation, mut exit): (u64, [u8; 32], ExitWish),
        view: &View,
        forbidden: Option<NoRoute>,
        cx: &mut Cx<'_>,
    ) {
        if !has_exit_for(view, &exit, cx.now) {
            exit.avoid.clear(); // better one that may say no again
        }
        let refused = if self.client.is_none() || !has_exit_for(view, &exit, cx.now) {
            Some(NoRoute::NoExit(exit.port))
        } else {
            forbidden
        };
        if let Some(why) = refused {
            cx.out.events.push(Event::NotAttached { stream, why: NotAttached::NoRoute(why) });
            return;
        }
        let need = Need { stream, isolation, exit, since: cx.now };
        if self.try_attach(&need, cx) {
            return;
        }
        if self.supply.wait(need) {
            self.hurry_supply(cx);
        } else {
            cx.out.events.push(Event::NotAttached { stream, why: NotAttached::TooMany });
        }
    }

    /// Gives a stream a circuit of its isolation, or a spare one.
    fn try_attach(&mut self, need: &Need, cx: &mut Cx<'_>) -> bool {
        let now = cx.now;
        let serves = |origin: &Origin<S>| {
            origin.is_ready()
                && !origin.is_exhausted()
                && !origin.is_doubtful(now)
                && exit_serves(origin, &need.exit)
        };
        let young = |origin: &Origin<S>| {
            !origin.use_.retired
                && origin.use_.streams < STREAMS_PER_CIRCUIT_MAX
                && origin.use_.since.is_none_or(|since| now - since < CIRCUIT_USE_MAX)
        };
        let with = |isolation: Option<[u8; 32]>| {
            let fits =
                |origin: &Origin<S>| origin.use_.isolation == isolation && young(origin) && serves(origin);
            let found = || self.origins.iter().filter(|(_, origin)| fits(origin));
            let sound = found().find(|(_, origin)| self.is_sound(origin, now));
            sound.or_else(|| found().next()).map(|(key, _)| key)
        };
        let Some(key) = with(Some(need.isolation)).or_else(|| with(None)) else { return false };
        let origin = &mut self.origins[key];
        origin.use_.isolation = Some(need.isolation);
        origin.use_.since.get_or_insert(now);
        origin.use_.streams += 1;
        cx.out.events.push(Event::Attached { stream: need.stream, circuit: CircuitId::origin(key) });
        self.hurry_supply(cx);
        true
    }

    pub(super) fn serve_waiting(&mut self, cx: &mut Cx<'_>) {
        for need in self.supply.take_waiting() {
            if !self.try_attach(&need, cx) {
                self.supply.wait(need);
            }
        }
    }

    /// A stream on a circuit ended.
    pub(in crate::node) fn detach(&mut self, key: OriginKey, cx: &mut Cx<'_>) {
        let Some(origin) = self.origins.get_mut(key) else { return };
        origin.use_.streams = origin.use_.streams.saturating_sub(1);
        // Whether that was its last stream is for the next look to say.
        cx.timers.no_later_than(&mut origin.due, cx.now, Timer::Origin(key));
        // Somebody may wait for the room that it would give up.
        if self.origins.len() >= OWN_CIRCUITS_MAX && self.supply.waiting().next().is_some() {
            self.hurry_supply(cx);
        }
    }

    /// New streams get circuits that were never used; the others end after their last stream, each in its own time:
    /// if they all ended now, their exits could tell that they are one client's.
    pub(in crate::node) fn renew(&mut self) {
        for origin in self.origins.values_mut().filter(|origin| origin.use_.since.is_some()) {
            origin.use_.retired = true;
        }
    }

    /// Tells all streams that wait that they wait in vain.
    pub(super) fn refuse_waiting(&mut self, cx: &mut Cx<'_>) {
        for need in self.supply.take_waiting() {
            let why = NotAttached::NoRoute(NoRoute::NoExit(need.exit.port));
            cx.out.events.push(Event::NotAttached { stream: need.stream, why });
        }
    }

    // --- Supply ---------------------------------------------------------------------------------------

    /// Begins to look whether enough circuits are ready or under construction; not where nobody wants any.
    pub(in crate::node) fn begin_round(&mut self, cx: &mut Cx<'_>) -> Option<Round> {
        cx.timers.unset(&mut self.supply.due, Timer::Supply);
        while let Some(need) = self.supply.overdue(cx.now) {
            cx.out.events.push(Event::NotAttached { stream: need.stream, why: NotAttached::TimedOut });
        }
        self.client.map(|_| Round { without_route: BTreeSet::new(), next: self.supply.patience() })
    }

    /// What the exit of the circuit shall be like that is to be begun next, if one is.
    pub(in crate::node) fn next_to_begin(&mut self, round: &mut Round, cx: &mut Cx<'_>) -> Option<ExitWish> {
        let wish = self.missing(&round.without_route, cx)?;
        if cx.now < self.supply.not_before() {
            round.next = round.next.min(self.supply.not_before());
            return None;
        }
        self.make_room(cx).then_some(wish)
    }

    /// It could not be begun.
    pub(in crate::node) fn not_begun(
        &self,
        round: &mut Round,
        wish: ExitWish,
        why: NoRoute,
        cx: &mut Cx<'_>,
    ) {
        cx.out.events.push(Event::NoRoute(why));
        round.without_route.insert(wish);
    }

    /// Nothing is heard on our line, or nothing was: nothing is begun before more is known.
    pub(in crate::node) fn postpone(&mut self, round: Round, cx: &mut Cx<'_>) {
        cx.timers.set(&mut self.supply.due, round.next.min(cx.now + SILENCE_PROBE_EVERY), Timer::Supply);
    }

    pub(in crate::node) fn end_round(&mut self, round: Round, cx: &mut Cx<'_>) {
        let mut next = round.next;
        if !round.without_route.is_empty() {
            self.supply.failed(cx.now);
            next = next.min(self.supply.not_before());
        }
        // A circuit that takes long to build is not counted any more after this, and gets company.
        let builds = self.origins.values().filter(|origin| !origin.is_ready()).map(|origin| origin.slow_at());
        let next = builds.filter(|at| *at > cx.now).fold(next, Time::min);
        cx.timers.set(&mut self.supply.due, next, Timer::Supply);
    }

    /// Whether another circuit should be begun, and what its exit shall be like.
    fn missing(&self, without_route: &BTreeSet<ExitWish>, cx: &Cx<'_>) -> Option<ExitWish> {
        let now = cx.now;
        let origins = || self.origins.values().map(Box::as_ref);
        let building = origins().filter(|origin| !origin.is_ready());
        if building.clone().count() >= builds_at_once(cx) {
            return None;
        }
        let fresh = building.filter(|origin| !origin.is_suspected());
        let unused = origins().filter(|origin| origin.is_ready() && origin.use_.isolation.is_none());
        let coming: Vec<&Origin<S>> = fresh.chain(unused.filter(|origin| !origin.is_suspected())).collect();

        // Every isolation that waits needs a circuit to a fitting exit; and some are kept in store.
        let groups: BTreeSet<[u8; 32]> = self.supply.waiting().map(|need| need.isolation).collect();
        let mut wishes: BTreeSet<&ExitWish> = self.supply.waiting().map(|need| &need.exit).collect();
        wishes.retain(|wish| !without_route.contains(*wish));
        let unserved = |wish: &&&ExitWish| !coming.iter().any(|origin| exit_serves(origin, wish));
        if let Some(wish) = wishes.iter().find(unserved) {
            return Some((*wish).clone());
        }
        let wanted = wishes.first().copied().cloned().unwrap_or_default();
        // If all in store go through mixes that may be dead, there are two more: a build may lose a datagram.
        let in_danger =
            self.supply.spare > 0 && self.resting.as_ref().is_some_and(|resting| resting.any(now));
        let is_safe = || coming.iter().any(|origin| origin.is_ready() && self.is_sound(origin, now));
        let more = if in_danger && !is_safe() { 2 } else { 0 };
        let enough = coming.len() >= self.spare_wanted(cx) + groups.len() + more;
        (!enough && !without_route.contains(&wanted)).then_some(wanted)
    }
}

/// Circuits under construction at once: where slots are few, more would only be in each other's way, and in that of what users
/// have to say.
fn builds_at_once(cx: &Cx<'_>) -> usize {
    let Some(gap) = cx.design.cover.widest_gap(cx.design.geometry) else { return BUILDS_AT_ONCE_MAX };
    let fit = BUILD_CELLS_EVERY.as_nanos() / gap.as_nanos().max(1);
    (fit as usize).clamp(1, BUILDS_AT_ONCE_MAX)
}

fn exit_serves<S: Suite>(origin: &Origin<S>, wish: &ExitWish) -> bool {
    origin.exit().is_some_and(|record| wish.is_met_by(record.description()))
}

fn has_exit_for(view: &View, wish: &ExitWish, now: Time) -> bool {
    view.records().map(|record| record.description()).any(|mix| mix.until > now && wish.is_met_by(mix))
}
