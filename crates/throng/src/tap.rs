//! What an adversary on every wire of a network in this process sees, as a file.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use throng_core::{Design, Time};
use throng_net::clock::Clock;
use throng_net::socket::Socket;
use throng_net::tap::{Seen, Tap};
use throng_sim::{Row, Trace};

use crate::disk;

/// Datagrams that a recording holds, 44 bytes of memory each: what a network of twelve mixes, all links covered at
/// 64 kb/s, sends in two and a half hours.
const ROWS_MAX: usize = 8 << 20;

/// A recording in progress.
pub(crate) struct Recording {
    file: PathBuf,
    clock: Clock,
    taken: Arc<Mutex<Taken>>,
}

/// What has been recorded so far.
struct Taken {
    begin: Time,
    trace: Trace,
    hosts: HashMap<SocketAddr, u32>,
    rows_max: usize,
    /// Datagrams for which there was no room.
    more: u64,
}

impl Recording {
    /// Records a network of this design into `file`.
    pub(crate) fn start(file: &Path, mixes: u8, design: &Design) -> Result<Self> {
        let datagram = u16::try_from(design.geometry.datagram()).context("--tap: datagrams are too long")?;
        let trace = Trace::new(mixes.into(), datagram);
        // A file that cannot be written is refused now, not after everything has been seen.
        disk::write(file, &trace.seen_to_bytes()).context("--tap")?;
        let clock = Clock::start();
        let taken = Taken::new(clock.now(), trace, ROWS_MAX);
        Ok(Self { file: file.to_owned(), clock, taken: Arc::new(Mutex::new(taken)) })
    }

    /// Sees what `socket` sends; it is the next host.
    pub(crate) fn watch(&self, socket: Socket) -> Result<Socket> {
        let address = socket.local_addr().context("reading a socket's address")?;
        lock(&self.taken).add_host(address);
        let taken = Arc::clone(&self.taken);
        Ok(socket.tapped(Tap::new(self.clock, move |seen| lock(&taken).see(seen))))
    }

    /// Writes it.
    pub(crate) fn write(self) -> Result<()> {
        let mut taken = lock(&self.taken);
        taken.trace.sort();
        disk::write(&self.file, &taken.trace.seen_to_bytes()).context("--tap")?;
        tell!("throng: {} datagrams seen, written to {}", taken.trace.seen.len(), self.file.display());
        if taken.more > 0 {
            tell!("throng: {} later datagrams were not recorded: the recording was full", taken.more);
        }
        Ok(())
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Taken {
    fn new(begin: Time, trace: Trace, rows_max: usize) -> Self {
        Self { begin, trace, hosts: HashMap::new(), rows_max, more: 0 }
    }

    fn add_host(&mut self, address: SocketAddr) {
        let next = self.hosts.len() as u32;
        self.hosts.insert(address, next);
    }

    fn see(&mut self, seen: Seen) {
        // A stranger to this network has no number.
        let (Some(from), Some(to)) = (self.hosts.get(&seen.from), self.hosts.get(&seen.to)) else { return };
        let at = (seen.at - self.begin).as_nanos() as u64;
        let row = Row { at, from: *from, to: *to, length: seen.length as u16 };
        if self.trace.seen.len() < self.rows_max {
            self.trace.push(row, None);
            return;
        }
        if self.more == 0 {
            let seconds = at / 1_000_000_000;
            tell!(
                "throng: --tap: the recording is full after {} datagrams in {seconds} s; later ones are not recorded",
                self.rows_max
            );
        }
        self.more += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn hosts_are_numbers_strangers_are_not_seen_and_there_is_an_end() {
        let begin = Time::from_secs(10);
        let mut taken = Taken::new(begin, Trace::new(1, 1280), 2);
        taken.add_host(address(1));
        taken.add_host(address(2));
        let mut see = |millis, from, to| {
            let at = begin + Duration::from_millis(millis);
            taken.see(Seen { at, from: address(from), to: address(to), length: 1280 });
        };
        see(2, 2, 1);
        see(3, 1, 9);
        see(1, 1, 2);
        see(4, 1, 2);
        see(5, 1, 2);
        taken.trace.sort();
        let row = |millis: u64, from, to| Row { at: millis * 1_000_000, from, to, length: 1280 };
        assert_eq!(taken.trace.seen, [row(1, 0, 1), row(2, 1, 0)]);
        assert_eq!(taken.more, 2);
    }
}
