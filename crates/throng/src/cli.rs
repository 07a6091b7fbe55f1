//! What the command line understands.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use throng_core::Ports;
use throng_core::cover::Rate;
use throng_core::limits::{HOPS_MAX, OPERATORS_MAX, RECORD_ADDRESSES_MAX};
use throng_core::mixing::{MinCompany, Mixing};

use crate::plan::PlanOptions;
use crate::sim::SimOptions;
use crate::status;

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
    /// Say how anonymous a running Throng is, in numbers that it measured, and why not more
    Status(StatusOptions),
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
    #[command(flatten)]
    pub(crate) design: DesignOptions,
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
    /// Port of the proxy on 127.0.0.1 (0: any that is free)
    #[arg(long, default_value_t = 9450)]
    pub(crate) port: u16,
    #[command(flatten)]
    pub(crate) design: DesignOptions,
    #[command(flatten)]
    pub(crate) spending: SpendingOptions,
    /// Port of the status feed on 127.0.0.1 [default: 9451, or any that is free]
    #[arg(long)]
    pub(crate) status_port: Option<u16>,
    /// Record what an adversary on every wire of this network sees, and write it here when it ends
    ///
    /// Of every datagram: when it was handed to the system, from whom, to whom, and its length. Hosts are numbers: the
    /// mixes from 0, then the client. `throng sim export FILE --csv` reads it, as it reads what simulations recorded.
    #[arg(long, value_name = "FILE")]
    pub(crate) tap: Option<PathBuf>,
    /// Print one JSON object instead of text when the network is ready
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct StatusOptions {
    /// Where the running Throng says its status
    #[arg(long, default_value_t = SocketAddr::from(([127, 0, 0, 1], status::DEFAULT_PORT)))]
    pub(crate) at: SocketAddr,
    /// Print it as JSON, as it comes
    #[arg(long)]
    pub(crate) json: bool,
}

/// How the network works: from a file, from flags, or from a file with some of it changed by flags.
#[derive(Args)]
pub(crate) struct DesignOptions {
    /// A design file: lines of `axis = value`, the axes `hops`, `mixing`, `company`, `cover` and `rate` as the flags of their
    /// names, and `datagram`
    #[arg(long, value_name = "FILE")]
    pub(crate) design: Option<PathBuf>,
    /// Mixes in a circuit [default: 3]
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=HOPS_MAX as i64))]
    pub(crate) hops: Option<u8>,
    /// What mixes do with cells: `none`, `batch=20ms`, `pool=1:10:200ms` (how many must come or how often some leave; how
    /// many stay; after which silence a dummy comes), `slices=50ms`, `exponential=15ms`, `uniform=20ms` [default: none]
    #[arg(long)]
    pub(crate) mixing: Option<Mixing>,
    /// What they do with a cell that has too little company: `none`, `fill=3`, `hold=3:20ms` [default: none]
    #[arg(long)]
    pub(crate) company: Option<MinCompany>,
    /// When links and circuits speak without need: `none`, or of each kind one: `user-link`; `links`, `demand-driven` or
    /// `mimics`; `end-to-end` or `poisson`; joined by commas, each with a rate of its own if it is to have one:
    /// `user-link=64kbps,links=1mbps` [default: none]
    #[arg(long)]
    pub(crate) cover: Option<String>,
    /// Rate of covered links and circuits that have none of their own, on the wire: `64kbps` [default: 64kbps]
    #[arg(long)]
    pub(crate) rate: Option<Rate>,
}

/// What cover may cost its user.
#[derive(Args, Clone, Copy, Default)]
pub(crate) struct SpendingOptions {
    /// Megabytes a day that slots of cover may send, real data in them included; then cover ends until midnight UTC
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) cover_mb_per_day: Option<u32>,
    /// Cover only while the system says that the connection is not metered (asks NetworkManager)
    #[arg(long)]
    pub(crate) cover_unmetered_only: bool,
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

#[cfg(test)]
mod tests {
    use super::*;

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
