//! What happens when a circuit is set up, grows, or ends: it concerns the circuit's own room and its neighbours.

use alloc::sync::Arc;

use super::context::Cx;
use super::neighbours::{Asked, Owed, Reach};
use super::origins::{Build, Look};
use super::relays::{ExtendRequest, Extension, To};
use super::rooms::Rooms;
use crate::admission::Among;
use crate::crypto::{ANSWER_BYTES, KeyUse, OFFER_BYTES, Suite};
use crate::id::{End, NeighbourKey, OriginKey, RelayKey};
use crate::layers::Layers;
use crate::membership::Record;
use crate::mixing::{Company, WITHIN};
use crate::refused::Refused;
use crate::route::{ExitWish, NoRoute};
use crate::silence::Hearing;
use crate::time::Time;
use crate::wire::control::{Control, Ended};

impl<S: Suite> Rooms<S> {
    // --- Of others ------------------------------------------------------------------------------------

    /// A neighbour asks us to join a circuit.
    pub(super) fn create(
        &mut self,
        link: NeighbourKey,
        name: u32,
        offer: &[u8; OFFER_BYTES],
        cx: &mut Cx<'_>,
    ) -> Result<(), Refused> {
        if !cx.me.relays_for_others {
            return Err(Refused::NotAMix);
        }
        let owed = Owed::Circuit { link, name };
        if self.neighbours.is_owed(&owed, offer)? {
            return Ok(());
        }
        match self.neighbours.asked_for_circuit(link, name, cx)? {
            Asked::Again(End::Previous(relay)) => self.relays.answer_again(relay, offer, cx),
            Asked::Again(_) => Err(Refused::OutOfPlace),
            Asked::New { is_granted: true } => self.neighbours.owe_neighbour(link, owed, offer, cx),
            Asked::New { is_granted: false } => self.refuse_circuit(link, name, cx),
        }
    }

    fn refuse_circuit(&self, link: NeighbourKey, name: u32, cx: &mut Cx<'_>) -> Result<(), Refused> {
        cx.say(link, &Control::Destroy { circuit: name, why: Ended::Busy });
        Err(Refused::TooMany)
    }

    /// Does one of the handshakes that others may have us do.
    pub(super) fn answer_one(&mut self, cx: &mut Cx<'_>) -> Result<(), Refused> {
        match self.neighbours.next_owed() {
            Some((Owed::Link { from, initiator, known_by }, offer)) => {
                self.neighbours.answer_offer((from, initiator), &offer, known_by, cx)
            }
            Some((Owed::Renewal { link, theirs }, offer)) => {
                self.neighbours.answer_renewal(link, theirs, &offer, cx)
            }
            Some((Owed::Circuit { link, name }, offer)) => self.join(link, name, &offer, cx),
            None => Ok(()),
        }
    }

    /// Joins a circuit of a neighbour, unless that was done meanwhile.
    fn join(
        &mut self,
        link: NeighbourKey,
        name: u32,
        offer: &[u8; OFFER_BYTES],
        cx: &mut Cx<'_>,
    ) -> Result<(), Refused> {
        match self.neighbours.circuit(link, name) {
            Err(Refused::UnknownCircuit) if self.make_room(link, cx) => {}
            Err(Refused::UnknownCircuit) => return self.refuse_circuit(link, name, cx),
            known => return known.map(|_| ()),
        }
        let (secret, answer) = cx.answer::<S>(KeyUse::Circuit, offer)?;
        let relay = self.relays.begin((link, name), Layers::new(&secret), offer, &answer, cx);
        self.neighbours.enter(link, name, End::Previous(relay));
        self.neighbours.cover_client(link, cx);
        cx.say(link, &Control::Created { circuit: name, answer: &answer });
        Ok(())
    }

