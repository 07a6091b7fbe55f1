//! The commands. Each has its options, and what it does, in a file of its own.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{client, network, node, plan, sim, status, up};

/// Practical anonymity for the masses: a mix-network that people browse through.
#[derive(Parser)]
#[command(version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Invocation,
}

#[derive(Subcommand)]
enum Invocation {
    /// Start a whole network on this machine, and a proxy to browse through it
    ///
    /// Twelve mixes, each with its own socket on its own loopback network, four of them exits. Real datagrams, real
    /// cryptography, real exits; but since all of it runs here, it hides nothing from anyone outside. Ctrl-C ends it.
    Up(up::UpOptions),
    /// Create and renew a static network, whose operators list its mixes
    #[command(subcommand)]
    Network(network::NetworkCommand),
    /// Run a mix of a static network
    Node(node::NodeOptions),
    /// Run a client of a static network, with its proxy
    Client(client::ClientOptions),
    /// Show how anonymous a running Throng is, as it measured, and what limits it
    Status(status::StatusOptions),
    /// Compute how many mixes serve how many users, with how much cover, against whom; or the other way round
    ///
    /// Leave out what you want to know: with --users it says how many mixes are needed, with --mixes how many users they
    /// carry, with both how loaded they are. Exit code 3 says that a stated requirement is not met.
    Plan(Box<plan::PlanOptions>),
    /// Simulate a network in virtual time, with the same node code as the real one
    ///
    /// A scenario describes the world. The same scenario and seed give the same bytes on any machine. Exit code 3 says that
    /// an invariant was broken in it, 4 that it was stopped before its end.
    Sim(Box<sim::SimOptions>),
}

impl Cli {
    /// Runs the command. Some can succeed in more than one way, which the exit code tells apart.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let done = match self.command {
            Invocation::Up(options) => up::run(&options),
            Invocation::Network(command) => network::run(&command),
            Invocation::Node(options) => node::run(&options),
            Invocation::Client(options) => client::run(&options),
            Invocation::Status(options) => status::run(&options),
            Invocation::Plan(options) => return plan::run(&options),
            Invocation::Sim(options) => return sim::run(&options),
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
