//! What an adversary on the wire sees of a socket: when it sent a datagram to whom, and how long it was.

use std::net::SocketAddr;
use std::sync::Arc;

use throng_core::Time;

use crate::clock::Clock;

/// One datagram, as the wire shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// When it was handed to the kernel.
    pub at: Time,
    /// Whose it is.
    pub from: SocketAddr,
    /// To whom it goes.
    pub to: SocketAddr,
    /// UDP payload, bytes.
    pub length: usize,
}

/// Somebody who sees every datagram that a socket sends.
///
/// What it sees goes to a function, on the thread that sends: it must be quick. Datagrams of several sockets come in no
/// order; those of one slot that leave with one system call have one time.
#[derive(Clone)]
pub struct Tap {
    clock: Clock,
    to: Arc<dyn Fn(Seen) + Send + Sync>,
}

impl Tap {
    /// Tells `to` what it sees, and when by `clock`.
    pub fn new(clock: Clock, to: impl Fn(Seen) + Send + Sync + 'static) -> Self {
        Self { clock, to: Arc::new(to) }
    }

    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    pub(crate) fn see(&self, seen: Seen) {
        (self.to)(seen);
    }
}
