//! What all pipes of a node may hold, and who gets how much of it.
//!
//! Whoever is at one end of a circuit can leave the other with its bytes: a target that does not read leaves the exit with what
//! was sent to it, a client that does not acknowledge with what was fetched for it, and a hostile exit can do the same to a
//! client. So there is one bound for all circuits of a node, and what counts against it is what *may* come to be held: the credit
//! that the far end was given, since QUIC cannot take it back, and the room for what is sent and not acknowledged.
//!
//! Every circuit is sure of a floor. What is above the floors is shared by dynamic thresholds (Choudhury and Hahne 1998): a
//! circuit may have as much as would still be free, so that one greedy circuit gets half, and two a third each. When little is free
//! the greediest of those that sit on more than an equal part ends. Who has few bytes and is slow with them harms nobody, and stays.
//!
//! Places are for circuits that move something. A stream costs nothing to open and nothing to keep, so it keeps no place either: when
//! places are few, whoever comes takes that of the circuit whose bytes moved longest ago.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use throng_core::Time;
use tokio::sync::Notify;

use crate::clock::Clock;

/// Above this a circuit's window to send makes nothing faster: 1.3 Gbit/s at a round trip of 100 ms.
pub(super) const SEND_WINDOW_BYTES_MAX: u64 = 16 << 20;
/// Of what is free, a circuit is given one in so many parts when its first stream opens, before it has shown what it can use.
const FIRST_SHARE: u64 = 64;
/// Less than one in so many parts free is a shortage.
const SHORTAGE_SHARE: u64 = 8;
/// In a shortage, whoever takes longer than this to move as much as it may hold is one to end.
const SITTING_TIME_MAX: Duration = Duration::from_secs(10);
/// So often one is looked for, however many would have more.
const LOOKING_PAUSE: Duration = Duration::from_millis(100);
/// This part of the places (one in so many) is for circuits that are about to end, since whoever takes their place is not to wait
/// for that.
const PLACES_KEPT_SHARE: usize = 16;
/// A circuit that moved something, or came, less than this ago does not have to go for one that comes: that one may find all places
/// taken, but nobody can throw out those who use theirs.
const QUIET_MIN: Duration = Duration::from_secs(5);

/// How much there is. Half of it is for the floors, so that no number of circuits can take them from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryTerms {
    /// What all circuits together may hold, in bytes.
    pub bytes_max: u64,
    /// Circuits with a pipe at once.
    pub circuits_max: usize,
    /// What every circuit may be sent, in bytes, also when nothing else is free.
    pub receive_floor: u32,
    /// What it may have sent unacknowledged so.
    pub send_floor: u32,
    /// The window to receive when its first stream opens, in bytes, if much is free.
    pub receive_first: u32,
}

impl MemoryTerms {
    /// A node's, at an exit. 256 MiB fit a machine with 1 GiB; a floor carries 160 kB/s at a round trip of 100 ms: slow pages, not
    /// none. Credit for uploads begins small, since it is not to be had back: if all circuits have it, half of what is shared
    /// is left for downloads.
    pub const EXIT: Self = Self {
        bytes_max: 256 << 20,
        circuits_max: 4096,
        receive_floor: 16 << 10,
        send_floor: 16 << 10,
        receive_first: 32 << 10,
    };
    /// A client's, which has few circuits and mostly receives: the floor holds what an exit sends before it hears anything.
    pub const CLIENT: Self = Self {
        bytes_max: 256 << 20,
        circuits_max: 1024,
        receive_floor: 96 << 10,
        send_floor: 32 << 10,
        receive_first: 1 << 20,
    };

    const fn floors(self) -> u64 {
        self.receive_floor as u64 + self.send_floor as u64
    }

    /// Circuits that need not end, at once.
    const fn staying_max(self) -> usize {
        self.circuits_max - self.circuits_max.div_ceil(PLACES_KEPT_SHARE)
    }

    /// What is shared: what is above all floors.
    const fn shared(self) -> u64 {
        self.bytes_max.saturating_sub(self.circuits_max as u64 * self.floors())
    }
}

const _: () = assert!(MemoryTerms::EXIT.shared() * 2 >= MemoryTerms::EXIT.bytes_max);
const _: () = assert!(MemoryTerms::CLIENT.shared() * 2 >= MemoryTerms::CLIENT.bytes_max);

/// The memory of a node's pipes.
#[derive(Debug)]
pub struct Memory {
    ledger: Mutex<Ledger>,
    clock: Clock,
}

