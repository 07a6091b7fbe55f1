//! The command line of Throng.
#![warn(clippy::print_stderr)] // `tell!` outlives a terminal that was closed

#[macro_use]
mod terminal;

mod cli;
mod client;
mod design;
mod disk;
mod files_open;
mod local;
mod log;
mod metered;
mod names;
mod network;
mod node;
mod plan;
mod sim;
mod startup;
mod status;
mod tap;
mod up;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    log::start();
    files_open::allow_many();
    match cli.run() {
        Ok(code) => code,
        Err(error) => {
            tell!("throng: {error:#}");
            ExitCode::FAILURE
        }
    }
}
