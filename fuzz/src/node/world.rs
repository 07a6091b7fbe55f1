//! Hosts, the wire between them, and what may happen to both.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use throng_core::fuzzing::Choices;
use throng_core::limits::{OWN_CIRCUITS_MAX, RELAYED_CIRCUITS_MAX};
use throng_core::rng::Seed;
use throng_core::wire::datagram::LINK_HEADER_BYTES;
use throng_core::{CircuitId, Command, Event, Input, Node, Outbox, Time};

use super::forge;
use super::setting::{BEGIN, HOSTS, Setting, address};
use super::suite::{MASTER, Open};

/// Datagrams under way at once; over that the oldest is lost.
const UNDER_WAY_MAX: usize = 96;
/// Names of circuits and sessions that a hostile neighbour remembers.
const REMEMBERED_MAX: usize = 32;
/// A node that wants to be woken so often at one moment will never do anything else.
const WAKES_AT_ONCE_MAX: usize = 5000;
/// Datagrams that are delivered, and timers that fire, in one go.
const SETTLE_MAX: usize = 64;

pub(super) struct World {
    pub(super) setting: &'static Setting,
    now: Time,
    hosts: Vec<Host>,
    wire: VecDeque<Datagram>,
    /// What a hostile neighbour has seen.
    pub(super) seen: Seen,
    out: Outbox,
}

struct Host {
    node: Option<Node<Open>>,
    address: SocketAddr,
    wakes: Time,
    lives: u16,
    /// Circuits that its owner may use.
    circuits: Vec<CircuitId>,
    /// Circuits with streams of it.
    attached: Vec<CircuitId>,
}

struct Datagram {
    from: SocketAddr,
    to: usize,
    bytes: Vec<u8>,
}

/// Under whose name something can be said, and about what.
#[derive(Default)]
pub(super) struct Seen {
    sessions: VecDeque<Session>,
    pub(super) circuits: VecDeque<u32>,
    pub(super) numbers: VecDeque<u32>,
}

#[derive(Clone, Copy)]
struct Session {
    from: SocketAddr,
    to: usize,
    name: u32,
    counter: u64,
}

impl World {
    /// `up`: which hosts run, a bit each.
    pub(super) fn new(setting: &'static Setting, up: u8) -> Self {
        let host = |host| Host {
            node: None,
            address: address(host),
            wakes: Time::NEVER,
            lives: 0,
            circuits: Vec::new(),
            attached: Vec::new(),
        };
        let mut world = Self {
            setting,
            now: BEGIN,
            hosts: (0..HOSTS).map(host).collect(),
            wire: VecDeque::new(),
            seen: Seen::default(),
            out: Outbox::new(setting.design.geometry),
        };
        (0..HOSTS).filter(|host| up & 1 << host == 0).for_each(|host| world.start(host));
        world
    }

    fn start(&mut self, host: usize) {
        let config = self.setting.configs[host].clone();
        let place = &mut self.hosts[host];
        place.lives += 1;
        // Another life, other chance.
        let mut seed = [host as u8 + 1; 32];
        seed[..2].copy_from_slice(&place.lives.to_le_bytes());
        let seed = Seed::from_bytes(seed);
        let node = Node::new(config, &seed, self.now);
        place.wakes = node.next_wake();
        place.node = Some(node);
        place.circuits.clear();
        place.attached.clear();
    }

    // --- The wire -------------------------------------------------------------------------------------

    /// The `nth` of those under way arrives.
    pub(super) fn deliver(&mut self, nth: usize) {
        if let Some(Datagram { from, to, mut bytes }) = self.take(nth) {
            self.step(to, Input::Datagram { from, bytes: &mut bytes });
        }
    }

    pub(super) fn lose(&mut self, nth: usize) {
        drop(self.take(nth));
    }

    pub(super) fn double(&mut self, nth: usize) {
        let Some(place) = nth.checked_rem(self.wire.len()) else { return };
        let Datagram { from, to, bytes } = &self.wire[place];
        let twin = Datagram { from: *from, to: *to, bytes: bytes.clone() };
        self.send(twin);
    }

    /// Some bytes of one are others, or it comes from elsewhere, or goes there.
    pub(super) fn alter(&mut self, choices: &mut Choices<'_>) {
        let (nth, how) = (choices.below(256), choices.below(4));
        let Some(place) = nth.checked_rem(self.wire.len()) else { return };
        let datagram = &mut self.wire[place];
        let length = datagram.bytes.len();
        match how {
            0 => datagram.to = choices.below(HOSTS),
            1 => datagram.from = address(choices.below(2 * HOSTS)),
            2 => {
                let at = usize::from(choices.u16()).checked_rem(length).unwrap_or(0);
                let patch = choices.take(8);
                datagram.bytes.iter_mut().skip(at).zip(patch).for_each(|(byte, other)| *byte ^= other);
            }
            _ => datagram.bytes.truncate(usize::from(choices.u16()) % (length + 1)),
        }
    }

