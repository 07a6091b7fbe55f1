//! The room of who is there: whom this node knows, and network documents on their way between neighbours.

mod exchange;

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr};

pub(super) use self::exchange::Told;
pub(super) use self::exchange::Turned;
use self::exchange::{Exchange, Fetched, Heard, Teller};
use super::context::Cx;
use crate::config::Membership;
use crate::crypto::Suite;
use crate::documents::Document;
use crate::id::{Fingerprint, NeighbourKey, NodeId};
use crate::limits::STRANGERS_PER_SECOND_MAX;
use crate::membership::{Record, View};
use crate::output::Event;
use crate::rate::Bucket;
use crate::refused::Refused;
use crate::route::{NoRoute, WideBlock};
use crate::time::Time;
use crate::timers::{Due, Timer};
use crate::wire::control::{Control, Holding};
use crate::wire::message::DocumentName;

/// Whom a node knows, and the network document that says so.
pub(super) struct Members {
    pub(super) view: View,
    /// None where no document is signed.
    exchange: Option<Box<Exchange>>,
    /// How often one may be a hop that nobody here knows.
    strangers: Bucket,
}

impl Members {
    pub(super) fn new(membership: Membership, cx: &mut Cx<'_>) -> Self {
        let view = membership.view().without(cx.me.id);
        let strangers = Bucket::new(STRANGERS_PER_SECOND_MAX, cx.now);
        let Membership::Signed { roots, document } = membership else {
            return Self { view, exchange: None, strangers };
        };
        let mut exchange = Exchange::new(roots, document, cx.now);
        cx.timers.set(&mut exchange.due, cx.now, Timer::Exchange);
        Self { view, exchange: Some(Box::new(exchange)), strangers }
    }

    /// The record of a mix that may be a next hop now.
    pub(super) fn valid(&self, name: Fingerprint, now: Time) -> Option<Arc<Record>> {
        self.view.by_fingerprint(name).filter(|record| record.description().until > now).cloned()
    }

    /// Whether one may be a mix of whom the others have not heard. Where operators sign who is one, nobody else is.
    pub(super) fn admits_strangers(&self) -> bool {
        self.exchange.is_none()
    }

    /// The node that says this of itself, as a next hop for one circuit. What we know of it goes before what it says.
    pub(super) fn admit<S: Suite>(&mut self, record: &[u8], cx: &Cx<'_>) -> Option<Arc<Record>> {
        if !self.admits_strangers() || !self.strangers.take(cx.now) {
            return None;
        }
        let record = Record::verify::<S>(record, cx.now).ok()?;
        let node = record.description();
        if let Some(known) = self.view.get(node.identity) {
            return Some(Arc::clone(known));
        }
        let is_somewhere = node.addresses.iter().all(|address| is_one_host(address.0));
        (node.identity != cx.me.id && is_somewhere).then(|| Arc::new(record))
    }

    /// Any mix that is valid now and `fits`, drawn at random.
    pub(super) fn any(&self, fits: impl Fn(&Record) -> bool, cx: &mut Cx<'_>) -> Option<Arc<Record>> {
        let now = cx.now;
        let valid = || self.view.records().filter(|record| record.description().until > now && fits(record));
        let count = valid().count();
        if count == 0 {
            return None;
        }
        valid().nth(cx.chance.timing.below(count)).cloned()
    }

    /// Why no path may be chosen now, if the network document is the reason.
    pub(super) fn forbid(&self, now: Time) -> Option<NoRoute> {
        let exchange = self.exchange.as_ref()?;
        if exchange.is_in_conflict() {
            return Some(NoRoute::Conflict);
        }
        (now >= exchange.document().statement().until).then_some(NoRoute::Expired)
    }

    // --- Documents ------------------------------------------------------------------------------------

    /// Which document is in force here, for whoever asks over a circuit.
    pub(super) fn held(&self) -> DocumentName {
        self.exchange.as_ref().map_or_else(DocumentName::default, |exchange| {
            let document = exchange.document();
            DocumentName { serial: document.statement().serial, digest: *document.digest() }
        })
    }

    /// An exit says over a circuit what it holds.
    pub(super) fn compare(&mut self, exit: NodeId, held: DocumentName, cx: &mut Cx<'_>) {
        let doubt = self.exchange.as_mut().and_then(|exchange| exchange.compare(exit, held, cx.now));
        cx.out.events.extend(doubt.map(Event::DocumentDoubted));
    }

    /// Tells a neighbour which document we hold.
    pub(super) fn tell(&self, link: NeighbourKey, cx: &mut Cx<'_>) {
        let holdings = self.exchange.as_ref().map(|exchange| exchange.holdings());
        for holding in holdings.into_iter().flatten() {
            cx.say(link, &Control::Holding(holding));
        }
    }

