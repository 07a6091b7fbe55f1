//! One neighbour: the keys between us, what was seen, which circuits run here, whether it lives.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use zeroize::Zeroize;

use super::circuits::Circuits;
use crate::crypto::{ANSWER_BYTES, Initiation, LinkCipher as _, SessionSecret, Suite};
use crate::id::{End, NodeId};
use crate::limits::{
    CREATES_PER_LINK_PER_SECOND_MAX, LINK_AGE_FRESH, LINK_AGE_MAX, LINK_DATAGRAMS_MAX, LINK_IDLE_MAX,
    LINK_SILENCE_DEAD, LINK_UNCONFIRMED_MAX, LINK_WINDOW_DATAGRAMS, SETUP_SENDS_MAX, SILENCE_PROBE,
};
use crate::rate::Bucket;
use crate::refused::Refused;
use crate::silence::{Patience, Pulse, Silence, retry_after};
use crate::time::Time;
use crate::timers::Due;
use crate::window::Window;
use crate::wire::datagram::{LINK_HEADER_BYTES, LINK_TAG_BYTES};

/// How long a neighbour may be silent.
const PATIENCE: Patience = Patience { ask_after: SILENCE_PROBE, dead_after: LINK_SILENCE_DEAD };

/// Who opened a link.
pub(crate) enum Side<S: Suite> {
    /// We did, and wait for the answer.
    Opening(Box<Opening<S>>),
    /// We did.
    Initiator,
    /// The neighbour did.
    Responder {
        /// Kept until the neighbour shows that it has it.
        unconfirmed: Option<Box<Unconfirmed>>,
    },
}

pub(crate) struct Opening<S: Suite> {
    pub(crate) initiation: Initiation<S>,
    pub(crate) link_key: [u8; 32],
    /// Where the neighbour says it is; tried in turn. At least one.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) cookie: Option<[u8; 16]>,
    pub(crate) sends: u32,
}

pub(crate) struct Unconfirmed {
    /// The offer's first code, which stands for all of it.
    pub(crate) offer: [u8; 16],
    pub(crate) answer: [u8; ANSWER_BYTES],
}

/// One neighbour.
pub(crate) struct Link<S: Suite> {
    pub(crate) address: SocketAddr,
    /// Who it is; nobody in particular if it opened the link and did not say.
    pub(crate) peer: Option<NodeId>,
    pub(crate) side: Side<S>,
    pub(crate) circuits: Circuits,
    /// What is to be done when the link is up.
    pub(crate) waiting: Vec<End>,
    pub(crate) creates: Bucket,
    pub(crate) due: Due,
    /// As a mix that opened the link: how often we proved who we are, until we are believed.
    pub(crate) identify: Option<Identify>,
    keys: Option<Keys<S>>,
    pub(super) opened: Time,
    silence: Silence,
    /// How much longer than elsewhere the neighbour may be silent.
    more_patience: Duration,
}

pub(crate) struct Identify {
    pub(crate) sends: u32,
}

struct Keys<S: Suite> {
    their_session: u32,
    send: Direction<S>,
    receive: Direction<S>,
    seen: Window<LINK_WINDOW_DATAGRAMS>,
    counter: u64,
    /// The highest counter received, whose low 32 bits the window knows.
    highest: u64,
    binding: [u8; 32],
}

struct Direction<S: Suite> {
    key: S::LinkCipher,
    iv: [u8; 12],
}

impl<S: Suite> Direction<S> {
    fn new(session: &SessionSecret, name: &[u8]) -> Self {
        let mut bytes = [0u8; 28];
        session.expand::<S>(name, &mut bytes);
        let (key, iv) = bytes.split_first_chunk::<16>().expect("28 bytes");
        let direction = Self { key: S::LinkCipher::new(key), iv: iv.try_into().expect("12 bytes") };
        bytes.zeroize();
        direction
    }

    /// The counter, hidden under a secret start as in TLS 1.3 (RFC 8446, section 5.3).
    fn nonce(&self, counter: u64) -> [u8; 12] {
        let mut nonce = self.iv;
        for (byte, count) in nonce[4..].iter_mut().zip(counter.to_le_bytes()) {
            *byte ^= count;
        }
        nonce
    }
}

