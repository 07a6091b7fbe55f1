//! A whole network in one process: every mix with its own socket, driver and keys, as if it stood elsewhere.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use throng_core::config::Membership;
use throng_core::cover::Budget;
use throng_core::membership::{Description, Record};
use throng_core::route::PathRules;
use throng_core::wire::Geometry;
use throng_core::{ClientConfig, Design, NodeId, NodeKeys, Ports, Scrubbed, Time};
use throng_net::client::Client;
use throng_net::clock::Clock;
use throng_net::driver::{Asking, Driver};
use throng_net::entropy;
use throng_net::exit::{Exit, ExitPolicy, Resolver};
use throng_net::host::{MixSetup, start_client, start_mix};
use throng_net::notices::Notices;
use throng_net::socket::Socket;
use throng_net::suite::Fast;

use crate::status::feed::Gather;
use crate::status::report::Report;
use crate::tap::Recording;

/// The network lives as long as its process; its records are good for longer.
const RECORD_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

/// The capacity that every mix declares, in kbit/s: they share one machine, so none declares more than another.
const LOCAL_CAPACITY: u32 = 1_000_000;

/// One mix per /16 of 127.0.0.0/8, without 127.0 and 127.255.
pub(crate) const MIXES_MAX: i64 = 254;

/// What to start.
pub(crate) struct LocalSetup {
    pub(crate) budget: Budget,
    pub(crate) mixes: u8,
    pub(crate) design: Arc<Design>,
    /// What records all its wires, if anything does.
    pub(crate) tap: Option<Recording>,
}

impl LocalSetup {
    fn watched(&self, socket: Socket) -> Result<Socket> {
        match &self.tap {
            Some(tap) => tap.watch(socket),
            None => Ok(socket),
        }
    }
}

/// A running network.
pub(crate) struct LocalNetwork {
    pub(crate) mixes: Vec<LocalMix>,
    pub(crate) client: Arc<Client>,
    client_driver: Driver,
    clock: Clock,
    pub(crate) design: Arc<Design>,
    /// Whether every mix has a /16 of its own.
    pub(crate) own_prefixes: bool,
    /// What its owner should know.
    pub(crate) notices: Notices,
}

/// Asks all nodes of a local network what they observed.
pub(crate) struct Observer {
    design: Arc<Design>,
    clock: Clock,
    started: Time,
    client: Asking,
    notices: Notices,
    mixes: Vec<(String, NodeId, Asking)>,
}

impl Gather for Observer {
    async fn gather(&self) -> Option<Report> {
        let client = self.client.ask().await?;
        let mut mixes = Vec::new();
        for (name, _, mix) in &self.mixes {
            mixes.push((name.clone(), mix.ask().await?));
        }
        let name = |id: NodeId| {
            let known = self.mixes.iter().find(|(_, mix, _)| *mix == id);
            known.map_or_else(|| id.fingerprint().to_string(), |(name, ..)| name.clone())
        };
        let up = self.clock.now() - self.started;
        Some(Report::new(&self.design, up, Some(&client), &mixes, name).with(self.notices.holding()))
    }
}

/// A mix of it.
pub(crate) struct LocalMix {
    pub(crate) name: String,
    pub(crate) id: NodeId,
    pub(crate) address: SocketAddr,
    pub(crate) exit_ports: Ports,
    driver: Driver,
}

impl LocalNetwork {
    /// Starts everything; the client begins to build circuits.
    pub(crate) fn start(setup: &LocalSetup) -> Result<Self> {
        let clock = Clock::start();
        let (sockets, own_prefixes) = bind_all(setup.mixes, setup.design.geometry)?;
        let exits = setup.mixes.div_ceil(3);
        let members: Vec<NewMix> = sockets
            .into_iter()
            .enumerate()
            .map(|(i, socket)| NewMix::new(setup.watched(socket)?, i < usize::from(exits), clock))
            .collect::<Result<_>>()?;
        let records: Vec<Arc<Record>> = members.iter().map(|member| Arc::clone(&member.record)).collect();

        let notices = Notices::new(clock);
        let mixes = members
            .into_iter()
            .zip(1..)
            .map(|(member, number)| member.start(number, &setup.design, &records, clock))
            .collect::<Result<_>>()?;
        let rules = if own_prefixes { PathRules::Diverse } else { PathRules::SamePrefixAllowed };
        let (client, client_driver) = start_local_client(setup, rules, records, clock, notices.clone())?;
        Ok(Self {
            mixes,
            client: Arc::new(client),
            client_driver,
            clock,
            design: Arc::clone(&setup.design),
            own_prefixes,
            notices,
        })
    }