impl Memory {
    /// Nothing of it is held yet.
    pub fn new(terms: MemoryTerms) -> Arc<Self> {
        Arc::new(Self { ledger: Mutex::new(Ledger::new(terms)), clock: Clock::start() })
    }

    /// What all circuits may hold now, in bytes: never more than [`MemoryTerms::bytes_max`].
    pub fn promised(&self) -> u64 {
        self.ledger().promised()
    }

    /// A place for one more circuit, if there is one.
    pub(crate) fn admit(self: &Arc<Self>) -> Option<Arc<Portion>> {
        let wake = Arc::new(Notify::new());
        let circuit = self.ledger().admit(Arc::clone(&wake))?;
        Some(Arc::new(Portion {
            memory: Arc::clone(self),
            circuit,
            wake,
            rests: AtomicBool::new(true),
            streams: AtomicUsize::new(0),
            taken: AtomicU64::new(0),
            written: AtomicU64::new(0),
            arrived: AtomicU64::new(0),
        }))
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.now = self.clock.now();
        ledger
    }
}

/// A circuit's part of it, and what its streams do with it. Whatever reads or writes for the circuit keeps it alive.
#[derive(Debug)]
pub(crate) struct Portion {
    memory: Arc<Memory>,
    circuit: u64,
    wake: Arc<Notify>,
    /// Whether nobody looks at the counters for a while.
    rests: AtomicBool,
    streams: AtomicUsize,
    taken: AtomicU64,
    written: AtomicU64,
    /// What had been written when everything had arrived.
    arrived: AtomicU64,
}

impl Portion {
    /// One more half of a stream.
    pub(crate) fn opened(&self) {
        self.streams.fetch_add(1, Relaxed);
        self.stir();
    }

    /// One half less.
    pub(crate) fn closed(&self) {
        self.streams.fetch_sub(1, Relaxed);
        self.stir();
    }

    /// So much was read from a stream.
    pub(crate) fn took(&self, bytes: usize) {
        self.taken.fetch_add(bytes as u64, Relaxed);
        self.stir();
    }

    /// So much was written to a stream.
    pub(crate) fn wrote(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Relaxed);
        self.stir();
    }

    /// Everything that was written is acknowledged.
    pub(super) fn all_arrived(&self) {
        self.arrived.store(self.written.load(Relaxed), Relaxed);
    }

    fn stir(&self) {
        if self.rests.load(Relaxed) && self.rests.swap(false, Relaxed) {
            self.wake.notify_one();
        }
    }

    /// Waits until a stream does something after [`Self::rest`], or it is to end.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// From now on a stream that does anything wakes whoever waits.
    pub(super) fn rest(&self) {
        self.rests.store(true, Relaxed);
    }

    /// What its streams did so far.
    pub(super) fn counters(&self) -> Counters {
        Counters {
            taken: self.taken.load(Relaxed),
            // Before what was written: that grows meanwhile.
            arrived: self.arrived.load(Relaxed),
            written: self.written.load(Relaxed),
            streams: self.streams.load(Relaxed),
        }
    }

    /// The windows that fit what was `seen`; none if the circuit has to end.
    pub(super) fn settle(&self, seen: &Turnover) -> Option<Windows> {
        self.memory.ledger().settle(self.circuit, seen)
    }
}

impl Drop for Portion {
    fn drop(&mut self) {
        self.memory.ledger().remove(self.circuit);
    }
}

/// What the streams of a circuit did since its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// Bytes that were read from them,
    pub(super) taken: u64,
    /// and written to them.
    pub(super) written: u64,
    /// What of the latter is known to have arrived.
    pub(super) arrived: u64,
    /// Halves of streams that are open.
    pub(super) streams: usize,
}

/// What a circuit did since its windows were last set.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turnover {
    /// Bytes that were read from its streams,
    pub(super) taken: u64,
    /// and written to them.
    pub(super) written: u64,
    /// At most so much of all that was written is not acknowledged.
    pub(super) unacknowledged: u64,
    /// Whether the far end said that it has more to send than it may.
    pub(super) blocked: bool,
    /// Whether it has a stream.
    pub(super) in_use: bool,
    /// What may be in flight, by congestion control, in bytes.
    pub(super) in_flight_max: u64,
    /// How long it takes from us to the far end and back,
    pub(super) round_trip: Duration,
    /// and how long ago its windows were set. Not zero.
    pub(super) passed: Duration,
}

impl Turnover {
    fn sends(&self) -> bool {
        self.in_use && (self.written > 0 || self.unacknowledged > 0)
    }
}

/// A circuit's windows, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Windows {
    pub(super) receive: u64,
    pub(super) send: u64,
    /// Whether it has more than its floors.
    pub(super) above_floor: bool,
}

