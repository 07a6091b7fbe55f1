//! The room of the neighbours: links and what is said on them, and which circuits run where.

mod admittance;
mod audit;
mod circuits;
mod demand;
mod greeting;
mod handshakes;
mod introductions;
mod keys;
mod line;
mod neighbour;
mod paths;
mod renewal;
mod session;
mod sessions;
mod slots;
mod table;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use self::admittance::Admittance;
pub(super) use self::admittance::Owed;
use self::demand::CommonRate;
use self::greeting::Greeter;
use self::keys::Opened;
use self::neighbour::{Neighbour, Wish};
use self::slots::Leaves;
use self::table::Links;
use super::context::Cx;
use crate::admission::Party;
use crate::cover::{Defences, MixLinkCover};
use crate::crypto::Suite;
use crate::departure::Departure;
use crate::effect::{Effect, LinkGone};
use crate::id::{End, NeighbourKey, NodeId};
use crate::limits::{
    GATHERED_CONTROLS_MAX, MESH_AT_ONCE_MAX, MESH_EVERY, SILENCE_PROBE, WAITING_CREATES_MAX,
};
use crate::membership::{Record, View};
use crate::refused::Refused;
use crate::rng::Rng;
use crate::time::Time;
use crate::timers::{Due, Timer};
use crate::wire::cell::{CELL_HEADER_BYTES, CellHeader};
use crate::wire::control::{Control, ControlPiece, Ended};
use crate::wire::parts::Gathering;

/// All neighbours of a node.
pub(super) struct Neighbours<S: Suite> {
    links: Links<S>,
    /// Judges who wants a link; a node that does not relay answers nobody.
    greeter: Option<Box<Greeter>>,
    /// What others hold here; a node that does not relay gives nobody anything.
    admittance: Option<Box<Admittance>>,
    /// The common rate of demand-driven links, if there are some.
    demand: Option<Box<CommonRate>>,
    defences: Option<Arc<dyn Defences>>,
    mesh: Due,
    /// When our line worked, as far as is known: a question that was sent then, to whichever neighbour, was answered.
    line_proved: Time,
    /// When a client's line was heard again on which all neighbours had been silent.
    line_back_at: Option<Time>,
    /// Messages longer than a cell of which some parts are there.
    parts: Gathering<NeighbourKey, GATHERED_CONTROLS_MAX>,
}

/// A cell that came in: authentic, and not seen before.
pub(super) struct Arrived<'d> {
    pub(super) link: NeighbourKey,
    pub(super) header: CellHeader,
    pub(super) body: &'d mut [u8],
    /// The circuit that it belongs to, if there is one of that name.
    pub(super) end: Option<End>,
}

/// Where a set-up message may go now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The link is up.
    Up,
    /// It waits for the link.
    Waiting,
    /// There is no room, or no link any more.
    Nowhere,
}

/// What a neighbour's wish for a circuit of some name is.
pub(super) enum Asked {
    /// Another one; whether it may ask so often.
    New { is_granted: bool },
    /// One that is there: its answer may have been lost.
    Again(End),
}

impl<S: Suite> Neighbours<S> {
    pub(super) fn new(defences: Option<Arc<dyn Defences>>, cx: &mut Cx<'_>) -> Self {
        let relays = cx.me.relays_for_others;
        let greeter = relays.then(|| Box::new(Greeter::new::<S>(&cx.me.id.0, &mut cx.chance.keys, cx.now)));
        let admittance = relays.then(|| Box::new(Admittance::new(&mut cx.chance.keys, cx.now)));
        let mut mesh = Due::NONE;
        if relays && cx.design.cover.mix_links != MixLinkCover::None {
            cx.timers.set(&mut mesh, cx.now, Timer::Mesh);
        }
        Self {
            links: Links::new(),
            greeter,
            admittance,
            demand: None,
            defences,
            mesh,
            line_proved: Time::ZERO,
            line_back_at: None,
            parts: Gathering::new(),
        }
    }

