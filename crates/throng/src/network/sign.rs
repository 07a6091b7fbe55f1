//! `throng network sign`: the next document of a network, signed by one operator after the other.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use throng_core::Time;
use throng_core::crypto::Suite;
use throng_core::documents::{
    Document, DocumentError, Roots, Signature, Statement, assemble, sign, take_apart, unsigned, validity,
};
use throng_core::membership::{Description, Record};
use throng_net::clock::Clock;
use throng_net::suite::Fast;

use super::files::{self, KeyKind, RootsFile};
use super::{days, earlier};
use crate::disk::{self, FILE_VERSION};

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
    /// Days for which the next document is valid [default: 30]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: Option<u16>,
}

const DAYS: u16 = 30;

/// Renews a network document with one operator's signature. Once enough have signed, it replaces the old one.
pub(crate) fn renew(options: &SignOptions) -> Result<()> {
    let now = Clock::start().now();
    let roots = RootsFile::read(&options.roots)?;
    let secret = files::read_keys(&options.key, KeyKind::Operator)?;
    // Nobody else signs with this key meanwhile: what it signs is noted beside it, once for each serial.
    let key_file = fs::File::open(&options.key);
    let key_file = key_file.with_context(|| format!("reading {}", options.key.display()))?;
    key_file.lock().with_context(|| format!("locking {}", options.key.display()))?;
    if !roots.operators().contains(&Fast::sign_public(&secret)) {
        bail!("{} is not the key of an operator in {}", options.key.display(), options.roots.display());
    }
    let bytes =
        fs::read(&options.document).with_context(|| format!("reading {}", options.document.display()))?;
    // An expired document may be renewed, but it must be ours.
    let current =
        read_any(&bytes, &roots, now).with_context(|| format!("in {}", options.document.display()))?;
    let (next, mut signatures) = match begun(options, current.statement())? {
        Some(begun) => begun,
        None => {
            tell!(
                "no operator has begun another document than {}, which has serial {}: this begins the next one",
                options.document.display(),
                current.statement().serial
            );
            (unsigned(&successor(options, &current, now)?), Vec::new())
        }
    };
    let statement = Statement::proposed::<Fast>(&next).context("nobody should sign this")?;
    if statement.before != current.history() {
        bail!(
            "serial {} does not follow from {}: others have signed another serial {}. Compare them before anybody signs",
            statement.serial,
            options.document.display(),
            current.statement().serial
        );
    }
    in_time(&statement, now)?;
    tell!("{}", changes(current.statement(), &statement, now).trim_end());
    note_signing(&options.key, &statement, &next)?;
    sign::<Fast>(&next, &mut signatures, &secret);
    put(options, &roots, &assemble(&next, &signatures), now)
}

/// Puts a document into force, or waits for more signatures.
fn put(options: &SignOptions, roots: &Roots, bytes: &[u8], now: Time) -> Result<()> {
    let pending = pending(&options.document);
    match Document::verify::<Fast>(bytes, roots, now) {
        Ok(document) => {
            disk::write(&options.document, bytes)?;
            let _ = fs::remove_file(&pending);
            tell!("{}: serial {} is in force", options.document.display(), document.statement().serial);
        }
        Err(DocumentError::UnderSigned { valid, needed }) => {
            disk::write(&pending, bytes)?;
            tell!(
                "{valid} of {needed} signatures: not yet in force. Give {} to another operator, who runs the same command \
                 with another --key",
                pending.display()
            );
        }
        Err(why) => bail!("the document would be refused: {why}"),
    }
    Ok(())
}

/// A document that other operators have signed, not yet enough of them.
fn begun(options: &SignOptions, current: &Statement) -> Result<Option<(Vec<u8>, Vec<Signature>)>> {
    let pending = pending(&options.document);
    if !pending.exists() {
        return Ok(None);
    }
    let bytes = fs::read(&pending).with_context(|| format!("reading {}", pending.display()))?;
    let place = || format!("in {}", pending.display());
    let (next, signatures) = take_apart(&bytes).with_context(place)?;
    let statement = Statement::proposed::<Fast>(next).with_context(place)?;
    if (&statement.network, Some(statement.serial)) != (&current.network, current.serial.checked_add(1)) {
        bail!(
            "{} would be serial {} of `{}`, and {} has serial {} of `{}`: delete {} and sign anew",
            pending.display(),
            statement.serial,
            statement.network,
            options.document.display(),
            current.serial,
            current.network,
            pending.display()
        );
    }
    if !options.record.is_empty() || options.days.is_some() {
        bail!(
            "{} holds what another operator has begun: --record and --days are for whoever begins. Leave them out to sign \
             that, or delete it",
            pending.display()
        );
    }
    Ok(Some((next.to_vec(), signatures)))
}

