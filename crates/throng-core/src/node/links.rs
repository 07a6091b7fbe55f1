//! What happens when a link comes or goes, when documents turn up, and when cover may cost more or less: it concerns most
//! rooms.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::context::Cx;
use super::documents::{Told, Turned};
use super::rooms::Rooms;
use crate::cover::SlotClock;
use crate::crypto::Suite;
use crate::documents::Document;
use crate::effect::{LinkGone, LinkUp};
use crate::id::{End, NeighbourKey};
use crate::limits::{DOCUMENT_SPREAD, DOCUMENT_TELL_AT_ONCE_MAX};
use crate::membership::{Record, View};
use crate::output::Event;
use crate::refused::Refused;
use crate::time::Time;
use crate::wire::control::{Control, Ended, Introduced};

impl<S: Suite> Rooms<S> {
    // --- Links ----------------------------------------------------------------------------------------

    pub(super) fn link_up(&mut self, up: LinkUp, cx: &mut Cx<'_>) {
        let LinkUp { link, peer, waiting } = up;
        self.origins.first_hop_answered(peer, cx.now);
        self.neighbours.know(link, &self.members.view);
        self.neighbours.cover_link(link, &self.members.view, cx);
        self.neighbours.look(link, cx); // whoever opened it says first who it is
        waiting.into_iter().for_each(|end| self.set_up(end, cx));
        self.members.tell(link, cx);
    }

    /// What ran on one link runs on another one.
    pub(super) fn link_moved(&mut self, from: NeighbourKey, ends: Vec<End>, to: NeighbourKey) {
        ends.into_iter().for_each(|end| self.moved(end, to));
        self.members.moved(from, to);
    }

    fn moved(&mut self, end: End, to: NeighbourKey) {
        match end {
            End::Origin(origin) => self.origins.moved(origin, to),
            End::Previous(relay) => self.relays.previous_moved(relay, to),
            End::Next(relay) => self.relays.next_moved(relay, to),
        }
    }

    pub(super) fn link_gone(&mut self, gone: LinkGone, cx: &mut Cx<'_>) {
        let LinkGone { peer, why, ends } = gone;
        if let (Ended::Silent, Some(peer)) = (why, peer) {
            self.origins.first_hop_failed(peer, cx.now);
        }
        for end in ends {
            self.end(end, why, cx);
            self.route_effects(cx); // one circuit after the other, whatever follows from each
        }
    }

    /// The neighbour says who it is.
    pub(super) fn introduced(
        &mut self,
        link: NeighbourKey,
        said: &Introduced<'_>,
        cx: &mut Cx<'_>,
    ) -> Result<(), Refused> {
        let news = self.neighbours.receive_introduction(link, said, cx)?;
        cx.say_at_once(link, &Control::Introduced);
        if let Some(link) = news {
            self.neighbours.know(link, &self.members.view);
            self.neighbours.cover_link(link, &self.members.view, cx);
            self.neighbours.cover_client(link, cx);
            if self.neighbours.peer(link).is_some() {
                self.members.tell(link, cx);
            }
        }
        Ok(())
    }

    /// Ends everything, so that neighbours need not wait for silence.
    pub(super) fn leave(&mut self, cx: &mut Cx<'_>) {
        cx.me.relays_for_others = false;
        self.neighbours.owe_nobody();
        self.origins.retire(cx);
        self.relays.end_all(Ended::Leaving, cx);
        self.origins.leave(cx);
    }

    // --- Documents ------------------------------------------------------------------------------------

    /// Clients give nobody a part of their document: what they have could tell who they are.
    pub(super) fn give_part(
        &mut self,
        link: NeighbourKey,
        digest: &[u8; 32],
        part: u32,
        cx: &mut Cx<'_>,
    ) -> Result<(), Refused> {
        if !cx.me.relays_for_others {
            return Err(Refused::NotAMix);
        }
        self.neighbours.may_ask(link, cx.now)?;
        self.members.give(link, digest, part, cx)
    }

    /// Every round says to one neighbour what we hold: a mix to any other mix, a client only to its first hops, since
    /// nobody else may learn of it.
    pub(super) fn look_at_documents(&mut self, cx: &mut Cx<'_>) {
        match self.members.look(cx) {
            Told::Nobody => {}
            Told::All if cx.me.relays_for_others => self.tell_all(cx),
            Told::One if cx.me.relays_for_others => self.spread(1, cx),
            Told::One | Told::All => {
                let first = self.origins.first_hop_to_tell(&self.members.view, cx);
                first.iter().for_each(|first| self.tell_mix(first, cx));
            }
        }
    }

    /// Says to so many mixes, drawn at random, what we hold.
    fn spread(&mut self, mixes: usize, cx: &mut Cx<'_>) {
        for _ in 0..mixes {
            let mix = self.members.any(|_| true, cx);
            mix.iter().for_each(|mix| self.tell_mix(mix, cx));
        }
    }

