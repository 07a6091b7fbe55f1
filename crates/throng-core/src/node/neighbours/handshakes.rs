//! Opening links, answering those who open one to us, and proofs of who is there.

use core::net::SocketAddr;

use super::Neighbours;
use super::greeting::{CodeKey, Verdict, offer_mac1, open_cookie, write_offer};
use super::link::{Identify, Link, Side, Unconfirmed};
use crate::crypto::{ANSWER_BYTES, HandshakePurpose, Initiation, Suite};
use crate::effect::{Effect, LinkUp};
use crate::id::{NeighbourKey, NodeId};
use crate::membership::{Record, View};
use crate::node::context::Cx;
use crate::refused::Refused;
use crate::wire::control::Control;
use crate::wire::datagram::{Datagram, Offer};

const IDENTIFY_CONTEXT: &[u8] = b"throng identify 1\0";

impl<S: Suite> Neighbours<S> {
    /// The link to a node: an existing one, or one that is being opened. None if the table is full.
    pub(in crate::node) fn link_to(&mut self, record: &Record, cx: &mut Cx<'_>) -> Option<NeighbourKey> {
        let node = record.description();
        if let Some(key) = self.links.to_peer(node.identity, cx.now) {
            return Some(key);
        }
        self.make_room(cx)?;
        let session = self.links.fresh_session(&mut cx.chance.keys);
        let initiation = Initiation::new(&mut cx.chance.keys);
        let addresses = node.addresses.iter().map(|address| address.0).collect();
        let link = Link::open_to(addresses, node.identity, node.link_key, initiation, cx.now);
        let key = self.links.insert(session, link);
        if self.has_slots(key) {
            self.grant_patience(key, cx);
        }
        self.look(key, cx);
        Some(key)
    }

    pub(super) fn send_offer(&mut self, key: NeighbourKey, cx: &mut Cx<'_>) {
        let Some(link) = self.links.get_mut(key) else { return };
        let (Side::Opening(opening), Some(peer)) = (&mut link.side, link.peer) else { return };
        link.address = opening.addresses[opening.sends as usize % opening.addresses.len()];
        opening.sends += 1;
        let code = CodeKey::new::<S>(&peer.0, &opening.link_key);
        let (offer, cookie) = (opening.initiation.offer(), opening.cookie.as_ref());
        cx.post(link.address, false, |datagram| {
            write_offer::<S>(&code, key.session(), offer, cookie, datagram);
        });
    }

    /// Somebody wants a link.
    pub(in crate::node) fn receive_offer(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        offer: &Offer<'_>,
        view: &View,
        cx: &mut Cx<'_>,
    ) -> Result<(), Refused> {
        let Some(greeter) = self.greeter.as_mut().filter(|_| cx.me.relays_for_others) else {
            return Err(Refused::NotAMix);
        };
        match greeter.judge::<S>(from, datagram, offer, &mut cx.chance.keys, cx.now)? {
            Verdict::Welcome => {}
            Verdict::Cookie { nonce, sealed, tag } => {
                let initiator = offer.initiator;
                let cookie = Datagram::Cookie { initiator, nonce: &nonce, sealed: &sealed, tag: &tag };
                cx.post(from, true, |datagram| cookie.write(datagram));
                return Ok(());
            }
        }
        let key = match self.links.by_offer(offer.mac1) {
            Some(known) => known,
            None => self.answer_offer(from, offer, view, cx)?,
        };
        self.send_answer(key, from, offer.initiator, cx);
        Ok(())
    }

    fn answer_offer(
        &mut self,
        from: SocketAddr,
        offer: &Offer<'_>,
        view: &View,
        cx: &mut Cx<'_>,
    ) -> Result<NeighbourKey, Refused> {
        let our_session = self.links.fresh_session(&mut cx.chance.keys);
        let purpose = HandshakePurpose::Link { initiator: offer.initiator, responder: our_session };
        let (secret, answer) = cx.answer::<S>(purpose, offer.offer)?;
        self.make_room(cx).ok_or(Refused::TooMany)?;
        let unconfirmed = Unconfirmed { offer: *offer.mac1, answer: *answer };
        let link = Link::opened_by(from, offer.initiator, &secret, unconfirmed, cx.now);
        let key = self.links.insert(our_session, link);
        self.cover_link(key, view, cx);
        self.look(key, cx);
        Ok(key)
    }

