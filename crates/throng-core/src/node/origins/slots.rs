//! Own circuits that speak in slots.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::Origins;
use super::origin::Origin;
use crate::cover::{CircuitCover, CircuitPace, CircuitTurn, Speaker, Timing};
use crate::crypto::Suite;
use crate::id::{NeighbourKey, OriginKey};
use crate::node::context::Cx;
use crate::wire::message::Message;

impl<S: Suite> Origins<S> {
    /// A circuit is ready: it gets slots if the design says so.
    pub(super) fn cover(&mut self, key: OriginKey, cx: &mut Cx<'_>) {
        let Some(origin) = self.origins.get_mut(key).filter(|_| cx.slots.is_running()) else { return };
        if !cx.slots.may_spend(cx.now) {
            return;
        }
        let (cover, timing) = (cx.design.cover.circuits, cx.slots.timing_of(Timing::Origin(key)));
        if let Some(pace) = CircuitPace::new(cover, true, cx.design.geometry, timing, cx.now) {
            cx.slots.schedule(pace.due(), Speaker::Origin(key));
            origin.pace = Some(Box::new(pace));
        }
    }

    /// Every circuit that is ready gets slots if the design says so and it has none.
    pub(in crate::node) fn cover_all(&mut self, cx: &mut Cx<'_>) {
        let bare = self.origins.iter().filter(|(_, origin)| origin.is_ready() && origin.pace.is_none());
        let bare: Vec<OriginKey> = bare.map(|(key, _)| key).collect();
        bare.into_iter().for_each(|key| self.cover(key, cx));
    }

    /// They speak when there is something to say.
    pub(in crate::node) fn stop_covering(&mut self, cx: &mut Cx<'_>) {
        self.origins.iter_mut().for_each(|(key, origin)| origin.stop_covering(key, cx));
    }

    /// The link that a circuit begins with.
    pub(in crate::node) fn link_of(&self, key: OriginKey) -> Option<NeighbourKey> {
        self.origins.get(key).map(|origin| origin.link)
    }

    /// Fills the next slot of a circuit. `is_link_covered`: its link has slots as well, and those are what it costs.
    pub(in crate::node) fn speak(&mut self, key: OriginKey, is_link_covered: bool, cx: &mut Cx<'_>) {
        let Some(pace) = self.origins.get_mut(key).and_then(|origin| origin.pace.as_mut()) else { return };
        let missed = pace.skip(cx.now);
        let (at, turn) = (pace.due(), (missed == 0).then(|| pace.turn(cx.now)));
        cx.slots.schedule(pace.due(), Speaker::Origin(key));
        cx.slots.note(|spent| spent.note_turn(missed, turn.as_ref()));
        if turn.is_some() && !is_link_covered {
            cx.slots.pay(cx.now);
        }
        match turn {
            Some(CircuitTurn::Payload(payload)) => self.send_message(key, &payload.message(), at, cx),
            Some(CircuitTurn::Dummy) => self.send_message(key, &Message::Dummy, at, cx),
            Some(CircuitTurn::Loop) => {
                let token = cx.chance.keys.u32();
                self.send_message(key, &Message::Probe { token }, at, cx);
            }
            None => {}
        }
    }

    /// Circuits to have in store. Covered ones speak all the time, so that there is only one of them while nobody uses it,
    /// and none beside one in use.
    pub(super) fn spare_wanted(&self, cx: &Cx<'_>) -> usize {
        if cx.design.cover.circuits == CircuitCover::None {
            return self.supply.spare;
        }
        let is_used =
            self.origins.values().any(|origin| origin.use_.isolation.is_some() && !origin.use_.retired);
        self.supply.spare.min(usize::from(!is_used))
    }
}

impl<S: Suite> Origin<S> {
    /// It has no slots any more, nor an entry for the next one.
    pub(super) fn stop_covering(&mut self, key: OriginKey, cx: &mut Cx<'_>) {
        if let Some(pace) = self.pace.take() {
            cx.slots.unschedule(pace.due(), Speaker::Origin(key));
        }
    }
}
