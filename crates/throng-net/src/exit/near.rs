//! Where an exit stands: its own addresses, and the networks on its links.
//!
//! A connection from here to there passes no router and no firewall before ours, so that it may reach what is meant for this
//! machine or this house alone, however global its address looks.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use if_addrs::get_if_addrs;
use ipnet::IpNet;
use throng_core::Time;

use crate::clock::Clock;

/// Interfaces come and go: what was read so long ago is read again when it is asked for.
const READ_EVERY: Duration = Duration::from_secs(10);
/// A link of IPv6 has this prefix nearly always (RFC 4291 §2.5.1), also where our own address came without one (from DHCPv6).
const LINK_PREFIX_V6: u8 = 64;

/// What is near at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Near(Vec<IpNet>);

impl Near {
    /// From addresses with the lengths of their prefixes, in bits. A prefix without length stands for its address only: it would
    /// be everything.
    ///
    /// # Panics
    /// If a prefix is longer than its address.
    pub fn of(addresses: impl IntoIterator<Item = (IpAddr, u8)>) -> Self {
        let network = |(address, bits): (IpAddr, u8)| match (address, bits) {
            (_, 0) => IpNet::from(address),
            (IpAddr::V6(_), _) => IpNet::new_assert(address, bits.min(LINK_PREFIX_V6)),
            (IpAddr::V4(_), _) => IpNet::new_assert(address, bits),
        };
        Self(addresses.into_iter().map(network).collect())
    }

    /// Whether `address` is ours, or on one of our links.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// What is near now.
pub(super) struct Surroundings {
    /// The addresses that others know this machine by: behind a translator of addresses no interface has them.
    known_as: Vec<IpAddr>,
    clock: Clock,
    read: Mutex<Option<(Time, Arc<Near>)>>,
}

impl Surroundings {
    pub(super) fn new(known_as: Vec<IpAddr>) -> Self {
        Self { known_as, clock: Clock::start(), read: Mutex::default() }
    }

    /// As read at most [`READ_EVERY`] ago; as read last, if the system does not tell; nothing, if it never did.
    pub(super) fn now(&self) -> Option<Arc<Near>> {
        self.read_with(|| {
            let interfaces = get_if_addrs()?;
            Ok(interfaces.iter().map(|interface| (interface.addr.ip(), prefix(&interface.addr))).collect())
        })
    }

    fn read_with(&self, read: impl FnOnce() -> io::Result<Vec<(IpAddr, u8)>>) -> Option<Arc<Near>> {
        let now = self.clock.now();
        let mut last = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_none_or(|(at, _)| now - *at >= READ_EVERY)
            && let Ok(found) = read()
        {
            let known_as = self.known_as.iter().map(|address| (*address, 0));
            *last = Some((now, Arc::new(Near::of(known_as.chain(found)))));
        }
        last.as_ref().map(|(_, near)| Arc::clone(near))
    }
}

fn prefix(address: &if_addrs::IfAddr) -> u8 {
    match address {
        if_addrs::IfAddr::V4(address) => address.prefixlen,
        if_addrs::IfAddr::V6(address) => address.prefixlen,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_link_is_as_wide_as_its_prefix_says_and_never_everything() {
        let near = Near::of([(ip("198.51.100.9"), 28), (ip("203.0.113.1"), 0), (ip("2001:db8::9"), 128)]);
        for text in ["198.51.100.0", "198.51.100.15", "203.0.113.1", "2001:db8::9", "2001:db8::ffff:0:0:1"] {
            assert!(near.contains(ip(text)), "{text}");
        }
        for text in ["198.51.100.16", "203.0.113.2", "2001:db8:0:1::9", "8.8.8.8"] {
            assert!(!near.contains(ip(text)), "{text}");
        }
    }

    #[test]
    fn this_machine_is_near_itself() {
        let near = Surroundings::new(vec![ip("203.0.113.9")]).now().unwrap();
        assert!(near.contains(ip("127.0.0.1")), "every machine that runs tests has loopback");
        assert!(near.contains(ip("203.0.113.9")), "so others know it");
        assert!(!near.contains(ip("203.0.113.10")));
    }

    #[test]
    fn what_the_system_does_not_tell_is_as_it_was_and_nothing_if_it_never_did() {
        let surroundings = Surroundings::new(Vec::new());
        let fails = || Err(io::ErrorKind::Other.into());
        assert_eq!(surroundings.read_with(fails), None);
        let found = surroundings.read_with(|| Ok(vec![(ip("198.51.100.9"), 24)])).unwrap();
        assert!(found.contains(ip("198.51.100.1")));
        assert_eq!(surroundings.read_with(fails), Some(Arc::clone(&found)));
        assert_eq!(surroundings.read_with(|| panic!("it was read a moment ago")), Some(found));
    }
}
