//! The room of our own circuits: built hop by hop over links that lose, watched, renewed, and given to streams.

mod build;
mod cut;
mod origin;
mod serve;
mod slots;
mod supply;
mod watch;
mod way;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use slotmap::SlotMap;

use self::cut::CutPaths;
pub(super) use self::origin::Origin;
use self::supply::Supply;
pub(super) use self::watch::Look;
pub(super) use self::way::Build;
#[cfg(test)]
pub(super) use self::way::Hop;
use super::context::Cx;
use crate::config::ClientConfig;
use crate::crypto::Suite;
use crate::departure::{Departure, Source};
use crate::effect::Effect;
use crate::id::{CircuitId, End, NeighbourKey, NodeId, OriginKey};
use crate::limits::{GATHERED_MESSAGES_MAX, SILENCE_PROBE_EVERY_MAX};
use crate::membership::{Record, View};
use crate::refused::Refused;
use crate::route::{FirstHops, PathRules, Resting};
use crate::time::Time;
use crate::timers::{Due, Timer};
use crate::wire::cell::CellHeader;
use crate::wire::control::Ended;
use crate::wire::message::Message;
use crate::wire::parts::Gathering;

/// All circuits of a node's own, and what it knows about having more.
pub(super) struct Origins<S: Suite> {
    origins: SlotMap<OriginKey, Box<Origin<S>>>,
    /// The rules of its paths, if the node is a client.
    client: Option<PathRules>,
    first_hops: FirstHops,
    /// None before one was cut.
    cut: Option<Box<CutPaths>>,
    /// None before a circuit fell silent.
    resting: Option<Box<Resting>>,
    supply: Supply,
    /// Messages longer than a cell of which some parts are there, by the hop that says them.
    parts: Gathering<(OriginKey, u8), GATHERED_MESSAGES_MAX>,
}

/// A circuit of our own, as the meter sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCircuit {
    /// Its mixes, first to last.
    pub path: Vec<NodeId>,
    /// How long ago that was.
    pub age: Duration,
    /// Whether streams use it, or may no more.
    pub is_used: bool,
}

impl<S: Suite> Origins<S> {
    pub(super) fn new(client: Option<&ClientConfig>, cx: &mut Cx<'_>) -> Self {
        let first_hops = client.into_iter().flat_map(|client| client.first_hops.iter().copied());
        let mut supply = Supply::new(client.map_or(0, |client| client.spare));
        cx.timers.set(&mut supply.due, cx.now, Timer::Supply);
        Self {
            origins: SlotMap::with_key(),
            client: client.map(|client| client.rules),
            first_hops: FirstHops::new(first_hops),
            cut: None,
            resting: None,
            supply,
            parts: Gathering::new(),
        }
    }

    // --- Cells ----------------------------------------------------------------------------------------

    /// A cell of a circuit of ours.
    pub(super) fn receive(
        &mut self,
        key: OriginKey,
        header: CellHeader,
        body: &mut [u8],
        cx: &mut Cx<'_>,
    ) -> Result<(), Refused> {
        let origin = self.origins.get_mut(key).ok_or(Refused::UnknownCircuit)?;
        let was_doubtful = origin.is_doubtful(cx.now);
        let (place, message) = origin.unwrap(header, body, cx.now)?;
        let recovered = was_doubtful && origin.is_ready() && !origin.is_doubtful(cx.now);
        let outcome = match message {
            Message::Piece(piece) if piece.part.of() > cx.design.geometry.message_parts() => {
                Err(Refused::Malformed)
            }
            // Each hop says its own: no other one may write a part of it.
            Message::Piece(piece) => {
                let name = ((key, place as u8), piece.name);
                match self.parts.add(name, piece.part, 0, piece.bytes) {
                    Some(whole) => self.heed(key, place, piece.whole(&whole.bytes)?, cx),
                    None => Ok(()),
                }
            }
            message => self.heed(key, place, message, cx),
        };
        if recovered {
            self.serve_waiting(cx);
        }
        outcome
    }

    /// A hop of a circuit of ours says something.
    fn heed(
        &mut self,
        key: OriginKey,
        place: usize,
        message: Message<'_>,
        cx: &mut Cx<'_>,
    ) -> Result<(), Refused> {
        let origin = self.origins.get_mut(key).ok_or(Refused::UnknownCircuit)?;
        let is_ready = origin.is_ready();
        let is_far_end = is_ready && place + 1 == origin.path.len();
        match message {
            Message::Payload(payload) if payload.len() > cx.design.geometry.packet() => {
                return Err(Refused::Malformed);
            }
            Message::Payload(payload) if is_far_end => cx.out.deliver(CircuitId::origin(key), payload),
            Message::Alive { token, holds } if is_far_end => {
                origin.answered(token, cx.now);
                cx.tell(Effect::ExitHolds { exit: origin.path[place].description().identity, held: holds });
            }
            Message::Dummy => origin.pace.iter_mut().for_each(|pace| pace.hear()),
            Message::Extended { answer, record } => {
                return self.hop_joined(key, (place + 1, record), answer, cx);
            }
            Message::NotExtended { request, why } if place + 1 == origin.path.len() => {
                return self.hop_refused(key, request, why, cx);
            }
            _ => return Err(Refused::OutOfPlace),
        }
        Ok(())
    }

