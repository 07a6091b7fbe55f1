//! Whether own circuits live, and what follows if one does not.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Origins;
use super::origin::{BuildStage, Origin};
use crate::crypto::Suite;
use crate::effect::Effect;
use crate::id::{CircuitId, OriginKey};
use crate::limits::{
    CIRCUIT_AGE_MAX, CIRCUIT_SPARE_MAX, CIRCUIT_USE_MAX, CIRCUIT_YOUNG, IDLE_PROBE, OWN_CIRCUITS_MAX,
    QUESTIONS_MIN, SETUP_SENDS_MAX, SILENCE_PROBE_EVERY,
};
use crate::membership::{Record, View};
use crate::node::context::Cx;
use crate::output::Event;
use crate::silence::{Hearing, Pulse};
use crate::time::Time;
use crate::timers::Timer;
use crate::wire::control::Ended;
use crate::wire::message::Message;

/// What a look at a circuit came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::node) enum Look {
    /// Nothing more is to be done.
    Done,
    /// Whether it is dead, only its first hop can show, by an answer.
    FirstHopIsToBeAsked,
}

impl<S: Suite> Origins<S> {
    /// A circuit's time has come. `first`: how its first hop is heard.
    pub(in crate::node) fn look(&mut self, key: OriginKey, first: Hearing, cx: &mut Cx<'_>) -> Look {
        let Some(origin) = self.origins.get_mut(key) else { return Look::Done };
        cx.timers.unset(&mut origin.due, Timer::Origin(key));
        if let BuildStage::Building(building) = &origin.stage {
            if cx.now >= origin.given_up_at() || building.sends >= SETUP_SENDS_MAX {
                self.end_silent(key, Ended::NotBuilt, first, cx);
            } else {
                self.request_hop(key, cx);
            }
            return Look::Done;
        }
        if self.is_of_use(key, cx) { self.watch(key, first, cx) } else { Look::Done }
    }

    /// Whether a circuit that is ready is still of use. If not, it ends.
    fn is_of_use(&mut self, key: OriginKey, cx: &mut Cx<'_>) -> bool {
        let origin = &self.origins[key];
        let used_up = match origin.use_.since {
            Some(since) => {
                origin.use_.streams == 0 && (origin.use_.retired || cx.now - since >= CIRCUIT_USE_MAX)
            }
            None => cx.now - origin.started >= CIRCUIT_SPARE_MAX,
        };
        let is_old = cx.now - origin.started >= CIRCUIT_AGE_MAX || origin.is_exhausted();
        if used_up || is_old {
            self.end(key, if used_up { Ended::Finished } else { Ended::Old }, cx);
        }
        !used_up && !is_old
    }

    /// Looks whether a circuit lives. While its first hop is silent, too, nobody can say; and only if the first hop has answered a
    /// question that was sent with the latest one to the circuit, its silence counts: whoever holds up for a moment what we send must
    /// not make us draw another path.
    fn watch(&mut self, key: OriginKey, first: Hearing, cx: &mut Cx<'_>) -> Look {
        let origin = &mut self.origins[key];
        let (next, look) = match (origin.pulse(cx.now), first) {
            (Pulse::Look(at), _) => (at, Look::Done),
            (Pulse::Calm, _) => (cx.now + IDLE_PROBE, Look::Done),
            (Pulse::Ask | Pulse::Dead, Hearing::Nothing | Hearing::NotFirstHop) => {
                origin.excuse(cx.now);
                if first == Hearing::NotFirstHop {
                    self.suspect(key, false, cx);
                }
                (cx.now + SILENCE_PROBE_EVERY, Look::Done)
            }
            (pulse, Hearing::Well(asked_at)) => {
                let is_proved = origin.is_told_from_its_first_hop(asked_at);
                if is_proved && pulse == Pulse::Dead {
                    self.end_silent(key, Ended::Silent, first, cx);
                    return Look::Done;
                }
                self.ask_behind(key, is_proved, cx)
            }
        };
        if let Some(origin) = self.origins.get_mut(key) {
            cx.timers.set(&mut origin.due, next, Timer::Origin(key));
        }
        look
    }

    /// Asks a circuit whose first hop is heard; when to look again, and what else is to be done. `is_proved`: whether it is the circuit that
    /// is silent.
    fn ask_behind(&mut self, key: OriginKey, is_proved: bool, cx: &mut Cx<'_>) -> (Time, Look) {
        let origin = &mut self.origins[key];
        if !is_proved {
            let is_early = origin.questions() < QUESTIONS_MIN;
            let next = self.ask(key, cx);
            let soon = cx.now + SILENCE_PROBE_EVERY;
            return (if is_early { next.min(soon) } else { next }, Look::FirstHopIsToBeAsked);
        }
        if origin.is_unanswered(cx.now) && (origin.is_doubted() || self.supply.may_redraw(cx.now)) {
            origin.doubt();
            let dead = origin.silent_since().filter(|_| origin.is_probably_dead(cx.now));
            let dead = dead.map(|since| (origin.path.clone(), since));
            self.suspect(key, true, cx);
            dead.iter().for_each(|(path, since)| self.doubt_others(path, *since));
        }
        (self.ask(key, cx), Look::Done)
    }

