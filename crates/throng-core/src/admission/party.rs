//! For whom something is counted.

use core::net::IpAddr;

use crate::id::NodeId;

/// For whom something is counted: a mix that we know, or where somebody was proved to be.
///
/// It is a way down a tree: the class, and in it three blocks, each a part of the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Party {
    class: Class,
    blocks: [u128; 3],
}

/// Known mixes speak for many, and are few: strangers can never take more than their own half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Strangers,
    Mixes,
}

/// A place in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Block {
    All,
    Class(Class),
    /// At a depth from 0 to 2.
    Part(Class, u8, u128),
}

impl Party {
    /// A mix whose record we have.
    pub(crate) fn mix(id: NodeId) -> Self {
        let name = u128::from_be_bytes(*id.0.first_chunk().expect("32 bytes"));
        Self { class: Class::Mixes, blocks: [name; 3] }
    }

    /// Somebody at an address: of IPv4, in its /16, in its /24; of IPv6, in its /32, in its /48, and there in a /64, of which
    /// every home has one at least.
    pub(crate) fn at(ip: IpAddr) -> Self {
        let (ip, kept_bits) = match ip.to_canonical() {
            IpAddr::V4(ip) => (ip.to_ipv6_mapped(), [112, 120, 128]),
            IpAddr::V6(ip) => (ip, [32, 48, 64]),
        };
        Self {
            class: Class::Strangers,
            blocks: kept_bits.map(|kept| ip.to_bits() & (u128::MAX << (128 - kept))),
        }
    }

    /// Whoever says to be somewhere, which anybody could say: one for all of them.
    pub(crate) fn unproved() -> Self {
        Self { class: Class::Strangers, blocks: [u128::MAX; 3] }
    }

    /// Whether it is a mix that we know.
    pub(crate) fn is_mix(self) -> bool {
        self.class == Class::Mixes
    }

    /// All that share its narrow block of addresses, as one; a mix is itself.
    pub(super) fn narrow(self) -> Self {
        let [wide, narrow, _] = self.blocks;
        Self { class: self.class, blocks: [wide, narrow, narrow] }
    }

    /// The way from the top to itself.
    pub(super) fn way(self) -> [Block; 5] {
        let part = |depth: u8| Block::Part(self.class, depth, self.blocks[usize::from(depth)]);
        [Block::All, Block::Class(self.class), part(0), part(1), part(2)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(one: &str, other: &str) -> usize {
        let [one, other] = [one, other].map(|ip| Party::at(ip.parse().unwrap()).way());
        one.iter().zip(other).filter(|(one, other)| *one == other).count()
    }

    #[test]
    fn neighbours_in_the_address_space_share_their_blocks() {
        assert_eq!(shared("192.0.2.1", "192.0.2.1"), 5);
        assert_eq!(shared("192.0.2.1", "192.0.2.2"), 4, "a /24");
        assert_eq!(shared("192.0.2.1", "192.0.3.1"), 3, "a /16");
        assert_eq!(shared("192.0.2.1", "192.1.2.1"), 2);
        assert_eq!(shared("::ffff:192.0.2.1", "192.0.2.1"), 5, "one address in two forms");
        assert_eq!(shared("2001:db8:1:1::1", "2001:db8:1:1::2"), 5, "a /64");
        assert_eq!(shared("2001:db8:1:1::1", "2001:db8:1:2::1"), 4, "a /48");
        assert_eq!(shared("2001:db8:1::1", "2001:db8:2::1"), 3, "a /32");
        assert_eq!(shared("2001:db8::1", "2001:db9::1"), 2);
    }
}
