//! Circuits of others: set-up, cells in both directions, the end.

use alloc::boxed::Box;

use slotmap::Key as _;

use super::Node;
use crate::circuit::{Answered, Extending, Layers, Next, Peeled, Relay};
use crate::crypto::{ANSWER_BYTES, HandshakePurpose, OFFER_BYTES, Suite};
use crate::departure::Departure;
use crate::id::Fingerprint;
use crate::id::{CircuitId, RelayKey};
use crate::id::{End, LinkKey};
use crate::limits::{CIRCUITS_PER_LINK_MAX, RELAYED_CIRCUITS_MAX};
use crate::mixing::Source;
use crate::output::{Event, Outbox};
use crate::refused::Refused;
use crate::time::Time;
use crate::timers::Timer;
use crate::wire::cell::{CellHeader, Space};
use crate::wire::control::{Control, Ended};
use crate::wire::message::Message;
use crate::wire::told::Told;

impl<S: Suite> Node<S> {
    /// A neighbour asks us to join a circuit.
    pub(super) fn receive_create(
        &mut self,
        now: Time,
        key: LinkKey,
        name: u32,
        offer: &[u8; OFFER_BYTES],
        out: &mut Outbox,
    ) -> Result<(), Refused> {
        if !self.relays_for_others {
            return Err(Refused::NotAMix);
        }
        let link = self.links.get_mut(key).ok_or(Refused::UnknownSession)?;
        if name != CellHeader::name(name, !link.is_responder()) {
            return Err(Refused::Malformed);
        }
        let offer_head = *offer.first_chunk().ok_or(Refused::Malformed)?;
        if let Some(end) = link.circuits.get(name) {
            let End::Previous(relay) = end else { return Err(Refused::OutOfPlace) };
            return self.answer_again(now, relay, &offer_head, out);
        }
        let (granted, on_link) = (link.creates.take(now), link.circuits.len());
        if !granted || on_link >= CIRCUITS_PER_LINK_MAX || !self.has_room_for_a_circuit(now, on_link, out) {
            self.control(now, key, &Control::Destroy { circuit: name, why: Ended::Busy }, out);
            return Err(Refused::TooMany);
        }
        let (secret, answer) = self.answer(HandshakePurpose::Circuit, offer)?;
        let answered = Answered { offer_head, answer: *answer, company: Told::default() };
        let relay =
            self.relays.insert(Box::new(Relay::new((key, name), Layers::new(&secret), answered, now)));
        if let Some(link) = self.links.get_mut(key) {
            link.circuits.insert(name, End::Previous(relay));
        }
        self.counts.circuits_relayed += 1;
        self.cover_client(now, key);
        self.look_at_relay(now, relay, out);
        let company = self.company(now).into();
        self.control(now, key, &Control::Created { circuit: name, answer: &answer, company }, out);
        Ok(())
    }

    /// Whether one more circuit fits. In a full mix the neighbour with the most circuits gives one up for a
    /// neighbour with fewer.
    fn has_room_for_a_circuit(&mut self, now: Time, on_link: usize, out: &mut Outbox) -> bool {
        if self.relays.len() < RELAYED_CIRCUITS_MAX {
            return true;
        }
        let greediest = if self.evictions.take(now) { self.links.greediest() } else { None };
        let Some((greedy, most)) = greediest else { return false };
        if most <= on_link + 1 {
            return false;
        }
        let relayed = |end| match end {
            End::Previous(relay) => Some(relay),
            End::Next(_) | End::Origin(_) => None,
        };
        let victim = self.links.get(greedy).and_then(|link| link.circuits.ends().find_map(relayed));
        let Some(victim) = victim else { return false };
        self.end_relay(now, victim, Ended::Busy, out);
        true
    }

