//! Circuits of our own: built hop by hop over links that lose, used, watched, renewed.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Node;
use crate::circuit::{Building, Layers, Need, Own, Stage};
use crate::cover::LinkCover;
use crate::crypto::{ANSWER_BYTES, HandshakePurpose, Initiation, Suite};
use crate::departure::Departure;
use crate::id::End;
use crate::id::{CircuitId, OriginKey};
use crate::limits::{
    BUILDS_AT_ONCE_MAX, CIRCUIT_AGE_MAX, CIRCUIT_SPARE_MAX, CIRCUIT_USE_MAX, FIRST_HOPS, IDLE_PROBE,
    OWN_CIRCUITS_MAX, SETUP_SENDS_MAX, STREAMS_PER_CIRCUIT_MAX,
};
use crate::link::retry_after;
use crate::membership::Record;
use crate::mixing::Source;
use crate::output::{Event, NotAttached, Outbox};
use crate::refused::Refused;
use crate::route::{NoRoute, Resting, Wanted, choose};
use crate::silence::Pulse;
use crate::time::Time;
use crate::timers::Timer;
use crate::wire::cell::CellHeader;
use crate::wire::control::{Control, Ended};
use crate::wire::message::Message;
use crate::wire::told::Told;

impl<S: Suite> Node<S> {
    // --- Building -------------------------------------------------------------------------------------

    /// Begins a circuit whose exit serves `port`.
    fn begin_circuit(&mut self, now: Time, port: Option<u16>, out: &mut Outbox) -> Result<(), NoRoute> {
        if let Some(why) = self.document_forbids(now) {
            return Err(why);
        }
        let Some(rules) = self.client else { return Err(NoRoute::NoExit(None)) };
        let hops = self.design.route.hops();
        let nobody = Resting::default();
        let resting = self.resting.as_deref().unwrap_or(&nobody);
        let wanted = Wanted { hops, rules, port, resting, first_hops: self.first_hops_in_use() };
        let path = choose(&self.view, &wanted, &mut self.first_hops, &mut self.chance.route, now);
        self.chance.route.forget();
        let path = path?;
        let link = self.link_to(now, &path[0], out).ok_or(NoRoute::NoFirstHop)?;
        let initiation = Initiation::new(&mut self.chance.keys);
        let number = self.chance.keys.u32();
        let idle = IDLE_PROBE.mul_f64(0.75 + self.chance.timing.unit() / 2.0);
        self.chance.timing.forget();
        let own = self.owns.insert(Box::new(Own::new(
            path,
            link,
            0,
            initiation,
            number,
            (idle, self.design.detour()),
            now,
        )));
        match self.name_circuit(link, End::Origin(own)) {
            Some(name) => self.owns[own].name = name,
            None => {
                self.owns.remove(own);
                return Err(NoRoute::NoFirstHop);
            }
        }
        let end = self.owns[own].given_up_at();
        self.timers.set(&mut self.owns[own].due, end, Timer::Own(own));
        if self.links.get(link).is_some_and(|link| link.is_up()) {
            self.request_hop(now, own, out);
        } else if !self.wait_for_link(link, End::Origin(own)) {
            self.end_own(now, own, Ended::Busy, out);
        }
        Ok(())
    }

    /// Asks the next hop to join (again).
    pub(super) fn request_hop(&mut self, now: Time, key: OriginKey, out: &mut Outbox) {
        let Some(own) = self.owns.get_mut(key) else { return };
        let detour = own.detour();
        let end = own.given_up_at();
        let Stage::Building(building) = &mut own.stage else { return };
        building.sends += 1;
        if building.sends == 1 {
            // The answer may be to any of the requests: time counts from the first, or a way that was once slow would
            // look short (Karn).
            building.asked_at = now;
        }
        let retry = now + retry_after(building.sends) + detour;
        let offer = *building.initiation.offer();
        let (link, name, done) = (own.link, own.name, own.hops_done());
        self.timers.set(&mut own.due, retry.min(end), Timer::Own(key));
        if done == 0 {
            self.control(now, link, &Control::Create { circuit: name, offer: &offer }, out);
        } else {
            let next = own.path[done].description().identity.fingerprint();
            self.send_message(now, key, &Message::Extend { next, offer: &offer }, Time::ZERO, out);
        }
    }