    /// A packet of a stream, to the last hop.
    pub(super) fn send(&mut self, key: OriginKey, packet: &[u8], cx: &mut Cx<'_>) {
        let Some(origin) = self.origins.get_mut(key).filter(|origin| origin.is_ready()) else { return };
        if let Some(pace) = &mut origin.pace {
            cx.counts.cells_dropped += pace.push(packet, cx.design.geometry);
            return;
        }
        let name = origin.next_number();
        let geometry = cx.design.geometry;
        Message::Payload(packet).in_cells(geometry, name, |message| {
            self.send_message(key, message, Time::ZERO, cx);
        });
    }

    /// Sends a message to the last hop so far in one cell, `at` a slot of the circuit.
    fn send_message(&mut self, key: OriginKey, message: &Message<'_>, at: Time, cx: &mut Cx<'_>) {
        let Some(origin) = self.origins.get_mut(key) else { return };
        let mut body = cx.out.body();
        let header = origin.wrap(message, &mut body);
        if origin.is_ready()
            && let Some(look) = origin.await_answer(cx.now)
        {
            cx.timers.no_later_than(&mut origin.due, look, Timer::Origin(key));
        }
        // To a strategy it is a circuit like those of others: a member's own cells must not be known by how they leave.
        let source = Source::Circuit { number: CircuitId::origin(key).to_bits(), is_backward: false };
        cx.send(source, Departure { link: origin.link, header, at }, body);
    }

    /// Its first hop is to be reached on another link.
    pub(super) fn moved(&mut self, key: OriginKey, to: NeighbourKey) {
        self.origins.get_mut(key).into_iter().for_each(|origin| origin.link = to);
    }

    // --- Audit ----------------------------------------------------------------------------------------

    pub(super) fn has_few_parts(&self) -> bool {
        self.parts.is_within_bound()
    }

    /// Where all circuits are.
    pub(super) fn places(&self) -> impl Iterator<Item = (End, (NeighbourKey, u32))> {
        self.origins.iter().map(|(key, origin)| (End::Origin(key), (origin.link, origin.name)))
    }

    pub(super) fn place(&self, key: OriginKey) -> Option<(NeighbourKey, u32)> {
        self.origins.get(key).map(|origin| (origin.link, origin.name))
    }

    pub(super) fn due(&self, key: OriginKey) -> Option<Due> {
        self.origins.get(key).map(|origin| origin.due)
    }

    pub(super) fn supply_due(&self) -> Due {
        self.supply.due
    }

    /// Whether a circuit has a slot then.
    pub(super) fn speaks_at(&self, key: OriginKey, at: Time) -> bool {
        self.origins.get(key).and_then(|origin| origin.pace.as_ref()).is_some_and(|pace| pace.due() == at)
    }

    // --- What others ask ------------------------------------------------------------------------------

    pub(super) fn len(&self) -> usize {
        self.origins.len()
    }

    /// The sticky first hops.
    pub(super) fn first_hops(&self) -> &FirstHops {
        &self.first_hops
    }

    /// A first hop does not answer, or is heard again.
    pub(super) fn link_silent(&mut self, link: NeighbourKey, is_silent: bool, cx: &mut Cx<'_>) {
        let there = self.origins.values_mut().filter(|origin| origin.link == link);
        for origin in there {
            if let (false, Some(resting), Some(first)) = (is_silent, &mut self.resting, origin.first()) {
                resting.wake(first);
            }
            origin.is_cut_off = is_silent;
            // Each is asked at another time: their exits must not see that they are one client's.
            origin.excuse(cx.now + SILENCE_PROBE_EVERY_MAX.mul_f64(cx.chance.timing.unit()));
        }
        if is_silent {
            self.hurry_supply(cx);
        } else {
            self.serve_waiting(cx);
        }
    }

    /// A first hop answered.
    pub(super) fn first_hop_answered(&mut self, peer: NodeId, now: Time) {
        self.first_hops.answered(peer, now);
    }

    /// A neighbour fell silent, which may be a first hop.
    pub(super) fn first_hop_failed(&mut self, peer: NodeId, now: Time) {
        self.first_hops.failed(peer, now);
    }

    /// The first hop that is to be told of documents.
    pub(super) fn first_hop_to_tell(&mut self, view: &View, cx: &mut Cx<'_>) -> Option<Arc<Record>> {
        self.client?;
        let count = cx.first_hops_in_use();
        self.first_hops.in_order(view, count, &mut cx.chance.route, cx.now).into_iter().next()
    }

    /// Circuits that are ready.
    pub(super) fn ready(&self, now: Time) -> Vec<OwnCircuit> {
        let ready = self.origins.values().filter(|origin| origin.is_ready());
        let seen = ready.map(|origin| OwnCircuit {
            path: origin.path.iter().map(|record| record.description().identity).collect(),
            age: now - origin.started,
            is_used: origin.use_.isolation.is_some(),
        });
        seen.collect()
    }

    /// The node makes no circuits any more, and has none.
    pub(super) fn leave(&mut self, cx: &mut Cx<'_>) {
        let keys: Vec<_> = self.origins.keys().collect();
        keys.into_iter().for_each(|key| self.end(key, Ended::Leaving, cx));
    }

    /// Nobody is a client here any more: whoever waits for a circuit waits in vain.
    pub(super) fn retire(&mut self, cx: &mut Cx<'_>) {
        self.client = None;
        self.refuse_waiting(cx);
    }

    /// Looks soon whether circuits are missing.
    pub(super) fn hurry_supply(&mut self, cx: &mut Cx<'_>) {
        cx.timers.no_later_than(&mut self.supply.due, cx.now, Timer::Supply);
    }
}
