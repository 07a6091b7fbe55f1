//! What others may fill at a mix, and for whom each of it counts.
//!
//! A link counts from the moment on when its address is proved; before that, only the work for its handshake does.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::Neighbours;
use super::neighbour::Who;
use crate::admission::{Among, FairQueue, Party, Permits, Shares};
use crate::cover::Rate;
use crate::crypto::{OFFER_BYTES, Suite};
use crate::id::{End, NeighbourKey, RelayKey};
use crate::limits::{CIRCUITS_PER_BLOCK_MAX, HANDSHAKES_PER_SECOND_MAX, HANDSHAKES_WAITING_MAX, LINKS_MAX};
use crate::membership::View;
use crate::node::context::Cx;
use crate::refused::Refused;
use crate::rng::Rng;
use crate::time::Time;
use crate::wire::control::{Control, Ended};

/// What others hold here, and what is done for them.
pub(super) struct Admittance {
    links: Shares<NeighbourKey>,
    circuits: Shares<NeighbourKey>,
    /// Links of clients that are covered. Each counts for the rate that the design gives it, also if it asks for less: who wants
    /// little must not take much from others.
    cover: Shares<NeighbourKey>,
    pub(super) handshakes: Permits,
    owed: FairQueue<Owed, Box<[u8; OFFER_BYTES]>>,
}

/// A handshake that somebody may have us do: which one. One is done each time that the host wakes us, and cells pass the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::node) enum Owed {
    /// For a link, to whom is there; known by the hash of that and the offer.
    Link { from: SocketAddr, initiator: u32, known_by: [u8; 32] },
    /// For other keys of a link, which the neighbour calls so.
    Renewal { link: NeighbourKey, theirs: u32 },
    /// For a circuit that the neighbour calls so.
    Circuit { link: NeighbourKey, name: u32 },
}

impl Admittance {
    pub(super) fn new(chance: &mut Rng, now: Time) -> Self {
        Self {
            links: Shares::new(chance.fork()),
            circuits: Shares::new(chance.fork()),
            cover: Shares::new(chance.fork()),
            handshakes: Permits::new(HANDSHAKES_PER_SECOND_MAX, now),
            owed: FairQueue::new(HANDSHAKES_WAITING_MAX),
        }
    }

    fn assign(&mut self, link: NeighbourKey, party: Party) {
        self.links.assign(link, party);
        self.circuits.assign(link, party);
        self.cover.assign(link, party);
    }

    pub(super) fn is_known_mix(&self, link: NeighbourKey) -> bool {
        self.links.party(link).is_some_and(Party::is_mix)
    }

    pub(super) fn circuit_came(&mut self, link: NeighbourKey) {
        if let Some(party) = self.links.party(link) {
            self.circuits.add(link, party);
        }
    }

    pub(super) fn circuit_went(&mut self, link: NeighbourKey) {
        self.circuits.remove(link);
    }

    pub(super) fn link_went(&mut self, link: NeighbourKey) {
        self.links.forget(link);
        self.circuits.forget(link);
        self.cover.forget(link);
    }

    /// A neighbour has no slots any more that it asked for.
    pub(super) fn cover_went(&mut self, link: NeighbourKey) {
        self.cover.forget(link);
    }

    /// Nobody has slots any more.
    pub(super) fn all_cover_went(&mut self) {
        self.cover.clear();
    }
}

impl<S: Suite> Neighbours<S> {
    /// A link is there, and its address is proved (or ours to choose): it counts for a party from now on. If there is no room,
    /// whoever has most gives one up. Whether it may stay.
    pub(super) fn admit(&mut self, key: NeighbourKey, party: Party, cx: &mut Cx<'_>) -> bool {
        let Some(admittance) = &mut self.admittance else { return self.links.len() <= LINKS_MAX };
        if admittance.links.all() >= LINKS_MAX {
            match admittance.links.makes_room_for(None, party, Among::All) {
                Some(greediest) => self.drop_link(greediest, Ended::Busy, cx),
                None => return false,
            }
        }
        if let Some(admittance) = &mut self.admittance {
            admittance.links.add(key, party);
        }
        true
    }

