//! Speaking without need: which links and circuits have slots, and what goes into each.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::Node;
use crate::cover::{
    Act, CircuitCover, CircuitPace, CircuitTurn, Content, Covering, LinkCover, Next, Parcel, Pass, Passed,
    Purse, Rate, Speaker,
};
use crate::crypto::Suite;
use crate::departure::Departure;
use crate::id::LinkKey;
use crate::id::{OriginKey, RelayKey};
use crate::limits::{
    CIRCUIT_SILENT_MIN, DEFENCE_ACTS_MAX, DEFENCE_REST, LINKS_MAX, MESH_AT_ONCE_MAX, MESH_EVERY,
    SLOTS_CLAIMED_AFTER, SLOTS_SILENT_MAX,
};
use crate::membership::Record;
use crate::output::Outbox;
use crate::refused::Refused;
use crate::time::Time;
use crate::timers::Timer;
use crate::wire::cell::CellHeader;
use crate::wire::control::Control;
use crate::wire::message::Message;

/// A neighbour that is covered may be silent for so many gaps more than another one.
const GAPS_OF_PATIENCE: u32 = 4;
/// A link under a defence has no slots; this counts as one where another link claims its address.
const DEFENCE_GAP: Duration = Duration::from_secs(1);

impl<S: Suite> Node<S> {
    // --- Beginning and end ----------------------------------------------------------------------------

    /// A link came up, or showed whose it is: it gets slots if the design says so.
    pub(super) fn cover_link(&mut self, now: Time, key: LinkKey) {
        self.grant_patience(key);
        let Some(link) = self.links.get(key).filter(|link| link.is_up()) else { return };
        let is_mix = link.peer.is_some_and(|peer| self.view.get(peer).is_some());
        let cover = match (self.relays_for_others, link.is_responder()) {
            (true, _) if is_mix => &self.design.cover.mix_links,
            (false, false) => &self.design.cover.user_links,
            _ => &LinkCover::None, // whoever opened it and is no mix tells us its rate
        };
        let cover = cover.clone();
        if !self.relays_for_others && !self.may_spend(now) {
            return;
        }
        if let LinkCover::Machines(machines) = &cover {
            return self.begin_defence(now, key, &machines.client);
        }
        self.begin_slots(now, key, &cover);
    }

    /// A client makes a circuit through us: at our end of its link there is a defence as well, if the design says so.
    pub(super) fn cover_client(&mut self, now: Time, key: LinkKey) {
        let LinkCover::Machines(machines) = &self.design.cover.user_links else { return };
        if self.links.get(key).is_some_and(|link| link.is_responder() && link.peer.is_none()) {
            let text = machines.mix.clone();
            self.begin_defence(now, key, &text);
        }
    }

    /// A defence watches a link from now on, if this node can make one of its text.
    fn begin_defence(&mut self, now: Time, key: LinkKey, text: &str) {
        let Some(address) = self.links.get(key).map(|link| link.address) else { return };
        if !self.may_claim(now, key, address) {
            return;
        }
        let (Some(covering), Some(link)) = (&mut self.covering, self.links.get(key)) else { return };
        if let Some(guard) = covering.guard_of(link.address) {
            guard.link = key;
            return;
        }
        let seed = covering.chance_of(Speaker::Guard(link.address)).seed();
        let defence = self.defences.as_ref().and_then(|defences| defences.raise(text, &seed, now));
        if let Some(defence) = defence {
            covering.guard(link.address, key, defence);
        }
    }

    fn begin_slots(&mut self, now: Time, key: LinkKey, cover: &LinkCover) {
        let (Some(covering), Some(link)) = (&self.covering, self.links.get(key)) else { return };
        if *cover == LinkCover::None || covering.len() >= LINKS_MAX {
            return;
        }
        let (address, decides) = (link.address, !link.is_responder());
        if !self.may_claim(now, key, address) {
            return;
        }
        let Some(covering) = &mut self.covering else { return };
        covering.begin(address, cover, key, decides, now);
        self.grant_patience(key);
    }

