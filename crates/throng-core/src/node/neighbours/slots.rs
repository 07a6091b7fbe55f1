//! Speaking without need: which links have slots or a defence, and what goes into each.

use core::net::SocketAddr;
use core::time::Duration;

use super::Neighbours;
use crate::cover::{Act, Content, LinkSlots, Parcel, Pass, Passed, Rate, Speaker, UserLinkCover};
use crate::crypto::Suite;
use crate::departure::Departure;
use crate::id::NeighbourKey;
use crate::limits::{DEFENCE_ACTS_MAX, DEFENCE_REST, LINKS_MAX, SLOTS_CLAIMED_AFTER};
use crate::membership::View;
use crate::node::context::Cx;
use crate::time::Time;
use crate::wire::cell::CellHeader;
use crate::wire::control::Control;

/// A neighbour that is covered may be silent for so many gaps more than another one.
const GAPS_OF_PATIENCE: u32 = 4;
/// A link under a defence has no slots; this counts as one where another link claims its address.
const DEFENCE_GAP: Duration = Duration::from_secs(1);

impl<S: Suite> Neighbours<S> {
    // --- Beginning and end ----------------------------------------------------------------------------

    /// A link came up, or showed whose it is: it gets slots if the design says so.
    pub(in crate::node) fn cover_link(&mut self, key: NeighbourKey, view: &View, cx: &mut Cx<'_>) {
        self.grant_patience(key, cx);
        let Some(link) = self.links.get(key).filter(|link| link.is_up()) else { return };
        let is_mix = link.peer.is_some_and(|peer| view.get(peer).is_some());
        let is_ours = !link.is_responder();
        if !cx.me.relays_for_others && !cx.slots.may_spend(cx.now) {
            return;
        }
        let law = match (cx.me.relays_for_others, &cx.design.cover.user_links) {
            (true, _) if is_mix => cx.design.cover.mix_links.slots(),
            (true, _) => None, // whoever opened it and is no mix tells us its rate
            (false, UserLinkCover::Machines(machines)) if is_ours => {
                let text = machines.client.clone();
                return self.begin_defence(key, &text, cx);
            }
            (false, cover) => cover.slots().filter(|_| is_ours),
        };
        law.into_iter().for_each(|law| self.begin_slots(key, law, cx));
    }

    /// Every link gets slots if the design says so and it has none.
    pub(in crate::node) fn cover_links(&mut self, view: &View, cx: &mut Cx<'_>) {
        // Of two links to one neighbour, the newer one gets the slots: it comes last.
        self.links.oldest_first().into_iter().for_each(|key| self.cover_link(key, view, cx));
    }

    /// A client makes a circuit through us: at our end of its link there is a defence as well, if the design says so.
    pub(in crate::node) fn cover_client(&mut self, key: NeighbourKey, cx: &mut Cx<'_>) {
        let UserLinkCover::Machines(machines) = &cx.design.cover.user_links else { return };
        if self.links.get(key).is_some_and(|link| link.is_responder() && link.peer.is_none()) {
            let text = machines.mix.clone();
            self.begin_defence(key, &text, cx);
        }
    }

    /// A defence watches a link from now on, if this node can make one of its text.
    fn begin_defence(&mut self, key: NeighbourKey, text: &str, cx: &mut Cx<'_>) {
        let Some(address) = self.links.get(key).map(|link| link.address) else { return };
        if !self.may_claim(key, address, cx.now) || !cx.slots.is_running() {
            return;
        }
        if let Some(guard) = self.covering.guard_of(address) {
            guard.link = key;
            return;
        }
        let seed = cx.slots.timing_of(Speaker::Guard(address)).0.seed();
        let defence = self.defences.as_ref().and_then(|defences| defences.build(text, &seed, cx.now));
        if let Some(defence) = defence {
            self.covering.guard(address, key, defence, cx);
        }
    }

    fn begin_slots(&mut self, key: NeighbourKey, law: LinkSlots, cx: &mut Cx<'_>) {
        let Some(link) = self.links.get(key).filter(|_| cx.slots.is_running()) else { return };
        if self.covering.len() >= LINKS_MAX {
            return;
        }
        let (address, decides) = (link.address, !link.is_responder());
        if self.may_claim(key, address, cx.now) {
            self.covering.begin(address, law, key, decides, cx);
            self.grant_patience(key, cx);
        }
    }

    /// Whether what goes to a link's address goes in slots.
    pub(in crate::node) fn has_slots(&self, key: NeighbourKey) -> bool {
        self.links.get(key).is_some_and(|link| self.covering.has(link.address))
    }

    /// A neighbour whose slots are far apart answers late, and is not asked more often than that. Where circuits have slots
    /// of their own, links ask no questions between them: when timers are late for those would show how busy we are.
    pub(super) fn grant_patience(&mut self, key: NeighbourKey, cx: &Cx<'_>) {
        let Some(link) = self.links.get_mut(key).filter(|_| cx.slots.is_running()) else { return };
        let gap = self.covering.pace(link.address).map_or(Duration::ZERO, |pace| pace.gap());
        link.be_patient(gap * GAPS_OF_PATIENCE + 2 * cx.design.cover.circuits.wait(cx.design.geometry));
    }

