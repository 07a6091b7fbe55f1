//! The command line of Throng.

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
mod terminal;
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
            eprintln!("throng: {error:#}");
            ExitCode::FAILURE
        }
    }
}
