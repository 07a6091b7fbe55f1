//! `throng client`: the proxy into a static network.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use throng_core::{ClientConfig, NodeId};
use throng_net::clock::Clock;
use throng_net::host::start_client;
use throng_net::proxy::{self, ProxyLimits};
use throng_net::socket::Socket;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::network::files::{self, ClientFile, RootsFile, beside};
use crate::{network, up};

/// Runs the client until Ctrl-C.
pub(crate) fn run(path: &Path) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(client(path))
}

async fn client(path: &Path) -> Result<()> {
    let clock = Clock::start();
    let file: ClientFile = files::read(path)?;
    let roots = RootsFile::read(&beside(path, &file.roots))?;
    let document = network::document(&beside(path, &file.document), &roots, clock.now())?;
    let statement = document.statement();
    let listener = up::listen(file.proxy, &format!("`proxy` in {}", path.display())).await?;

    let state = beside(path, &file.state);
    let config = ClientConfig {
        route: statement.route,
        first_hops: read_first_hops(&state)?,
        ..ClientConfig::default()
    };
    let socket = Socket::bind(local_address(&statement.records), statement.geometry.datagram())
        .context("binding the client's socket")?;
    let (client, driver) = start_client(config, statement.geometry, statement.records.clone(), socket, clock)
        .context("starting QUIC")?;
    let client = Arc::new(client);
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(proxy::serve(listener, Arc::clone(&client), ProxyLimits::default(), stopped));

    let progress = up::progress(false);
    tokio::select! {
        ready = up::first_circuit(client.supply(), &progress) => {
            ready?;
            progress.finish_and_clear();
            eprintln!("proxy on {}", file.proxy);
            up::interrupted().await;
        }
        () = up::interrupted() => progress.finish_and_clear(),
    }
    if let Some(status) = driver.status().await {
        write_first_hops(&state, &status.first_hops)?;
    }
    stop.send_replace(true);
    let farewell = async {
        let _ = serving.await;
        driver.leave().await;
    };
    let _ = timeout(up::LEAVE_TIME_MAX, farewell).await;
    Ok(())
}

/// Any address of the family that the mixes have.
fn local_address(records: &[Arc<throng_core::wire::record::Record>]) -> SocketAddr {
    let mut addresses = records.iter().flat_map(|record| &record.description().addresses);
    let v6 = addresses.all(|address| address.0.is_ipv6());
    let any = if v6 { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { IpAddr::V4(Ipv4Addr::UNSPECIFIED) };
    SocketAddr::new(any, 0)
}

/// The first hops of the last run; none if there was none.
fn read_first_hops(path: &Path) -> Result<Vec<NodeId>> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let keys: Result<Vec<[u8; 32]>> = text.lines().map(files::from_hex).collect();
            Ok(keys.with_context(|| format!("in {}", path.display()))?.into_iter().map(NodeId).collect())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

fn write_first_hops(path: &Path, hops: &[NodeId]) -> Result<()> {
    let text: String = hops.iter().map(|id| format!("{id}\n")).collect();
    files::write_secret(path, text.as_bytes())
}
