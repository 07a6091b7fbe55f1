//! The one place that reads the clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use throng_core::Time;

/// Real time for the engine: what the wall clock said at the start, and from there on steadily, also while the machine
/// sleeps: who wakes after a night must not take what expired meanwhile for valid, nor what is new for not valid yet.
///
/// Copies agree with each other: all nodes of a process see one time. It never goes back.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// On the [`steady`] clock.
    start: Duration,
    start_time: Time,
}

impl Clock {
    /// A clock that starts now.
    #[expect(clippy::disallowed_methods, reason = "this file is where clocks are read")]
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self { start: steady(), start_time: Time::ZERO + since_epoch }
    }

    /// What time it is.
    pub fn now(&self) -> Time {
        self.start_time + steady().saturating_sub(self.start)
    }

    /// A moment as the kernel's timers know it, on its clock that counts sleep.
    #[cfg(target_os = "linux")]
    pub(crate) fn since_boot(&self, time: Time) -> Duration {
        self.start + (time - self.start_time)
    }
}

/// How long the machine is up, sleep included.
#[cfg(any(target_os = "linux", target_vendor = "apple"))]
fn steady() -> Duration {
    #[cfg(target_os = "linux")]
    const COUNTS_SLEEP: rustix::time::ClockId = rustix::time::ClockId::Boottime;
    // The standard library's clock stands still there; this one does not, other than on Linux.
    #[cfg(target_vendor = "apple")]
    const COUNTS_SLEEP: rustix::time::ClockId = rustix::time::ClockId::Monotonic;
    let now = rustix::time::clock_gettime(COUNTS_SLEEP);
    // Since the machine was started: not negative.
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
}

/// How long ago this was first asked. Whether sleep counts is the system's choice; on Windows it does.
#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
#[expect(clippy::disallowed_methods, reason = "this file is where clocks are read")]
fn steady() -> Duration {
    use std::sync::OnceLock;
    use std::time::Instant;

    static FIRST: OnceLock<Instant> = OnceLock::new();
    FIRST.get_or_init(Instant::now).elapsed()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::time::{ClockId, clock_gettime};

    use super::*;

    fn read(clock: ClockId) -> Duration {
        let now = clock_gettime(clock);
        Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
    }

    /// We cannot sleep here: but it reads between two readings of the clock that counts sleep, to the nanosecond.
    #[test]
    fn it_is_the_clock_that_counts_sleep() {
        let clock = Clock::start();
        for _ in 0..1000 {
            let before = read(ClockId::Boottime);
            let now = clock.since_boot(clock.now());
            assert!((before..=read(ClockId::Boottime)).contains(&now));
        }
    }

    #[test]
    fn it_never_goes_back() {
        let clock = Clock::start();
        let mut last = clock.now();
        for _ in 0..1000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }
}
