//! Whether the tables of the neighbours agree with each other.

use alloc::string::String;
use alloc::vec::Vec;

use super::Neighbours;
use super::neighbour::Neighbour;
use crate::cover::{SlotClock, Speaker};
use crate::crypto::Suite;
use crate::id::{End, NeighbourKey};
use crate::limits::WAITING_CREATES_MAX;
use crate::time::Time;
use crate::timers::Due;

impl<S: Suite> Neighbours<S> {
    /// Says what is wrong.
    pub(in crate::node) fn audit(&self, clock: &SlotClock, problems: &mut Vec<String>) {
        self.links.audit(problems);
        self.audit_admittance(problems);
        let mut check = |holds: bool, what: &str| {
            if !holds {
                problems.push(what.into());
            }
        };
        check(self.parts.is_within_bound(), "more messages in parts than there may be");
        for (key, link) in self.links.iter() {
            check(link.waiting.len() <= WAITING_CREATES_MAX, "more set-ups wait for a link than may");
            check(link.waiting.is_empty() || !link.is_up(), "something waits for a link that is up");
            let Some(slots) = &link.slots else { continue };
            let mut on_clock = clock.entries().filter(|(_, speaker)| *speaker == Speaker::Link(key));
            let due = on_clock.next().map_or(Time::NEVER, |(at, _)| at);
            check(due == slots.due() && on_clock.next().is_none(), "slots that nobody fills, or fills twice");
        }
    }

    /// The circuits on all links, by their names.
    pub(in crate::node) fn circuits(&self) -> impl Iterator<Item = (NeighbourKey, u32, End)> {
        let on = |(key, link): (NeighbourKey, &Neighbour<S>)| {
            link.circuits.iter().map(|(name, end)| (key, name, end)).collect::<Vec<_>>()
        };
        self.links.iter().flat_map(on)
    }

    /// What waits for links.
    pub(in crate::node) fn waiting(&self) -> impl Iterator<Item = (NeighbourKey, End)> {
        self.links.iter().flat_map(|(key, link)| link.waiting.iter().map(move |end| (key, *end)))
    }

    pub(in crate::node) fn due(&self, key: NeighbourKey) -> Option<Due> {
        self.links.get(key).map(|link| link.due)
    }

    pub(in crate::node) fn mesh_due(&self) -> Due {
        self.mesh
    }

    /// Whether a link or its defence has a slot then.
    pub(in crate::node) fn speaks_at(&self, speaker: Speaker, at: Time) -> bool {
        let (Speaker::Link(key) | Speaker::Guard(key)) = speaker else { return false };
        let Some(link) = self.links.get(key) else { return false };
        match speaker {
            Speaker::Link(_) => link.slots.as_ref().is_some_and(|slots| slots.due() == at),
            _ => link.guard.as_ref().is_some_and(|guard| guard.due == at),
        }
    }
}
