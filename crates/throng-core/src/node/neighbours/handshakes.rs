//! Opening links, and answering those who open one to us.

use alloc::sync::Arc;
use core::net::SocketAddr;

use super::Neighbours;
use super::admittance::Owed;
use super::greeting::{CodeKey, Reception, address_bytes, offer_mac1, open_cookie, write_offer};
use super::neighbour::{Neighbour, Stage, Unconfirmed};
use super::paths::Paths;
use super::session::{Session, Side};
use crate::admission::Party;
use crate::crypto::{ANSWER_BYTES, Initiation, KeyUse, OFFER_BYTES, Suite};
use crate::effect::{Effect, LinkUp};
use crate::id::NeighbourKey;
use crate::membership::Record;
use crate::node::context::Cx;
use crate::refused::Refused;
use crate::wire::control::Ended;
use crate::wire::datagram::{Datagram, Offer, answer_parts, offer_parts};
use crate::wire::parts::{self, Part};

impl<S: Suite> Neighbours<S> {
    /// The link to a mix: an existing one, or one that is being opened; whether we know it from elsewhere than from who
    /// wants the link. None if the table is full. (A client may have two for a while, if the mix was silent for long: which of
    /// them lives, the answers show.)
    pub(in crate::node) fn link_to(
        &mut self,
        record: &Arc<Record>,
        is_known: bool,
        cx: &mut Cx<'_>,
    ) -> Option<NeighbourKey> {
        if let Some(key) = self.links.to_peer(record.description().identity) {
            let link = self.links.get(key)?;
            if link.may_be_forgotten(cx.now) {
                self.drop_link(key, Ended::Old, cx);
            } else if cx.me.relays_for_others || !link.may_know_us_no_more(cx.now) {
                return Some(key);
            }
        }
        let session = self.links.fresh_session(&mut cx.chance.keys);
        let initiation = Initiation::new(&mut cx.chance.keys);
        let key = self.links.insert(session, Neighbour::to(Arc::clone(record), initiation, cx.now));
        let identity = record.description().identity;
        let party =
            if is_known { Party::mix(identity) } else { Party::at(record.description().addresses[0].0.ip()) };
        if !self.admit(key, party, cx) {
            self.drop_link(key, Ended::Busy, cx);
            return None;
        }
        self.look(key, cx);
        Some(key)
    }

    /// Sends our offer to the next of a mix's addresses.
    pub(super) fn send_offer(&mut self, key: NeighbourKey, cx: &mut Cx<'_>) {
        let Some(link) = self.links.get(key) else { return };
        let Stage::Opening(opening) = &link.stage else { return };
        self.send_offer_to(key, link.paths.in_turn(opening.sends), cx);
    }

    fn send_offer_to(&mut self, key: NeighbourKey, address: SocketAddr, cx: &mut Cx<'_>) {
        let Some(link) = self.links.get_mut(key) else { return };
        let (Stage::Opening(opening), Some(record)) = (&mut link.stage, &link.paths.record) else { return };
        let code = CodeKey::of::<S>(record);
        link.paths.choose(address);
        opening.sends += 1;
        let cookie = opening.cookies.iter().find(|(from, _)| *from == address).map(|(_, cookie)| cookie);
        let offer = opening.initiation.offer();
        for part in parts::cut(offer, offer_parts(cx.design.geometry.datagram())) {
            cx.post(link.paths.chosen(), |datagram| {
                write_offer::<S>(&code, key.session(), part, cookie, datagram);
            });
        }
    }

    /// Somebody wants a link. An offer is known by a hash: all repeats of it get one answer.
    pub(in crate::node) fn receive_offer(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        offer: &Offer<'_>,
        cx: &mut Cx<'_>,
    ) -> Result<(), Refused> {
        let (Some(greeter), Some(admittance), true) =
            (&mut self.greeter, &mut self.admittance, cx.me.relays_for_others)
        else {
            return Err(Refused::NotAMix);
        };
        let permits = (&mut admittance.handshakes, &mut cx.chance.keys);
        let (initiator, part) = (offer.initiator, offer.part);
        let (whole, is_proved) = match greeter.judge::<S>(from, datagram, offer, permits, cx.now)? {
            Reception::Welcome { offer, is_proved } => (offer, is_proved),
            Reception::Wait => return Ok(()),
            Reception::Cookie { nonce, sealed, tag } => {
                let cookie = Datagram::Cookie { initiator, part, nonce: &nonce, sealed: &sealed, tag: &tag };
                cx.post(from, |datagram| cookie.write(datagram));
                return Ok(());
            }
        };
        // With where it came from: the answer goes there and nowhere else, so whoever confirms it is there.
        let known_by = S::hash(&[&initiator.to_le_bytes(), &address_bytes(from), &whole[..]]);
        if let Some(known) = self.links.by_offer(&known_by) {
            self.send_answer(known, from, initiator, cx);
            return Ok(());
        }
        let party = if is_proved { Party::at(from.ip()) } else { Party::unproved() };
        self.owe(party, Owed::Link { from, initiator, known_by }, whole, cx);
        Ok(())
    }

