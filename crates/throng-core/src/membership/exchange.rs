//! How nodes get newer network documents from each other.
//!
//! Neighbours say which document they hold. Whoever holds an older one asks for the other, cell by cell, and believes
//! nothing of it before all of it is there and verified. A lost cell is asked for again; a lost word is said again in
//! the next round.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use super::document::{Conflict, Document, DocumentError, Roots};
use crate::crypto::Suite;
use crate::limits::{
    DOCUMENT_BYTES_MAX, FETCH_PARTS_AT_ONCE_MAX, FETCH_PAUSE, FETCH_PAUSES_MAX, FETCH_TIME_MAX,
};
use crate::link::LinkKey;
use crate::refused::Refused;
use crate::time::Time;
use crate::timers::Due;

/// What a neighbour says of the document that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Its serial.
    pub serial: u64,
    /// The hash of what was signed: two documents of one serial must not differ in it.
    pub digest: [u8; 32],
    /// Its length in bytes, signatures included.
    pub length: u32,
}

/// The document in force, and the one that is on its way.
pub(crate) struct Exchange {
    roots: Roots,
    held: Held,
    /// Another valid document of the same serial: evidence that operators signed two truths, for everybody to see.
    rival: Option<Held>,
    fetch: Option<Fetch>,
    pub(crate) due: Due,
    pub(crate) next_round: Time,
}

/// A document, and what we say of it.
struct Held {
    document: Arc<Document>,
    holding: Holding,
}

/// A document on its way, part by part.
struct Fetch {
    from: LinkKey,
    what: Holding,
    part_bytes: usize,
    bytes: Vec<u8>,
    have: Vec<bool>,
    /// Parts below this were asked for at least once.
    asked: usize,
    begun: Time,
    /// When something came last, or was asked for again.
    moved: Time,
    pauses: u32,
}

/// What follows from what a neighbour holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The same as we do, or nothing that we can use.
    Nothing,
    /// An older one: tell it of ours.
    Older,
    /// A newer one, or another truth of the same serial: ask for these parts.
    Fetching(Vec<u32>),
}

/// What follows from the arrival of a part.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// Ask for these parts.
    Ask(Vec<u32>),
    /// It is complete: these are its bytes.
    Complete(Vec<u8>),
}

/// What a document that arrived turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    /// Newer: it is in force now.
    InForce(Arc<Document>),
    /// Another truth of the same serial.
    Conflict(Arc<Document>),
    /// Not newer.
    Old,
}

impl Exchange {
    pub(crate) fn new<S: Suite>(roots: Roots, document: Arc<Document>, now: Time) -> Self {
        let held = Held::new::<S>(document);
        Self { roots, held, rival: None, fetch: None, due: Due::NONE, next_round: now }
    }

    /// The document in force.
    pub(crate) fn document(&self) -> &Arc<Document> {
        &self.held.document
    }

    /// What we say of it.
    pub(crate) const fn holding(&self) -> Holding {
        self.held.holding
    }

    /// What we say of the other one of two truths.
    pub(crate) fn rival(&self) -> Option<Holding> {
        self.rival.as_ref().map(|rival| rival.holding)
    }

    /// Whether operators signed two truths.
    pub(crate) const fn is_in_conflict(&self) -> bool {
        self.rival.is_some()
    }

    /// A neighbour that we know said what it holds.
    pub(crate) fn hear(&mut self, from: LinkKey, what: Holding, part_bytes: usize, now: Time) -> Heard {
        let ours = self.held.holding;
        if what.serial < ours.serial {
            return Heard::Older;
        }
        let same_truth = what.digest == ours.digest;
        let busy = self.fetch.is_some();
        let fits = (1..=DOCUMENT_BYTES_MAX).contains(&(what.length as usize));
        let known_conflict = self.rival.is_some() && what.serial == ours.serial;
        if same_truth || busy || !fits || known_conflict {
            return Heard::Nothing;
        }
        let mut fetch = Fetch::new(from, what, part_bytes, now);
        let parts = fetch.next_parts();
        self.fetch = Some(fetch);
        Heard::Fetching(parts)
    }

    /// A part of a document came.
    pub(crate) fn arrive(
        &mut self,
        from: LinkKey,
        digest: &[u8; 32],
        part: u32,
        bytes: &[u8],
        now: Time,
    ) -> Result<Arrived, Refused> {
        let fetch = self.fetch.as_mut().filter(|fetch| fetch.from == from && fetch.what.digest == *digest);
        let fetch = fetch.ok_or(Refused::OutOfPlace)?;
        fetch.take(part, bytes, now)?;
        if fetch.have.iter().all(|have| *have) {
            let bytes = self.fetch.take().map(|fetch| fetch.bytes).unwrap_or_default();
            return Ok(Arrived::Complete(bytes));
        }
        Ok(Arrived::Ask(fetch.next_parts()))
    }

