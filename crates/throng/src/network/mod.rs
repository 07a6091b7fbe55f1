//! `throng network`: what the operators of a static network do.

pub(crate) mod document;
pub(crate) mod files;

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use throng_core::crypto::Suite;
use throng_core::documents::{Document, Roots};
use throng_core::documents::{DocumentError, Statement, assemble, sign, take_apart, unsigned, validity};
use throng_core::id::Family;
use throng_core::limits::RECORD_ADDRESSES_MAX;
use throng_core::membership::{Description, Record};
use throng_core::{Ports, Scrubbed, Time};
use throng_net::clock::Clock;
use throng_net::entropy;
use throng_net::suite::Fast;

use crate::cli::{InitOptions, SignOptions};
use crate::design;
use crate::status;
use files::{ClientFile, FILE_VERSION, MixFile, RootsFile, beside};

/// Records are signed by the mixes once; documents are what is renewed.
const RECORD_LIFE: Duration = Duration::from_secs(5 * 365 * 24 * 3600);
/// Clocks may differ by this much.
const CLOCK_SKEW: Duration = Duration::from_secs(3600);
/// The port of the first mixes, which all have addresses of their own.
const MIX_PORT: u16 = 9001;

/// Makes the files of a new network.
pub(crate) fn init(options: &InitOptions) -> Result<()> {
    let dir = &options.dir;
    let design = design::read(&options.design)?;
    for (flag, value, bound, most) in [
        ("--exits", options.exits, "--mixes", options.mixes),
        ("--hops", design.route.hops() as u8, "--mixes", options.mixes),
        ("--threshold", options.threshold, "--operators", options.operators),
    ] {
        if value > most {
            bail!("{flag} {value} is more than {bound} {most}");
        }
    }
    if dir.join("roots.toml").exists() {
        bail!("{} holds a network already; choose another --dir", dir.display());
    }
    fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    let now = Clock::start().now();

    let secrets: Vec<[u8; 32]> = (0..options.operators).map(|_| entropy::secret()).collect();
    let operators = secrets.iter().map(Fast::sign_public).collect();
    let roots = Roots::new(options.name.clone(), operators, options.threshold.into())
        .context("--name has 1 to 64 characters")?;
    for (secret, number) in secrets.iter().zip(1..) {
        files::write_keys(&dir.join(format!("operator-{number}.keys")), secret, None)?;
    }
    let records =
        (1..=options.mixes).map(|number| init_mix(dir, number, options, now)).collect::<Result<_>>()?;
    let statement = Statement {
        network: options.name.clone(),
        serial: 1,
        from: earlier(now),
        until: now + days(options.days),
        design,
        records,
    };
    let unsigned = unsigned(&statement);
    let mut signatures = Vec::new();
    for secret in &secrets {
        sign::<Fast>(&unsigned, &mut signatures, secret);
    }
    files::write(&dir.join("network.throng"), &assemble(&unsigned, &signatures))?;
    init_client(dir)?;
    // Last: with this the network is complete.
    files::write_toml(&dir.join("roots.toml"), "Whose signatures count.", &RootsFile::new(&roots))?;
    eprintln!(
        "a network of {} mixes, {} of them exits, in {}: run `throng node {}` and so on, then `throng client {}`",
        options.mixes,
        options.exits,
        dir.display(),
        dir.join("mix-1.toml").display(),
        dir.join("client.toml").display(),
    );
    Ok(())
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
        bail!("--address: all addresses of a mix have one port, since it listens on one");
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
        status: None,
    };
    let path = dir.join(format!("{name}.toml"));
    files::write_toml(&path, &format!("Run it with `throng node {name}.toml`."), &file)?;
    Ok(Arc::new(record(&path, &file, now)?))
}

