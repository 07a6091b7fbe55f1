//! Tasks for developers of Throng.

mod bench;
mod fuzz;
mod house;
mod test;
mod tools;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use test::Extent;

/// Developer tasks.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Format, lints, docs, licences, and every test; installs what they need from the system's packages if it may
    Test(TestOptions),
    /// The rules about the source that no compiler knows: circles of imports, citations, long functions
    House,
    /// Compare speed, cost and memory with Tor, with a floor and with no network at all, by turns; as tables
    Bench(Box<bench::Bench>),
    /// Accept the scenarios' new results as their golden tables: look at the difference before you commit it
    Bless,
    /// Run the targets of `fuzz/` under a fuzzer, which is told by what it reaches where to go on
    Fuzz(fuzz::Fuzz),
    /// Known vulnerabilities of the libraries (needs the network)
    Audit,
}

#[derive(Args)]
struct TestOptions {
    /// Only what takes less than two minutes once everything is built: format, the rules of `house`, lints, and the fast
    /// tests of the engine, the simulator and the planner
    ///
    /// Installs nothing. Leaves out: the documentation and its examples, licences, the planted faults, half of the swarm and other
    /// long simulations, golden tables, and whatever opens a socket or drives the binary, a browser or a capture
    /// (throng-net and throng).
    #[arg(long, conflicts_with = "long")]
    quick: bool,
    /// Also what takes minutes and is not needed for every change
    #[arg(long)]
    long: bool,
}

impl TestOptions {
    fn extent(&self) -> Extent {
        match (self.quick, self.long) {
            (true, _) => Extent::Quick,
            (_, true) => Extent::Long,
            _ => Extent::Normal,
        }
    }
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Test(options) => test::run_all(options.extent()),
        Task::House => house::check(),
        Task::Bench(bench) => bench::run(*bench),
        Task::Bless => test::bless(),
        Task::Fuzz(fuzz) => fuzz::run(&fuzz),
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
