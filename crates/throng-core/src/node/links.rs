//! Links: opening them, answering those who open one to us, and noticing when a neighbour is gone.

use core::net::SocketAddr;

use super::Node;
use crate::circuit::Next;
use crate::crypto::{ANSWER_BYTES, HandshakePurpose, Initiation, Suite};
use crate::id::NodeId;
use crate::id::{End, LinkKey};
use crate::limits::WAITING_CREATES_MAX;
use crate::link::{
    CodeKey, Identify, Link, Side, Unconfirmed, Verdict, Wish, offer_mac1, open_cookie, write_offer,
};
use crate::membership::Record;
use crate::output::Outbox;
use crate::refused::Refused;
use crate::time::Time;
use crate::timers::Timer;
use crate::wire::control::{Control, Ended};
use crate::wire::datagram::{Datagram, Offer};

const IDENTIFY_CONTEXT: &[u8] = b"throng identify 1\0";

impl<S: Suite> Node<S> {
    /// The link to a node: an existing one, or one that is being opened. None if the table is full.
    pub(super) fn link_to(&mut self, now: Time, record: &Record, out: &mut Outbox) -> Option<LinkKey> {
        let node = record.description();
        if let Some(key) = self.links.to_peer(node.identity, now) {
            return Some(key);
        }
        self.make_room_for_a_link(now, out)?;
        let session = self.links.fresh_session(&mut self.chance.keys);
        let initiation = Initiation::new(&mut self.chance.keys);
        let addresses = node.addresses.iter().map(|address| address.0).collect();
        let link = Link::open_to(addresses, node.identity, node.link_key, initiation, now);
        let key = self.links.insert(session, link);
        if self.has_slots(key) {
            self.grant_patience(key);
        }
        self.look_at_link(now, key, out);
        Some(key)
    }

    /// Lets `end` be told when the link comes up. Whether there is room.
    pub(super) fn wait_for_link(&mut self, link: LinkKey, end: End) -> bool {
        let Some(link) = self.links.get_mut(link).filter(|link| link.waiting.len() < WAITING_CREATES_MAX)
        else {
            return false;
        };
        link.waiting.push(end);
        true
    }

    pub(super) fn look_at_link(&mut self, now: Time, key: LinkKey, out: &mut Outbox) {
        let Some(link) = self.links.get_mut(key) else { return };
        self.timers.unset(&mut link.due, Timer::Link(key));
        let next = match link.wish(now) {
            Wish::Wait(until) => until,
            Wish::Dead => return self.drop_link(now, key, Ended::Silent, out),
            Wish::Forget => return self.drop_link(now, key, Ended::Old, out),
            Wish::Offer => {
                self.send_offer(key, out);
                self.asked(key, now)
            }
            Wish::Ping => {
                self.control_at_once(now, key, &Control::Ping, out);
                self.asked(key, now)
            }
            Wish::Identify => {
                self.send_identity(now, key, out);
                self.asked(key, now)
            }
        };
        if let Some(link) = self.links.get_mut(key) {
            self.timers.set(&mut link.due, next, Timer::Link(key));
        }
    }

    fn asked(&mut self, key: LinkKey, now: Time) -> Time {
        self.links.get_mut(key).map_or(Time::NEVER, |link| link.asked(now))
    }

    fn send_offer(&mut self, key: LinkKey, out: &mut Outbox) {
        let Some(link) = self.links.get_mut(key) else { return };
        let (Side::Opening(opening), Some(peer)) = (&mut link.side, link.peer) else { return };
        link.address = opening.addresses[opening.sends as usize % opening.addresses.len()];
        opening.sends += 1;
        let code = CodeKey::new::<S>(&peer.0, &opening.link_key);
        let (offer, cookie, session) = (*opening.initiation.offer(), opening.cookie, key.session());
        let address = link.address;
        self.post(
            address,
            |datagram| write_offer::<S>(&code, session, &offer, cookie.as_ref(), datagram),
            out,
        );
    }

    /// Somebody wants a link.
    pub(super) fn receive_offer(
        &mut self,
        now: Time,
        from: SocketAddr,
        datagram: &[u8],
        offer: &Offer<'_>,
        out: &mut Outbox,
    ) -> Result<(), Refused> {
        let Some(greeter) = self.greeter.as_mut().filter(|_| self.relays_for_others) else {
            return Err(Refused::NotAMix);
        };
        match greeter.judge::<S>(from, datagram, offer, &mut self.chance.keys, now)? {
            Verdict::Welcome => {}
            Verdict::Cookie { nonce, sealed, tag } => {
                let cookie = Datagram::Cookie {
                    initiator: offer.initiator,
                    nonce: &nonce,
                    sealed: &sealed,
                    tag: &tag,
                };
                self.post_to_stranger(from, |datagram| cookie.write(datagram), out);
                return Ok(());
            }
        }
        let key = match self.links.by_offer(offer.mac1) {
            Some(known) => known,
            None => self.answer_offer(now, from, offer, out)?,
        };
        self.send_answer(key, from, offer.initiator, out);
        Ok(())
    }

    fn answer_offer(
        &mut self,
        now: Time,
        from: SocketAddr,
        offer: &Offer<'_>,
        out: &mut Outbox,
    ) -> Result<LinkKey, Refused> {
        let our_session = self.links.fresh_session(&mut self.chance.keys);
        let purpose = HandshakePurpose::Link { initiator: offer.initiator, responder: our_session };
        let (secret, answer) = self.answer(purpose, offer.offer)?;
        self.make_room_for_a_link(now, out).ok_or(Refused::TooMany)?;
        let unconfirmed = Unconfirmed { offer: *offer.mac1, answer: *answer };
        let link = Link::opened_by(from, offer.initiator, &secret, unconfirmed, now);
        let key = self.links.insert(our_session, link);
        self.cover_link(now, key);
        self.look_at_link(now, key, out);
        Ok(key)
    }

