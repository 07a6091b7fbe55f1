//! `throng network`: what the operators of a static network do.

pub(crate) mod document;
mod family;
pub(crate) mod files;
mod init;
mod sign;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use throng_core::limits::RECORD_ADDRESSES_MAX;
use throng_core::membership::{Description, Record};
use throng_core::{NodeKeys, Scrubbed, Time};
use throng_net::entropy;
use throng_net::suite::Fast;

use crate::disk::beside;
use files::{KeyKind, MixFile};

/// Mixes sign their records once; it is documents that are renewed.
const RECORD_LIFE: Duration = Duration::from_secs(5 * 365 * 24 * 3600);
/// How far clocks may differ.
const CLOCK_SKEW: Duration = Duration::from_secs(3600);

#[derive(Subcommand)]
pub(crate) enum NetworkCommand {
    /// Write the keys, files and signed document of a new network
    Init(init::InitOptions),
    /// Renew the network's document with one operator's signature
    ///
    /// The first operator makes the next document, with new records and a new period of validity; the others sign it with
    /// the same command. Once enough have signed, it replaces the old one.
    Sign(sign::SignOptions),
    /// Say that mixes are of one family: no circuit has two mixes of one operator
    Family(family::FamilyOptions),
}

/// Makes a network, or renews its document.
pub(crate) fn run(command: &NetworkCommand) -> Result<()> {
    match command {
        NetworkCommand::Init(options) => init::init(options),
        NetworkCommand::Sign(options) => sign::renew(options),
        NetworkCommand::Family(options) => family::join(options),
    }
}

/// The keys of the mix that a file describes; made if there are none yet.
fn node_keys(path: &Path, file: &MixFile) -> Result<NodeKeys> {
    let keys = beside(path, &file.keys);
    if !keys.exists() {
        files::write_keys(&keys, KeyKind::Mix, &entropy::secret())?;
    }
    Ok(NodeKeys::new(files::read_keys(&keys, KeyKind::Mix)?))
}

/// The signed record of the mix that a file describes. Makes its keys if there are none yet.
pub(crate) fn record(path: &Path, file: &MixFile, now: Time) -> Result<Record> {
    let keys = node_keys(path, file)?;
    Ok(Record::sign::<Fast>(describe(path, file, &keys, now)?, keys.identity_secret()))
}

/// What a file says of its mix, whose keys these are.
pub(crate) fn describe(path: &Path, file: &MixFile, keys: &NodeKeys, now: Time) -> Result<Description> {
    let addresses = if file.addresses.is_empty() { vec![file.listen] } else { file.addresses.clone() };
    if addresses.len() > RECORD_ADDRESSES_MAX {
        bail!("`addresses` in {} must have at most {RECORD_ADDRESSES_MAX} entries", path.display());
    }
    if addresses.iter().any(|address| address.ip().is_unspecified()) {
        bail!("{} listens on all addresses: `addresses` must say where others can reach it", path.display());
    }
    if file.capacity_kbps == 0 {
        bail!("`capacity_kbps` in {} must be more than 0", path.display());
    }
    Ok(Description {
        identity: keys.id::<Fast>(),
        family: family::read(&file.family, keys.id::<Fast>())
            .with_context(|| format!("`family` in {}", path.display()))?,
        capacity: file.capacity_kbps,
        addresses: addresses.into_iter().map(Scrubbed).collect(),
        exit_ports: file.exit_ports.parse().with_context(|| format!("`exit_ports` in {}", path.display()))?,
        from: earlier(now),
        until: now + RECORD_LIFE,
    })
}

fn days(days: u16) -> Duration {
    Duration::from_secs(u64::from(days) * 24 * 3600)
}

fn earlier(now: Time) -> Time {
    Time::from_nanos(now.as_nanos().saturating_sub(CLOCK_SKEW.as_nanos() as u64))
}