/// The next document, from the one in force and the given records.
fn successor(options: &SignOptions, current: &Document, now: Time) -> Result<Statement> {
    let mut statement = current.statement().clone();
    statement.before = current.history();
    statement.serial = statement.serial.checked_add(1).context("serial numbers are exhausted")?;
    statement.until = now + days(options.days.unwrap_or(DAYS));
    for path in &options.record {
        let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let record = Record::verify::<Fast>(&bytes, now);
        let record = record.map_err(|why| anyhow::anyhow!("{} is refused ({why:?})", path.display()))?;
        statement.records.retain(|other| other.description().identity != record.description().identity);
        statement.records.push(Arc::new(record));
    }
    // All records are valid from its begin on; clocks differ by less than an hour.
    let begin =
        statement.records.iter().map(|record| record.description().from).fold(earlier(now), Time::max);
    statement.from = begin.min(now);
    outlived(&statement)?;
    Ok(statement)
}

/// Whoever notes that it signs a document that is refused afterwards could sign no other one of its serial.
fn in_time(statement: &Statement, now: Time) -> Result<()> {
    const LEFT: Duration = Duration::from_secs(3600);
    const LONGEST: Duration = Duration::from_secs(3650 * 24 * 3600);
    if !(statement.from..statement.until).contains(&now)
        || !(LEFT..=LONGEST).contains(&(statement.until - now))
    {
        bail!(
            "serial {} is not valid now, for an hour more at least and ten years at most: are all clocks right? If so, delete \
             what is pending and sign anew",
            statement.serial
        );
    }
    Ok(())
}

/// A record that ends before its document would make nodes that start later know fewer mixes than others.
pub(super) fn outlived(statement: &Statement) -> Result<()> {
    for record in &statement.records {
        let mix = record.description();
        if mix.until < statement.until {
            bail!(
                "the record of mix {} ends {} h before the document: have the mix write another one (`throng node FILE \
                 --record FILE`), or give fewer --days",
                mix.identity.fingerprint(),
                (statement.until - mix.until).as_secs().div_ceil(3600)
            );
        }
    }
    Ok(())
}

/// What an operator should check before it is signed, in words.
fn changes(current: &Statement, next: &Statement, now: Time) -> String {
    let known = |statement: &Statement, mix: &Record| {
        statement
            .records
            .iter()
            .find(|other| other.description().identity == mix.description().identity)
            .cloned()
    };
    let mut text = format!(
        "serial {}, valid for {} days, {} mixes\n",
        next.serial,
        (next.until - now).as_secs().div_ceil(24 * 3600),
        next.records.len()
    );
    if next.design != current.design {
        text += &format!("changing the design from\n{}to\n{}", current.design, next.design);
    }
    for record in &next.records {
        match known(current, record) {
            None => text += &format!("adding mix {}\n", in_words(record.description(), now)),
            Some(before) if before != *record => {
                text += &format!("changing mix {}\n", in_words(before.description(), now));
                text += &format!("        to {}\n", in_words(record.description(), now));
            }
            Some(_) => {}
        }
    }
    for record in current.records.iter().filter(|record| known(next, record).is_none()) {
        text += &format!("removing mix {}\n", in_words(record.description(), now));
    }
    text
}

/// Paths choose mixes by what they claim.
fn in_words(mix: &Description, now: Time) -> String {
    let addresses: Vec<String> = mix.addresses.iter().map(|address| address.0.to_string()).collect();
    let family = mix.family.map_or("none".into(), |member| files::to_hex(&member.family.0[..8]));
    format!(
        "{} at {}, {} kbit/s, exit ports {}, family {family}, until in {} days",
        mix.identity.fingerprint(),
        addresses.join(" and "),
        mix.capacity,
        mix.exit_ports,
        (mix.until - now).as_secs() / (24 * 3600)
    )
}

/// What an operator's key has signed: `operator-1.signed`.
#[derive(Serialize, Deserialize)]
struct Signed {
    version: u32,
    network: String,
    serial: u64,
    digest: String,
}

/// Notes beside the key what it signs, before it does. Two documents of one serial would stop the whole network.
fn note_signing(key: &Path, statement: &Statement, next: &[u8]) -> Result<()> {
    let path = key.with_extension("signed");
    let signing = Signed {
        version: FILE_VERSION,
        network: statement.network.clone(),
        serial: statement.serial,
        digest: files::to_hex(&Sha256::digest(next)),
    };
    if path.try_exists().with_context(|| format!("reading {}", path.display()))? {
        let before: Signed = disk::read(&path)?;
        if signing.network != before.network {
            bail!(
                "this key signs for the network `{}`, and the document is of `{}`: every network has keys of its own",
                before.network,
                signing.network
            );
        }
        if signing.serial < before.serial
            || (signing.serial == before.serial && signing.digest != before.digest)
        {
            bail!(
                "this key has signed serial {} already, and another document than this one (serial {}): if nodes saw both, \
                 they would stop. Get the one that was signed, as network.pending; or, if it is certain that nobody has it, \
                 delete {}",
                before.serial,
                signing.serial,
                path.display()
            );
        }
    }
    disk::write_toml(&path, "What this operator's key signed last. Do not delete it.", &signing)
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
