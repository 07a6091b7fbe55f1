//! How nodes get newer network documents from each other.
//!
//! Neighbours say which document they hold. Whoever holds an older one asks for the other, cell by cell, and believes
//! nothing of it before all of it is there and verified. A lost cell is asked for again; a lost word is said again in
//! the next round.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;

use crate::crypto::Suite;
use crate::documents::{Conflict, Document, DocumentError, Roots, claim};
use crate::id::NeighbourKey;
use crate::id::NodeId;
use crate::limits::{
    DOCUMENT_BEHIND_MAX, DOCUMENT_BYTES_MAX, DOCUMENT_ROUND, DOCUMENT_SAID_AGAIN, DOUBTS_MAX, FETCH_ALONE,
    FETCH_PARTS_AT_ONCE_MAX, FETCH_PAUSE, FETCH_PAUSES_MAX, FETCH_REST, FETCH_REST_FORGED, FETCH_RESTING_MAX,
    FETCH_TIME_MAX, FETCHES_MAX, STRANGER_BLOCK_REST, STRANGER_BLOCKS_MAX, STRANGER_FETCH_EVERY,
};
use crate::output::Doubt;
use crate::refused::Refused;
use crate::rng::Rng;
use crate::route::WideBlock;
use crate::time::Time;
use crate::timers::Due;
use crate::wire::control::Holding;
use crate::wire::message::DocumentName;

/// The document in force, and those that are on their way.
pub(crate) struct Exchange {
    roots: Roots,
    held: HeldDocument,
    /// Another valid document of the same serial: evidence of equivocation by the operators, for everybody to see.
    rival: Option<HeldDocument>,
    fetches: Vec<Fetch>,
    /// Neighbours that did not give what they had announced, and until when they are not asked.
    resting: BTreeMap<NodeId, Time>,
    /// Until when no stranger is asked, and which of their blocks were asked when.
    strangers_rest: Time,
    strange_blocks: Vec<(WideBlock, Time)>,
    doubts: Doubts,
    pub(crate) due: Due,
    pub(crate) next_round: Time,
    /// How many of the next rounds say to all what we hold, since that is new.
    pub(crate) loud_rounds: u32,
}

/// Who said what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Teller {
    /// A client, or a mix that did not prove its name: it is told, and never asked.
    Nobody,
    /// A mix that our own document does not name: one that operators have just signed in, or nobody.
    Stranger(NodeId, WideBlock),
    /// A mix that our own document names.
    Mix(NodeId),
}

/// What exits said that does not fit to the document in force.
#[derive(Default)]
struct Doubts {
    /// Who said something that was reported, once, and what.
    reported: Vec<(NodeId, [u8; 32])>,
    /// When an exit first said that it has a newer one.
    behind_since: Option<Time>,
}

impl Doubts {
    /// Whether there is nothing more to report of this: an exit that makes things up does so once.
    fn knows(&self, exit: NodeId, digest: &[u8; 32]) -> bool {
        let is_same = |(by, what): &(NodeId, [u8; 32])| *by == exit || what == digest;
        self.reported.len() >= DOUBTS_MAX || self.reported.iter().any(is_same)
    }
}

/// A document, and what we say of it.
struct HeldDocument {
    document: Arc<Document>,
    holding: Holding,
}

/// A document on its way, part by part.
struct Fetch {
    from: NeighbourKey,
    mix: NodeId,
    /// The document in force then did not name it.
    is_strange: bool,
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
    /// Something that it should not: tell it of ours.
    Tell,
    /// A newer one, or another truth of the same serial: ask for these parts.
    Fetching(Vec<u32>),
}

/// Who shall hear what we hold.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Nobody,
    /// One mix.
    One,
    /// All neighbours, and mixes that are none.
    All,
}

/// What follows from the arrival of a part.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fetched {
    /// Ask for these parts.
    Ask(Vec<u32>),
    /// It is complete, and turned out to be this.
    Complete(Turned),
}

