//! `throng node`: a mix of a static network.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use throng_core::documents::Document;
use throng_core::membership::Description;
use throng_core::{NodeId, NodeKeys};
use throng_net::clock::Clock;
use throng_net::exit::{Exit, ExitPolicy, Resolver};
use throng_net::host::{MixSetup, start_mix};
use throng_net::notices::{About, Notices};
use throng_net::socket::Socket;
use throng_net::suite::Fast;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::disk::{self, beside};
use crate::names;
use crate::network;
use crate::network::document::DocumentFile;
use crate::network::files::{self, KeyKind, MixFile, RootsFile};
use crate::status::feed::{self, OneNode};
use crate::terminal::{LEAVE_TIME_MAX, interrupted};

#[derive(Args)]
pub(crate) struct NodeOptions {
    /// The mix's file, as written by `throng network init`
    file: PathBuf,
    /// Do not run: write the mix's signed record here, as its file describes it now, for the operators to add to the
    /// next document; creates its keys if there are none yet
    #[arg(long)]
    record: Option<PathBuf>,
}

/// Runs the mix until Ctrl-C, or only writes its record.
pub(crate) fn run(options: &NodeOptions) -> Result<()> {
    if let Some(record) = &options.record {
        return write_record(&options.file, record);
    }
    // One thread: a node drives one socket, and threads that wake each other cost more than they gain (docs/benchmarks.md).
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(node(&options.file))
}

/// Writes the record of the mix as its file describes it now.
fn write_record(path: &Path, record: &Path) -> Result<()> {
    let clock = Clock::start();
    let file: MixFile = disk::read(path)?;
    let signed = network::record(path, &file, clock.now())?;
    disk::write(record, signed.as_bytes())
}

/// What the document says of a mix, if it lists it.
fn listed(document: &Document, mix: NodeId) -> Option<&Description> {
    let mut descriptions = document.statement().records.iter().map(|record| record.description());
    descriptions.find(|description| description.identity == mix)
}

/// Keeps the notice of what a mix's file says otherwise than the network document true, whatever document follows.
fn compare(path: PathBuf, file: Description, mut in_force: watch::Receiver<Arc<Document>>, notices: Notices) {
    tokio::spawn(async move {
        loop {
            let document = Arc::clone(&in_force.borrow_and_update());
            let own = listed(&document, file.identity);
            match own.map_or_else(|| Some(NOT_LISTED.into()), |own| differences(&path, &file, own)) {
                Some(notice) => notices.hold(About::Record, notice),
                None => notices.end(About::Record),
            }
            if in_force.changed().await.is_err() {
                return;
            }
        }
    });
}

const NOT_LISTED: &str = "the network document does not list this mix any more: nobody uses it until the operators have added its record";

/// What a mix's file says otherwise than the network document, if anything.
fn differences(path: &Path, file: &Description, document: &Description) -> Option<String> {
    let mut fields = Vec::new();
    let differ_in_ports = file.exit_ports != document.exit_ports;
    if differ_in_ports {
        fields.push(format!("`exit_ports` ({} there, {} here)", document.exit_ports, file.exit_ports));
    }
    if file.capacity != document.capacity {
        fields.push(format!("`capacity_kbps` ({} there, {} here)", document.capacity, file.capacity));
    }
    if file.family != document.family {
        fields.push("`family`".into());
    }
    if file.addresses != document.addresses {
        fields.push("`addresses` or `listen`".into());
    }
    let ports =
        if differ_in_ports { "; ports that the file does not name are refused from now on" } else { "" };
    (!fields.is_empty()).then(|| {
        format!(
            "{0} and the network document differ in {1}. Clients go by the document until the operators have signed what \
             `throng node {0} --record FILE` writes{ports}",
            path.display(),
            fields.join(", ")
        )
    })
}

async fn node(path: &Path) -> Result<()> {
    let clock = Clock::start();
    let file: MixFile = disk::read(path)?;
    let denied = file.denied().with_context(|| format!("`exit_deny` in {}", path.display()))?;
    let keys = NodeKeys::new(files::read_keys(&beside(path, &file.keys), KeyKind::Mix)?);
    let roots = RootsFile::read(&beside(path, &file.roots))?;
    let notices = Notices::new(clock);
    let mut document = DocumentFile::open(beside(path, &file.document), roots, clock, notices.clone())?;
    let in_force = document.document();
    let statement = in_force.statement();
    let id = keys.id::<Fast>();
    let own = listed(&in_force, id)
        .context("the network document does not list this mix: the operators must add its record")?;
    let socket = Socket::bind(file.listen, statement.design.geometry.datagram())
        .with_context(|| format!("listening on {} (`listen` in {})", file.listen, path.display()))?;
    let wanted = network::describe(path, &file, &keys, clock.now())?;
    compare(path.to_path_buf(), wanted.clone(), document.watch(), notices.clone());
    // What the file says holds at once: clients that go by the document are told so, and try elsewhere.
    let is_exit = !wanted.exit_ports.is_none() || !own.exit_ports.is_none();
    let exit = is_exit.then(|| {
        let policy = ExitPolicy { ports: wanted.exit_ports.clone(), local: file.exit_to_private, denied };
        let known = own.addresses.iter().chain(&wanted.addresses).map(|address| address.0.ip());
        // Also those behind which a translator of addresses stands.
        Exit::new(policy, Resolver::system()).known_as(known)
    });
    let _names = exit.is_some().then(|| names::watch(notices.clone()));
    let setup = MixSetup {
        keys,
        design: Arc::new(statement.design.clone()),
        membership: document.membership(),
        exit,
    };
    let mut driver = start_mix(setup, socket, clock).context("starting QUIC")?;
    let observer = OneNode {
        design: statement.design.clone(),
        clock,
        started: clock.now(),
        node: driver.meter(),
        mix: Some(id.fingerprint().to_string()),
        notices,
    };
    let _feed = feed::of_one(file.status, path, observer).await?;
    let role = if wanted.exit_ports.is_none() { "" } else { ", and opens connections to the outside" };
    tell!("mix {} is running{role}", id.fingerprint());
    tokio::select! {
        ended = document.keep(&mut driver) => return ended,
        () = interrupted() => {}
    }
    let _ = timeout(LEAVE_TIME_MAX, driver.leave()).await;
    Ok(())
}
