//! The room of the circuits of others: set-up, cells in both directions, the end.

pub(super) mod relay;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use slotmap::SlotMap;

pub(super) use self::relay::{ExtendRequest, To};
use self::relay::{Extending, GivenAnswer, NextHop, Peeled, Relay};
use super::context::Cx;
use crate::admission::{Among, Party, Shares};
use crate::cover::{CircuitPace, CircuitTurn, Speaker, Timing};
use crate::crypto::{ANSWER_BYTES, OFFER_BYTES, Suite};
use crate::departure::{Departure, Source};
use crate::effect::Effect;
use crate::id::{CircuitId, End, NeighbourKey, RelayKey};
use crate::layers::Layers;
use crate::limits::{CIRCUIT_SILENT_MIN, GATHERED_MESSAGES_MAX, RELAYED_CIRCUITS_MAX, SLOTS_SILENT_MAX};
use crate::membership::Record;
use crate::output::Event;
use crate::refused::Refused;
use crate::time::Time;
use crate::timers::{Due, Timer};
use crate::wire::cell::{CellHeader, Space};
use crate::wire::control::{Control, Ended};
use crate::wire::message::{DocumentName, Message, Piece, request_name};
use crate::wire::parts::Gathering;

/// All circuits through a node.
pub(super) struct Relays<S: Suite> {
    relays: SlotMap<RelayKey, Box<Relay<S>>>,
    /// Those that speak in slots, and for whom; none before the first.
    covered: Option<Box<Shares<RelayKey>>>,
    /// Messages longer than a cell of which some parts are there.
    parts: Gathering<RelayKey, GATHERED_MESSAGES_MAX>,
}

/// What became of a cell that came from a previous hop.
pub(super) enum Forwarded {
    /// It goes on.
    Onward(Source, Departure),
    /// The origin wants the circuit to go on behind us.
    Extend(ExtendRequest),
    /// It still does.
    AskAgain,
    /// It speaks in slots, and we do not yet.
    WantsSlots,
    /// It asks whether we are there.
    Probed { token: u32 },
    /// It was for us, and that is all.
    Done,
}

/// What an origin's wish for one hop more needs.
pub(super) enum Extension {
    /// Nothing: it was answered before, and is answered again.
    Answered,
    /// The next hop was asked before, and is asked again.
    Asked,
    /// A link to the next hop.
    New,
}

impl<S: Suite> Relays<S> {
    pub(super) fn new() -> Self {
        Self { relays: SlotMap::with_key(), covered: None, parts: Gathering::new() }
    }

    // --- Set-up ---------------------------------------------------------------------------------------

    pub(super) fn is_full(&self) -> bool {
        self.relays.len() >= RELAYED_CIRCUITS_MAX
    }

    /// We join a circuit.
    pub(super) fn begin(
        &mut self,
        previous: (NeighbourKey, u32),
        layers: Layers<S>,
        offer: &[u8; OFFER_BYTES],
        answer: &[u8; ANSWER_BYTES],
        cx: &mut Cx<'_>,
    ) -> RelayKey {
        let offer_head = head(offer);
        let answered = GivenAnswer { offer_head, answer: *answer, chosen: None };
        let key = self.relays.insert(Box::new(Relay::new(previous, layers, answered, cx.now)));
        cx.counts.circuits_relayed += 1;
        self.look(key, cx);
        key
    }

    /// A set-up message came twice: our answer may have been lost.
    pub(super) fn answer_again(
        &mut self,
        key: RelayKey,
        offer: &[u8; OFFER_BYTES],
        cx: &mut Cx<'_>,
    ) -> Result<(), Refused> {
        let relay = self.relays.get(key).ok_or(Refused::UnknownCircuit)?;
        let answered = relay.answer.as_ref().filter(|answered| answered.offer_head == head(offer));
        let answer = &answered.ok_or(Refused::OutOfPlace)?.answer;
        let (link, circuit) = relay.previous;
        cx.say(link, &Control::Created { circuit, answer });
        Ok(())
    }

