//! Whether a client's own line works, or everything is silent because of it.
//!
//! Whoever can cut a user's line for a while must gain nothing by it: so nothing that is silent then is taken for dead, nothing
//! new is begun, and mixes keep what a silent client has there.

use alloc::vec::Vec;
use core::time::Duration;

use super::Neighbours;
use super::neighbour::{Neighbour, Who};
use crate::crypto::Suite;
use crate::effect::Effect;
use crate::id::NeighbourKey;
use crate::limits::{
    ASKED_TOO_MAX, CALL_ANEW_AFTER, LINE_SILENCE_MAX, SILENCE_PROBE, SILENCE_PROBE_EVERY,
    SILENCE_PROBE_EVERY_MAX,
};
use crate::node::context::Cx;
use crate::silence::Hearing;
use crate::time::Time;
use crate::wire::control::{Control, Ended};

/// So long after a line came back, whoever is silent was asked once more.
const LINE_BACK: Duration = SILENCE_PROBE_EVERY_MAX.saturating_add(SILENCE_PROBE_EVERY);

impl<S: Suite> Neighbours<S> {
    /// How the first hop at the other end of a link is heard.
    pub(in crate::node) fn heard(&self, key: NeighbourKey, cx: &Cx<'_>) -> Hearing {
        match self.links.get(key) {
            Some(link) if !link.is_silent(cx.now) => Hearing::Well(link.answered_at()),
            _ if self.is_line_silent(cx) => Hearing::Nothing,
            _ => Hearing::NotFirstHop,
        }
    }

    /// Whether nothing is heard on a node's line, although answers are due.
    pub(in crate::node) fn is_line_silent(&self, cx: &Cx<'_>) -> bool {
        let up = || self.links.iter().map(|(_, link)| link).filter(|link| link.is_up());
        let silent = || up().filter(|link| link.is_silent(cx.now));
        if silent().next().is_none() {
            return false;
        }
        // Of one first hop, nobody can say; if there are others, they are called. With cover there are not: so that this shows nothing.
        let may_ask_others = up().count() == 1 && cx.first_hops_in_use() > 1;
        if may_ask_others || silent().all(|link| link.may_know_us_no_more(cx.now)) {
            return false;
        }
        !silent().any(|link| link.is_outlived_by(self.line_proved)) || self.has_just_come_back(cx.now)
    }

    /// Whether there are links, and nobody answers on any.
    pub(in crate::node) fn does_nobody_answer(&self, cx: &Cx<'_>) -> bool {
        let mut up = self.links.iter().filter(|(_, link)| link.is_up()).peekable();
        up.peek().is_some() && up.all(|(_, link)| link.is_silent(cx.now))
    }

    /// A neighbour that was found silent is heard again. If all others were silent, too, the line is back. (Not after a moment: one
    /// answer may have got lost.)
    pub(super) fn heard_again(&mut self, key: NeighbourKey, since: Time, cx: &mut Cx<'_>) {
        if cx.now - since >= 2 * SILENCE_PROBE && self.others_are_silent(key, since) {
            self.line_back_at = Some(cx.now);
        }
        if cx.now - since >= CALL_ANEW_AFTER {
            let slots = self.links.get_mut(key).and_then(|link| link.slots.as_mut());
            slots.into_iter().for_each(|slots| slots.may_be_forgotten());
        }
        cx.tell(Effect::LinkSilent { link: key, is_silent: false });
        self.one_first_hop_again(key, since, cx);
    }

    /// A question to a neighbour that was sent then was answered.
    pub(super) fn prove_line(&mut self, asked_at: Time) {
        self.line_proved = self.line_proved.max(asked_at);
    }

    /// A handshake of ours that was offered first then was answered. (When it was offered last, nobody knows.)
    pub(super) fn heard_anew(&mut self, key: NeighbourKey, offered_at: Time, cx: &Cx<'_>) {
        if self.others_are_silent(key, offered_at) && self.len() > 1 {
            self.line_back_at = Some(cx.now);
        }
        self.prove_line(offered_at);
    }

    fn others_are_silent(&self, key: NeighbourKey, since: Time) -> bool {
        let mut others = self.links.iter().filter(|(other, link)| *other != key && link.is_up());
        others.all(|(_, link)| link.is_found_silent() || link.last_heard() <= since)
    }