    // --- Cells ----------------------------------------------------------------------------------------

    /// Opens a datagram in place: its cell, and whose it is.
    pub(super) fn open<'d>(
        &mut self,
        from: SocketAddr,
        (session, counter): (u32, u64),
        datagram: &'d mut [u8],
        cx: &mut Cx<'_>,
    ) -> Result<Arrived<'d>, Refused> {
        let (key, link) = self.links.by_session(session).ok_or(Refused::UnknownSession)?;
        let found_silent = link.silent_since().filter(|_| link.is_found_silent());
        let Opened { cell, is_newest, .. } = link.open((session, counter), datagram, cx.now)?;
        let heard_again = found_silent.filter(|_| !link.is_found_silent());
        cx.counts.datagrams_in += 1;
        if cx.me.relays_for_others {
            // Much comes to a mix that it did not ask for. What does was under way a moment ago.
            self.line_proved =
                self.line_proved.max(Time::ZERO + (cx.now - Time::ZERO).saturating_sub(SILENCE_PROBE));
        }
        let header = CellHeader::parse(cell)?;
        let end = link.circuits.get(header.circuit);
        let body = &mut cell[CELL_HEADER_BYTES..];
        if cx.slots.is_running() {
            link.observe(key, header.circuit == 0 && Control::is_filler(body), cx);
        }
        let is_elsewhere = is_newest && link.may_be_at(from, cx.now);
        if link.is_unconfirmed() && !self.confirm(key, cx) {
            return Err(Refused::TooMany);
        }
        if is_elsewhere {
            self.probe(key, from, cx);
        }
        if let Some(since) = heard_again {
            self.heard_again(key, since, cx);
        }
        Ok(Arrived { link: key, header, body, end })
    }

    /// A part of a message that is longer than a cell. All of it, if it was the last part that was missing.
    pub(super) fn gather(
        &mut self,
        key: NeighbourKey,
        piece: &ControlPiece<'_>,
        cx: &Cx<'_>,
    ) -> Result<Option<Vec<u8>>, Refused> {
        if piece.part.of() > cx.design.geometry.control_parts() {
            return Err(Refused::Malformed);
        }
        Ok(self.parts.add((key, piece.name), piece.part, 0, piece.bytes).map(|whole| whole.bytes))
    }

    /// Sends a cell: at once, or in one of its neighbour's slots.
    pub(super) fn emit(&mut self, departure: Departure, body: &[u8], cx: &mut Cx<'_>) {
        if cx.slots.is_running()
            && let Some((key, link)) = self.links.find(departure.link)
        {
            let leaves = link.pass_cover(key, departure, body, cx);
            cx.counts.cells_dropped += u64::from(leaves == Leaves::Never);
            if leaves != Leaves::Now {
                return;
            }
        }
        self.seal(departure, body, departure.at, cx);
    }

    /// Seals a cell into a datagram to its neighbour that leaves `at` its slot.
    fn seal(&mut self, departure: Departure, body: &[u8], at: Time, cx: &mut Cx<'_>) {
        match self.links.find(departure.link) {
            Some((key, link)) => link.seal(key, link.paths.chosen(), (departure.header, body), at, cx),
            None => cx.counts.cells_dropped += 1, // its link ended while it was held
        }
    }

    // --- Links ----------------------------------------------------------------------------------------

    pub(super) fn look(&mut self, key: NeighbourKey, cx: &mut Cx<'_>) {
        let is_cut_off = self.is_cut_off(key, cx);
        let Some(link) = self.links.get_mut(key) else { return };
        cx.timers.unset(&mut link.due, Timer::Link(key));
        let next = match link.wish(is_cut_off, cx.now) {
            Wish::Wait(until) => until,
            Wish::Dead => return self.drop_link(key, Ended::Silent, cx),
            Wish::Forget => return self.drop_link(key, Ended::Old, cx),
            Wish::Offer => {
                self.send_offer(key, cx);
                self.asked(key, cx.now)
            }
            Wish::Ping => {
                self.find_silent(key, cx);
                self.fall_silent_too(key, cx);
                self.ask(key, cx);
                self.try_elsewhere(key, cx);
                self.ask_others(key, cx);
                self.asked(key, cx.now)
            }
            Wish::Introduce => {
                self.introduce(key, cx);
                return self.look(key, cx);
            }
            Wish::Renew => {
                self.renew(key, cx);
                return self.look(key, cx);
            }
            Wish::ChangeKeys => {
                self.change_keys(key, cx);
                return self.look(key, cx);
            }
            Wish::Expire => {
                self.links.set_renewal(key, None);
                return self.look(key, cx);
            }
        };
        if let Some(link) = self.links.get_mut(key) {
            cx.timers.set(&mut link.due, next, Timer::Link(key));
        }
    }

    fn asked(&mut self, key: NeighbourKey, now: Time) -> Time {
        self.links.get_mut(key).map_or(Time::NEVER, |link| link.asked(now))
    }

    /// Other mixes are known than before.
    pub(super) fn know_all(&mut self, view: &View) {
        let keys: Vec<NeighbourKey> = self.links.iter().map(|(key, _)| key).collect();
        keys.into_iter().for_each(|key| self.know(key, view));
    }

    /// A neighbour that is silent may be reached at another of its addresses.
    fn try_elsewhere(&mut self, key: NeighbourKey, cx: &mut Cx<'_>) {
        let Some(link) = self.links.get(key) else { return };
        if let Some(address) = link.paths.another(link.unanswered() + 1) {
            self.probe(key, address, cx);
        }
    }

    /// Asks a neighbour at another address than the one in use, which it moves to when it answers.
    fn probe(&mut self, key: NeighbourKey, address: SocketAddr, cx: &mut Cx<'_>) {
        let Some(link) = self.links.get_mut(key).filter(|link| link.paths.may_probe(address, cx.now)) else {
            return;
        };
        let token = link.paths.probe(address, u64::from_le_bytes(cx.chance.keys.bytes()), cx.now);
        let mut body = cx.out.body();
        Control::Ping { token }.write(&mut body);
        link.seal(key, address, (CellHeader::CONTROL, &body), Time::ZERO, cx);
        cx.out.reuse(body);
    }

    /// The neighbour answered a question.
    pub(super) fn receive_pong(&mut self, key: NeighbourKey, token: u64, now: Time) {
        let Some(link) = self.links.get_mut(key) else { return };
        let asked_at = link.answered(token, now);
        let has_moved = link.paths.prove(token);
        asked_at.into_iter().for_each(|asked_at| self.prove_line(asked_at));
        if has_moved {
            self.moved(key);
        }
    }

    /// The neighbour showed that it has our answer, and so that it is at its address. Whether it may stay.
    fn confirm(&mut self, key: NeighbourKey, cx: &mut Cx<'_>) -> bool {
        self.links.confirm(key);
        let party = self.links.get(key).map(|link| Party::at(link.paths.chosen().ip()));
        let may_stay = party.is_some_and(|party| self.admit(key, party, cx));
        if !may_stay {
            self.drop_link(key, Ended::Busy, cx);
        }
        may_stay
    }

    /// Ends a link. What ran on it hears of it as of an [`Effect`].
    fn drop_link(&mut self, key: NeighbourKey, why: Ended, cx: &mut Cx<'_>) {
        let Some(mut link) = self.links.remove(key) else { return };
        if !cx.me.relays_for_others {
            // A client may have called it anew while it was silent.
            link.peer().into_iter().for_each(|peer| self.links.find_again(peer));
        }
        cx.timers.unset(&mut link.due, Timer::Link(key));
        link.end_cover(key, cx);
        self.parts.forget(key);
        if let Some(admittance) = &mut self.admittance {
            admittance.link_went(key);
        }
        cx.tell(Effect::LinkGone(LinkGone { peer: link.peer(), why, ends: link.circuits.ends().collect() }));
    }

    /// A mix whose links to other mixes are covered has one to each of them, always: which ones there are must not
    /// follow the load. Of two mixes, the one with the smaller name opens it.
    pub(super) fn look_at_mesh(&mut self, view: &View, cx: &mut Cx<'_>) {
        cx.timers.unset(&mut self.mesh, Timer::Mesh);
        if !cx.me.relays_for_others || cx.design.cover.mix_links == MixLinkCover::None {
            return;
        }
        let ours = |record: &&Arc<Record>| {
            let mix = record.description();
            mix.identity > cx.me.id && mix.until > cx.now && self.links.to_peer(mix.identity).is_none()
        };
        let missing: Vec<_> = view.records().filter(ours).take(MESH_AT_ONCE_MAX).cloned().collect();
        for record in missing {
            self.link_to(&record, true, cx);
        }
        cx.timers.set(&mut self.mesh, cx.now + MESH_EVERY, Timer::Mesh);
    }

    /// Looks for missing links of the mesh soon.
    pub(super) fn hurry_mesh(&mut self, cx: &mut Cx<'_>) {
        cx.timers.no_later_than(&mut self.mesh, cx.now, Timer::Mesh);
    }

    // --- Circuits on links ----------------------------------------------------------------------------

    /// A name for a circuit on a link, entered there. None if the link has no room or is gone.
    pub(super) fn name_circuit(&mut self, key: NeighbourKey, end: End, cx: &mut Cx<'_>) -> Option<u32> {
        let link = self.links.get_mut(key)?;
        loop {
            let name = CellHeader::name(cx.chance.keys.u32(), !link.is_initiator());
            if link.circuits.insert(name, end) {
                return Some(name);
            }
        }
    }

    /// Whether a set-up message of `end` may go to a neighbour now. If the link is not up, `end` is told when it is.
    pub(super) fn reach(&mut self, link: NeighbourKey, end: End) -> Reach {
        let Some(link) = self.links.get_mut(link) else { return Reach::Nowhere };
        if link.is_up() {
            return Reach::Up;
        }
        if link.waiting.contains(&end) {
            return Reach::Waiting;
        }
        if link.waiting.len() >= WAITING_CREATES_MAX {
            return Reach::Nowhere;
        }
        link.waiting.push(end);
        Reach::Waiting
    }

    /// A neighbour asks for a circuit of this name.
    pub(super) fn asked_for_circuit(
        &mut self,
        key: NeighbourKey,
        name: u32,
        cx: &mut Cx<'_>,
    ) -> Result<Asked, Refused> {
        let link = self.links.get_mut(key).ok_or(Refused::UnknownSession)?;
        if !CellHeader::is_name(name) {
            return Err(Refused::Malformed);
        }
        if let Some(end) = link.circuits.get(name) {
            return Ok(Asked::Again(end));
        }
        let is_granted = self.may_have_circuits(key, cx.now) && self.is_permitted(key, cx);
        Ok(Asked::New { is_granted })
    }

    /// Enters a circuit under the name that the neighbour gave it.
    pub(super) fn enter(&mut self, key: NeighbourKey, name: u32, end: End) {
        let Some((key, link)) = self.links.find(key) else { return };
        if link.circuits.insert(name, end)
            && let (End::Previous(_), Some(admittance)) = (end, &mut self.admittance)
        {
            admittance.circuit_came(key);
        }
    }

    /// Which circuit a name on a link stands for.
    pub(super) fn circuit(&self, key: NeighbourKey, name: u32) -> Result<End, Refused> {
        let link = self.links.get(key).ok_or(Refused::UnknownSession)?;
        link.circuits.get(name).ok_or(Refused::UnknownCircuit)
    }

    /// The neighbour says that a circuit is no more: it is gone on this link, or will never be there.
    pub(super) fn destroyed(&mut self, key: NeighbourKey, name: u32) -> Result<Option<End>, Refused> {
        self.links.get(key).ok_or(Refused::UnknownSession)?;
        match self.remove_circuit(key, name) {
            None if self.not_owed(&Owed::Circuit { link: key, name }) => Ok(None),
            None => Err(Refused::UnknownCircuit),
            end => Ok(end),
        }
    }

    fn remove_circuit(&mut self, key: NeighbourKey, name: u32) -> Option<End> {
        let (key, link) = self.links.find(key)?;
        let end = link.circuits.remove(name)?;
        if let (End::Previous(_), Some(admittance)) = (end, &mut self.admittance) {
            admittance.circuit_went(key);
        }
        Some(end)
    }

    /// Takes a circuit off a link, and tells the neighbour if it was still there and is to be told.
    pub(super) fn take_off(&mut self, key: NeighbourKey, name: u32, told: Option<Ended>, cx: &mut Cx<'_>) {
        let Some(end) = self.remove_circuit(key, name) else { return };
        let Some(link) = self.links.get_mut(key) else { return };
        link.waiting.retain(|waiting| *waiting != end);
        let Some(why) = told.filter(|_| link.is_up()) else { return };
        let farewell = Control::Destroy { circuit: name, why };
        if why == Ended::Leaving {
            cx.say_at_once(key, &farewell); // nobody will be here to let it go later
        } else {
            cx.say(key, &farewell);
        }
    }

    // --- What others ask ------------------------------------------------------------------------------

    /// Who is at the other end.
    pub(super) fn peer(&self, key: NeighbourKey) -> Option<NodeId> {
        self.links.get(key).and_then(Neighbour::peer)
    }

    /// Where a mix answered us, if there is a link to it.
    pub(super) fn proved_at(&self, mix: NodeId) -> Option<IpAddr> {
        let link = self.links.get(self.links.to_peer(mix)?).filter(|link| link.is_up())?;
        Some(link.paths.chosen().ip())
    }

    pub(super) fn is_up(&self, key: NeighbourKey) -> bool {
        self.links.get(key).is_some_and(|link| link.is_up())
    }

    /// Whether the neighbour may have us begin a circuit, or lead one on, now. A mix that we know asks for many, and none of them
    /// must find out from a bound of its link what others ask; what it costs us is bounded by permits, and by answers.
    pub(super) fn may_have_circuits(&mut self, key: NeighbourKey, now: Time) -> bool {
        let is_mix = self.admittance.as_ref().is_some_and(|admittance| admittance.is_known_mix(key));
        is_mix || self.links.get_mut(key).is_some_and(|link| link.creates.take(now))
    }

    /// Whether the neighbour may want one thing more of us now.
    pub(super) fn may_ask(&mut self, key: NeighbourKey, now: Time) -> Result<(), Refused> {
        let link = self.links.get_mut(key).ok_or(Refused::UnknownSession)?;
        if link.creates.take(now) { Ok(()) } else { Err(Refused::TooMany) }
    }

    /// At most `count` of the links that are up, drawn at random.
    pub(super) fn sample(&self, count: usize, cx: &mut Cx<'_>) -> Vec<NeighbourKey> {
        self.links.sample(count, &mut cx.chance.timing)
    }

    /// A neighbour for a filler, drawn at random, of those that do not hear us in slots: the others hear something anyway,
    /// and a filler would take a slot away from a cell.
    pub(super) fn any_bare(&self, chance: &mut Rng) -> Option<NeighbourKey> {
        self.links.any_up(chance, |link| !link.speaks_in_slots())
    }

    /// Users that were heard within the span before `now`.
    pub(super) fn users_since(&self, now: Time, span: Duration) -> usize {
        self.links.users_since(now, span)
    }

    pub(super) fn len(&self) -> usize {
        self.links.len()
    }
}