    /// The mix with this identity.
    pub(crate) fn mix(&self, id: NodeId) -> Option<&LocalMix> {
        self.mixes.iter().find(|mix| mix.id == id)
    }

    /// What asks all of its nodes what they observed.
    pub(crate) fn observer(&self) -> Observer {
        let mixes = self.mixes.iter().map(|mix| (mix.name.clone(), mix.id, mix.driver.meter()));
        Observer {
            design: Arc::clone(&self.design),
            clock: self.clock,
            started: self.clock.now(),
            client: self.client_driver.meter(),
            notices: self.notices.clone(),
            mixes: mixes.collect(),
        }
    }

    /// What drives the client.
    pub(crate) fn client_driver(&self) -> &Driver {
        &self.client_driver
    }

    /// Ends everything, the client first.
    pub(crate) async fn leave(self) {
        self.client_driver.leave().await;
        for mix in self.mixes {
            mix.driver.leave().await;
        }
    }
}

/// A mix before it runs.
struct NewMix {
    keys: NodeKeys,
    record: Arc<Record>,
    socket: Socket,
    address: SocketAddr,
}

impl NewMix {
    fn new(socket: Socket, is_exit: bool, clock: Clock) -> Result<Self> {
        let keys = NodeKeys::new(entropy::secret());
        let address = socket.local_addr().context("reading a socket's address")?;
        let now = clock.now();
        let description = Description {
            identity: keys.id::<Fast>(),
            family: None,
            capacity: LOCAL_CAPACITY,
            addresses: vec![Scrubbed(address)],
            exit_ports: if is_exit { Ports::all() } else { Ports::none() },
            from: now,
            until: now + RECORD_LIFE,
        };
        let record = Arc::new(Record::sign::<Fast>(description, keys.identity_secret()));
        Ok(Self { keys, record, socket, address })
    }

    fn start(
        self,
        number: u8,
        design: &Arc<Design>,
        records: &[Arc<Record>],
        clock: Clock,
    ) -> Result<LocalMix> {
        let exit_ports = self.record.description().exit_ports.clone();
        // Peculiar to this network: exits may reach everything, including this machine.
        let exit = |ports: &Ports| {
            let policy = ExitPolicy { ports: ports.clone(), local: true, denied: Vec::new() };
            Exit::new(policy, Resolver::system())
        };
        let setup = MixSetup {
            keys: self.keys,
            design: Arc::clone(design),
            membership: Membership::Given(records.to_vec()),
            exit: (!exit_ports.is_none()).then(|| exit(&exit_ports)),
        };
        let id = self.record.description().identity;
        let driver = start_mix(setup, self.socket, clock).context("starting QUIC")?;
        Ok(LocalMix { name: format!("mix-{number}"), id, address: self.address, exit_ports, driver })
    }
}

fn start_local_client(
    setup: &LocalSetup,
    rules: PathRules,
    records: Vec<Arc<Record>>,
    clock: Clock,
    notices: Notices,
) -> Result<(Client, Driver)> {
    let socket = Socket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), setup.design.geometry.datagram())
        .context("binding the client's socket")?;
    let config = ClientConfig { rules, budget: setup.budget, ..ClientConfig::default() };
    let socket = setup.watched(socket)?;
    start_client(config, Arc::clone(&setup.design), Membership::Given(records), socket, clock, notices)
        .context("starting QUIC")
}

/// Sockets on 127.1.0.1, 127.2.0.1, …; all on 127.0.0.1 where the system has no other. Whether the former.
fn bind_all(count: u8, geometry: Geometry) -> Result<(Vec<Socket>, bool)> {
    let bind = |ip: Ipv4Addr| Socket::bind(SocketAddr::from((ip, 0)), geometry.datagram());
    let apart: io::Result<Vec<_>> = (1..=count).map(|i| bind(Ipv4Addr::new(127, i, 0, 1))).collect();
    match apart {
        Ok(sockets) => Ok((sockets, true)),
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            let together: io::Result<Vec<_>> = (0..count).map(|_| bind(Ipv4Addr::LOCALHOST)).collect();
            Ok((together.context("binding the mixes' sockets on 127.0.0.1")?, false))
        }
        Err(error) => Err(error).context("binding the mixes' sockets on 127.x.0.1"),
    }
}