    fn send_answer(&mut self, key: NeighbourKey, to: SocketAddr, initiator: u32, cx: &mut Cx<'_>) {
        let Some(link) = self.links.get(key) else { return };
        if let Side::Responder { unconfirmed: Some(unconfirmed) } = &link.side {
            let (responder, answer) = (key.session(), &unconfirmed.answer);
            let message = Datagram::Answer { initiator, responder, answer };
            cx.post(to, true, |datagram| message.write(datagram));
        }
    }

    /// Our offer was answered: the link is up, and what waited for it begins.
    pub(in crate::node) fn receive_answer(
        &mut self,
        from: SocketAddr,
        (initiator, responder): (u32, u32),
        answer: &[u8; ANSWER_BYTES],
        cx: &mut Cx<'_>,
    ) -> Result<(), Refused> {
        let (key, link) = self.links.by_session(initiator).ok_or(Refused::UnknownSession)?;
        let (Side::Opening(opening), Some(peer)) = (&link.side, link.peer) else {
            return Err(Refused::OutOfPlace);
        };
        let purpose = HandshakePurpose::Link { initiator, responder };
        let secret = opening.initiation.finish(purpose, &peer.0, &opening.link_key, answer)?;
        // Of its addresses, the one that answered is the one that works.
        if opening.addresses.contains(&from) {
            link.address = from;
        }
        link.establish(responder, &secret, cx.now);
        if cx.me.relays_for_others {
            link.identify = Some(Identify { sends: 0 });
        }
        let waiting = core::mem::take(&mut link.waiting);
        cx.tell(Effect::LinkUp(LinkUp { link: key, peer, waiting }));
        Ok(())
    }

    /// The responder is under load and wants to see that we are at our address.
    pub(in crate::node) fn receive_cookie(
        &mut self,
        initiator: u32,
        nonce: &[u8; 12],
        sealed: &[u8; 16],
        tag: &[u8; 16],
        cx: &mut Cx<'_>,
    ) -> Result<(), Refused> {
        let (key, link) = self.links.by_session(initiator).ok_or(Refused::UnknownSession)?;
        let (Side::Opening(opening), Some(peer)) = (&mut link.side, link.peer) else {
            return Err(Refused::OutOfPlace);
        };
        let code = CodeKey::new::<S>(&peer.0, &opening.link_key);
        let mac1 = offer_mac1::<S>(&code, initiator, opening.initiation.offer());
        let fresh = opening.cookie.is_none();
        opening.cookie = Some(open_cookie::<S>(&code, &mac1, nonce, sealed, tag)?);
        if fresh {
            self.send_offer(key, cx);
        }
        Ok(())
    }

    /// The neighbour proves that it is a mix, and which one. Whether that is news.
    pub(in crate::node) fn receive_identity(
        &mut self,
        key: NeighbourKey,
        identity: &[u8; 32],
        signature: &[u8; 64],
        cx: &mut Cx<'_>,
    ) -> Result<bool, Refused> {
        self.may_ask(key, cx.now)?;
        let link = self.links.get_mut(key).ok_or(Refused::UnknownSession)?;
        if !link.is_responder() || link.peer.is_some_and(|peer| peer.0 != *identity) {
            return Err(Refused::OutOfPlace);
        }
        let is_news = link.peer.is_none();
        if is_news {
            S::verify(identity, &[IDENTIFY_CONTEXT, &link.binding()].concat(), signature)?;
            self.links.identified(key, NodeId(*identity));
        }
        Ok(is_news)
    }

    /// The neighbour believes who we are.
    pub(in crate::node) fn identified(&mut self, key: NeighbourKey) -> Result<(), Refused> {
        let link = self.links.get_mut(key).ok_or(Refused::UnknownSession)?;
        link.identify = None;
        Ok(())
    }

    pub(super) fn send_identity(&mut self, key: NeighbourKey, cx: &mut Cx<'_>) {
        let Some(link) = self.links.get_mut(key) else { return };
        let Some(identify) = link.identify.as_mut() else { return };
        identify.sends += 1;
        let signature = S::sign(cx.me.keys.identity_secret(), &[IDENTIFY_CONTEXT, &link.binding()].concat());
        let identity = cx.me.id.0;
        cx.say_at_once(key, &Control::Identify { identity: &identity, signature: &signature });
    }
}
