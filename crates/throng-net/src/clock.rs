//! The one place that reads the clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use throng_core::Time;

/// Real time for the engine: what the wall clock said at the start, and from there on steadily.
///
/// Copies agree with each other: all nodes of a process see one time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    start_time: Time,
    /// What the kernel's timers call the start.
    #[cfg(target_os = "linux")]
    start_monotonic: Duration,
}

/// Readings of two clocks, of which the pair with the least between them counts: a process may be interrupted
/// between the two, and every timer would be late by as much.
#[cfg(target_os = "linux")]
const READINGS: usize = 8;

impl Clock {
    /// A clock that starts now.
    #[expect(clippy::disallowed_methods, reason = "this file is where clocks are read")]
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let start_time = Time::ZERO + since_epoch;
        #[cfg(target_os = "linux")]
        {
            let (start, start_monotonic) = start_twice();
            Self { start, start_time, start_monotonic }
        }
        #[cfg(not(target_os = "linux"))]
        Self { start: Instant::now(), start_time }
    }

    /// What time it is.
    #[expect(clippy::disallowed_methods, reason = "this file is where clocks are read")]
    pub fn now(&self) -> Time {
        self.start_time + (Instant::now() - self.start)
    }

    /// The runtime's name for a moment; none for [`Time::NEVER`].
    pub fn instant(&self, time: Time) -> Option<tokio::time::Instant> {
        (time != Time::NEVER).then(|| (self.start + (time - self.start_time)).into())
    }
    /// A moment as the kernel's timers know it: not earlier, and later by far less than a microsecond.
    #[cfg(target_os = "linux")]
    pub(crate) fn monotonic(&self, time: Time) -> Duration {
        self.start_monotonic + (time - self.start_time)
    }
}

/// One moment as the library and as the kernel call it, the latter a little later.
#[cfg(target_os = "linux")]
#[expect(clippy::disallowed_methods, reason = "this file is where clocks are read")]
fn start_twice() -> (Instant, Duration) {
    let read = || {
        let start = Instant::now();
        let kernel = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        // Since the machine was started: not negative.
        let kernel = Duration::new(kernel.tv_sec.unsigned_abs(), kernel.tv_nsec as u32);
        (start.elapsed(), start, kernel)
    };
    let (_, start, kernel) =
        (0..READINGS).map(|_| read()).min_by_key(|(between, ..)| *between).expect("there are some");
    (start, kernel)
}