    /// The origin wants the circuit to go on behind us.
    pub(super) fn recognise(
        &mut self,
        key: RelayKey,
        wanted: &ExtendRequest,
        cx: &mut Cx<'_>,
    ) -> Result<Extension, Refused> {
        let relay = self.relays.get_mut(key).ok_or(Refused::UnknownCircuit)?;
        if let NextHop::Extending(extending) = &mut relay.next {
            // The question came again: its answer goes back under the numbers that came last.
            if extending.offer != wanted.offer {
                return Err(Refused::OutOfPlace);
            }
            extending.numbers.clone_from(&wanted.numbers);
            return Ok(Extension::Asked);
        }
        let NextHop::Hop { answer, .. } = &relay.next else { return Ok(Extension::New) };
        let again = answer.as_ref().filter(|answered| answered.offer_head == head(&wanted.offer));
        relay.reply(key, &wanted.numbers, &again.ok_or(Refused::OutOfPlace)?.message(), cx);
        Ok(Extension::Answered)
    }

    /// The next hop will be asked on this link, under this name.
    pub(super) fn extending(
        &mut self,
        key: RelayKey,
        (link, name): (NeighbourKey, u32),
        wanted: ExtendRequest,
        next: Arc<Record>,
    ) {
        let ExtendRequest { numbers, offer, to } = wanted;
        let chosen = matches!(to, To::OurChoice).then_some(next);
        if let Some(relay) = self.relays.get_mut(key) {
            relay.next = NextHop::Extending(Box::new(Extending { link, name, offer, numbers, chosen }));
        }
    }

    /// The link to the next hop that is being asked, if one is.
    pub(super) fn asks_on(&self, key: RelayKey) -> Option<NeighbourKey> {
        match &self.relays.get(key)?.next {
            NextHop::Extending(extending) => Some(extending.link),
            NextHop::End | NextHop::Hop { .. } => None,
        }
    }

    /// Sends the set-up message to the next hop (again).
    pub(super) fn ask_next(&mut self, key: RelayKey, cx: &mut Cx<'_>) {
        if let Some(NextHop::Extending(extending)) = self.relays.get(key).map(|relay| &relay.next) {
            let Extending { link, name, offer, .. } = &**extending;
            cx.say(*link, &Control::Create { circuit: *name, offer });
        }
    }

    /// The next hop joined.
    pub(super) fn next_joined(
        &mut self,
        key: RelayKey,
        answer: &[u8; ANSWER_BYTES],
        cx: &mut Cx<'_>,
    ) -> Result<(), Refused> {
        let relay = self.relays.get_mut(key).ok_or(Refused::UnknownCircuit)?;
        let NextHop::Extending(extending) = &mut relay.next else { return Err(Refused::OutOfPlace) };
        let (link, name, offer_head) = (extending.link, extending.name, head(&extending.offer));
        let (numbers, chosen) = (core::mem::take(&mut extending.numbers), extending.chosen.take());
        let answered = Box::new(GivenAnswer { offer_head, answer: *answer, chosen });
        relay.reply(key, &numbers, &answered.message(), cx);
        relay.next = NextHop::Hop { link, name, answer: Some(answered) };
        Ok(())
    }

    /// The next hop cannot be asked.
    pub(super) fn refuse_extension(
        &self,
        key: RelayKey,
        wanted: &ExtendRequest,
        why: Ended,
        cx: &mut Cx<'_>,
    ) {
        if let Some(relay) = self.relays.get(key) {
            let request = request_name(&wanted.offer);
            relay.reply(key, &wanted.numbers, &Message::NotExtended { request, why }, cx);
        }
    }

    /// The next hop does not answer, says no, or is gone.
    pub(super) fn next_gone(&mut self, key: RelayKey, why: Ended, cx: &mut Cx<'_>) {
        let Some(relay) = self.relays.get_mut(key) else { return };
        let NextHop::Extending(extending) = &mut relay.next else { return self.end(key, why, cx) };
        let (link, name) = (extending.link, extending.name);
        let (numbers, request) = (core::mem::take(&mut extending.numbers), request_name(&extending.offer));
        relay.next = NextHop::End;
        cx.tell(Effect::CircuitOff { link, name, told: None });
        relay.reply(key, &numbers, &Message::NotExtended { request, why }, cx);
    }

