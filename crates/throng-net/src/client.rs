//! Streams of applications, through circuits: what the proxy dials with.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use quinn::{Connecting, Connection, Endpoint, VarInt};
use throng_core::cover::CircuitCover;
use throng_core::output::NotAttached;
use throng_core::route::NoRoute;
use throng_core::wire::control::Ended;
use throng_core::{CircuitId, Design, Event, NodeId};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::driver::Order;
use crate::notices::{About, Notices};
use crate::pipe::memory::{Memory, MemoryTerms, Portion};
use crate::pipe::{address_of, client_config, keep_windows};
use crate::proxy::{Dial, Isolation};
use crate::request::{Abort, Host, Refusal, Reply, Request, Target};
use crate::stream::{Receiving, Sending};

/// A stream that fails with its circuit before the exit has answered is tried on so many circuits.
const TRIES_MAX: usize = 4;
/// QUIC's handshake through a ready circuit takes at most this, or the circuit is given up.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// An exit answers within this: its own limits for names and connections are shorter.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// A circuit counts as used for so long after its last stream: what was sent last may still be under way.
const LINGER: Duration = Duration::from_secs(5);

/// By so many circuits that were not completed is judged who does not answer.
const FAILED_KEPT: usize = 6;

/// The client side of a node: its circuits, as QUIC connections to exits.
pub struct Client {
    orders: mpsc::Sender<Order>,
    shared: Arc<Shared>,
    next_stream: AtomicU64,
    /// Whether a stream may have another circuit because of its exit.
    may_change_exit: bool,
    notices: Notices,
}

struct Shared {
    waiting: Mutex<HashMap<u64, oneshot::Sender<Result<UsedCircuit, NotAttached>>>>,
    circuits: Mutex<HashMap<CircuitId, ReadyCircuit>>,
    supply: watch::Sender<SupplyState>,
}

/// A circuit that is ready.
struct ReadyCircuit {
    exit: NodeId,
    pipeline: watch::Sender<Pipeline>,
    /// Says so each time that it is doubted.
    doubts: watch::Sender<()>,
}

/// How far QUIC over a circuit is.
#[derive(Clone)]
enum Pipeline {
    Connecting,
    Up(Connection, Arc<Portion>),
    Failed,
}

impl Pipeline {
    /// QUIC is up, if it is still wanted. Whether it is.
    fn come_up(&mut self, connection: &Connection, portion: &Arc<Portion>) -> bool {
        let wanted = matches!(self, Self::Connecting);
        if wanted {
            *self = Self::Up(connection.clone(), Arc::clone(portion));
        }
        wanted
    }
}

/// QUIC's handshake, unless it takes too long or its circuit ends.
async fn connect_while_wanted(
    connecting: Connecting,
    state: &watch::Sender<Pipeline>,
    at_most: Duration,
) -> Option<Connection> {
    let mut state = state.subscribe();
    tokio::select! {
        connected = timeout(at_most, connecting) => connected.ok().and_then(Result::ok),
        _ = state.wait_for(|state| matches!(state, Pipeline::Failed)) => None,
    }
}

/// How a client's circuits are.
#[derive(Clone, Debug, Default)]
pub struct SupplyState {
    /// Circuits that are ready, with an exit that answers.
    pub ready: usize,
    /// The hops of the one that became ready last, first to last, and how long it took.
    pub last: Option<(Vec<NodeId>, Duration)>,
    /// What went wrong last; nothing once a circuit is ready.
    pub problem: Option<String>,
    /// To how many hops the last circuits came that were not completed, since one was ready.
    hops_of_failed: VecDeque<usize>,
}

