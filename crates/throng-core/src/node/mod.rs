//! The whole protocol, for clients and mixes. One door in, one door out.
//!
//! A node consists of rooms, each with its own tables: `neighbours/` (links), `relays/` (circuits through us), `origins/`
//! (our own), `mixing/` (what is held), `documents/` (who is there). No room knows another one. Each gets a small context
//! and leaves behind what it wants to send and what others should know; `routing.rs` takes that on, as a cell goes.

mod audit;
mod circuits;
mod context;
mod control;
mod documents;
mod links;
pub(crate) mod mixing;
mod neighbours;
mod origins;
mod relays;
mod rooms;
mod routing;

#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use self::context::{Chance, Common, Me};
pub use self::origins::OwnCircuit;
use self::rooms::Rooms;
use crate::config::NodeConfig;
use crate::cover::{Budget, SlotClock, Spent};
use crate::crypto::Suite;
use crate::design::Design;
use crate::documents::Document;
use crate::id::{CircuitId, NodeId};
use crate::limits::COVER_FOR_OTHERS_BPS;
use crate::membership::{Record, View};
use crate::mixing::Company;
use crate::output::Outbox;
use crate::refused::Counts;
use crate::rng::{Purpose, Seed};
use crate::route::FirstHops;
use crate::time::Time;
use crate::timers::Timers;

/// One running Throng. Client and mix are roles of it.
pub struct Node<S: Suite> {
    rooms: Rooms<S>,
    common: Common,
}

/// What comes in.
pub enum Input<'a> {
    /// The time that the last step asked for has come.
    Wake,
    /// A datagram arrived. Its bytes are worked on in place and worthless afterwards.
    Datagram {
        /// Where it says that it comes from.
        from: SocketAddr,
        /// All of it.
        bytes: &'a mut [u8],
    },
    /// The owner wants something.
    Command(Command<'a>),
}

/// What an owner may want.
pub enum Command<'a> {
    /// Know this node.
    Learn(Arc<Record>),
    /// Use this network document if it is newer than the one in force.
    Document(Arc<Document>),
    /// Send a packet of at most [`Geometry::packet`](crate::wire::Geometry::packet) bytes to the other end of a circuit. It may
    /// get lost.
    Send {
        /// A circuit of our own that is ready, or one that delivered something here.
        circuit: CircuitId,
        /// What to send.
        payload: &'a [u8],
    },
    /// Find a circuit for a stream: [`Event::Attached`](crate::output::Event::Attached) or
    /// [`Event::NotAttached`](crate::output::Event::NotAttached) follows, at once or later.
    Attach {
        /// The owner's name for the stream.
        stream: u64,
        /// Streams of different isolation never share a circuit.
        isolation: [u8; 32],
        /// The port that the exit must open connections to; none if any exit will do.
        port: Option<u16>,
        /// Exits that could not serve it: another one is taken, if there is one. At most [`EXITS_AVOIDED_MAX`](crate::limits::EXITS_AVOIDED_MAX)
        /// count.
        avoid: &'a [NodeId],
    },
    /// A stream that was attached to this circuit ended.
    Detach {
        /// Which.
        circuit: CircuitId,
    },
    /// End a circuit.
    Close {
        /// Which.
        circuit: CircuitId,
    },
    /// Use no circuit that was used before for new streams.
    Renew,
    /// Whether a client's cover may cost anything now: a connection may be metered.
    Spend(bool),
    /// Tell the neighbours that we go.
    Leave,
}

impl<S: Suite> Node<S> {
    /// A node that knows what `config` says. Everything random follows from `seed`.
    pub fn new(config: NodeConfig, seed: &Seed, now: Time) -> Self {
        let chance = Chance {
            keys: seed.rng(Purpose::Keys, 0),
            route: seed.rng(Purpose::Route, 0),
            timing: seed.rng(Purpose::Timing, 0),
        };
        let me = Me {
            id: config.keys.id::<S>(),
            keys: config.keys.clone(),
            relays_for_others: config.relays,
            is_exit: config.is_exit,
            budget: config.client.as_ref().map(|client| client.budget),
            cover_for_others: cover_for_others(&config.membership.view(), config.keys.id::<S>()),
        };
        let mut common = Common {
            slots: slots_for(&config.design, me.budget, seed, now),
            me,
            design: Arc::clone(&config.design),
            timers: Timers::default(),
            chance,
            counts: Counts::default(),
            last: now,
            #[cfg(debug_assertions)]
            steps: 0,
        };
        // Only mixes hold cells, and nothing is sent before the first step.
        let mixing = config.relays.then(|| seed.rng(Purpose::Mixing, 0));
        let mut out = Outbox::new(config.design.geometry);
        let rooms = Rooms::new(config, mixing, &mut common.at(now, &mut out));
        Self { rooms, common }
    }

