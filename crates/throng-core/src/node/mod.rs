//! The whole protocol, for clients and mixes. One door in, one door out.

mod cells;
mod covering;
mod documents;
mod links;
mod meter;
mod own;
mod relaying;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use slotmap::SlotMap;

use self::meter::Census;
pub use self::meter::OwnCircuit;
use crate::circuit::{Own, Relay, Supply};
use crate::config::Membership;
use crate::config::{ClientConfig, NodeConfig, NodeKeys};
use crate::cover::{Budget, Covering, Defences, LinkCover, Spent};
use crate::crypto::{ANSWER_BYTES, HandshakePurpose, OFFER_BYTES, SessionSecret, Suite, answer};
use crate::design::Design;
use crate::documents::Document;
use crate::documents::exchange::Exchange;
use crate::id::NodeId;
use crate::id::{CircuitId, OriginKey, RelayKey};
use crate::limits::EVICTIONS_PER_SECOND_MAX;
use crate::link::{Greeter, Links};
use crate::membership::Record;
use crate::membership::View;
use crate::mixing::Waiting;
use crate::output::Outbox;
use crate::rate::Bucket;
use crate::refused::{Counts, Refused};
use crate::rng::{Purpose, Rng, Seed};
use crate::route::{FirstHops, PathRules, Resting};
use crate::time::Time;
use crate::timers::{Due, Timer, Timers};
use crate::wire::control::Ended;
use crate::wire::datagram::Datagram;

/// One running Throng. Client and mix are roles of it.
pub struct Node<S: Suite> {
    keys: NodeKeys,
    id: NodeId,
    link_public: [u8; 32],
    design: Arc<Design>,
    relays_for_others: bool,
    is_exit: bool,
    view: View,
    /// None where no document is signed.
    exchange: Option<Box<Exchange>>,
    links: Links<S>,
    /// Judges who wants a link; a node that does not relay answers nobody.
    greeter: Option<Box<Greeter>>,
    relays: SlotMap<RelayKey, Box<Relay<S>>>,
    owns: SlotMap<OriginKey, Box<Own<S>>>,
    /// The rules of its paths, if it is a client.
    client: Option<PathRules>,
    /// None where its cover may cost what it costs.
    budget: Option<Box<Budget>>,
    first_hops: FirstHops,
    /// None before a circuit fell silent.
    resting: Option<Box<Resting>>,
    supply: Supply,
    /// None where cells leave at once.
    waiting: Option<Box<Waiting>>,
    /// None where nothing has slots.
    covering: Option<Box<Covering>>,
    mesh: Due,
    /// None before anybody asked.
    census: Option<Box<Census>>,
    defences: Option<Arc<dyn Defences>>,
    timers: Timers,
    evictions: Bucket,
    chance: Chance,
    counts: Counts,
    last: Time,
}