    /// A neighbour, or a hop, says something else than it did: whoever it is for takes it for theirs.
    pub(super) fn rewrite(&mut self, choices: &mut Choices<'_>) {
        let nth = choices.below(256);
        let Some(place) = nth.checked_rem(self.wire.len()) else { return };
        let mut datagram = std::mem::take(&mut self.wire[place].bytes);
        if datagram.len() == self.setting.design.geometry.datagram() && !datagram.starts_with(&[0; 4]) {
            forge::rewrite(self, &mut datagram, choices);
            seal(&mut datagram);
        }
        self.wire[place].bytes = datagram;
    }

    /// Whatever comes from wherever.
    pub(super) fn inject(&mut self, choices: &mut Choices<'_>) {
        let (to, from) = (choices.below(HOSTS), address(choices.below(4 * HOSTS)));
        let length = match choices.below(4) {
            0 => usize::from(choices.u16()) % 1500,
            _ => self.setting.design.geometry.datagram(),
        };
        let mut bytes = vec![choices.u8(); length];
        let length = choices.below(64).min(length);
        let front = choices.take(length);
        bytes[..front.len()].copy_from_slice(front);
        self.send(Datagram { from, to, bytes });
    }

    /// A hostile neighbour says something under a session that it has.
    pub(super) fn speak_for_a_neighbour(&mut self, choices: &mut Choices<'_>) {
        let nth = choices.below(256);
        let Some(place) = nth.checked_rem(self.seen.sessions.len()) else { return };
        let ahead = match choices.below(8) {
            0 => u64::from(choices.u32()),
            1 => choices.u64(),
            _ => 1,
        };
        let session = &mut self.seen.sessions[place];
        let counter = session.counter.wrapping_add(ahead);
        if ahead < 1 << 20 {
            session.counter = counter;
        }
        let session = *session;
        let mut bytes = vec![0; self.setting.design.geometry.datagram()];
        bytes[..4].copy_from_slice(&session.name.to_le_bytes());
        bytes[4..LINK_HEADER_BYTES].copy_from_slice(&counter.to_le_bytes());
        forge::cell(self, &mut bytes, choices);
        seal(&mut bytes);
        self.send(Datagram { from: session.from, to: session.to, bytes });
    }

    fn take(&mut self, nth: usize) -> Option<Datagram> {
        let place = nth.checked_rem(self.wire.len())?;
        self.wire.remove(place)
    }

    fn send(&mut self, datagram: Datagram) {
        if self.wire.len() >= UNDER_WAY_MAX {
            self.wire.pop_front();
        }
        self.wire.push_back(datagram);
    }

    // --- Owners ---------------------------------------------------------------------------------------

    pub(super) fn command(&mut self, choices: &mut Choices<'_>) {
        let host = choices.below(HOSTS);
        let circuit =
            pick(&self.hosts[host].circuits, choices).unwrap_or(CircuitId::from_bits(choices.u64()));
        let (documents, records) = (&self.setting.documents, &self.setting.records);
        match choices.below(12) {
            0 | 1 => {
                let (stream, isolation) = (choices.u8().into(), [choices.below(2) as u8; 32]);
                let port = [None, Some(80), Some(443), Some(7)][choices.below(4)];
                self.obey(host, Command::Attach { stream, isolation, port, avoid: &[] });
            }
            2 => {
                // An owner says that a stream has ended which it had, and no other one.
                let attached = &mut self.hosts[host].attached;
                if let Some(place) = choices.below(256).checked_rem(attached.len()) {
                    let circuit = attached.swap_remove(place);
                    self.obey(host, Command::Detach { circuit });
                }
            }
            3 => self.obey(host, Command::Close { circuit }),
            4 => self.obey(host, Command::Renew),
            5 => self.obey(host, Command::Spend(choices.coin())),
            6 if choices.rarely(4) => self.obey(host, Command::Leave),
            7 => self.obey(host, Command::Learn(Arc::clone(&records[choices.below(records.len())]))),
            8 => self.obey(host, Command::Document(Arc::clone(&documents[choices.below(documents.len())]))),
            _ => {
                let length = usize::from(choices.u16()) % (self.setting.design.geometry.packet() + 2);
                let payload = vec![choices.u8(); length];
                self.obey(host, Command::Send { circuit, payload: &payload });
            }
        }
    }

    fn obey(&mut self, host: usize, command: Command<'_>) {
        self.step(host, Input::Command(command));
    }

    /// A host crashes, starts, moves, or is looked at without a reason.
    pub(super) fn disturb(&mut self, choices: &mut Choices<'_>) {
        let host = choices.below(HOSTS);
        match choices.below(4) {
            0 => self.hosts[host].node = None,
            1 => self.start(host),
            2 => self.hosts[host].address = ([10, host as u8, choices.below(3) as u8, 1], 9000).into(),
            _ => self.step(host, Input::Wake),
        }
    }

