//! `throng client`: the proxy into a static network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use anyhow::{Context, Result, bail};
use clap::Args;
use throng_core::{ClientConfig, NodeId};
use throng_net::client::Client;
use throng_net::clock::Clock;
use throng_net::driver::Driver;
use throng_net::host::start_client;
use throng_net::notices::{About, Notices};
use throng_net::proxy::{self, ProxySettings};
use throng_net::socket::Socket;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::disk::{self, beside};
use crate::network::document::DocumentFile;
use crate::network::files::{self, ClientFile, RootsFile};
use crate::startup;
use crate::status::feed::{self, OneNode};
use crate::terminal::{LEAVE_TIME_MAX, interrupted, progress};

/// How often new first hops are saved.
const KEEP_EVERY: Duration = Duration::from_secs(20);

#[derive(Args)]
pub(crate) struct ClientOptions {
    /// The client's file, as written by `throng network init`
    file: PathBuf,
}

/// Runs the client until Ctrl-C.
pub(crate) fn run(options: &ClientOptions) -> Result<()> {
    // One thread: a node drives one socket, and threads that wake each other cost more than they gain (docs/benchmarks.md).
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(client(&options.file))
}

async fn client(path: &Path) -> Result<()> {
    let clock = Clock::start();
    let file: ClientFile = disk::read(path)?;
    let roots = RootsFile::read(&beside(path, &file.roots))?;
    let notices = Notices::new(clock);
    let mut document = DocumentFile::open(beside(path, &file.document), roots, clock, notices.clone())?;
    let in_force = document.document();
    let statement = in_force.statement();
    let listener = startup::listen(file.proxy, &format!("`proxy` in {}", path.display())).await?;
    let proxy = listener.local_addr().context("reading the proxy's address")?;
    if !proxy.ip().is_loopback() {
        notices.hold(
            About::OpenProxy,
            "the proxy takes connections of other machines (`proxy`): whoever reaches it browses as you, and what they send to it \
             is not encrypted",
        );
    }

    let mut first_hops = FirstHopsFile::open(beside(path, &file.state))?;
    let spending = file.spending();
    let config = ClientConfig {
        first_hops: first_hops.kept.clone(),
        budget: spending.budget(),
        ..ClientConfig::default()
    };
    let socket =
        bind_anywhere(statement.design.geometry.datagram()).context("binding the client's socket")?;
    let (client, mut driver) = start_client(
        config,
        Arc::new(statement.design.clone()),
        document.membership(),
        socket,
        clock,
        notices.clone(),
    )
    .context("starting QUIC")?;
    let client = Arc::new(client);
    let observer = OneNode {
        design: statement.design.clone(),
        clock,
        started: clock.now(),
        node: driver.meter(),
        mix: None,
        notices: notices.clone(),
    };
    let _feed = feed::of_one(file.status, path, observer).await?;
    let _metering = spending.watch(&driver, notices);
    let (stop, stopped) = watch::channel(false);
    let settings = ProxySettings { ask_for_user: file.ask_for_user, ..ProxySettings::default() };
    let serving = tokio::spawn(proxy::serve(listener, Arc::clone(&client), settings, stopped));

    until_interrupted(&client, &mut driver, &mut document, &mut first_hops, proxy).await?;
    stop.send_replace(true);
    let farewell = async {
        let _ = serving.await;
        driver.leave().await;
    };
    let _ = timeout(LEAVE_TIME_MAX, farewell).await;
    Ok(())
}

/// Keeps files and node in step until Ctrl-C.
async fn until_interrupted(
    client: &Client,
    driver: &mut Driver,
    document: &mut DocumentFile,
    first_hops: &mut FirstHopsFile,
    proxy: SocketAddr,
) -> Result<()> {
    let progress = progress(false);
    let mut first_circuit = std::pin::pin!(startup::first_circuit(client.supply(), &progress));
    let mut interrupted = std::pin::pin!(interrupted());
    let mut look = tokio::time::interval(KEEP_EVERY);
    let mut is_ready = false;
    loop {
        tokio::select! {
            ready = &mut first_circuit, if !is_ready => {
                ready?;
                is_ready = true;
                progress.finish_and_clear();
                tell!("proxy on {proxy}");
                first_hops.keep(driver).await;
            }
            ended = document.keep(driver) => return ended,
            _ = look.tick() => first_hops.keep(driver).await,
            () = &mut interrupted => break,
        }
    }
    progress.finish_and_clear();
    first_hops.keep(driver).await;
    Ok(())
}

/// A socket that reaches mixes over IPv6 and IPv4; over IPv4 only where the system has no IPv6.
fn bind_anywhere(datagram: usize) -> io::Result<Socket> {
    let any = |ip: IpAddr| Socket::bind(SocketAddr::new(ip, 0), datagram);
    any(Ipv6Addr::UNSPECIFIED.into()).or_else(|_| any(Ipv4Addr::UNSPECIFIED.into()))
}

/// Where the first hops are kept. A client that was killed must not start with others: every change is another chance to
/// meet a hostile one.
struct FirstHopsFile {
    path: PathBuf,
    kept: Vec<NodeId>,
    _lock: Option<fs::File>,
}

impl FirstHopsFile {
    /// Reads those of the last run, and keeps other clients away.
    fn open(path: PathBuf) -> Result<Self> {
        let lock = lock(&path)?;
        Ok(Self { kept: read_first_hops(&path)?, path, _lock: lock })
    }

    /// Writes them if they have changed. A failure is reported, and the next call tries again.
    async fn keep(&mut self, driver: &Driver) {
        let Some(meter) = driver.meter().ask().await.filter(|meter| meter.first_hops != self.kept) else {
            return;
        };
        let text: String = meter.first_hops.iter().map(|id| format!("{id}\n")).collect();
        match disk::write_secret(&self.path, text.as_bytes()) {
            Ok(()) => self.kept = meter.first_hops,
            Err(error) => tell!("throng: {error:#}"),
        }
    }
}

/// Keeps other clients from using this state for as long as the file lives: each would overwrite the first hops of the other,
/// and meet more of them. Where a lock is not to be had, that is reported; it is no reason not to run.
fn lock(state: &Path) -> Result<Option<fs::File>> {
    // Not the file itself: that one is replaced.
    let path = state.with_added_extension("lock");
    let created = fs::OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    // Somebody else's can be locked, too.
    let locked = created.or_else(|_| fs::File::open(&path)).map(|file| (file.try_lock(), file));
    match locked {
        Ok((Ok(()), file)) => Ok(Some(file)),
        Ok((Err(fs::TryLockError::WouldBlock), _)) => bail!(
            "another client uses {}: it is running already, or this one needs a file of its own with another `state`",
            state.display()
        ),
        Ok((Err(fs::TryLockError::Error(error)), _)) | Err(error) => {
            tell!("throng: {} cannot be locked ({error}): no other client must use it", state.display());
            Ok(None)
        }
    }
}

/// The first hops of the last run; none if there was none.
fn read_first_hops(path: &Path) -> Result<Vec<NodeId>> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let keys: Result<Vec<[u8; 32]>> = text.lines().map(files::from_hex).collect();
            Ok(keys.with_context(|| format!("in {}", path.display()))?.into_iter().map(NodeId).collect())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}