    /// Asks the last hop whether it is there. When to look again.
    ///
    /// On a covered circuit every cell is answered by a covered one: a question beside them would show that some were
    /// missing.
    pub(super) fn ask(&mut self, key: OriginKey, cx: &mut Cx<'_>) -> Time {
        let token = cx.chance.keys.u32();
        if let Some(origin) = self.origins.get_mut(key).filter(|origin| origin.pace.is_some()) {
            return origin.asked(token, Time::NEVER, cx.now);
        }
        self.send_message(key, &Message::Probe { token }, Time::ZERO, cx);
        self.origins.get_mut(key).map_or(Time::NEVER, |origin| origin.asked(token, cx.now, cx.now))
    }

    /// Ends a circuit of our own, and begins another one where it is missing.
    pub(in crate::node) fn end(&mut self, key: OriginKey, why: Ended, cx: &mut Cx<'_>) {
        let is_our_wish = matches!(why, Ended::Finished | Ended::Old);
        let Some(origin) = self.origins.get(key) else { return };
        if matches!(why, Ended::Silent | Ended::NotBuilt) {
            self.cut.get_or_insert_default().note(origin.mixes().into_iter().skip(1).collect(), cx.now);
        } else if is_our_wish && origin.is_ready() {
            self.note_first_hop(key, true, cx);
        }
        self.take_down(key, why, cx);
    }

    fn take_down(&mut self, key: OriginKey, why: Ended, cx: &mut Cx<'_>) {
        let Some(mut origin) = self.origins.remove(key) else { return };
        cx.timers.unset(&mut origin.due, Timer::Origin(key));
        origin.stop_covering(key, cx);
        (0..origin.path.len()).for_each(|place| self.parts.forget((key, place as u8)));
        // The hops need not know why: they would know something about us.
        let said = if why == Ended::Leaving { why } else { Ended::Finished };
        cx.tell(Effect::CircuitOff { link: origin.link, name: origin.name, told: Some(said) });
        if origin.is_ready() {
            cx.out.events.push(Event::CircuitEnded { circuit: CircuitId::origin(key), why });
        } else {
            cx.counts.circuits_failed += 1;
            self.supply.failed(cx.now);
            // Whoever holds up what we send must not have a covered client call another one.
            if origin.hops_done() == 0
                && (why != Ended::NotBuilt || cx.first_hops_in_use() > 1)
                && let Some(first) = origin.mixes().first()
            {
                self.first_hops.failed(first.description().identity, cx.now);
            }
            cx.out.events.push(Event::CircuitNotBuilt { hops: origin.hops_done(), why });
        }
        self.hurry_supply(cx);
    }

    /// Ends a circuit that does not answer. If its first hop is silent as well, our own line may be cut, and whoever can cut it must
    /// not have us look for other mixes.
    fn end_silent(&mut self, key: OriginKey, why: Ended, first: Hearing, cx: &mut Cx<'_>) {
        match first {
            Hearing::Well(_) if self.supply.may_redraw(cx.now) => self.let_down(key, why, cx),
            Hearing::Well(_) | Hearing::NotFirstHop | Hearing::Nothing => self.end(key, why, cx),
        }
    }

    /// Ends a circuit that somebody on it broke, whatever he says.
    pub(in crate::node) fn let_down(&mut self, key: OriginKey, why: Ended, cx: &mut Cx<'_>) {
        self.note_first_hop(key, false, cx);
        let ready = self.origins.get(key).filter(|origin| origin.is_ready());
        if ready.is_some_and(|origin| why != Ended::Silent && cx.now - origin.started < CIRCUIT_YOUNG) {
            self.supply.ended_young(cx.now);
        }
        let silent = ready.filter(|_| why == Ended::Silent); // a neighbour of the dead mix says so
        if let Some((path, since)) = silent.map(|origin| (origin.path.clone(), origin.silent_since())) {
            self.let_rest(path.iter().skip(1), cx.now);
            self.doubt_others(&path, since.unwrap_or(cx.now));
        }
        self.take_down(key, why, cx);
    }

    /// Notes whether a circuit held that got past its first hop. If too few do, none is built there any more.
    fn note_first_hop(&mut self, key: OriginKey, has_held: bool, cx: &mut Cx<'_>) {
        let Some(origin) = self.origins.get(key).filter(|origin| origin.hops_done() > 0) else { return };
        let Some(first) = origin.path.first().map(|record| record.description().identity) else { return };
        if self.first_hops.led_on(first, origin.use_.since.is_some(), has_held, cx.now) {
            cx.out.events.push(Event::FirstHopMistrusted(first));
        }
    }

