//! What must never happen, looked at from outside: readers of nodes, that change nothing.
//!
//! * No node's tables contradict each other ([`audits`]).
//! * No bound of `throng_core::limits` is exceeded ([`bounds`]).
//! * No cell of one user is delivered to another, no circuit changes hands, no answer has other bytes than its question
//!   asked for: `apps` sees to that at every delivery.
//! * No key is used twice with one nonce: [`toy::watch`](crate::toy::watch).
//! * Every exchange ends or fails visibly: looked at when everything was healed.

use throng_core::Sizes;
use throng_core::crypto::Suite;
use throng_core::limits::{LINKS_MAX, OWN_CIRCUITS_MAX, RELAYED_CIRCUITS_MAX};

use crate::host::HostId;
use crate::wire::Watcher;
use crate::world::World;

/// Which hosts have more of something than they may have.
pub(crate) fn bounds<S: Suite, W: Watcher>(
    world: &World<S, W>,
    hosts: impl Iterator<Item = HostId>,
) -> Vec<String> {
    let mut problems = Vec::new();
    for host in hosts.filter(|host| world.is_up(*host)) {
        let node = world.node(host);
        let Sizes { links, relayed: relays, own: owns } = node.sizes();
        for (what, count, most) in [
            ("links", links, LINKS_MAX),
            ("circuits through it", relays, RELAYED_CIRCUITS_MAX),
            ("circuits of its own", owns, OWN_CIRCUITS_MAX),
        ] {
            if count > most {
                problems.push(format!("{:?}: a host has {count} {what} of {most} at most", world.now()));
            }
        }
    }
    problems
}

/// What nodes find wrong in themselves: tables that do not agree with each other.
pub(crate) fn audits<S: Suite, W: Watcher>(
    world: &World<S, W>,
    hosts: impl Iterator<Item = HostId>,
) -> Vec<String> {
    let up = hosts.filter(|host| world.is_up(*host));
    let found = up.flat_map(|host| world.node(host).audit());
    found.map(|problem| format!("{:?}: inside a host: {problem}", world.now())).collect()
}
