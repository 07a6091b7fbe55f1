//! How well slots are kept on this machine.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use throng_core::wire::Geometry;
use throng_core::{Lane, Time};

use super::{Pacer, Pacing};
use crate::alarm::Alarm;
use crate::clock::Clock;
use crate::socket::Socket;

/// So long before its slot a datagram is given to the pacer, as a node would.
const GUARD: Duration = Duration::from_millis(2);
/// What is still on its way has arrived after this.
const STRAGGLERS: Duration = Duration::from_millis(200);

/// What was seen of slots that a pacer kept, over real sockets.
#[derive(Clone, Debug)]
pub struct Measured {
    /// What the pacer says.
    pub pacing: Pacing,
    /// Datagrams given to it.
    pub given: u64,
    /// Datagrams that arrived.
    pub arrived: u64,
    /// Those that arrived before their slot: never.
    pub early: u64,
    /// Those that arrived after one with a later slot: never on loopback.
    pub overtaken: u64,
}

/// Gives a pacer `slots_per_second` datagrams at even distances for `span`, over loopback.
///
/// # Errors
/// Those of sockets.
pub async fn measure(slots_per_second: u32, span: Duration) -> io::Result<Measured> {
    let clock = Clock::start();
    let bind = || Socket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), Geometry::DEFAULT.datagram());
    let (ours, theirs) = (bind()?, bind()?);
    let to = theirs.local_addr()?;
    let arrivals = tokio::spawn(arrivals(clock, theirs, span + GUARD + STRAGGLERS));
    let mut pacer = Pacer::new(clock, Arc::clone(ours.outlet()));

    let mut alarm = Alarm::new(clock);
    let mut datagram = vec![0; Geometry::DEFAULT.datagram()];
    let begin = clock.now() + 2 * GUARD;
    let given = (span.as_secs_f64() * f64::from(slots_per_second)) as u64;
    for number in 0..given {
        let nanos = u128::from(number) * 1_000_000_000 / u128::from(slots_per_second);
        let at = begin + Duration::from_nanos(nanos as u64);
        alarm.until(Time::ZERO + ((at - Time::ZERO) - GUARD)).await;
        datagram[..8].copy_from_slice(&at.as_nanos().to_le_bytes());
        pacer.hold(Lane { to, at, datagrams: &datagram });
    }
    let (arrived, early, overtaken) = arrivals.await??;
    Ok(Measured { pacing: pacer.pacing(), given, arrived, early, overtaken })
}

/// How many arrived, came early, and were overtaken.
async fn arrivals(clock: Clock, mut socket: Socket, span: Duration) -> io::Result<(u64, u64, u64)> {
    let until = clock.now() + span;
    let mut alarm = Alarm::new(clock);
    let (mut arrived, mut early, mut overtaken, mut latest) = (0, 0, 0, 0);
    loop {
        tokio::select! {
            () = alarm.until(until) => return Ok((arrived, early, overtaken)),
            readable = socket.readable() => readable?,
        }
        let received = socket.receive(|_, datagram| {
            let at = datagram.first_chunk().map_or(0, |at| u64::from_le_bytes(*at));
            arrived += 1;
            early += u64::from(clock.now().as_nanos() < at);
            overtaken += u64::from(at < latest);
            latest = latest.max(at);
        });
        match received {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
    }
}