    /// Whether what goes to a link's address goes in slots.
    pub(super) fn has_slots(&self, key: LinkKey) -> bool {
        let (Some(covering), Some(link)) = (&self.covering, self.links.get(key)) else { return false };
        covering.has(link.address)
    }

    /// A neighbour whose slots are far apart answers late, and is not asked more often than that. Where circuits have slots
    /// of their own, links ask no questions between them: when timers are late for those would show how busy we are.
    pub(super) fn grant_patience(&mut self, key: LinkKey) {
        let (Some(covering), Some(link)) = (&mut self.covering, self.links.get_mut(key)) else { return };
        let gap = covering.pace(link.address).map_or(Duration::ZERO, |pace| pace.gap());
        link.be_patient(gap * GAPS_OF_PATIENCE + 2 * self.design.cover.circuits.wait(self.design.geometry));
    }

    /// Whether the slots, or the defence, of an address may go by this link: nobody has them, or the same neighbour by another link, or
    /// somebody who is not heard any more. An address alone proves nothing: anybody may claim to be there.
    fn may_claim(&mut self, now: Time, key: LinkKey, address: SocketAddr) -> bool {
        let Some(covering) = &mut self.covering else { return true };
        let (holder, gap) =
            match (covering.pace(address).map(|pace| (pace.link, pace.gap())), covering.guard_of(address)) {
                (Some(pace), _) => pace,
                (None, Some(guard)) => (guard.link, DEFENCE_GAP),
                (None, None) => return true,
            };
        let (Some(old), Some(link)) = (self.links.get(holder), self.links.get(key)) else { return true };
        let is_same = holder == key || (old.peer.is_some() && old.peer == link.peer);
        is_same || old.address != address || now - old.last_heard() > gap * SLOTS_CLAIMED_AFTER
    }

    /// A link is gone: its neighbour's slots go with it, unless there is another link to it.
    pub(super) fn uncover_link(&mut self, key: LinkKey, address: SocketAddr) {
        let Some(covering) = &mut self.covering else { return };
        let of_pace =
            covering.pace(address).map(|pace| &mut pace.link).filter(|link| **link == key).is_some();
        let of_guard = covering.guard_of(address).is_some_and(|guard| guard.link == key);
        if !of_pace && !of_guard {
            return;
        }
        let Some(other) = self.links.up_at(address) else { return covering.end(address) };
        covering.pace(address).into_iter().for_each(|pace| pace.link = other);
        covering.guard_of(address).into_iter().for_each(|guard| guard.link = other);
    }

    /// The neighbour's filler says how far apart its slots are.
    pub(super) fn receive_filler(
        &mut self,
        now: Time,
        key: LinkKey,
        gap: Duration,
        out: &mut Outbox,
    ) -> Result<(), Refused> {
        let Some(address) = self.links.get(key).map(|link| link.address) else { return Ok(()) };
        let may_claim = self.may_claim(now, key, address);
        let (Some(covering), Some(link)) = (&mut self.covering, self.links.get(key)) else { return Ok(()) };
        let is_client = link.is_responder() && link.peer.is_none();
        if gap.is_zero() {
            if is_client && self.relays_for_others && may_claim && covering.pace(address).is_some() {
                covering.end(address); // it cannot, or does not want to, spend more
            }
            return Ok(());
        }
        if !self.relays_for_others && !covering.has(link.address) {
            self.say_no_slots(now, key, Time::ZERO, out);
            return Ok(());
        }
        if let Some(pace) = covering.pace(address) {
            if !may_claim {
                return Ok(());
            }
            pace.hear(gap);
            if link.is_responder() {
                pace.link = key; // who opened the links says which one is the newest
            }
            self.grant_patience(key);
            return Ok(());
        }
        self.cover_asked(now, key, gap);
        Ok(())
    }

