//! Set-up of a circuit of our own, hop by hop.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::Origins;
use super::origin::{BuildStage, Origin};
use super::way::{Build, Step};
use crate::crypto::{ANSWER_BYTES, Initiation, KeyUse, Suite};
use crate::id::{CircuitId, NeighbourKey, NodeId, OriginKey};
use crate::layers::Layers;
use crate::limits::IDLE_PROBE;
use crate::membership::{Record, View};
use crate::node::context::Cx;
use crate::output::Event;
use crate::refused::Refused;
use crate::route::{ExitWish, NoRoute, Resting, Wanted, choose};
use crate::silence::retry_after;
use crate::time::Time;
use crate::timers::Timer;
use crate::wire::control::{Control, Ended};
use crate::wire::message::{Message, request_name};

impl<S: Suite> Origins<S> {
    /// Draws the path of a circuit with such an exit. `proved`: where a mix answered us; and whether none does now.
    pub(in crate::node) fn draw_path(
        &mut self,
        wish: &ExitWish,
        view: &View,
        (proved, is_line_silent): (&dyn Fn(NodeId) -> Option<IpAddr>, bool),
        cx: &mut Cx<'_>,
    ) -> Result<Vec<Arc<Record>>, NoRoute> {
        let Some(rules) = self.client else { return Err(NoRoute::NoExit(None)) };
        let nobody = Resting::default();
        let resting = self.resting.as_deref().unwrap_or(&nobody);
        let (hops, first_hops) = (cx.design.route.hops(), cx.first_hops_in_use());
        let behind = self.cut.as_mut().and_then(|cut| cut.take(hops, wish, (view, resting), cx.now));
        let behind_first = |id| {
            let there = self.origins.values().filter(|origin| origin.first() == Some(id));
            if first_hops > 1 { there.count() } else { 0 }
        };
        let behind_first = &behind_first;
        let wanted = Wanted {
            hops,
            rules,
            exit: wish,
            resting,
            first_hops,
            proved,
            behind_first,
            is_line_silent,
            behind,
        };
        let path = choose(view, &wanted, &mut self.first_hops, &mut cx.chance.route, cx.now);
        cx.chance.route.forget();
        path
    }

    /// Begins a circuit that is built so, whose first hop is at the other end of `link`.
    pub(in crate::node) fn begin(&mut self, build: Build, link: NeighbourKey, cx: &mut Cx<'_>) -> OriginKey {
        let initiation = Initiation::new(&mut cx.chance.keys);
        let number = cx.chance.keys.u32();
        let idle = IDLE_PROBE.mul_f64(0.75 + cx.chance.timing.unit() / 2.0);
        cx.chance.timing.forget();
        let origin = Origin::new(build, link, initiation, number, (idle, cx.design.detour()), cx.now);
        self.origins.insert(Box::new(origin))
    }

    /// Its link calls the circuit by this name.
    pub(in crate::node) fn named(&mut self, key: OriginKey, name: u32, cx: &mut Cx<'_>) {
        let origin = &mut self.origins[key];
        origin.name = name;
        let end = origin.given_up_at();
        cx.timers.set(&mut origin.due, end, Timer::Origin(key));
    }

    /// Its link has no room: the circuit never came to be.
    pub(in crate::node) fn forget(&mut self, key: OriginKey) {
        self.origins.remove(key);
    }

    /// Asks the next hop to join (again).
    pub(in crate::node) fn request_hop(&mut self, key: OriginKey, cx: &mut Cx<'_>) {
        let Some(origin) = self.origins.get_mut(key) else { return };
        let (detour, end) = (origin.detour(), origin.given_up_at());
        let BuildStage::Building(building) = &mut origin.stage else { return };
        building.sends += 1;
        if building.sends == 1 {
            // The answer may be to any of the requests: time counts from the first, or a way that was once slow would
            // look short (Karn).
            building.asked_at = cx.now;
        }
        let retry = cx.now + retry_after(building.sends) + detour;
        cx.timers.set(&mut origin.due, retry.min(end), Timer::Origin(key));
        let Step::Ask(hop) = building.build.next() else { return };
        let offer = building.initiation.offer();
        if origin.path.is_empty() {
            return cx.say(origin.link, &Control::Create { circuit: origin.name, offer });
        }
        // Copies: what is sent changes the circuit's state.
        let (offer, hop) = (*offer, hop.clone());
        let ask = Message::Extend { offer: &offer, next: hop.as_next() };
        ask.in_cells(cx.design.geometry, request_name(&offer), |message| {
            self.send_message(key, message, Time::ZERO, cx)
        });
    }

