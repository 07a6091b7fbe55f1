//! Speaking without need: which neighbours hear us in slots or past a defence, and what goes into each slot.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use super::Neighbours;
use super::demand::CommonRate;
use super::neighbour::{Neighbour, Who};
use crate::cover::{
    Act, Content, DEFENCE_PADDING, Guard, LinkSlots, LinkTurn, Pace, Pass, Passed, Rate, Speaker, Timing,
    UserLinkCover,
};
use crate::crypto::Suite;
use crate::departure::Departure;
use crate::id::NeighbourKey;
use crate::limits::{DEFENCE_ACTS_MAX, DEFENCE_REST, SLOT_GUARD};

use crate::membership::View;
use crate::node::context::Cx;
use crate::time::Time;
use crate::wire::cell::CellHeader;
use crate::wire::control::{Control, Ended};

/// A neighbour that is covered may be silent for so many gaps more than another one.
const GAPS_OF_PATIENCE: u32 = 4;

impl<S: Suite> Neighbours<S> {
    // --- Beginning and end ----------------------------------------------------------------------------

    /// A link came up, or showed whose it is: it gets slots if the design says so.
    pub(in crate::node) fn cover_link(&mut self, key: NeighbourKey, view: &View, cx: &mut Cx<'_>) {
        self.grant_patience(key, cx);
        let Some(link) = self.links.get(key).filter(|link| link.is_up()) else { return };
        let is_mix = link.peer().is_some_and(|peer| view.get(peer).is_some());
        if !cx.me.relays_for_others && !cx.slots.may_spend(cx.now) {
            return;
        }
        let law = match (cx.me.relays_for_others, &cx.design.cover.user_links) {
            (true, _) if is_mix => cx.design.cover.mix_links.slots(),
            (true, _) => None, // a client tells us its rate
            (false, UserLinkCover::Machines(machines)) => {
                let text = machines.client.clone();
                return self.begin_defence(key, &text, cx);
            }
            (false, cover) => cover.slots(),
        };
        if let Some(law) = law {
            self.admittance.iter_mut().for_each(|admittance| admittance.cover_went(key));
            self.begin_slots(key, law, cx);
        }
    }

    /// Every link gets slots if the design says so and it has none.
    pub(in crate::node) fn cover_links(&mut self, view: &View, cx: &mut Cx<'_>) {
        let keys: Vec<NeighbourKey> = self.links.iter().map(|(key, _)| key).collect();
        keys.into_iter().for_each(|key| self.cover_link(key, view, cx));
    }

    /// A client makes a circuit through us: at our end of its link there is a defence as well, if the design says so.
    pub(in crate::node) fn cover_client(&mut self, key: NeighbourKey, cx: &mut Cx<'_>) {
        let UserLinkCover::Machines(machines) = &cx.design.cover.user_links else { return };
        if self.links.get(key).is_some_and(|link| link.who == Who::Client && !link.circuits.is_empty()) {
            let text = machines.mix.clone();
            if cx.slots.is_running() && !self.admit_cover(key, DEFENCE_PADDING, cx) {
                return self.drop_link(key, Ended::Busy, cx);
            }
            self.begin_defence(key, &text, cx);
            if self.links.get(key).is_some_and(|link| link.guard.is_none()) {
                self.admittance.iter_mut().for_each(|admittance| admittance.cover_went(key));
            }
        }
    }

    /// A defence watches a link from now on, if this node can make one of its text.
    fn begin_defence(&mut self, key: NeighbourKey, text: &str, cx: &mut Cx<'_>) {
        let Some(link) = self.links.get_mut(key).filter(|_| cx.slots.is_running()) else { return };
        if link.guard.is_some() {
            return;
        }
        // Another one each time, and not to be found out afterwards: padding that came before must not be known from this.
        let seed = cx.chance.timing.seed();
        cx.chance.timing.forget();
        let defence = self.defences.as_ref().and_then(|defences| defences.build(text, &seed, cx.now));
        if let Some(defence) = defence {
            link.guard = Some(Box::new(Guard::new(defence, cx.slots.room(), cx.design.geometry, cx.now)));
            link.look_at_guard(key, cx);
        }
    }