    /// A set-up message came twice: our answer may have been lost.
    fn answer_again(
        &mut self,
        now: Time,
        key: RelayKey,
        offer_head: &[u8; 32],
        out: &mut Outbox,
    ) -> Result<(), Refused> {
        let relay = self.relays.get_mut(key).ok_or(Refused::UnknownCircuit)?;
        let answered =
            relay.answer.take_if(|answered| answered.offer_head == *offer_head).ok_or(Refused::OutOfPlace)?;
        let (link, name) = relay.previous;
        let company = self.company(now).into();
        self.control(now, link, &Control::Created { circuit: name, answer: &answered.answer, company }, out);
        if let Some(relay) = self.relays.get_mut(key) {
            relay.answer = Some(answered);
        }
        Ok(())
    }

    /// A cell from the previous hop.
    pub(super) fn relay_forward(
        &mut self,
        now: Time,
        key: RelayKey,
        header: CellHeader,
        body: &mut [u8],
        out: &mut Outbox,
    ) -> Result<(), Refused> {
        if header.space != Space::Stream {
            return Err(Refused::Malformed);
        }
        let relay = self.relays.get_mut(key).ok_or(Refused::UnknownCircuit)?;
        let message = match relay.peel(header.number, body, now)? {
            Peeled::Onward(link, onward) => {
                self.counts.cells_relayed += 1;
                self.depart(now, turn_of(key, false), Departure::soon(link, onward), body, out);
                return Ok(());
            }
            Peeled::Mine(message) => message,
        };
        match message {
            Message::Dummy if matches!(relay.next, Next::End) => {
                self.cover_relay(now, key);
                Ok(())
            }
            Message::Dummy => Ok(()),
            Message::Payload(payload) if self.is_exit && matches!(relay.next, Next::End) => {
                relay.delivers = true;
                out.deliver(CircuitId::relayed(key), payload);
                Ok(())
            }
            Message::Probe { token } if matches!(relay.next, Next::End) => {
                self.send_message_back(now, key, &Message::Alive { token }, Time::ZERO, out);
                Ok(())
            }
            Message::Extend { next, offer } => self.extend(now, key, header.number, next, offer, out),
            _ => Err(Refused::OutOfPlace),
        }
    }

    /// A cell from the next hop.
    pub(super) fn relay_backward(
        &mut self,
        now: Time,
        key: RelayKey,
        header: CellHeader,
        body: &mut [u8],
        out: &mut Outbox,
    ) -> Result<(), Refused> {
        let relay = self.relays.get_mut(key).ok_or(Refused::UnknownCircuit)?;
        let onward = relay.wrap(header.space, header.number, body, now)?;
        let link = relay.previous.0;
        self.counts.cells_relayed += 1;
        self.depart(now, turn_of(key, true), Departure::soon(link, onward), body, out);
        Ok(())
    }

    /// The origin wants the circuit to go on behind us.
    fn extend(
        &mut self,
        now: Time,
        key: RelayKey,
        request: u32,
        next: Fingerprint,
        offer: &[u8; OFFER_BYTES],
        out: &mut Outbox,
    ) -> Result<(), Refused> {
        let relay = self.relays.get_mut(key).ok_or(Refused::UnknownCircuit)?;
        match &mut relay.next {
            Next::End => {}
            Next::Extending(extending) => {
                // The question came again: its answer goes back under the number that came last.
                if extending.offer != *offer {
                    return Err(Refused::OutOfPlace);
                }
                extending.request = request;
                self.ask_next(now, key, out);
                return Ok(());
            }
            Next::Hop { answer, .. } => {
                let again = answer
                    .take_if(|answered| answered.offer_head[..] == offer[..32])
                    .ok_or(Refused::OutOfPlace)?;
                let company = again.company;
                self.reply(now, key, request, &Message::Extended { answer: &again.answer, company }, out);
                if let Some(Next::Hop { answer, .. }) = self.relays.get_mut(key).map(|relay| &mut relay.next)
                {
                    *answer = Some(again);
                }
                return Ok(());
            }
        }
        let known = self.view.by_fingerprint(next).filter(|record| record.description().until > now);
        let Some(record) = known.cloned() else {
            self.reply(now, key, request, &Message::NotExtended(Ended::UnknownHop), out);
            return Ok(());
        };
        let link = self.link_to(now, &record, out);
        let Some((link, name)) = link.and_then(|link| Some((link, self.name_circuit(link, End::Next(key))?)))
        else {
            self.reply(now, key, request, &Message::NotExtended(Ended::Busy), out);
            return Ok(());
        };
        if let Some(relay) = self.relays.get_mut(key) {
            relay.next = Next::Extending(Box::new(Extending { link, name, offer: *offer, request }));
        }
        self.ask_next(now, key, out);
        Ok(())
    }