    /// A neighbour told us.
    pub(super) fn hear(
        &mut self,
        link: NeighbourKey,
        peer: Option<(NodeId, IpAddr)>,
        what: Holding,
        cx: &mut Cx<'_>,
    ) -> Result<(), Refused> {
        let teller = match peer {
            None => Teller::Nobody,
            Some((peer, _)) if self.view.get(peer).is_some() => Teller::Mix(peer),
            Some((peer, at)) => Teller::Stranger(peer, WideBlock::of(at)),
        };
        let part_bytes = cx.design.geometry.document_part();
        let exchange = self.exchange.as_mut().ok_or(Refused::OutOfPlace)?;
        match exchange.hear(link, teller, what, part_bytes, cx.now) {
            Heard::Nothing => {}
            Heard::Tell => self.tell(link, cx),
            Heard::Fetching(parts) => self.ask_parts(link, &what.digest, &parts, cx),
        }
        Ok(())
    }

    /// A neighbour wants a part of the document that we hold. One cell answers one cell.
    pub(super) fn give(
        &self,
        link: NeighbourKey,
        digest: &[u8; 32],
        part: u32,
        cx: &mut Cx<'_>,
    ) -> Result<(), Refused> {
        let exchange = self.exchange.as_ref().ok_or(Refused::NotAMix)?;
        let part_bytes = cx.design.geometry.document_part();
        let (document, place) = exchange.part(digest, part, part_bytes).ok_or(Refused::OutOfPlace)?;
        cx.say(link, &Control::Part { digest, part, bytes: &document.as_bytes()[place] });
        Ok(())
    }

    /// A part of a document that we asked for. What the document turned out to be, if that was the last one.
    pub(super) fn receive_part<S: Suite>(
        &mut self,
        link: NeighbourKey,
        digest: &[u8; 32],
        part: u32,
        bytes: &[u8],
        cx: &mut Cx<'_>,
    ) -> Result<Option<Turned>, Refused> {
        let exchange = self.exchange.as_mut().ok_or(Refused::OutOfPlace)?;
        match exchange.arrive::<S>(link, digest, part, bytes, cx.now)? {
            Fetched::Ask(parts) => {
                self.ask_parts(link, digest, &parts, cx);
                Ok(None)
            }
            Fetched::Complete(turned) => {
                self.schedule(cx);
                Ok(Some(turned))
            }
        }
    }

    /// The owner has another document. What it turned out to be; nothing where no document is signed.
    pub(super) fn consider(&mut self, document: Arc<Document>, cx: &mut Cx<'_>) -> Option<Turned> {
        let turned = self.exchange.as_mut().map(|exchange| exchange.consider(document, cx.now));
        self.schedule(cx);
        turned
    }

    /// Asks again for what stayed away. Whom it is time to tell what we hold.
    pub(super) fn look(&mut self, cx: &mut Cx<'_>) -> Told {
        let Some(exchange) = &mut self.exchange else { return Told::Nobody };
        cx.timers.unset(&mut exchange.due, Timer::Exchange);
        let again = exchange.ask_again(cx.now);
        let told = exchange.round(cx.now, &mut cx.chance.timing);
        for (link, digest, parts) in again {
            self.ask_parts(link, &digest, &parts, cx);
        }
        self.schedule(cx);
        told
    }

    /// Two neighbours turned out to be one: what the first one gives, the other one gives.
    pub(super) fn moved(&mut self, from: NeighbourKey, to: NeighbourKey) {
        self.exchange.iter_mut().for_each(|exchange| exchange.link_moved(from, to));
    }

    fn ask_parts(&mut self, link: NeighbourKey, digest: &[u8; 32], parts: &[u32], cx: &mut Cx<'_>) {
        for part in parts {
            cx.say(link, &Control::Want { digest, part: *part });
        }
        self.schedule(cx);
    }

    /// When it is looked at next, for whoever audits it.
    pub(super) fn due(&self) -> Option<Due> {
        self.exchange.as_ref().map(|exchange| exchange.due)
    }

    fn schedule(&mut self, cx: &mut Cx<'_>) {
        if let Some(exchange) = &mut self.exchange {
            let next = exchange.next_look();
            cx.timers.set(&mut exchange.due, next, Timer::Exchange);
        }
    }
}

/// Whether an address is that of one host, to which a datagram may go because somebody says so.
fn is_one_host(address: SocketAddr) -> bool {
    let ip = address.ip();
    let is_broadcast = matches!(address, SocketAddr::V4(v4) if v4.ip().is_broadcast());
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast
}
