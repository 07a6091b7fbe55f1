//! `throng network init`: the keys, files and signed document of a new network.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use throng_core::crypto::Suite;
use throng_core::documents::Roots;
use throng_core::documents::{Statement, assemble, sign, unsigned};
use throng_core::limits::{OPERATORS_MAX, RECORD_ADDRESSES_MAX};
use throng_core::membership::Record;
use throng_core::{Ports, Time};
use throng_net::clock::Clock;
use throng_net::entropy;
use throng_net::exit::Network;
use throng_net::suite::Fast;

use super::files::{self, ClientFile, KeyKind, MixFile, RootsFile};
use super::{days, earlier, record};
use crate::design::{self, DesignOptions};
use crate::disk::{self, FILE_VERSION};
use crate::local::MIXES_MAX;
use crate::status::feed;

/// The port of the first mixes, which all have addresses of their own.
const MIX_PORT: u16 = 9001;

#[derive(Args)]
pub(crate) struct InitOptions {
    /// Where to write; must not already hold a network
    #[arg(long)]
    dir: PathBuf,
    /// The network's name
    #[arg(long, default_value = "throng")]
    name: String,
    /// Mixes
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=MIXES_MAX))]
    mixes: u8,
    /// How many of the mixes are exits
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=MIXES_MAX))]
    exits: u8,
    /// Where the mixes are reached, in order; several addresses of one mix are joined by `+`, as in
    /// `198.51.100.1:9001+[2001:db8::1]:9001` [default: 127.1.0.1:9001, 127.2.0.1:9001, …]
    #[arg(long, value_delimiter = ',', value_parser = parse_addresses)]
    address: Vec<Addresses>,
    /// What each mix can carry in each direction, in kbit/s: paths choose mixes in proportion to it
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    capacity_kbps: u32,
    /// Ports that exits open connections to
    #[arg(long, default_value_t = Ports::reduced())]
    exit_ports: Ports,
    /// Let exits reach private addresses and their own machine: for test networks only
    #[arg(long)]
    exit_to_private: bool,
    /// Networks that exits never open connections to: addresses, and prefixes like 203.0.113.0/24 or 2001:db8::/32
    #[arg(long, value_name = "NET", value_delimiter = ',')]
    exit_deny: Vec<Network>,
    #[command(flatten)]
    design: DesignOptions,
    /// Operators
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=OPERATORS_MAX as i64))]
    operators: u8,
    /// How many operators must sign
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=OPERATORS_MAX as i64))]
    threshold: u8,
    /// Days for which the document is valid
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: u16,
}

/// The addresses of one mix.
type Addresses = Vec<SocketAddr>;

fn parse_addresses(text: &str) -> Result<Addresses, String> {
    let wrong = |_| format!("invalid address `{text}`: expected `address:port`, or several joined by `+`");
    let addresses: Addresses = text.split('+').map(str::parse).collect::<Result<_, _>>().map_err(wrong)?;
    match addresses.len() {
        1..=RECORD_ADDRESSES_MAX => Ok(addresses),
        _ => Err(format!("a mix has at most {RECORD_ADDRESSES_MAX} addresses")),
    }
}

