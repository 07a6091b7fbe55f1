//! The command line of Throng.

mod cli;
mod client;
mod design;
mod files_open;
mod local;
mod log;
mod metered;
mod network;
mod node;
mod plan;
mod sim;
mod status;
mod tap;
mod up;

use std::process::ExitCode;

use clap::Parser;
use cli::NetworkCommand;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    log::start();
    files_open::allow_many();
    let outcome = match cli.command {
        cli::Command::Up(options) => up::run(&options),
        cli::Command::Network(NetworkCommand::Init(options)) => network::init(&options),
        cli::Command::Network(NetworkCommand::Sign(options)) => network::renew(&options),
        cli::Command::Node { file, record: Some(record) } => node::write_record(&file, &record),
        cli::Command::Node { file, record: None } => node::run(&file),
        cli::Command::Status(options) => status::run(&options),
        cli::Command::Client { file } => client::run(&file),
        cli::Command::Plan(options) => return end(plan::run(&options)),
        cli::Command::Sim(options) => return end(sim::run(&options)),
    };
    end(outcome.map(|()| ExitCode::SUCCESS))
}

fn end(outcome: anyhow::Result<ExitCode>) -> ExitCode {
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("throng: {error:#}");
            ExitCode::FAILURE
        }
    }
}
