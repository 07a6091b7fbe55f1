//! A node with everything around it that its role needs: socket, driver, pipe, exit or client.

use std::io;
use std::sync::Arc;

use throng_core::config::Membership;
use throng_core::{ClientConfig, Design, NodeConfig, NodeKeys};
use throng_machine::Maybenot;
use tokio::sync::mpsc;

use crate::client::Client;
use crate::clock::Clock;
use crate::driver::Driver;
use crate::entropy;
use crate::exit::{Exit, accept};
use crate::notices::Notices;
use crate::pipe::{self, Pipe};
use crate::socket::Socket;

/// What a mix needs to run.
pub struct MixSetup {
    /// Its secrets.
    pub keys: NodeKeys,
    /// How the network works.
    pub design: Arc<Design>,
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
        design: setup.design,
        relays: true,
        is_exit: setup.exit.is_some(),
        client: None,
        membership: setup.membership,
        defences: Some(Arc::new(Maybenot)),
    };
    if let Some(exit) = setup.exit {
        let server = pipe::server_config(&config.design, &config.keys);
        let endpoint = pipe::endpoint(Arc::clone(&pipe), config.design.geometry, Some(server))?;
        tokio::spawn(accept(endpoint, Arc::new(exit), heard));
    }
    Ok(Driver::start(config, &entropy::seed(), clock, socket, pipe, events))
}

/// Runs a client on `socket`; what its owner should know of its circuits goes to `notices`.
///
/// # Errors
/// Those of QUIC's start.
pub fn start_client(
    client: ClientConfig,
    design: Arc<Design>,
    membership: Membership,
    socket: Socket,
    clock: Clock,
    notices: Notices,
) -> io::Result<(Client, Driver)> {
    let config = NodeConfig {
        // A client shows these to nobody.
        keys: NodeKeys::new(entropy::secret()),
        design: Arc::clone(&design),
        relays: false,
        is_exit: false,
        client: Some(client),
        membership,
        defences: Some(Arc::new(Maybenot)),
    };
    let pipe = Pipe::new();
    let endpoint = pipe::endpoint(Arc::clone(&pipe), design.geometry, None)?;
    let (events, heard) = mpsc::unbounded_channel();
    let driver = Driver::start(config, &entropy::seed(), clock, socket, pipe, events);
    Ok((Client::start(driver.orders(), heard, endpoint, design, notices), driver))
}
