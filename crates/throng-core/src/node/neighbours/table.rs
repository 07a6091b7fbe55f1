//! All links of a node, found by session, by peer, by offer.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::link::{Link, Side};
use super::sessions::Sessions;
use crate::crypto::Suite;
use crate::id::NeighbourKey;
use crate::id::NodeId;
use crate::limits::{LINKS_MAX, LINKS_UNCONFIRMED_MAX};
use crate::rng::Rng;
use crate::time::Time;

/// All links of a node.
pub(crate) struct Links<S: Suite> {
    links: Sessions<Link<S>>,
    /// The link on which the next circuit to a peer goes.
    peers: BTreeMap<NodeId, NeighbourKey>,
    /// None before the first handshake was answered: clients answer none.
    answered: Option<Box<Answered>>,
}

/// Handshakes that were answered and not confirmed, by the first code of their offer, and in their order.
#[derive(Default)]
struct Answered {
    offers: BTreeMap<[u8; 16], NeighbourKey>,
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

    /// Takes a link in under its [fresh](Self::fresh_session) session. Ask [`overfull`](Self::overfull) before.
    pub(crate) fn insert(&mut self, session: u32, link: Link<S>) -> NeighbourKey {
        let peer = link.peer;
        let offer = match &link.side {
            Side::Responder { unconfirmed: Some(unconfirmed) } => Some(unconfirmed.offer),
            _ => None,
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

    /// Which link must go before another one comes in, if the table is full: the oldest unconfirmed one, else
    /// the idlest without circuits, else (nothing may go) none.
    pub(crate) fn overfull(&mut self) -> Option<NeighbourKey> {
        let links = self.links.len();
        while let Some(unconfirmed) = self.answered.as_mut().map(|answered| &mut answered.unconfirmed)
            && let Some(&oldest) = unconfirmed.front()
        {
            let still = self.links.get(oldest).is_some_and(|link| link.is_unconfirmed());
            if still && (links >= LINKS_MAX || unconfirmed.len() >= LINKS_UNCONFIRMED_MAX) {
                return Some(oldest);
            }
            if still {
                break;
            }
            unconfirmed.pop_front();
        }
        if self.links.len() < LINKS_MAX {
            return None;
        }
        let idle = self.links.iter().filter(|(_, link)| link.circuits.is_empty() && link.waiting.is_empty());
        idle.min_by_key(|(_, link)| link.last_heard()).map(|(key, _)| key)
    }

    /// The link with the most circuits, and how many.
    pub(crate) fn greediest(&self) -> Option<(NeighbourKey, usize)> {
        let counts = self.links.iter().map(|(key, link)| (key, link.circuits.len()));
        counts.max_by_key(|(_, count)| *count)
    }

    /// Whether one more link fits.
    pub(crate) fn has_room(&self) -> bool {
        self.links.len() < LINKS_MAX
    }

    pub(crate) fn remove(&mut self, key: NeighbourKey) -> Option<Link<S>> {
        let link = self.links.remove(key)?;
        if let Some(peer) = link.peer.filter(|peer| self.peers.get(peer) == Some(&key)) {
            self.peers.remove(&peer);
        }
        if let Side::Responder { unconfirmed: Some(unconfirmed) } = &link.side
            && let Some(answered) = &mut self.answered
        {
            answered.offers.remove(&unconfirmed.offer);
        }
        Some(link)
    }

    /// Notes that the neighbour showed that it has our answer.
    pub(crate) fn confirm(&mut self, key: NeighbourKey) {
        if let Some(Side::Responder { unconfirmed }) = self.links.get_mut(key).map(|link| &mut link.side)
            && let Some(unconfirmed) = unconfirmed.take()
            && let Some(answered) = &mut self.answered
        {
            answered.offers.remove(&unconfirmed.offer);
        }
    }

    /// Notes who the neighbour proved to be.
    pub(crate) fn identified(&mut self, key: NeighbourKey, peer: NodeId) {
        if let Some(link) = self.links.get_mut(key) {
            link.peer = Some(peer);
            // The newest link to it: it opens one when it has lost the others.
            self.peers.insert(peer, key);
        }
    }

    pub(crate) fn get(&self, key: NeighbourKey) -> Option<&Link<S>> {
        self.links.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: NeighbourKey) -> Option<&mut Link<S>> {
        self.links.get_mut(key)
    }

    pub(crate) fn by_session(&mut self, session: u32) -> Option<(NeighbourKey, &mut Link<S>)> {
        self.links.by_session(session)
    }

    pub(crate) fn by_offer(&self, code: &[u8; 16]) -> Option<NeighbourKey> {
        self.answered.as_ref()?.offers.get(code).copied()
    }

    /// The link to `peer` on which a new circuit may go.
    pub(crate) fn to_peer(&self, peer: NodeId, now: Time) -> Option<NeighbourKey> {
        let key = *self.peers.get(&peer)?;
        self.links.get(key)?.takes_circuits(now).then_some(key)
    }

    /// Links that are up, and whose neighbour has shown that it knows.
    fn up(&self) -> impl Iterator<Item = (NeighbourKey, &Link<S>)> {
        self.links.iter().filter(|(_, link)| link.is_up() && !link.is_unconfirmed())
    }

    /// At most `count` of the links that are up, drawn at random.
    pub(crate) fn sample(&self, count: usize, rng: &mut Rng) -> Vec<NeighbourKey> {
        let mut keys: Vec<NeighbourKey> = self.up().map(|(key, _)| key).collect();
        rng.shuffle(&mut keys);
        keys.truncate(count);
        keys
    }

    /// Neighbours that opened a link and circuits on it, are no mixes as far as we know, and were heard within the span
    /// before `now`.
    pub(crate) fn users_since(&self, now: Time, span: core::time::Duration) -> usize {
        let users = self.links.iter().filter(|(_, link)| link.is_responder() && link.peer.is_none());
        users.filter(|(_, link)| !link.circuits.is_empty() && now - link.last_heard() < span).count()
    }

    /// A link that is up, to this address.
    pub(crate) fn up_at(&self, address: SocketAddr) -> Option<NeighbourKey> {
        self.links.iter().find(|(_, link)| link.is_up() && link.address == address).map(|(key, _)| key)
    }

    /// A link that is up and `fits`, drawn at random.
    pub(crate) fn any_up(&self, rng: &mut Rng, fits: impl Fn(&Link<S>) -> bool) -> Option<NeighbourKey> {
        let keys: Vec<NeighbourKey> = self.up().filter(|(_, link)| fits(link)).map(|(key, _)| key).collect();
        if keys.is_empty() { None } else { Some(keys[rng.below(keys.len())]) }
    }

    /// All links, the oldest first.
    pub(crate) fn oldest_first(&self) -> Vec<NeighbourKey> {
        let mut links: Vec<(Time, NeighbourKey)> =
            self.links.iter().map(|(key, link)| (link.opened, key)).collect();
        links.sort_unstable();
        links.into_iter().map(|(_, key)| key).collect()
    }

    /// All links.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (NeighbourKey, &Link<S>)> {
        self.links.iter()
    }

    /// Says which of the ways to find a link lead nowhere.
    pub(crate) fn audit(&self, problems: &mut Vec<String>) {
        for (peer, key) in &self.peers {
            if self.links.get(*key).is_none_or(|link| link.peer != Some(*peer)) {
                problems.push("a peer's link is gone, or another's".into());
            }
        }
        for (code, key) in self.answered.iter().flat_map(|answered| &answered.offers) {
            let is_of = |link: &Link<S>| match &link.side {
                Side::Responder { unconfirmed: Some(unconfirmed) } => unconfirmed.offer == *code,
                _ => false,
            };
            if !self.links.get(*key).is_some_and(is_of) {
                problems.push("an answered offer's link is gone, or confirmed".into());
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.links.len()
    }
}

impl<S: Suite> Link<S> {
    pub(crate) fn is_unconfirmed(&self) -> bool {
        matches!(self.side, Side::Responder { unconfirmed: Some(_) })
    }
}