    // --- Cells ----------------------------------------------------------------------------------------

    /// A cell from the previous hop.
    pub(super) fn forward(
        &mut self,
        key: RelayKey,
        header: CellHeader,
        body: &mut [u8],
        cx: &mut Cx<'_>,
    ) -> Result<Forwarded, Refused> {
        if header.space != Space::Stream {
            return Err(Refused::Malformed);
        }
        let relay = self.relays.get_mut(key).ok_or(Refused::UnknownCircuit)?;
        let message = match relay.peel(header.number, body, cx.now)? {
            Peeled::Onward(link, onward) => {
                cx.counts.cells_relayed += 1;
                return Ok(Forwarded::Onward(source_of(key, false), Departure::soon(link, onward)));
            }
            Peeled::Mine(message) => message,
        };
        match message {
            Message::Piece(piece) => {
                if relay.knows_request(piece.name) {
                    return Ok(relay.asked_again(key, &piece, header.number, cx));
                }
                if piece.part.of() > cx.design.geometry.message_parts() {
                    return Err(Refused::Malformed);
                }
                let name = (key, piece.name);
                let Some(whole) = self.parts.add(name, piece.part, header.number, piece.bytes) else {
                    return Ok(Forwarded::Done);
                };
                self.heed(key, piece.whole(&whole.bytes)?, &whole.with, cx)
            }
            message => self.heed(key, message, &[header.number], cx),
        }
    }

    /// The origin of a circuit says something to us, in cells of these numbers.
    fn heed(
        &mut self,
        key: RelayKey,
        message: Message<'_>,
        numbers: &[u32],
        cx: &mut Cx<'_>,
    ) -> Result<Forwarded, Refused> {
        let relay = self.relays.get_mut(key).ok_or(Refused::UnknownCircuit)?;
        let is_last = matches!(relay.next, NextHop::End);
        match message {
            Message::Dummy if is_last && relay.pace.is_none() && cx.slots.is_running() => {
                return Ok(Forwarded::WantsSlots);
            }
            Message::Dummy if is_last => relay.pace.iter_mut().for_each(|pace| pace.hear()),
            Message::Dummy => {}
            Message::Payload(payload) if payload.len() > cx.design.geometry.packet() => {
                return Err(Refused::Malformed);
            }
            Message::Payload(payload) if cx.me.is_exit && is_last => {
                relay.delivers = true;
                cx.out.deliver(CircuitId::relayed(key), payload);
            }
            Message::Probe { token } if is_last => return Ok(Forwarded::Probed { token }),
            Message::Extend { next, offer } => {
                return Ok(Forwarded::Extend(ExtendRequest::new(numbers, offer, next)));
            }
            _ => return Err(Refused::OutOfPlace),
        }
        Ok(Forwarded::Done)
    }

    /// A cell from the next hop.
    pub(super) fn backward(
        &mut self,
        key: RelayKey,
        header: CellHeader,
        body: &mut [u8],
        cx: &mut Cx<'_>,
    ) -> Result<(Source, Departure), Refused> {
        let relay = self.relays.get_mut(key).ok_or(Refused::UnknownCircuit)?;
        let onward = relay.wrap(header.space, header.number, body, cx.design.geometry, cx.now)?;
        cx.counts.cells_relayed += 1;
        Ok((source_of(key, true), Departure::soon(relay.previous.0, onward)))
    }

    /// The origin asked whether we are there: we are, and hold this.
    pub(super) fn answer_probe(&mut self, key: RelayKey, token: u32, holds: DocumentName, cx: &mut Cx<'_>) {
        self.send_message(key, &Message::Alive { token, holds }, Time::ZERO, cx);
    }

