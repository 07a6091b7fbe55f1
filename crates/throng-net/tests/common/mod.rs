//! What these tests share: a whole network in one process, as `throng up` assembles it, with what it hides from
//! its users (its parts) within reach.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // every test uses a part of it; and all of it is test

pub mod namespace;
pub mod noise;
pub mod weather;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use throng_core::config::Membership;
use throng_core::membership::{Description, Record};
use throng_core::route::{PathRules, Route};
use throng_core::wire::Geometry;
use throng_core::{ClientConfig, Design, Event, NodeConfig, NodeKeys, Ports, Scrubbed};
use throng_net::client::Client;
use throng_net::clock::Clock;
use throng_net::driver::Driver;
use throng_net::entropy;
use throng_net::exit::{self, Exit, ExitLimits, ExitPolicy, Resolver, accept};
use throng_net::notices::Notices;
use throng_net::pipe::memory::{Memory, MemoryTerms};
use throng_net::pipe::{self, Pipe};
use throng_net::request::{Host, Name, Target};
use throng_net::socket::Socket;
use throng_net::suite::Fast;
use tokio::sync::mpsc;

use weather::{Relay, Weather};

/// Nothing that goes well takes so long; what does not go well ends then.
pub const LIMIT: Duration = Duration::from_secs(120);
const RECORD_LIFE: Duration = Duration::from_secs(24 * 3600);

pub struct Plan {
    pub mixes: usize,
    /// The first of them.
    pub exits: usize,
    pub hops: usize,
    /// Whether exits open connections to where they are themselves.
    pub local: bool,
    /// Where they never do.
    pub denied: Vec<exit::Network>,
    /// What exits know besides `localhost`.
    pub names: Vec<(&'static str, Vec<IpAddr>)>,
    /// What the pipes of each exit may hold.
    pub memory: MemoryTerms,
    /// Connections that each exit has at once.
    pub connections_max: usize,
    /// What every mix stands in.
    pub weather: Option<Weather>,
    /// Whether the mixes run at all, or are only said to.
    pub mixes_run: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            mixes: 5,
            exits: 2,
            hops: 3,
            local: true,
            denied: Vec::new(),
            names: Vec::new(),
            memory: MemoryTerms::EXIT,
            connections_max: exit::CONNECTIONS_MAX,
            weather: None,
            mixes_run: true,
        }
    }
}

pub struct Network {
    pub client: Arc<Client>,
    pub client_driver: Driver,
    /// Those that still run.
    pub mixes: Vec<Option<Driver>>,
    /// What the pipes of each exit hold.
    pub memories: Vec<Arc<Memory>>,
    /// What stands in front of each, if there is any weather.
    pub relays: Vec<Relay>,
    records: Vec<Arc<Record>>,
    hops: usize,
    clock: Clock,
}

impl Network {
    pub fn start(plan: Plan) -> Self {
        let clock = Clock::start();
        let mut relays = Vec::new();
        let mut members = Vec::new();
        for i in 0..plan.mixes {
            let keys = NodeKeys::new(entropy::secret());
            let socket = bind();
            let mut address = socket.local_addr().unwrap();
            if let Some(weather) = plan.weather {
                let relay = Relay::start(address, weather.of(i));
                address = relay.address;
                relays.push(relay);
            }
            let description = Description {
                identity: keys.id::<Fast>(),
                family: None,
                capacity: 1000,
                addresses: vec![Scrubbed(address)],
                exit_ports: if i < plan.exits { Ports::all() } else { Ports::none() },
                from: clock.now(),
                until: clock.now() + RECORD_LIFE,
            };
            let record = Arc::new(Record::sign::<Fast>(description, keys.identity_secret()));
            members.push((keys, socket, record));
        }
        let records: Vec<Arc<Record>> = members.iter().map(|(_, _, record)| Arc::clone(record)).collect();
        let mut mixes = Vec::new();
        let mut memories = Vec::new();
        for (i, (keys, socket, _)) in members.into_iter().enumerate() {
            let config = NodeConfig { keys, relays: true, is_exit: i < plan.exits, ..node(&records) };
            mixes.push(plan.mixes_run.then(|| start_mix(config, socket, clock, &plan, &mut memories)));
        }
        let (client, client_driver) = start_client(&records, plan.hops, clock);
        Self { client, client_driver, mixes, memories, relays, records, hops: plan.hops, clock }
    }