    /// Whether the slots, or the defence, of an address may go by this link: nobody has them, or the same neighbour by
    /// another link, or somebody who is not heard any more. An address alone proves nothing: anybody may claim to be there.
    fn may_claim(&mut self, key: NeighbourKey, address: SocketAddr, now: Time) -> bool {
        let pace = self.covering.pace(address).map(|pace| (pace.link, pace.gap()));
        let guard = || self.covering.guard_of(address).map(|guard| (guard.link, DEFENCE_GAP));
        let Some((holder, gap)) = pace.or_else(guard) else { return true };
        let (Some(old), Some(link)) = (self.links.get(holder), self.links.get(key)) else { return true };
        let is_same = holder == key || (old.peer.is_some() && old.peer == link.peer);
        is_same || old.address != address || now - old.last_heard() > gap * SLOTS_CLAIMED_AFTER
    }

    /// A link is gone: its neighbour's slots go with it, unless there is another link to it.
    pub(super) fn uncover_link(&mut self, key: NeighbourKey, address: SocketAddr, cx: &mut Cx<'_>) {
        let of_pace = self.covering.pace(address).is_some_and(|pace| pace.link == key);
        let of_guard = self.covering.guard_of(address).is_some_and(|guard| guard.link == key);
        if !of_pace && !of_guard {
            return;
        }
        let Some(other) = self.links.up_at(address) else { return self.covering.end(address, cx) };
        self.covering.pace(address).into_iter().for_each(|pace| pace.link = other);
        self.covering.guard_of(address).into_iter().for_each(|guard| guard.link = other);
    }

    /// The neighbour's filler says how far apart its slots are.
    pub(in crate::node) fn receive_filler(&mut self, key: NeighbourKey, gap: Duration, cx: &mut Cx<'_>) {
        let Some(address) = self.links.get(key).map(|link| link.address) else { return };
        let may_claim = self.may_claim(key, address, cx.now);
        let Some(link) = self.links.get(key).filter(|_| cx.slots.is_running()) else { return };
        if !cx.me.relays_for_others && !self.covering.has(address) {
            return self.send_uncover(key, Time::ZERO, cx);
        }
        let Some(pace) = self.covering.pace(address) else { return self.cover_asked(key, gap, cx) };
        if !may_claim {
            return;
        }
        pace.hear(gap);
        if link.is_responder() {
            pace.link = key; // who opened the links says which one is the newest
        }
        self.grant_patience(key, cx);
    }

    /// A client cannot, or does not want to, spend more: it has no slots any more.
    pub(in crate::node) fn receive_uncover(&mut self, key: NeighbourKey, cx: &mut Cx<'_>) {
        let Some(link) = self.links.get(key) else { return };
        let (address, is_client) = (link.address, link.is_responder() && link.peer.is_none());
        if is_client && cx.me.relays_for_others && self.may_claim(key, address, cx.now) {
            self.covering.end(address, cx);
        }
    }

    /// A client asks us to speak as it does: not faster than the design says, and as long as it speaks.
    fn cover_asked(&mut self, key: NeighbourKey, gap: Duration, cx: &mut Cx<'_>) {
        let UserLinkCover::Constant(most) = cx.design.cover.user_links else { return };
        let is_client = self.links.get(key).is_some_and(|link| link.is_responder() && link.peer.is_none());
        if cx.me.relays_for_others && is_client {
            let geometry = cx.design.geometry;
            let rate = Rate::of_gap(gap.max(most.gap(geometry)), geometry);
            self.begin_slots(key, LinkSlots::Constant(rate), cx);
        }
    }

    /// A design with other cover is in force: all slots are new.
    pub(in crate::node) fn cover_anew(&mut self, view: &View, cx: &mut Cx<'_>) {
        let before = core::mem::take(&mut self.covering);
        if cx.slots.is_running() {
            self.cover_links(view, cx);
            // Those who spoke to us in slots will go on: so do we, without waiting until they say so again.
            before.gaps().into_iter().for_each(|(link, gap)| self.cover_asked(link, gap, cx));
        }
    }

    /// Nothing more may be spent: neighbours are told so behind the `last` slot, and we speak when there is something to
    /// say.
    pub(in crate::node) fn stop_covering(&mut self, last: Time, cx: &mut Cx<'_>) {
        let neighbours = self.covering.neighbours();
        let guarded = self.covering.guarded();
        for address in neighbours {
            let link = self.covering.pace(address).map(|pace| pace.link);
            self.covering.end(address, cx);
            link.into_iter().for_each(|link| self.send_uncover(link, last, cx));
        }
        for address in guarded {
            while self.send_held(address, cx) {}
            self.covering.end(address, cx);
        }
    }

    // --- Slots ----------------------------------------------------------------------------------------

    /// Sets the common rate of demand-driven links. `is_needed`: whether any circuit is open.
    pub(in crate::node) fn tick(&mut self, is_needed: bool, cx: &mut Cx<'_>) {
        self.covering.tick(is_needed, cx);
    }

