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
mod tests {
    use super::*;
    use crate::crypto::Portable;
    use crate::documents::Statement;
    use crate::documents::tests::{example, roots, signed};

    const PART: usize = 100;
    const NOW: Time = Time::from_secs(150);

    struct Neighbours(Vec<NeighbourKey>);

    impl Neighbours {
        fn new() -> Self {
            Self((1..9).map(|session| NeighbourKey::new(session, 0)).collect())
        }

        fn mix(number: usize) -> Teller {
            Teller::Mix(NodeId([number as u8; 32]))
        }

        fn offers(&self, number: usize, exchange: &mut Exchange, what: Holding, now: Time) -> Heard {
            exchange.hear(self.0[number], Self::mix(number), what, PART, now)
        }
    }

    fn newer(length: usize) -> Holding {
        Holding { serial: 9, digest: [9; 32], length: length as u32 }
    }

    fn exchange() -> Exchange {
        Exchange::new(roots(), Arc::new(example(5)), NOW)
    }

    fn holding_of(document: &Document) -> Holding {
        HeldDocument::new(Arc::new(document.clone())).holding
    }

    /// Gives all parts of these bytes, each twice and the last first; what came of it.
    fn give(
        exchange: &mut Exchange,
        from: NeighbourKey,
        what: Holding,
        asked: Vec<u32>,
        bytes: &[u8],
    ) -> Result<Turned, Refused> {
        let mut asked = asked;
        while let Some(part) = asked.pop() {
            let start = part as usize * PART;
            let piece = &bytes[start..bytes.len().min(start + PART)];
            for _ in 0..2 {
                match exchange.arrive::<Portable>(from, &what.digest, part, piece, NOW)? {
                    Fetched::Ask(more) => asked.extend(more),
                    Fetched::Complete(turned) => return Ok(turned),
                }
            }
        }
        panic!("all parts were given")
    }

    fn fetching(heard: Heard) -> Vec<u32> {
        match heard {
            Heard::Fetching(parts) => parts,
            other => panic!("a newer one is fetched, not {other:?}"),
        }
    }

    #[test]
    fn a_newer_document_is_put_together_from_parts_in_any_order_and_is_in_force() {
        let (neighbours, mut exchange, document) = (Neighbours::new(), exchange(), example(6));
        let what = holding_of(&document);
        let asked = fetching(neighbours.offers(0, &mut exchange, what, NOW));
        let turned = give(&mut exchange, neighbours.0[0], what, asked, document.as_bytes()).unwrap();
        assert!(matches!(turned, Turned::InForce(_, None)));
        assert_eq!(exchange.holdings().collect::<Vec<_>>(), [what]);
    }

    #[test]
    fn what_exits_hold_shows_a_history_of_our_own() {
        let mut exchange = exchange(); // it holds the fifth
        let exit = |serial: u64| NodeId([serial as u8; 32]);
        let mut say =
            |serial, digest, now| exchange.compare(exit(serial), DocumentName { serial, digest }, now);
        for serial in 3..=5 {
            assert_eq!(
                say(serial, *example(serial).digest(), NOW),
                None,
                "serial {serial} is of one history with ours"
            );
        }
        assert_eq!(say(0, [0; 32], NOW), None, "it has none");
        for serial in [3, 5] {
            let digest = [serial as u8; 32];
            let doubt = Doubt { exit: exit(serial), serial, digest, is_newer: false };
            assert_eq!(say(serial, digest, NOW), Some(doubt));
            assert_eq!(say(serial, digest, NOW), None, "once");
        }
        let newer = (6, *example(6).digest());
        assert_eq!(say(newer.0, newer.1, NOW), None, "neighbours may have it in a moment");
        let later = NOW + DOCUMENT_BEHIND_MAX;
        assert!(say(newer.0, newer.1, later).is_some_and(|doubt| doubt.is_newer));
        let reported = (0..100).filter(|digest| say(4, [*digest; 32], later).is_some()).count();
        assert_eq!(reported, 1, "who makes them up is reported once, and others still are");
    }

    #[test]
    fn a_newer_document_that_names_another_one_than_ours_is_reported() {
        let ours = example(5);
        let other = Statement { until: Time::from_secs(199), ..ours.statement().clone() };
        let mut exchange = Exchange::new(roots(), Arc::new(signed(&other)), NOW);
        let turned = exchange.consider(Arc::new(example(6)), NOW);
        let Turned::InForce(_, Some(before)) = turned else { panic!("{turned:?}") };
        assert_eq!(before.statement(), &other);
    }