    /// A client asks us to speak as it does: not faster than the design says, and as long as it speaks.
    fn cover_asked(&mut self, now: Time, key: LinkKey, gap: Duration) {
        let LinkCover::Constant(most) = self.design.cover.user_links else { return };
        let is_client = self.links.get(key).is_some_and(|link| link.is_responder() && link.peer.is_none());
        if self.relays_for_others && is_client && !gap.is_zero() {
            let geometry = self.design.geometry;
            let rate = Rate::of_gap(gap.max(most.gap(geometry)), geometry);
            self.begin_slots(now, key, &LinkCover::Constant(rate));
        }
    }

    /// A design with other cover is in force: all slots are new, what was spent stays spent.
    pub(super) fn cover_anew(&mut self, now: Time) {
        let before = self.covering.take();
        self.owns.values_mut().for_each(|own| own.pace = None);
        let spoke: Vec<_> =
            self.relays.iter_mut().filter_map(|(key, relay)| relay.pace.take().map(|_| key)).collect();
        if self.design.cover.is_none() {
            return;
        }
        let budget = self.client.map(|_| self.budget.as_deref().copied().unwrap_or_default());
        let seed = self.chance.timing.seed();
        let mut covering = Box::new(Covering::new(seed, self.design.geometry, budget, now));
        let mut gaps = Vec::new();
        if let Some(before) = before {
            gaps = before.gaps();
            (covering.purse, covering.spent) = (before.purse, before.spent);
        }
        self.covering = Some(covering);
        self.cover_all(now);
        // Those who spoke to us in slots will go on: so do we, without waiting until they say so again.
        gaps.into_iter().for_each(|(link, gap)| self.cover_asked(now, link, gap));
        spoke.into_iter().for_each(|relay| self.cover_relay(now, relay));
        self.timers.by(&mut self.mesh, now, Timer::Mesh);
    }

    /// Everything that runs gets slots if the design says so and it has none.
    pub(super) fn cover_all(&mut self, now: Time) {
        // Of two links to one neighbour, the newer one gets the slots: it comes last.
        self.links.oldest_first().into_iter().for_each(|key| self.cover_link(now, key));
        let bare = self.owns.iter().filter(|(_, own)| own.is_ready() && own.pace.is_none());
        let owns: Vec<OriginKey> = bare.map(|(key, _)| key).collect();
        owns.into_iter().for_each(|own| self.cover_own(now, own));
    }

    /// A mix whose links to other mixes are covered has one to each of them, always: which ones there are must not
    /// follow the load. Of two mixes, the one with the smaller name opens it.
    pub(super) fn look_at_mesh(&mut self, now: Time, out: &mut Outbox) {
        self.timers.unset(&mut self.mesh, Timer::Mesh);
        if !self.relays_for_others || self.design.cover.mix_links == LinkCover::None {
            return;
        }
        let ours = |record: &&Arc<Record>| {
            let mix = record.description();
            mix.identity > self.id && mix.until > now && self.links.to_peer(mix.identity, now).is_none()
        };
        let missing: Vec<_> = self.view.records().filter(ours).take(MESH_AT_ONCE_MAX).cloned().collect();
        for record in missing {
            self.link_to(now, &record, out);
        }
        self.timers.set(&mut self.mesh, now + MESH_EVERY, Timer::Mesh);
    }

    // --- Slots ----------------------------------------------------------------------------------------

    /// Decides what goes into the slots that come next.
    pub(super) fn speak(&mut self, now: Time, out: &mut Outbox) {
        let is_needed = !self.relays.is_empty() || !self.owns.is_empty();
        while let Some(next) = self.covering.as_mut().and_then(|covering| covering.next(now, is_needed)) {
            let mut last = Time::ZERO;
            match next {
                Next::Link(address, turn) => {
                    last = turn.at;
                    self.speak_on_link(now, address, turn.at, turn.content, out);
                }
                Next::Own(key) => self.speak_on_own(now, key, out),
                Next::Relay(key) => self.speak_on_relay(now, key, out),
                Next::Guard(address) => self.obey_defence(now, address, out),
                Next::Day => self.spend_again(now),
            }
            self.end_if_spent(now, last, out);
        }
    }