/// Writes the files of a new network.
pub(crate) fn init(options: &InitOptions) -> Result<()> {
    let dir = &options.dir;
    let design = design::read(&options.design, options.mixes.into())?;
    for (flag, value, bound, most) in [
        ("--exits", options.exits, "--mixes", options.mixes),
        ("--hops", design.route.hops() as u8, "--mixes", options.mixes),
        ("--threshold", options.threshold, "--operators", options.operators),
    ] {
        if value > most {
            bail!("{flag} {value} exceeds {bound} {most}");
        }
    }
    check_addresses(options)?;
    if dir.join("roots.toml").exists() {
        bail!("{} already holds a network: choose another --dir", dir.display());
    }
    fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    let now = Clock::start().now();

    let secrets: Vec<[u8; 32]> = (0..options.operators).map(|_| entropy::secret()).collect();
    let operators = secrets.iter().map(Fast::sign_public).collect();
    let roots = Roots::new(options.name.clone(), operators, options.threshold.into())
        .context("--name must have 1 to 64 characters")?;
    for (secret, number) in secrets.iter().zip(1..) {
        files::write_keys(&dir.join(format!("operator-{number}.keys")), KeyKind::Operator, secret)?;
    }
    let records =
        (1..=options.mixes).map(|number| init_mix(dir, number, options, now)).collect::<Result<_>>()?;
    let statement = Statement {
        network: options.name.clone(),
        serial: 1,
        from: earlier(now),
        until: now + days(options.days),
        before: Vec::new(),
        design,
        records,
    };
    super::sign::outlived(&statement)?;
    let unsigned = unsigned(&statement);
    let mut signatures = Vec::new();
    for secret in &secrets {
        sign::<Fast>(&unsigned, &mut signatures, secret);
    }
    disk::write(&dir.join("network.throng"), &assemble(&unsigned, &signatures))?;
    init_client(dir)?;
    // Last: this file marks the network as complete.
    disk::write_toml(
        &dir.join("roots.toml"),
        "The operators whose signatures count.",
        &RootsFile::new(&roots),
    )?;
    tell!(
        "wrote a network of {} mixes, {} of them exits, to {}: run `throng node {}` and so on, then `throng client {}`",
        options.mixes,
        options.exits,
        dir.display(),
        dir.join("mix-1.toml").display(),
        dir.join("client.toml").display(),
    );
    Ok(())
}

/// Each mix has addresses of its own, or none is named and they are made up.
fn check_addresses(options: &InitOptions) -> Result<()> {
    let named = &options.address;
    if !named.is_empty() && named.len() != usize::from(options.mixes) {
        bail!("--address names {} mixes, and --mixes is {}: name one for each", named.len(), options.mixes);
    }
    let all: Vec<&SocketAddr> = named.iter().flatten().collect();
    if let Some(nowhere) = all.iter().find(|address| address.ip().is_unspecified() || address.port() == 0) {
        bail!(
            "--address: nobody can reach a mix at {nowhere}: name the address and port at which others see it"
        );
    }
    match all.iter().enumerate().find(|(place, address)| all[..*place].contains(address)) {
        Some((_, twice)) => bail!("--address: {twice} is named twice"),
        None => Ok(()),
    }
}

fn init_mix(dir: &Path, number: u8, options: &InitOptions, now: Time) -> Result<Arc<Record>> {
    let name = format!("mix-{number}");
    let default = || vec![SocketAddr::from((Ipv4Addr::new(127, number, 0, 1), MIX_PORT))];
    let addresses = options.address.get(usize::from(number) - 1).cloned().unwrap_or_else(default);
    let (listen, addresses) = match addresses[..] {
        [one] => (one, Vec::new()),
        _ => (SocketAddr::from((Ipv6Addr::UNSPECIFIED, addresses[0].port())), addresses),
    };
    if addresses.iter().any(|address| address.port() != listen.port()) {
        bail!("--address: all addresses of a mix must have the same port, since it listens on one");
    }
    let file = MixFile {
        version: FILE_VERSION,
        keys: format!("{name}.keys").into(),
        roots: "roots.toml".into(),
        document: "network.throng".into(),
        listen,
        addresses,
        capacity_kbps: options.capacity_kbps,
        exit_ports: if number <= options.exits {
            options.exit_ports.to_string()
        } else {
            Ports::none().to_string()
        },
        family: String::new(),
        exit_to_private: options.exit_to_private,
        exit_deny: options.exit_deny.iter().map(Network::to_string).collect(),
        status: None,
    };
    let path = dir.join(format!("{name}.toml"));
    disk::write_toml(&path, &format!("Run it with `throng node {name}.toml`."), &file)?;
    Ok(Arc::new(record(&path, &file, now)?))
}

fn init_client(dir: &Path) -> Result<()> {
    let file = ClientFile {
        version: FILE_VERSION,
        roots: "roots.toml".into(),
        document: "network.throng".into(),
        proxy: SocketAddr::from((Ipv4Addr::LOCALHOST, 9450)),
        state: "client.state".into(),
        status: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, feed::DEFAULT_PORT))),
        ask_for_user: false,
        cover_mb_per_day: None,
        cover_unmetered_only: false,
    };
    disk::write_toml(&dir.join("client.toml"), "Run it with `throng client client.toml`.", &file)
}

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
}
