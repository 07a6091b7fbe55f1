//! Who is there: the one who opened a link says whether it is a client or a mix, and a mix proves which one.
//!
//! Two mixes may open links to each other at the same moment. Then both have two, and each sees it when the other one
//! introduces itself: both keep the one that the mix with the smaller identity opened, and what runs on the other one goes
//! on there.

use alloc::vec::Vec;

use super::Neighbours;
use super::keys::Renewal;
use super::neighbour::{Introduction, Neighbour, Who};
use crate::cover::Speaker;
use crate::crypto::Suite;
use crate::departure::Departure;
use crate::effect::{Effect, LinkGone, LinkUp};
use crate::id::{End, NeighbourKey, NodeId};
use crate::limits::{CROSSING_MAX, INTRODUCE_LATER, SESSION_GRACE, SETUP_SENDS_MAX};
use crate::node::context::Cx;
use crate::refused::Refused;
use crate::silence::retry_after;
use crate::time::Time;
use crate::timers::Timer;
use crate::wire::cell::CellHeader;
use crate::wire::control::{Control, Ended, Introduced};

const CONTEXT: &[u8] = b"throng introduce 1\0";

impl<S: Suite> Neighbours<S> {
    /// Says who we are (again).
    pub(super) fn introduce(&mut self, key: NeighbourKey, cx: &mut Cx<'_>) {
        let Some(link) = self.links.get_mut(key) else { return };
        let Introduction::Said(sends, again_at) = &mut link.introduction else { return };
        *sends += 1;
        *again_at = cx.now + if *sends < SETUP_SENDS_MAX { retry_after(*sends) } else { INTRODUCE_LATER };
        let mut body = cx.out.body();
        match &link.keys.current {
            Some(session) if session.is_initiator() => {
                Self::write_introduction(&session.binding, &mut body, cx);
                cx.send_at_once(Departure::soon(key, CellHeader::CONTROL), body);
            }
            _ => {
                link.introduce_before(&mut body, cx);
                cx.out.reuse(body);
            }
        }
    }

    fn write_introduction(binding: &[u8; 32], body: &mut [u8], cx: &Cx<'_>) {
        if !cx.me.relays_for_others {
            return Control::Introduce(Introduced::Client).write(body);
        }
        let signature = S::sign(cx.me.keys.identity_secret(), &[CONTEXT, binding].concat());
        let who = Introduced::Mix { identity: &cx.me.id.0, signature: &signature };
        Control::Introduce(who).write(body);
    }

    /// The neighbour believes who we are.
    pub(in crate::node) fn believed(&mut self, key: NeighbourKey, cx: &Cx<'_>) -> Result<(), Refused> {
        let link = self.links.get_mut(key).ok_or(Refused::UnknownSession)?;
        if let Introduction::Said(..) = link.introduction {
            link.introduction = Introduction::Believed(cx.now);
        }
        Ok(())
    }

    /// The neighbour says who it is. As which neighbour we know it from now on, if that is news.
    pub(in crate::node) fn receive_introduction(
        &mut self,
        key: NeighbourKey,
        said: &Introduced<'_>,
        cx: &mut Cx<'_>,
    ) -> Result<Option<NeighbourKey>, Refused> {
        let link = self.links.get_mut(key).ok_or(Refused::UnknownSession)?;
        let who = match said {
            Introduced::Client => Who::Client,
            Introduced::Mix { identity, .. } => Who::Mix(NodeId(**identity)),
        };
        if link.who == who {
            return Ok(None); // our answer was lost
        }
        if link.who != Who::Unknown || who == Who::Mix(cx.me.id) {
            return Err(Refused::OutOfPlace);
        }
        let Introduced::Mix { identity, signature } = said else {
            link.who = who;
            return Ok(Some(key));
        };
        if !link.may_prove(cx.now) || !self.is_permitted(key, cx) {
            return Err(Refused::TooMany);
        }
        let link = self.links.get(key).ok_or(Refused::UnknownSession)?;
        let binding = link.keys.current.as_ref().map(|session| session.binding).ok_or(Refused::OutOfPlace)?;
        S::verify(identity, &[CONTEXT, &binding].concat(), signature)?;
        Ok(Some(self.recognise(key, NodeId(**identity), cx)))
    }

