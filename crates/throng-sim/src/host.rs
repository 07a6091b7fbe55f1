//! A host: one node, its address, its line, what came out of it.

use std::net::SocketAddr;
use std::time::Duration;

use throng_core::crypto::Suite;
use throng_core::{CircuitId, Event, Node, Time};

use crate::chance::Draws;

/// A host of a world, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub usize);

/// A host's line to the rest of the world, bit/s each way; none: without bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineRate {
    /// From the host.
    pub up_bps: Option<u64>,
    /// To the host.
    pub down_bps: Option<u64>,
}

pub(crate) struct SimHost<S: Suite> {
    pub(crate) address: SocketAddr,
    /// What the host's chance follows from: not its number, which says when it was made.
    pub(crate) owner: u64,
    /// Draws for ways to hosts with a higher owner, begun: every datagram needs one.
    pub(crate) ways: Draws,
    /// None while the host is down.
    pub(crate) node: Option<Node<S>>,
    /// When the node wants to wake.
    pub(crate) wants: Time,
    /// The wake-up that counts (others in the queue are stale), and the wish for which it was made.
    pub(crate) wakes: Time,
    pub(crate) wakes_for: Time,
    /// Wake-ups so far, and datagrams sent so far: which draw is the next.
    pub(crate) woken: u64,
    pub(crate) sent: u64,
    /// What it had to do lately.
    pub(crate) work: Work,
    /// None: its line has no bound, and it is not slow.
    pub(crate) limits: Option<Box<Limits>>,
    /// Hosts reach each other only on the same one.
    pub(crate) island: u32,
    /// None before anything came.
    pub(crate) inbox: Option<Box<Inbox>>,
}

/// Steps within the running window.
#[derive(Clone, Copy, Default)]
pub(crate) struct Work {
    window: u32,
    steps: u32,
}

/// How long work makes timers late,
const WORK_WINDOW_NANOS: u64 = 10_000_000;
/// and how many steps in that time are as much as there can be.
const WORK_STEPS_MAX: u32 = 64;

impl Work {
    /// One more step.
    pub(crate) fn note(&mut self, now: Time) {
        let window = (now.as_nanos() / WORK_WINDOW_NANOS) as u32;
        if window != self.window {
            *self = Self { window, steps: 0 };
        }
        self.steps = self.steps.saturating_add(1);
    }

    /// The share of what there can be.
    pub(crate) fn share(self) -> f64 {
        f64::from(self.steps.min(WORK_STEPS_MAX)) / f64::from(WORK_STEPS_MAX)
    }
}

/// What waits for an application.
#[derive(Default)]
pub(crate) struct Inbox {
    pub(crate) events: Vec<(Time, Event)>,
    pub(crate) delivered: Vec<(CircuitId, Vec<u8>)>,
}

/// What holds a host up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) line: LineRate,
    /// When what the line carries now will have passed.
    pub(crate) up_free: Time,
    pub(crate) down_free: Time,
    /// Everything takes this much longer.
    pub(crate) slow: Duration,
}

/// What a host's chance follows from: its address.
pub(crate) fn owner(address: SocketAddr) -> u64 {
    match address {
        SocketAddr::V4(v4) => u64::from(v4.ip().to_bits()) << 16 | u64::from(v4.port()),
        SocketAddr::V6(v6) => {
            let ip = v6.ip().to_bits();
            ((ip >> 64) as u64).rotate_left(17) ^ ip as u64 ^ u64::from(v6.port()) << 48
        }
    }
}