    /// Whether one more circuit from a neighbour fits. In a full mix whoever has most gives one up for it.
    fn make_room(&mut self, link: NeighbourKey, cx: &mut Cx<'_>) -> bool {
        let among = match self.neighbours.has_its_circuits(link) {
            true => Among::Block,
            false if self.relays.is_full() => Among::All,
            false => return true,
        };
        let Some(greediest) = self.neighbours.circuit_that_makes_room(link, among) else { return false };
        self.relays.end(greediest, Ended::Busy, cx);
        self.route_effects(cx);
        true
    }

    /// The origin of a circuit wants it to go on behind us.
    pub(super) fn extend(
        &mut self,
        relay: RelayKey,
        wanted: ExtendRequest,
        cx: &mut Cx<'_>,
    ) -> Result<(), Refused> {
        match self.relays.recognise(relay, &wanted, cx)? {
            Extension::Answered => return Ok(()),
            Extension::Asked => {}
            Extension::New => {
                let Some(record) = self.next_hop(relay, &wanted.to, cx)? else {
                    self.relays.refuse_extension(relay, &wanted, Ended::UnknownHop, cx);
                    return Ok(());
                };
                let is_known = self.members.view.get(record.description().identity).is_some();
                let link = self.neighbours.link_to(&record, is_known, cx);
                let name = link.and_then(|link| self.neighbours.name_circuit(link, End::Next(relay), cx));
                let Some(place) = link.zip(name) else {
                    self.relays.refuse_extension(relay, &wanted, Ended::Busy, cx);
                    return Ok(());
                };
                self.relays.extending(relay, place, wanted, record);
            }
        }
        self.ask_next(relay, cx);
        Ok(())
    }

    /// The hop that a circuit goes on to behind us, if there is one. It is neither us nor the hop before us: circuits that run
    /// to and fro between two mixes cost these most for what they cost who makes them.
    fn next_hop(
        &mut self,
        relay: RelayKey,
        to: &To,
        cx: &mut Cx<'_>,
    ) -> Result<Option<Arc<Record>>, Refused> {
        let Some((previous, _)) = self.relays.previous(relay) else { return Ok(None) };
        if !self.neighbours.may_have_circuits(previous, cx.now) {
            return Err(Refused::TooMany);
        }
        let before = self.neighbours.peer(previous);
        let here = cx.me.id;
        let leads_on = |record: &Record| {
            let identity = record.description().identity;
            identity != here && Some(identity) != before
        };
        let next = match to {
            To::Named(name) => self.members.valid(*name, cx.now),
            To::Described(record) => self.members.admit::<S>(record, cx),
            To::OurChoice => self.members.any(leads_on, cx),
        };
        Ok(next.filter(|record| leads_on(record)))
    }

    /// Has the next hop of a circuit asked (again), now or when its link is up.
    pub(super) fn ask_next(&mut self, relay: RelayKey, cx: &mut Cx<'_>) {
        let Some(link) = self.relays.asks_on(relay) else { return };
        match self.neighbours.reach(link, End::Next(relay)) {
            Reach::Up => self.relays.ask_next(relay, cx),
            Reach::Waiting => {}
            Reach::Nowhere => self.relays.next_gone(relay, Ended::Busy, cx),
        }
    }

    /// What this mix observed of its company within the last minute.
    pub(super) fn company(&mut self, now: Time) -> Company {
        Company {
            users: self.neighbours.users_since(now, WITHIN) as u32,
            circuits: self.relays.heard_since(now, WITHIN) as u32,
            ..self.hold.company(now)
        }
    }

    // --- Our own --------------------------------------------------------------------------------------

    /// Keeps enough circuits ready or under construction.
    pub(super) fn supply_circuits(&mut self, cx: &mut Cx<'_>) {
        let Some(mut round) = self.origins.begin_round(cx) else { return };
        if self.neighbours.is_line_silent(cx) {
            return self.origins.postpone(round, cx);
        }
        self.origins.doubt_slow_builds(self.neighbours.does_nobody_answer(cx), cx);
        while let Some(wish) = self.origins.next_to_begin(&mut round, cx) {
            self.route_effects(cx);
            if let Err(why) = self.begin_circuit(&wish, cx) {
                self.origins.not_begun(&mut round, wish, why, cx);
            }
        }
        self.origins.end_round(round, cx);
    }

