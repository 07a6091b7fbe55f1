//! All neighbours of a node, found by session, by identity, by offer.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use super::keys::Renewal;
use super::neighbour::{Neighbour, Stage, Who};
use super::sessions::Sessions;
use crate::crypto::Suite;
use crate::id::NeighbourKey;
use crate::id::NodeId;
use crate::limits::LINKS_UNCONFIRMED_MAX;
use crate::rng::Rng;
use crate::time::Time;

/// All neighbours of a node, and their links.
pub(crate) struct Links<S: Suite> {
    links: Sessions<Neighbour<S>>,
    /// Mixes that we called, or that said who they are.
    peers: BTreeMap<NodeId, NeighbourKey>,
    /// None before the first handshake was answered: clients answer none.
    answered: Option<Box<AnsweredOffers>>,
}

/// Handshakes that were answered and not confirmed, by the hash of their offer, and in their order.
#[derive(Default)]
struct AnsweredOffers {
    offers: BTreeMap<[u8; 32], NeighbourKey>,
    unconfirmed: VecDeque<NeighbourKey>,
}

impl<S: Suite> Links<S> {
    pub(crate) fn new() -> Self {
        Self { links: Sessions::new(), peers: BTreeMap::new(), answered: None }
    }

    /// A session identifier that no link has, for the next link that comes in.
    pub(crate) fn fresh_session(&mut self, rng: &mut Rng) -> u32 {
        self.links.fresh(rng)
    }

    /// Takes a link in under its [fresh](Self::fresh_session) session. Ask [`overfull`](Self::overfull) before one is answered.
    pub(crate) fn insert(&mut self, session: u32, link: Neighbour<S>) -> NeighbourKey {
        let peer = link.peer();
        let offer = match &link.stage {
            Stage::Answered(unconfirmed) => Some(unconfirmed.offer),
            Stage::Opening(_) | Stage::Up => None,
        };
        let key = self.links.insert(session, link);
        if let Some(peer) = peer {
            self.peers.insert(peer, key);
        }
        if let Some(offer) = offer {
            let answered = self.answered.get_or_insert_default();
            answered.offers.insert(offer, key);
            answered.unconfirmed.push_back(key);
        }
        key
    }

    /// Which link must go before another offer is answered: the oldest of those that are not confirmed, if there are too many.
    pub(crate) fn overfull(&mut self) -> Option<NeighbourKey> {
        let answered = self.answered.as_mut()?;
        while let Some(&oldest) = answered.unconfirmed.front() {
            if self.links.get(oldest).is_some_and(|link| link.is_unconfirmed()) {
                return (answered.offers.len() >= LINKS_UNCONFIRMED_MAX).then_some(oldest);
            }
            answered.unconfirmed.pop_front();
        }
        None
    }

    pub(crate) fn remove(&mut self, key: NeighbourKey) -> Option<Neighbour<S>> {
        let link = self.links.get(key)?;
        link.keys.numbers().into_iter().flatten().for_each(|number| self.links.forget(number));
        let link = self.links.remove(key)?;
        if let Some(peer) = link.peer().filter(|peer| self.peers.get(peer) == Some(&key)) {
            self.peers.remove(&peer);
        }
        if let Stage::Answered(unconfirmed) = &link.stage
            && let Some(answered) = &mut self.answered
        {
            answered.offers.remove(&unconfirmed.offer);
        }
        Some(link)
    }

    /// Two neighbours turned out to be one: takes the first out, and lets its session and its handle stand for the other.
    pub(crate) fn merge(&mut self, from: NeighbourKey, into: NeighbourKey) -> Option<Neighbour<S>> {
        let link = self.links.get(from)?;
        let has_first_keys = link.keys.current.as_ref().is_some_and(|session| session.ours == from.session());
        if !has_first_keys {
            let mut link = self.remove(from)?;
            link.keys.current = None; // nothing would find them any more
            return Some(link);
        }
        link.keys.renewal_number().into_iter().for_each(|number| self.links.forget(number));
        let link = self.links.merge(from, into)?;
        if let Some(peer) = link.peer() {
            self.peers.insert(peer, into);
        }
        Some(link)
    }

    /// Sets the keys that a neighbour has beside those in use.
    pub(crate) fn set_renewal(&mut self, key: NeighbourKey, renewal: Option<Renewal<S>>) {
        let Some(link) = self.links.get_mut(key) else { return };
        let before = link.keys.renewal_number();
        let fresh = renewal.as_ref().filter(|renewal| !matches!(renewal, Renewal::Changed { .. }));
        let fresh = fresh.map(Renewal::number);
        link.keys.renewal = renewal.map(Box::new);
        before.into_iter().for_each(|number| self.links.forget(number));
        fresh.into_iter().for_each(|number| self.links.add(number, key));
    }