    /// A hop joined: the first one told us over the link, the others through the circuit. `record`: of one that the hop
    /// before it chose.
    pub(in crate::node) fn hop_joined(
        &mut self,
        key: OriginKey,
        (place, record): (usize, Option<&[u8]>),
        answer: &[u8; ANSWER_BYTES],
        cx: &mut Cx<'_>,
    ) -> Result<(), Refused> {
        let origin = self.origins.get_mut(key).ok_or(Refused::UnknownCircuit)?;
        let BuildStage::Building(building) = &mut origin.stage else { return Err(Refused::OutOfPlace) };
        if place != origin.path.len() {
            return Err(Refused::OutOfPlace); // an answer that we have had already
        }
        let Step::Ask(hop) = building.build.next() else { return Err(Refused::OutOfPlace) };
        let joined = match (hop.record(), record) {
            (Some(known), None) => Some(Arc::clone(known)),
            (None, Some(record)) => {
                let planned = building.build.planned().flatten();
                chosen::<S>(record, origin.path.iter().chain(planned), cx)
            }
            _ => None,
        };
        let finished = joined.and_then(|mix| {
            let identity = &mix.description().identity.0;
            let secret = building.initiation.finish(KeyUse::Circuit, identity, answer);
            secret.ok().map(|secret| (mix, secret))
        });
        let Some((mix, secret)) = finished else {
            // Only a hop of this circuit could say that, and it will not say anything better.
            self.let_down(key, Ended::Broken, cx);
            return Err(Refused::Forged);
        };
        building.build.joined();
        if place == 0 {
            self.first_hops.answered(mix.description().identity, cx.now);
        }
        let was_repeated = building.sends > 1;
        origin.add_hop(mix, Layers::new(&secret), cx.now);
        self.go_on(key, was_repeated, cx);
        Ok(())
    }

    /// A hop joined: what now?
    fn go_on(&mut self, key: OriginKey, was_repeated: bool, cx: &mut Cx<'_>) {
        let Some(origin) = self.origins.get_mut(key) else { return };
        let BuildStage::Building(building) = &mut origin.stage else { return };
        if building.build.next() != Step::Ready {
            return self.ask_anew(key, cx);
        }
        origin.stage = BuildStage::Ready;
        self.is_ready_now(key, cx);
        if was_repeated {
            // How long the way is, is not known from a set-up that was asked for twice.
            self.ask(key, cx);
        }
    }

    /// The last hop cannot reach the next one.
    pub(super) fn hop_refused(
        &mut self,
        key: OriginKey,
        request: u32,
        why: Ended,
        cx: &mut Cx<'_>,
    ) -> Result<(), Refused> {
        let origin = self.origins.get_mut(key).ok_or(Refused::UnknownCircuit)?;
        let BuildStage::Building(building) = &mut origin.stage else { return Err(Refused::OutOfPlace) };
        if request != request_name(building.initiation.offer()) {
            return Err(Refused::OutOfPlace); // we ask otherwise by now
        }
        if building.build.refused(why) {
            self.ask_anew(key, cx);
        } else {
            self.let_down(key, why, cx);
        }
        Ok(())
    }

    /// Asks for a hop with an offer that is new: answers to others are not taken for its answers.
    fn ask_anew(&mut self, key: OriginKey, cx: &mut Cx<'_>) {
        if let Some(BuildStage::Building(building)) =
            self.origins.get_mut(key).map(|origin| &mut origin.stage)
        {
            building.initiation = Initiation::new(&mut cx.chance.keys);
            (building.sends, building.asked_at) = (0, cx.now);
        }
        self.request_hop(key, cx);
    }

    fn is_ready_now(&mut self, key: OriginKey, cx: &mut Cx<'_>) {
        let origin = &mut self.origins[key];
        let path = origin.path.iter().map(|record| record.description().identity).collect();
        let took = cx.now - origin.started;
        cx.out.events.push(Event::CircuitReady { circuit: CircuitId::origin(key), path, took });
        cx.timers.set(&mut origin.due, cx.now + IDLE_PROBE, Timer::Origin(key));
        cx.counts.circuits_built += 1;
        self.cover(key, cx);
        self.supply.succeeded();
        self.first_hops.led_to_an_exit();
        self.serve_waiting(cx);
        self.hurry_supply(cx);
    }
}

/// The mix that a hop chose as the next one; none if it is none, is in the path already or will be, or is we.
fn chosen<'p, S: Suite>(
    record: &[u8],
    mut path: impl Iterator<Item = &'p Arc<Record>>,
    cx: &Cx<'_>,
) -> Option<Arc<Record>> {
    let record = Record::verify::<S>(record, cx.now).ok()?;
    let identity = record.description().identity;
    let is_there = path.any(|mix| mix.description().identity == identity);
    (!is_there && identity != cx.me.id).then(|| Arc::new(record))
}
