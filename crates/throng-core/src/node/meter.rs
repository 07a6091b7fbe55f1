//! The anonymity meter: what this node itself observed.

use alloc::boxed::Box;

use crate::limits::COMPANY_COUNT_EVERY;
use crate::mixing::Company;
use crate::time::Time;

/// How well this mix mixes, as far as it sees. Nothing is counted before anybody asks.
#[derive(Default)]
pub(super) struct Meter(Option<Box<Census>>);

/// The last count of users and circuits.
struct Census {
    at: Time,
    users: u32,
    circuits: u32,
}

impl Meter {
    /// What was observed of the company within the last minute: users and circuits, which `count` counts now and then, and
    /// what the strategy saw.
    pub(super) fn company(
        &mut self,
        now: Time,
        count: impl FnOnce() -> (usize, usize),
        mixed: Company,
    ) -> Company {
        let recent = self.0.take_if(|census| now - census.at < COMPANY_COUNT_EVERY);
        let census = recent.unwrap_or_else(|| {
            let (users, circuits) = count();
            Box::new(Census { at: now, users: users as u32, circuits: circuits as u32 })
        });
        let Census { users, circuits, .. } = **self.0.insert(census);
        Company { users, circuits, ..mixed }
    }
}
