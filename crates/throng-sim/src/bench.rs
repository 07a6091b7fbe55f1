//! Worlds to measure speed with. The clock is the caller's: prepare, start the watch, run, stop it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use throng_core::config::Membership;
use throng_core::cover::Budget;
use throng_core::crypto::Suite;
use throng_core::membership::View;
use throng_core::route::{PathRules, Route};
use throng_core::wire::Geometry;
use throng_core::{CircuitId, ClientConfig, Command, Design, Event, NodeConfig, Ports, Time};

use crate::host::HostId;
use crate::scenario::Scenario;
use crate::wire::{Watcher, Wire};
use crate::world::{Turn, World, keys_of, mix_config};

/// A world of real nodes in which every user sends one cell forward each 64 ms.
pub struct CellHops<S: Suite> {
    world: World<S, Counter>,
    circuits: Vec<Option<CircuitId>>,
    mixes: usize,
}

/// What a run of [`CellHops`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HopsDone {
    /// Datagrams that came to a node and were worked on there.
    pub cell_hops: u64,
    /// Of these, cells that reached their exit.
    pub delivered: u64,
    /// Everything that happened: datagrams, timers, calls.
    pub happened: u64,
}

const EVERY: Duration = Duration::from_millis(64);
const HOPS: usize = 3;

impl<S: Suite> CellHops<S> {
    /// `users` users with a circuit each through `mixes` mixes. (Handshakes are done here.)
    ///
    /// # Panics
    /// If a circuit does not come up, which would be an error of the network.
    pub fn prepare(users: usize, mixes: usize) -> Self {
        let (mut world, users) = crowd::<S, _>(users, mixes, 1, Counter::default());
        let mut circuits = vec![None; mixes + users.len()];
        for (place, user) in users.iter().enumerate() {
            world.call_at(world.now() + EVERY.mul_f64(place as f64 / users.len() as f64), *user, 0);
        }
        for _ in 0..100 {
            world.run_for(Duration::from_millis(200));
            for user in &users {
                for (_, event) in world.take_events(*user) {
                    if let Event::CircuitReady { circuit, .. } = event {
                        circuits[user.0] = Some(circuit);
                    }
                }
            }
        }
        assert!(circuits[mixes..].iter().all(Option::is_some), "every user has a circuit");
        for user in users {
            world.call_at(world.now() + EVERY.mul_f64(user.0 as f64 / circuits.len() as f64), user, 0);
        }
        Self { world, circuits, mixes }
    }

    /// Lets virtual time pass.
    pub fn run(&mut self, span: Duration) -> HopsDone {
        let (before, happened) = (self.world.watcher().arrived, self.world.happened());
        let end = self.world.now() + span;
        let payload = vec![7; Geometry::DEFAULT.payload()];
        let mut delivered = 0;
        while let Some(turn) = self.world.turn(end) {
            match turn {
                Turn::Called(user, token) => {
                    if let Some(circuit) = self.circuits[user.0] {
                        self.world.command(user, Command::Send { circuit, payload: &payload });
                    }
                    let next = self.world.now() + EVERY;
                    self.world.call_at(next, user, token);
                }
                Turn::Heard(host) => {
                    delivered += self.world.take_delivered(host).len() as u64;
                    self.world.take_events(host);
                }
                Turn::Quiet => {}
            }
        }
        HopsDone {
            cell_hops: self.world.watcher().arrived - before,
            delivered,
            happened: self.world.happened() - happened,
        }
    }

    /// Users with a circuit.
    pub fn users(&self) -> usize {
        self.circuits.len() - self.mixes
    }
}

/// The population's busy hour: so many users browse (FC04's web model, a visit each 48 s: 75 an hour) under cover of
/// 64 kb/s from end to end, through a thousand mixes of which each circuit has three.
///
/// # Panics
/// If there are more users than [`USERS_MAX`](crate::USERS_MAX).
pub fn busy_hour(users: usize) -> Scenario {
    let text = format!(
        "level = \"population\"\nduration_s = 3600\nseeds = 1\nmixes.count = 1000\nusers.count = {users}\n\
         design = {{ cover = \"end-to-end\", cover_bps = 64000 }}\ntraffic = {{ model = \"web\", reading_s = 48 }}\n"
    );
    Scenario::parse("busy-hour.toml", &text).expect("it is a right scenario")
}