    /// Fills a neighbour's next slot; when it leaves, if it was not too late for it.
    pub(in crate::node) fn speak(&mut self, address: SocketAddr, cx: &mut Cx<'_>) -> Option<Time> {
        let turn = self.covering.turn(address, cx)?;
        match turn.content {
            Content::Parcel(Parcel::Cell(departure, body)) => {
                if !self.seal(departure, &body, turn.at, cx) {
                    self.fill(address, turn.at, cx); // its link ended, the slot did not
                }
                cx.out.reuse(body);
            }
            Content::Parcel(Parcel::Datagram { bytes, .. }) => {
                cx.out.datagram(address, turn.at).copy_from_slice(&bytes);
                cx.counts.datagrams_out += 1;
            }
            Content::Filler => self.fill(address, turn.at, cx),
        }
        Some(turn.at)
    }

    /// Sends a filler in a slot.
    fn fill(&mut self, address: SocketAddr, at: Time, cx: &mut Cx<'_>) {
        let Some(pace) = self.covering.pace(address) else { return };
        let (link, gap) = (pace.link, pace.gap());
        // A neighbour that does not know yet who asks would take us for a client.
        let is_known = self.links.get(link).is_some_and(|link| link.identify.is_none());
        self.send_past_slots(link, &Control::Filler { gap: Some(gap).filter(|_| is_known) }, at, cx);
    }

    /// Sends a message about slots past slots and defences, `at` a slot.
    fn send_past_slots(&mut self, link: NeighbourKey, message: &Control<'_>, at: Time, cx: &mut Cx<'_>) {
        let mut body = cx.out.body();
        message.write(&mut body);
        self.seal(Departure::soon(link, CellHeader::CONTROL), &body, at, cx);
        cx.out.reuse(body);
    }

    fn send_uncover(&mut self, link: NeighbourKey, at: Time, cx: &mut Cx<'_>) {
        self.send_past_slots(link, &Control::Uncover, at, cx);
    }

    // --- Defences -------------------------------------------------------------------------------------

    /// Something came on a link; its defence hears of it.
    pub(super) fn observe(&mut self, address: SocketAddr, is_filler: bool, cx: &mut Cx<'_>) {
        if let Some(guard) = self.covering.guard_of(address) {
            let passed = if is_filler { Passed::PaddingReceived } else { Passed::Received };
            guard.defence.observe(passed, cx.now);
            self.covering.look_at_guard(address, cx);
        }
    }

    /// Whether a cell may leave now. Without a defence it may.
    pub(super) fn pass_defence(
        &mut self,
        address: SocketAddr,
        departure: Departure,
        body: &[u8],
        cx: &mut Cx<'_>,
    ) -> Pass {
        let Some(guard) = self.covering.guard_of(address) else { return Pass::Now };
        let pass = guard.pass(departure, body, cx.now);
        cx.slots.note(|spent| spent.real += u64::from(!matches!(pass, Pass::Dropped)));
        self.covering.look_at_guard(address, cx);
        pass
    }

    /// Does what the defence of a link wants done now.
    pub(in crate::node) fn obey_defence(&mut self, address: SocketAddr, cx: &mut Cx<'_>) {
        let mut acts = 0..DEFENCE_ACTS_MAX;
        loop {
            let Some(guard) = self.covering.guard_of(address) else { return };
            // A text that wants things without end, or is due again at once, gets a rest.
            guard.not_before = cx.now + DEFENCE_REST;
            if acts.next().is_none() {
                break;
            }
            let Some(act) = guard.defence.act(cx.now) else {
                if guard.defence.wake() > cx.now {
                    guard.not_before = Time::ZERO;
                }
                break;
            };
            match act {
                Act::Release => while self.send_held(address, cx) {},
                Act::Pad { bypass, replace } => {
                    let is_held = guard.defence.holds() && !bypass;
                    let is_replaced = !is_held && replace && self.send_held(address, cx);
                    if !is_held && !is_replaced {
                        self.pad(address, cx);
                    }
                }
            }
        }
        self.covering.look_at_guard(address, cx);
    }

    /// Sends a cell that a defence held; whether there was one.
    fn send_held(&mut self, address: SocketAddr, cx: &mut Cx<'_>) -> bool {
        let Some(guard) = self.covering.guard_of(address) else { return false };
        let Some((departure, body)) = guard.pop() else { return false };
        guard.defence.observe(Passed::Sent, cx.now);
        self.seal(departure, &body, Time::ZERO, cx);
        true
    }

    fn pad(&mut self, address: SocketAddr, cx: &mut Cx<'_>) {
        let Some(guard) = self.covering.guard_of(address) else { return };
        guard.defence.observe(Passed::Sent, cx.now);
        let link = guard.link;
        cx.slots.note(|spent| spent.filler += 1);
        cx.slots.pay(cx.now);
        self.send_past_slots(link, &Control::Filler { gap: None }, Time::ZERO, cx);
    }
}
