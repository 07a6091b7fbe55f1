//! Network documents: telling neighbours which one we hold, fetching newer ones, putting them in force.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Node;
use crate::crypto::Suite;
use crate::limits::{DOCUMENT_ROUND, DOCUMENT_TELL_AT_ONCE_MAX};
use crate::link::LinkKey;
use crate::membership::exchange::{Arrived, Heard, Turned};
use crate::membership::{Document, Holding, View};
use crate::mixing::Waiting;
use crate::output::{Event, Outbox};
use crate::refused::Refused;
use crate::route::NoRoute;
use crate::time::Time;
use crate::timers::Timer;
use crate::wire::control::{Control, Ended, part_bytes};
use crate::wire::record::Record;

impl<S: Suite> Node<S> {
    /// Tells a neighbour which document we hold.
    pub(super) fn tell_holding(&mut self, now: Time, link: LinkKey, out: &mut Outbox) {
        let Some(exchange) = &self.exchange else { return };
        for holding in [Some(exchange.holding()), exchange.rival()].into_iter().flatten() {
            self.control(now, link, &Control::Holding(holding), out);
        }
    }

    /// A neighbour told us. Only those are asked for theirs whom our own document names.
    pub(super) fn receive_holding(
        &mut self,
        now: Time,
        key: LinkKey,
        what: Holding,
        out: &mut Outbox,
    ) -> Result<(), Refused> {
        let part_bytes = part_bytes(self.geometry);
        let is_known = self.is_known(key);
        let exchange = self.exchange.as_mut().ok_or(Refused::OutOfPlace)?;
        let ours = exchange.holding();
        // Who has an older one shall have ours; and a client shall see that there are two truths. (It asks us then; it
        // does not answer, or we would tell each other for ever.)
        let is_client = self.links.get(key).is_some_and(|link| link.peer.is_none());
        let two_truths = what.serial == ours.serial && what.digest != ours.digest;
        if what.serial < ours.serial || (is_client && two_truths) {
            self.tell_holding(now, key, out);
            return Ok(());
        }
        if !is_known {
            return Ok(());
        }
        match exchange.hear(key, what, part_bytes, now) {
            Heard::Nothing | Heard::Older => {}
            Heard::Fetching(parts) => self.ask_parts(now, key, &what.digest, &parts, out),
        }
        Ok(())
    }

    /// A neighbour wants a part of the document that we hold. One cell answers one cell.
    pub(super) fn receive_want(
        &mut self,
        now: Time,
        key: LinkKey,
        digest: [u8; 32],
        part: u32,
        out: &mut Outbox,
    ) -> Result<(), Refused> {
        let exchange = self.exchange.as_ref().ok_or(Refused::OutOfPlace)?;
        let part_bytes = part_bytes(self.geometry);
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
        match exchange.arrive(key, digest, part, bytes, now)? {
            Arrived::Ask(parts) => self.ask_parts(now, key, digest, &parts, out),
            Arrived::Complete(bytes) => match exchange.complete::<S>(&bytes, now) {
                Ok(turned) => self.follow(now, turned, out),
                Err(_) => {
                    // Whoever gives us what nobody signed is not asked again.
                    self.links.distrust(key);
                    return Err(Refused::Forged);
                }
            },
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
        let digest = exchange.fetching();
        let round = now >= exchange.next_round;
        if round {
            exchange.next_round = now + DOCUMENT_ROUND.mul_f64(0.75 + self.chance.timing.unit() / 2.0);
        }
        if let (Some((link, parts)), Some(digest)) = (again, digest) {
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
        self.client.as_ref()?;
        self.first_hops.in_random_order(&self.view, &mut self.chance.route, now).into_iter().next()
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
            Turned::Old => {}
        }
    }

    /// Puts a newer document in force.
    fn adopt(&mut self, now: Time, document: Arc<Document>, out: &mut Outbox) {
        let statement = document.statement();
        // Another length of datagrams needs another socket: that is for the owner, at the next start.
        if statement.geometry == self.geometry {
            self.view = statement.records.iter().cloned().collect::<View>().without(self.id);
            if let Some(client) = &mut self.client {
                client.route = statement.route;
            }
            if self.relays_for_others {
                match &mut self.waiting {
                    Some(waiting) => waiting.mixer.change(statement.mixing, now),
                    None => self.waiting = Waiting::new(statement.mixing, self.chance.timing.fork(), now),
                }
            }
            self.end_unused(now, out, |record, view| view.get(record.description().identity).is_none());
        }
        out.events.push(Event::Document(document));
        self.timers.by(&mut self.supply.due, now, Timer::Supply);
        for link in self.links.some(DOCUMENT_TELL_AT_ONCE_MAX, &mut self.chance.timing) {
            self.tell_holding(now, link, out);
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

    /// Ends circuits in store that contain a mix which is not wanted any more.
    fn end_unused(&mut self, now: Time, out: &mut Outbox, unwanted: impl Fn(&Record, &View) -> bool) {
        let unused = self.owns.iter().filter(|(_, own)| own.use_.isolation.is_none());
        let ended: Vec<_> = unused
            .filter(|(_, own)| own.path.iter().any(|record| unwanted(record, &self.view)))
            .map(|(key, _)| key)
            .collect();
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

    /// Whether the neighbour is a mix that our view names, and was not caught giving forged documents.
    fn is_known(&self, key: LinkKey) -> bool {
        let Some(link) = self.links.get(key) else { return false };
        !link.distrusted && link.peer.is_some_and(|peer| self.view.get(peer).is_some())
    }
}