    /// A hop joined: the first one told us over the link, the others through the circuit.
    pub(super) fn hop_joined(
        &mut self,
        now: Time,
        key: OriginKey,
        place: usize,
        (answer, company): (&[u8; ANSWER_BYTES], Told),
        out: &mut Outbox,
    ) -> Result<(), Refused> {
        let own = self.owns.get_mut(key).ok_or(Refused::UnknownCircuit)?;
        let Stage::Building(building) = &own.stage else { return Err(Refused::OutOfPlace) };
        if place != own.hops_done() {
            return Err(Refused::OutOfPlace); // an answer that we have had already
        }
        let hop = own.path[place].description();
        let finished =
            building.initiation.finish(HandshakePurpose::Circuit, &hop.identity.0, &hop.link_key, answer);
        let Ok(secret) = finished else {
            // Only a hop of this circuit could say that, and it will not say anything better.
            self.end_own(now, key, Ended::Broken, out);
            return Err(Refused::Forged);
        };
        let was_repeated = building.sends > 1;
        own.add_hop(Layers::new(&secret), company, now);
        if own.hops_done() < own.path.len() {
            let initiation = Initiation::new(&mut self.chance.keys);
            own.stage = Stage::Building(Box::new(Building { initiation, sends: 0, asked_at: now }));
            self.request_hop(now, key, out);
        } else {
            own.stage = Stage::Ready;
            self.circuit_ready(now, key, out);
            if was_repeated {
                // How long the way is, is not known from a set-up that was asked for twice.
                self.ask_own(now, key, out);
            }
        }
        Ok(())
    }

    fn circuit_ready(&mut self, now: Time, key: OriginKey, out: &mut Outbox) {
        let own = &mut self.owns[key];
        let path = own.path.iter().map(|record| record.description().identity).collect();
        let took = now - own.started;
        out.events.push(Event::CircuitReady { circuit: CircuitId::origin(key), path, took });
        self.timers.set(&mut own.due, now + IDLE_PROBE, Timer::Own(key));
        self.counts.circuits_built += 1;
        self.cover_own(now, key);
        self.supply.succeeded();
        self.serve_waiting(now, out);
        self.timers.by(&mut self.supply.due, now, Timer::Supply);
    }

    // --- Cells ----------------------------------------------------------------------------------------

    pub(super) fn receive_own(
        &mut self,
        now: Time,
        key: OriginKey,
        header: CellHeader,
        body: &mut [u8],
        out: &mut Outbox,
    ) -> Result<(), Refused> {
        let own = self.owns.get_mut(key).ok_or(Refused::UnknownCircuit)?;
        let hops = own.path.len();
        let was_doubtful = own.is_doubtful(now);
        let (place, message) = own.unwrap(header, body, now)?;
        let recovered = was_doubtful && own.is_ready() && !own.is_doubtful(now);
        let outcome = match message {
            Message::Payload(payload) if place + 1 == hops => {
                out.deliver(CircuitId::origin(key), payload);
                Ok(())
            }
            Message::Alive { token } if place + 1 == hops => {
                own.answered(token, now);
                Ok(())
            }
            Message::Dummy => {
                if let Some(pace) = &mut own.pace {
                    pace.hear();
                }
                Ok(())
            }
            Message::Extended { answer, company } => {
                self.hop_joined(now, key, place + 1, (answer, company), out)
            }
            Message::NotExtended(why) if !own.is_ready() => {
                self.end_own(now, key, why, out);
                Ok(())
            }
            _ => Err(Refused::OutOfPlace),
        };
        if recovered {
            self.serve_waiting(now, out);
        }
        outcome
    }