    /// One input in, everything that it causes out, and when to come back.
    ///
    /// # Panics
    /// If `now` lies before the `now` of an earlier step: time runs forward.
    pub fn step(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) -> Time {
        assert!(now >= self.common.last, "time runs forward");
        self.common.last = now;
        let Self { rooms, common } = self;
        let cx = &mut common.at(now, out);

        match input {
            Input::Wake => {
                if let Err(why) = rooms.answer_one(cx) {
                    cx.counts.refuse(why);
                }
            }
            Input::Datagram { from, bytes } => {
                if let Err(why) = rooms.receive(from, bytes, cx) {
                    cx.counts.refuse(why); // the peer learns nothing
                }
            }
            Input::Command(command) => rooms.obey(command, cx),
        }
        rooms.settle(cx);

        // Whatever has its time looks around, what the strategy lets go leaves, and slots are filled.
        while let Some(timer) = cx.timers.pop(now) {
            rooms.look(timer, cx);
            rooms.settle(cx);
        }
        rooms.release(cx);
        rooms.speak(cx);
        #[cfg(debug_assertions)]
        self.audit_now_and_then();
        self.next_wake()
    }

    /// A build that looks for bugs looks at all tables in steps 1, 2, 4, and so on, and in each of so many.
    #[cfg(debug_assertions)]
    fn audit_now_and_then(&mut self) {
        self.common.steps += 1;
        if self.common.steps.is_power_of_two() || self.common.steps.is_multiple_of(AUDIT_EVERY_STEPS) {
            let problems = self.audit();
            assert!(problems.is_empty(), "tables contradict each other: {problems:?}");
        }
    }

    /// When the node wants to be woken.
    pub fn next_wake(&self) -> Time {
        if self.owes() { self.common.last } else { self.due() }
    }

    /// Whether it has handshakes to do for others: one each time that it is woken.
    pub fn owes(&self) -> bool {
        self.rooms.neighbours.owes()
    }

    /// When it has something to do that does not wait.
    pub fn due(&self) -> Time {
        self.common.timers.next().min(self.rooms.hold.wake()).min(self.common.slots.wake())
    }

    /// What is wrong in it: relations between its tables that must always hold, and do not. Nothing, unless there is a
    /// bug of ours.
    pub fn audit(&self) -> Vec<String> {
        self.rooms.audit(&self.common)
    }

    /// The node's name.
    pub fn id(&self) -> NodeId {
        self.common.me.id
    }

    /// What was seen and done.
    pub fn counts(&self) -> &Counts {
        &self.common.counts
    }

    /// What cover cost so far; nothing where there is none.
    pub fn spent(&self) -> Option<Spent> {
        self.common.slots.spent()
    }

    /// Whether today's budget for cover is spent.
    pub fn is_budget_spent(&self, now: Time) -> bool {
        self.common.slots.is_spent(now)
    }

    /// Whether cover may cost anything now: its owner permits it, and the budget is not spent.
    pub fn may_cover(&self, now: Time) -> bool {
        self.common.slots.may_spend(now)
    }

    /// Cells that had less company in this mix than the design asks for.
    pub fn lonely_cells(&self) -> u64 {
        self.rooms.hold.lonely_cells()
    }

    /// What this mix observed of its company within the last minute.
    pub fn company(&mut self, now: Time) -> Company {
        self.rooms.company(now)
    }

    /// Our own circuits that are ready.
    pub fn own_circuits(&self, now: Time) -> Vec<OwnCircuit> {
        self.rooms.origins.ready(now)
    }

    /// How it works.
    pub fn design(&self) -> &Design {
        &self.common.design
    }

    /// Whom it knows.
    pub fn view(&self) -> &View {
        &self.rooms.members.view
    }

    /// Its sticky first hops, to keep for the next run.
    pub fn first_hops(&self) -> &FirstHops {
        self.rooms.origins.first_hops()
    }

    /// How much it has in its tables now.
    pub fn sizes(&self) -> Sizes {
        let Rooms { neighbours, relays, origins, .. } = &self.rooms;
        Sizes { links: neighbours.len(), relayed: relays.len(), own: origins.len() }
    }
}

/// A build with debug assertions looks at all tables this often.
#[cfg(debug_assertions)]
const AUDIT_EVERY_STEPS: u64 = 4096;

/// How many links and circuits a node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Links.
    pub links: usize,
    /// Circuits through it.
    pub relayed: usize,
    /// Circuits of its own.
    pub own: usize,
}

/// Half of what a mix says that it carries: what comes from users has to go on. Bits per second.
fn cover_for_others(known: &View, me: NodeId) -> u64 {
    known.get(me).map_or(COVER_FOR_OTHERS_BPS, |record| u64::from(record.description().capacity) * 1000 / 2)
}

fn slots_for(design: &Design, budget: Option<Budget>, seed: &Seed, now: Time) -> SlotClock {
    if design.cover.is_none() {
        return SlotClock::default();
    }
    SlotClock::new(seed.rng(Purpose::Cover, 0).seed(), design.geometry, budget, now)
}
