//! What comes out of a step.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::ops::Range;
use core::time::Duration;

use crate::departure::Outgoing;
use crate::documents::Document;
use crate::documents::DocumentError;
use crate::effect::Effect;
use crate::id::CircuitId;
use crate::id::NodeId;
use crate::limits::SPARE_BODIES_MAX;
use crate::route::NoRoute;
use crate::time::Time;
use crate::wire::Geometry;
use crate::wire::cell::CELL_HEADER_BYTES;
use crate::wire::control::Ended;
use crate::wire::datagram::{LINK_HEADER_BYTES, LINK_TAG_BYTES};

/// Collects what steps cause. Its memory is kept over [`clear`](Self::clear), so that a cell costs no allocation.
///
/// Datagrams to one destination that leave at one moment lie behind each other: a driver hands them to the kernel in one
/// call.
pub struct Outbox {
    geometry: Geometry,
    lanes: Vec<Filled>,
    used: usize,
    last: usize,
    /// All but the newest: a step that sends to one destination only needs none.
    by_destination: BTreeMap<(SocketAddr, Time), usize>,
    deliveries: Vec<(CircuitId, Range<usize>)>,
    payloads: Vec<u8>,
    /// What rooms want to send, in order; empty between two steps.
    pub(crate) outgoing: VecDeque<Outgoing>,
    /// What rooms want each other to know; empty between two steps.
    pub(crate) effects: VecDeque<Effect>,
    /// Bodies of cells whose memory is kept.
    spare: Vec<Box<[u8]>>,
    /// What happened, in order.
    pub events: Vec<Event>,
}

struct Filled {
    to: SocketAddr,
    at: Time,
    datagrams: Vec<u8>,
}

impl Filled {
    fn lane(&self) -> Lane<'_> {
        Lane { to: self.to, at: self.at, datagrams: &self.datagrams }
    }
}

/// Datagrams that leave together.
#[derive(Clone, Copy, Debug)]
pub struct Lane<'o> {
    /// Their destination.
    pub to: SocketAddr,
    /// Their slot, which is when they leave; [`Time::ZERO`]: at once.
    pub at: Time,
    /// A whole number of datagrams, one behind the other.
    pub datagrams: &'o [u8],
}

/// Something that the owner of a node wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A circuit of our own is complete.
    CircuitReady {
        /// Which.
        circuit: CircuitId,
        /// Its hops, first to last.
        path: Vec<NodeId>,
        /// How long it took, handshakes with neighbours included.
        took: Duration,
    },
    /// A circuit that was ready, or that carried payloads to us, is no more.
    CircuitEnded {
        /// Which.
        circuit: CircuitId,
        /// Why.
        why: Ended,
    },
    /// A circuit of our own could not be completed.
    CircuitNotBuilt {
        /// How many hops it had.
        hops: usize,
        /// Why.
        why: Ended,
    },
    /// So few circuits held that went past this first hop that another one takes its place: it may let down all but those
    /// which it sees at both ends.
    FirstHopMistrusted(NodeId),
    /// No path could be chosen.
    NoRoute(NoRoute),
    /// A newer network document is in force: to keep for the next start.
    Document(Arc<Document>),
    /// Operators signed this one too, with the serial of the one in force: neither is used.
    Conflict(Arc<Document>),
    /// The one in force from now on does not name the one before it as ours: one of the two is of another history.
    OtherHistory {
        /// The one that was in force.
        before: Arc<Document>,
    },
    /// An exit says, over a circuit, that it holds a document that contradicts ours, or a newer one that no neighbour gives us.
    DocumentDoubted(Doubt),
    /// A neighbour has another document that we cannot use: our clock is wrong, our program old, or it has expired.
    DocumentRefused(DocumentError),
    /// A circuit of ours may be dead: what waits there for a first answer had better go elsewhere. What runs there may go on.
    CircuitDoubted {
        /// Which.
        circuit: CircuitId,
    },
    /// A stream may use this circuit.
    Attached {
        /// As in the command.
        stream: u64,
        /// Which.
        circuit: CircuitId,
    },
    /// A stream got no circuit.
    NotAttached {
        /// As in the command.
        stream: u64,
        /// Why.
        why: NotAttached,
    },
}

/// What an exit says of network documents, which does not fit to what neighbours told us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Who says so.
    pub exit: NodeId,
    /// The serial of its document.
    pub serial: u64,
    /// The hash of what was signed there.
    pub digest: [u8; 32],
    /// Whether it is newer than ours, and has been for long; else it contradicts ours.
    pub is_newer: bool,
}

/// Why a stream got no circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAttached {
    /// No path could be chosen.
    NoRoute(NoRoute),
    /// None was ready in time.
    TimedOut,
    /// Too many streams wait.
    TooMany,
}