    #[test]
    fn who_promises_a_document_and_is_slow_keeps_nobody_else_from_giving_it() {
        let (neighbours, mut exchange, document) = (Neighbours::new(), exchange(), example(6));
        let what = holding_of(&document);
        let longer = Holding { length: what.length + 1, ..what };
        fetching(neighbours.offers(0, &mut exchange, longer, NOW));
        fetching(neighbours.offers(1, &mut exchange, what, NOW));
        assert_eq!(neighbours.offers(2, &mut exchange, what, NOW), Heard::Nothing, "one gives it");
        fetching(neighbours.offers(2, &mut exchange, what, NOW + FETCH_ALONE));
    }

    #[test]
    fn who_gives_something_else_than_announced_is_not_asked_again_whatever_the_link() {
        let (neighbours, document) = (Neighbours::new(), example(5));
        // A forged one; and an old one under another serial, or under another digest.
        let ours = holding_of(&document);
        for what in [
            newer(document.as_bytes().len()),
            Holding { serial: 7, ..ours },
            Holding { digest: [1; 32], ..ours },
        ] {
            let mut exchange = exchange();
            let heard = neighbours.offers(0, &mut exchange, what, NOW);
            if heard == Heard::Nothing {
                continue;
            }
            let outcome = give(&mut exchange, neighbours.0[0], what, fetching(heard), document.as_bytes());
            assert_eq!(outcome, Err(Refused::Forged), "{what:?}");
            let again = exchange.hear(neighbours.0[1], Neighbours::mix(0), newer(500), PART, NOW);
            assert_eq!(again, Heard::Nothing, "on another link");
            fetching(neighbours.offers(2, &mut exchange, newer(500), NOW));
        }
    }

    #[test]
    fn a_document_that_our_clock_or_program_cannot_judge_is_told_and_no_forgery() {
        let (neighbours, mut exchange) = (Neighbours::new(), exchange());
        let bytes = example(6).as_bytes().to_vec();
        let what = holding_of(&example(6));
        let asked = fetching(neighbours.offers(0, &mut exchange, what, Time::from_secs(99)));
        let mut turned = None;
        for part in asked {
            let start = part as usize * PART;
            let piece = &bytes[start..bytes.len().min(start + PART)];
            // It is valid from second 100 on.
            turned = Some(exchange.arrive::<Portable>(
                neighbours.0[0],
                &what.digest,
                part,
                piece,
                Time::from_secs(99),
            ));
        }
        assert_eq!(turned, Some(Ok(Fetched::Complete(Turned::Unusable(DocumentError::NotYet)))));
    }

    #[test]
    fn what_stays_away_is_asked_for_again_and_then_given_up_for_a_while() {
        let (neighbours, mut exchange) = (Neighbours::new(), exchange());
        fetching(neighbours.offers(0, &mut exchange, newer(1000), NOW));
        assert_eq!(neighbours.offers(1, &mut exchange, newer(1000), NOW), Heard::Nothing, "one is enough");
        let mut now = NOW;
        let mut again = 0;
        while !exchange.fetches.is_empty() {
            now = now + FETCH_PAUSE;
            for (from, digest, parts) in exchange.ask_again(now) {
                assert_eq!((from, digest, parts.len()), (neighbours.0[0], [9; 32], 10));
                again += 1;
            }
        }
        assert_eq!(again, FETCH_PAUSES_MAX);
        assert_eq!(neighbours.offers(0, &mut exchange, newer(1000), now), Heard::Nothing, "it rests");
        fetching(neighbours.offers(1, &mut exchange, newer(1000), now));
        fetching(neighbours.offers(
            0,
            &mut exchange,
            Holding { digest: [8; 32], ..newer(1000) },
            now + FETCH_REST,
        ));
    }

    #[test]
    fn one_that_drips_keeps_no_other_away_and_does_not_drip_for_long() {
        let (neighbours, mut exchange) = (Neighbours::new(), exchange());
        let lie = Holding { serial: u64::MAX, digest: [7; 32], length: DOCUMENT_BYTES_MAX as u32 };
        fetching(neighbours.offers(0, &mut exchange, lie, NOW));
        fetching(neighbours.offers(1, &mut exchange, newer(1000), NOW));
        let mut now = NOW;
        for part in 0.. {
            now = now + FETCH_PAUSE;
            exchange.ask_again(now);
            if exchange.arrive::<Portable>(neighbours.0[0], &lie.digest, part, &[0; PART], now).is_err() {
                break;
            }
        }
        assert!(now - NOW <= FETCH_TIME_MAX + FETCH_PAUSE);
        assert_eq!(neighbours.offers(0, &mut exchange, lie, now), Heard::Nothing);
    }

