//! Why a peer's bytes were not acted on. The peer learns nothing; we count.

use alloc::boxed::Box;

use crate::wire::Malformed;

/// The rule that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Refused {
    /// Not of the network's one length.
    WrongLength,
    /// Bytes that mean nothing.
    Malformed,
    /// A datagram or a record of another version of Throng: only both of one version understand each other.
    OtherVersion,
    /// A datagram for a session that we do not have.
    UnknownSession,
    /// A datagram, answer or signature that was not made with the right key.
    Forged,
    /// A datagram that came before, or is older than the window.
    ReplayedDatagram,
    /// A cell that came before, or is older than the window.
    ReplayedCell,
    /// A cell of a circuit that we do not have.
    UnknownCircuit,
    /// A cell that arrived at the end of its circuit and is not for us: tampered with or tagged on the way.
    Noise,
    /// A message that has no meaning in this state.
    OutOfPlace,
    /// More handshakes or circuits than a bound allows.
    TooMany,
    /// Relaying was asked of a node that does not relay.
    NotAMix,
    /// A record that is expired or not yet valid.
    OutOfDate,
}

impl Refused {
    /// How many rules there are.
    pub const COUNT: usize = 13;
    /// Every rule.
    pub const ALL: [Self; Self::COUNT] = [
        Self::WrongLength,
        Self::Malformed,
        Self::OtherVersion,
        Self::UnknownSession,
        Self::Forged,
        Self::ReplayedDatagram,
        Self::ReplayedCell,
        Self::UnknownCircuit,
        Self::Noise,
        Self::OutOfPlace,
        Self::TooMany,
        Self::NotAMix,
        Self::OutOfDate,
    ];
}

impl From<Malformed> for Refused {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<crate::crypto::Forged> for Refused {
    fn from(_: crate::crypto::Forged) -> Self {
        Self::Forged
    }
}

/// What a node has seen and done, in numbers that name nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// None as long as nothing was refused, as at most nodes of a simulated population.
    refused: Option<Box<[u64; Refused::COUNT]>>,
    /// Datagrams that were authentic and new.
    pub datagrams_in: u64,
    /// Datagrams sent.
    pub datagrams_out: u64,
    /// Cells passed on for others.
    pub cells_relayed: u64,
    /// Cells dropped because a queue was full.
    pub cells_dropped: u64,
    /// Circuits of others that were set up through us.
    pub circuits_relayed: u64,
    /// Own circuits completed.
    pub circuits_built: u64,
    /// Own circuits that could not be completed.
    pub circuits_failed: u64,
}

impl Counts {
    pub(crate) fn refuse(&mut self, why: Refused) {
        self.refused.get_or_insert_default()[why as usize] += 1;
    }

    /// How often `why` was the reason.
    pub fn refused(&self, why: Refused) -> u64 {
        self.refused.as_ref().map_or(0, |refused| refused[why as usize])
    }
}