    pub(super) fn send_own(&mut self, now: Time, key: OriginKey, payload: &[u8], out: &mut Outbox) {
        let Some(own) = self.owns.get_mut(key).filter(|own| own.is_ready()) else { return };
        match &mut own.pace {
            Some(pace) => self.counts.cells_dropped += u64::from(!pace.push(payload)),
            None => self.send_message(now, key, &Message::Payload(payload), Time::ZERO, out),
        }
    }

    /// Sends a message to the last hop so far, `at` a slot of the circuit.
    pub(super) fn send_message(
        &mut self,
        now: Time,
        key: OriginKey,
        message: &Message<'_>,
        at: Time,
        out: &mut Outbox,
    ) {
        let mut body = out.take_body();
        if let Some(own) = self.owns.get_mut(key) {
            let header = own.wrap(message, &mut body);
            let link = own.link;
            if own.is_ready()
                && let Some(look) = own.await_answer(now)
            {
                self.timers.by(&mut own.due, look, Timer::Own(key));
            }
            self.depart(now, Source::Link, Departure { link, header, at }, &body, out);
        }
        out.return_body(body);
    }

    // --- Watching -------------------------------------------------------------------------------------

    pub(super) fn look_at_own(&mut self, now: Time, key: OriginKey, out: &mut Outbox) {
        let Some(own) = self.owns.get_mut(key) else { return };
        self.timers.unset(&mut own.due, Timer::Own(key));
        match &own.stage {
            Stage::Building(building) => {
                if now >= own.given_up_at() || building.sends >= SETUP_SENDS_MAX {
                    self.end_own(now, key, Ended::NotBuilt, out);
                } else {
                    self.request_hop(now, key, out);
                }
            }
            Stage::Ready => self.watch(now, key, out),
        }
    }

    /// Looks after a circuit that is ready: whether it is still of use, and whether it lives.
    fn watch(&mut self, now: Time, key: OriginKey, out: &mut Outbox) {
        let own = &mut self.owns[key];
        let used_up = match own.use_.since {
            Some(since) => own.use_.streams == 0 && (own.use_.retired || now - since >= CIRCUIT_USE_MAX),
            None => now - own.started >= CIRCUIT_SPARE_MAX,
        };
        if used_up {
            return self.end_own(now, key, Ended::Finished, out);
        }
        if now - own.started >= CIRCUIT_AGE_MAX || own.is_exhausted() {
            return self.end_own(now, key, Ended::Old, out);
        }
        let next = match own.pulse(now) {
            Pulse::Look(at) => at,
            Pulse::Calm => now + IDLE_PROBE,
            Pulse::Dead => return self.end_own(now, key, Ended::Silent, out),
            Pulse::Ask => {
                if own.is_unanswered(now) {
                    self.suspect(now, key);
                }
                self.ask_own(now, key, out)
            }
        };
        if let Some(own) = self.owns.get_mut(key) {
            self.timers.set(&mut own.due, next, Timer::Own(key));
        }
    }

    /// Asks the last hop whether it is there. When to look again.
    ///
    /// On a covered circuit every cell is answered by a covered one: a question beside them would show that some were
    /// missing.
    fn ask_own(&mut self, now: Time, key: OriginKey, out: &mut Outbox) -> Time {
        let token = self.chance.keys.u32();
        if self.owns.get(key).is_some_and(|own| own.pace.is_some()) {
            return self.owns[key].asked(token, Time::NEVER, now);
        }
        self.send_message(now, key, &Message::Probe { token }, Time::ZERO, out);
        self.owns.get_mut(key).map_or(Time::NEVER, |own| own.asked(token, now, now))
    }