    #[test]
    fn older_equal_and_endless_ones_and_those_of_strangers_are_not_fetched() {
        let (neighbours, mut exchange) = (Neighbours::new(), exchange());
        let ours = exchange.held.holding;
        assert_eq!(neighbours.offers(0, &mut exchange, ours, NOW), Heard::Nothing);
        assert_eq!(neighbours.offers(0, &mut exchange, Holding { serial: 4, ..ours }, NOW), Heard::Tell);
        let endless = Holding { serial: 6, digest: [1; 32], length: u32::MAX };
        assert_eq!(neighbours.offers(0, &mut exchange, endless, NOW), Heard::Nothing);
        assert_eq!(exchange.hear(neighbours.0[0], Teller::Nobody, newer(100), PART, NOW), Heard::Nothing);
        let rival = Holding { digest: [1; 32], ..ours };
        assert_eq!(exchange.hear(neighbours.0[0], Teller::Nobody, rival, PART, NOW), Heard::Tell);
        assert_eq!(exchange.hear(neighbours.0[0], stranger(7, 7), rival, PART, NOW), Heard::Nothing);
    }

    fn stranger(name: u8, block: u8) -> Teller {
        Teller::Stranger(NodeId([name; 32]), WideBlock::of([192, block, 0, 1].into()))
    }

    #[test]
    fn strangers_may_give_a_newer_document_and_hold_up_no_known_mix() {
        let (neighbours, mut exchange, document) = (Neighbours::new(), exchange(), example(6));
        let what = holding_of(&document);
        let mut says = |number: usize, now| {
            exchange.hear(neighbours.0[number], stranger(100 + number as u8, number as u8), what, PART, now)
        };
        fetching(says(0, NOW));
        assert_eq!(says(1, NOW), Heard::Nothing);
        assert_eq!(says(1, NOW + STRANGER_FETCH_EVERY / 2), Heard::Nothing, "one at once");
        for mix in 1..=3 {
            let what = if mix == 1 { what } else { newer(100 + mix) };
            fetching(neighbours.offers(mix, &mut exchange, what, NOW));
        }
        let mut exchange = self::exchange();
        let asked = fetching(exchange.hear(neighbours.0[0], stranger(100, 1), what, PART, NOW));
        let turned = give(&mut exchange, neighbours.0[0], what, asked, document.as_bytes()).unwrap();
        assert!(matches!(turned, Turned::InForce(..)));
    }

    #[test]
    fn strangers_who_give_nothing_starve_no_stranger_elsewhere_and_shield_no_known_forger() {
        let (neighbours, mut exchange, document) = (Neighbours::new(), exchange(), example(6));
        let what = holding_of(&document);
        let (mut now, mut names) = (NOW, 0_u8);
        let end = NOW + STRANGER_BLOCK_REST;
        let mut asked = false;
        while now < end && !asked {
            // Those of 20 blocks speak all the time, under new names; one elsewhere does every minute.
            for block in 0..20 {
                names = names.wrapping_add(1);
                exchange.hear(neighbours.0[1], stranger(names, block), what, PART, now);
            }
            if (now - NOW).as_secs().is_multiple_of(60) {
                let heard = exchange.hear(neighbours.0[0], stranger(99, 99), what, PART, now);
                asked = heard != Heard::Nothing;
            }
            now = now + FETCH_PAUSE;
            exchange.ask_again(now);
        }
        assert!(asked, "it had its turn");
        assert!(exchange.resting.is_empty() && exchange.strange_blocks.len() <= STRANGER_BLOCKS_MAX);
    }

    #[test]
    fn a_part_of_nothing_is_refused() {
        let (neighbours, mut exchange) = (Neighbours::new(), exchange());
        let (link, other) = (neighbours.0[0], neighbours.0[1]);
        let arrive = |exchange: &mut Exchange, link, digest: u8, part, length: usize| {
            exchange.arrive::<Portable>(link, &[digest; 32], part, &vec![0; length], NOW).is_ok()
        };
        assert!(!arrive(&mut exchange, link, 9, 0, PART));
        fetching(neighbours.offers(0, &mut exchange, newer(150), NOW));
        assert!(!arrive(&mut exchange, other, 9, 0, PART), "of another neighbour");
        assert!(!arrive(&mut exchange, link, 8, 0, PART), "of another document");
        assert!(!arrive(&mut exchange, link, 9, 2, PART), "behind the end");
        assert!(!arrive(&mut exchange, link, 9, 0, PART - 1), "too short");
        assert!(arrive(&mut exchange, link, 9, 0, PART));
    }
}