impl Client {
    /// The client of the node that hears `orders` and tells `events`; `endpoint` is QUIC's end of its pipe. What its owner should
    /// know of its circuits goes to `notices`.
    pub fn start(
        orders: mpsc::Sender<Order>,
        mut events: mpsc::UnboundedReceiver<Event>,
        endpoint: Endpoint,
        design: Arc<Design>,
        notices: Notices,
    ) -> Self {
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            circuits: Mutex::default(),
            supply: watch::Sender::default(),
        });
        let memory = Memory::new(MemoryTerms::CLIENT);
        let may_change_exit = design.cover.circuits == CircuitCover::None;
        let watcher = CircuitWatcher {
            shared: Arc::clone(&shared),
            orders: orders.clone(),
            endpoint,
            design,
            memory,
            notices: notices.clone(),
        };
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                watcher.heed(event);
            }
            watcher.end_all();
        });
        Self { orders, shared, next_stream: AtomicU64::new(0), may_change_exit, notices }
    }

    /// How the circuits are, and how that changes.
    pub fn supply(&self) -> watch::Receiver<SupplyState> {
        self.shared.supply.subscribe()
    }

    /// Opens a stream and asks the exit something; the stream that it answered on, and its answer.
    async fn ask(
        &self,
        isolation: Isolation,
        port: Option<u16>,
        request: &Request,
    ) -> Result<(CircuitStream, Reply), Refusal> {
        let mut why = Refusal::NoCircuit;
        let mut avoid = Vec::new();
        for _ in 0..TRIES_MAX {
            let used = match self.attach(isolation, port, &avoid).await {
                // What an exit said tells more than that there is no other one.
                Err(_) if !avoid.is_empty() => return Err(why),
                used => used?,
            };
            let exit = self.shared.exit_of(used.circuit);
            match timeout(ANSWER_TIME_MAX, self.ask_on(used, request)).await {
                Err(_) => return Err(Refusal::TimedOut),
                // Nothing of the application was sent yet: another circuit may do.
                Ok(Err(Refusal::CircuitLost)) => why = Refusal::CircuitLost,
                // Another exit may do. (Not where circuits are covered: how many there are must not follow what users do.)
                Ok(Err(refusal)) if refusal.is_the_exits() && self.may_change_exit => {
                    let Some(exit) = exit.filter(|exit| !avoid.contains(exit)) else { return Err(refusal) };
                    avoid.push(exit);
                    why = refusal;
                }
                Ok(outcome) => return outcome,
            }
        }
        Err(why)
    }

    async fn ask_on(&self, used: UsedCircuit, request: &Request) -> Result<(CircuitStream, Reply), Refusal> {
        let mut doubts = self.shared.doubts(used.circuit).ok_or(Refusal::CircuitLost)?;
        let (connection, portion) = self.shared.connection(used.circuit).await.ok_or(Refusal::CircuitLost)?;
        let (send, recv) = connection.open_bi().await.map_err(|_| Refusal::CircuitLost)?;
        let (mut send, mut recv) = (Sending::new(send, Arc::clone(&portion)), Receiving::new(recv, portion));
        let asked = tokio::select! {
            asked = request.ask(&mut recv, &mut send) => asked,
            // Nothing of the application was sent: it need not wait until the circuit is known to be dead.
            _ = doubts.changed() => {
                recv.abort();
                send.abort();
                return Err(Refusal::CircuitLost);
            }
        };
        match asked {
            Ok(reply) => Ok((CircuitStream { send, recv, _used: used }, reply)),
            Err(_) if connection.close_reason().is_some() => Err(Refusal::CircuitLost),
            // These are for us to say, not for an exit.
            Err(Refusal::CircuitLost | Refusal::NoCircuit) => Err(Refusal::Failed),
            Err(refusal) => Err(refusal),
        }
    }

    /// Waits for a circuit.
    async fn attach(
        &self,
        isolation: Isolation,
        port: Option<u16>,
        avoid: &[NodeId],
    ) -> Result<UsedCircuit, Refusal> {
        let stream = self.next_stream.fetch_add(1, Ordering::Relaxed);
        let (tell, told) = oneshot::channel();
        self.shared.waiting().insert(stream, tell);
        // Whoever stops waiting takes the entry away.
        let waiting = AwaitedCircuit { stream, shared: &self.shared };
        let (isolation, avoid) = (isolation.to_bytes(), avoid.to_vec());
        let order = Order::Attach { stream, isolation, port, avoid };
        self.orders.send(order).await.map_err(|_| Refusal::NoCircuit)?;
        let outcome = told.await.map_err(|_| Refusal::NoCircuit)?;
        drop(waiting);
        match outcome {
            Ok(used) => Ok(used),
            Err(NotAttached::NoRoute(NoRoute::NoExit(Some(_)))) => Err(Refusal::Policy),
            Err(NotAttached::TooMany) => Err(Refusal::Busy),
            Err(NotAttached::NoRoute(_) | NotAttached::TimedOut) => Err(Refusal::NoCircuit),
        }
    }
}

impl Dial for Client {
    type Stream = CircuitStream;

    async fn connect(&self, isolation: Isolation, target: Target) -> Result<CircuitStream, Refusal> {
        let port = target.port;
        match self.ask(isolation, Some(port), &Request::Connect(target)).await? {
            (stream, Reply::Connected) => Ok(stream),
            _ => Err(Refusal::Malformed),
        }
    }

    async fn resolve(&self, isolation: Isolation, host: Host) -> Result<Vec<IpAddr>, Refusal> {
        match self.ask(isolation, None, &Request::Resolve(host)).await? {
            (_, Reply::Resolved(addresses)) => Ok(addresses),
            _ => Err(Refusal::Malformed),
        }
    }

