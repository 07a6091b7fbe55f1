//! What every command with a proxy does at its start.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use throng_net::client::SupplyState;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Without a circuit after this long, a message appears even without a progress line.
const SLOW_START: Duration = Duration::from_secs(10);

/// Listens for applications; `setting` names the option that says where.
pub(crate) async fn listen(address: SocketAddr, setting: &str) -> Result<TcpListener> {
    let port = address.port();
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            bail!(
                "port {port} is in use by another program; choose another one with {setting} (0: any free port)"
            )
        }
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            bail!(
                "port {port} needs privileges that this process lacks; choose one above 1023 with {setting}"
            )
        }
        Err(error) => Err(error).with_context(|| format!("listening on {address} ({setting})")),
    }
}

/// Waits until a circuit is ready, and meanwhile reports what is in the way.
pub(crate) async fn first_circuit(
    mut supply: watch::Receiver<SupplyState>,
    progress: &ProgressBar,
) -> Result<SupplyState> {
    progress.set_message("building circuits");
    let mut slow = tokio::time::interval(SLOW_START);
    slow.tick().await; // the first comes at once
    loop {
        let state = supply.borrow_and_update().clone();
        if state.ready > 0 {
            return Ok(state);
        }
        let problem = state.problem.as_deref().unwrap_or("no mix has answered yet");
        progress.set_message(format!("building circuits; so far: {problem}"));
        tokio::select! {
            changed = supply.changed() => changed.context("the client stopped")?,
            _ = slow.tick() => if progress.is_hidden() {
                tell!("throng: still no circuit: {problem}");
            },
        }
    }
}
