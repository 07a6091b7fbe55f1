//! The pacer: what has a slot leaves at its slot, however busy its node is.
//!
//! A node decides a guard time before a slot what goes into it, and seals it. The pacer keeps it until then on a thread
//! of its own, which waits and sends and does nothing else: a driver is at work for milliseconds when there is load, and
//! a slot that waited for it would show that to the wire.
//!
//! Never early. What is a little late leaves all the same and is counted; what is far too late is dropped and counted.
//! Two slots never become one.

mod lateness;
pub mod measure;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use throng_core::{Lane, Time};
use tokio::runtime::{Builder, Handle};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::alarm::Alarm;
use crate::clock::Clock;
use crate::socket::Outlet;
pub use lateness::Pacing;

/// A slot that is kept leaves at most this after its moment.
pub const LATE: Duration = Duration::from_millis(1);
/// So long after its moment a slot is missed, and what had it is dropped.
pub const MISSED: Duration = Duration::from_millis(10);
/// What one node may have waiting for its slots: at 100 Mb/s, more than a second's worth.
const HELD_BYTES_MAX: usize = 16 << 20;
/// How long a node that ends waits for its last slots.
const END_TIME_MAX: Duration = Duration::from_secs(1);
/// Priority of the thread that sends, as `nice` has it.
#[cfg(target_os = "linux")]
const NICE: i32 = -20;
/// Buffers kept for the next lanes.
const SPARE_BUFFERS_MAX: usize = 256;

/// Holds what has a slot, and sends it then.
pub(crate) struct Pacer {
    keeping: Arc<Keeping>,
    /// Begun with the first slot: a node without cover has none.
    task: Option<JoinHandle<()>>,
}

impl Pacer {
    /// Sends through `outlet`.
    pub(crate) fn new(clock: Clock, outlet: Arc<Outlet>) -> Self {
        let keeping = Keeping { clock, outlet, held: Mutex::default(), changed: Notify::new() };
        Self { keeping: Arc::new(keeping), task: None }
    }

    /// Takes what leaves at its slot. What does not fit is dropped, and its slots are missed.
    pub(crate) fn hold(&mut self, lane: Lane<'_>) {
        self.keeping.hold(lane);
        self.task.get_or_insert_with(|| {
            let keeping = Arc::clone(&self.keeping);
            pacing_thread().spawn(async move { keeping.send_all().await })
        });
    }

    /// How slots were kept so far.
    pub(crate) fn pacing(&self) -> Pacing {
        self.keeping.held().pacing.clone()
    }

    /// Sends what is still held, each at its slot.
    pub(crate) async fn end(mut self) {
        self.keeping.held().ends = true;
        self.keeping.changed.notify_one();
        if let Some(task) = &mut self.task {
            let _ = tokio::time::timeout(END_TIME_MAX, task).await;
        }
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// The one thread for all pacers of the process. Where the system gives none, they run among everything else.
fn pacing_thread() -> Handle {
    static THREAD: OnceLock<Option<Handle>> = OnceLock::new();
    let start = || {
        let runtime = Builder::new_current_thread().enable_all().build().ok()?;
        let handle = runtime.handle().clone();
        let wait = move || {
            raise_priority();
            runtime.block_on(std::future::pending::<()>());
        };
        std::thread::Builder::new().name("throng-pacer".into()).spawn(wait).ok()?;
        Some(handle)
    };
    THREAD.get_or_init(start).clone().unwrap_or_else(Handle::current)
}

/// Before all other threads, if the system lets us: it does not let everybody. This thread needs little.
fn raise_priority() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, NICE); // there, of this thread only
}

struct Keeping {
    clock: Clock,
    outlet: Arc<Outlet>,
    held: Mutex<StampedLanes>,
    /// The first moment is another one, or this ends.
    changed: Notify,
}

#[derive(Default)]
struct StampedLanes {
    /// In the order in which they leave. What one step and the next give to one slot lies behind each other.
    lanes: BTreeMap<(Time, SocketAddr), Vec<u8>>,
    bytes: usize,
    spare: Vec<Vec<u8>>,
    pacing: Pacing,
    ends: bool,
}

impl Keeping {
    fn held(&self) -> MutexGuard<'_, StampedLanes> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&self, lane: Lane<'_>) {
        let mut held = self.held();
        let next = held.next();
        if !held.push(lane) {
            held.pacing.missed += self.datagrams(lane.datagrams);
        }
        if held.next() < next {
            self.changed.notify_one();
        }
    }

    async fn send_all(&self) {
        let mut alarm = Alarm::new(self.clock);
        loop {
            let (next, ends) = {
                let held = self.held();
                (held.next(), held.ends)
            };
            if next == Time::NEVER && ends {
                return;
            }
            tokio::select! {
                () = alarm.until(next) => self.send_due().await,
                () = self.changed.notified() => {}
            }
        }
    }

    async fn send_due(&self) {
        let due = || self.held().pop(self.clock.now());
        while let Some((at, to, datagrams)) = due() {
            self.send(at, to, &datagrams).await;
            self.held().recycle(datagrams);
        }
    }

    async fn send(&self, at: Time, to: SocketAddr, datagrams: &[u8]) {
        let mut rest = datagrams;
        while !rest.is_empty() {
            let late = self.clock.now() - at;
            if late > MISSED {
                break;
            }
            match self.outlet.send(to, rest) {
                Ok(done) => {
                    self.held().pacing.count(late, self.datagrams(&rest[..done]));
                    rest = &rest[done..];
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.outlet.writable().await.is_err() {
                        break;
                    }
                }
                Err(_) => break, // lost, as any datagram may be
            }
        }
        if !rest.is_empty() {
            self.held().pacing.missed += self.datagrams(rest);
        }
    }

    fn datagrams(&self, bytes: &[u8]) -> u64 {
        (bytes.len() / self.outlet.datagram()) as u64
    }
}

impl StampedLanes {
    /// The first slot for which something is held.
    fn next(&self) -> Time {
        self.lanes.first_key_value().map_or(Time::NEVER, |((at, _), _)| *at)
    }

    /// Whether there was room.
    fn push(&mut self, lane: Lane<'_>) -> bool {
        if self.bytes + lane.datagrams.len() > HELD_BYTES_MAX {
            return false;
        }
        self.bytes += lane.datagrams.len();
        let Self { lanes, spare, .. } = self;
        let datagrams = lanes.entry((lane.at, lane.to)).or_insert_with(|| spare.pop().unwrap_or_default());
        datagrams.extend_from_slice(lane.datagrams);
        true
    }

    /// What leaves next, if its moment has come.
    fn pop(&mut self, now: Time) -> Option<(Time, SocketAddr, Vec<u8>)> {
        let first = self.lanes.first_entry().filter(|lane| lane.key().0 <= now)?;
        let ((at, to), datagrams) = first.remove_entry();
        self.bytes -= datagrams.len();
        Some((at, to, datagrams))
    }

    fn recycle(&mut self, mut buffer: Vec<u8>) {
        if self.spare.len() < SPARE_BUFFERS_MAX {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests;