/// What a document that arrived turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    /// Newer: it is in force now. If it is not of one history with the one before, that one.
    InForce(Arc<Document>, Option<Arc<Document>>),
    /// Another truth of the same serial.
    Conflict(Arc<Document>),
    /// Not newer.
    Old,
    /// It cannot be used, and that may be our fault: our clock, or our program's age.
    Unusable(DocumentError),
}

impl Exchange {
    pub(crate) fn new(roots: Roots, document: Arc<Document>, now: Time) -> Self {
        let held = HeldDocument::new(document);
        let (fetches, resting) = (Vec::new(), BTreeMap::new());
        let doubts = Doubts::default();
        Self {
            roots,
            held,
            rival: None,
            fetches,
            resting,
            strangers_rest: Time::ZERO,
            strange_blocks: Vec::new(),
            doubts,
            due: Due::NONE,
            next_round: now,
            loud_rounds: 1,
        }
    }

    /// The document in force.
    pub(crate) fn document(&self) -> &Arc<Document> {
        &self.held.document
    }

    /// What we say: what we hold, and the document that contradicts it.
    pub(crate) fn holdings(&self) -> impl Iterator<Item = Holding> + use<> {
        let rival = self.rival.as_ref().map(|rival| rival.holding);
        [Some(self.held.holding), rival].into_iter().flatten()
    }

    /// What an exit said over a circuit that it holds, if that is to be doubted and was not yet. It may lie: but whoever shows us
    /// a history of our own cannot have it say the same.
    pub(crate) fn compare(&mut self, exit: NodeId, held: DocumentName, now: Time) -> Option<Doubt> {
        let DocumentName { serial, digest } = held;
        let ours = &self.held.document;
        let is_newer = serial > ours.statement().serial;
        if serial == 0 || (!is_newer && ours.agrees(serial, &digest)) || self.doubts.knows(exit, &digest) {
            return None;
        }
        if is_newer && now < *self.doubts.behind_since.get_or_insert(now) + DOCUMENT_BEHIND_MAX {
            return None;
        }
        self.doubts.reported.push((exit, digest));
        Some(Doubt { exit, serial, digest, is_newer })
    }

    /// Whether the operators equivocated: signed two documents of one serial.
    pub(crate) const fn is_in_conflict(&self) -> bool {
        self.rival.is_some()
    }

    /// A neighbour said what it holds.
    pub(crate) fn hear(
        &mut self,
        from: NeighbourKey,
        teller: Teller,
        what: Holding,
        part_bytes: usize,
        now: Time,
    ) -> Heard {
        let ours = self.held.holding;
        let two_truths = what.serial == ours.serial && what.digest != ours.digest;
        match teller {
            // A client that holds another truth shall see ours, and ask. It does not answer, or we would tell each other
            // for ever.
            _ if what.serial < ours.serial => return Heard::Tell,
            Teller::Nobody if two_truths => return Heard::Tell,
            Teller::Nobody => return Heard::Nothing,
            Teller::Stranger(..) | Teller::Mix(_) if what.serial == ours.serial && !two_truths => {
                return Heard::Nothing;
            }
            // Operators may have signed it in, in the very document that it has.
            Teller::Stranger(_, block) if two_truths || !self.may_ask_a_stranger(block, now) => {
                return Heard::Nothing;
            }
            Teller::Stranger(..) | Teller::Mix(_) => {}
        }
        let (Teller::Mix(mix) | Teller::Stranger(mix, _)) = teller else { return Heard::Nothing };
        self.resting.retain(|_, until| *until > now);
        let known = two_truths && self.rival.is_some();
        let fits = (1..=DOCUMENT_BYTES_MAX).contains(&(what.length as usize));
        // Strangers cost nothing: they have a place of their own, and keep no known mix from giving.
        let is_strange = matches!(teller, Teller::Stranger(..));
        let peers = self.fetches.iter().filter(|fetch| fetch.is_strange == is_strange);
        let places = if is_strange { 1 } else { FETCHES_MAX };
        // One gives it, unless it is slow, or promises something else under the same name.
        let gives = |fetch: &Fetch| fetch.what == what && now - fetch.begun < FETCH_ALONE;
        let busy =
            peers.clone().count() >= places || peers.clone().any(|fetch| fetch.mix == mix || gives(fetch));
        if known || busy || !fits || self.resting.contains_key(&mix) {
            return Heard::Nothing;
        }
        if let Teller::Stranger(_, block) = teller {
            self.strangers_rest = now + STRANGER_FETCH_EVERY;
            self.strange_blocks.push((block, now));
        }
        let mut fetch = Fetch::new(from, (mix, is_strange), what, part_bytes, now);
        let parts = fetch.next_parts();
        self.fetches.push(fetch);
        Heard::Fetching(parts)
    }

