//! What the command line understands.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use throng_core::Ports;
use throng_core::limits::{HOPS_MAX, OPERATORS_MAX, RECORD_ADDRESSES_MAX};
use throng_core::mixing::Mixing;

use crate::plan::PlanOptions;
use crate::sim::SimOptions;

/// Practical anonymity for the masses: a mix-network that people browse through.
#[derive(Parser)]
#[command(version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Start a whole network on this machine, and a proxy to browse through it
    ///
    /// Twelve mixes, each with its own socket on its own loopback network, four of them exits. Real datagrams, real
    /// cryptography, real exits; but since all of it runs here, it hides nothing from anybody outside. Ctrl-C
    /// ends it.
    Up(UpOptions),
    /// Make and renew a static network, whose mixes are named by its operators
    #[command(subcommand)]
    Network(NetworkCommand),
    /// Run a mix of a static network
    Node {
        /// Its file, as `throng network init` wrote it
        file: PathBuf,
        /// Do not run, but write the mix's signed record here, as its file describes it now, for the operators to take
        /// into the next document; makes its keys if there are none yet
        #[arg(long)]
        record: Option<PathBuf>,
    },
    /// Run a client of a static network: the proxy
    Client {
        /// Its file, as `throng network init` wrote it
        file: PathBuf,
    },
    /// Compute how many mixes, for how many users, with how much cover, against whom; or each of it backwards
    ///
    /// Leave out what you want to know: with --users it says how many mixes are needed, with --mixes how many users they
    /// carry, with both how loaded they are. Exit code 3 says that a stated requirement is not met.
    Plan(Box<PlanOptions>),
    /// Simulate a network in virtual time, with the very nodes of the real one
    ///
    /// A scenario says which world. The same scenario and seed give the same bytes on any machine. Exit code 3 says that
    /// something happened in it that never should.
    Sim(Box<SimOptions>),
}

#[derive(Subcommand)]
pub(crate) enum NetworkCommand {
    /// Write the keys, files and signed document of a new network
    Init(InitOptions),
    /// Renew the network's document with one operator's signature
    ///
    /// The first operator makes the next document, with new records and a new validity; the others sign it by the same
    /// command. When enough have, it takes the place of the old one.
    Sign(SignOptions),
}

#[derive(Args)]
pub(crate) struct InitOptions {
    /// Where to write; must not hold a network yet
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// The network's name
    #[arg(long, default_value = "throng")]
    pub(crate) name: String,
    /// Mixes
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=MIXES_MAX))]
    pub(crate) mixes: u8,
    /// How many of them are exits
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=MIXES_MAX))]
    pub(crate) exits: u8,
    /// Where the mixes are reached, in their order; several addresses of one mix are joined by `+`, as in
    /// `198.51.100.1:9001+[2001:db8::1]:9001` [default: 127.1.0.1:9001, 127.2.0.1:9001, …]
    #[arg(long, value_delimiter = ',', value_parser = parse_addresses)]
    pub(crate) address: Vec<Addresses>,
    /// What each mix can carry in each direction, in kbit/s: paths choose mixes in proportion
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) capacity_kbps: u32,
    /// Ports that exits open connections to
    #[arg(long, default_value_t = Ports::reduced())]
    pub(crate) exit_ports: Ports,
    /// Let exits reach private addresses and their own machine: for test networks only
    #[arg(long)]
    pub(crate) exit_to_private: bool,
    /// Mixes in a circuit
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=HOPS_MAX as i64))]
    pub(crate) hops: u8,
    /// What mixes do with cells: `none`, or `batch=20ms`
    #[arg(long, default_value = "none", value_parser = parse_mixing)]
    pub(crate) mixing: Mixing,
    /// Operators
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=OPERATORS_MAX as i64))]
    pub(crate) operators: u8,
    /// How many of them must sign
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=OPERATORS_MAX as i64))]
    pub(crate) threshold: u8,
    /// Days that the document is valid
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=3650))]
    pub(crate) days: u16,
}

