//! The life of a cell: in from a neighbour, to its circuit, past the mixing strategy, out to the next neighbour.
//!
//! This is the only place that knows all rooms. What happens when a circuit or a link comes or goes, which concerns several
//! of them, is in `circuits.rs` and `links.rs`.

use core::net::SocketAddr;

use super::context::Cx;
use super::documents::Members;
use super::meter::Meter;
use super::mixing::{Hold, Released};
use super::neighbours::{Arrived, Neighbours};
use super::origins::Origins;
use super::relays::{Forwarded, Relays};
use super::{Command, NodeConfig};
use crate::cover::Speaker;
use crate::crypto::Suite;
use crate::departure::{Departure, Outgoing, Source};
use crate::effect::Effect;
use crate::id::{CircuitId, End, NeighbourKey};
use crate::refused::Refused;
use crate::rng::Rng;
use crate::time::Time;
use crate::timers::Timer;
use crate::wire::cell::CellHeader;
use crate::wire::control::{Control, Ended};
use crate::wire::datagram::Datagram;

/// The rooms of a node.
pub(super) struct Rooms<S: Suite> {
    pub(super) neighbours: Neighbours<S>,
    pub(super) relays: Relays<S>,
    pub(super) origins: Origins<S>,
    pub(super) hold: Hold,
    pub(super) members: Members,
    pub(super) meter: Meter,
}

impl<S: Suite> Rooms<S> {
    /// `mixing`: a mix's stream of chance for its strategy; others hold nothing.
    pub(super) fn new(config: NodeConfig, mixing: Option<Rng>, cx: &mut Cx<'_>) -> Self {
        Self {
            neighbours: Neighbours::new(config.defences, cx),
            relays: Relays::new(cx.now),
            origins: Origins::new(config.client.as_ref(), cx),
            hold: mixing.map_or_else(Hold::default, |chance| Hold::new(cx.design, chance, cx.now)),
            members: Members::new::<S>(config.membership, cx),
            meter: Meter::default(),
        }
    }

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

    /// A neighbour says something.
    fn heed(&mut self, link: NeighbourKey, message: Control<'_>, cx: &mut Cx<'_>) -> Result<(), Refused> {
        match message {
            Control::Ping { token } => cx.say_at_once(link, &Control::Pong { token }),
            Control::Pong { token } => self.neighbours.receive_pong(link, token),
            Control::Filler { gap: None } => {}
            Control::Filler { gap: Some(gap) } => self.neighbours.receive_filler(link, gap, cx),
            Control::Uncover => self.neighbours.receive_uncover(link, cx),
            Control::Introduce(who) => self.introduced(link, &who, cx)?,
            Control::Introduced => self.neighbours.believed(link, cx)?,
            Control::Renew { session, offer } => self.neighbours.receive_renew(link, session, offer, cx)?,
            Control::Renewed { initiator, responder, answer } => {
                self.neighbours.receive_renewed(link, (initiator, responder), answer, cx)?;
            }
            Control::Create { circuit, offer } => self.create(link, circuit, offer, cx)?,
            Control::Created { circuit, answer } => {
                self.joined(link, circuit, answer, cx)?;
            }
            Control::Destroy { circuit, why } => {
                let end = self.neighbours.destroyed(link, circuit)?;
                self.end(end, why, cx);
            }
            Control::Holding(what) => self.members.hear(link, self.neighbours.peer(link), what, cx)?,
            Control::Want { digest, part } => self.give_part(link, digest, part, cx)?,
            Control::Part { digest, part, bytes } => {
                let turned = self.members.receive_part::<S>(link, digest, part, bytes, cx)?;
                turned.into_iter().for_each(|turned| self.follow(turned, cx));
            }
            Control::Piece(_) => return Err(Refused::Malformed), // a part of a part
        }
        Ok(())
    }

    pub(super) fn obey(&mut self, command: Command<'_>, cx: &mut Cx<'_>) {
        match command {
            Command::Learn(record) => {
                self.members.view.learn(record);
                self.neighbours.know_addresses(&self.members.view);
                self.origins.hurry_supply(cx);
            }
            Command::Document(document) => {
                let turned = self.members.consider::<S>(document);
                turned.into_iter().for_each(|turned| self.follow(turned, cx));
            }
            Command::Send { circuit, payload } => self.send(circuit, payload, cx),
            Command::Attach { stream, isolation, port } => {
                let forbidden = self.members.forbid(cx.now);
                self.origins.attach((stream, isolation, port), &self.members.view, forbidden, cx);
            }
            Command::Detach { circuit } => {
                circuit.to_origin().into_iter().for_each(|origin| self.origins.detach(origin, cx));
            }
            Command::Close { circuit } => self.close(circuit, cx),
            Command::Renew => self.origins.renew(),
            Command::Spend(may) => self.let_spend(may, cx),
            Command::Leave => self.leave(cx),
        }
    }

    /// A packet for the other end of a circuit.
    fn send(&mut self, circuit: CircuitId, payload: &[u8], cx: &mut Cx<'_>) {
        if payload.len() > cx.design.geometry.packet() {
            return;
        }
        if let Some(origin) = circuit.to_origin() {
            self.origins.send(origin, payload, cx);
        } else if let Some(relay) = circuit.to_relay() {
            self.relays.send(relay, payload, cx);
        }
    }

    fn close(&mut self, circuit: CircuitId, cx: &mut Cx<'_>) {
        if let Some(origin) = circuit.to_origin() {
            self.origins.end(origin, Ended::Finished, cx);
        } else if let Some(relay) = circuit.to_relay() {
            self.relays.end(relay, Ended::Finished, cx);
        }
    }

    // --- Time -----------------------------------------------------------------------------------------

    pub(super) fn look(&mut self, timer: Timer, cx: &mut Cx<'_>) {
        match timer {
            Timer::Link(link) => self.neighbours.look(link, cx),
            Timer::Relay(relay) => self.relays.look(relay, cx),
            Timer::Origin(origin) => {
                let link = self.origins.link_of(origin);
                let is_heard = link.is_some_and(|link| self.neighbours.is_heard(link, cx.now));
                self.origins.look(origin, is_heard, cx);
            }
            Timer::Supply => self.supply_circuits(cx),
            Timer::Exchange => self.look_at_documents(cx),
            Timer::Mesh => self.neighbours.look_at_mesh(&self.members.view, cx),
        }
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