    fn send_answer(&mut self, key: LinkKey, to: SocketAddr, initiator: u32, out: &mut Outbox) {
        let Some(link) = self.links.get(key) else { return };
        if let Side::Responder { unconfirmed: Some(unconfirmed) } = &link.side {
            let (responder, answer) = (key.session(), unconfirmed.answer);
            let message = Datagram::Answer { initiator, responder, answer: &answer };
            self.post_to_stranger(to, |datagram| message.write(datagram), out);
        }
    }

    /// Our offer was answered: the link is up, and what waited for it begins.
    pub(super) fn receive_answer(
        &mut self,
        now: Time,
        from: SocketAddr,
        initiator: u32,
        responder: u32,
        answer: &[u8; ANSWER_BYTES],
        out: &mut Outbox,
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
        link.establish(responder, &secret, now);
        if self.relays_for_others {
            link.identify = Some(Identify { sends: 0 });
        }
        let waiting = core::mem::take(&mut link.waiting);
        self.first_hops.answered(peer);
        self.cover_link(now, key);
        for end in waiting {
            match end {
                End::Origin(own) => self.request_hop(now, own, out),
                End::Next(relay) => self.ask_next(now, relay, out),
                End::Previous(_) => unreachable!("only what we set up waits for a link"),
            }
        }
        self.look_at_link(now, key, out);
        self.tell_holding(now, key, out);
        Ok(())
    }

    /// The responder is under load and wants to see that we are at our address.
    pub(super) fn receive_cookie(
        &mut self,
        initiator: u32,
        nonce: &[u8; 12],
        sealed: &[u8; 16],
        tag: &[u8; 16],
        out: &mut Outbox,
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
            self.send_offer(key, out);
        }
        Ok(())
    }

    pub(super) fn receive_control(
        &mut self,
        now: Time,
        key: LinkKey,
        message: Control<'_>,
        out: &mut Outbox,
    ) -> Result<(), Refused> {
        match message {
            Control::Pong => Ok(()),
            Control::Filler { gap } => self.receive_filler(now, key, gap, out),
            Control::Ping => {
                self.control_at_once(now, key, &Control::Pong, out);
                Ok(())
            }
            Control::Identify { identity, signature } => {
                self.receive_identity(now, key, identity, signature, out)
            }
            Control::Identified => {
                let link = self.links.get_mut(key).ok_or(Refused::UnknownSession)?;
                link.identify = None;
                Ok(())
            }
            Control::Create { circuit, offer } => self.receive_create(now, key, circuit, offer, out),
            Control::Created { circuit, answer, company } => {
                self.receive_created(now, key, circuit, answer, company, out)
            }
            Control::Destroy { circuit, why } => self.receive_destroy(now, key, circuit, why, out),
            Control::Holding(what) => self.receive_holding(now, key, what, out),
            Control::Want { digest, part } => self.receive_want(now, key, *digest, part, out),
            Control::Part { digest, part, bytes } => self.receive_part(now, key, digest, part, bytes, out),
        }
    }

    /// The neighbour proves that it is a mix, and which one.
    fn receive_identity(
        &mut self,
        now: Time,
        key: LinkKey,
        identity: &[u8; 32],
        signature: &[u8; 64],
        out: &mut Outbox,
    ) -> Result<(), Refused> {
        let link = self.links.get_mut(key).ok_or(Refused::UnknownSession)?;
        if !link.creates.take(now) {
            return Err(Refused::TooMany);
        }
        if !link.is_responder() || link.peer.is_some_and(|peer| peer.0 != *identity) {
            return Err(Refused::OutOfPlace);
        }
        if link.peer.is_none() {
            S::verify(identity, &[IDENTIFY_CONTEXT, &link.binding()].concat(), signature)?;
            self.links.identified(key, NodeId(*identity));
            self.cover_link(now, key);
            self.tell_holding(now, key, out);
        }
        self.control_at_once(now, key, &Control::Identified, out);
        Ok(())
    }

    fn send_identity(&mut self, now: Time, key: LinkKey, out: &mut Outbox) {
        let Some(link) = self.links.get_mut(key) else { return };
        let Some(identify) = link.identify.as_mut() else { return };
        identify.sends += 1;
        let signature = S::sign(self.keys.identity_secret(), &[IDENTIFY_CONTEXT, &link.binding()].concat());
        let identity = self.id.0;
        self.control_at_once(
            now,
            key,
            &Control::Identify { identity: &identity, signature: &signature },
            out,
        );
    }

    fn make_room_for_a_link(&mut self, now: Time, out: &mut Outbox) -> Option<()> {
        if let Some(victim) = self.links.overfull() {
            self.drop_link(now, victim, Ended::Busy, out);
        }
        self.links.has_room().then_some(())
    }

    /// Ends a link and everything that runs on it.
    fn drop_link(&mut self, now: Time, key: LinkKey, why: Ended, out: &mut Outbox) {
        let Some(mut link) = self.links.remove(key) else { return };
        self.timers.unset(&mut link.due, Timer::Link(key));
        self.uncover_link(key, link.address);
        if let (Ended::Silent, Some(peer)) = (why, link.peer) {
            self.first_hops.failed(peer, now);
        }
        for end in link.circuits.ends() {
            match end {
                End::Origin(own) => self.end_own(now, own, why, out),
                End::Previous(relay) => self.end_relay(now, relay, why, out),
                End::Next(relay) => match self.relays.get(relay).map(|relay| &relay.next) {
                    Some(Next::Extending(_)) => self.not_extended(now, relay, why, out),
                    _ => self.end_relay(now, relay, why, out),
                },
            }
        }
    }
}
