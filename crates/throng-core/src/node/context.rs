//! What every room gets to work with, beside its own tables.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::net::SocketAddr;

use crate::config::NodeKeys;
use crate::cover::{Budget, SlotClock};
use crate::crypto::{ANSWER_BYTES, KeyUse, OFFER_BYTES, SessionSecret, Suite, answer};
use crate::departure::{Departure, Outgoing, Source};
use crate::design::Design;
use crate::effect::Effect;
use crate::id::{NeighbourKey, NodeId};
use crate::output::Outbox;
use crate::refused::{Counts, Refused};
use crate::rng::Rng;
use crate::time::Time;
use crate::timers::Timers;
use crate::wire::cell::CellHeader;
use crate::wire::control::{Control, ControlPiece};
use crate::wire::parts;

/// What all rooms of a node have in common.
pub(super) struct Common {
    pub(super) me: Me,
    pub(super) design: Arc<Design>,
    pub(super) timers: Timers,
    pub(super) slots: SlotClock,
    pub(super) chance: Chance,
    pub(super) counts: Counts,
    pub(super) last: Time,
    /// How many steps there were.
    #[cfg(debug_assertions)]
    pub(super) steps: u64,
}

/// Who this node is, and what it does for others.
pub(super) struct Me {
    pub(super) keys: NodeKeys,
    pub(super) id: NodeId,
    pub(super) relays_for_others: bool,
    pub(super) is_exit: bool,
    /// What a client's cover may cost.
    pub(super) budget: Option<Budget>,
    /// What cover may take that strangers ask of us, bits per second: on clients' links, and as much in circuits that end here.
    pub(super) cover_for_others: u64,
}

/// One stream of random numbers per purpose.
pub(super) struct Chance {
    pub(super) keys: Rng,
    pub(super) route: Rng,
    pub(super) timing: Rng,
}

/// The common things, at one moment, and where everything goes that comes of it.
pub(super) struct Cx<'a> {
    pub(super) now: Time,
    pub(super) out: &'a mut Outbox,
    pub(super) me: &'a mut Me,
    pub(super) design: &'a mut Arc<Design>,
    pub(super) timers: &'a mut Timers,
    pub(super) slots: &'a mut SlotClock,
    pub(super) chance: &'a mut Chance,
    pub(super) counts: &'a mut Counts,
}

impl Common {
    pub(super) fn at<'a>(&'a mut self, now: Time, out: &'a mut Outbox) -> Cx<'a> {
        let Self { me, design, timers, slots, chance, counts, .. } = self;
        Cx { now, out, me, design, timers, slots, chance, counts }
    }
}

impl Cx<'_> {
    /// Puts a message between neighbours on its way like any other cell.
    pub(super) fn say(&mut self, link: NeighbourKey, message: &Control<'_>) {
        self.write(message, |cx, body| {
            let departure = Departure::soon(link, CellHeader::CONTROL);
            cx.out.outgoing.push_back(Outgoing::Cell(Source::Link, departure, body));
        });
    }

    /// The same, but past the strategy: a link's own questions and answers about itself.
    pub(super) fn say_at_once(&mut self, link: NeighbourKey, message: &Control<'_>) {
        self.write(message, |cx, body| {
            cx.send_at_once(Departure::soon(link, CellHeader::CONTROL), body);
        });
    }

    /// Writes a message into a cell, or its parts into more of them.
    fn write(&mut self, message: &Control<'_>, mut each: impl FnMut(&mut Self, Box<[u8]>)) {
        let geometry = self.design.geometry;
        if message.long() <= geometry.body() {
            let mut body = self.out.body();
            message.write(&mut body);
            return each(self, body);
        }
        let mut whole = alloc::vec![0; message.long()];
        message.write(&mut whole);
        let (name, of) = (Control::name_of(&whole), parts::needed(whole.len(), geometry.control_part()));
        for (part, bytes) in parts::cut(&whole, of) {
            let mut body = self.out.body();
            Control::Piece(ControlPiece { part, name, bytes }).write(&mut body);
            each(self, body);
        }
    }

    /// A cell past the strategy.
    pub(super) fn send_at_once(&mut self, departure: Departure, body: Box<[u8]>) {
        self.out.outgoing.push_back(Outgoing::AtOnce(departure, body));
    }

    /// Puts a cell of a circuit on its way.
    pub(super) fn send(&mut self, source: Source, departure: Departure, body: Box<[u8]>) {
        self.out.outgoing.push_back(Outgoing::Cell(source, departure, body));
    }

    /// Sends a message that sets a link up.
    pub(super) fn post(&mut self, to: SocketAddr, write: impl FnOnce(&mut [u8])) {
        write(self.out.datagram(to, Time::ZERO));
        self.counts.datagrams_out += 1;
    }

    /// Tells the other rooms.
    pub(super) fn tell(&mut self, effect: Effect) {
        self.out.effects.push_back(effect);
    }

    /// Our part of a handshake.
    pub(super) fn answer<S: Suite>(
        &mut self,
        purpose: KeyUse,
        offer: &[u8; OFFER_BYTES],
    ) -> Result<(SessionSecret, Box<[u8; ANSWER_BYTES]>), Refused> {
        let Me { keys, id, .. } = &*self.me;
        Ok(answer::<S>(purpose, &id.0, keys.identity_secret(), offer, &mut self.chance.keys)?)
    }

    /// First hops to use at once. A covered link costs its rate, and which ones there are must not follow the load.
    pub(super) fn first_hops_in_use(&self) -> usize {
        if self.design.cover.covers_users() { 1 } else { crate::limits::FIRST_HOPS }
    }
}