    /// Ends a circuit of our own, and begins another one where it is missing.
    pub(super) fn end_own(&mut self, now: Time, key: OriginKey, why: Ended, out: &mut Outbox) {
        let Some(mut own) = self.owns.remove(key) else { return };
        self.timers.unset(&mut own.due, Timer::Own(key));
        // The hops need not know why: they would know something about us.
        let said = if why == Ended::Leaving { why } else { Ended::Finished };
        self.end_on_link(now, own.link, own.name, said, out);
        if own.is_ready() {
            out.events.push(Event::CircuitEnded { circuit: CircuitId::origin(key), why });
            if why == Ended::Silent {
                self.let_rest(own.path.iter().skip(1), now);
                self.doubt_others(&own.path);
            }
        } else {
            self.counts.circuits_failed += 1;
            self.supply.failed(now);
            if own.hops_done() == 0
                && let Some(first) = own.path.first()
            {
                self.first_hops.failed(first.description().identity, now);
            }
            out.events.push(Event::CircuitNotBuilt { hops: own.hops_done(), why });
        }
        self.timers.by(&mut self.supply.due, now, Timer::Supply);
    }

    /// A circuit does not answer a question. Should it be dead, another one shall be ready by the time that
    /// this is certain: one that does not go through its mixes.
    fn suspect(&mut self, now: Time, key: OriginKey) {
        let own = &self.owns[key];
        let path = own.path.clone();
        let first_is_heard = self.links.get(own.link).is_some_and(|link| !link.is_silent(now));
        self.let_rest(path.iter().skip(usize::from(first_is_heard)), now);
        self.timers.by(&mut self.supply.due, now, Timer::Supply);
    }

