//! The way out: what an exit does with a stream that a client opened through a circuit.
//!
//! It reads a [`Request`], asks its [`ExitPolicy`], resolves and connects, answers with a [`Reply`], and then
//! copies in both directions until both have ended. Every bound is in [`ExitLimits`].

use std::future::pending;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use quinn::Connection;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

mod accept;
mod connect;
pub mod near;
mod policy;
mod resolve;

pub use accept::accept;
pub use connect::CONNECT_TIME_S;
pub use policy::{DENIED_NETWORKS_MAX, ExitPolicy, Network, NotANetwork};
pub use resolve::{LOOKUP_TIME_S, NoNameServers, Resolver};

pub use crate::request::Abort;

use self::near::{Near, Surroundings};
use crate::pipe::memory::{Memory, MemoryTerms};
use crate::request::{Host, Refusal, Reply, Request, Target};
use crate::splice::splice;

/// Connections to the outside at once, lookups included; one more is refused as busy.
pub const CONNECTIONS_MAX: usize = 8192;
/// A circuit gets another connection only while it has fewer than one in so many of the places that are free. So a few greedy
/// circuits leave a part of the places free, and whoever has none gets one (dynamic thresholds: Choudhury and Hahne 1998).
const SHARE_OF_FREE: usize = 4;
/// How long a client may take to send its request, and to take our answer.
pub const REQUEST_TIME_S: u64 = 10;
/// How long an open connection may stay silent in both directions.
pub const IDLE_TIME_S: u64 = 2 * 3600;

/// The bounds of an exit. The defaults are the constants of this module, and what its pipes may hold.
#[derive(Clone, Copy, Debug)]
pub struct ExitLimits {
    /// See [`CONNECTIONS_MAX`].
    pub connections_max: usize,
    /// See [`REQUEST_TIME_S`].
    pub request_time: Duration,
    /// See [`IDLE_TIME_S`].
    pub idle_time: Duration,
    /// See [`MemoryTerms::EXIT`].
    pub memory: MemoryTerms,
}

impl Default for ExitLimits {
    fn default() -> Self {
        Self {
            connections_max: CONNECTIONS_MAX,
            request_time: Duration::from_secs(REQUEST_TIME_S),
            idle_time: Duration::from_secs(IDLE_TIME_S),
            memory: MemoryTerms::EXIT,
        }
    }
}

/// A circuit that ends at an exit.
#[derive(Debug, Default)]
pub struct Guest {
    /// How many places it has there.
    places: AtomicUsize,
    /// What it came with, if it may end before its streams do.
    connection: Option<Connection>,
}

impl Guest {
    /// The circuit at whose end this is.
    pub fn of(connection: Connection) -> Self {
        Self { places: AtomicUsize::default(), connection: Some(connection) }
    }

    /// Waits until it is gone.
    async fn gone(&self) {
        match &self.connection {
            Some(connection) => drop(connection.closed().await),
            None => pending().await,
        }
    }
}

/// A place at an exit, as long as a connection needs it.
struct Seat<'a> {
    _permit: SemaphorePermit<'a>,
    guest: &'a Guest,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.guest.places.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An exit: a policy, a resolver, and a bounded number of connections.
pub struct Exit {
    policy: ExitPolicy,
    surroundings: Surroundings,
    resolver: Resolver,
    limits: ExitLimits,
    places: Semaphore,
    memory: Arc<Memory>,
}

impl Exit {
    /// An exit with the default bounds.
    pub fn new(policy: ExitPolicy, resolver: Resolver) -> Self {
        Self::with_limits(policy, resolver, ExitLimits::default())
    }

    /// An exit with bounds of its own.
    pub fn with_limits(policy: ExitPolicy, resolver: Resolver, limits: ExitLimits) -> Self {
        let places = Semaphore::new(limits.connections_max);
        let (surroundings, memory) = (Surroundings::new(Vec::new()), Memory::new(limits.memory));
        Self { policy, surroundings, resolver, places, memory, limits }
    }

    /// The same exit, which others know by these addresses: it refuses them like those of its interfaces.
    pub fn known_as(mut self, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        self.surroundings = Surroundings::new(addresses.into_iter().collect());
        self
    }

    /// What its circuits share.
    pub fn memory(&self) -> Arc<Memory> {
        Arc::clone(&self.memory)
    }

