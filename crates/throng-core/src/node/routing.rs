//! The life of a cell: in from a neighbour, to its circuit, past the mixing strategy, out to the next neighbour.
//!
//! What a neighbour says is in `control.rs`; what happens when a circuit or a link comes or goes, which concerns several
//! rooms, in `circuits.rs` and `links.rs`.

use core::net::SocketAddr;

use super::context::Cx;
use super::mixing::Released;
use super::neighbours::Arrived;
use super::relays::Forwarded;
use super::rooms::Rooms;
use crate::cover::Speaker;
use crate::crypto::Suite;
use crate::departure::{Departure, Outgoing, Source};
use crate::effect::Effect;
use crate::id::End;
use crate::refused::Refused;
use crate::time::Time;
use crate::wire::cell::CellHeader;
use crate::wire::control::Control;
use crate::wire::datagram::Datagram;

impl<S: Suite> Rooms<S> {
    // --- In -------------------------------------------------------------------------------------------

    pub(super) fn receive(
        &mut self,
        from: SocketAddr,
        bytes: &mut [u8],
        cx: &mut Cx<'_>,
    ) -> Result<(), Refused> {
        if bytes.len() != cx.design.geometry.datagram() {
            return Err(Refused::WrongLength);
        }
        match Datagram::parse(bytes)? {
            Datagram::Sealed { session, counter } => {
                let arrived = self.neighbours.open(from, (session, counter), bytes, cx)?;
                self.arrive(arrived, cx)
            }
            Datagram::Offer(offer) => self.neighbours.receive_offer(from, bytes, &offer, cx),
            Datagram::Answer { initiator, responder, part, bytes } => {
                self.neighbours.receive_answer(from, (initiator, responder), (part, bytes), cx)
            }
            Datagram::Cookie { initiator, part, nonce, sealed, tag } => {
                self.neighbours.receive_cookie(from, (initiator, part), nonce, sealed, tag, cx)
            }
            Datagram::OtherVersion => Err(Refused::OtherVersion),
        }
    }

    fn arrive(&mut self, arrived: Arrived<'_>, cx: &mut Cx<'_>) -> Result<(), Refused> {
        let Arrived { link, header, body, end } = arrived;
        if header.circuit == 0 {
            return match Control::parse(body)? {
                Control::Piece(piece) => match self.neighbours.gather(link, &piece, cx)? {
                    Some(whole) => self.heed(link, Control::parse(&whole)?, cx),
                    None => Ok(()),
                },
                message => self.heed(link, message, cx),
            };
        }
        match end.ok_or(Refused::UnknownCircuit)? {
            End::Previous(relay) => match self.relays.forward(relay, header, body, cx)? {
                Forwarded::Onward(source, departure) => self.depart(source, departure, body, cx),
                Forwarded::Extend(wanted) => self.extend(relay, wanted, cx)?,
                Forwarded::AskAgain => self.ask_next(relay, cx),
                Forwarded::WantsSlots => {
                    let party = self.neighbours.party(link);
                    party.into_iter().for_each(|party| self.relays.cover_for(relay, party, cx));
                }
                Forwarded::Probed { token } => {
                    self.relays.answer_probe(relay, token, self.members.held(), cx)
                }
                Forwarded::Done => {}
            },
            End::Next(relay) => {
                let (source, departure) = self.relays.backward(relay, header, body, cx)?;
                self.depart(source, departure, body, cx);
            }
            End::Origin(origin) => self.origins.receive(origin, header, body, cx)?,
        }
        Ok(())
    }

    // --- Out ------------------------------------------------------------------------------------------

    /// What rooms want each other to know is told, and what they want to send goes on its way. Mostly that is nothing: a cell
    /// that goes on is sent at once.
    #[inline]
    pub(super) fn settle(&mut self, cx: &mut Cx<'_>) {
        if !cx.out.outgoing.is_empty() || !cx.out.effects.is_empty() {
            self.settle_all(cx);
        }
    }

    fn settle_all(&mut self, cx: &mut Cx<'_>) {
        self.route_effects(cx);
        while let Some(outgoing) = cx.out.outgoing.pop_front() {
            match outgoing {
                Outgoing::Cell(source, departure, body) => {
                    self.depart(source, departure, &body, cx);
                    cx.out.reuse(body);
                }
                Outgoing::AtOnce(departure, body) => {
                    self.neighbours.emit(departure, &body, cx);
                    cx.out.reuse(body);
                }
            }
        }
    }

    pub(super) fn route_effects(&mut self, cx: &mut Cx<'_>) {
        while let Some(effect) = cx.out.effects.pop_front() {
            match effect {
                Effect::CircuitOff { link, name, told } => self.neighbours.take_off(link, name, told, cx),
                Effect::LinkUp(up) => self.link_up(up, cx),
                Effect::LinkMoved { from, ends, to } => self.link_moved(from, ends, to),
                Effect::LinkGone(gone) => self.link_gone(gone, cx),
                Effect::LinkSilent { link, is_silent } => self.origins.link_silent(link, is_silent, cx),
                Effect::ExitHolds { exit, held } => self.members.compare(exit, held, cx),
            }
        }
    }

    /// Hands a cell to the mixing strategy, which lets it leave now or later.
    fn depart(&mut self, source: Source, departure: Departure, body: &[u8], cx: &mut Cx<'_>) {
        if !self.hold.is_at_work() {
            return self.neighbours.emit(departure, body, cx);
        }
        let circuits = self.relays.len() + self.origins.len();
        self.hold.take(source, departure, body, circuits, cx);
    }

    /// Lets leave whose time has come.
    pub(super) fn release(&mut self, cx: &mut Cx<'_>) {
        if !self.hold.is_at_work() || !self.hold.release(cx.now) {
            return;
        }
        while let Some(released) = self.hold.next(cx.now) {
            match released {
                Released::Cell(departure, body) => {
                    self.neighbours.emit(departure, &body, cx);
                    self.hold.reuse(body);
                }
                Released::Filler => self.send_filler(cx),
            }
        }
    }

    /// Sends a filler to a neighbour drawn at random.
    fn send_filler(&mut self, cx: &mut Cx<'_>) {
        let Some(link) = self.hold.chance().and_then(|chance| self.neighbours.any_bare(chance)) else {
            return;
        };
        let mut body = cx.out.body();
        Control::Filler { gap: None }.write(&mut body);
        self.neighbours.emit(Departure::soon(link, CellHeader::CONTROL), &body, cx);
        cx.out.reuse(body);
    }

    /// Decides what goes into the slots that come next.
    pub(super) fn speak(&mut self, cx: &mut Cx<'_>) {
        if !cx.slots.is_running() {
            return;
        }
        let is_needed = self.relays.len() + self.origins.len() > 0;
        while let Some(speaker) = cx.slots.pop(cx.now) {
            let mut last = Time::ZERO;
            match speaker {
                Speaker::Tick => self.neighbours.tick(is_needed, cx),
                Speaker::Link(link) => last = self.neighbours.speak(link, cx).unwrap_or_default(),
                Speaker::Origin(origin) => {
                    let link = self.origins.link_of(origin);
                    let is_covered = link.is_some_and(|link| self.neighbours.has_slots(link));
                    self.origins.speak(origin, is_covered, cx);
                }
                Speaker::Relay(relay) => self.relays.speak(relay, cx),
                Speaker::Guard(link) => self.neighbours.obey_defence(link, cx),
                Speaker::Day => self.spend_again(cx),
            }
            self.settle(cx);
            self.end_if_spent(last, cx);
        }
    }
}
