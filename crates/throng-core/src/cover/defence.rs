//! Defences that react to what passes on a link, and what the engine does for one.
//!
//! A defence is code of somebody else's (the `maybenot` crate's machines): it hears what passes, asks for padding, and
//! asks for outgoing traffic to be held. Its text is a part of the design; how a text becomes a [`Defence`] is told to the
//! node by its owner ([`Defences`]), so that the engine needs no such library.

use alloc::boxed::Box;
use alloc::string::String;
use core::time::Duration;

use super::link_slots::Waits;
use super::queue::{Queue, Room};
use super::rate::DEFENCE_PADDING;
use crate::departure::Departure;
use crate::limits::SLOT_QUEUE_CELLS_MAX;
use crate::rate::Bucket;
use crate::rng::Seed;
use crate::time::Time;
use crate::wire::Geometry;

/// The defences of a user link: what runs at the client, and what at its first mix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machines {
    /// At the client; none if empty.
    pub client: String,
    /// At the mix; none if empty.
    pub mix: String,
}

/// Makes defences of their texts.
pub trait Defences: Send + Sync {
    /// The defence of this text; nothing if it is none. Everything random in it follows from `seed`.
    fn build(&self, text: &str, seed: &Seed, now: Time) -> Option<Box<dyn Defence>>;
    /// What people call the defence of this text; it is short, and another defence has another name.
    ///
    /// # Errors
    /// Why it is none.
    fn name(&self, text: &str) -> Result<String, String>;
}

/// A defence at work on one link.
pub trait Defence: Send {
    /// Something passed.
    fn observe(&mut self, passed: Passed, now: Time);
    /// When [`act`](Self::act) may have something to do.
    fn wake(&self) -> Time;
    /// The next thing that is due.
    fn act(&mut self, now: Time) -> Option<Act>;
    /// Whether outgoing traffic is held now.
    fn holds(&self) -> bool;
}

/// What passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// A cell wants to leave.
    Queued,
    /// A datagram left, whatever is in it.
    Sent,
    /// A datagram with something in it came.
    Received,
    /// A filler came.
    PaddingReceived,
}

/// What a defence wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A datagram shall leave.
    Pad {
        /// Also while others are held.
        bypass: bool,
        /// Whether one that waits will do.
        replace: bool,
    },
    /// What was held may leave.
    Release,
}

/// One link under a defence.
pub(crate) struct Guard {
    pub(crate) defence: Box<dyn Defence>,
    queue: Queue<Waits>,
    padding: Bucket,
    /// When it is looked at next.
    pub(crate) due: Time,
    /// It wanted too much at once, and has to wait.
    pub(crate) not_before: Time,
}

/// What becomes of a cell that wants to leave.
pub(crate) enum Pass {
    Now,
    Held,
    Dropped,
}

impl Guard {
    pub(crate) fn new(defence: Box<dyn Defence>, room: Room, geometry: Geometry, now: Time) -> Self {
        let padding = Duration::from_secs(1).as_nanos() / DEFENCE_PADDING.gap(geometry).as_nanos();
        Self {
            defence,
            queue: Queue::new(room),
            padding: Bucket::new(padding as u32, now),
            due: Time::NEVER,
            not_before: Time::ZERO,
        }
    }

    /// Whether it may pad now: what its text wants is bounded by the rate that it counts for.
    pub(crate) fn may_pad(&mut self, now: Time) -> bool {
        self.padding.take(now)
    }

    /// A cell wants to leave.
    pub(crate) fn pass(&mut self, departure: Departure, body: &[u8], now: Time) -> Pass {
        self.defence.observe(Passed::Queued, now);
        if !self.defence.holds() {
            self.defence.observe(Passed::Sent, now);
            return Pass::Now;
        }
        let circuit = departure.header.circuit;
        let waits = self.queue.push(circuit, (departure, body.into()), SLOT_QUEUE_CELLS_MAX);
        if waits.is_ok() { Pass::Held } else { Pass::Dropped }
    }

    /// The next cell that was held.
    pub(crate) fn pop(&mut self) -> Option<Waits> {
        self.queue.pop()
    }
}
