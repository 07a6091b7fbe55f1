//! `throng network sign`: the next document of a network, signed by one operator after the other.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use throng_core::Time;
use throng_core::crypto::Suite;
use throng_core::documents::{Document, Roots};
use throng_core::documents::{DocumentError, assemble, sign, take_apart, unsigned, validity};
use throng_core::membership::{Description, Record};
use throng_net::clock::Clock;
use throng_net::suite::Fast;

use super::files::{self, RootsFile};
use super::{days, earlier};
use crate::disk;

#[derive(Args)]
pub(crate) struct SignOptions {
    /// The network document
    #[arg(long)]
    document: PathBuf,
    /// The file that names the operators: `roots.toml`
    #[arg(long)]
    roots: PathBuf,
    /// The operator's key file
    #[arg(long)]
    key: PathBuf,
    /// Records of mixes that are new or have changed, as `throng node --record` wrote them
    #[arg(long, value_delimiter = ',')]
    record: Vec<PathBuf>,
    /// Days for which the next document is valid
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: u16,
}

/// Renews a network document with one operator's signature. Once enough have signed, it replaces the old one.
pub(crate) fn renew(options: &SignOptions) -> Result<()> {
    let clock = Clock::start();
    let roots = RootsFile::read(&options.roots)?;
    let secret = files::read_operator_key(&options.key)?;
    if !roots.operators().contains(&Fast::sign_public(&secret)) {
        bail!("{} is not the key of an operator in {}", options.key.display(), options.roots.display());
    }
    let pending = pending(&options.document);
    let (unsigned, mut signatures) = if pending.exists() {
        let bytes = fs::read(&pending).with_context(|| format!("reading {}", pending.display()))?;
        let (unsigned, signatures) =
            take_apart(&bytes).with_context(|| format!("in {}", pending.display()))?;
        (unsigned.to_vec(), signatures)
    } else {
        (successor(options, &roots, clock.now())?, Vec::new())
    };
    sign::<Fast>(&unsigned, &mut signatures, &secret);
    let bytes = assemble(&unsigned, &signatures);
    match Document::verify::<Fast>(&bytes, &roots, clock.now()) {
        Ok(document) => {
            disk::write(&options.document, &bytes)?;
            let _ = fs::remove_file(&pending);
            eprintln!("{}: serial {} is in force", options.document.display(), document.statement().serial);
        }
        Err(why) => {
            disk::write(&pending, &bytes)?;
            eprintln!("signed and saved in {}, not yet in force: {why}", pending.display());
        }
    }
    Ok(())
}

/// The next document, from the one in force and the given records.
fn successor(options: &SignOptions, roots: &Roots, now: Time) -> Result<Vec<u8>> {
    // An expired document may be renewed, but it must be ours.
    let bytes =
        fs::read(&options.document).with_context(|| format!("reading {}", options.document.display()))?;
    let current =
        read_any(&bytes, roots, now).with_context(|| format!("in {}", options.document.display()))?;
    let mut statement = current.statement().clone();
    statement.serial = statement.serial.checked_add(1).context("serial numbers are exhausted")?;
    statement.from = earlier(now);
    statement.until = now + days(options.days);
    for path in &options.record {
        let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let record = Record::verify::<Fast>(&bytes, now);
        let record = record.map_err(|why| anyhow::anyhow!("{} is refused ({why:?})", path.display()))?;
        eprintln!("adding mix {}", in_words(record.description()));
        statement.records.retain(|other| other.description().identity != record.description().identity);
        statement.records.push(Arc::new(record));
    }
    Ok(unsigned(&statement))
}

/// What an operator should check before signing: paths choose mixes by what they claim.
fn in_words(mix: &Description) -> String {
    let addresses: Vec<String> = mix.addresses.iter().map(|address| address.0.to_string()).collect();
    format!(
        "{} at {}, {} kbit/s, exit ports {}",
        mix.identity.fingerprint(),
        addresses.join(" and "),
        mix.capacity,
        mix.exit_ports
    )
}

/// Verifies a document; an expired one as of its last moment.
fn read_any(bytes: &[u8], roots: &Roots, now: Time) -> Result<Document> {
    match Document::verify::<Fast>(bytes, roots, now) {
        Err(DocumentError::Expired) => {
            let (_, until) = validity(bytes)?;
            Ok(Document::verify::<Fast>(bytes, roots, Time::from_nanos(until.as_nanos().saturating_sub(1)))?)
        }
        other => Ok(other?),
    }
}

fn pending(document: &Path) -> PathBuf {
    document.with_extension("pending")
}
