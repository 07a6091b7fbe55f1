//! A node with everything around it that its role needs: socket, driver, pipe, exit or client.

use std::io;
use std::sync::Arc;

use throng_core::membership::Membership;
use throng_core::mixing::Mixing;
use throng_core::wire::Geometry;
use throng_core::{ClientConfig, NodeConfig, NodeKeys};
use tokio::sync::mpsc;

use crate::client::Client;
use crate::clock::Clock;
use crate::driver::Driver;
use crate::entropy;
use crate::exit::{Exit, accept};
use crate::pipe::{self, Pipe};
use crate::socket::Socket;

/// What a mix needs to run.
pub struct MixSetup {
    /// Its secrets.
    pub keys: NodeKeys,
    /// The network's lengths.
    pub geometry: Geometry,
    /// What it does with cells.
    pub mixing: Mixing,
    /// Whom it knows.
    pub membership: Membership,
    /// What opens connections to the outside, if it is an exit.
    pub exit: Option<Exit>,
}

/// Runs a mix on `socket`.
///
/// # Errors
/// Those of QUIC's start.
pub fn start_mix(setup: MixSetup, socket: Socket, clock: Clock) -> io::Result<Driver> {
    let pipe = Pipe::new();
    let (events, heard) = mpsc::unbounded_channel();
    let config = NodeConfig {
        keys: setup.keys,
        geometry: setup.geometry,
        relays: true,
        is_exit: setup.exit.is_some(),
        mixing: setup.mixing,
        client: None,
        membership: setup.membership,
    };
    if let Some(exit) = setup.exit {
        let server = pipe::server_config(setup.geometry, &config.keys);
        let endpoint = pipe::endpoint(Arc::clone(&pipe), setup.geometry, Some(server))?;
        tokio::spawn(accept(endpoint, Arc::new(exit), heard));
    }
    Ok(Driver::start(config, &entropy::seed(), clock, socket, pipe, events))
}

/// Runs a client on `socket`.
///
/// # Errors
/// Those of QUIC's start.
pub fn start_client(
    client: ClientConfig,
    geometry: Geometry,
    membership: Membership,
    socket: Socket,
    clock: Clock,
) -> io::Result<(Client, Driver)> {
    let config = NodeConfig {
        // A client shows these to nobody.
        keys: NodeKeys::new(entropy::secret(), entropy::secret()),
        geometry,
        relays: false,
        is_exit: false,
        mixing: Mixing::None,
        client: Some(client),
        membership,
    };
    let pipe = Pipe::new();
    let endpoint = pipe::endpoint(Arc::clone(&pipe), geometry, None)?;
    let (events, heard) = mpsc::unbounded_channel();
    let driver = Driver::start(config, &entropy::seed(), clock, socket, pipe, events);
    Ok((Client::start(driver.orders(), heard, endpoint, geometry), driver))
}