    /// A neighbour that opened a link is this mix. If we have a link to it already, one remains.
    fn recognise(&mut self, key: NeighbourKey, peer: NodeId, cx: &mut Cx<'_>) -> NeighbourKey {
        let other = self.links.to_peer(peer);
        let Some(begun) = self.links.get(key).map(|link| link.begun) else { return key };
        self.links.identified(key, peer);
        let Some((other, link)) = other.and_then(|other| Some((other, self.links.get(other)?))) else {
            return key;
        };
        let crossed = match link.introduction {
            Introduction::Needless => false,
            Introduction::Said(..) => begun - link.begun < CROSSING_MAX,
            Introduction::Believed(at) => begun <= at,
        };
        if !crossed {
            // It had our link, or opened that one itself, and opens another: it has begun anew.
            self.drop_link(other, Ended::Leaving, cx);
            key
        } else if link.is_up() && cx.me.id < peer {
            self.links.identified(other, peer);
            self.merge(key, other, cx);
            self.introduce_soon(other, cx); // it opened a link although it had ours: it does not know whose that is
            other
        } else {
            self.merge(other, key, cx);
            key
        }
    }

    /// Says who we are at once, if that is not believed yet.
    fn introduce_soon(&mut self, key: NeighbourKey, cx: &mut Cx<'_>) {
        let Some(link) = self.links.get_mut(key) else { return };
        if let Introduction::Said(..) = link.introduction {
            link.introduction = Introduction::Said(0, cx.now);
            cx.timers.no_later_than(&mut link.due, cx.now, Timer::Link(key));
        }
    }

    /// Two neighbours are one: what runs on the first one's link goes on on the other one's.
    fn merge(&mut self, from: NeighbourKey, into: NeighbourKey, cx: &mut Cx<'_>) {
        let Some(mut gone) = self.links.merge(from, into) else { return };
        cx.timers.unset(&mut gone.due, Timer::Link(from));
        let slots = gone.end_cover(from, cx);
        let is_unbelieved =
            gone.keys.current.is_some() && matches!(gone.introduction, Introduction::Said(..));
        if let Some(previous) = gone.keys.current.take() {
            let until = cx.now + SESSION_GRACE;
            self.links.set_renewal(into, Some(Renewal::Changed { previous, until }));
        }
        if let Some(admittance) = &mut self.admittance {
            admittance.link_went(from);
        }
        let Some(link) = self.links.get_mut(into) else { return };
        link.paths.record = link.paths.record.take().or(gone.paths.record.take());
        if let Some(mut slots) = slots.filter(|_| link.slots.is_none()) {
            slots.decide(link.is_initiator());
            cx.slots.schedule(slots.due(), Speaker::Link(into));
            link.slots = Some(slots);
        }
        if is_unbelieved {
            link.introduction = Introduction::Said(0, cx.now);
        }
        let (moved, doubled) = link.take_over_circuits(&gone);
        cx.tell(Effect::LinkMoved { from, ends: moved, to: into });
        if !doubled.is_empty() {
            cx.tell(Effect::LinkGone(LinkGone { peer: None, why: Ended::Broken, ends: doubled }));
        }
        let peer = link.peer();
        self.recount(into);
        if let Some(peer) = peer {
            cx.tell(Effect::LinkUp(LinkUp { link: into, peer, waiting: gone.waiting }));
        }
    }
}

impl<S: Suite> Neighbour<S> {
    /// Of two links that were opened at once, the neighbour's remained: it must hear on ours, too, whose that was.
    fn introduce_before(&mut self, body: &mut [u8], cx: &mut Cx<'_>) {
        let previous = match self.keys.renewal.as_deref_mut() {
            Some(Renewal::Changed { previous, .. }) if previous.may_seal() => previous,
            _ => return self.introduction = Introduction::Needless,
        };
        Neighbours::<S>::write_introduction(&previous.binding, body, cx);
        previous.seal_cell(self.paths.chosen(), CellHeader::CONTROL, body, Time::ZERO, cx);
    }

    /// Enters the circuits of another link under their names. Which were entered; and which cannot go on since two
    /// have one name, which honest ends draw once in a thousand million times.
    fn take_over_circuits(&mut self, other: &Self) -> (Vec<End>, Vec<End>) {
        let (mut moved, mut doubled) = (Vec::new(), Vec::new());
        for (name, end) in other.circuits.iter() {
            if self.circuits.insert(name, end) {
                moved.push(end);
            } else {
                doubled.extend([Some(end), self.circuits.remove(name)].into_iter().flatten());
            }
        }
        (moved, doubled)
    }
}