/// What a link wants when its time has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Nothing until then.
    Wait(Time),
    /// Send our offer (again).
    Offer,
    /// Say who we are (again).
    Identify,
    /// Ask whether the neighbour lives.
    Ping,
    /// The neighbour does not answer.
    Dead,
    /// Nobody needs it any more, or it is too old.
    Forget,
}

impl<S: Suite> Link<S> {
    /// A link that we open to `peer`.
    pub(crate) fn open_to(
        addresses: Vec<SocketAddr>,
        peer: NodeId,
        link_key: [u8; 32],
        initiation: Initiation<S>,
        now: Time,
    ) -> Self {
        let address = addresses[0];
        let opening = Opening { initiation, link_key, addresses, cookie: None, sends: 0 };
        Self::new(address, Some(peer), Side::Opening(Box::new(opening)), now)
    }

    /// A link that somebody opened to us.
    pub(crate) fn opened_by(
        address: SocketAddr,
        their_session: u32,
        session: &SessionSecret,
        unconfirmed: Unconfirmed,
        now: Time,
    ) -> Self {
        let side = Side::Responder { unconfirmed: Some(Box::new(unconfirmed)) };
        let mut link = Self::new(address, None, side, now);
        link.establish(their_session, session, now);
        link
    }

    fn new(address: SocketAddr, peer: Option<NodeId>, side: Side<S>, now: Time) -> Self {
        Self {
            address,
            peer,
            side,
            circuits: Circuits::default(),
            waiting: Vec::new(),
            creates: Bucket::new(CREATES_PER_LINK_PER_SECOND_MAX, now),
            due: Due::NONE,
            identify: None,
            keys: None,
            opened: now,
            silence: Silence::new(now),
            more_patience: Duration::ZERO,
        }
    }

    /// Puts the keys of a finished handshake in place.
    pub(crate) fn establish(&mut self, their_session: u32, session: &SessionSecret, now: Time) {
        let (send, receive): (&[u8], &[u8]) = match self.side {
            Side::Opening(_) | Side::Initiator => (b"from initiator", b"from responder"),
            Side::Responder { .. } => (b"from responder", b"from initiator"),
        };
        let mut binding = [0; 32];
        session.expand::<S>(b"binding", &mut binding);
        self.keys = Some(Keys {
            their_session,
            send: Direction::new(session, send),
            receive: Direction::new(session, receive),
            seen: Window::new(),
            counter: 0,
            highest: 0,
            binding,
        });
        if matches!(self.side, Side::Opening(_)) {
            self.side = Side::Initiator;
        }
        self.opened = now;
        self.silence.hear(now);
    }

    pub(crate) fn is_up(&self) -> bool {
        self.keys.is_some()
    }

    pub(crate) fn is_responder(&self) -> bool {
        matches!(self.side, Side::Responder { .. })
    }

    /// What both ends of this link know and nobody else, to sign.
    pub(crate) fn binding(&self) -> [u8; 32] {
        self.keys.as_ref().map_or([0; 32], |keys| keys.binding)
    }

    /// Whether a new circuit may run here: the keys are fresh, and the neighbour will not have forgotten us.
    pub(crate) fn takes_circuits(&self, now: Time) -> bool {
        let recent = !self.is_up() || now - self.silence.heard() < LINK_IDLE_MAX / 2;
        recent
            && now - self.opened < LINK_AGE_FRESH
            && self.keys.as_ref().is_none_or(|keys| keys.counter < LINK_DATAGRAMS_MAX / 2)
    }

    /// Whether the link is up and its key not used up.
    pub(crate) fn may_seal(&self) -> bool {
        self.keys.as_ref().is_some_and(|keys| keys.counter < LINK_DATAGRAMS_MAX)
    }

    /// Seals the cell that lies behind the header of `datagram`, in place.
    ///
    /// # Panics
    /// Unless it [may](Self::may_seal).
    pub(crate) fn seal(&mut self, datagram: &mut [u8]) {
        assert!(self.may_seal(), "no cell leaves unsealed, and no counter comes twice");
        let Some(keys) = self.keys.as_mut() else { return };
        let (header, rest) = datagram.split_at_mut(LINK_HEADER_BYTES);
        let (cell, tag) = rest.split_at_mut(rest.len() - LINK_TAG_BYTES);
        header[..4].copy_from_slice(&keys.their_session.to_le_bytes());
        header[4..].copy_from_slice(&keys.counter.to_le_bytes());
        tag.copy_from_slice(&keys.send.key.seal(&keys.send.nonce(keys.counter), header, cell));
        keys.counter += 1;
    }

