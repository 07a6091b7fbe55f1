//! The anonymity meter: what this node itself observed, and what its hops said.

use alloc::vec::Vec;
use core::time::Duration;

use super::Node;
use crate::crypto::Suite;
use crate::id::NodeId;
use crate::limits::COMPANY_COUNT_EVERY;
use crate::mixing::{Company, WITHIN};
use crate::time::Time;
use crate::wire::told::Told;

/// The last count of users and circuits.
pub(super) struct Census {
    at: Time,
    users: u32,
    circuits: u32,
}

/// A circuit of our own, as the meter sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCircuit {
    /// Its mixes, first to last.
    pub path: Vec<NodeId>,
    /// What each of them said of its company when it joined.
    pub told: Vec<Told>,
    /// How long ago that was.
    pub age: Duration,
    /// Whether streams use it, or may no more.
    pub is_used: bool,
}

impl<S: Suite> Node<S> {
    /// What this mix observed of its company within the last minute.
    pub fn company(&mut self, now: Time) -> Company {
        let is_old = self.census.as_ref().is_none_or(|census| now - census.at >= COMPANY_COUNT_EVERY);
        if is_old {
            self.census = Some(self.count(now).into());
        }
        let (users, circuits) = self.census.as_ref().map_or((0, 0), |census| (census.users, census.circuits));
        let mixed = self.waiting.as_ref().map(|waiting| waiting.minute.company(now));
        Company { users, circuits, ..mixed.unwrap_or(Company { set: 1.0, ..Company::default() }) }
    }

    fn count(&self, now: Time) -> Census {
        let users = self.links.users_since(now, WITHIN) as u32;
        let circuits = self.relays.values().filter(|relay| now - relay.heard() < WITHIN).count() as u32;
        Census { at: now, users, circuits }
    }

    /// Our own circuits that are ready.
    pub fn own_circuits(&self, now: Time) -> Vec<OwnCircuit> {
        let ready = self.owns.values().filter(|own| own.is_ready());
        let seen = ready.map(|own| OwnCircuit {
            path: own.path.iter().map(|record| record.description().identity).collect(),
            told: own.told().to_vec(),
            age: now - own.started,
            is_used: own.use_.isolation.is_some(),
        });
        seen.collect()
    }
}