    /// From now on, all that goes to a neighbour goes in slots of this law. What waits for slots of another law waits for
    /// these.
    fn begin_slots(&mut self, key: NeighbourKey, law: LinkSlots, cx: &mut Cx<'_>) {
        let Some(link) = self.links.get_mut(key).filter(|_| cx.slots.is_running()) else { return };
        if link.slots.as_ref().is_some_and(|slots| slots.follows(law)) {
            return;
        }
        let geometry = cx.design.geometry;
        let timing = cx.slots.timing_of(Timing::Link(link.paths.chosen()));
        let mut slots =
            Box::new(Pace::new(law, link.is_initiator(), geometry, timing, cx.slots.room(), cx.now));
        if let Some(before) = link.slots.take() {
            cx.slots.unschedule(before.due(), Speaker::Link(key));
            slots.take_over(*before);
        }
        cx.slots.schedule(slots.due(), Speaker::Link(key));
        link.slots = Some(slots);
        self.grant_patience(key, cx);
        if let LinkSlots::DemandDriven { least, most } = law
            && self.demand.is_none()
        {
            let demand = CommonRate::new((least.gap(geometry), most.gap(geometry)), cx.now);
            cx.slots.schedule(demand.tick, Speaker::Tick);
            self.demand = Some(Box::new(demand));
        }
    }

    /// Whether what goes to a neighbour goes in slots.
    pub(in crate::node) fn has_slots(&self, key: NeighbourKey) -> bool {
        self.links.get(key).is_some_and(Neighbour::speaks_in_slots)
    }

    /// A neighbour whose slots are far apart answers late, and is not asked more often than that. Where circuits have slots
    /// of their own, links ask no questions between them: when timers are late for those would show how busy we are.
    pub(super) fn grant_patience(&mut self, key: NeighbourKey, cx: &Cx<'_>) {
        let Some(link) = self.links.get_mut(key).filter(|_| cx.slots.is_running()) else { return };
        let gap = link.slots.as_ref().map_or(Duration::ZERO, |slots| slots.gap());
        link.be_patient(gap * GAPS_OF_PATIENCE + 2 * cx.design.cover.circuits.wait(cx.design.geometry));
    }

    /// The neighbour's filler says how far apart its slots are.
    pub(in crate::node) fn receive_filler(&mut self, key: NeighbourKey, gap: Duration, cx: &mut Cx<'_>) {
        let Some(link) = self.links.get_mut(key).filter(|_| cx.slots.is_running()) else { return };
        if !cx.me.relays_for_others && !link.speaks_in_slots() {
            return self.send_past_slots(key, &Control::Uncover, Time::ZERO, cx);
        }
        let Some(slots) = &mut link.slots else { return self.cover_asked(key, gap, cx) };
        slots.hear(gap);
        self.grant_patience(key, cx);
    }

    /// A client cannot, or does not want to, spend more: it has no slots any more.
    pub(in crate::node) fn receive_uncover(&mut self, key: NeighbourKey, cx: &mut Cx<'_>) {
        let Some(link) = self.links.get_mut(key).filter(|link| link.who == Who::Client) else { return };
        link.end_cover(key, cx);
        self.admittance.iter_mut().for_each(|admittance| admittance.cover_went(key));
    }

    /// A client asks us to speak as it does: not faster than the design says, and as long as it speaks.
    fn cover_asked(&mut self, key: NeighbourKey, gap: Duration, cx: &mut Cx<'_>) {
        let UserLinkCover::Constant(most) = cx.design.cover.user_links else { return };
        if cx.me.relays_for_others && self.links.get(key).is_some_and(|link| link.who == Who::Client) {
            let geometry = cx.design.geometry;
            let rate = Rate::of_gap(gap.max(most.gap(geometry)), geometry);
            if !self.admit_cover(key, most, cx) {
                return self.drop_link(key, Ended::Busy, cx);
            }
            self.begin_slots(key, LinkSlots::Constant(rate), cx);
        }
    }

    /// A design with other cover is in force, and a clock with nothing on it: all slots are new.
    pub(in crate::node) fn cover_anew(&mut self, view: &View, cx: &mut Cx<'_>) {
        self.demand = None;
        self.admittance.iter_mut().for_each(|admittance| admittance.all_cover_went());
        let mut spoke = Vec::new();
        for (key, link) in self.links.iter_mut() {
            link.guard = None;
            spoke.extend(link.slots.take().map(|slots| (key, slots.gap())));
        }
        if cx.slots.is_running() {
            self.cover_links(view, cx);
            // Those who spoke to us in slots will go on: so do we, without waiting until they say so again.
            spoke.into_iter().for_each(|(key, gap)| self.cover_asked(key, gap, cx));
        }
    }