    fn trouble(&self) -> Option<String> {
        self.notices.of(About::Circuits).or_else(|| self.shared.supply.borrow().problem.clone())
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Result<UsedCircuit, NotAttached>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn circuits(&self) -> MutexGuard<'_, HashMap<CircuitId, ReadyCircuit>> {
        self.circuits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hears when a circuit is doubted from now on.
    fn doubts(&self, circuit: CircuitId) -> Option<watch::Receiver<()>> {
        self.circuits().get(&circuit).map(|ready| ready.doubts.subscribe())
    }

    /// Which exit a circuit has.
    fn exit_of(&self, circuit: CircuitId) -> Option<NodeId> {
        self.circuits().get(&circuit).map(|ready| ready.exit)
    }

    /// QUIC over this circuit, once it is up.
    async fn connection(&self, circuit: CircuitId) -> Option<(Connection, Arc<Portion>)> {
        let mut pipeline = self.circuits().get(&circuit)?.pipeline.subscribe();
        let state = pipeline.wait_for(|state| !matches!(state, Pipeline::Connecting)).await.ok()?.clone();
        match state {
            Pipeline::Up(connection, portion) => Some((connection, portion)),
            Pipeline::Connecting | Pipeline::Failed => None,
        }
    }
}

/// Listens to the node.
struct CircuitWatcher {
    shared: Arc<Shared>,
    orders: mpsc::Sender<Order>,
    endpoint: Endpoint,
    design: Arc<Design>,
    memory: Arc<Memory>,
    notices: Notices,
}

impl CircuitWatcher {
    fn heed(&self, event: Event) {
        match event {
            Event::CircuitReady { circuit, path, took } => {
                info!(hops = path.len(), took_us = took.as_micros(), "a circuit is ready");
                self.connect(circuit, path, took);
            }
            Event::CircuitEnded { circuit, why } => {
                info!(why = reason(why), "a circuit ended");
                self.end(circuit);
            }
            Event::CircuitDoubted { circuit } => {
                if let Some(ready) = self.shared.circuits().get(&circuit) {
                    ready.doubts.send_replace(());
                }
            }
            Event::Attached { stream, circuit } => self.answer(stream, Ok(circuit)),
            Event::NotAttached { stream, why } => {
                if let NotAttached::NoRoute(why @ (NoRoute::Expired | NoRoute::Conflict)) = why {
                    self.problem(why.to_string());
                }
                self.answer(stream, Err(why));
            }
            Event::FirstHopMistrusted(_) => {
                warn!(
                    "most circuits broke behind one of our first hops; it may be hostile: another one takes its place"
                );
            }
            Event::NoRoute(why) => {
                // Of the document, whoever reads it for this node says so.
                if !matches!(why, NoRoute::Expired | NoRoute::Conflict) {
                    self.standstill(why.to_string());
                }
                self.problem(why.to_string());
            }
            Event::Document(_)
            | Event::Conflict(_)
            | Event::OtherHistory { .. }
            | Event::DocumentDoubted(_)
            | Event::DocumentRefused(_) => {} // the driver tells its owner
            Event::CircuitNotBuilt { hops, why } => self.not_built(hops, why),
        }
    }

    /// Begins QUIC over a circuit at once, so that the first stream need not wait for it.
    fn connect(&self, circuit: CircuitId, path: Vec<NodeId>, took: Duration) {
        let Some(exit) = path.last().copied() else { return };
        let state = watch::Sender::new(Pipeline::Connecting);
        let ready = ReadyCircuit { exit, pipeline: state.clone(), doubts: watch::Sender::default() };
        self.shared.circuits().insert(circuit, ready);
        let config = client_config(&self.design, exit);
        let at_most = CONNECT_TIME_MAX + 6 * self.design.detour();
        let connecting = self.endpoint.connect_with(config, address_of(circuit), "exit").ok();
        let begun = connecting.zip(self.memory.admit());
        let (shared, orders) = (Arc::clone(&self.shared), self.orders.clone());
        let notices = self.notices.clone();
        tokio::spawn(async move {
            let connected = match begun {
                Some((connecting, portion)) => connect_while_wanted(connecting, &state, at_most)
                    .await
                    .map(|connection| (connection, portion)),
                None => None,
            };
            // The circuit may have ended in the very moment in which the handshake did.
            let up = connected.filter(|(connection, portion)| {
                state.send_if_modified(|state| state.come_up(connection, portion))
            });
            let Some((connection, portion)) = up else {
                // First the circuit goes, so that a stream which tries again does not get it again.
                let _ = orders.send(Order::Close(circuit)).await;
                state.send_replace(Pipeline::Failed);
                return;
            };
            shared.supply.send_modify(|supply| {
                supply.ready += 1;
                supply.last = Some((path, took));
                supply.problem = None;
                supply.hops_of_failed.clear();
            });
            notices.end(About::Circuits);
            keep_windows(connection.clone(), portion).await;
            connection.closed().await;
            shared.supply.send_modify(|supply| supply.ready -= 1);
            let _ = orders.send(Order::Close(circuit)).await;
        });
    }

