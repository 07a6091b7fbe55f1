//! The node looked at from inside: whether its tables agree with each other.
//!
//! Rooms do not know each other, so no room can see that another one still names what it has given up. Every relation that
//! spans two of them is checked here; each room checks what is its own. The simulator's swarm asks after every second, a
//! build with debug assertions now and then.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::context::Common;
use super::rooms::Rooms;
use crate::cover::Speaker;
use crate::crypto::Suite;
use crate::id::{End, NeighbourKey};
use crate::limits::{OWN_CIRCUITS_MAX, RELAYED_CIRCUITS_MAX};
use crate::timers::Timer;

impl<S: Suite> Rooms<S> {
    /// What is wrong.
    pub(super) fn audit(&self, common: &Common) -> Vec<String> {
        let mut problems = Vec::new();
        if self.relays.len() > RELAYED_CIRCUITS_MAX || self.origins.len() > OWN_CIRCUITS_MAX {
            problems.push("more circuits than there may be".into());
        }
        if !self.relays.has_few_parts() || !self.origins.has_few_parts() {
            problems.push("more messages in parts than there may be".into());
        }
        if !self.relays.counts_covered() {
            problems.push("circuits that speak in slots are counted wrong".into());
        }
        self.neighbours.audit(&common.slots, &mut problems);
        self.audit_circuits(&mut problems);
        self.audit_timers(common, &mut problems);
        self.audit_slots(common, &mut problems);
        problems
    }

    /// Links and circuits know of each other.
    fn audit_circuits(&self, problems: &mut Vec<String>) {
        let mut is_known = |end, place: (NeighbourKey, u32), by: &str| {
            if self.place_of(end) != Some(place) {
                problems.push(format!("{by} names {end:?}, which does not know it"));
            }
        };
        self.neighbours.circuits().for_each(|(link, name, end)| is_known(end, (link, name), "a link"));
        for (link, end) in self.neighbours.waiting() {
            let place = self.place_of(end).filter(|_| !matches!(end, End::Previous(_)));
            if place.is_none_or(|(known, _)| known != link) {
                problems.push(format!("{end:?} waits for a link and is not there any more"));
            }
        }
        for (end, (link, name)) in self.relays.places().chain(self.origins.places()) {
            if self.neighbours.circuit(link, name) != Ok(end) {
                problems.push(format!("{end:?} names a link that does not know it"));
            }
        }
    }

    /// Every timer has its owner.
    fn audit_timers(&self, common: &Common, problems: &mut Vec<String>) {
        for (at, timer) in common.timers.entries() {
            let due = match timer {
                Timer::Link(link) => self.neighbours.due(link),
                Timer::Mesh => Some(self.neighbours.mesh_due()),
                Timer::Relay(relay) => self.relays.due(relay),
                Timer::Origin(origin) => self.origins.due(origin),
                Timer::Supply => Some(self.origins.supply_due()),
                Timer::Exchange => self.members.due(),
            };
            if !due.is_some_and(|due| due.is_at(at)) {
                problems.push(format!("a timer of {timer:?}, which does not want it"));
            }
        }
    }

    /// Every slot has its speaker.
    fn audit_slots(&self, common: &Common, problems: &mut Vec<String>) {
        for (at, speaker) in common.slots.entries() {
            let is_wanted = match speaker {
                Speaker::Link(_) | Speaker::Guard(_) => self.neighbours.speaks_at(speaker, at),
                Speaker::Origin(origin) => self.origins.speaks_at(origin, at),
                Speaker::Relay(relay) => self.relays.speaks_at(relay, at),
                Speaker::Tick | Speaker::Day => true,
            };
            if !is_wanted {
                problems.push(format!("a slot of a {} that does not want it", kind(speaker)));
            }
        }
    }

    /// Where a circuit is, seen from one of its ends.
    fn place_of(&self, end: End) -> Option<(NeighbourKey, u32)> {
        match end {
            End::Origin(origin) => self.origins.place(origin),
            End::Previous(relay) => self.relays.previous(relay),
            End::Next(relay) => self.relays.next(relay),
        }
    }
}

/// Without the address, which does not print.
fn kind(speaker: Speaker) -> &'static str {
    match speaker {
        Speaker::Link(_) => "link",
        Speaker::Guard(_) => "defence",
        Speaker::Origin(_) => "circuit of our own",
        Speaker::Relay(_) => "circuit through us",
        Speaker::Tick | Speaker::Day => "clock",
    }
}