    /// Ends circuits in store whose path is not wanted any more.
    pub(in crate::node) fn end_unused(
        &mut self,
        view: &View,
        unwanted: impl Fn(&[Arc<Record>], &View) -> bool,
        cx: &mut Cx<'_>,
    ) {
        let unused = self.origins.iter().filter(|(_, origin)| origin.use_.isolation.is_none());
        let unwanted = unused.filter(|(_, origin)| unwanted(&origin.mixes(), view));
        let ended: Vec<_> = unwanted.map(|(key, _)| key).collect();
        ended.into_iter().for_each(|key| self.end(key, Ended::Finished, cx));
    }

    /// Whether one more circuit fits. If there are too many, the one ends that was in use first and is not any more.
    pub(super) fn make_room(&mut self, cx: &mut Cx<'_>) -> bool {
        if self.origins.len() < OWN_CIRCUITS_MAX {
            return true;
        }
        let idle = self.origins.iter().filter(|(_, origin)| origin.is_ready() && origin.use_.streams == 0);
        let oldest = idle.filter_map(|(key, origin)| Some((origin.use_.since?, key))).min();
        if let Some((_, key)) = oldest {
            self.end(key, Ended::Finished, cx);
        }
        oldest.is_some()
    }

    /// A circuit does not answer a question. Should it be dead, another one shall be ready by the time that
    /// this is certain: one that does not go through its mixes; if already its first hop is silent, not through that.
    fn suspect(&mut self, key: OriginKey, first_is_heard: bool, cx: &mut Cx<'_>) {
        cx.out.events.push(Event::CircuitDoubted { circuit: CircuitId::origin(key) });
        let path = self.origins[key].path.clone();
        if first_is_heard {
            self.let_rest(path.iter().skip(1), cx.now);
        } else {
            self.let_rest(path.iter().take(1), cx.now);
            self.cut.get_or_insert_default().note(path[1..].to_vec(), cx.now);
        }
        self.hurry_supply(cx);
    }

    /// Circuits that take long to come up get company. Where their first hops answered, it goes elsewhere; also past these, if others
    /// of ours are in use: one may be cut off from all mixes but not from us. (With cover there is one first hop, and which one must
    /// not follow the load.)
    ///
    /// A first hop that does not answer while others do costs nothing: nobody behind it has met us.
    pub(in crate::node) fn doubt_slow_builds(&mut self, does_nobody_answer: bool, cx: &Cx<'_>) {
        let kept = usize::from(cx.first_hops_in_use() == 1);
        let mut stuck = Vec::new();
        for origin in self.origins.values_mut() {
            let is_slow = !origin.is_ready() && cx.now >= origin.slow_at() && !origin.is_suspected();
            let is_free = origin.hops_done() == 0 && !does_nobody_answer;
            if is_slow && (is_free || self.supply.may_redraw(cx.now)) {
                origin.doubt();
                let asked = if origin.hops_done() > 0 { origin.hops_done() + 1 } else { 0 };
                stuck.extend(origin.mixes().into_iter().take(asked).skip(kept));
            }
        }
        self.let_rest(stuck.iter(), cx.now);
    }

    /// Lets mixes rest.
    fn let_rest<'r>(&mut self, mixes: impl Iterator<Item = &'r Arc<Record>>, now: Time) {
        let resting = self.resting.get_or_insert_default();
        mixes.for_each(|record| resting.rest(record.description().identity, now));
    }

    /// Whether no mix of a circuit rests.
    pub(super) fn is_sound(&self, origin: &Origin<S>, now: Time) -> bool {
        let rests = |record: &Arc<Record>| {
            self.resting.as_ref().is_some_and(|resting| resting.has(record.description().identity, now))
        };
        !origin.path.iter().any(rests)
    }

    /// A circuit died, or is about to, silent `since` then: those in store that go through its mixes too are not given to streams
    /// before they were heard again.
    ///
    /// They are *not* asked now: whoever lets one circuit of a client die, on purpose, would see the question on
    /// another one and know that it is the same client's. (A dead first hop is noticed by its link.)
    fn doubt_others(&mut self, dead: &[Arc<Record>], since: Time) {
        let dead: Vec<_> = dead.iter().skip(1).map(|record| record.description().identity).collect();
        let in_store =
            |origin: &&mut alloc::boxed::Box<Origin<S>>| origin.is_ready() && origin.use_.isolation.is_none();
        for origin in self.origins.values_mut().filter(in_store).filter(|origin| origin.heard() < since) {
            if origin.path.iter().any(|record| dead.contains(&record.description().identity)) {
                origin.doubt();
            }
        }
    }
}