    /// Serves one stream of a client, from its request to its end. `guest` is its circuit.
    ///
    /// Ends with an error (see [`Abort`]) what did not come to its end: a connection that broke off must not
    /// look like one that had nothing more to say, in neither direction. It ends with its circuit at the latest,
    /// whatever the target does: places and memory are for those who are there.
    pub async fn serve_stream<R, W>(&self, guest: &Guest, mut recv: R, mut send: W)
    where
        R: AsyncRead + Abort + Unpin,
        W: AsyncWrite + Abort + Unpin,
    {
        let request = match timeout(self.limits.request_time, Request::read(&mut recv)).await {
            Ok(Ok(request)) => Ok(request),
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::InvalidData => Err(Refusal::Malformed),
            // The client is gone, or as good as.
            Ok(Err(_)) | Err(_) => return abort(&mut recv, &mut send),
        };
        let acted = tokio::select! {
            biased;
            acted = self.act(guest, request) => acted,
            // Names and connections take their time, and nobody waits for them any more.
            () = guest.gone() => return abort(&mut recv, &mut send),
        };
        match acted {
            Done::Connected(mut tcp, _place) => {
                if !self.answer(&mut send, &Reply::Connected).await {
                    let _ = tcp.set_zero_linger();
                    return abort(&mut recv, &mut send);
                }
                let ended =
                    splice(&mut tcp, &mut recv, &mut send, &[], self.limits.idle_time, guest.gone()).await;
                if !ended.to_tcp {
                    recv.abort();
                }
                if !ended.from_tcp {
                    send.abort();
                }
            }
            Done::Answered(reply) => {
                recv.abort(); // whatever else the client sends, nobody reads it
                if !self.answer(&mut send, &reply).await || !self.shut(&mut send).await {
                    send.abort();
                }
            }
        }
    }

    async fn act<'a>(&'a self, guest: &'a Guest, request: Result<Request, Refusal>) -> Done<'a> {
        let acted = match request {
            Ok(Request::Connect(target)) => {
                self.connect(guest, target).await.map(|(tcp, place)| Done::Connected(tcp, place))
            }
            Ok(Request::Resolve(host)) => {
                self.resolve(guest, &host).await.map(|found| Done::Answered(Reply::Resolved(found)))
            }
            Err(refusal) => Err(refusal),
        };
        acted.unwrap_or_else(|refusal| Done::Answered(Reply::Refused(refusal)))
    }

    async fn connect<'a>(
        &'a self,
        guest: &'a Guest,
        target: Target,
    ) -> Result<(TcpStream, Seat<'a>), Refusal> {
        let place = self.enter(guest)?;
        if !self.policy.allows_port(target.port) {
            // Who asks for it goes by what operators signed, and others may serve it.
            return Err(Refusal::NotAnExit);
        }
        let found = self.resolver.lookup(&target.host).await?;
        let near = self.near()?;
        let tcp = connect::connect(&self.policy, &near, found, target.port).await?;
        Ok((tcp, place))
    }

    /// Tells only addresses that we would connect to: the others would describe our own network.
    async fn resolve(&self, guest: &Guest, host: &Host) -> Result<Vec<IpAddr>, Refusal> {
        let _place = self.enter(guest)?;
        let mut found = self.resolver.lookup(host).await?.addresses;
        let near = self.near()?;
        found.retain(|&address| self.policy.allows_addr(address, &near));
        if found.is_empty() { Err(Refusal::Policy) } else { Ok(found) }
    }

    /// Who does not know where it stands goes nowhere, unless it may go there too.
    fn near(&self) -> Result<Arc<Near>, Refusal> {
        if self.policy.local {
            return Ok(Arc::default());
        }
        self.surroundings.now().ok_or(Refusal::Policy)
    }

    fn enter<'a>(&'a self, guest: &'a Guest) -> Result<Seat<'a>, Refusal> {
        if self.policy.ports.is_none() {
            return Err(Refusal::NotAnExit);
        }
        let permit = self.places.try_acquire().map_err(|_| Refusal::Busy)?;
        let held = guest.places.fetch_add(1, Ordering::Relaxed);
        let place = Seat { _permit: permit, guest };
        let free = self.places.available_permits();
        if held > free / SHARE_OF_FREE { Err(Refusal::Busy) } else { Ok(place) }
    }

    async fn answer<W: AsyncWrite + Unpin>(&self, send: &mut W, reply: &Reply) -> bool {
        matches!(timeout(self.limits.request_time, reply.write(send)).await, Ok(Ok(())))
    }

    async fn shut<W: AsyncWrite + Unpin>(&self, send: &mut W) -> bool {
        matches!(timeout(self.limits.request_time, send.shutdown()).await, Ok(Ok(())))
    }
}

enum Done<'a> {
    /// Connected; the place is held as long as the connection.
    Connected(TcpStream, Seat<'a>),
    /// Nothing more to do than to tell.
    Answered(Reply),
}

fn abort(recv: &mut impl Abort, send: &mut impl Abort) {
    recv.abort();
    send.abort();
}

#[cfg(test)]
mod tests;