#[derive(Args)]
pub(crate) struct SignOptions {
    /// The document
    #[arg(long)]
    pub(crate) document: PathBuf,
    /// Whose signatures count
    #[arg(long)]
    pub(crate) roots: PathBuf,
    /// The operator's key
    #[arg(long)]
    pub(crate) key: PathBuf,
    /// Records of mixes that are new or have changed, as `throng node --record` wrote them
    #[arg(long, value_delimiter = ',')]
    pub(crate) record: Vec<PathBuf>,
    /// Days that the next document is valid
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=3650))]
    pub(crate) days: u16,
}

#[derive(Args)]
pub(crate) struct UpOptions {
    /// Mixes in the network; a third of them are exits
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u8).range(1..=MIXES_MAX))]
    pub(crate) mixes: u8,
    /// Mixes in a circuit
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=HOPS_MAX as i64))]
    pub(crate) hops: u8,
    /// Port of the proxy on 127.0.0.1 (0: any that is free)
    #[arg(long, default_value_t = 9450)]
    pub(crate) port: u16,
    /// What mixes do with cells: `none`, or `batch=20ms` (those of one interval leave together, in random order)
    #[arg(long, default_value = "none", value_parser = parse_mixing)]
    pub(crate) mixing: Mixing,
    /// Print one JSON object instead of text when the network is ready
    #[arg(long)]
    pub(crate) json: bool,
}

/// The addresses of one mix.
pub(crate) type Addresses = Vec<SocketAddr>;

fn parse_addresses(text: &str) -> Result<Addresses, String> {
    let wrong = |_| format!("`{text}` is not `address:port`, or several of them joined by `+`");
    let addresses: Addresses = text.split('+').map(str::parse).collect::<Result<_, _>>().map_err(wrong)?;
    match addresses.len() {
        1..=RECORD_ADDRESSES_MAX => Ok(addresses),
        _ => Err(format!("a mix has at most {RECORD_ADDRESSES_MAX} addresses")),
    }
}

/// One mix per /16 of 127.0.0.0/8, without 127.0 and 127.255.
const MIXES_MAX: i64 = 254;

fn parse_mixing(text: &str) -> Result<Mixing, String> {
    let wrong = || "mixing is `none` or `batch=` and a time from 1ms to 100ms, like `batch=20ms`".to_owned();
    if text == "none" {
        return Ok(Mixing::None);
    }
    let every = text.strip_prefix("batch=").and_then(parse_duration).ok_or_else(wrong)?;
    Mixing::batch(every).ok_or_else(wrong)
}

fn parse_duration(text: &str) -> Option<Duration> {
    if let Some(number) = text.strip_suffix("ms") {
        return number.parse().ok().map(Duration::from_millis);
    }
    text.strip_suffix('s')?.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixing_is_read_or_explained() {
        assert_eq!(parse_mixing("none"), Ok(Mixing::None));
        assert_eq!(parse_mixing("batch=20ms"), Ok(Mixing::Batch { every: Duration::from_millis(20) }));
        for wrong in ["", "batch", "batch=", "batch=0ms", "batch=101ms", "batch=1s", "batch=20", "pool"] {
            assert!(parse_mixing(wrong).is_err_and(|why| why.contains("batch=20ms")), "{wrong}");
        }
    }

    #[test]
    fn a_mix_may_have_several_addresses() {
        let two = parse_addresses("198.51.100.1:9001+[2001:db8::1]:9001").unwrap();
        assert_eq!(two, ["198.51.100.1:9001".parse().unwrap(), "[2001:db8::1]:9001".parse().unwrap()]);
        assert!(parse_addresses("198.51.100.1").is_err_and(|why| why.contains("198.51.100.1")));
        assert!(parse_addresses(&["127.0.0.1:1"; 5].join("+")).is_err_and(|why| why.contains("at most 4")));
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