/// One stream of random numbers per purpose.
struct Chance {
    keys: Rng,
    route: Rng,
    timing: Rng,
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
    /// Send a payload of at most [`Geometry::payload`](crate::wire::Geometry::payload) bytes to the other end of a circuit. It may get lost.
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
        let mut chance = Chance {
            keys: seed.rng(Purpose::Keys, 0),
            route: seed.rng(Purpose::Route, 0),
            timing: seed.rng(Purpose::Timing, 0),
        };
        let id = config.keys.id::<S>();
        let link_public = config.keys.link_public::<S>();
        let first_hops = config.client.iter().flat_map(|client| client.first_hops.iter().copied());
        let waiting = waiting_for(&config, seed, now);
        let budget = config.client.as_ref().map(|client| client.budget);
        let budget = budget.filter(|budget| budget.bytes_per_day.is_some()).map(Box::new);
        let covering = covering_for(&config.design, config.client.as_ref(), seed, now);
        let mut node = Self {
            id,
            link_public,
            relays_for_others: config.relays,
            is_exit: config.is_exit,
            view: config.membership.view().without(id),
            exchange: None,
            links: Links::new(),
            greeter: config
                .relays
                .then(|| Box::new(Greeter::new::<S>(&id.0, &link_public, &mut chance.keys, now))),
            relays: SlotMap::with_key(),
            owns: SlotMap::with_key(),
            first_hops: FirstHops::new(first_hops),
            resting: None,
            supply: Supply::new(config.client.as_ref().map_or(0, |client| client.spare)),
            client: config.client.as_ref().map(|client| client.rules),
            budget,
            waiting,
            covering,
            mesh: Due::NONE,
            census: None,
            defences: config.defences,
            timers: Timers::default(),
            evictions: Bucket::new(EVICTIONS_PER_SECOND_MAX, now),
            chance,
            design: config.design,
            counts: Counts::default(),
            keys: config.keys,
            last: now,
        };
        if let Membership::Signed { roots, document } = config.membership {
            let mut exchange = Exchange::new::<S>(roots, document, now);
            node.timers.set(&mut exchange.due, now, Timer::Exchange);
            node.exchange = Some(Box::new(exchange));
        }
        node.timers.set(&mut node.supply.due, now, Timer::Supply);
        if node.relays_for_others && node.design.cover.mix_links != LinkCover::None {
            node.timers.set(&mut node.mesh, now, Timer::Mesh);
        }
        node
    }

    /// One input in, everything that it causes out, and when to come back.
    ///
    /// # Panics
    /// If `now` lies before the `now` of an earlier step: time runs forward.
    pub fn step(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) -> Time {
        assert!(now >= self.last, "time runs forward");
        self.last = now;

        let done = match input {
            Input::Wake => Ok(()),
            Input::Datagram { from, bytes } => self.receive(now, from, bytes, out),
            Input::Command(command) => {
                self.obey(now, command, out);
                Ok(())
            }
        };
        if let Err(why) = done {
            self.counts.refuse(why); // the peer learns nothing
        }

        // Whatever has its time looks around, what the strategy lets go leaves, and slots are filled.
        while let Some(timer) = self.timers.pop(now) {
            self.look(now, timer, out);
        }
        self.release(now, out);
        self.speak(now, out);
        self.next_wake()
    }

    /// When the node wants to be woken.
    pub fn next_wake(&self) -> Time {
        let release = self.waiting.as_ref().map_or(Time::NEVER, |waiting| waiting.mixer.wake());
        let speak = self.covering.as_ref().map_or(Time::NEVER, |covering| covering.wake());
        self.timers.next().min(release).min(speak)
    }

    fn receive(
        &mut self,
        now: Time,
        from: SocketAddr,
        bytes: &mut [u8],
        out: &mut Outbox,
    ) -> Result<(), Refused> {
        if bytes.len() != self.design.geometry.datagram() {
            return Err(Refused::WrongLength);
        }
        match Datagram::parse(bytes)? {
            Datagram::Sealed { session, counter } => {
                self.receive_cell(now, from, session, counter, bytes, out)
            }
            Datagram::Offer(offer) => self.receive_offer(now, from, bytes, &offer, out),
            Datagram::Answer { initiator, responder, answer } => {
                self.receive_answer(now, from, initiator, responder, answer, out)
            }
            Datagram::Cookie { initiator, nonce, sealed, tag } => {
                self.receive_cookie(initiator, nonce, sealed, tag, out)
            }
        }
    }

    fn obey(&mut self, now: Time, command: Command<'_>, out: &mut Outbox) {
        match command {
            Command::Learn(record) => {
                self.view.learn(record);
                self.timers.by(&mut self.supply.due, now, Timer::Supply);
            }
            Command::Document(document) => self.consider(now, document, out),
            Command::Send { circuit, payload } => self.send(now, circuit, payload, out),
            Command::Attach { stream, isolation, port } => self.attach(now, stream, isolation, port, out),
            Command::Detach { circuit } => self.detach(now, circuit),
            Command::Close { circuit } => self.close(now, circuit, Ended::Finished, out),
            Command::Renew => self.renew(),
            Command::Spend(may) => self.let_spend(now, may, out),
            Command::Leave => self.leave(now, out),
        }
    }

    fn look(&mut self, now: Time, timer: Timer, out: &mut Outbox) {
        match timer {
            Timer::Link(link) => self.look_at_link(now, link, out),
            Timer::Relay(relay) => self.look_at_relay(now, relay, out),
            Timer::Own(own) => self.look_at_own(now, own, out),
            Timer::Supply => self.look_at_supply(now, out),
            Timer::Exchange => self.look_at_exchange(now, out),
            Timer::Mesh => self.look_at_mesh(now, out),
        }
    }

    /// Our part of a handshake.
    fn answer(
        &mut self,
        purpose: HandshakePurpose,
        offer: &[u8; OFFER_BYTES],
    ) -> Result<(SessionSecret, Box<[u8; ANSWER_BYTES]>), Refused> {
        let secret = self.keys.link_secret();
        Ok(answer::<S>(purpose, &self.id.0, secret, &self.link_public, offer, &mut self.chance.keys)?)
    }

    /// Ends everything, so that neighbours need not wait for silence.
    fn leave(&mut self, now: Time, out: &mut Outbox) {
        self.relays_for_others = false;
        self.client = None;
        self.refuse_waiting(out);
        let relays: Vec<_> = self.relays.keys().collect();
        for relay in relays {
            self.end_relay(now, relay, Ended::Leaving, out);
        }
        let owns: Vec<_> = self.owns.keys().collect();
        for own in owns {
            self.end_own(now, own, Ended::Leaving, out);
        }
    }

    /// The node's name.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// What was seen and done.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// What cover cost so far; nothing where there is none.
    pub fn spent(&self) -> Option<Spent> {
        self.covering.as_ref().map(|covering| covering.spent)
    }

    /// Cells that had less company in this mix than the design asks for.
    pub fn lonely_cells(&self) -> u64 {
        self.waiting.as_ref().map_or(0, |waiting| waiting.mixer.lonely_cells())
    }

    /// How it works.
    pub fn design(&self) -> &Design {
        &self.design
    }

    /// Whom it knows.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Its sticky first hops, to keep for the next run.
    pub fn first_hops(&self) -> &FirstHops {
        &self.first_hops
    }

    /// Links, circuits through us, circuits of our own: how many there are now.
    pub fn sizes(&self) -> (usize, usize, usize) {
        (self.links.len(), self.relays.len(), self.owns.len())
    }
}

/// Only mixes hold cells.
fn waiting_for(config: &NodeConfig, seed: &Seed, now: Time) -> Option<Box<Waiting>> {
    let Design { mixing, lonely, .. } = *config.design;
    config.relays.then(|| Waiting::new(mixing, lonely, seed.rng(Purpose::Mixing, 0), now)).flatten()
}

fn covering_for(
    design: &Design,
    client: Option<&ClientConfig>,
    seed: &Seed,
    now: Time,
) -> Option<Box<Covering>> {
    let budget = client.map(|client| client.budget);
    let own = || Covering::new(seed.rng(Purpose::Cover, 0).seed(), design.geometry, budget, now);
    (!design.cover.is_none()).then(|| Box::new(own()))
}