    /// A neighbour that proved to be a mix counts as one while we know it, and is at the addresses that it signed last.
    pub(in crate::node) fn know(&mut self, key: NeighbourKey, view: &View) {
        let Some((key, link)) = self.links.find(key) else { return };
        let Who::Mix(peer) = link.who else { return };
        let record = view.get(peer);
        let party = record.map_or_else(|| Party::at(link.paths.chosen().ip()), |_| Party::mix(peer));
        if let Some(record) = record {
            link.paths.record = Some(Arc::clone(record));
        }
        if let Some(admittance) = &mut self.admittance {
            admittance.assign(key, party);
        }
    }

    /// A stranger was proved to be elsewhere, and counts there.
    pub(super) fn moved(&mut self, key: NeighbourKey) {
        let Some((key, link)) = self.links.find(key) else { return };
        let party = Party::at(link.paths.chosen().ip());
        if let Some(admittance) = &mut self.admittance
            && admittance.links.party(key).is_some_and(|before| !before.is_mix())
        {
            admittance.assign(key, party);
        }
    }

    /// Counts again what runs on a link that took over another one's circuits.
    pub(super) fn recount(&mut self, key: NeighbourKey) {
        let (Some(link), Some(admittance)) = (self.links.get(key), &mut self.admittance) else { return };
        let count = link.circuits.ends().filter(|end| matches!(end, End::Previous(_))).count();
        if let Some(party) = admittance.links.party(key) {
            admittance.circuits.set(key, party, count);
        }
    }

    /// For whom a neighbour counts.
    pub(in crate::node) fn party(&self, key: NeighbourKey) -> Option<Party> {
        self.admittance.as_ref()?.links.party(key)
    }

    /// Whether a neighbour may have us do a handshake now, or check a signature.
    pub(super) fn is_permitted(&mut self, key: NeighbourKey, cx: &mut Cx<'_>) -> bool {
        let Some(admittance) = &mut self.admittance else { return true };
        let Some(party) = admittance.links.party(key) else { return false };
        admittance.handshakes.take(party, &mut cx.chance.keys, cx.now)
    }

    /// Lets a handshake wait for a party's turn. If too many wait, one is not done; who asked for a circuit is told.
    pub(super) fn owe(&mut self, party: Party, owed: Owed, offer: Box<[u8; OFFER_BYTES]>, cx: &mut Cx<'_>) {
        let Some(admittance) = &mut self.admittance else { return };
        let Some((dropped, _)) = admittance.owed.push(party, owed, offer) else { return };
        cx.counts.refuse(Refused::TooMany);
        if let Owed::Circuit { link, name } = dropped {
            cx.say(link, &Control::Destroy { circuit: name, why: Ended::Busy });
        }
    }

    /// The same, for a neighbour's party.
    pub(in crate::node) fn owe_neighbour(
        &mut self,
        key: NeighbourKey,
        owed: Owed,
        offer: &[u8; OFFER_BYTES],
        cx: &mut Cx<'_>,
    ) -> Result<(), Refused> {
        let party = self.party(key).ok_or(Refused::UnknownSession)?;
        self.owe(party, owed, Box::new(*offer), cx);
        Ok(())
    }

    /// Whether a handshake waits, asked for with this offer. It cannot be asked for with two.
    pub(in crate::node) fn is_owed(&self, owed: &Owed, offer: &[u8; OFFER_BYTES]) -> Result<bool, Refused> {
        match self.admittance.as_ref().and_then(|admittance| admittance.owed.get(owed)) {
            Some(waiting) if **waiting == *offer => Ok(true),
            Some(_) => Err(Refused::OutOfPlace),
            None => Ok(false),
        }
    }

    /// A handshake is not wanted any more. Whether it waited.
    pub(super) fn not_owed(&mut self, owed: &Owed) -> bool {
        self.admittance.as_mut().is_some_and(|admittance| admittance.owed.remove(owed))
    }

    /// No handshake is wanted any more.
    pub(in crate::node) fn owe_nobody(&mut self) {
        self.admittance.iter_mut().for_each(|admittance| admittance.owed.clear());
    }

