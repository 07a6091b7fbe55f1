//! Set-up of a circuit of our own, hop by hop.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Origins;
use super::origin::{Building, Origin, Stage};
use crate::crypto::{ANSWER_BYTES, HandshakePurpose, Initiation, Suite};
use crate::id::{CircuitId, NeighbourKey, OriginKey};
use crate::layers::Layers;
use crate::limits::IDLE_PROBE;
use crate::membership::{Record, View};
use crate::node::context::Cx;
use crate::output::Event;
use crate::refused::Refused;
use crate::route::{NoRoute, Resting, Wanted, choose};
use crate::silence::retry_after;
use crate::time::Time;
use crate::timers::Timer;
use crate::wire::control::{Control, Ended};
use crate::wire::message::Message;
use crate::wire::told::Told;

impl<S: Suite> Origins<S> {
    /// Draws the path of a circuit whose exit serves `port`.
    pub(in crate::node) fn draw_path(
        &mut self,
        port: Option<u16>,
        view: &View,
        cx: &mut Cx<'_>,
    ) -> Result<Vec<Arc<Record>>, NoRoute> {
        let Some(rules) = self.client else { return Err(NoRoute::NoExit(None)) };
        let nobody = Resting::default();
        let resting = self.resting.as_deref().unwrap_or(&nobody);
        let (hops, first_hops) = (cx.design.route.hops(), cx.first_hops_in_use());
        let wanted = Wanted { hops, rules, port, resting, first_hops };
        let path = choose(view, &wanted, &mut self.first_hops, &mut cx.chance.route, cx.now);
        cx.chance.route.forget();
        path
    }

    /// Begins a circuit over this path, whose first hop is at the other end of `link`.
    pub(in crate::node) fn begin(
        &mut self,
        path: Vec<Arc<Record>>,
        link: NeighbourKey,
        cx: &mut Cx<'_>,
    ) -> OriginKey {
        let initiation = Initiation::new(&mut cx.chance.keys);
        let number = cx.chance.keys.u32();
        let idle = IDLE_PROBE.mul_f64(0.75 + cx.chance.timing.unit() / 2.0);
        cx.chance.timing.forget();
        let origin = Origin::new(path, link, initiation, number, (idle, cx.design.detour()), cx.now);
        self.origins.insert(Box::new(origin))
    }

    /// Its link calls the circuit by this name.
    pub(in crate::node) fn named(&mut self, key: OriginKey, name: u32, cx: &mut Cx<'_>) {
        let origin = &mut self.origins[key];
        origin.name = name;
        let end = origin.given_up_at();
        cx.timers.set(&mut origin.due, end, Timer::Origin(key));
    }

    /// Its link has no room: the circuit was none.
    pub(in crate::node) fn forget(&mut self, key: OriginKey) {
        self.origins.remove(key);
    }

    /// Asks the next hop to join (again).
    pub(in crate::node) fn request_hop(&mut self, key: OriginKey, cx: &mut Cx<'_>) {
        let Some(origin) = self.origins.get_mut(key) else { return };
        let (detour, end) = (origin.detour(), origin.given_up_at());
        let Stage::Building(building) = &mut origin.stage else { return };
        building.sends += 1;
        if building.sends == 1 {
            // The answer may be to any of the requests: time counts from the first, or a way that was once slow would
            // look short (Karn).
            building.asked_at = cx.now;
        }
        let retry = cx.now + retry_after(building.sends) + detour;
        let offer = *building.initiation.offer();
        let done = origin.hops_done();
        cx.timers.set(&mut origin.due, retry.min(end), Timer::Origin(key));
        if done == 0 {
            cx.say(origin.link, &Control::Create { circuit: origin.name, offer: &offer });
        } else {
            let next = origin.path[done].description().identity.fingerprint();
            self.send_message(key, &Message::Extend { next, offer: &offer }, Time::ZERO, cx);
        }
    }

    /// A hop joined: the first one told us over the link, the others through the circuit.
    pub(in crate::node) fn hop_joined(
        &mut self,
        key: OriginKey,
        place: usize,
        answer: &[u8; ANSWER_BYTES],
        company: Told,
        cx: &mut Cx<'_>,
    ) -> Result<(), Refused> {
        let origin = self.origins.get_mut(key).ok_or(Refused::UnknownCircuit)?;
        let Stage::Building(building) = &origin.stage else { return Err(Refused::OutOfPlace) };
        if place != origin.hops_done() {
            return Err(Refused::OutOfPlace); // an answer that we have had already
        }
        let hop = origin.path[place].description();
        let finished =
            building.initiation.finish(HandshakePurpose::Circuit, &hop.identity.0, &hop.link_key, answer);
        let Ok(secret) = finished else {
            // Only a hop of this circuit could say that, and it will not say anything better.
            self.end(key, Ended::Broken, cx);
            return Err(Refused::Forged);
        };
        let was_repeated = building.sends > 1;
        origin.add_hop(Layers::new(&secret), company, cx.now);
        if origin.hops_done() < origin.path.len() {
            let initiation = Initiation::new(&mut cx.chance.keys);
            origin.stage = Stage::Building(Box::new(Building { initiation, sends: 0, asked_at: cx.now }));
            self.request_hop(key, cx);
        } else {
            origin.stage = Stage::Ready;
            self.is_ready_now(key, cx);
            if was_repeated {
                // How long the way is, is not known from a set-up that was asked for twice.
                self.ask(key, cx);
            }
        }
        Ok(())
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
        self.serve_waiting(cx);
        self.hurry_supply(cx);
    }
}