    /// A packet of our pipe, to the origin.
    pub(super) fn send(&mut self, key: RelayKey, packet: &[u8], cx: &mut Cx<'_>) {
        let Some(relay) = self.relays.get_mut(key) else { return };
        if let Some(pace) = &mut relay.pace {
            cx.counts.cells_dropped += pace.push(packet, cx.design.geometry);
            return;
        }
        let name = relay.next_number();
        let geometry = cx.design.geometry;
        Message::Payload(packet).in_cells(geometry, name, |message| {
            self.send_message(key, message, Time::ZERO, cx);
        });
    }

    /// Sends a message to the origin in one cell, `at` a slot of the circuit.
    fn send_message(&mut self, key: RelayKey, message: &Message<'_>, at: Time, cx: &mut Cx<'_>) {
        if let Some(relay) = self.relays.get_mut(key).filter(|relay| matches!(relay.next, NextHop::End)) {
            let mut body = cx.out.body();
            let header = relay.wrap_own(message, &mut body);
            cx.send(source_of(key, true), Departure { link: relay.previous.0, header, at }, body);
        }
    }

    // --- Slots ----------------------------------------------------------------------------------------

    /// The origin of a circuit that ends here speaks in slots: so do we, if the design says so. What all of them take together has a
    /// bound: then one makes room of whoever has most. A circuit that is to be covered and cannot be is better off elsewhere.
    pub(super) fn cover_for(&mut self, key: RelayKey, party: Party, cx: &mut Cx<'_>) {
        let covered = self.covered.get_or_insert_with(|| Box::new(Shares::new(cx.chance.keys.fork())));
        if (covered.all() as u64 + 1) * cx.design.cover.circuits.bps() > cx.me.cover_for_others {
            match covered.makes_room_for(Some(key), party, Among::All) {
                Some(greediest) => self.end(greediest, Ended::Busy, cx),
                None => return self.end(key, Ended::Busy, cx),
            }
        }
        self.cover(key, party, cx);
    }

    /// A circuit speaks in slots of its own from now on, if the design says so.
    fn cover(&mut self, key: RelayKey, party: Party, cx: &mut Cx<'_>) {
        let Some(relay) = self.relays.get_mut(key) else { return };
        let (cover, timing) = (cx.design.cover.circuits, cx.slots.timing_of(Timing::Relay(key)));
        if let Some(pace) = CircuitPace::new(cover, false, cx.design.geometry, timing, cx.now) {
            cx.slots.schedule(pace.due(), Speaker::Relay(key));
            relay.pace = Some(Box::new(pace));
            self.covered.iter_mut().for_each(|covered| covered.set(key, party, 1));
        }
    }

    fn uncover(&mut self, key: RelayKey) {
        self.covered.iter_mut().for_each(|covered| covered.forget(key));
    }

    /// Other cover is in force: those that spoke in slots speak in other ones, if there are any.
    pub(super) fn cover_anew(&mut self, cx: &mut Cx<'_>) {
        let Some(covered) = self.covered.take() else { return };
        let spoke: Vec<(RelayKey, Option<Party>)> =
            covered.leaves().map(|(relay, _)| (relay, covered.party(relay))).collect();
        for (key, party) in spoke {
            self.relays.get_mut(key).into_iter().for_each(|relay| relay.pace = None);
            if let Some(party) = party.filter(|_| cx.slots.is_running()) {
                self.cover_for(key, party, cx);
            }
        }
    }

    /// Fills the next slot of a circuit.
    pub(super) fn speak(&mut self, key: RelayKey, cx: &mut Cx<'_>) {
        let Some(relay) = self.relays.get_mut(key) else { return };
        let heard = relay.heard();
        // The origin speaks in slots: one that does not any more has ended them, and is not to be spoken to without end.
        let is_silent = |pace: &mut Box<CircuitPace>| {
            cx.now - heard > CIRCUIT_SILENT_MIN.max(pace.gap() * SLOTS_SILENT_MAX)
        };
        relay.pace.take_if(is_silent);
        let Some(pace) = &mut relay.pace else { return self.uncover(key) };
        let missed = pace.skip(cx.now);
        let (at, turn) = (pace.due(), (missed == 0).then(|| pace.turn(cx.now)));
        cx.slots.schedule(pace.due(), Speaker::Relay(key));
        cx.slots.note(|spent| spent.note_turn(missed, turn.as_ref()));
        match turn {
            Some(CircuitTurn::Payload(payload)) => self.send_message(key, &payload.message(), at, cx),
            Some(_) => self.send_message(key, &Message::Dummy, at, cx),
            None => {}
        }
    }