    /// Nothing more may be spent: neighbours are told so behind the `last` slot, and we speak when there is something to
    /// say.
    pub(in crate::node) fn stop_covering(&mut self, last: Time, cx: &mut Cx<'_>) {
        let keys: Vec<NeighbourKey> = self.links.iter().map(|(key, _)| key).collect();
        for key in keys {
            while self.send_held(key, cx) {}
            let had_slots = self.links.get_mut(key).and_then(|link| link.end_cover(key, cx)).is_some();
            self.admittance.iter_mut().for_each(|admittance| admittance.cover_went(key));
            if had_slots {
                self.send_past_slots(key, &Control::Uncover, last, cx);
            }
        }
    }

    // --- Slots ----------------------------------------------------------------------------------------

    /// Sets the common rate of demand-driven links for the tick that begins. `is_needed`: whether any circuit is open.
    pub(in crate::node) fn tick(&mut self, is_needed: bool, cx: &mut Cx<'_>) {
        let Some(demand) = &mut self.demand else { return };
        let tick = demand.begin_tick(cx.now);
        let demands = self.links.iter_mut().filter_map(|(_, link)| link.slots.as_mut()?.take_demand());
        let most = demands.max().unwrap_or(0);
        let gap = (is_needed || most > 0).then(|| demand.follow(most, tick));
        for (key, link) in self.links.iter_mut() {
            let Some(slots) = link.slots.as_mut().filter(|slots| slots.follows_demand()) else { continue };
            cx.slots.unschedule(slots.due(), Speaker::Link(key));
            slots.retune(gap, tick);
            cx.slots.schedule(slots.due(), Speaker::Link(key));
        }
        cx.slots.schedule(demand.tick, Speaker::Tick);
    }

    /// Fills a neighbour's next slot; when it leaves, if it was not too late for it.
    pub(in crate::node) fn speak(&mut self, key: NeighbourKey, cx: &mut Cx<'_>) -> Option<Time> {
        let LinkTurn { at, content } = self.links.get_mut(key)?.turn(key, cx)?;
        match content {
            Content::Cell((departure, body)) => {
                self.seal(departure, &body, at, cx);
                cx.out.reuse(body);
            }
            Content::Filler => {
                let gap = self.links.get(key)?.slots.as_ref().map(|slots| slots.gap());
                self.send_past_slots(key, &Control::Filler { gap }, at, cx);
            }
        }
        Some(at)
    }

    /// Sends a message about slots past slots and defences, `at` a slot.
    fn send_past_slots(&mut self, key: NeighbourKey, message: &Control<'_>, at: Time, cx: &mut Cx<'_>) {
        let mut body = cx.out.body();
        message.write(&mut body);
        self.seal(Departure::soon(key, CellHeader::CONTROL), &body, at, cx);
        cx.out.reuse(body);
    }

    // --- Defences -------------------------------------------------------------------------------------

    /// Does what the defence of a link wants done now.
    pub(in crate::node) fn obey_defence(&mut self, key: NeighbourKey, cx: &mut Cx<'_>) {
        let mut acts = 0..DEFENCE_ACTS_MAX;
        loop {
            let Some(guard) = self.links.get_mut(key).and_then(|link| link.guard.as_mut()) else { return };
            // A text that wants things without end, or is due again at once, gets a rest.
            guard.not_before = cx.now + DEFENCE_REST;
            if acts.next().is_none() {
                break;
            }
            let Some(act) = guard.defence.act(cx.now) else {
                if guard.defence.wake() > cx.now {
                    guard.not_before = Time::ZERO;
                }
                break;
            };
            match act {
                Act::Release => while self.send_held(key, cx) {},
                Act::Pad { bypass, replace } => {
                    let is_held = guard.defence.holds() && !bypass;
                    let is_replaced = !is_held && replace && self.send_held(key, cx);
                    if !is_held && !is_replaced {
                        self.pad(key, cx);
                    }
                }
            }
        }
        self.links.get_mut(key).into_iter().for_each(|link| link.look_at_guard(key, cx));
    }