    /// Answers an offer.
    pub(in crate::node) fn answer_offer(
        &mut self,
        (from, initiator): (SocketAddr, u32),
        offer: &[u8; OFFER_BYTES],
        known_by: [u8; 32],
        cx: &mut Cx<'_>,
    ) -> Result<(), Refused> {
        if let Some(oldest) = self.links.overfull() {
            self.drop_link(oldest, Ended::Busy, cx);
        }
        let ours = self.links.fresh_session(&mut cx.chance.keys);
        let purpose = KeyUse::Link { initiator, responder: ours };
        let (secret, answer) = cx.answer::<S>(purpose, offer)?;
        let session = Session::new((ours, initiator), Side::Responder, &secret, cx.now);
        let unconfirmed = Unconfirmed { offer: known_by, answer: *answer };
        let neighbour = Neighbour::from(Paths::at(from), unconfirmed, session, cx.now);
        let key = self.links.insert(ours, neighbour);
        self.look(key, cx);
        self.send_answer(key, from, initiator, cx);
        Ok(())
    }

    fn send_answer(&mut self, key: NeighbourKey, to: SocketAddr, initiator: u32, cx: &mut Cx<'_>) {
        if let Some(Stage::Answered(unconfirmed)) = self.links.get(key).map(|link| &link.stage) {
            let responder = key.session();
            let of = answer_parts(cx.design.geometry.datagram());
            for (part, bytes) in parts::cut(&unconfirmed.answer, of) {
                let message = Datagram::Answer { initiator, responder, part, bytes };
                cx.post(to, |datagram| message.write(datagram));
            }
        }
    }

    /// Our offer was answered: the link is up, and what waited for it begins.
    pub(in crate::node) fn receive_answer(
        &mut self,
        from: SocketAddr,
        (initiator, responder): (u32, u32),
        (part, bytes): (Part, &[u8]),
        cx: &mut Cx<'_>,
    ) -> Result<(), Refused> {
        let (key, link) = self.links.by_session(initiator).ok_or(Refused::UnknownSession)?;
        let (Stage::Opening(opening), Some(record)) = (&link.stage, &link.paths.record) else {
            return Err(Refused::OutOfPlace);
        };
        if part.of() != answer_parts(cx.design.geometry.datagram()) {
            return Err(Refused::Malformed);
        }
        // Nothing of it is proved before all of it is there: a part that somebody made up spoils it, and it comes again.
        let Some(whole) = self.parts.add((key, responder), part, 0, bytes) else { return Ok(()) };
        let answer = whole.bytes.first_chunk::<ANSWER_BYTES>().ok_or(Refused::Malformed)?;
        let node = record.description();
        let peer = node.identity;
        let purpose = KeyUse::Link { initiator, responder };
        let secret = opening.initiation.finish(purpose, &peer.0, answer)?;
        // Of its addresses, the one that answered is the one that works.
        if link.paths.is_candidate(from) {
            link.paths.choose(from);
        }
        link.establish(Session::new((initiator, responder), Self::our_side(cx), &secret, cx.now), cx.now);
        let (waiting, offered_at) = (core::mem::take(&mut link.waiting), link.begun);
        self.heard_anew(key, offered_at, cx);
        cx.tell(Effect::LinkUp(LinkUp { link: key, peer, waiting }));
        Ok(())
    }

    /// The responder is under load and wants to see that we are at our address.
    pub(in crate::node) fn receive_cookie(
        &mut self,
        from: SocketAddr,
        (initiator, part): (u32, Part),
        nonce: &[u8; 12],
        sealed: &[u8; 16],
        tag: &[u8; 16],
        cx: &mut Cx<'_>,
    ) -> Result<(), Refused> {
        let (key, link) = self.links.by_session(initiator).ok_or(Refused::UnknownSession)?;
        let (Stage::Opening(opening), Some(record)) = (&mut link.stage, &link.paths.record) else {
            return Err(Refused::OutOfPlace);
        };
        let code = CodeKey::of::<S>(record);
        let length = cx.design.geometry.datagram();
        if part.of() != offer_parts(length) {
            return Err(Refused::Malformed);
        }
        let bytes = &opening.initiation.offer()[part.place(OFFER_BYTES)];
        let mac1 = offer_mac1::<S>(&code, initiator, (part, bytes), length);
        if !link.paths.is_candidate(from) {
            return Err(Refused::OutOfPlace);
        }
        let cookie = open_cookie::<S>(&code, &mac1, nonce, sealed, tag)?;
        match opening.cookies.iter_mut().find(|(address, _)| *address == from) {
            Some((_, before)) => *before = cookie,
            None => {
                opening.cookies.push((from, cookie));
                self.send_offer_to(key, from, cx);
            }
        }
        Ok(())
    }
}
