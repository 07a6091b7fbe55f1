//! Keeps the windows of a circuit's connection as its part of the memory allows.

use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, VarInt};
use tokio::time::sleep;

use super::congestion::Watched;
use super::memory::{Counters, Portion, Turnover, Windows};
use crate::clock::Clock;

/// A round trip that is shorter is taken for so long: there is no use in looking more often.
const LOOK_EVERY_MIN: Duration = Duration::from_millis(20);
/// One that is longer is not waited for before the next look.
const LOOK_EVERY_MAX: Duration = Duration::from_millis(200);
/// How often to look while nothing moves: only the far end's word that it is blocked can be missed.
const LOOK_EVERY_QUIET: Duration = Duration::from_millis(250);
/// How often while there is no stream, but still something to be given back.
const LOOK_EVERY_IDLE: Duration = Duration::from_secs(1);

/// Does so until `connection` ends, or ends it if others need what it sits on.
pub(crate) async fn keep_windows(connection: Connection, portion: Arc<Portion>) {
    if let Ok(congestion) = connection.congestion_state().into_any().downcast::<Watched>() {
        congestion.tell(Arc::clone(&portion));
    }
    let clock = Clock::start();
    let mut set = None;
    let mut blocked = 0;
    let mut before = Counters::default();
    let mut looked = clock.now();
    loop {
        let stats = connection.stats();
        let (counted, now) = (portion.counters(), clock.now());
        let seen = Turnover {
            taken: counted.taken - before.taken,
            written: counted.written - before.written,
            unacknowledged: counted.written.saturating_sub(counted.arrived),
            blocked: stats.frame_rx.data_blocked > blocked,
            in_use: counted.streams > 0,
            in_flight_max: stats.path.cwnd,
            round_trip: stats.path.rtt,
            passed: (now - looked).max(LOOK_EVERY_MIN),
        };
        (blocked, looked) = (stats.frame_rx.data_blocked, now);
        let Some(windows) = portion.settle(&seen) else {
            return connection.close(VarInt::from_u32(0), b"");
        };
        apply(&connection, set.replace(windows), windows);
        // What is read and written from here on is so under these windows; the little in between is not counted.
        before = portion.counters();
        let moves = seen.taken > 0 || seen.written > 0 || seen.blocked;
        tokio::select! {
            () = pause(&portion, &before, moves, seen.round_trip, windows.above_floor) => {}
            _ = connection.closed() => return,
        }
    }
}

/// Until it is time to look again, or the circuit has to end.
async fn pause(portion: &Portion, before: &Counters, moves: bool, round_trip: Duration, above_floor: bool) {
    let at_most = match before.streams {
        1.. if moves => round_trip.clamp(LOOK_EVERY_MIN, LOOK_EVERY_MAX),
        1.. => LOOK_EVERY_QUIET,
        0 if above_floor => LOOK_EVERY_IDLE,
        0 => Duration::MAX,
    };
    if !(moves && before.streams > 0) {
        // Whatever a stream does then is the beginning of something.
        portion.rest();
        if portion.counters() != *before {
            return;
        }
    }
    tokio::select! {
        () = sleep(at_most) => {}
        () = portion.woken() => {}
    }
}

fn apply(connection: &Connection, before: Option<Windows>, now: Windows) {
    if before.is_none_or(|before| before.receive != now.receive) {
        connection.set_receive_window(VarInt::from_u64(now.receive).unwrap_or(VarInt::MAX));
    }
    if before.is_none_or(|before| before.send != now.send) {
        connection.set_send_window(now.send);
    }
}