    fn tell_mix(&mut self, mix: &Arc<Record>, cx: &mut Cx<'_>) {
        let link = self.neighbours.link_to(mix, true, cx);
        // A link that is being opened says it by itself when it is up.
        if let Some(link) = link.filter(|link| self.neighbours.is_up(*link)) {
            self.members.tell(link, cx);
        }
    }

    pub(super) fn follow(&mut self, turned: Turned, cx: &mut Cx<'_>) {
        match turned {
            Turned::InForce(document, other) => {
                cx.out.events.extend(other.map(|before| Event::OtherHistory { before }));
                self.adopt(document, cx);
            }
            Turned::Conflict(other) => self.stop_for_conflict(other, cx),
            Turned::Unusable(why) => cx.out.events.push(Event::DocumentRefused(why)),
            Turned::Old => {}
        }
    }

    /// Puts a newer document in force.
    fn adopt(&mut self, document: Arc<Document>, cx: &mut Cx<'_>) {
        let statement = document.statement();
        // Another length of datagrams needs another socket: that is for the owner, at the next start.
        if statement.design.geometry == cx.design.geometry {
            self.members.view = statement.records.iter().cloned().collect::<View>().without(cx.me.id);
            self.neighbours.know_all(&self.members.view);
            let is_covered_anew = statement.design.cover != cx.design.cover;
            *cx.design = Arc::new(statement.design.clone());
            if cx.me.relays_for_others {
                self.hold.change(cx);
            }
            if is_covered_anew {
                self.cover_anew(cx);
            } else {
                self.cover_all(cx); // somebody who was a stranger may be a mix now
            }
            // Circuits in store are as the new document would have them, or they go.
            let hops = statement.design.route.hops();
            let unwanted = |path: &[Arc<Record>], view: &View| {
                let known = |record: &Arc<Record>| view.get(record.description().identity) == Some(record);
                path.len() != hops || !path.iter().all(known)
            };
            self.origins.end_unused(&self.members.view, unwanted, cx);
            self.route_effects(cx);
        }
        cx.out.events.push(Event::Document(document));
        self.origins.hurry_supply(cx);
        self.tell_all(cx);
    }

    /// Operators signed two documents of one serial: neither is used.
    fn stop_for_conflict(&mut self, other: Arc<Document>, cx: &mut Cx<'_>) {
        cx.out.events.push(Event::Conflict(other));
        self.origins.end_unused(&self.members.view, |_, _| true, cx);
        self.origins.hurry_supply(cx);
        self.route_effects(cx);
        self.tell_all(cx); // everybody shall see it
    }

    /// Says what we hold to all neighbours; a mix says it to some others, too.
    fn tell_all(&mut self, cx: &mut Cx<'_>) {
        for link in self.neighbours.sample(DOCUMENT_TELL_AT_ONCE_MAX, cx) {
            self.members.tell(link, cx);
        }
        if cx.me.relays_for_others {
            self.spread(DOCUMENT_SPREAD, cx);
        }
    }

    // --- Cover ----------------------------------------------------------------------------------------

    /// A design with other cover is in force: all slots are new, what was spent stays spent.
    fn cover_anew(&mut self, cx: &mut Cx<'_>) {
        self.origins.stop_covering(cx);
        let before = core::mem::take(cx.slots);
        if !cx.design.cover.is_none() {
            let seed = cx.chance.timing.seed();
            *cx.slots = SlotClock::new(seed, cx.design.geometry, cx.me.budget, cx.now);
            cx.slots.take_over(before);
            self.neighbours.hurry_mesh(cx);
        }
        self.neighbours.cover_anew(&self.members.view, cx);
        self.origins.cover_all(cx);
        self.relays.cover_anew(cx);
    }

    /// Everything that runs gets slots if the design says so and it has none.
    fn cover_all(&mut self, cx: &mut Cx<'_>) {
        self.neighbours.cover_links(&self.members.view, cx);
        self.origins.cover_all(cx);
    }

    /// The owner says whether cover may cost anything now.
    pub(super) fn let_spend(&mut self, may: bool, cx: &mut Cx<'_>) {
        match cx.slots.permit(may) {
            None => {}
            Some(false) if may => self.spend_again(cx),
            Some(_) => self.end_if_spent(Time::ZERO, cx),
        }
    }

    /// Cover begins again on everything that runs.
    pub(super) fn spend_again(&mut self, cx: &mut Cx<'_>) {
        cx.slots.schedule_next_day(cx.now);
        self.cover_all(cx);
    }

    /// A client that may not spend more says so to its neighbours, behind its `last` slot, and speaks when it has something
    /// to say.
    pub(super) fn end_if_spent(&mut self, last: Time, cx: &mut Cx<'_>) {
        if !cx.slots.may_spend(cx.now) {
            self.neighbours.stop_covering(last, cx);
            self.origins.stop_covering(cx);
        }
    }
}
