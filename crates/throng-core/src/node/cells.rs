//! A cell's way through a node: in from a link, to its circuit, past the mixing strategy, out on a link.

use core::net::SocketAddr;
use core::time::Duration;

use super::Node;
use crate::cover::Pass;
use crate::crypto::Suite;
use crate::departure::Departure;
use crate::id::CircuitId;
use crate::id::{End, LinkKey};
use crate::mixing::{Source, Ticket, Waiting};
use crate::output::Outbox;
use crate::refused::Refused;
use crate::rng::Rng;
use crate::time::Time;
use crate::timers::Timer;
use crate::wire::cell::{CELL_HEADER_BYTES, CellHeader};
use crate::wire::control::Control;
use crate::wire::datagram::LINK_HEADER_BYTES;

impl<S: Suite> Node<S> {
    pub(super) fn receive_cell(
        &mut self,
        now: Time,
        from: SocketAddr,
        session: u32,
        counter: u64,
        datagram: &mut [u8],
        out: &mut Outbox,
    ) -> Result<(), Refused> {
        let (key, link) = self.links.by_session(session).ok_or(Refused::UnknownSession)?;
        let cell = link.open(counter, datagram, now)?;
        self.counts.datagrams_in += 1;
        let before = link.address;
        link.follow(from, counter);
        let after = link.address;
        let header = CellHeader::parse(cell)?;
        let end = link.circuits.get(header.circuit);
        if link.is_unconfirmed() {
            self.links.confirm(key);
        }
        if before != after
            && let Some(covering) = &mut self.covering
        {
            covering.moved(key, before, after);
        }
        let body = &mut cell[CELL_HEADER_BYTES..];
        if self.covering.is_some() {
            self.heed_received(now, after, header.circuit == 0 && Control::is_filler(body));
        }
        if header.circuit == 0 {
            return self.receive_control(now, key, Control::parse(body)?, out);
        }
        match end.ok_or(Refused::UnknownCircuit)? {
            End::Previous(relay) => self.relay_forward(now, relay, header, body, out),
            End::Next(relay) => self.relay_backward(now, relay, header, body, out),
            End::Origin(own) => self.receive_own(now, own, header, body, out),
        }
    }

    /// Sends a payload to the other end of a circuit.
    pub(super) fn send(&mut self, now: Time, circuit: CircuitId, payload: &[u8], out: &mut Outbox) {
        if payload.len() > self.design.geometry.payload() {
            return;
        }
        if let Some(own) = circuit.to_origin() {
            self.send_own(now, own, payload, out);
        } else if let Some(relay) = circuit.to_relay() {
            self.send_back(now, relay, payload, out);
        }
    }

    /// Hands a cell to the mixing strategy, which lets it leave now or later.
    pub(super) fn depart(
        &mut self,
        now: Time,
        source: Source,
        departure: Departure,
        body: &[u8],
        out: &mut Outbox,
    ) {
        let Some(waiting) = &mut self.waiting else { return self.emit(now, departure, body, out) };
        if let Some(ticket) = waiting.held.hold(departure, body) {
            waiting.mixer.admit(ticket, source, self.relays.len(), now, &mut waiting.chance);
        }
        self.counts.cells_dropped += waiting.held.take_dropped();
    }

    /// Lets leave whose time has come.
    pub(super) fn release(&mut self, now: Time, out: &mut Outbox) {
        let Some(mut waiting) = self.waiting.take_if(|waiting| waiting.mixer.wake() <= now) else { return };
        let Waiting { mixer, held, released, chance, minute } = &mut *waiting;
        mixer.release(now, chance, released);
        minute.note(released.iter().filter(|ticket| **ticket != Ticket::DUMMY).count(), held.circuits(), now);
        for ticket in released.drain(..) {
            if ticket == Ticket::DUMMY {
                self.emit_filler(now, chance, out);
            } else if let Some((mut departure, body)) = held.redeem(ticket) {
                if departure.at <= now {
                    departure.at = Time::ZERO; // past its circuit's slot, it leaves when the strategy says
                }
                self.emit(now, departure, &body, out);
                held.reuse(body);
            }
        }
        self.waiting = Some(waiting);
    }

    /// Puts a message between neighbours on its way like any other cell.
    pub(super) fn control(&mut self, now: Time, link: LinkKey, message: &Control<'_>, out: &mut Outbox) {
        let mut body = out.take_body();
        message.write(&mut body);
        self.depart(now, Source::Link, Departure::soon(link, CellHeader::CONTROL), &body, out);
        out.return_body(body);
    }

    /// The same, but past the strategy: the link's own questions and answers about itself.
    pub(super) fn control_at_once(
        &mut self,
        now: Time,
        link: LinkKey,
        message: &Control<'_>,
        out: &mut Outbox,
    ) {
        let mut body = out.take_body();
        message.write(&mut body);
        self.emit(now, Departure::soon(link, CellHeader::CONTROL), &body, out);
        out.return_body(body);
    }

    /// Sends a filler to a neighbour drawn at random, of those that do not hear us in slots: the others hear something
    /// anyway, and a filler would take a slot away from a cell.
    fn emit_filler(&mut self, now: Time, chance: &mut Rng, out: &mut Outbox) {
        let covering = self.covering.as_ref();
        let is_bare = |address| covering.is_none_or(|covering| !covering.has(address));
        if let Some(link) = self.links.any_up(chance, |link| is_bare(link.address)) {
            self.control_at_once(now, link, &Control::Filler { gap: Duration::ZERO }, out);
        }
    }

    /// Sends a cell: at once, or in one of its neighbour's slots.
    fn emit(&mut self, now: Time, departure: Departure, body: &[u8], out: &mut Outbox) {
        if self.covering.is_some()
            && let Some(address) = self.links.get(departure.link).map(|link| link.address)
            && self.cover_holds(now, address, departure, body)
        {
            return;
        }
        self.seal(now, departure, body, departure.at, out);
    }

    /// Whether the neighbour's slots or defence keep a cell, or drop it.
    fn cover_holds(&mut self, now: Time, address: SocketAddr, departure: Departure, body: &[u8]) -> bool {
        let Some(covering) = &mut self.covering else { return false };
        let is_dropped = if covering.has(address) {
            !covering.hold(address, departure, body)
        } else {
            match self.pass_defence(now, address, departure, body) {
                Pass::Now => return false,
                Pass::Held => false,
                Pass::Dropped => true,
            }
        };
        self.counts.cells_dropped += u64::from(is_dropped);
        true
    }

    /// Seals a cell into a datagram of its link that leaves `at` its slot; whether its link was still there.
    pub(super) fn seal(
        &mut self,
        now: Time,
        departure: Departure,
        body: &[u8],
        at: Time,
        out: &mut Outbox,
    ) -> bool {
        let Departure { link: key, header, .. } = departure;
        let Some(link) = self.links.get_mut(key).filter(|link| link.may_seal()) else {
            self.counts.cells_dropped += 1; // its link ended while it was held
            return false;
        };
        let datagram = out.datagram_around(body, link.address, at);
        header.write(&mut datagram[LINK_HEADER_BYTES..]);
        link.seal(datagram);
        self.counts.datagrams_out += 1;
        if (header.circuit != 0 || Control::asks(body))
            && let Some(look) = link.await_answer(now)
        {
            self.timers.by(&mut link.due, look, Timer::Link(key));
        }
        true
    }
}
