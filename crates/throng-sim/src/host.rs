//! A host: one node, its address, what came out of it.

use std::net::SocketAddr;

use throng_core::crypto::Suite;
use throng_core::{CircuitId, Event, Node, Outbox, Time};

/// A host of a world, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub usize);

pub(crate) struct Host<S: Suite> {
    pub(crate) address: SocketAddr,
    /// None while the host is down.
    pub(crate) node: Option<Node<S>>,
    pub(crate) outbox: Outbox,
    /// The wake-up that counts; older ones in the queue are stale.
    pub(crate) wake: Time,
    pub(crate) events: Vec<(Time, Event)>,
    pub(crate) delivered: Vec<(CircuitId, Vec<u8>)>,
}
