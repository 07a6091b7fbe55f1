//! Network documents: telling neighbours which one we hold, fetching newer ones, putting them in force.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Node;
use crate::crypto::Suite;
use crate::design::Design;
use crate::documents::Document;
use crate::documents::exchange::{Arrived, Heard, Teller, Turned};
use crate::id::LinkKey;
use crate::limits::{DOCUMENT_ROUND, DOCUMENT_TELL_AT_ONCE_MAX};
use crate::membership::Record;
use crate::membership::View;
use crate::mixing::Waiting;
use crate::output::{Event, Outbox};
use crate::refused::Refused;
use crate::route::NoRoute;
use crate::time::Time;
use crate::timers::Timer;
use crate::wire::control::Holding;
use crate::wire::control::{Control, Ended, part_bytes};

impl<S: Suite> Node<S> {
    /// Tells a neighbour which document we hold.
    pub(super) fn tell_holding(&mut self, now: Time, link: LinkKey, out: &mut Outbox) {
        let holdings = self.exchange.as_ref().map(|exchange| exchange.holdings());
        for holding in holdings.into_iter().flatten() {
            self.control(now, link, &Control::Holding(holding), out);
        }
    }

    /// A neighbour told us.
    pub(super) fn receive_holding(
        &mut self,
        now: Time,
        key: LinkKey,
        what: Holding,
        out: &mut Outbox,
    ) -> Result<(), Refused> {
        let (teller, part_bytes) = (self.teller(key), part_bytes(self.design.geometry));
        let exchange = self.exchange.as_mut().ok_or(Refused::OutOfPlace)?;
        match exchange.hear(key, teller, what, part_bytes, now) {
            Heard::Nothing => {}
            Heard::Tell => self.tell_holding(now, key, out),
            Heard::Fetching(parts) => self.ask_parts(now, key, &what.digest, &parts, out),
        }
        Ok(())
    }

    /// A neighbour wants a part of the document that we hold. One cell answers one cell. Clients answer nobody: what
    /// they have could tell who they are.
    pub(super) fn receive_want(
        &mut self,
        now: Time,
        key: LinkKey,
        digest: [u8; 32],
        part: u32,
        out: &mut Outbox,
    ) -> Result<(), Refused> {
        let exchange = self.exchange.as_ref().filter(|_| self.relays_for_others).ok_or(Refused::NotAMix)?;
        let link = self.links.get_mut(key).ok_or(Refused::UnknownSession)?;
        if !link.creates.take(now) {
            return Err(Refused::TooMany);
        }
        let part_bytes = part_bytes(self.design.geometry);
        let (document, place) = exchange.part(&digest, part, part_bytes).ok_or(Refused::OutOfPlace)?;
        let bytes = &document.as_bytes()[place];
        self.control(now, key, &Control::Part { digest: &digest, part, bytes }, out);
        Ok(())
    }

