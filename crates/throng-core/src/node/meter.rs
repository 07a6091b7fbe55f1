//! The anonymity meter: what this node itself observed, and what its hops said.

use alloc::boxed::Box;

use super::routing::Rooms;
use crate::crypto::Suite;
use crate::limits::COMPANY_COUNT_EVERY;
use crate::mixing::{Company, WITHIN};
use crate::time::Time;

/// The last count of users and circuits.
struct Census {
    at: Time,
    users: u32,
    circuits: u32,
}

/// How well this mix mixes, as far as it sees. Nothing is counted before anybody asks.
#[derive(Default)]
pub(super) struct Meter(Option<Box<Census>>);

impl<S: Suite> Rooms<S> {
    /// What this mix observed of its company within the last minute.
    pub(super) fn company(&mut self, now: Time) -> Company {
        let is_old = self.meter.0.as_ref().is_none_or(|census| now - census.at >= COMPANY_COUNT_EVERY);
        if is_old {
            let users = self.neighbours.users_since(now, WITHIN) as u32;
            let circuits = self.relays.heard_since(now, WITHIN) as u32;
            self.meter.0 = Some(Box::new(Census { at: now, users, circuits }));
        }
        let counted = self.meter.0.as_ref().map_or((0, 0), |census| (census.users, census.circuits));
        let (users, circuits) = counted;
        Company { users, circuits, ..self.hold.company(now) }
    }
}
