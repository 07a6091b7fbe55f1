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
    SETUP_SENDS_MAX,
};
use crate::membership::{Record, View};
use crate::node::context::Cx;
use crate::output::Event;
use crate::silence::Pulse;
use crate::time::Time;
use crate::timers::Timer;
use crate::wire::control::Ended;
use crate::wire::message::Message;

impl<S: Suite> Origins<S> {
    /// A circuit's time has come. `is_heard`: whether its first link answers.
    pub(in crate::node) fn look(&mut self, key: OriginKey, is_heard: bool, cx: &mut Cx<'_>) {
        let Some(origin) = self.origins.get_mut(key) else { return };
        cx.timers.unset(&mut origin.due, Timer::Origin(key));
        match &origin.stage {
            BuildStage::Building(building) => {
                if cx.now >= origin.given_up_at() || building.sends >= SETUP_SENDS_MAX {
                    self.end_silent(key, Ended::NotBuilt, is_heard, cx);
                } else {
                    self.request_hop(key, cx);
                }
            }
            BuildStage::Ready => self.watch(key, is_heard, cx),
        }
    }

    /// Looks after a circuit that is ready: whether it is still of use, and whether it lives.
    fn watch(&mut self, key: OriginKey, is_heard: bool, cx: &mut Cx<'_>) {
        let origin = &mut self.origins[key];
        let used_up = match origin.use_.since {
            Some(since) => {
                origin.use_.streams == 0 && (origin.use_.retired || cx.now - since >= CIRCUIT_USE_MAX)
            }
            None => cx.now - origin.started >= CIRCUIT_SPARE_MAX,
        };
        if used_up {
            return self.end(key, Ended::Finished, cx);
        }
        if cx.now - origin.started >= CIRCUIT_AGE_MAX || origin.is_exhausted() {
            return self.end(key, Ended::Old, cx);
        }
        let next = match origin.pulse(cx.now) {
            Pulse::Look(at) => at,
            Pulse::Calm => cx.now + IDLE_PROBE,
            Pulse::Dead => return self.end_silent(key, Ended::Silent, is_heard, cx),
            Pulse::Ask => {
                if origin.is_unanswered(cx.now) {
                    self.suspect(key, is_heard, cx);
                }
                self.ask(key, cx)
            }
        };
        if let Some(origin) = self.origins.get_mut(key) {
            cx.timers.set(&mut origin.due, next, Timer::Origin(key));
        }
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
            if origin.hops_done() == 0
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
    fn end_silent(&mut self, key: OriginKey, why: Ended, is_heard: bool, cx: &mut Cx<'_>) {
        if is_heard { self.let_down(key, why, cx) } else { self.end(key, why, cx) }
    }

    /// Ends a circuit that somebody on it broke, whatever he says.
    pub(in crate::node) fn let_down(&mut self, key: OriginKey, why: Ended, cx: &mut Cx<'_>) {
        self.note_first_hop(key, false, cx);
        let ready = self.origins.get(key).filter(|origin| origin.is_ready());
        if ready.is_some_and(|origin| why != Ended::Silent && cx.now - origin.started < CIRCUIT_YOUNG) {
            self.supply.ended_young(cx.now);
        }
        let silent = ready.filter(|_| why == Ended::Silent);
        if let Some(path) = silent.map(|origin| origin.path.clone()) {
            self.let_rest(path.iter().skip(1), cx.now);
            self.doubt_others(&path);
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
        let path = self.origins[key].path.clone();
        if first_is_heard {
            self.let_rest(path.iter().skip(1), cx.now);
        } else {
            self.let_rest(path.iter().take(1), cx.now);
            self.cut.get_or_insert_default().note(path[1..].to_vec(), cx.now);
        }
        self.hurry_supply(cx);
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

    /// A circuit died: those in store that go through its mixes too are not given to streams before they were heard
    /// again.
    ///
    /// They are *not* asked now: whoever lets one circuit of a client die, on purpose, would see the question on
    /// another one and know that it is the same client's. (A dead first hop is noticed by its link.)
    fn doubt_others(&mut self, dead: &[Arc<Record>]) {
        let dead: Vec<_> = dead.iter().skip(1).map(|record| record.description().identity).collect();
        let in_store =
            |origin: &&mut alloc::boxed::Box<Origin<S>>| origin.is_ready() && origin.use_.isolation.is_none();
        for origin in self.origins.values_mut().filter(in_store) {
            if origin.path.iter().any(|record| dead.contains(&record.description().identity)) {
                origin.doubt();
            }
        }
    }
}