    /// Notes that the neighbour showed that it has our answer.
    pub(crate) fn confirm(&mut self, key: NeighbourKey) {
        let Some(link) = self.links.get_mut(key) else { return };
        if let Stage::Answered(unconfirmed) = core::mem::replace(&mut link.stage, Stage::Up)
            && let Some(answered) = &mut self.answered
        {
            answered.offers.remove(&unconfirmed.offer);
        }
    }

    /// Notes which mix the neighbour proved to be.
    pub(crate) fn identified(&mut self, key: NeighbourKey, peer: NodeId) {
        if let Some(link) = self.links.get_mut(key) {
            link.who = Who::Mix(peer);
            self.peers.insert(peer, key);
        }
    }

    pub(crate) fn get(&self, key: NeighbourKey) -> Option<&Neighbour<S>> {
        self.links.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: NeighbourKey) -> Option<&mut Neighbour<S>> {
        self.links.get_mut(key)
    }

    /// Of two links to a mix one went: the other one is that to it, if there is one.
    pub(crate) fn find_again(&mut self, peer: NodeId) {
        if let Some((other, _)) = self.links.iter().find(|(_, link)| link.peer() == Some(peer)) {
            self.peers.entry(peer).or_insert(other);
        }
    }

    /// A neighbour, and its own handle, by that or by one that it had as well.
    pub(crate) fn find(&mut self, key: NeighbourKey) -> Option<(NeighbourKey, &mut Neighbour<S>)> {
        self.links.find(key)
    }

    pub(crate) fn by_session(&mut self, session: u32) -> Option<(NeighbourKey, &mut Neighbour<S>)> {
        self.links.by_session(session)
    }

    pub(crate) fn by_offer(&self, hash: &[u8; 32]) -> Option<NeighbourKey> {
        self.answered.as_ref()?.offers.get(hash).copied()
    }

    /// The neighbour that is this mix.
    pub(crate) fn to_peer(&self, peer: NodeId) -> Option<NeighbourKey> {
        self.peers.get(&peer).copied()
    }

    /// Links that are up, and whose neighbour has shown that it knows.
    fn up(&self) -> impl Iterator<Item = (NeighbourKey, &Neighbour<S>)> {
        self.links.iter().filter(|(_, link)| link.is_up() && !link.is_unconfirmed())
    }

    /// At most `count` of the links that are up, drawn at random.
    pub(crate) fn sample(&self, count: usize, rng: &mut Rng) -> Vec<NeighbourKey> {
        let mut keys: Vec<NeighbourKey> = self.up().map(|(key, _)| key).collect();
        rng.shuffle(&mut keys);
        keys.truncate(count);
        keys
    }

    /// Clients with circuits here that were heard within the span before `now`.
    pub(crate) fn users_since(&self, now: Time, span: core::time::Duration) -> usize {
        let users = self.links.iter().filter(|(_, link)| link.who == Who::Client);
        users.filter(|(_, link)| !link.circuits.is_empty() && now - link.last_heard() < span).count()
    }

    /// A link that is up and `fits`, drawn at random.
    pub(crate) fn any_up(&self, rng: &mut Rng, fits: impl Fn(&Neighbour<S>) -> bool) -> Option<NeighbourKey> {
        let keys: Vec<NeighbourKey> = self.up().filter(|(_, link)| fits(link)).map(|(key, _)| key).collect();
        if keys.is_empty() { None } else { Some(keys[rng.below(keys.len())]) }
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (NeighbourKey, &Neighbour<S>)> {
        self.links.iter()
    }

    /// All of them, to be changed.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (NeighbourKey, &mut Neighbour<S>)> {
        self.links.iter_mut()
    }

    /// Says which of the ways to find a neighbour lead nowhere.
    pub(crate) fn audit(&self, problems: &mut Vec<String>) {
        for (peer, key) in &self.peers {
            if self.links.get(*key).is_none_or(|link| link.peer() != Some(*peer)) {
                problems.push("a mix's neighbour is gone, or another".into());
            }
        }
        for (hash, key) in self.answered.iter().flat_map(|answered| &answered.offers) {
            let is_of = |link: &Neighbour<S>| match &link.stage {
                Stage::Answered(unconfirmed) => unconfirmed.offer == *hash,
                Stage::Opening(_) | Stage::Up => false,
            };
            if !self.links.get(*key).is_some_and(is_of) {
                problems.push("an answered offer's neighbour is gone, or confirmed".into());
            }
        }
        for (session, key) in self.links.others() {
            let has = |link: &Neighbour<S>| link.keys.numbers().contains(&Some(session));
            if !self.links.get(key).is_some_and(has) {
                problems.push("a session whose neighbour does not have it".into());
            }
        }
        for (key, link) in self.links.iter() {
            let is_found = |number: u32| {
                number == key.session() || self.links.others().any(|other| other == (number, key))
            };
            if !link.keys.numbers().into_iter().flatten().all(is_found) {
                problems.push("keys whose session is not to be found".into());
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.links.len()
    }
}