    /// Verifies a document that is complete, and puts it in force if it is newer.
    pub(crate) fn complete<S: Suite>(&mut self, bytes: &[u8], now: Time) -> Result<Turned, DocumentError> {
        let document = Document::verify::<S>(bytes, &self.roots, now)?;
        Ok(self.consider::<S>(Arc::new(document)))
    }

    /// Puts a document in force if it is newer.
    pub(crate) fn consider<S: Suite>(&mut self, document: Arc<Document>) -> Turned {
        match document.replaces(&self.held.document) {
            Ok(true) => {
                self.held = Held::new::<S>(Arc::clone(&document));
                self.rival = None;
                Turned::InForce(document)
            }
            Err(Conflict { .. }) if self.rival.is_none() => {
                self.rival = Some(Held::new::<S>(Arc::clone(&document)));
                Turned::Conflict(document)
            }
            Ok(false) | Err(Conflict { .. }) => Turned::Old,
        }
    }

    /// Whom to ask again for which parts, if what was asked for stays away for too long. A neighbour that goes on
    /// giving nothing is given up.
    pub(crate) fn ask_again(&mut self, now: Time) -> Option<(LinkKey, Vec<u32>)> {
        let fetch = self.fetch.as_mut()?;
        if fetch.pauses >= FETCH_PAUSES_MAX || now - fetch.begun >= FETCH_TIME_MAX {
            self.fetch = None;
            return None;
        }
        if now - fetch.moved < FETCH_PAUSE {
            return None;
        }
        fetch.pauses += 1;
        fetch.moved = now;
        Some((fetch.from, fetch.missing()))
    }

    /// The digest of the document that is on its way.
    pub(crate) fn fetching(&self) -> Option<[u8; 32]> {
        self.fetch.as_ref().map(|fetch| fetch.what.digest)
    }

    /// When to look again.
    pub(crate) fn next_look(&self) -> Time {
        self.fetch.as_ref().map_or(self.next_round, |fetch| (fetch.moved + FETCH_PAUSE).min(self.next_round))
    }

    /// The document with this digest, if we hold it, and where a part of it lies.
    pub(crate) fn part(
        &self,
        digest: &[u8; 32],
        part: u32,
        part_bytes: usize,
    ) -> Option<(Arc<Document>, Range<usize>)> {
        let held = [Some(&self.held), self.rival.as_ref()].into_iter().flatten();
        let document = &held.into_iter().find(|held| held.holding.digest == *digest)?.document;
        let length = document.as_bytes().len();
        let start = usize::try_from(part).ok()?.checked_mul(part_bytes).filter(|start| *start < length)?;
        Some((Arc::clone(document), start..length.min(start + part_bytes)))
    }
}

impl Fetch {
    fn new(from: LinkKey, what: Holding, part_bytes: usize, now: Time) -> Self {
        let length = what.length as usize;
        Self {
            from,
            what,
            part_bytes,
            bytes: alloc::vec![0; length],
            have: alloc::vec![false; length.div_ceil(part_bytes)],
            asked: 0,
            begun: now,
            moved: now,
            pauses: 0,
        }
    }

    fn take(&mut self, part: u32, bytes: &[u8], now: Time) -> Result<(), Refused> {
        let place = part as usize;
        let have = self.have.get_mut(place).ok_or(Refused::Malformed)?;
        let start = place * self.part_bytes;
        let end = self.bytes.len().min(start + self.part_bytes);
        let bytes = bytes.get(..end - start).ok_or(Refused::Malformed)?;
        if !*have {
            *have = true;
            self.bytes[start..end].copy_from_slice(bytes);
            self.moved = now;
            self.pauses = 0;
        }
        Ok(())
    }

    /// Parts never asked for, as many as may be under way.
    fn next_parts(&mut self) -> Vec<u32> {
        let under_way = self.have[..self.asked].iter().filter(|have| !**have).count();
        let room = FETCH_PARTS_AT_ONCE_MAX.saturating_sub(under_way);
        let end = self.have.len().min(self.asked + room);
        let parts = (self.asked..end).map(|part| part as u32).collect();
        self.asked = end;
        parts
    }

    /// Parts that were asked for and did not come.
    fn missing(&self) -> Vec<u32> {
        let missing = (0..self.asked).filter(|part| !self.have[*part]);
        missing.take(FETCH_PARTS_AT_ONCE_MAX).map(|part| part as u32).collect()
    }
}

