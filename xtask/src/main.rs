//! Whatever a developer of Throng runs.

mod bench;
mod house;
mod test;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Developer tasks.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Format, lints, docs, licences, and every test; installs what they need from the system's packages if it may
    Test {
        /// Also what takes minutes and is not needed for every change
        #[arg(long)]
        long: bool,
    },
    /// The rules about the source that no compiler knows: circles of imports, citations, long functions
    House,
    /// Speed, cost and memory beside Tor's, a floor's and nothing's, by turns; as tables
    Bench(Box<bench::Bench>),
    /// Accept the scenarios' new results as their golden tables: look at the difference before you commit it
    Bless,
    /// Known vulnerabilities of the libraries (needs the network)
    Audit,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Test { long } => test::run_all(long),
        Task::House => house::check(),
        Task::Bench(bench) => bench::run(*bench),
        Task::Bless => test::bless(),
        Task::Audit => tools::run("cargo", &["deny", "check"]),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