    /// One more client, which shares no circuit with others.
    pub fn another_client(&self) -> (Arc<Client>, Driver) {
        start_client(&self.records, self.hops, self.clock)
    }

    /// The mix is gone, without a word to anybody.
    pub fn kill(&mut self, mix: usize) {
        self.mixes[mix] = None;
    }
}

fn start_client(records: &[Arc<Record>], hops: usize, clock: Clock) -> (Arc<Client>, Driver) {
    let client = ClientConfig {
        rules: PathRules::SamePrefixAllowed, // all stand on 127.0.0.1
        ..ClientConfig::default()
    };
    let design = Arc::new(Design { route: Route::free(hops).unwrap(), ..Design::default() });
    let config = NodeConfig { client: Some(client), design: Arc::clone(&design), ..node(records) };
    let pipe = Pipe::new();
    let endpoint = pipe::endpoint(Arc::clone(&pipe), Geometry::DEFAULT, None).unwrap();
    let (events, heard) = overheard();
    let driver = Driver::start(config, &entropy::seed(), clock, bind(), pipe, events);
    (Arc::new(Client::start(driver.orders(), heard, endpoint, design, Notices::new(clock))), driver)
}

/// A channel that says of each circuit of the client why it ended.
fn overheard() -> (mpsc::UnboundedSender<Event>, mpsc::UnboundedReceiver<Event>) {
    let (events, mut overheard) = mpsc::unbounded_channel();
    let (on, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(event) = overheard.recv().await {
            if let Event::CircuitEnded { why, .. } | Event::CircuitNotBuilt { why, .. } = &event {
                eprintln!("a circuit ended: {why:?}");
            }
            let _ = on.send(event);
        }
    });
    (events, heard)
}

fn bind() -> Socket {
    Socket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), Geometry::DEFAULT.datagram()).unwrap()
}

fn node(records: &[Arc<Record>]) -> NodeConfig {
    NodeConfig {
        keys: NodeKeys::new(entropy::secret()),
        design: Arc::default(),
        relays: false,
        is_exit: false,
        client: None,
        membership: Membership::Given(records.to_vec()),
        defences: None,
    }
}

fn start_mix(
    config: NodeConfig,
    socket: Socket,
    clock: Clock,
    plan: &Plan,
    memories: &mut Vec<Arc<Memory>>,
) -> Driver {
    let pipe = Pipe::new();
    let (events, heard) = mpsc::unbounded_channel();
    if config.is_exit {
        let server = pipe::server_config(&config.design, &config.keys);
        let endpoint = pipe::endpoint(Arc::clone(&pipe), Geometry::DEFAULT, Some(server)).unwrap();
        let names = plan.names.iter().map(|(name, addresses)| (Name::new(name).unwrap(), addresses.clone()));
        let policy = ExitPolicy { ports: Ports::all(), local: plan.local, denied: plan.denied.clone() };
        let limits = ExitLimits {
            memory: plan.memory,
            connections_max: plan.connections_max,
            ..ExitLimits::default()
        };
        let exit = Arc::new(Exit::with_limits(policy, Resolver::fixed(names), limits));
        memories.push(exit.memory());
        tokio::spawn(accept(endpoint, exit, heard));
    }
    Driver::start(config, &entropy::seed(), clock, socket, pipe, events)
}

pub fn target(host: &str, port: u16) -> Target {
    Target { host: Host::from_text(host).unwrap(), port }
}

/// Takes connections, and as little of what they bring as the kernel can be brought to; it says nothing.
pub fn deaf() -> (socket2::Socket, u16) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(128).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    (socket, port)
}
