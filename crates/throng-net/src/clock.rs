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
}

impl Clock {
    /// A clock that starts now.
    #[expect(clippy::disallowed_methods, reason = "this file is where clocks are read")]
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self { start: Instant::now(), start_time: Time::ZERO + since_epoch }
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
}
