//! One chain of mixes, seen from one node: from its origin, or from a mix in it.

mod layers;
mod origin;
mod relay;
mod supply;

#[cfg(test)]
mod tests;

use core::fmt;

use slotmap::{Key, KeyData, new_key_type};

pub(crate) use layers::Layers;
pub(crate) use origin::{Building, Own, Stage};
pub(crate) use relay::{Answered, Extending, Next, Peeled, Relay};
pub(crate) use supply::{Need, Supply};

new_key_type! {
    /// A circuit of this node's own.
    pub(crate) struct OwnKey;
    /// A circuit through this node.
    pub(crate) struct RelayKey;
}

/// A node's handle for a circuit that it begins or ends. Handles are not used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CircuitId(u64);

const OWN_BIT: u64 = 1 << 63;

impl CircuitId {
    pub(crate) fn own(key: OwnKey) -> Self {
        Self(key.data().as_ffi() | OWN_BIT)
    }

    pub(crate) fn relayed(key: RelayKey) -> Self {
        Self(key.data().as_ffi() & !OWN_BIT)
    }

    pub(crate) fn to_own(self) -> Option<OwnKey> {
        self.is_own().then(|| KeyData::from_ffi(self.0 & !OWN_BIT).into())
    }

    pub(crate) fn to_relay(self) -> Option<RelayKey> {
        (!self.is_own()).then(|| KeyData::from_ffi(self.0).into())
    }

    /// Whether the circuit begins here.
    pub const fn is_own(self) -> bool {
        self.0 & OWN_BIT != 0
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