    fn speak_on_link(
        &mut self,
        now: Time,
        address: SocketAddr,
        at: Time,
        content: Content,
        out: &mut Outbox,
    ) {
        match content {
            Content::Parcel(Parcel::Cell(departure, body)) => {
                if !self.seal(now, departure, &body, at, out) {
                    self.fill(now, address, at, out); // its link ended, the slot did not
                }
                if let Some(covering) = &mut self.covering {
                    covering.reuse(body);
                }
            }
            Content::Parcel(Parcel::Datagram { bytes, .. }) => {
                out.datagram(address, at).copy_from_slice(&bytes);
                self.counts.datagrams_out += 1;
            }
            Content::Filler => self.fill(now, address, at, out),
        }
    }

    /// Sends a filler in a slot.
    fn fill(&mut self, now: Time, address: SocketAddr, at: Time, out: &mut Outbox) {
        let Some(pace) = self.covering.as_mut().and_then(|covering| covering.pace(address)) else { return };
        let (link, mut gap) = (pace.link, pace.gap());
        if self.links.get(link).is_some_and(|link| link.identify.is_some()) {
            gap = Duration::ZERO; // it does not know yet who asks, and would take us for a client
        }
        self.send_filler(now, link, gap, at, out);
    }

    /// Sends a filler past slots and defences, `at` a slot; it says how far apart our slots are.
    fn send_filler(&mut self, now: Time, link: LinkKey, gap: Duration, at: Time, out: &mut Outbox) {
        let mut body = out.take_body();
        Control::Filler { gap }.write(&mut body);
        self.seal(now, Departure::soon(link, CellHeader::CONTROL), &body, at, out);
        out.return_body(body);
    }

    // --- Budget ---------------------------------------------------------------------------------------

    fn may_spend(&self, now: Time) -> bool {
        self.covering.as_ref().is_none_or(|covering| covering.may_spend(now))
    }

    /// The owner says whether cover may cost anything now.
    pub(super) fn let_spend(&mut self, now: Time, may: bool, out: &mut Outbox) {
        let Some(purse) = self.covering.as_mut().and_then(|covering| covering.purse.as_mut()) else { return };
        let before = core::mem::replace(&mut purse.may_spend, may);
        match (before, may) {
            (false, true) => self.spend_again(now),
            _ => self.end_if_spent(now, Time::ZERO, out),
        }
    }

    /// Cover begins again on everything that runs.
    fn spend_again(&mut self, now: Time) {
        if let Some(covering) = &mut self.covering {
            covering.schedule(Purse::next_day(now), Speaker::Day);
        }
        self.cover_all(now);
    }

    /// A client that may not spend more says so to its neighbours, behind its `last` slot, and speaks when it has something
    /// to say.
    fn end_if_spent(&mut self, now: Time, last: Time, out: &mut Outbox) {
        let Some(covering) = self.covering.as_mut().filter(|covering| !covering.may_spend(now)) else {
            return;
        };
        let neighbours = covering.neighbours();
        let links: Vec<LinkKey> =
            neighbours.iter().filter_map(|address| covering.pace(*address).map(|pace| pace.link)).collect();
        let guarded = covering.guarded();
        neighbours.into_iter().for_each(|address| covering.end(address));
        self.owns.values_mut().for_each(|own| own.pace = None);
        links.into_iter().for_each(|link| self.say_no_slots(now, link, last, out));
        for address in guarded {
            while self.send_held(now, address, out) {}
            if let Some(covering) = &mut self.covering {
                covering.end(address);
            }
        }
    }

    fn say_no_slots(&mut self, now: Time, link: LinkKey, at: Time, out: &mut Outbox) {
        self.send_filler(now, link, Duration::ZERO, at, out);
    }

    // --- Defences -------------------------------------------------------------------------------------

    /// Something came on a link; its defence hears of it.
    pub(super) fn heed_received(&mut self, now: Time, address: SocketAddr, is_filler: bool) {
        let Some(covering) = &mut self.covering else { return };
        if let Some(guard) = covering.guard_of(address) {
            let passed = if is_filler { Passed::PaddingReceived } else { Passed::Received };
            guard.defence.heed(passed, now);
            covering.look_at_guard(address);
        }
    }