    // --- The end --------------------------------------------------------------------------------------

    pub(super) fn look(&mut self, key: RelayKey, cx: &mut Cx<'_>) {
        let Some(relay) = self.relays.get_mut(key) else { return };
        let end = relay.end();
        if cx.now >= end {
            return self.end(key, Ended::Old, cx);
        }
        cx.timers.set(&mut relay.due, end, Timer::Relay(key));
    }

    /// Ends a circuit through us; both sides hear of it.
    pub(super) fn end(&mut self, key: RelayKey, why: Ended, cx: &mut Cx<'_>) {
        let Some(mut relay) = self.relays.remove(key) else { return };
        cx.timers.unset(&mut relay.due, Timer::Relay(key));
        self.parts.forget(key);
        if let Some(pace) = &relay.pace {
            cx.slots.unschedule(pace.due(), Speaker::Relay(key));
            self.uncover(key);
        }
        let (link, name) = relay.previous;
        cx.tell(Effect::CircuitOff { link, name, told: Some(why) });
        if let Some((link, name)) = relay.next.end() {
            // Why the origin's side ended it is nothing that the hops behind us need to know.
            let why = if why == Ended::Leaving { why } else { Ended::Finished };
            cx.tell(Effect::CircuitOff { link, name, told: Some(why) });
        }
        if relay.delivers {
            cx.out.events.push(Event::CircuitEnded { circuit: CircuitId::relayed(key), why });
        }
    }

    /// Ends all of them.
    pub(super) fn end_all(&mut self, why: Ended, cx: &mut Cx<'_>) {
        let keys: Vec<_> = self.relays.keys().collect();
        keys.into_iter().for_each(|key| self.end(key, why, cx));
    }

    /// Circuits on which something passed within the span before `now`.
    pub(super) fn heard_since(&self, now: Time, span: Duration) -> usize {
        self.relays.values().filter(|relay| now - relay.heard() < span).count()
    }

    /// Its previous hop is to be reached on another link.
    pub(super) fn previous_moved(&mut self, key: RelayKey, to: NeighbourKey) {
        self.relays.get_mut(key).into_iter().for_each(|relay| relay.previous.0 = to);
    }

    /// Its next hop is.
    pub(super) fn next_moved(&mut self, key: RelayKey, to: NeighbourKey) {
        match self.relays.get_mut(key).map(|relay| &mut relay.next) {
            Some(NextHop::Extending(extending)) => extending.link = to,
            Some(NextHop::Hop { link, .. }) => *link = to,
            Some(NextHop::End) | None => {}
        }
    }

    // --- Audit ----------------------------------------------------------------------------------------

    /// Whether those that speak in slots are counted right.
    pub(super) fn counts_covered(&self) -> bool {
        let covered = self.covered.as_ref();
        let is_counted = |key| covered.is_some_and(|covered| covered.of(key) == 1);
        let all = self.relays.iter().filter(|(_, relay)| relay.pace.is_some());
        all.clone().all(|(key, _)| is_counted(key))
            && all.count() == covered.map_or(0, |covered| covered.all())
    }

    pub(super) fn has_few_parts(&self) -> bool {
        self.parts.is_within_bound()
    }

    /// Where all circuits are, from both sides.
    pub(super) fn places(&self) -> impl Iterator<Item = (End, (NeighbourKey, u32))> {
        self.relays.iter().flat_map(|(key, relay)| {
            let next = relay.next.end().map(|place| (End::Next(key), place));
            [Some((End::Previous(key), relay.previous)), next].into_iter().flatten()
        })
    }