    /// Looks after a circuit of our own, which may be silent because its first hop is.
    pub(super) fn look_at_origin(&mut self, origin: OriginKey, cx: &mut Cx<'_>) {
        let link = self.origins.link_of(origin);
        let first = link.map_or(Hearing::NotFirstHop, |link| self.neighbours.heard(link, cx));
        if self.origins.look(origin, first, cx) == Look::FirstHopIsToBeAsked {
            link.into_iter().for_each(|link| self.neighbours.ask(link, cx));
        }
    }

    /// Begins a circuit with such an exit.
    fn begin_circuit(&mut self, wish: &ExitWish, cx: &mut Cx<'_>) -> Result<(), NoRoute> {
        if let Some(why) = self.members.forbid(cx.now) {
            return Err(why);
        }
        let proved = |first| self.neighbours.proved_at(first);
        let is_line_silent = self.neighbours.does_nobody_answer(cx);
        let path = self.origins.draw_path(wish, &self.members.view, (&proved, is_line_silent), cx)?;
        let first = Arc::clone(&path[0]);
        self.build(Build::telescope(path, self.members.admits_strangers()), &first, cx)
    }

    /// Begins a circuit that is built so and whose first hop this is.
    pub(super) fn build(
        &mut self,
        build: Build,
        first: &Arc<Record>,
        cx: &mut Cx<'_>,
    ) -> Result<(), NoRoute> {
        let link = self.neighbours.link_to(first, true, cx).ok_or(NoRoute::NoFirstHop)?;
        let origin = self.origins.begin(build, link, cx);
        let Some(name) = self.neighbours.name_circuit(link, End::Origin(origin), cx) else {
            self.origins.forget(origin);
            return Err(NoRoute::NoFirstHop);
        };
        self.origins.named(origin, name, cx);
        self.ask_first(origin, link, cx);
        Ok(())
    }

    /// Has the first hop of a circuit asked, now or when its link is up.
    fn ask_first(&mut self, origin: OriginKey, link: NeighbourKey, cx: &mut Cx<'_>) {
        match self.neighbours.reach(link, End::Origin(origin)) {
            Reach::Up => self.origins.request_hop(origin, cx),
            Reach::Waiting => {}
            Reach::Nowhere => self.origins.end(origin, Ended::Busy, cx),
        }
    }

    // --- Both -----------------------------------------------------------------------------------------

    /// The link that the set-up message of a circuit waited for is up.
    pub(super) fn set_up(&mut self, end: End, cx: &mut Cx<'_>) {
        match end {
            End::Origin(origin) => self.origins.request_hop(origin, cx),
            End::Next(relay) => self.ask_next(relay, cx),
            End::Previous(_) => unreachable!("only what we set up waits for a link"),
        }
    }

    /// A neighbour joined a circuit, on our question: for somebody else, or for us.
    pub(super) fn joined(
        &mut self,
        link: NeighbourKey,
        name: u32,
        answer: &[u8; ANSWER_BYTES],
        cx: &mut Cx<'_>,
    ) -> Result<(), Refused> {
        match self.neighbours.circuit(link, name)? {
            End::Origin(origin) => self.origins.hop_joined(origin, (0, None), answer, cx),
            End::Next(relay) => self.relays.next_joined(relay, answer, cx),
            End::Previous(_) => Err(Refused::OutOfPlace),
        }
    }

    /// A circuit cannot go on at one of its ends.
    pub(super) fn end(&mut self, end: End, why: Ended, cx: &mut Cx<'_>) {
        match end {
            End::Origin(origin) => self.origins.end(origin, why, cx),
            End::Previous(relay) => self.relays.end(relay, why, cx),
            End::Next(relay) => self.relays.next_gone(relay, why, cx),
        }
    }
}
