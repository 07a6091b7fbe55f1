//! What lies between hosts: delay, loss, copies, and whoever listens.

use std::time::Duration;

use throng_core::Time;
use throng_core::rng::Rng;

use crate::host::HostId;

/// How the network treats datagrams.
#[derive(Clone, Copy, Debug)]
pub struct Wire {
    /// Least time from one host to another.
    pub latency: Duration,
    /// Up to this much is added, uniformly: datagrams overtake each other.
    pub jitter: Duration,
    /// Share of datagrams that get lost, 0 to 1.
    pub loss: f64,
    /// Share of datagrams that arrive twice, 0 to 1.
    pub doubled: f64,
    /// Timers of hosts fire up to this late.
    pub lateness: Duration,
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(10),
            jitter: Duration::ZERO,
            loss: 0.0,
            doubled: 0.0,
            lateness: Duration::from_millis(1),
        }
    }
}

impl Wire {
    /// When the copies of a datagram sent `now` arrive: none, one or two.
    pub(crate) fn arrivals(&self, now: Time, rng: &mut Rng) -> impl Iterator<Item = Time> + use<> {
        let copies = match (rng.unit() < self.loss, rng.unit() < self.doubled) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => 2,
        };
        let times = [(); 2].map(|()| now + self.latency + self.jitter.mul_f64(rng.unit()));
        times.into_iter().take(copies)
    }
}

/// What an adversary on the wire sees of a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When it was sent.
    pub at: Time,
    /// By whom.
    pub from: HostId,
    /// To whom.
    pub to: HostId,
    /// Its bytes; nobody but a test looks into them.
    pub bytes: Vec<u8>,
}

/// What an adversary on the wire does to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Lets it go.
    Pass,
    /// Takes it away.
    Drop,
    /// Takes it away and sends this instead.
    Replace(Vec<u8>),
    /// Lets it go, and sends these to the same host as well.
    Inject(Vec<Vec<u8>>),
}

/// An adversary on the wire.
pub trait Tap {
    /// A datagram was sent.
    fn on_wire(&mut self, seen: &Seen) -> Verdict;
}

impl<F: FnMut(&Seen) -> Verdict> Tap for F {
    fn on_wire(&mut self, seen: &Seen) -> Verdict {
        self(seen)
    }
}