    /// The handshake whose turn it is. Its link may have become another one's meanwhile.
    pub(in crate::node) fn next_owed(&mut self) -> Option<(Owed, Box<[u8; OFFER_BYTES]>)> {
        let (owed, offer) = self.admittance.as_mut()?.owed.pop()?;
        let mut now_called = |link| self.links.find(link).map_or(link, |(key, _)| key);
        let owed = match owed {
            Owed::Circuit { link, name } => Owed::Circuit { link: now_called(link), name },
            Owed::Renewal { .. } | Owed::Link { .. } => owed,
        };
        Some((owed, offer))
    }

    /// Whether a handshake waits.
    pub(in crate::node) fn owes(&self) -> bool {
        self.admittance.as_ref().is_some_and(|admittance| !admittance.owed.is_empty())
    }

    /// A client's link is to be covered at this rate: so many are as we may spend that on, and whoever has most makes room. One that
    /// is to be covered and cannot be is better off elsewhere: whether it may stay.
    pub(super) fn admit_cover(&mut self, key: NeighbourKey, rate: Rate, cx: &mut Cx<'_>) -> bool {
        let most = (cx.me.cover_for_others / rate.as_bps()) as usize;
        let Some(admittance) = &mut self.admittance else { return true };
        let Some(party) = admittance.links.party(key) else { return false };
        if admittance.cover.of(key) > 0 {
            return true;
        }
        if admittance.cover.all() >= most {
            match admittance.cover.makes_room_for(None, party, Among::All) {
                Some(greediest) => self.drop_link(greediest, Ended::Busy, cx),
                None => return false,
            }
        }
        self.admittance.iter_mut().for_each(|admittance| admittance.cover.set(key, party, 1));
        true
    }

    /// Whether the narrow block of addresses that a neighbour is in has as many circuits as one may have.
    pub(in crate::node) fn has_its_circuits(&self, key: NeighbourKey) -> bool {
        let Some(admittance) = &self.admittance else { return false };
        let party = admittance.links.party(key).filter(|party| !party.is_mix());
        party.is_some_and(|party| admittance.circuits.of_narrow_block(party) >= CIRCUITS_PER_BLOCK_MAX)
    }

    /// The circuit that makes room for another one from a neighbour: one of whoever has most among these. None if nobody has more
    /// than that neighbour would have.
    pub(in crate::node) fn circuit_that_makes_room(
        &self,
        key: NeighbourKey,
        among: Among,
    ) -> Option<RelayKey> {
        let admittance = self.admittance.as_ref()?;
        let greediest = admittance.circuits.makes_room_for(Some(key), admittance.links.party(key)?, among)?;
        match self.links.get(greediest)?.circuits.any_from_there()? {
            End::Previous(relay) => Some(relay),
            End::Next(_) | End::Origin(_) => None,
        }
    }

    /// Says what is counted wrong.
    pub(super) fn audit_admittance(&self, problems: &mut Vec<String>) {
        let Some(admittance) = &self.admittance else { return };
        let mut check = |holds: bool, what: &str| {
            if !holds {
                problems.push(what.into());
            }
        };
        check(admittance.links.all() <= LINKS_MAX, "more links than there may be");
        for (key, link) in self.links.iter() {
            check(
                admittance.links.of(key) == usize::from(!link.is_unconfirmed()),
                "a link that is not counted once",
            );
            let circuits = link.circuits.ends().filter(|end| matches!(end, End::Previous(_))).count();
            check(admittance.circuits.of(key) == circuits, "circuits of a neighbour that are not counted");
            let is_covered = link.slots.is_some() || link.guard.is_some();
            let is_counted = admittance.cover.of(key) == 1;
            check(
                is_counted || !is_covered || link.who != Who::Client,
                "a client's cover that is not counted",
            );
            check(!is_counted || is_covered, "cover is counted that is gone");
        }
        let gone = |(key, _): (NeighbourKey, usize)| self.links.get(key).is_none();
        check(!admittance.links.leaves().any(gone), "a link is counted that is gone");
        check(!admittance.circuits.leaves().any(gone), "circuits are counted of a link that is gone");
    }
}
