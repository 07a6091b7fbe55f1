//! The door for applications: one local TCP port that speaks SOCKS5, SOCKS4, SOCKS4a and HTTP.
//!
//! The first byte decides (5, 4, anything else). Whatever an application asks for goes through [`Dial`]:
//! nothing in this folder opens a connection or looks up a name, and a test reads the sources to hold that.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::request::{Abort, Host, Refusal, Target};

mod expecting;
pub(crate) mod http;
mod listener;
mod odd_targets;
pub(crate) mod socks;
#[cfg(test)]
pub(crate) mod wire;

/// Application connections at once; one more is closed as soon as it is there.
pub const CONNECTIONS_MAX: usize = 4096;
/// How long an application may take to say what it wants, in each of its requests.
pub const HANDSHAKE_TIME_S: u64 = 10;
/// How long [`Dial`] may take to open a stream or to look up a name.
pub const DIAL_TIME_S: u64 = 60;
/// How long an open stream may stay silent in both directions.
pub const IDLE_TIME_S: u64 = 2 * 3600;
/// Longest header section of an HTTP request, and of a response that we pass on: as browsers take it.
pub const HTTP_HEADER_MAX_BYTES: usize = 256 * 1024;
/// Most lines of one.
pub const HTTP_HEADER_MAX_LINES: usize = 2048;
/// So many times as long it may take over HTTP, since it may also say nothing before its next request.
pub const HTTP_KEEP_ALIVE_TIMES: u32 = 6;
/// An application of the HTTP proxy that has said everything and takes nothing for so long is taken for gone.
pub const HTTP_HALF_CLOSED_TIME_S: u64 = 30;
/// How long a server may take to say whether it wants a request's body, for an application that asks.
pub const HTTP_EXPECT_TIME_MS: u64 = 3000;
/// How long we wait when no connection can be accepted (too many open files, as a rule).
const ACCEPT_PAUSE_MS: u64 = 50;

/// The proxy's only way out. (There is no other: nothing in this folder may open a connection.)
pub trait Dial: Send + Sync + 'static {
    /// A stream through a circuit. Shutting down its write side must leave its read side open.
    type Stream: AsyncRead + AsyncWrite + Abort + Send + Unpin + 'static;

    /// Opens a stream to `target`. Streams of different `isolation` must not share a circuit.
    fn connect(
        &self,
        isolation: Isolation,
        target: Target,
    ) -> impl Future<Output = Result<Self::Stream, Refusal>> + Send;

    /// Why there is no circuit, if that is known: a part of a sentence.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// The addresses of `host`, as an exit sees them.
    fn resolve(
        &self,
        isolation: Isolation,
        host: Host,
    ) -> impl Future<Output = Result<Vec<IpAddr>, Refusal>> + Send;
}

/// Which streams may share a circuit: those with the same key. Made from the credentials that an application
/// gives; they open nothing, they only keep apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Isolation([u8; 32]);

impl Isolation {
    /// The key of everybody who gives no credentials.
    pub const fn none() -> Self {
        Self([0; 32])
    }

    /// The key's bytes, for the engine.
    pub const fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// SOCKS5 user name and password (RFC 1929). Two empty ones are no credentials.
    pub(crate) fn socks5(user: &[u8], password: &[u8]) -> Self {
        Self::derive(b"socks5", user, password)
    }

    /// The SOCKS4 user id.
    pub(crate) fn socks4(user: &[u8]) -> Self {
        Self::derive(b"socks4", user, &[])
    }

    /// The value of `Proxy-Authorization`, whatever its scheme.
    pub(crate) fn http(authorization: &[u8]) -> Self {
        Self::derive(b"http", authorization, &[])
    }

    fn derive(protocol: &[u8], user: &[u8], password: &[u8]) -> Self {
        if user.is_empty() && password.is_empty() {
            return Self::none();
        }
        let mut hash = Sha256::new();
        for part in [protocol, user, password] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

impl fmt::Debug for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[scrubbed]")
    }
}

/// How a proxy serves. The defaults of its bounds are the constants of this module.
#[derive(Clone, Copy, Debug)]
pub struct ProxySettings {
    /// See [`CONNECTIONS_MAX`].
    pub connections_max: usize,
    /// See [`HANDSHAKE_TIME_S`].
    pub handshake_time: Duration,
    /// See [`DIAL_TIME_S`].
    pub dial_time: Duration,
    /// See [`IDLE_TIME_S`].
    pub idle_time: Duration,
    /// See [`HTTP_HALF_CLOSED_TIME_S`].
    pub http_half_closed_time: Duration,
    /// See [`HTTP_HEADER_MAX_BYTES`]; at least 8192.
    pub http_header_max_bytes: usize,
    /// Requests to the HTTP proxy that name no user are asked for one (407), for programs that give it only then. By default
    /// not: a browser would open a window.
    pub ask_for_user: bool,
}

impl Default for ProxySettings {
    fn default() -> Self {
        Self {
            connections_max: CONNECTIONS_MAX,
            handshake_time: Duration::from_secs(HANDSHAKE_TIME_S),
            dial_time: Duration::from_secs(DIAL_TIME_S),
            idle_time: Duration::from_secs(IDLE_TIME_S),
            http_half_closed_time: Duration::from_secs(HTTP_HALF_CLOSED_TIME_S),
            http_header_max_bytes: HTTP_HEADER_MAX_BYTES,
            ask_for_user: false,
        }
    }
}

/// Serves applications until `stop` holds `true` or its sender is gone; then cuts those that are open.
pub async fn serve<D: Dial>(
    listener: TcpListener,
    dial: Arc<D>,
    settings: ProxySettings,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(settings.connections_max));
    // Dropped with this function, which aborts whatever is still open.
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stopped(&mut stop) => return,
            Some(_) = open.join_next(), if !open.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((tcp, _)) = accepted else {
            sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
            continue;
        };
        // Over the bound: dropping it closes it.
        if let Ok(place) = places.clone().try_acquire_owned() {
            let dial = dial.clone();
            open.spawn(async move {
                converse(tcp, dial, settings).await;
                drop(place);
            });
        }
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error says that the sender is gone, which means the same.
    let _ = stop.wait_for(|&stop| stop).await;
}

async fn converse<D: Dial>(tcp: TcpStream, dial: Arc<D>, settings: ProxySettings) {
    // Without it a keystroke would wait for the acknowledgement of the one before.
    let _ = tcp.set_nodelay(true);
    let mut first = [0];
    match timeout(settings.handshake_time, tcp.peek(&mut first)).await {
        Ok(Ok(1..)) if matches!(first, [4 | 5]) => socks::serve(tcp, dial, settings).await,
        Ok(Ok(1..)) => http::serve(tcp, dial, settings).await,
        _ => {}
    }
}

/// `dialled`, but for no longer than `time`.
async fn within<T>(time: Duration, dialled: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    timeout(time, dialled).await.unwrap_or(Err(Refusal::TimedOut))
}

#[cfg(test)]
mod tests;