/// Who has what: the rule, without any connection.
#[derive(Debug)]
struct Ledger {
    terms: MemoryTerms,
    shares: BTreeMap<u64, Grant>,
    /// What all of them have above their floors.
    above: u64,
    next: u64,
    /// Those of them that are about to end,
    leaving: usize,
    /// and the one among them that does so since there was a shortage.
    making_room: Option<u64>,
    /// When somebody to end was last looked for in vain.
    looked_at: Option<Time>,
    now: Time,
}

#[derive(Debug)]
struct Grant {
    receive: u64,
    /// Credit beyond `receive` that the far end has since that was more: it goes as what was sent with it is read.
    owed: u64,
    send: u64,
    /// What may still be unacknowledged since `send` was more; nothing when it is known to be less than `send`.
    unacknowledged: u64,
    /// The far end has more to send, and did not get the credit for it yet.
    blocked: bool,
    in_use: bool,
    /// When it last moved a byte, or else came,
    moved_at: Time,
    /// and that as a number that grows, for those that did so at the same time.
    moved_as: u64,
    /// What it moved, and how long it took so far, towards as much as it may hold.
    moved: u64,
    moving: Duration,
    /// It has to end.
    ends: bool,
    wake: Arc<Notify>,
}

impl Grant {
    /// It has to end. Whether that is new.
    fn end(&mut self) -> bool {
        self.wake.notify_one();
        !std::mem::replace(&mut self.ends, true)
    }

    /// What it may hold above its floors.
    fn above(&self, terms: &MemoryTerms) -> u64 {
        self.receive_above(terms) + self.send_above(terms)
    }

    fn receive_above(&self, terms: &MemoryTerms) -> u64 {
        (self.receive + self.owed).saturating_sub(terms.receive_floor.into())
    }

    fn send_above(&self, terms: &MemoryTerms) -> u64 {
        self.send.max(self.unacknowledged).saturating_sub(terms.send_floor.into())
    }

    fn heed(&mut self, seen: &Turnover, terms: &MemoryTerms) {
        self.owed = self.owed.saturating_sub(seen.taken);
        // A write succeeds only if what is not acknowledged is within the window.
        let at_most = if seen.written > 0 { 0 } else { seen.unacknowledged };
        self.unacknowledged = self.unacknowledged.min(at_most);
        // Where bytes are read credit is given anew, and whoever needs more says so again.
        self.blocked = seen.blocked || (self.blocked && seen.taken == 0);
        self.in_use = seen.in_use;
        self.moved += seen.taken + seen.written;
        self.moving += seen.passed;
        if self.moved >= self.above(terms) {
            (self.moved, self.moving) = (0, Duration::ZERO);
        }
    }

    /// The windows that would serve it best, if `free` is free.
    fn wanted(&self, seen: &Turnover, free: u64, terms: &MemoryTerms) -> (u64, u64) {
        let (receive_floor, send_floor) = (u64::from(terms.receive_floor), u64::from(terms.send_floor));
        if !seen.in_use {
            return (receive_floor, send_floor);
        }
        let first = free / FIRST_SHARE;
        // Twice what is read in a round trip: half is under way while the other half is read and credited.
        let passed = seen.passed.as_micros().max(1);
        let span = seen.round_trip.as_micros().max(passed);
        let flow = u64::try_from(2 * u128::from(seen.taken) * span / passed).unwrap_or(u64::MAX);
        let grown = if self.blocked { flow.max(2 * (self.receive + self.owed)) } else { flow };
        let receive = grown.max(u64::from(terms.receive_first).min(receive_floor + first));
        // The same for what is sent, as far as it is known what the way carries; and nothing while nothing is sent, since this
        // is given anew at once.
        let send =
            if seen.sends() { (2 * seen.in_flight_max).min(SEND_WINDOW_BYTES_MAX) } else { send_floor };
        let send = if self.send > send_floor { send } else { send.min(send_floor + first) };
        (receive.max(receive_floor), send.max(send_floor))
    }

    /// Takes on windows near those that are wanted, with `may` bytes above the floors. Whether it got all it wanted.
    fn adapt(&mut self, seen: &Turnover, (receive, send): (u64, u64), may: u64, terms: &MemoryTerms) -> bool {
        let (receive_floor, send_floor) = (u64::from(terms.receive_floor), u64::from(terms.send_floor));
        if !self.in_use {
            self.lower(receive_floor, send_floor);
        } else if !seen.sends() {
            self.lower(self.receive, send_floor);
        }
        if self.receive - receive_floor + (self.send - send_floor) > may {
            self.lower(receive_floor + may / 2, send_floor + may / 2);
        }
        let room = receive_floor + may.saturating_sub(self.send_above(terms));
        let credit = self.receive + self.owed;
        let more = receive.min(room).saturating_sub(credit);
        self.receive += more;
        self.blocked &= more == 0;
        let room = send_floor + may.saturating_sub(self.receive_above(terms));
        self.send = self.send.max(send.min(room));
        self.receive + self.owed >= receive && self.send >= send
    }