    /// Sends the set-up message to the next hop (again), or lets it wait for the link.
    pub(super) fn ask_next(&mut self, now: Time, key: RelayKey, out: &mut Outbox) {
        let Some(Next::Extending(extending)) = self.relays.get(key).map(|relay| &relay.next) else { return };
        let (link, name, offer) = (extending.link, extending.name, extending.offer);
        match self.links.get(link) {
            Some(link_state) if link_state.is_up() => {
                self.control(now, link, &Control::Create { circuit: name, offer: &offer }, out);
            }
            Some(link_state) if link_state.waiting.contains(&End::Next(key)) => {}
            _ => {
                if !self.wait_for_link(link, End::Next(key)) {
                    self.not_extended(now, key, Ended::Busy, out);
                }
            }
        }
    }

    /// A neighbour joined a circuit, on our question: for somebody else, or for us.
    pub(super) fn receive_created(
        &mut self,
        now: Time,
        key: LinkKey,
        name: u32,
        answer: &[u8; ANSWER_BYTES],
        company: Told,
        out: &mut Outbox,
    ) -> Result<(), Refused> {
        let link = self.links.get(key).ok_or(Refused::UnknownSession)?;
        match link.circuits.get(name).ok_or(Refused::UnknownCircuit)? {
            End::Origin(own) => self.hop_joined(now, own, 0, (answer, company), out),
            End::Previous(_) => Err(Refused::OutOfPlace),
            End::Next(relay_key) => {
                let relay = self.relays.get_mut(relay_key).ok_or(Refused::UnknownCircuit)?;
                let Next::Extending(extending) = &relay.next else { return Err(Refused::OutOfPlace) };
                let request = extending.request;
                let offer_head = *extending.offer.first_chunk().ok_or(Refused::Malformed)?;
                let answered = Box::new(Answered { offer_head, answer: *answer, company });
                relay.next = Next::Hop { link: key, name, answer: Some(answered) };
                self.reply(now, relay_key, request, &Message::Extended { answer, company }, out);
                Ok(())
            }
        }
    }

    /// The next hop did not answer, or said no.
    pub(super) fn not_extended(&mut self, now: Time, key: RelayKey, why: Ended, out: &mut Outbox) {
        let Some(relay) = self.relays.get_mut(key) else { return };
        let Next::Extending(extending) = core::mem::replace(&mut relay.next, Next::End) else { return };
        if let Some(link) = self.links.get_mut(extending.link) {
            link.circuits.remove(extending.name);
        }
        self.reply(now, key, extending.request, &Message::NotExtended(why), out);
    }

    pub(super) fn receive_destroy(
        &mut self,
        now: Time,
        key: LinkKey,
        name: u32,
        why: Ended,
        out: &mut Outbox,
    ) -> Result<(), Refused> {
        let link = self.links.get_mut(key).ok_or(Refused::UnknownSession)?;
        // It is gone on this link, so nothing is said there any more.
        let end = link.circuits.remove(name).ok_or(Refused::UnknownCircuit)?;
        match end {
            End::Origin(own) => self.end_own(now, own, why, out),
            End::Previous(relay) => self.end_relay(now, relay, why, out),
            End::Next(relay) => match self.relays.get(relay).map(|relay| &relay.next) {
                Some(Next::Extending(_)) => self.not_extended(now, relay, why, out),
                _ => self.end_relay(now, relay, why, out),
            },
        }
        Ok(())
    }