/// A world with `users` idle users, each with so many circuits in store: to measure memory with.
pub fn idle<S: Suite>(users: usize, mixes: usize, circuits: usize) -> World<S, impl Watcher + use<S>> {
    let (mut world, users) = crowd::<S, _>(users, mixes, circuits, ());
    world.run_for(Duration::from_secs(5));
    for user in users {
        world.take_events(user);
    }
    world
}

fn crowd<S: Suite, W: Watcher>(
    users: usize,
    mixes: usize,
    circuits: usize,
    watcher: W,
) -> (World<S, W>, Vec<HostId>) {
    let wire = Wire { distance: Duration::from_millis(40), ..Wire::default() };
    let mut world = World::watched([1; 32], wire, watcher);
    let address = |number: usize| -> SocketAddr {
        ([10 + (number / 256) as u8, (number % 256) as u8, 0, 1], 9000).into()
    };
    let route = Route::free(HOPS).expect("within the bound");
    let design = Arc::new(Design { route, ..Design::default() });
    let hosts: Vec<_> = (0..mixes)
        .map(|number| mix_config::<S>(number as u32, address(number), Ports::reduced(), &design))
        .collect();
    let view: View = hosts.iter().map(|(_, record)| Arc::clone(record)).collect();
    for (number, (config, _)) in hosts.into_iter().enumerate() {
        world.add(address(number), NodeConfig { membership: Membership::Shared(view.clone()), ..config });
    }
    let client = ClientConfig {
        rules: PathRules::Diverse,
        spare: circuits,
        first_hops: Vec::new(),
        budget: Budget::default(),
    };
    let hosts = (0..users as u32)
        .map(|number| {
            // Not all in one moment: a mix does so many handshakes a second.
            if number % 500 == 499 {
                world.run_for(Duration::from_millis(100));
            }
            let [_, a, b, c] = number.to_be_bytes();
            let config = NodeConfig {
                keys: keys_of::<S>(b"user", number),
                design: Arc::clone(&design),
                relays: false,
                is_exit: false,
                client: Some(client.clone()),
                membership: Membership::Shared(view.clone()),
                defences: None,
            };
            world.add(([100 + a, b, c, 1], 9000).into(), config)
        })
        .collect();
    (world, hosts)
}

/// Counts what arrives.
#[derive(Default)]
struct Counter {
    arrived: u64,
}

impl Watcher for Counter {
    fn sent(&mut self, _: Time, _: HostId, _: HostId, _: &[u8]) {}
    fn arrived(&mut self, _: Time, _: HostId, _: HostId, _: &[u8]) {
        self.arrived += 1;
    }
    fn dropped(&mut self, _: Time, _: HostId) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toy::Toy;

    #[test]
    fn every_cell_that_a_user_sends_makes_its_hops_and_arrives() {
        let mut world = CellHops::<Toy>::prepare(30, 6);
        world.run(Duration::from_secs(1));
        let measured = world.run(Duration::from_secs(4));
        // 30 users, a cell each 64 ms: 1875 in four seconds, give or take those under way.
        assert!(measured.delivered.abs_diff(1875) <= 60, "{measured:?}");
        assert!(measured.cell_hops >= 3 * measured.delivered - 180, "{measured:?}");
        assert!(measured.happened > measured.cell_hops);
        assert_eq!(world.users(), 30);
    }

    #[test]
    fn a_busy_hour_is_a_population_under_full_cover() {
        let plan = &busy_hour(1000).variants[0].plan;
        assert_eq!((plan.users, plan.design.cover.to_string().as_str()), (1000, "end-to-end=70228bps"));
    }
}
