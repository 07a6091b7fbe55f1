//! What lies between hosts: distance, delay, loss, copies, and whoever listens.

use std::time::Duration;

use throng_core::Time;
use throng_core::crypto::Suite;

use crate::chance::{Draws, For};
use crate::host::{HostId, SimHost};

/// How the network treats datagrams.
#[derive(Clone, Copy, Debug)]
pub struct Wire {
    /// Least time from one host to another.
    pub latency: Duration,
    /// Up to this much is added, uniformly, to each pair of hosts: how far apart they are.
    pub distance: Duration,
    /// Up to this much is added, uniformly, to each datagram: they overtake each other.
    pub jitter: Duration,
    /// Share of datagrams that get lost, 0 to 1.
    pub loss: f64,
    /// Share of datagrams that arrive twice, 0 to 1.
    pub doubled: f64,
    /// Timers of hosts fire up to this late.
    pub lateness: Duration,
    /// And up to this much later, the more a host has to do.
    pub busy_lateness: Duration,
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(10),
            distance: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: 0.0,
            doubled: 0.0,
            lateness: Duration::from_millis(1),
            busy_lateness: Duration::ZERO,
        }
    }
}

impl Wire {
    /// How long a way is, without jitter.
    pub(crate) fn delay(&self, way: Way) -> Duration {
        self.latency + share(self.distance, way.draw)
    }

    /// When the copies of the `number`-th datagram of owner `from` to owner `to` arrive that is due at `base`: none, one
    /// or two.
    pub(crate) fn arrivals(
        &self,
        base: Time,
        from: u64,
        to: u64,
        number: u64,
        chance: Draws,
    ) -> [Option<Time>; 2] {
        let mine = |purpose| chance.of(purpose, from).of(purpose, to);
        if self.loss > 0.0 && mine(For::Loss).unit(number) < self.loss {
            return [None, None];
        }
        let with_jitter = |copy: u64| match self.jitter.is_zero() {
            true => base,
            false => base + share(self.jitter, mine(For::Jitter).bits(2 * number + copy)),
        };
        let twice = self.doubled > 0.0 && mine(For::Copy).unit(number) < self.doubled;
        [Some(with_jitter(0)), twice.then(|| with_jitter(1))]
    }
}

/// The way from one host to another: what is drawn once for it.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    /// The same one back.
    draw: u64,
    to_higher: bool,
}

impl Way {
    pub(crate) fn new<S: Suite>(from: &SimHost<S>, to: &SimHost<S>) -> Self {
        let to_higher = from.owner < to.owner;
        let (low, high) = if to_higher { (from, to) } else { (to, from) };
        Self { draw: low.ways.bits(high.owner), to_higher }
    }

    /// Which of all that arrives in one nanosecond is first: way by way, and on each way as it was sent.
    pub(crate) fn order(self, number: u64) -> u64 {
        (if self.to_higher { self.draw } else { !self.draw }) << 24 | (number & 0xff_ffff)
    }
}

/// A uniform share of a span: in whole nanoseconds, the same on every machine.
pub(crate) fn share(span: Duration, bits: u64) -> Duration {
    let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(((u128::from(nanos) * u128::from(bits)) >> 64) as u64)
}

/// What an adversary on the wire sees of a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnWire {
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
pub trait WireAdversary {
    /// A datagram was sent.
    fn on_wire(&mut self, seen: &OnWire) -> Verdict;
}

impl<F: FnMut(&OnWire) -> Verdict> WireAdversary for F {
    fn on_wire(&mut self, seen: &OnWire) -> Verdict {
        self(seen)
    }
}

/// A reader of everything on all wires, for the simulator's own books: it sees, and touches nothing.
///
/// It is a part of the world's type, so that a world without one pays nothing for it.
pub trait Watcher {
    /// A datagram left a host's line: `bytes` at `at`. It may still get lost.
    fn sent(&mut self, at: Time, from: HostId, to: HostId, bytes: &[u8]);
    /// A datagram came to a host that is up.
    fn arrived(&mut self, at: Time, from: HostId, to: HostId, bytes: &[u8]);
    /// A full line dropped a datagram before it left, or before it came in.
    fn dropped(&mut self, at: Time, at_host: HostId);
}

/// Nobody watches.
impl Watcher for () {
    fn sent(&mut self, _: Time, _: HostId, _: HostId, _: &[u8]) {}
    fn arrived(&mut self, _: Time, _: HostId, _: HostId, _: &[u8]) {}
    fn dropped(&mut self, _: Time, _: HostId) {}
}