    /// Sends a cell that a defence held; whether there was one.
    fn send_held(&mut self, key: NeighbourKey, cx: &mut Cx<'_>) -> bool {
        let guard = self.links.get_mut(key).and_then(|link| link.guard.as_mut());
        let Some((guard, (departure, body))) = guard.and_then(|guard| guard.pop().map(|held| (guard, held)))
        else {
            return false;
        };
        guard.defence.observe(Passed::Sent, cx.now);
        self.seal(departure, &body, Time::ZERO, cx);
        true
    }

    fn pad(&mut self, key: NeighbourKey, cx: &mut Cx<'_>) {
        let Some(guard) = self.links.get_mut(key).and_then(|link| link.guard.as_mut()) else { return };
        if !guard.may_pad(cx.now) {
            return;
        }
        guard.defence.observe(Passed::Sent, cx.now);
        cx.slots.note(|spent| spent.filler += 1);
        cx.slots.pay(cx.now);
        self.send_past_slots(key, &Control::Filler { gap: None }, Time::ZERO, cx);
    }
}

/// What becomes of a cell that is to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaves {
    Now,
    Later,
    Never,
}

impl<S: Suite> Neighbour<S> {
    /// Whether a cell leaves now, waits for a slot or the defence, or is one too many.
    pub(super) fn pass_cover(
        &mut self,
        key: NeighbourKey,
        departure: Departure,
        body: &[u8],
        cx: &mut Cx<'_>,
    ) -> Leaves {
        if let Some(slots) = self.slots.as_mut().filter(|slots| slots.due() != Time::NEVER) {
            let mut copy = cx.out.body();
            copy.copy_from_slice(body);
            let (gone, leaves) = match slots.push((departure, copy)) {
                Ok(None) => return Leaves::Later,
                Ok(Some((_, others))) => (others, Leaves::Later),
                Err((_, copy)) => (copy, Leaves::Never),
            };
            cx.counts.cells_dropped += u64::from(leaves == Leaves::Later);
            cx.out.reuse(gone);
            return leaves;
        }
        let Some(guard) = &mut self.guard else { return Leaves::Now };
        let pass = guard.pass(departure, body, cx.now);
        cx.slots.note(|spent| spent.real += u64::from(!matches!(pass, Pass::Dropped)));
        self.look_at_guard(key, cx);
        match pass {
            Pass::Now => Leaves::Now,
            Pass::Held => Leaves::Later,
            Pass::Dropped => Leaves::Never,
        }
    }

    /// Something came; the defence hears of it.
    pub(super) fn observe(&mut self, key: NeighbourKey, is_filler: bool, cx: &mut Cx<'_>) {
        if let Some(guard) = &mut self.guard {
            let passed = if is_filler { Passed::PaddingReceived } else { Passed::Received };
            guard.defence.observe(passed, cx.now);
            self.look_at_guard(key, cx);
        }
    }

    /// What the next slot carries; nothing if it is too late for it.
    fn turn(&mut self, key: NeighbourKey, cx: &mut Cx<'_>) -> Option<LinkTurn> {
        let slots = self.slots.as_mut()?;
        let missed = slots.skip(cx.now);
        let turn = (missed == 0).then(|| slots.turn(cx.now));
        cx.slots.schedule(slots.due(), Speaker::Link(key));
        if turn.is_some() {
            cx.slots.pay(cx.now);
        }
        cx.slots.note(|spent| {
            spent.missed += missed;
            match turn.as_ref().map(|turn| &turn.content) {
                Some(Content::Cell(_)) => spent.real += 1,
                Some(Content::Filler) => spent.filler += 1,
                None => {}
            }
        });
        turn
    }

    /// Notes when the defence wants to be looked at. Defences react: nothing can be decided before its time.
    fn look_at_guard(&mut self, key: NeighbourKey, cx: &mut Cx<'_>) {
        let Some(guard) = &mut self.guard else { return };
        cx.slots.unschedule(guard.due, Speaker::Guard(key));
        guard.due = guard.defence.wake().max(guard.not_before) + SLOT_GUARD;
        cx.slots.schedule(guard.due, Speaker::Guard(key));
    }

    /// Ends slots and defence. The slots, if there were some.
    pub(super) fn end_cover(&mut self, key: NeighbourKey, cx: &mut Cx<'_>) -> Option<Box<Pace>> {
        if let Some(guard) = self.guard.take() {
            cx.slots.unschedule(guard.due, Speaker::Guard(key));
        }
        let slots = self.slots.take()?;
        cx.slots.unschedule(slots.due(), Speaker::Link(key));
        Some(slots)
    }
}