    /// Smaller windows from now on. What was promised with the old ones stays promised.
    fn lower(&mut self, receive: u64, send: u64) {
        let less = self.receive.saturating_sub(receive);
        self.receive -= less;
        self.owed += less;
        if send < self.send {
            self.unacknowledged = self.unacknowledged.max(self.send);
            self.send = send;
        }
    }
}

impl Ledger {
    fn new(terms: MemoryTerms) -> Self {
        let (shares, now) = (BTreeMap::new(), Time::ZERO);
        Self { terms, shares, above: 0, next: 0, leaving: 0, making_room: None, looked_at: None, now }
    }

    fn promised(&self) -> u64 {
        self.shares.len() as u64 * self.terms.floors() + self.above
    }

    fn count(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn admit(&mut self, wake: Arc<Notify>) -> Option<u64> {
        if self.shares.len() >= self.terms.circuits_max {
            return None;
        }
        if self.shares.len() - self.leaving >= self.terms.staying_max() {
            let staying = self.shares.values_mut().filter(|share| !share.ends);
            let longest = staying.min_by_key(|share| (share.moved_at, share.moved_as))?;
            if self.now - longest.moved_at < QUIET_MIN {
                return None;
            }
            self.leaving += usize::from(longest.end());
        }
        let circuit = self.count();
        let share = Grant {
            receive: self.terms.receive_floor.into(),
            owed: 0,
            send: self.terms.send_floor.into(),
            unacknowledged: 0,
            blocked: false,
            in_use: false,
            moved_at: self.now,
            moved_as: circuit,
            moved: 0,
            moving: Duration::ZERO,
            ends: false,
            wake,
        };
        self.shares.insert(circuit, share);
        Some(circuit)
    }

    fn settle(&mut self, circuit: u64, seen: &Turnover) -> Option<Windows> {
        let (now, number) = (self.now, self.count());
        let terms = self.terms;
        let share = self.shares.get_mut(&circuit)?;
        if share.ends {
            return None;
        }
        let others = self.above - share.above(&terms);
        share.heed(seen, &terms);
        if seen.taken > 0 || seen.written > 0 {
            (share.moved_at, share.moved_as) = (now, number);
        }
        // It may have what would still be free: half of what the others leave.
        let left = terms.shared().saturating_sub(others);
        let free = left.saturating_sub(share.above(&terms));
        let wanted = share.wanted(seen, free, &terms);
        let content = share.adapt(seen, wanted, left / 2, &terms);
        let above = share.above(&terms);
        self.above = others + above;
        let windows = Windows { receive: share.receive, send: share.send, above_floor: above > 0 };
        if !content && terms.shared() - self.above < terms.shared() / SHORTAGE_SHARE {
            self.end_one();
        }
        Some(windows)
    }

    /// Ends the greediest of those that sit on more than an equal part, one after the other.
    fn end_one(&mut self) {
        let has_looked = self.looked_at.is_some_and(|at| self.now - at < LOOKING_PAUSE);
        if self.making_room.is_some() || has_looked {
            return;
        }
        let terms = self.terms;
        let in_use = self.shares.values().filter(|share| share.in_use).count();
        let equal_part = terms.shared() / in_use.max(1) as u64;
        let sitting = self
            .shares
            .iter_mut()
            .filter(|(_, share)| share.moving > SITTING_TIME_MAX && share.above(&terms) > equal_part);
        match sitting.max_by_key(|(_, share)| share.above(&terms)) {
            Some((&circuit, greediest)) => {
                self.leaving += usize::from(greediest.end());
                self.making_room = Some(circuit);
            }
            None => self.looked_at = Some(self.now),
        }
    }

    fn remove(&mut self, circuit: u64) {
        if let Some(share) = self.shares.remove(&circuit) {
            self.above -= share.above(&self.terms);
            self.leaving -= usize::from(share.ends);
            self.making_room = self.making_room.filter(|&making_room| making_room != circuit);
        }
    }
}

#[cfg(all(feature = "fuzzing", not(test)))]
#[path = "../../../../fuzz/src/net/memory.rs"]
pub mod fuzzing;
#[cfg(test)]
mod tests;
