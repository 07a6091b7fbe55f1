//! Where a neighbour is: the address that is used, others that it may be at, and how one is proved.
//!
//! An address alone proves nothing: whoever sits on the way can send a neighbour's datagram again from elsewhere. So
//! another address is asked first, under the keys of the link, and used once the answer is there (as in QUIC, RFC 9000,
//! section 8.2).

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::net::SocketAddr;

use crate::limits::{PATH_PROBE_EVERY, PATH_PROBE_MAX};
use crate::membership::Record;
use crate::time::Time;

/// The addresses of one neighbour.
pub(super) struct Paths {
    /// Where it was proved to be, or where its handshake goes.
    chosen: SocketAddr,
    /// What it says of itself, if we knew it before; its addresses are tried in turn.
    pub(super) record: Option<Arc<Record>>,
    probe: Option<Box<Probe>>,
}

/// A question at another address.
struct Probe {
    address: SocketAddr,
    /// Comes back in the answer; never 0.
    token: u64,
    begun: Time,
    sent: Time,
}

impl Paths {
    /// Those of a node that we know.
    pub(super) fn of(record: Arc<Record>) -> Self {
        Self { chosen: record.description().addresses[0].0, record: Some(record), probe: None }
    }

    /// Somebody at an address.
    pub(super) fn at(address: SocketAddr) -> Self {
        Self { chosen: address, record: None, probe: None }
    }

    pub(super) fn chosen(&self) -> SocketAddr {
        self.chosen
    }

    /// The address that the `turn`-th attempt to reach the neighbour goes to.
    pub(super) fn in_turn(&self, turn: u32) -> SocketAddr {
        let Some(record) = &self.record else { return self.chosen };
        let addresses = &record.description().addresses;
        addresses[turn as usize % addresses.len()].0
    }

    /// The handshake goes there from now on, or was answered from there.
    pub(super) fn choose(&mut self, address: SocketAddr) {
        self.chosen = address;
    }

    /// Whether a handshake may be answered from there.
    pub(super) fn is_candidate(&self, address: SocketAddr) -> bool {
        let listed =
            |record: &Arc<Record>| record.description().addresses.iter().any(|known| known.0 == address);
        self.record.as_ref().is_some_and(listed)
    }

    /// Another address than the one in use, to be tried while the neighbour is silent there.
    pub(super) fn another(&self, turn: u32) -> Option<SocketAddr> {
        Some(self.in_turn(turn)).filter(|address| *address != self.chosen)
    }

    /// Whether the neighbour may be asked at another address now.
    pub(super) fn may_probe(&self, address: SocketAddr, now: Time) -> bool {
        let may = |probe: &Probe| match probe.address == address {
            true => now - probe.sent >= PATH_PROBE_EVERY,
            // An answer from there may be under way, which a datagram from elsewhere must not keep away.
            false => now - probe.begun >= PATH_PROBE_MAX,
        };
        address != self.chosen && self.probe.as_deref().is_none_or(may)
    }

    /// The neighbour is asked there (again). With which token: with the one that was drawn now only if it was not asked there
    /// before, since the answer to that may still be under way.
    pub(super) fn probe(&mut self, address: SocketAddr, drawn: u64, now: Time) -> u64 {
        let before = self.probe.as_ref().filter(|probe| probe.address == address);
        let (token, begun) = before.map_or((drawn | 1, now), |probe| (probe.token, probe.begun));
        self.probe = Some(Box::new(Probe { address, token, begun, sent: now }));
        token
    }

    /// A question with this token was answered: if it was asked elsewhere, the neighbour is there.
    /// Whether it was news.
    pub(super) fn prove(&mut self, token: u64) -> bool {
        let proved = self.probe.take_if(|probe| probe.token == token);
        if let Some(probe) = &proved {
            self.chosen = probe.address;
        }
        proved.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn an_answer_that_takes_longer_than_questions_are_apart_proves_the_address() {
        let mut paths = Paths::at(address(1));
        assert!(!paths.may_probe(address(1), Time::ZERO), "it is there");
        let token = paths.probe(address(2), 8, Time::ZERO);
        assert!(!paths.may_probe(address(2), Time::ZERO), "not so soon again");
        let later = Time::ZERO + PATH_PROBE_EVERY + Duration::from_millis(1);
        assert!(paths.may_probe(address(2), later));
        assert_eq!(paths.probe(address(2), 10, later), token);
        paths.prove(token ^ 2);
        paths.prove(0);
        assert_eq!(paths.chosen(), address(1));
        paths.prove(token);
        assert_eq!(paths.chosen(), address(2));
    }
}
