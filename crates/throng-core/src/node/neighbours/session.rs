//! One set of keys between two neighbours, and what was seen under it.

use core::net::SocketAddr;
use core::time::Duration;

use zeroize::Zeroize;

use crate::crypto::{LinkCipher as _, SessionSecret, Suite};
use crate::limits::{LINK_WINDOW_DATAGRAMS, SESSION_DATAGRAMS_MAX};
use crate::node::context::Cx;
use crate::refused::Refused;
use crate::time::Time;
use crate::window::Window;
use crate::wire::cell::CellHeader;
use crate::wire::datagram::{LINK_HEADER_BYTES, LINK_TAG_BYTES};

/// One set of keys between two neighbours.
pub(super) struct Session<S: Suite> {
    /// What the neighbour calls us by under these keys.
    pub(super) ours: u32,
    theirs: u32,
    /// When they came to be.
    pub(super) since: Time,
    /// When we are to renew them; never if the neighbour does.
    pub(super) renew_at: Time,
    /// What both ends know and nobody else, to sign.
    pub(super) binding: [u8; 32],
    send: Direction<S>,
    receive: Direction<S>,
    seen: Window<LINK_WINDOW_DATAGRAMS>,
    counter: u64,
    /// The highest counter received, whose low 32 bits the window knows.
    highest: u64,
}

/// Whose handshake a session's keys are from. Who began it renews them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    /// We did.
    Initiator {
        /// When other keys shall follow.
        renew_after: Duration,
    },
    /// The neighbour did.
    Responder,
}

struct Direction<S: Suite> {
    key: S::LinkCipher,
    iv: [u8; 12],
}

impl<S: Suite> Session<S> {
    /// The keys of a finished handshake, by the numbers that both ends gave it.
    pub(super) fn new((ours, theirs): (u32, u32), side: Side, secret: &SessionSecret, now: Time) -> Self {
        let (send, receive, renew_at): (&[u8], &[u8], Time) = match side {
            Side::Initiator { renew_after } => (b"from initiator", b"from responder", now + renew_after),
            Side::Responder => (b"from responder", b"from initiator", Time::NEVER),
        };
        let mut binding = [0; 32];
        secret.expand::<S>(b"binding", &mut binding);
        Self {
            ours,
            theirs,
            since: now,
            renew_at,
            binding,
            send: Direction::new(secret, send),
            receive: Direction::new(secret, receive),
            seen: Window::new(),
            counter: 0,
            highest: 0,
        }
    }

    /// Whether we began the handshake that these keys are from.
    pub(super) fn is_initiator(&self) -> bool {
        self.renew_at != Time::NEVER
    }

    /// Whether the keys are not used up.
    pub(super) fn may_seal(&self) -> bool {
        self.counter < SESSION_DATAGRAMS_MAX
    }

    /// Whether so many datagrams were sent that other keys should follow soon.
    pub(super) fn is_worn(&self) -> bool {
        self.counter >= SESSION_DATAGRAMS_MAX / 2
    }

    /// Seals a cell into a datagram of its own.
    ///
    /// # Panics
    /// Unless it [may](Self::may_seal).
    pub(super) fn seal_cell(
        &mut self,
        to: SocketAddr,
        header: CellHeader,
        body: &[u8],
        at: Time,
        cx: &mut Cx<'_>,
    ) {
        let datagram = cx.out.datagram_around(body, to, at);
        header.write(&mut datagram[LINK_HEADER_BYTES..]);
        self.seal(datagram);
        cx.counts.datagrams_out += 1;
    }

    /// Seals the cell that lies behind the header of `datagram`, in place.
    ///
    /// # Panics
    /// Unless it [may](Self::may_seal).
    #[inline]
    fn seal(&mut self, datagram: &mut [u8]) {
        assert!(self.may_seal(), "no counter comes twice");
        let (header, rest) = datagram.split_at_mut(LINK_HEADER_BYTES);
        let (cell, tag) = rest.split_at_mut(rest.len() - LINK_TAG_BYTES);
        header[..4].copy_from_slice(&self.theirs.to_le_bytes());
        header[4..].copy_from_slice(&self.counter.to_le_bytes());
        tag.copy_from_slice(&self.send.key.seal(&self.send.nonce(self.counter), header, cell));
        self.counter += 1;
    }

    /// Opens a datagram in place and returns its cell: authentic, and not seen before.
    ///
    /// The counter is looked at before and noted after the tag is checked: a forger can neither make us work
    /// twice nor push the window.
    #[inline]
    pub(super) fn open<'d>(&mut self, counter: u64, datagram: &'d mut [u8]) -> Result<&'d mut [u8], Refused> {
        let window = LINK_WINDOW_DATAGRAMS as u64;
        // Far jumps forward are possible after an outage; far jumps back would alias in the window.
        if counter.saturating_add(window) <= self.highest || !self.seen.is_new(counter as u32) {
            return Err(Refused::ReplayedDatagram);
        }
        let (header, rest) = datagram.split_at_mut(LINK_HEADER_BYTES);
        let (cell, tag) = rest.split_last_chunk_mut::<LINK_TAG_BYTES>().ok_or(Refused::Malformed)?;
        self.receive.key.open(&self.receive.nonce(counter), header, cell, tag)?;
        if counter - self.highest.min(counter) >= 1 << 31 {
            self.seen = Window::new();
        }
        self.seen.admit(counter as u32);
        self.highest = self.highest.max(counter);
        Ok(cell)
    }

    /// Whether no datagram came that was sent after the one with this counter.
    pub(super) fn is_newest(&self, counter: u64) -> bool {
        self.highest == counter
    }
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