    /// Whether a cell may leave now. Without a defence it may.
    pub(super) fn pass_defence(
        &mut self,
        now: Time,
        address: SocketAddr,
        departure: Departure,
        body: &[u8],
    ) -> Pass {
        let Some(covering) = &mut self.covering else { return Pass::Now };
        let Some(guard) = covering.guard_of(address) else { return Pass::Now };
        let pass = guard.pass(departure, body, now);
        covering.spent.real += u64::from(!matches!(pass, Pass::Dropped));
        covering.look_at_guard(address);
        pass
    }

    /// Does what the defence of a link wants done now.
    fn obey_defence(&mut self, now: Time, address: SocketAddr, out: &mut Outbox) {
        let mut acts = 0..DEFENCE_ACTS_MAX;
        loop {
            let Some(guard) = self.covering.as_mut().and_then(|covering| covering.guard_of(address)) else {
                return;
            };
            // A text that wants things without end, or is due again at once, gets a rest.
            guard.not_before = now + DEFENCE_REST;
            if acts.next().is_none() {
                break;
            }
            let Some(act) = guard.defence.act(now) else {
                if guard.defence.wake() > now {
                    guard.not_before = Time::ZERO;
                }
                break;
            };
            match act {
                Act::Release => while self.send_held(now, address, out) {},
                Act::Pad { bypass, replace } => {
                    let is_held = guard.defence.holds() && !bypass;
                    let is_replaced = !is_held && replace && self.send_held(now, address, out);
                    if !is_held && !is_replaced {
                        self.pad(now, address, out);
                    }
                }
            }
        }
        if let Some(covering) = &mut self.covering {
            covering.look_at_guard(address);
        }
    }

    /// Sends a cell that a defence held; whether there was one.
    fn send_held(&mut self, now: Time, address: SocketAddr, out: &mut Outbox) -> bool {
        let guard = self.covering.as_mut().and_then(|covering| covering.guard_of(address));
        let Some((guard, (departure, body))) = guard.and_then(|guard| guard.pop().map(|held| (guard, held)))
        else {
            return false;
        };
        guard.defence.heed(Passed::Sent, now);
        self.seal(now, departure, &body, Time::ZERO, out);
        true
    }

    fn pad(&mut self, now: Time, address: SocketAddr, out: &mut Outbox) {
        let Some(covering) = &mut self.covering else { return };
        let Some(guard) = covering.guard_of(address) else { return };
        guard.defence.heed(Passed::Sent, now);
        let link = guard.link;
        covering.spent.filler += 1;
        covering.pay(now);
        self.send_filler(now, link, Duration::ZERO, Time::ZERO, out);
    }

    /// Sends a message that sets a link up: at once, or in the neighbour's next slot.
    pub(super) fn post(&mut self, to: SocketAddr, write: impl FnOnce(&mut [u8]), out: &mut Outbox) {
        self.post_as(false, to, write, out);
    }

    /// The same to somebody who asked for it and may be anybody, also one who claims to be at a neighbour's address.
    pub(super) fn post_to_stranger(
        &mut self,
        to: SocketAddr,
        write: impl FnOnce(&mut [u8]),
        out: &mut Outbox,
    ) {
        self.post_as(true, to, write, out);
    }

    fn post_as(
        &mut self,
        to_stranger: bool,
        to: SocketAddr,
        write: impl FnOnce(&mut [u8]),
        out: &mut Outbox,
    ) {
        if let Some(covering) = self.covering.as_mut().filter(|covering| covering.has(to)) {
            let mut datagram = alloc::vec![0; self.design.geometry.datagram()].into_boxed_slice();
            write(&mut datagram);
            covering.hold_datagram(to, datagram, to_stranger);
            return;
        }
        write(out.datagram(to, Time::ZERO));
        self.counts.datagrams_out += 1;
    }

    // --- Circuits -------------------------------------------------------------------------------------

