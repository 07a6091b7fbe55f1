//! Names and handles: of nodes, and of what a node keeps in its tables. Everything may know them; they know nothing.

use core::fmt;

use slotmap::{Key, KeyData, new_key_type};

/// A node's name: its Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub [u8; 32]);

impl NodeId {
    /// The short name by which a circuit's origin tells a mix whom it means. That it is the right node is
    /// proved by the handshake, not by this.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(*self.0.first_chunk().expect("an identity has 32 bytes"))
    }
}

/// The first eight bytes of an identity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 8]);

/// Whom a mix belongs to: the Ed25519 key of its operator's family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Family(pub [u8; 32]);

/// That a mix is of a family, as the family's key signed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Whose mix it is.
    pub family: Family,
    /// By the family's key, over the mix's identity.
    pub signature: [u8; 64],
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.fingerprint())
    }
}

new_key_type! {
    /// A circuit of this node's own.
    pub(crate) struct OriginKey;
    /// A circuit through this node.
    pub(crate) struct RelayKey;
}

/// Which circuit a name on a link stands for, and from which side we look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A circuit through us; cells from this link travel forward.
    Previous(RelayKey),
    /// A circuit through us; cells from this link travel backward.
    Next(RelayKey),
    /// A circuit of our own; cells from this link come to us.
    Origin(OriginKey),
}

/// A neighbour of this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NeighbourKey {
    session: u32,
    /// How many neighbours there were before it: a session number may come again.
    before: u32,
}

impl NeighbourKey {
    /// The neighbour with this session number before which there were so many others.
    pub(crate) const fn new(session: u32, before: u32) -> Self {
        Self { session, before }
    }

    /// What the neighbour called us by first; 0 if there never was such a neighbour.
    pub(crate) const fn session(self) -> u32 {
        self.session
    }
}

/// A node's handle for a circuit that it begins or ends. Handles are not used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CircuitId(u64);

const ORIGIN_BIT: u64 = 1 << 63;

impl CircuitId {
    pub(crate) fn origin(key: OriginKey) -> Self {
        Self(key.data().as_ffi() | ORIGIN_BIT)
    }

    pub(crate) fn relayed(key: RelayKey) -> Self {
        Self(key.data().as_ffi() & !ORIGIN_BIT)
    }

    pub(crate) fn to_origin(self) -> Option<OriginKey> {
        self.is_own().then(|| KeyData::from_ffi(self.0 & !ORIGIN_BIT).into())
    }

    pub(crate) fn to_relay(self) -> Option<RelayKey> {
        (!self.is_own()).then(|| KeyData::from_ffi(self.0).into())
    }

    /// Whether the circuit begins here.
    pub const fn is_own(self) -> bool {
        self.0 & ORIGIN_BIT != 0
    }

    /// The handle as a number, for a driver that has to put it into something else.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The handle that [`to_bits`](Self::to_bits) gave.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

impl fmt::Debug for CircuitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Which circuit it is may not stand in a log beside another node's log.
        f.write_str(if self.is_own() { "own circuit" } else { "relayed circuit" })
    }
}
