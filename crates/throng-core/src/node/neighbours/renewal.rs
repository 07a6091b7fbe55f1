//! Other keys for a link that is up, while it is in use.
//!
//! Whoever began the handshake of the keys in use offers others when they are old, by a message under them. The answer
//! comes the same way. The one who asked uses the new keys from a moment on that the first offer fixed, and says something
//! under them; the one who was asked does so as soon as it hears that. Datagrams that were still under way under the old ones
//! are opened for a while. In covered links offer and answer wait behind other cells: if the keys changed with the answer,
//! the number of the session, which everybody sees, would change later where there is much to do.

use super::Neighbours;
use super::admittance::Owed;
use super::keys::{AnsweredRenewal, AskedRenewal, Renewal};
use super::neighbour::Neighbour;
use super::session::{Session, Side};
use crate::crypto::{ANSWER_BYTES, Initiation, KeyUse, OFFER_BYTES, Suite};
use crate::id::NeighbourKey;
use crate::limits::{SESSION_AGE, SETUP_RETRY_LATER, SETUP_SENDS_MAX};
use crate::node::context::Cx;
use crate::refused::Refused;
use crate::silence::retry_after;
use crate::time::Time;
use crate::wire::control::Control;

impl<S: Suite> Neighbours<S> {
    /// Our side of a session that we begin now. Keys of links that began together are not renewed together.
    pub(super) fn our_side(cx: &mut Cx<'_>) -> Side {
        let part = cx.slots.draw_renewal().unwrap_or_else(|| cx.chance.timing.unit());
        let renew_after = SESSION_AGE.mul_f64(0.75 + part / 4.0);
        Side::Initiator { renew_after }
    }

    /// Offers other keys (again).
    pub(super) fn renew(&mut self, key: NeighbourKey, cx: &mut Cx<'_>) {
        let is_asked = |link: &Neighbour<S>| matches!(link.keys.renewal.as_deref(), Some(Renewal::Asked(_)));
        if let Some(link) = self.links.get(key).filter(|link| !is_asked(link)) {
            let planned = link.keys.current.as_ref().map_or(cx.now, |session| session.renew_at);
            let ours = self.links.fresh_session(&mut cx.chance.keys);
            let initiation = Initiation::new(&mut cx.chance.keys);
            let side = Self::our_side(cx);
            let asked = AskedRenewal {
                initiation,
                ours,
                sends: 0,
                again_at: Time::ZERO,
                since: planned.min(cx.now),
                side,
            };
            self.links.set_renewal(key, Some(Renewal::Asked(asked)));
        }
        let renewal = self.links.get_mut(key).and_then(|link| link.keys.renewal.as_deref_mut());
        let Some(Renewal::Asked(asked)) = renewal else { return };
        asked.sends += 1;
        let wait = if asked.sends < SETUP_SENDS_MAX { retry_after(asked.sends) } else { SETUP_RETRY_LATER };
        asked.again_at = cx.now + wait;
        cx.say_at_once(key, &Control::Renew { session: asked.ours, offer: asked.initiation.offer() });
    }

    /// The neighbour offers other keys.
    pub(in crate::node) fn receive_renew(
        &mut self,
        key: NeighbourKey,
        theirs: u32,
        offer: &[u8; OFFER_BYTES],
        cx: &mut Cx<'_>,
    ) -> Result<(), Refused> {
        let link = self.links.get(key).ok_or(Refused::UnknownSession)?;
        if link.is_initiator() || theirs == 0 {
            return Err(Refused::OutOfPlace);
        }
        let is_known = match link.keys.renewal.as_deref() {
            Some(Renewal::Answered(answered)) => answered.theirs == theirs && answered.offer == *offer,
            Some(Renewal::Changed { .. }) => return Err(Refused::OutOfPlace), // not so soon again
            _ => false,
        };
        let owed = Owed::Renewal { link: key, theirs };
        if self.is_owed(&owed, offer)? {
            return Ok(());
        }
        if !is_known {
            let may_prove = self.links.get_mut(key).is_some_and(|link| link.may_prove(cx.now));
            if !may_prove || !self.is_permitted(key, cx) {
                return Err(Refused::TooMany);
            }
            return self.owe_neighbour(key, owed, offer, cx);
        }
        self.say_renewed(key, cx);
        Ok(())
    }

    /// Answers the neighbour's offer of other keys.
    pub(in crate::node) fn answer_renewal(
        &mut self,
        key: NeighbourKey,
        theirs: u32,
        offer: &[u8; OFFER_BYTES],
        cx: &mut Cx<'_>,
    ) -> Result<(), Refused> {
        let link = self.links.get(key).ok_or(Refused::UnknownSession)?;
        match link.keys.renewal.as_deref() {
            _ if link.is_initiator() => return Err(Refused::OutOfPlace),
            Some(Renewal::Changed { .. }) => return Err(Refused::OutOfPlace),
            Some(Renewal::Answered(answered)) if answered.theirs == theirs => {
                return Err(Refused::OutOfPlace);
            }
            _ => {}
        }
        let ours = self.links.fresh_session(&mut cx.chance.keys);
        let purpose = KeyUse::Link { initiator: theirs, responder: ours };
        let (secret, answer) = cx.answer::<S>(purpose, offer)?;
        let next = Session::new((ours, theirs), Side::Responder, &secret, cx.now);
        let answered = AnsweredRenewal { next, theirs, offer: *offer, answer };
        self.links.set_renewal(key, Some(Renewal::Answered(answered)));
        self.say_renewed(key, cx);
        Ok(())
    }

    fn say_renewed(&self, key: NeighbourKey, cx: &mut Cx<'_>) {
        let renewal = self.links.get(key).and_then(|link| link.keys.renewal.as_deref());
        if let Some(Renewal::Answered(AnsweredRenewal { next, theirs, answer, .. })) = renewal {
            cx.say_at_once(key, &Control::Renewed { initiator: *theirs, responder: next.ours, answer });
        }
    }

    /// Our offer of other keys was answered.
    pub(in crate::node) fn receive_renewed(
        &mut self,
        key: NeighbourKey,
        (initiator, responder): (u32, u32),
        answer: &[u8; ANSWER_BYTES],
        cx: &mut Cx<'_>,
    ) -> Result<(), Refused> {
        let link = self.links.get_mut(key).ok_or(Refused::UnknownSession)?;
        let (Some(Renewal::Asked(asked)), Some(record)) = (link.keys.renewal.as_deref(), &link.paths.record)
        else {
            return Err(Refused::OutOfPlace);
        };
        if asked.ours != initiator || responder == 0 {
            return Err(Refused::OutOfPlace);
        }
        let node = record.description();
        let purpose = KeyUse::Link { initiator, responder };
        let secret = asked.initiation.finish(purpose, &node.identity.0, answer)?;
        let change_at = asked.change_at(cx.now);
        let next = Session::new((initiator, responder), asked.side, &secret, change_at);
        self.links.set_renewal(key, Some(Renewal::Agreed { next, change_at }));
        self.look(key, cx);
        Ok(())
    }

    /// The keys that were agreed come into use, and the neighbour hears it.
    pub(super) fn change_keys(&mut self, key: NeighbourKey, cx: &mut Cx<'_>) {
        if let Some(link) = self.links.get_mut(key) {
            link.keys.change(cx.now);
            cx.say_at_once(key, &Control::Ping { token: 0 });
        }
    }
}