    /// The circuit is gone: what runs over it, or waits for it, ends with an error, at once.
    fn end(&self, circuit: CircuitId) {
        let ready = self.shared.circuits().remove(&circuit);
        let before = ready.map(|ready| ready.pipeline.send_replace(Pipeline::Failed));
        if let Some(Pipeline::Up(connection, _)) = before {
            connection.close(VarInt::from_u32(0), b"");
        }
    }

    /// The node is gone: nobody waits for it in vain.
    fn end_all(&self) {
        self.shared.waiting().clear();
        for (_, ready) in self.shared.circuits().drain() {
            ready.pipeline.send_replace(Pipeline::Failed);
        }
        self.endpoint.close(VarInt::from_u32(0), b"");
    }

    fn answer(&self, stream: u64, outcome: Result<CircuitId, NotAttached>) {
        // If nobody waits any more, the circuit is given back by being dropped.
        let outcome = outcome.map(|circuit| UsedCircuit { circuit, orders: self.orders.clone() });
        if let Some(tell) = self.shared.waiting().remove(&stream) {
            let _ = tell.send(outcome);
        }
    }

    /// A circuit did not come up. Where none does, how far they came says who does not answer.
    fn not_built(&self, hops: usize, why: Ended) {
        let mut furthest = 0;
        self.shared.supply.send_modify(|supply| {
            let failed = &mut supply.hops_of_failed;
            failed.truncate(FAILED_KEPT - 1);
            failed.push_front(hops);
            furthest = failed.iter().copied().max().unwrap_or_default();
        });
        let last = self.design.route.hops() - 1;
        let standstill = match furthest {
            0 => "none of our first hops answers",
            hops if hops >= last => "no exit answers: circuits come up but for their last hop",
            _ => "circuits come to their first hops and not to an exit: mixes in between do not answer",
        };
        self.standstill(standstill.into());
        self.problem(format!("a circuit ended after {hops} of its hops: {}", reason(why)));
    }

    /// Something that keeps all circuits from coming up, if there is none.
    fn standstill(&self, what: String) {
        let has_none = || self.shared.supply.borrow().ready == 0;
        if has_none() {
            self.notices.hold_if_it_lasts(About::Circuits, what);
        }
        if !has_none() {
            self.notices.end(About::Circuits); // one came up meanwhile
        }
    }

    fn problem(&self, what: String) {
        if self.shared.supply.borrow().problem.as_ref() != Some(&what) {
            info!(what, "no circuit");
        }
        self.shared.supply.send_modify(|supply| supply.problem = Some(what));
    }
}

/// In words.
fn reason(why: Ended) -> &'static str {
    match why {
        Ended::Finished => "it is no longer needed",
        Ended::Silent => "a mix does not answer",
        Ended::Busy => "a mix is busy",
        Ended::UnknownHop => "a mix does not know the next one",
        Ended::Old => "it is too old",
        Ended::Leaving => "a mix shuts down",
        Ended::NotBuilt => "it could not be completed in time",
        Ended::Broken => "a mix broke the protocol",
    }
}

/// A stream's place among those that wait.
struct AwaitedCircuit<'a> {
    stream: u64,
    shared: &'a Shared,
}

impl Drop for AwaitedCircuit<'_> {
    fn drop(&mut self) {
        self.shared.waiting().remove(&self.stream);
    }
}

/// A circuit in use; it is given back a while after the last byte.
struct UsedCircuit {
    circuit: CircuitId,
    orders: mpsc::Sender<Order>,
}

impl Drop for UsedCircuit {
    fn drop(&mut self) {
        let (circuit, orders) = (self.circuit, self.orders.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                tokio::time::sleep(LINGER).await;
                let _ = orders.send(Order::Detach(circuit)).await;
            });
        }
    }
}

/// A stream through a circuit.
pub struct CircuitStream {
    send: Sending,
    recv: Receiving,
    _used: UsedCircuit,
}

impl Abort for CircuitStream {
    fn abort(&mut self) {
        self.send.abort();
        self.recv.abort();
    }
}

impl AsyncRead for CircuitStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.recv).poll_read(cx, out)
    }
}

impl AsyncWrite for CircuitStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.send).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.send).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.send).poll_shutdown(cx)
    }
}