    /// Whether a stranger behind this block may have a turn.
    fn may_ask_a_stranger(&mut self, block: WideBlock, now: Time) -> bool {
        self.strange_blocks.retain(|(_, asked)| now < *asked + STRANGER_BLOCK_REST);
        let was_asked = self.strange_blocks.iter().any(|(asked, _)| *asked == block);
        now >= self.strangers_rest && !was_asked && self.strange_blocks.len() < STRANGER_BLOCKS_MAX
    }

    /// A part of a document came.
    pub(crate) fn arrive<S: Suite>(
        &mut self,
        from: NeighbourKey,
        digest: &[u8; 32],
        part: u32,
        bytes: &[u8],
        now: Time,
    ) -> Result<Fetched, Refused> {
        let place = self.fetches.iter().position(|fetch| fetch.from == from && fetch.what.digest == *digest);
        let place = place.ok_or(Refused::OutOfPlace)?;
        let fetch = &mut self.fetches[place];
        fetch.take(part, bytes, now)?;
        if fetch.have.iter().all(|have| *have) {
            let fetch = self.fetches.swap_remove(place);
            return self.complete::<S>(&fetch, now).map(Fetched::Complete);
        }
        Ok(Fetched::Ask(fetch.next_parts()))
    }

    /// Verifies a document that is complete, and puts it in force if it is newer.
    fn complete<S: Suite>(&mut self, fetch: &Fetch, now: Time) -> Result<Turned, Refused> {
        // First what costs little: whether it is what was announced. What is of another format does not say.
        let claimed = claim::<S>(&fetch.bytes);
        let announced = claimed == Ok((fetch.what.serial, fetch.what.digest));
        let verified = match claimed {
            // Of a mix that we know: a stranger may say anything.
            Err(why @ DocumentError::UnknownVersion(_)) if !fetch.is_strange => Some(Err(why)),
            _ => announced.then(|| Document::verify::<S>(&fetch.bytes, &self.roots, now)),
        };
        match verified {
            Some(Ok(document)) => Ok(self.consider(Arc::new(document), now)),
            Some(Err(
                why @ (DocumentError::UnknownVersion(_)
                | DocumentError::UnknownDesign
                | DocumentError::OtherWire(_)
                | DocumentError::NoMixes
                | DocumentError::Expired
                | DocumentError::NotYet),
            )) => {
                self.rest(fetch, now + FETCH_REST);
                Ok(Turned::Unusable(why))
            }
            _ => {
                self.rest(fetch, now + FETCH_REST_FORGED);
                Err(Refused::Forged)
            }
        }
    }

    /// Strangers' names cost nothing, and would fill the list: their blocks are remembered.
    fn rest(&mut self, fetch: &Fetch, until: Time) {
        if !fetch.is_strange && self.resting.len() < FETCH_RESTING_MAX {
            self.resting.insert(fetch.mix, until);
        }
    }