impl Held {
    fn new<S: Suite>(document: Arc<Document>) -> Self {
        let holding = Holding {
            serial: document.statement().serial,
            digest: S::hash(&[document.signed_bytes()]),
            length: document.as_bytes().len() as u32,
        };
        Self { document, holding }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slotmap::SlotMap;

    const PART: usize = 100;
    const NOW: Time = Time::from_secs(150);

    fn links() -> (LinkKey, LinkKey) {
        let mut links = SlotMap::with_key();
        (links.insert(()), links.insert(()))
    }

    fn newer(length: usize) -> Holding {
        Holding { serial: 9, digest: [9; 32], length: length as u32 }
    }

    fn exchange() -> Exchange {
        use crate::membership::document::tests::{example, roots};
        Exchange::new::<crate::crypto::Portable>(roots(), Arc::new(example(5)), NOW)
    }

    #[test]
    fn parts_arrive_in_any_order_and_twice() {
        let (link, _) = links();
        let mut exchange = exchange();
        let bytes: Vec<u8> = (0..PART * 40 + 7).map(|i| i as u8).collect();
        let Heard::Fetching(mut asked) = exchange.hear(link, newer(bytes.len()), PART, NOW) else {
            panic!("a newer one is fetched")
        };
        assert_eq!(asked.len(), FETCH_PARTS_AT_ONCE_MAX);
        let mut complete = None;
        while let Some(part) = asked.pop() {
            let start = part as usize * PART;
            let piece = &bytes[start..bytes.len().min(start + PART)];
            for _ in 0..2 {
                match exchange.arrive(link, &[9; 32], part, piece, NOW) {
                    Ok(Arrived::Ask(more)) => asked.extend(more),
                    Ok(Arrived::Complete(all)) => complete = Some(all),
                    Err(why) => assert_eq!((why, complete.is_some()), (Refused::OutOfPlace, true)),
                }
            }
        }
        assert_eq!(complete.expect("all parts came"), bytes);
    }

    #[test]
    fn what_stays_away_is_asked_for_again_and_then_given_up() {
        let (link, other) = links();
        let mut exchange = exchange();
        assert!(matches!(exchange.hear(link, newer(1000), PART, NOW), Heard::Fetching(_)));
        assert_eq!(exchange.hear(other, newer(1000), PART, NOW), Heard::Nothing, "one at a time");
        let mut now = NOW;
        let mut again = 0;
        while exchange.fetching().is_some() {
            now = exchange.next_look().max(now + FETCH_PAUSE);
            if let Some((from, parts)) = exchange.ask_again(now) {
                assert_eq!((from, parts.len()), (link, 10));
                again += 1;
            }
        }
        assert_eq!(again, FETCH_PAUSES_MAX);
        assert!(matches!(exchange.hear(other, newer(1000), PART, now), Heard::Fetching(_)));
    }

    #[test]
    fn older_and_equal_ones_are_not_fetched() {
        let (link, _) = links();
        let mut exchange = exchange();
        let ours = exchange.holding();
        assert_eq!(exchange.hear(link, ours, PART, NOW), Heard::Nothing);
        assert_eq!(exchange.hear(link, Holding { serial: 4, ..ours }, PART, NOW), Heard::Older);
        let other_signers = Holding { length: ours.length - 1, ..ours };
        assert_eq!(exchange.hear(link, other_signers, PART, NOW), Heard::Nothing);
        let endless = Holding { serial: 6, digest: [1; 32], length: u32::MAX };
        assert_eq!(exchange.hear(link, endless, PART, NOW), Heard::Nothing);
    }

    #[test]
    fn a_part_of_nothing_is_refused() {
        let (link, other) = links();
        let mut exchange = exchange();
        assert!(exchange.arrive(link, &[9; 32], 0, &[0; PART], NOW).is_err());
        assert!(matches!(exchange.hear(link, newer(150), PART, NOW), Heard::Fetching(_)));
        assert!(exchange.arrive(other, &[9; 32], 0, &[0; PART], NOW).is_err(), "of another neighbour");
        assert!(exchange.arrive(link, &[8; 32], 0, &[0; PART], NOW).is_err(), "of another document");
        assert!(exchange.arrive(link, &[9; 32], 2, &[0; PART], NOW).is_err(), "behind the end");
        assert!(exchange.arrive(link, &[9; 32], 0, &[0; PART - 1], NOW).is_err(), "too short");
        assert!(exchange.arrive(link, &[9; 32], 0, &[0; PART], NOW).is_ok());
    }
}