/// The signed record of the mix that a file describes. Makes its keys if there are none yet.
pub(crate) fn record(path: &Path, file: &MixFile, now: Time) -> Result<Record> {
    let keys_path = beside(path, &file.keys);
    if !keys_path.exists() {
        files::write_keys(&keys_path, &entropy::secret(), Some(&entropy::secret()))?;
    }
    let keys = files::read_node_keys(&keys_path)?;
    let addresses = if file.addresses.is_empty() { vec![file.listen] } else { file.addresses.clone() };
    if addresses.len() > RECORD_ADDRESSES_MAX {
        bail!("`addresses` in {}: at most {RECORD_ADDRESSES_MAX}", path.display());
    }
    if addresses.iter().any(|address| address.ip().is_unspecified()) {
        bail!("{} listens on all addresses: `addresses` must say where others reach it", path.display());
    }
    if file.capacity_kbps == 0 {
        bail!("`capacity_kbps` in {} must be more than 0", path.display());
    }
    let description = Description {
        identity: keys.id::<Fast>(),
        link_key: keys.link_public::<Fast>(),
        family: family(&file.family),
        capacity: file.capacity_kbps,
        addresses: addresses.into_iter().map(Scrubbed).collect(),
        exit_ports: file.exit_ports.parse().with_context(|| format!("`exit_ports` in {}", path.display()))?,
        from: earlier(now),
        until: now + RECORD_LIFE,
    };
    Ok(Record::sign::<Fast>(description, keys.identity_secret()))
}

/// A family by its name.
fn family(name: &str) -> Option<Family> {
    let digest = Fast::hash(&[b"throng family 1\0", name.as_bytes()]);
    digest.first_chunk().filter(|_| !name.is_empty()).map(|family| Family(*family))
}

fn init_client(dir: &Path) -> Result<()> {
    let file = ClientFile {
        version: FILE_VERSION,
        roots: "roots.toml".into(),
        document: "network.throng".into(),
        proxy: SocketAddr::from((Ipv4Addr::LOCALHOST, 9450)),
        state: "client.state".into(),
        status: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, status::DEFAULT_PORT))),
        cover_mb_per_day: None,
        cover_unmetered_only: false,
    };
    files::write_toml(&dir.join("client.toml"), "Run it with `throng client client.toml`.", &file)
}

/// Renews a network document with one operator's signature. When enough have signed, it takes the old one's place.
pub(crate) fn renew(options: &SignOptions) -> Result<()> {
    let clock = Clock::start();
    let roots = RootsFile::read(&options.roots)?;
    let secret = files::read_operator_key(&options.key)?;
    if !roots.operators().contains(&Fast::sign_public(&secret)) {
        bail!("{} is not the key of an operator of {}", options.key.display(), options.roots.display());
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
            files::write(&options.document, &bytes)?;
            let _ = fs::remove_file(&pending);
            eprintln!("{}: serial {} is in force", options.document.display(), document.statement().serial);
        }
        Err(why) => {
            files::write(&pending, &bytes)?;
            eprintln!("signed, and kept in {}: {why}", pending.display());
        }
    }
    Ok(())
}

/// What the next document says, from the one in force and the records that were given.
fn successor(options: &SignOptions, roots: &Roots, now: Time) -> Result<Vec<u8>> {
    // An expired one may be renewed; but it must be ours.
    let bytes =
        fs::read(&options.document).with_context(|| format!("reading {}", options.document.display()))?;
    let current =
        read_any(&bytes, roots, now).with_context(|| format!("in {}", options.document.display()))?;
    let mut statement = current.statement().clone();
    statement.serial = statement.serial.checked_add(1).context("there is no serial behind this one")?;
    statement.from = earlier(now);
    statement.until = now + days(options.days);
    for path in &options.record {
        let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let record = Record::verify::<Fast>(&bytes, now);
        let record = record.map_err(|why| anyhow::anyhow!("{} is refused ({why:?})", path.display()))?;
        eprintln!("signing in {}", in_words(record.description()));
        statement.records.retain(|other| other.description().identity != record.description().identity);
        statement.records.push(Arc::new(record));
    }
    Ok(unsigned(&statement))
}

/// What an operator should look at before signing: paths choose mixes by what they say of themselves.
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

/// Verifies a document as of its own last moment, if it has expired.
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

fn days(days: u16) -> Duration {
    Duration::from_secs(u64::from(days) * 24 * 3600)
}

fn earlier(now: Time) -> Time {
    Time::from_nanos(now.as_nanos().saturating_sub(CLOCK_SKEW.as_nanos() as u64))
}