impl Outbox {
    /// An empty outbox for datagrams of a network.
    pub fn new(geometry: Geometry) -> Self {
        Self {
            geometry,
            lanes: Vec::new(),
            used: 0,
            last: 0,
            by_destination: BTreeMap::new(),
            deliveries: Vec::new(),
            payloads: Vec::new(),
            outgoing: VecDeque::new(),
            effects: VecDeque::new(),
            spare: Vec::new(),
            events: Vec::new(),
        }
    }

    /// What leaves, by destination and moment.
    pub fn lanes(&self) -> impl Iterator<Item = Lane<'_>> {
        self.lanes[..self.used].iter().map(Filled::lane)
    }

    /// Payloads that arrived through circuits.
    pub fn deliveries(&self) -> impl Iterator<Item = (CircuitId, &[u8])> {
        self.deliveries.iter().map(|(circuit, range)| (*circuit, &self.payloads[range.clone()]))
    }

    /// All payloads of [`deliveries`](Self::deliveries) in a row; `None` if nothing was delivered.
    pub fn payloads(&self) -> Option<&[u8]> {
        (!self.deliveries.is_empty()).then_some(self.payloads.as_slice())
    }

    /// Where in [`payloads`](Self::payloads) each of them lies.
    pub fn delivery_ranges(&self) -> impl Iterator<Item = (CircuitId, Range<usize>)> {
        self.deliveries.iter().cloned()
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        for lane in &mut self.lanes[..self.used] {
            lane.datagrams.clear();
        }
        self.used = 0;
        self.last = 0;
        if !self.by_destination.is_empty() {
            self.by_destination.clear(); // not for nothing: every step comes by here
        }
        self.deliveries.clear();
        self.payloads.clear();
        self.events.clear();
    }

    /// Room for one more datagram to `to` that leaves `at` its slot ([`Time::ZERO`]: at once), full of zeros.
    pub(crate) fn datagram(&mut self, to: SocketAddr, at: Time) -> &mut [u8] {
        let lane = self.lane(to, at);
        let datagrams = &mut self.lanes[lane].datagrams;
        let start = datagrams.len();
        datagrams.resize(start + self.geometry.datagram(), 0);
        &mut datagrams[start..]
    }

    /// One more datagram to `to` that leaves `at` its slot, with room for everything of it but `body`.
    pub(crate) fn datagram_around(&mut self, body: &[u8], to: SocketAddr, at: Time) -> &mut [u8] {
        let lane = self.lane(to, at);
        let datagrams = &mut self.lanes[lane].datagrams;
        let start = datagrams.len();
        // Written once, not filled with zeros before: this is what most datagrams cost.
        datagrams.reserve(self.geometry.datagram());
        datagrams.extend_from_slice(&[0; LINK_HEADER_BYTES + CELL_HEADER_BYTES]);
        datagrams.extend_from_slice(body);
        datagrams.extend_from_slice(&[0; LINK_TAG_BYTES]);
        &mut datagrams[start..]
    }

    /// Room for the body of a cell, whatever is in it.
    pub(crate) fn body(&mut self) -> Box<[u8]> {
        self.spare.pop().unwrap_or_else(|| alloc::vec![0; self.geometry.body()].into_boxed_slice())
    }

    /// Keeps the memory of a body for the next one.
    pub(crate) fn reuse(&mut self, body: Box<[u8]>) {
        if self.spare.len() < SPARE_BODIES_MAX {
            self.spare.push(body);
        }
    }

    pub(crate) fn deliver(&mut self, circuit: CircuitId, payload: &[u8]) {
        let start = self.payloads.len();
        self.payloads.extend_from_slice(payload);
        self.deliveries.push((circuit, start..self.payloads.len()));
    }

    fn lane(&mut self, to: SocketAddr, at: Time) -> usize {
        for lane in [self.last, self.used.saturating_sub(1)] {
            if self.lanes[..self.used].get(lane).is_some_and(|lane| lane.to == to && lane.at == at) {
                self.last = lane;
                return lane;
            }
        }
        self.last = match self.by_destination.get(&(to, at)) {
            Some(lane) => *lane,
            None => self.open_lane(to, at),
        };
        self.last
    }

    fn open_lane(&mut self, to: SocketAddr, at: Time) -> usize {
        let place = self.used;
        if let Some(newest) = self.lanes[..place].last() {
            self.by_destination.insert((newest.to, newest.at), place - 1);
        }
        match self.lanes.get_mut(place) {
            Some(lane) => (lane.to, lane.at) = (to, at),
            None => self.lanes.push(Filled { to, at, datagrams: Vec::new() }),
        }
        self.used += 1;
        place
    }
}