    /// Lets mixes rest.
    fn let_rest<'r>(&mut self, mixes: impl Iterator<Item = &'r Arc<Record>>, now: Time) {
        let resting = self.resting.get_or_insert_default();
        mixes.for_each(|record| resting.rest(record.description().identity, now));
    }

    /// Whether no mix of a circuit rests.
    fn is_sound(&self, own: &Own<S>, now: Time) -> bool {
        let rests = |record: &Arc<Record>| {
            self.resting.as_ref().is_some_and(|resting| resting.has(record.description().identity, now))
        };
        !own.path.iter().any(rests)
    }

    /// A circuit died: those in store that go through its mixes too are not given to streams before they were heard
    /// again.
    ///
    /// They are *not* asked now: whoever lets one circuit of a client die, on purpose, would see the question on
    /// another one and know that it is the same client's. (A dead first hop is noticed by its link.)
    fn doubt_others(&mut self, dead: &[Arc<Record>]) {
        let dead: Vec<_> = dead.iter().skip(1).map(|record| record.description().identity).collect();
        for own in self.owns.values_mut().filter(|own| own.is_ready() && own.use_.isolation.is_none()) {
            if own.path.iter().any(|record| dead.contains(&record.description().identity)) {
                own.doubt();
            }
        }
    }

    pub(super) fn close(&mut self, now: Time, circuit: CircuitId, why: Ended, out: &mut Outbox) {
        if let Some(own) = circuit.to_origin() {
            self.end_own(now, own, why, out);
        } else if let Some(relay) = circuit.to_relay() {
            self.end_relay(now, relay, why, out);
        }
    }

    // --- Use ------------------------------------------------------------------------------------------

    pub(super) fn attach(
        &mut self,
        now: Time,
        stream: u64,
        isolation: [u8; 32],
        port: Option<u16>,
        out: &mut Outbox,
    ) {
        let need = Need { stream, isolation, port, since: now };
        if self.client.is_none() || !self.has_exit_for(port, now) {
            let why = NotAttached::NoRoute(NoRoute::NoExit(port));
            out.events.push(Event::NotAttached { stream, why });
            return;
        }
        if let Some(why) = self.document_forbids(now) {
            out.events.push(Event::NotAttached { stream, why: NotAttached::NoRoute(why) });
            return;
        }
        if self.try_attach(now, &need, out) {
            return;
        }
        if self.supply.wait(need) {
            self.timers.by(&mut self.supply.due, now, Timer::Supply);
        } else {
            out.events.push(Event::NotAttached { stream, why: NotAttached::TooMany });
        }
    }

    /// Gives a stream a circuit of its isolation, or a spare one.
    fn try_attach(&mut self, now: Time, need: &Need, out: &mut Outbox) -> bool {
        let serves = |own: &Own<S>| {
            own.is_ready() && !own.is_exhausted() && !own.is_doubtful(now) && exit_serves(own, need.port)
        };
        let young = |own: &Own<S>| {
            !own.use_.retired
                && own.use_.streams < STREAMS_PER_CIRCUIT_MAX
                && own.use_.since.is_none_or(|since| now - since < CIRCUIT_USE_MAX)
        };
        let with = |isolation: Option<[u8; 32]>| {
            let found = || {
                self.owns
                    .iter()
                    .filter(|(_, own)| own.use_.isolation == isolation && young(own) && serves(own))
            };
            let sound = found().find(|(_, own)| self.is_sound(own, now));
            sound.or_else(|| found().next()).map(|(key, _)| key)
        };
        let Some(key) = with(Some(need.isolation)).or_else(|| with(None)) else { return false };
        let own = &mut self.owns[key];
        own.use_.isolation = Some(need.isolation);
        own.use_.since.get_or_insert(now);
        own.use_.streams += 1;
        out.events.push(Event::Attached { stream: need.stream, circuit: CircuitId::origin(key) });
        self.timers.by(&mut self.supply.due, now, Timer::Supply);
        true
    }

    fn serve_waiting(&mut self, now: Time, out: &mut Outbox) {
        for need in self.supply.take_waiting() {
            if !self.try_attach(now, &need, out) {
                self.supply.wait(need);
            }
        }
    }

    pub(super) fn detach(&mut self, now: Time, circuit: CircuitId) {
        let Some(key) = circuit.to_origin() else { return };
        let Some(own) = self.owns.get_mut(key) else { return };
        own.use_.streams = own.use_.streams.saturating_sub(1);
        // Whether that was its last stream is for the next look to say.
        self.timers.by(&mut own.due, now, Timer::Own(key));
        // Somebody may wait for the room that it would give up.
        if self.owns.len() >= OWN_CIRCUITS_MAX && self.supply.waiting().next().is_some() {
            self.timers.by(&mut self.supply.due, now, Timer::Supply);
        }
    }

    /// New streams get circuits that were never used; the others end after their last stream, each in its own time:
    /// if they all ended now, their exits could tell that they are one client's.
    pub(super) fn renew(&mut self) {
        for own in self.owns.values_mut().filter(|own| own.use_.since.is_some()) {
            own.use_.retired = true;
        }
    }

    /// Tells all streams that wait that they wait in vain.
    pub(super) fn refuse_waiting(&mut self, out: &mut Outbox) {
        for need in self.supply.take_waiting() {
            let why = NotAttached::NoRoute(NoRoute::NoExit(need.port));
            out.events.push(Event::NotAttached { stream: need.stream, why });
        }
    }

    /// Circuits to have in store. Covered ones speak all the time, so that there is only one of them while nobody uses it,
    /// and none beside one in use.
    fn spare_wanted(&self) -> usize {
        if !self.covers_circuits() {
            return self.supply.spare;
        }
        let is_used = self.owns.values().any(|own| own.use_.isolation.is_some() && !own.use_.retired);
        self.supply.spare.min(usize::from(!is_used))
    }

    /// First hops to use at once. A covered link costs its rate, and which ones there are must not follow the load.
    pub(super) fn first_hops_in_use(&self) -> usize {
        let is_covered = self.design.cover.user_links != LinkCover::None || self.covers_circuits();
        if is_covered { 1 } else { FIRST_HOPS }
    }

    fn has_exit_for(&self, port: Option<u16>, now: Time) -> bool {
        self.view.records().map(|record| record.description()).any(|mix| mix.until > now && mix.serves(port))
    }

    // --- Supply ---------------------------------------------------------------------------------------

    /// Keeps enough circuits ready or under construction.
    pub(super) fn look_at_supply(&mut self, now: Time, out: &mut Outbox) {
        self.timers.unset(&mut self.supply.due, Timer::Supply);
        while let Some(need) = self.supply.overdue(now) {
            out.events.push(Event::NotAttached { stream: need.stream, why: NotAttached::TimedOut });
        }
        if self.client.is_none() {
            return;
        }
        let mut next = self.supply.patience();
        // What has no route now must not keep the rest from having one.
        let mut without_route = BTreeSet::new();
        while let Some(port) = self.missing(now, &without_route) {
            if now < self.supply.not_before() {
                next = next.min(self.supply.not_before());
                break;
            }
            if !self.make_room_for_an_own(now, out) {
                break;
            }
            if let Err(why) = self.begin_circuit(now, port, out) {
                out.events.push(Event::NoRoute(why));
                without_route.insert(port);
            }
        }
        if !without_route.is_empty() {
            self.supply.failed(now);
            next = next.min(self.supply.not_before());
        }
        // A circuit that takes long to build is not counted any more after this, and gets company.
        let builds = self.owns.values().filter(|own| !own.is_ready()).map(|own| own.slow_at());
        let next = builds.filter(|at| *at > now).fold(next, Time::min);
        self.timers.set(&mut self.supply.due, next, Timer::Supply);
    }

    /// Whether one more circuit fits. If there are too many, the one ends that was in use first and is not any more.
    fn make_room_for_an_own(&mut self, now: Time, out: &mut Outbox) -> bool {
        if self.owns.len() < OWN_CIRCUITS_MAX {
            return true;
        }
        let idle = self.owns.iter().filter(|(_, own)| own.is_ready() && own.use_.streams == 0);
        let oldest = idle.filter_map(|(key, own)| Some((own.use_.since?, key))).min();
        if let Some((_, key)) = oldest {
            self.end_own(now, key, Ended::Finished, out);
        }
        oldest.is_some()
    }

    /// Whether another circuit should be begun, and which port its exit must serve.
    fn missing(&self, now: Time, without_route: &BTreeSet<Option<u16>>) -> Option<Option<u16>> {
        let owns = || self.owns.values().map(Box::as_ref);
        let building = owns().filter(|own| !own.is_ready());
        if building.clone().count() >= BUILDS_AT_ONCE_MAX {
            return None;
        }
        let fresh = building.filter(|own| now < own.slow_at());
        let unused = owns().filter(|own| own.is_ready() && own.use_.isolation.is_none());
        let coming: Vec<&Own<S>> = fresh.chain(unused.filter(|own| !own.is_doubtful(now))).collect();

        // Every isolation that waits needs a circuit to a fitting exit; and some are kept in store.
        let groups: BTreeMap<[u8; 32], Option<u16>> =
            self.supply.waiting().map(|need| (need.isolation, need.port)).collect();
        let mut ports: BTreeSet<Option<u16>> = self.supply.waiting().map(|need| need.port).collect();
        ports.retain(|port| !without_route.contains(port));
        let unserved = |port: &&Option<u16>| !coming.iter().any(|own| exit_serves(own, **port));
        if let Some(port) = ports.iter().find(unserved) {
            return Some(*port);
        }
        let wanted = ports.first().copied().unwrap_or(None);
        // If all in store go through mixes that may be dead, there are two more: a build may lose a datagram.
        let in_danger =
            self.supply.spare > 0 && self.resting.as_ref().is_some_and(|resting| resting.any(now));
        let is_safe = || coming.iter().any(|own| own.is_ready() && self.is_sound(own, now));
        let more = if in_danger && !is_safe() { 2 } else { 0 };
        let enough = coming.len() >= self.spare_wanted() + groups.len() + more;
        (!enough && !without_route.contains(&wanted)).then_some(wanted)
    }
}

fn exit_serves<S: Suite>(own: &Own<S>, port: Option<u16>) -> bool {
    own.path.last().is_some_and(|record| record.description().serves(port))
}