    // --- Time -----------------------------------------------------------------------------------------

    /// Everything that is under way arrives, and timers fire that do so soon.
    pub(super) fn settle(&mut self) {
        for _ in 0..SETTLE_MAX {
            if !self.wire.is_empty() {
                self.deliver(0);
                continue;
            }
            let Some((next, host)) = self.next_timer() else { return };
            if next > self.now + Duration::from_millis(600) {
                return;
            }
            self.now = self.now.max(next);
            self.step(host, Input::Wake);
        }
    }

    /// Time passes. Timers fire as they are due for a while; a long time passes as for a machine that sleeps.
    pub(super) fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        for _ in 0..24 {
            let Some((next, host)) = self.next_timer().filter(|(next, _)| *next <= until) else { break };
            self.now = self.now.max(next);
            self.step(host, Input::Wake);
        }
        self.now = self.now.max(until);
        for host in 0..HOSTS {
            let late = (0..WAKES_AT_ONCE_MAX).take_while(|_| {
                let is_due = self.hosts[host].node.is_some() && self.hosts[host].wakes <= self.now;
                if is_due {
                    self.step(host, Input::Wake);
                }
                is_due
            });
            assert!(late.count() < WAKES_AT_ONCE_MAX, "a node wants to be woken at one moment for ever");
        }
    }

    fn next_timer(&self) -> Option<(Time, usize)> {
        let hosts = self.hosts.iter().enumerate().filter(|(_, host)| host.node.is_some());
        hosts.map(|(place, host)| (host.wakes, place)).min().filter(|(at, _)| *at != Time::NEVER)
    }

    // --- A step ---------------------------------------------------------------------------------------

    fn step(&mut self, host: usize, input: Input<'_>) {
        let place = &mut self.hosts[host];
        let Some(node) = &mut place.node else { return };
        place.wakes = node.step(self.now, input, &mut self.out);
        let problems = node.audit();
        assert!(problems.is_empty(), "tables contradict each other: {problems:?}");
        let sizes = node.sizes();
        assert!(sizes.own <= OWN_CIRCUITS_MAX && sizes.relayed <= RELAYED_CIRCUITS_MAX);
        for event in self.out.events.drain(..) {
            match event {
                Event::CircuitReady { circuit, .. } => place.circuits.push(circuit),
                Event::Attached { circuit, .. } => place.attached.push(circuit),
                Event::CircuitEnded { circuit, .. } => place.attached.retain(|attached| *attached != circuit),
                _ => {}
            }
        }
        for (circuit, payload) in self.out.deliveries() {
            assert!(payload.len() <= self.setting.design.geometry.packet());
            if !place.circuits.contains(&circuit) {
                place.circuits.push(circuit);
            }
        }
        let from = place.address;
        let mut sent = Vec::new();
        for lane in self.out.lanes() {
            let length = self.setting.design.geometry.datagram();
            assert!(lane.datagrams.len().is_multiple_of(length), "all datagrams have one length");
            let Some(to) = self.hosts.iter().position(|host| host.address == lane.to) else { continue };
            sent.extend(lane.datagrams.chunks_exact(length).map(|bytes| Datagram {
                from,
                to,
                bytes: bytes.to_vec(),
            }));
        }
        self.out.clear();
        for datagram in sent {
            self.seen.note(&datagram);
            self.send(datagram);
        }
    }
}

impl Seen {
    fn note(&mut self, datagram: &Datagram) {
        let word = |at: usize| datagram.bytes.get(at..)?.first_chunk().map(|word| u32::from_le_bytes(*word));
        let (Some(name @ 1..), Some(low), Some(high)) = (word(0), word(4), word(8)) else { return };
        let counter = u64::from(high) << 32 | u64::from(low);
        match self.sessions.iter_mut().find(|session| session.name == name && session.to == datagram.to) {
            Some(session) => session.counter = session.counter.max(counter),
            None => {
                let session = Session { from: datagram.from, to: datagram.to, name, counter };
                remember(&mut self.sessions, session);
            }
        }
        if let (Some(circuit), Some(number)) = (word(LINK_HEADER_BYTES), word(LINK_HEADER_BYTES + 4)) {
            remember(&mut self.circuits, circuit);
            remember(&mut self.numbers, number);
        }
    }
}

fn remember<T>(memory: &mut VecDeque<T>, one: T) {
    if memory.len() >= REMEMBERED_MAX {
        memory.pop_front();
    }
    memory.push_back(one);
}

/// One of some things, if there is any.
fn pick<T: Copy>(things: &[T], choices: &mut Choices<'_>) -> Option<T> {
    let place = choices.below(256).checked_rem(things.len())?;
    Some(things[place])
}

fn seal(datagram: &mut [u8]) {
    if let Some(tag) = datagram.last_chunk_mut() {
        *tag = MASTER;
    }
}