    /// A part of a document that we asked for.
    pub(super) fn receive_part(
        &mut self,
        now: Time,
        key: LinkKey,
        digest: &[u8; 32],
        part: u32,
        bytes: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Refused> {
        let exchange = self.exchange.as_mut().ok_or(Refused::OutOfPlace)?;
        match exchange.arrive::<S>(key, digest, part, bytes, now)? {
            Arrived::Ask(parts) => self.ask_parts(now, key, digest, &parts, out),
            Arrived::Complete(turned) => self.follow(now, turned, out),
        }
        Ok(())
    }

    fn ask_parts(&mut self, now: Time, link: LinkKey, digest: &[u8; 32], parts: &[u32], out: &mut Outbox) {
        for part in parts {
            self.control(now, link, &Control::Want { digest, part: *part }, out);
        }
        self.schedule_exchange();
    }

    /// Asks again for what stayed away; and every round says to one neighbour what we hold.
    pub(super) fn look_at_exchange(&mut self, now: Time, out: &mut Outbox) {
        let Some(exchange) = &mut self.exchange else { return };
        self.timers.unset(&mut exchange.due, Timer::Exchange);
        let again = exchange.ask_again(now);
        let round = now >= exchange.next_round;
        if round {
            exchange.next_round = now + DOCUMENT_ROUND.mul_f64(0.75 + self.chance.timing.unit() / 2.0);
        }
        for (link, digest, parts) in again {
            self.ask_parts(now, link, &digest, &parts, out);
        }
        if round && let Some(neighbour) = self.neighbour_to_tell(now) {
            match self.link_to(now, &neighbour, out) {
                // A link that is being opened says it by itself when it is up.
                Some(link) if self.links.get(link).is_some_and(|link| link.is_up()) => {
                    self.tell_holding(now, link, out);
                }
                _ => {}
            }
        }
        self.schedule_exchange();
    }

    /// A mix tells any other mix, a client only its first hops: nobody else may learn of it.
    fn neighbour_to_tell(&mut self, now: Time) -> Option<Arc<Record>> {
        if self.relays_for_others {
            let valid: Vec<_> =
                self.view.records().filter(|record| record.description().until > now).collect();
            return self.chance.timing.pick(&valid).map(|record| Arc::clone(record));
        }
        self.client?;
        let count = self.first_hops_in_use();
        self.first_hops.in_order(&self.view, count, &mut self.chance.route, now).into_iter().next()
    }

    fn schedule_exchange(&mut self) {
        if let Some(exchange) = &mut self.exchange {
            let next = exchange.next_look();
            self.timers.set(&mut exchange.due, next, Timer::Exchange);
        }
    }

    /// The owner has another document.
    pub(super) fn consider(&mut self, now: Time, document: Arc<Document>, out: &mut Outbox) {
        if let Some(exchange) = &mut self.exchange {
            let turned = exchange.consider::<S>(document);
            self.follow(now, turned, out);
        }
    }

    fn follow(&mut self, now: Time, turned: Turned, out: &mut Outbox) {
        match turned {
            Turned::InForce(document) => self.adopt(now, document, out),
            Turned::Conflict(other) => self.stop_for_conflict(now, other, out),
            Turned::Unusable(why) => out.events.push(Event::DocumentRefused(why)),
            Turned::Old => {}
        }
    }

    /// Puts a newer document in force.
    fn adopt(&mut self, now: Time, document: Arc<Document>, out: &mut Outbox) {
        let statement = document.statement();
        // Another length of datagrams needs another socket: that is for the owner, at the next start.
        if statement.design.geometry == self.design.geometry {
            self.view = statement.records.iter().cloned().collect::<View>().without(self.id);
            let is_covered_anew = statement.design.cover != self.design.cover;
            self.design = Arc::new(statement.design.clone());
            self.mix_anew(now);
            if is_covered_anew {
                self.cover_anew(now);
            } else {
                self.cover_all(now); // somebody who was a stranger may be a mix now
            }
            // Circuits in store are as the new document would have them, or they go.
            let hops = statement.design.route.hops();
            self.end_unused(now, out, |path, view| {
                let known = |record: &Arc<Record>| view.get(record.description().identity) == Some(record);
                path.len() != hops || !path.iter().all(known)
            });
        }
        out.events.push(Event::Document(document));
        self.timers.by(&mut self.supply.due, now, Timer::Supply);
        for link in self.links.some(DOCUMENT_TELL_AT_ONCE_MAX, &mut self.chance.timing) {
            self.tell_holding(now, link, out);
        }
    }

    /// Works by the strategy of the design in force.
    fn mix_anew(&mut self, now: Time) {
        let Design { mixing, lonely, .. } = *self.design;
        match &mut self.waiting {
            _ if !self.relays_for_others => {}
            Some(waiting) => waiting.mixer.change(mixing, lonely, now),
            None => self.waiting = Waiting::new(mixing, lonely, self.chance.timing.fork(), now),
        }
    }

    /// Operators signed two truths: neither is used.
    fn stop_for_conflict(&mut self, now: Time, other: Arc<Document>, out: &mut Outbox) {
        out.events.push(Event::Conflict(other));
        self.end_unused(now, out, |_, _| true);
        self.timers.by(&mut self.supply.due, now, Timer::Supply);
        // All neighbours shall see it.
        for link in self.links.some(DOCUMENT_TELL_AT_ONCE_MAX, &mut self.chance.timing) {
            self.tell_holding(now, link, out);
        }
    }

    /// Ends circuits in store whose path is not wanted any more.
    fn end_unused(&mut self, now: Time, out: &mut Outbox, unwanted: impl Fn(&[Arc<Record>], &View) -> bool) {
        let unused = self.owns.iter().filter(|(_, own)| own.use_.isolation.is_none());
        let unwanted = unused.filter(|(_, own)| unwanted(&own.path, &self.view));
        let ended: Vec<_> = unwanted.map(|(key, _)| key).collect();
        for key in ended {
            self.end_own(now, key, Ended::Finished, out);
        }
    }

    /// Why no path may be chosen now, if the network document is the reason.
    pub(super) fn document_forbids(&self, now: Time) -> Option<NoRoute> {
        let exchange = self.exchange.as_ref()?;
        if exchange.is_in_conflict() {
            return Some(NoRoute::Conflict);
        }
        (now >= exchange.document().statement().until).then_some(NoRoute::Expired)
    }

    /// Who the neighbour is, as far as documents go.
    fn teller(&self, key: LinkKey) -> Teller {
        match self.links.get(key).and_then(|link| link.peer) {
            None => Teller::Nobody,
            Some(peer) if self.view.get(peer).is_some() => Teller::Mix(peer),
            Some(_) => Teller::Stranger,
        }
    }
}