    /// What a client called while a first hop was silent, which is heard again: another link there is none too many, and where cover
    /// allows one first hop only, nor is any other.
    fn one_first_hop_again(&mut self, key: NeighbourKey, since: Time, cx: &mut Cx<'_>) {
        let Some(first) = self.links.get(key).filter(|_| !cx.me.relays_for_others) else { return };
        let (peer, is_only_one) = (first.peer(), cx.first_hops_in_use() == 1);
        let began = |link: &Neighbour<S>| link.begun > since && (is_only_one || link.peer() == peer);
        let others = self.links.iter().filter(|(other, link)| *other != key && began(link));
        let others: Vec<NeighbourKey> = others.map(|(other, _)| other).collect();
        others.into_iter().for_each(|other| self.drop_link(other, Ended::Old, cx));
        peer.into_iter().for_each(|peer| self.links.identified(key, peer));
    }

    /// Whether the line was silent until just now: what is still silent may not have been asked since.
    fn has_just_come_back(&self, now: Time) -> bool {
        self.line_back_at.is_some_and(|back_at| now - back_at < LINE_BACK)
    }

    /// Whether the silence of a neighbour may be that of a user's line, which we or it have.
    pub(super) fn is_cut_off(&self, key: NeighbourKey, cx: &Cx<'_>) -> bool {
        let Some(link) = self.links.get(key) else { return false };
        match link.silent_since() {
            Some(since) if cx.now - since < LINE_SILENCE_MAX => {}
            _ => return false,
        }
        let may_be_ours = !link.is_outlived_by(self.line_proved) || self.has_just_come_back(cx.now);
        may_be_ours || link.who == Who::Client
    }

    /// A neighbour does not answer: circuits of our own there are not for new streams.
    pub(super) fn find_silent(&mut self, key: NeighbourKey, cx: &mut Cx<'_>) {
        let Some(link) = self.links.get_mut(key) else { return };
        if link.is_silent(cx.now) && !link.is_found_silent() {
            link.find_silent();
            cx.tell(Effect::LinkSilent { link: key, is_silent: true });
        }
    }

    /// A mix speaks in slots to a silent client no longer than one whose line was cut waits before it calls anew: where it was, there may
    /// be somebody else.
    pub(super) fn fall_silent_too(&mut self, key: NeighbourKey, cx: &mut Cx<'_>) {
        let Some(link) = self.links.get_mut(key) else { return };
        let is_long = link.silent_since().is_some_and(|since| cx.now - since >= CALL_ANEW_AFTER);
        if is_long && link.who == Who::Client && link.slots.is_some() {
            link.end_cover(key, cx);
            self.admittance.iter_mut().for_each(|admittance| admittance.cover_went(key));
        }
    }

    /// A neighbour is silent: others are asked, so as to know whether the line works. Much is heard on a mix's; a client asks at
    /// once, since it has to look for another first hop.
    pub(super) fn ask_others(&mut self, silent: NeighbourKey, cx: &mut Cx<'_>) {
        let is_unclear = |link: &Neighbour<S>| {
            !link.is_outlived_by(self.line_proved) && (!cx.me.relays_for_others || link.is_silent(cx.now))
        };
        if !self.links.get(silent).is_some_and(is_unclear) {
            return;
        }
        let mixes = self.links.iter().filter(|(key, link)| *key != silent && link.peer().is_some());
        let others: Vec<NeighbourKey> = mixes.take(ASKED_TOO_MAX).map(|(key, _)| key).collect();
        others.into_iter().for_each(|other| self.ask(other, cx));
    }

    /// Asks a neighbour whether it is there, unless it was asked just now.
    pub(in crate::node) fn ask(&mut self, key: NeighbourKey, cx: &mut Cx<'_>) {
        let may_ask = |link: &&mut Neighbour<S>| link.is_up() && !link.was_just_asked(cx.now);
        let Some(link) = self.links.get_mut(key).filter(may_ask) else { return };
        let token = link.question(cx.now);
        cx.say_at_once(key, &Control::Ping { token });
    }
}

impl<S: Suite> Neighbour<S> {
    /// Whether a question to somebody else that was sent since this neighbour is silent was answered: then the line works.
    fn is_outlived_by(&self, line_proved: Time) -> bool {
        self.silent_since().is_some_and(|since| line_proved > since)
    }
}