    /// Puts a document in force if it is newer.
    pub(crate) fn consider(&mut self, document: Arc<Document>, now: Time) -> Turned {
        match document.replaces(&self.held.document) {
            Ok(true) => {
                let before =
                    core::mem::replace(&mut self.held, HeldDocument::new(Arc::clone(&document))).document;
                self.rival = None;
                self.say_again(now);
                self.doubts = Doubts::default();
                let is_one_history = document.names(before.statement().serial, before.digest());
                Turned::InForce(document, (!is_one_history).then_some(before))
            }
            Err(Conflict { .. }) if self.rival.is_none() => {
                self.rival = Some(HeldDocument::new(Arc::clone(&document)));
                self.say_again(now);
                Turned::Conflict(document)
            }
            Ok(false) | Err(Conflict { .. }) => Turned::Old,
        }
    }

    /// A neighbour that gives a document is another one now, since two turned out to be one.
    pub(crate) fn link_moved(&mut self, from: NeighbourKey, to: NeighbourKey) {
        let given = self.fetches.iter_mut().filter(|fetch| fetch.from == from);
        given.for_each(|fetch| fetch.from = to);
    }

    /// Whom to ask again for which parts of which document, where what was asked for stays away for too long. A neighbour
    /// that goes on giving nothing, or too slowly, is given up and rests.
    pub(crate) fn ask_again(&mut self, now: Time) -> Vec<(NeighbourKey, [u8; 32], Vec<u32>)> {
        let given_up: Vec<Fetch> = self.fetches.extract_if(.., |fetch| fetch.is_hopeless(now)).collect();
        given_up.iter().for_each(|fetch| self.rest(fetch, now + FETCH_REST));
        let late = self.fetches.iter_mut().filter(|fetch| now - fetch.moved >= FETCH_PAUSE);
        late.map(|fetch| {
            fetch.pauses += 1;
            fetch.moved = now;
            (fetch.from, fetch.what.digest, fetch.missing())
        })
        .collect()
    }

    /// What we hold is new: the word is said again soon, as it may get lost.
    fn say_again(&mut self, now: Time) {
        self.loud_rounds = DOCUMENT_SAID_AGAIN;
        self.next_round = self.next_round.min(now + Duration::from_secs(1));
    }

    /// Whom to tell now what we hold, and when next.
    pub(crate) fn round(&mut self, now: Time, chance: &mut Rng) -> Told {
        if now < self.next_round {
            return Told::Nobody;
        }
        let told = if self.loud_rounds > 0 { Told::All } else { Told::One };
        self.loud_rounds = self.loud_rounds.saturating_sub(1);
        self.next_round = match self.loud_rounds {
            0 => now + DOCUMENT_ROUND.mul_f64(0.75 + chance.unit() / 2.0),
            left => now + Duration::from_secs(1 << DOCUMENT_SAID_AGAIN.saturating_sub(left)),
        };
        told
    }

    /// When to look again.
    pub(crate) fn next_look(&self) -> Time {
        let pauses = self.fetches.iter().map(|fetch| fetch.moved + FETCH_PAUSE);
        pauses.fold(self.next_round, Time::min)
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
    fn new(
        from: NeighbourKey,
        (mix, is_strange): (NodeId, bool),
        what: Holding,
        part_bytes: usize,
        now: Time,
    ) -> Self {
        let length = what.length as usize;
        Self {
            from,
            mix,
            is_strange,
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

    fn is_hopeless(&self, now: Time) -> bool {
        let at_most = if self.is_strange { FETCH_ALONE } else { FETCH_TIME_MAX };
        self.pauses >= FETCH_PAUSES_MAX || now - self.begun >= at_most
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

impl HeldDocument {
    fn new(document: Arc<Document>) -> Self {
        let holding = Holding {
            serial: document.statement().serial,
            digest: *document.digest(),
            length: document.as_bytes().len() as u32,
        };
        Self { document, holding }
    }
}

#[cfg(test)]
mod tests;
