//! Waking at a moment: on Linux within some tens of microseconds, elsewhere within the runtime's milliseconds.

use std::time::Duration;

use throng_core::Time;
use tokio::task::coop::consume_budget;
use tokio::time::sleep;

use crate::clock::Clock;

/// The runtime's own sleep may stand still while the machine sleeps, and the clock does not: so it is asked again after this.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// Wakes at moments, one after the other.
pub(crate) struct Alarm {
    clock: Clock,
    /// None where the system has no such timer, or no file for it: then the runtime's own sleep must do.
    timer: Option<KernelTimer>,
}

impl Alarm {
    /// An alarm in the runtime in which this is called.
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, timer: KernelTimer::new() }
    }

    /// Waits until `time`; for ever, if that is [`Time::NEVER`]. Never early. It may be given up and asked again.
    pub(crate) async fn until(&mut self, time: Time) {
        if time == Time::NEVER {
            return std::future::pending().await;
        }
        consume_budget().await; // who is always late must not keep others from running
        loop {
            let now = self.clock.now();
            if now >= time {
                return;
            }
            match &mut self.timer {
                Some(timer) => {
                    if timer.rings(time, &self.clock).await.is_err() {
                        self.timer = None;
                    }
                }
                None => sleep((time - now).min(SLEEP_MAX)).await,
            }
        }
    }
}

#[cfg(target_os = "linux")]
use linux::KernelTimer;

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::OwnedFd;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use throng_core::Time;
    use tokio::io::unix::AsyncFd;

    use crate::clock::Clock;

    /// A timer of the kernel: a file that can be read when it has rung. The slack that the kernel gives to sleeping
    /// threads does not apply to it. It counts the time for which the machine sleeps, as the clock does: else all of a node
    /// would come later by a night.
    pub(super) struct KernelTimer {
        file: AsyncFd<OwnedFd>,
        /// When it rings; never, if it is not set.
        set: Time,
    }

    impl KernelTimer {
        #[expect(
            deprecated,
            reason = "its successor is unsafe, for files that somebody else may close; this one is ours until the end"
        )]
        pub(super) fn new() -> Option<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let file = timerfd_create(TimerfdClockId::Boottime, flags).ok()?;
            Some(Self { file: AsyncFd::new(file).ok()?, set: Time::NEVER })
        }

        /// Waits until it rings: at `time`, or before, since one that is set is not set back. That spares a system call
        /// wherever the next moment moves away before it has come.
        pub(super) async fn rings(&mut self, time: Time, clock: &Clock) -> io::Result<()> {
            if time < self.set {
                self.set(time, clock)?;
            }
            let mut ready = self.file.readable().await?;
            // If it has not rung after all, the caller asks again.
            if let Ok(rung) = ready.try_io(|file| Ok(rustix::io::read(file, &mut [0; 8])?)) {
                self.set = Time::NEVER;
                rung?;
            }
            Ok(())
        }

        fn set(&mut self, time: Time, clock: &Clock) -> io::Result<()> {
            let moment = clock.since_boot(time);
            let once = Itimerspec {
                it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
                it_value: Timespec {
                    tv_sec: i64::try_from(moment.as_secs()).unwrap_or(i64::MAX),
                    tv_nsec: moment.subsec_nanos().into(),
                },
            };
            timerfd_settime(self.file.get_ref(), TimerfdTimerFlags::ABSTIME, &once)?;
            self.set = time;
            Ok(())
        }
    }
}

#[cfg(not(target_os = "linux"))]
struct KernelTimer;

#[cfg(not(target_os = "linux"))]
impl KernelTimer {
    fn new() -> Option<Self> {
        None
    }

    async fn rings(&mut self, _: Time, _: &Clock) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_wakes_at_every_moment_and_never_before() {
        let clock = Clock::start();
        let mut alarm = Alarm::new(clock);
        for micros in [0, 10, 500, 1000, 3000, 20_000] {
            let moment = clock.now() + Duration::from_micros(micros);
            alarm.until(moment).await;
            assert!(clock.now() >= moment);
        }
    }

    /// Where the kernel has no timer for us.
    #[tokio::test]
    async fn without_a_timer_it_wakes_later_but_never_before() {
        let clock = Clock::start();
        let mut alarm = Alarm { clock, timer: None };
        let moment = clock.now() + Duration::from_millis(5);
        alarm.until(moment).await;
        assert!(clock.now() >= moment);
    }

    #[tokio::test]
    async fn it_may_be_given_up_for_an_earlier_or_a_later_moment() {
        let clock = Clock::start();
        let mut alarm = Alarm::new(clock);
        let soon = |millis| clock.now() + Duration::from_millis(millis);
        for (first, then) in [(3_600_000, 2), (5, 20), (1, 30)] {
            let _ = tokio::time::timeout(Duration::from_millis(3), alarm.until(soon(first))).await;
            let moment = soon(then);
            alarm.until(moment).await;
            assert!(clock.now() >= moment);
        }
        assert!(tokio::time::timeout(Duration::from_millis(5), alarm.until(Time::NEVER)).await.is_err());
    }

    #[tokio::test]
    async fn what_is_past_does_not_wait_but_lets_others_run() {
        let clock = Clock::start();
        let mut alarm = Alarm::new(clock);
        let other = tokio::spawn(async {});
        for _ in 0..10_000 {
            alarm.until(Time::ZERO).await;
        }
        assert!(other.is_finished());
    }
}