    pub(super) fn previous(&self, key: RelayKey) -> Option<(NeighbourKey, u32)> {
        self.relays.get(key).map(|relay| relay.previous)
    }

    pub(super) fn next(&self, key: RelayKey) -> Option<(NeighbourKey, u32)> {
        self.relays.get(key)?.next.end()
    }

    pub(super) fn due(&self, key: RelayKey) -> Option<Due> {
        self.relays.get(key).map(|relay| relay.due)
    }

    /// Whether a circuit has a slot then.
    pub(super) fn speaks_at(&self, key: RelayKey, at: Time) -> bool {
        self.relays.get(key).and_then(|relay| relay.pace.as_ref()).is_some_and(|pace| pace.due() == at)
    }

    pub(super) fn len(&self) -> usize {
        self.relays.len()
    }
}

impl<S: Suite> Relay<S> {
    /// Our answer to the origin's request whose cells had these numbers.
    fn reply(&self, key: RelayKey, numbers: &[u32], message: &Message<'_>, cx: &mut Cx<'_>) {
        let Some(content) = message.long(cx.design.geometry) else {
            return numbers.iter().take(1).for_each(|number| self.reply_cell(key, *number, message, cx));
        };
        // A question has as many cells as its answer may take; who asks otherwise gets a part of it.
        for (number, piece) in numbers.iter().zip(content.pieces(content.name())) {
            self.reply_cell(key, *number, &Message::Piece(piece), cx);
        }
    }

    fn reply_cell(&self, key: RelayKey, number: u32, message: &Message<'_>, cx: &mut Cx<'_>) {
        let mut body = cx.out.body();
        let header = self.wrap_reply(number, message, &mut body);
        cx.send(source_of(key, true), Departure::soon(self.previous.0, header), body);
    }

    /// Whether the request of this name was complete here, and the origin may not have heard the answer.
    fn knows_request(&self, name: u32) -> bool {
        let head = name.to_le_bytes();
        match &self.next {
            NextHop::End => false,
            NextHop::Extending(extending) => extending.offer.starts_with(&head),
            NextHop::Hop { answer, .. } => {
                answer.as_ref().is_some_and(|said| said.offer_head.starts_with(&head))
            }
        }
    }

    /// A part of a request that was complete before came again. Each is worth something by itself: its number for the
    /// answer, or, if there is one, a part of the answer.
    fn asked_again(&mut self, key: RelayKey, piece: &Piece<'_>, number: u32, cx: &mut Cx<'_>) -> Forwarded {
        let place = piece.part.index();
        if let NextHop::Extending(extending) = &mut self.next {
            extending.numbers.get_mut(place).into_iter().for_each(|there| *there = number);
            return if place == 0 { Forwarded::AskAgain } else { Forwarded::Done };
        }
        match &self.next {
            NextHop::Hop { answer: Some(answered), .. } => {
                let message = answered.message();
                match message.long(cx.design.geometry) {
                    None if place == 0 => self.reply_cell(key, number, &message, cx),
                    None => {}
                    Some(content) => {
                        let piece = content.pieces(content.name()).nth(place);
                        piece.iter().for_each(|p| self.reply_cell(key, number, &Message::Piece(*p), cx));
                    }
                }
            }
            NextHop::Hop { .. } | NextHop::Extending(_) | NextHop::End => {}
        }
        Forwarded::Done
    }
}

impl GivenAnswer {
    /// What the origin is told.
    fn message(&self) -> Message<'_> {
        let record = self.chosen.as_ref().map(|record| record.as_bytes());
        Message::Extended { answer: &self.answer, record }
    }
}

/// What stands for an offer that was answered.
fn head(offer: &[u8; OFFER_BYTES]) -> [u8; 32] {
    *offer.first_chunk().expect("an offer is longer")
}

/// Whose cell it is, as far as a mixing strategy knows.
fn source_of(key: RelayKey, is_backward: bool) -> Source {
    Source::Circuit { number: CircuitId::relayed(key).to_bits(), is_backward }
}
