//! A small network in virtual time: the same nodes that `throng up` runs.
// Test support: every story uses a part of it, and panics are how a test says no.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::print_stdout)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use throng_core::config::Membership;
use throng_core::cover::{Budget, Cover};
use throng_core::crypto::{Portable, Suite};
use throng_core::documents::{self, Statement};
use throng_core::documents::{Document, Roots};
use throng_core::membership::Record;
use throng_core::mixing::{MinCompany, Mixing};
use throng_core::route::Route;
use throng_core::{CircuitId, ClientConfig, Command, Design, Event, NodeConfig, NodeKeys, Ports, Time};
use throng_sim::{HostId, Wire, World, mix_config};

pub struct Network {
    pub world: World<Portable>,
    pub mixes: Vec<HostId>,
    pub client: HostId,
    pub configs: Vec<NodeConfig>,
    pub records: Vec<Arc<Record>>,
}

pub struct Plan {
    pub seed: u8,
    pub mixes: u8,
    pub exits: u8,
    pub hops: usize,
    pub spare: usize,
    pub wire: Wire,
    pub mixing: Mixing,
    pub company: MinCompany,
    pub cover: Cover,
    /// Bytes a day that the client's cover may cost.
    pub budget: Option<u64>,
    /// Whether operators sign a document of the mixes; its serial is 1.
    pub signed: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            seed: 1,
            mixes: 5,
            exits: 2,
            hops: 3,
            spare: 1,
            wire: Wire::default(),
            mixing: Mixing::NONE,
            company: MinCompany::Off,
            cover: Cover::NONE,
            budget: None,
            signed: false,
        }
    }
}

/// What two operators of two say together.
pub fn signed(serial: u64, records: &[Arc<Record>], hops: usize) -> Membership {
    signed_design(serial, records, Design { route: Route::free(hops).unwrap(), ..Design::default() })
}

/// The same of a whole design.
pub fn signed_design(serial: u64, records: &[Arc<Record>], design: Design) -> Membership {
    let secrets = [[91; 32], [92; 32]];
    let roots = Roots::new("virtual".into(), secrets.iter().map(Portable::sign_public).collect(), 2).unwrap();
    let statement = Statement {
        network: "virtual".into(),
        serial,
        from: Time::ZERO,
        until: Time::from_secs(100_000),
        before: vec![[0; 32]; serial as usize - 1],
        design,
        records: records.to_vec(),
    };
    let unsigned = documents::unsigned(&statement);
    let mut signatures = Vec::new();
    secrets.iter().for_each(|secret| documents::sign::<Portable>(&unsigned, &mut signatures, secret));
    let bytes = documents::assemble(&unsigned, &signatures);
    let document = Document::verify::<Portable>(&bytes, &roots, Time::from_secs(1)).unwrap();
    Membership::Signed { roots, document: Arc::new(document) }
}

pub fn address(number: u8) -> SocketAddr {
    format!("10.{number}.0.1:9000").parse().unwrap()
}

impl Network {
    pub fn new(plan: Plan) -> Self {
        println!("seed {}", plan.seed);
        let mut world = World::new([plan.seed; 32], plan.wire);
        let route = Route::free(plan.hops).unwrap();
        let Plan { mixing, company, .. } = plan;
        let design = Design { route, mixing, company, cover: plan.cover, ..Design::default() };
        let design = Arc::new(design);
        let mixes: Vec<_> = (1..=plan.mixes)
            .map(|i| {
                let ports = if i <= plan.exits { Ports::reduced() } else { Ports::none() };
                mix_config::<Portable>(i.into(), address(i), ports, &design)
            })
            .collect();
        let records: Vec<_> = mixes.iter().map(|(_, record)| Arc::clone(record)).collect();
        let mut configs: Vec<NodeConfig> = mixes.into_iter().map(|(config, _)| config).collect();
        let membership = match plan.signed {
            true => signed(1, &records, plan.hops),
            false => Membership::Given(records.clone()),
        };
        configs.iter_mut().for_each(|config| config.membership = membership.clone());
        let hosts =
            configs.iter().zip(1..).map(|(config, i)| world.add(address(i), config.clone())).collect();
        let client = NodeConfig {
            keys: NodeKeys::new([200; 32]),
            design,
            relays: false,
            is_exit: false,
            client: Some(ClientConfig {
                spare: plan.spare,
                budget: Budget { bytes_per_day: plan.budget },
                ..ClientConfig::default()
            }),
            membership,
            defences: Some(Arc::new(throng_machine::Maybenot)),
        };
        let client_host = world.add(address(200), client.clone());
        configs.push(client);
        Self { world, mixes: hosts, client: client_host, configs, records }
    }

    /// Waits for a circuit for a new stream of this isolation.
    pub fn attach(&mut self, stream: u64, isolation: u8) -> Option<CircuitId> {
        self.world.command(
            self.client,
            Command::Attach { stream, isolation: [isolation; 32], port: Some(443), avoid: &[] },
        );
        let client = self.client;
        let mut found = None;
        self.world.run_until(Duration::from_secs(20), |world| {
            for (_, event) in world.take_events(client) {
                match event {
                    Event::Attached { stream: s, circuit } if s == stream => found = Some(Some(circuit)),
                    Event::NotAttached { stream: s, .. } if s == stream => found = Some(None),
                    _ => {}
                }
            }
            found.is_some()
        });
        found.flatten()
    }

    /// Sends a payload to the exit and its echo back; whether it came within `at_most`.
    pub fn echo(&mut self, circuit: CircuitId, payload: &[u8], at_most: Duration) -> bool {
        self.world.command(self.client, Command::Send { circuit, payload });
        let (client, mixes) = (self.client, self.mixes.clone());
        self.world.run_until(at_most, |world| {
            for &mix in &mixes {
                for (at_exit, payload) in world.take_delivered(mix) {
                    world.command(mix, Command::Send { circuit: at_exit, payload: &payload });
                }
            }
            world.take_delivered(client).iter().any(|(_, back)| back == payload)
        })
    }

    /// Circuits that became ready since the last question.
    pub fn ready(&mut self) -> Vec<(CircuitId, Vec<throng_core::NodeId>)> {
        let ready = |(_, event)| match event {
            Event::CircuitReady { circuit, path, .. } => Some((circuit, path)),
            _ => None,
        };
        self.world.take_events(self.client).into_iter().filter_map(ready).collect()
    }

    /// The host that runs this mix.
    pub fn host_of(&self, id: throng_core::NodeId) -> HostId {
        let place = self.records.iter().position(|record| record.description().identity == id);
        self.mixes[place.expect("a mix of this network")]
    }
}