    /// A circuit of our own is ready: it gets slots if the design says so.
    pub(super) fn cover_own(&mut self, now: Time, key: OriginKey) {
        let (Some(covering), Some(own)) = (&mut self.covering, self.owns.get_mut(key)) else { return };
        if !covering.may_spend(now) {
            return;
        }
        let (cover, timing) = (self.design.cover.circuits, covering.timing_of(Speaker::Own(key)));
        if let Some(pace) = CircuitPace::new(cover, true, self.design.geometry, timing, now) {
            covering.schedule(pace.due(), Speaker::Own(key));
            own.pace = Some(Box::new(pace));
        }
    }

    /// The origin of a circuit that ends here speaks in slots: so do we.
    pub(super) fn cover_relay(&mut self, now: Time, key: RelayKey) {
        let (Some(covering), Some(relay)) = (&mut self.covering, self.relays.get_mut(key)) else { return };
        if let Some(pace) = &mut relay.pace {
            return pace.hear();
        }
        let (cover, timing) = (self.design.cover.circuits, covering.timing_of(Speaker::Relay(key)));
        if let Some(pace) = CircuitPace::new(cover, false, self.design.geometry, timing, now) {
            covering.schedule(pace.due(), Speaker::Relay(key));
            relay.pace = Some(Box::new(pace));
        }
    }

    fn speak_on_own(&mut self, now: Time, key: OriginKey, out: &mut Outbox) {
        let own_link = self.owns.get(key).map(|own| own.link);
        let Some(pace) = self.owns.get_mut(key).and_then(|own| own.pace.as_mut()) else { return };
        let missed = pace.skip(now);
        let (at, turn) = (pace.due(), (missed == 0).then(|| pace.turn(now)));
        let next = pace.due();
        self.note_slot(next, Speaker::Own(key), missed, turn.as_ref());
        let address = own_link.and_then(|link| self.links.get(link)).map(|link| link.address);
        if turn.is_some()
            && let Some(covering) = &mut self.covering
            && !address.is_some_and(|address| covering.has(address))
        {
            covering.pay(now); // where its link has slots as well, those are what it costs
        }
        match turn {
            Some(CircuitTurn::Payload(payload)) => {
                self.send_message(now, key, &Message::Payload(&payload), at, out);
            }
            Some(CircuitTurn::Dummy) => self.send_message(now, key, &Message::Dummy, at, out),
            Some(CircuitTurn::Loop) => {
                let token = self.chance.keys.u32();
                self.send_message(now, key, &Message::Probe { token }, at, out);
            }
            None => {}
        }
    }

    fn speak_on_relay(&mut self, now: Time, key: RelayKey, out: &mut Outbox) {
        let Some(relay) = self.relays.get_mut(key) else { return };
        let heard = relay.heard();
        // The origin speaks in slots: one that does not any more has ended them, and is not to be spoken to without end.
        relay.pace.take_if(|pace| now - heard > CIRCUIT_SILENT_MIN.max(pace.gap() * SLOTS_SILENT_MAX));
        let Some(pace) = &mut relay.pace else { return };
        let missed = pace.skip(now);
        let (at, turn) = (pace.due(), (missed == 0).then(|| pace.turn(now)));
        let next = pace.due();
        self.note_slot(next, Speaker::Relay(key), missed, turn.as_ref());
        match turn {
            Some(CircuitTurn::Payload(payload)) => {
                self.send_message_back(now, key, &Message::Payload(&payload), at, out);
            }
            Some(_) => self.send_message_back(now, key, &Message::Dummy, at, out),
            None => {}
        }
    }

    fn note_slot(&mut self, next: Time, speaker: Speaker, missed: u64, turn: Option<&CircuitTurn>) {
        let Some(covering) = &mut self.covering else { return };
        covering.schedule(next, speaker);
        covering.spent.missed += missed;
        match turn {
            Some(CircuitTurn::Payload(_)) => covering.spent.payloads += 1,
            Some(_) => covering.spent.dummies += 1,
            None => {}
        }
    }

    /// Whether circuits speak in slots of their own.
    pub(super) fn covers_circuits(&self) -> bool {
        self.design.cover.circuits != CircuitCover::None
    }
}
