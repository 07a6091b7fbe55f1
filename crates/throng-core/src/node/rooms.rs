//! The rooms of a node, and what it is told by its host and by its timers.

use super::context::Cx;
use super::documents::Members;
use super::mixing::Hold;
use super::neighbours::Neighbours;
use super::origins::Origins;
use super::relays::Relays;
use super::{Command, NodeConfig};
use crate::crypto::Suite;
use crate::id::CircuitId;
use crate::limits::EXITS_AVOIDED_MAX;
use crate::rng::Rng;
use crate::route::ExitWish;
use crate::timers::Timer;
use crate::wire::control::Ended;

/// The rooms of a node.
pub(super) struct Rooms<S: Suite> {
    pub(super) neighbours: Neighbours<S>,
    pub(super) relays: Relays<S>,
    pub(super) origins: Origins<S>,
    pub(super) hold: Hold,
    pub(super) members: Members,
}

impl<S: Suite> Rooms<S> {
    /// `mixing`: a mix's stream of chance for its strategy; others hold nothing.
    pub(super) fn new(config: NodeConfig, mixing: Option<Rng>, cx: &mut Cx<'_>) -> Self {
        Self {
            neighbours: Neighbours::new(config.defences, cx),
            relays: Relays::new(),
            origins: Origins::new(config.client.as_ref(), cx),
            hold: mixing.map_or_else(Hold::default, |chance| Hold::new(cx.design, chance, cx.now)),
            members: Members::new(config.membership, cx),
        }
    }

    pub(super) fn obey(&mut self, command: Command<'_>, cx: &mut Cx<'_>) {
        match command {
            Command::Learn(record) => {
                self.members.view.learn(record);
                self.neighbours.know_all(&self.members.view);
                self.origins.hurry_supply(cx);
            }
            Command::Document(document) => {
                let turned = self.members.consider(document, cx);
                turned.into_iter().for_each(|turned| self.follow(turned, cx));
            }
            Command::Send { circuit, payload } => self.send(circuit, payload, cx),
            Command::Attach { stream, isolation, port, avoid } => {
                let forbidden = self.members.forbid(cx.now);
                let avoid = avoid.iter().take(EXITS_AVOIDED_MAX).copied().collect();
                let need = (stream, isolation, ExitWish { port, avoid });
                self.origins.attach(need, &self.members.view, forbidden, cx);
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

    pub(super) fn look(&mut self, timer: Timer, cx: &mut Cx<'_>) {
        match timer {
            Timer::Link(link) => self.neighbours.look(link, cx),
            Timer::Relay(relay) => self.relays.look(relay, cx),
            Timer::Origin(origin) => self.look_at_origin(origin, cx),
            Timer::Supply => self.supply_circuits(cx),
            Timer::Exchange => self.look_at_documents(cx),
            Timer::Mesh => self.neighbours.look_at_mesh(&self.members.view, cx),
        }
    }
}