    /// Ends a circuit through us; both sides hear of it.
    pub(super) fn end_relay(&mut self, now: Time, key: RelayKey, why: Ended, out: &mut Outbox) {
        let Some(mut relay) = self.relays.remove(key) else { return };
        self.timers.unset(&mut relay.due, Timer::Relay(key));
        let (link, name) = relay.previous;
        self.end_on_link(now, link, name, why, out);
        if let Some((link, name)) = relay.next.end() {
            // Why the origin's side ended it is nothing that the hops behind us need to know.
            let why = if why == Ended::Leaving { why } else { Ended::Finished };
            self.end_on_link(now, link, name, why, out);
        }
        if relay.delivers {
            out.events.push(Event::CircuitEnded { circuit: CircuitId::relayed(key), why });
        }
    }

    /// Takes a circuit off a link, and tells the neighbour if it was still there.
    pub(super) fn end_on_link(&mut self, now: Time, key: LinkKey, name: u32, why: Ended, out: &mut Outbox) {
        let Some(link) = self.links.get_mut(key) else { return };
        if link.circuits.remove(name).is_none() || !link.is_up() {
            return;
        }
        let farewell = Control::Destroy { circuit: name, why };
        if why == Ended::Leaving {
            self.control_at_once(now, key, &farewell, out); // nobody will be here to let it go later
        } else {
            self.control(now, key, &farewell, out);
        }
    }

    pub(super) fn look_at_relay(&mut self, now: Time, key: RelayKey, out: &mut Outbox) {
        let Some(relay) = self.relays.get_mut(key) else { return };
        let end = relay.end();
        if now >= end {
            return self.end_relay(now, key, Ended::Old, out);
        }
        self.timers.set(&mut relay.due, end, Timer::Relay(key));
    }

    /// A payload of our pipe, to the origin.
    pub(super) fn send_back(&mut self, now: Time, key: RelayKey, payload: &[u8], out: &mut Outbox) {
        if let Some(pace) = self.relays.get_mut(key).and_then(|relay| relay.pace.as_mut()) {
            self.counts.cells_dropped += u64::from(!pace.push(payload));
            return;
        }
        self.send_message_back(now, key, &Message::Payload(payload), Time::ZERO, out);
    }

    /// Sends a message to the origin, `at` a slot of the circuit.
    pub(super) fn send_message_back(
        &mut self,
        now: Time,
        key: RelayKey,
        message: &Message<'_>,
        at: Time,
        out: &mut Outbox,
    ) {
        let mut body = out.take_body();
        if let Some(relay) = self.relays.get_mut(key).filter(|relay| matches!(relay.next, Next::End)) {
            let header = relay.wrap_own(message, &mut body);
            let departure = Departure { link: relay.previous.0, header, at };
            self.depart(now, turn_of(key, true), departure, &body, out);
        }
        out.return_body(body);
    }

    /// Our answer to the origin's request of this number.
    fn reply(&mut self, now: Time, key: RelayKey, request: u32, message: &Message<'_>, out: &mut Outbox) {
        let mut body = out.take_body();
        if let Some(relay) = self.relays.get(key) {
            let header = relay.wrap_reply(request, message, &mut body);
            let departure = Departure::soon(relay.previous.0, header);
            self.depart(now, turn_of(key, true), departure, &body, out);
        }
        out.return_body(body);
    }

    /// A name for a circuit on a link, entered there. None if the link has no room or is gone.
    pub(super) fn name_circuit(&mut self, key: LinkKey, end: End) -> Option<u32> {
        let link = self.links.get_mut(key).filter(|link| link.circuits.len() < CIRCUITS_PER_LINK_MAX)?;
        loop {
            let name = CellHeader::name(self.chance.keys.u32(), link.is_responder());
            if link.circuits.insert(name, end) {
                return Some(name);
            }
        }
    }
}

/// Whose turn it is, as far as a mixing strategy knows.
fn turn_of(key: RelayKey, is_backward: bool) -> Source {
    Source::Circuit { number: key.data().as_ffi(), is_backward }
}