    /// Opens a datagram in place and returns its cell: authentic, and not seen before.
    ///
    /// The counter is looked at before and noted after the tag is checked: a forger can neither make us work
    /// twice nor push the window.
    pub(crate) fn open<'d>(
        &mut self,
        counter: u64,
        datagram: &'d mut [u8],
        now: Time,
    ) -> Result<&'d mut [u8], Refused> {
        let keys = self.keys.as_mut().ok_or(Refused::UnknownSession)?;
        let window = LINK_WINDOW_DATAGRAMS as u64;
        // Far jumps forward are possible after an outage; far jumps back would alias in the window.
        if counter.saturating_add(window) <= keys.highest || !keys.seen.is_new(counter as u32) {
            return Err(Refused::ReplayedDatagram);
        }
        let (header, rest) = datagram.split_at_mut(LINK_HEADER_BYTES);
        let (cell, tag) = rest.split_last_chunk_mut::<LINK_TAG_BYTES>().ok_or(Refused::Malformed)?;
        keys.receive.key.open(&keys.receive.nonce(counter), header, cell, tag)?;
        if counter - keys.highest.min(counter) >= 1 << 31 {
            keys.seen = Window::new();
        }
        keys.seen.admit(counter as u32);
        keys.highest = keys.highest.max(counter);
        self.silence.hear(now);
        Ok(cell)
    }

    /// A neighbour that opened the link may move: its newest authentic datagram says where it is.
    pub(crate) fn follow(&mut self, from: SocketAddr, counter: u64) {
        let newest = self.keys.as_ref().is_some_and(|keys| keys.highest == counter);
        if newest && self.is_responder() {
            self.address = from;
        }
    }

    /// Notes that something was sent to which the neighbour will answer. When to look, if nothing was awaited
    /// before.
    pub(crate) fn await_answer(&mut self, now: Time) -> Option<Time> {
        self.silence.speak(self.patience(), now)
    }

    /// The link's time has come: what now?
    pub(crate) fn wish(&self, now: Time) -> Wish {
        if let Side::Opening(opening) = &self.side {
            return if opening.sends < SETUP_SENDS_MAX { Wish::Offer } else { Wish::Dead };
        }
        if let Side::Responder { unconfirmed: Some(_) } = &self.side {
            let end = self.opened + LINK_UNCONFIRMED_MAX;
            return if now >= end { Wish::Forget } else { Wish::Wait(end) };
        }
        if now - self.opened >= LINK_AGE_MAX {
            return Wish::Forget;
        }
        if self.circuits.is_empty() && self.waiting.is_empty() && now - self.silence.heard() >= LINK_IDLE_MAX
        {
            return Wish::Forget;
        }
        let pulse = self.silence.pulse(self.patience(), now);
        if pulse == Pulse::Dead {
            return Wish::Dead;
        }
        if self.identify.as_ref().is_some_and(|identify| identify.sends < SETUP_SENDS_MAX) {
            return Wish::Identify;
        }
        match pulse {
            Pulse::Ask => Wish::Ping,
            Pulse::Look(at) => Wish::Wait(at),
            Pulse::Calm | Pulse::Dead => {
                let idle = (self.silence.heard() + LINK_IDLE_MAX).max(now + LINK_IDLE_MAX / 4);
                Wish::Wait(idle.min(self.opened + LINK_AGE_MAX))
            }
        }
    }

    /// Notes that a question was sent, and says when to look again.
    pub(crate) fn asked(&mut self, now: Time) -> Time {
        match &self.side {
            Side::Opening(opening) => now + retry_after(opening.sends) + self.more_patience / 2,
            _ => self.silence.ask(now) + self.more_patience / 2,
        }
    }

    /// Whether an answer of the neighbour is due for longer than usual.
    pub(crate) fn is_silent(&self, now: Time) -> bool {
        self.silence.is_long(self.patience(), now)
    }

    /// Lets the neighbour be silent for longer.
    pub(crate) fn be_patient(&mut self, more: Duration) {
        self.more_patience = more;
    }

    fn patience(&self) -> Patience {
        let more = self.more_patience;
        Patience { ask_after: PATIENCE.ask_after + more, dead_after: PATIENCE.dead_after + 2 * more }
    }

    /// When something came last.
    pub(crate) fn last_heard(&self) -> Time {
        self.silence.heard()
    }
}
