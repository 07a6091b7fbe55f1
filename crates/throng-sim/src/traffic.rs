//! What users do: when they ask, how much goes up, how much comes down.
//!
//! Models are open: *when* a user visits does not depend on the network, so that every variant of a scenario, and both
//! levels, see the same visits. Everything follows from the seed and the user's number.

use std::time::Duration;

use crate::chance::{Draws, For, exponential, lomax};
use crate::wire::share;

/// A model of what one user does.
#[derive(Clone, Debug, PartialEq)]
pub enum Traffic {
    /// Nothing.
    Idle,
    /// The web model of Rennhard and Plattner (2004, section 8): a request of 300 bytes (in four of five cases) or 1100; a
    /// reply of ParetoII(k = 2.4, α = 1.2) kB, mean 12; then ParetoII(0.8, 1.2) embedded objects, mean 4, of the same
    /// size; the next visit after ParetoII(k = mean, α = 2). (There it begins after the page is there, here after it
    /// was asked for: the model is open. And the laws, which have no variance, are cut: at `largest_bytes`, and at 200
    /// objects. At 10 MB that leaves means of 9.7 kB and 2.7 objects.)
    Web {
        /// Mean time from one visit to the next. FC04: 10 s.
        reading: Duration,
        /// No reply is larger, bytes.
        largest_bytes: u64,
    },
    /// Equal exchanges at equal intervals.
    Constant {
        /// Bytes a day from the user.
        up_bytes_per_day: f64,
        /// Bytes a day to the user.
        down_bytes_per_day: f64,
        /// Time between two exchanges.
        every: Duration,
    },
    /// Equal exchanges at equal intervals while on; on and off for exponentially distributed times.
    OnOff {
        /// Mean time on.
        on: Duration,
        /// Mean time off.
        off: Duration,
        /// From the user, while on.
        up_bps: f64,
        /// To the user, while on.
        down_bps: f64,
        /// Time between two exchanges.
        every: Duration,
    },
    /// What was recorded, from another place for every user, over and over.
    Trace(std::sync::Arc<Recorded>),
}

/// A question and its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoundTrip {
    /// Bytes of the question.
    pub up: u64,
    /// Bytes of the answer.
    pub down: u64,
}

/// What a user does at one moment: an exchange, and one that follows when it is done (embedded objects).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit {
    /// When, from the beginning of the run.
    pub at: Duration,
    /// The exchange.
    pub first: RoundTrip,
    /// What follows it.
    pub then: Option<RoundTrip>,
}

/// Exchanges with their times: a recorded hour of somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// In the order of time.
    visits: Vec<(Duration, RoundTrip)>,
    span: Duration,
}

impl Recorded {
    /// Reads lines of `seconds,bytes up,bytes down`, in the order of time; empty lines and lines with `#` are skipped.
    /// The recording ends with its last line.
    ///
    /// # Errors
    /// Which line is wrong, and why.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut visits: Vec<(Duration, RoundTrip)> = Vec::new();
        // Spreadsheets write a mark in front.
        for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |why: &str| format!("line {}: {why}", number + 1);
            let mut fields = line.split(',').map(str::trim);
            let (Some(at), Some(up), Some(down), None) =
                (fields.next(), fields.next(), fields.next(), fields.next())
            else {
                return Err(wrong("must be: seconds,bytes up,bytes down"));
            };
            let at = at.parse::<f64>().ok().filter(|at| (0.0..1e9).contains(at));
            let at = Duration::from_nanos((at.ok_or_else(|| wrong("the time is not one"))? * 1e9) as u64);
            let bytes = |text: &str| text.parse::<u64>().ok().filter(|bytes| *bytes <= 1 << 40);
            let (Some(up), Some(down)) = (bytes(up), bytes(down)) else {
                return Err(wrong("the bytes are not whole numbers"));
            };
            if visits.last().is_some_and(|(before, _)| *before > at) {
                return Err(wrong("comes before the line before it"));
            }
            visits.push((at, RoundTrip { up, down }));
        }
        let span = visits.last().map_or(Duration::ZERO, |(at, _)| *at);
        if span.is_zero() {
            return Err("nothing happens after second 0: a recording begins anew at its last moment, which must be later".into());
        }
        Ok(Self { visits, span })
    }
}

impl Traffic {
    /// All visits of a user, in the order of time, without end (but for one who does nothing).
    pub fn visits(&self, seed: &[u8; 32], user: u64) -> Visits<'_> {
        Visits {
            traffic: self,
            draws: Draws::new(seed).of(For::Page, user),
            number: 0,
            at: Duration::ZERO,
            until: Duration::ZERO,
        }
    }

    /// The same for users who are online for `online` a day only: what the constant model says of a day happens then.
    pub(crate) fn within(&self, online: Duration) -> Self {
        match self {
            Self::Constant { up_bytes_per_day, down_bytes_per_day, every } if !online.is_zero() => {
                let faster = 86_400.0 / online.as_secs_f64();
                Self::Constant {
                    up_bytes_per_day: up_bytes_per_day * faster,
                    down_bytes_per_day: down_bytes_per_day * faster,
                    every: *every,
                }
            }
            other => other.clone(),
        }
    }

    /// Mean bytes per second of one user, both ways.
    pub fn bytes_per_second(&self) -> f64 {
        match self {
            Self::Idle => 0.0,
            Self::Web { reading, .. } => 36_000.0 / reading.as_secs_f64(),
            Self::Constant { up_bytes_per_day, down_bytes_per_day, .. } => {
                (up_bytes_per_day + down_bytes_per_day) / 86_400.0
            }
            Self::OnOff { on, off, up_bps, down_bps, .. } => {
                let share = on.as_secs_f64() / (on.as_secs_f64() + off.as_secs_f64());
                (up_bps + down_bps) / 8.0 * share
            }
            Self::Trace(recorded) => {
                let bytes: u64 =
                    recorded.visits.iter().map(|(_, exchange)| exchange.up + exchange.down).sum();
                bytes as f64 / recorded.span.as_secs_f64()
            }
        }
    }
}

/// The visits of one user.
#[derive(Clone, Debug)]
pub struct Visits<'t> {
    traffic: &'t Traffic,
    draws: Draws,
    number: u64,
    /// When the next one is due, if that is known by now.
    at: Duration,
    /// On-off: when this time on ends.
    until: Duration,
}

impl Iterator for Visits<'_> {
    type Item = Visit;

    fn next(&mut self) -> Option<Visit> {
        let number = self.number;
        self.number += 1;
        match self.traffic {
            Traffic::Idle => None,
            Traffic::Web { reading, largest_bytes } => Some(self.page(number, *reading, *largest_bytes)),
            Traffic::Constant { up_bytes_per_day, down_bytes_per_day, every } => {
                let per_exchange = every.as_secs_f64() / 86_400.0;
                let at = share(*every, self.draws.bits(0)) + *every * number as u32;
                Some(Visit {
                    at,
                    first: RoundTrip {
                        up: evenly(up_bytes_per_day * per_exchange, number),
                        down: evenly(down_bytes_per_day * per_exchange, number),
                    },
                    then: None,
                })
            }
            Traffic::OnOff { on, off, up_bps, down_bps, every } => {
                while self.at >= self.until {
                    let draw = |mean: &Duration, which| {
                        let seconds =
                            exponential(mean.as_secs_f64(), self.draws.unit(self.number * 4 + which));
                        Duration::from_nanos((seconds * 1e9) as u64)
                    };
                    let (away, there) = (draw(off, 0), draw(on, 1));
                    self.number += 1;
                    self.at = self.at.max(self.until) + away;
                    self.until = self.at + there;
                }
                let at = self.at;
                self.at += *every;
                let bytes = |bps: f64| evenly(bps / 8.0 * every.as_secs_f64(), number);
                Some(Visit {
                    at,
                    first: RoundTrip { up: bytes(*up_bps), down: bytes(*down_bps) },
                    then: None,
                })
            }
            Traffic::Trace(recorded) => {
                let length = recorded.visits.len() as u64;
                let begins = self.draws.below(0, length);
                let place = ((begins + number) % length) as usize;
                let rounds = ((begins + number) / length) as u32;
                let (at, exchange) = recorded.visits[place];
                let from = recorded.visits[begins as usize].0;
                Some(Visit { at: at + recorded.span * rounds - from, first: exchange, then: None })
            }
        }
    }
}

impl Visits<'_> {
    fn page(&mut self, number: u64, reading: Duration, largest_bytes: u64) -> Visit {
        let draw = |which: u64| self.draws.unit(number * 8 + which);
        let pause = lomax(reading.as_secs_f64(), 2.0, draw(0)) * 1e9;
        self.at += Duration::from_nanos((pause as u64).min(1 << 60));
        let request = |unit: f64| if unit < 0.8 { 300 } else { 1100 };
        let reply = |unit: f64| (lomax(2400.0, 1.2, unit) as u64).clamp(1, largest_bytes);
        let first = RoundTrip { up: request(draw(1)), down: reply(draw(2)) };
        let objects = ((lomax(0.8, 1.2, draw(3)) + 0.5) as u64).min(OBJECTS_MAX);
        let inside = self.draws.of(For::Page, number);
        let then = (objects > 0).then(|| {
            let up = (0..objects).map(|i| request(inside.unit(2 * i))).sum();
            let down = (0..objects).map(|i| reply(inside.unit(2 * i + 1))).sum();
            RoundTrip { up, down }
        });
        Visit { at: self.at, first, then }
    }
}

const OBJECTS_MAX: u64 = 200;

/// Whole bytes whose sum over many exchanges is exact.
fn evenly(bytes: f64, number: u64) -> u64 {
    ((number + 1) as f64 * bytes) as u64 - (number as f64 * bytes) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_web_model_has_fc04s_means() {
        let web = Traffic::Web { reading: Duration::from_secs(10), largest_bytes: 10_000_000 };
        let (mut down, mut up, mut pages, mut hours) = (0.0, 0.0, 0.0, 0.0);
        for user in 0..400 {
            let visits: Vec<_> = web
                .visits(&[1; 32], user)
                .take_while(|visit| visit.at < Duration::from_secs(36_000))
                .collect();
            pages += visits.len() as f64;
            hours += 10.0;
            for exchange in visits.iter().flat_map(|visit| [Some(visit.first), visit.then]).flatten() {
                down += exchange.down as f64;
                up += exchange.up as f64;
            }
        }
        // Mean pause 10 s: 360 pages an hour (its variance is infinite, too). A law cut at L has the mean
        // k/(α−1) · (1 − (1 + L/k)^(1−α)): a reply 9.7 kB, a page 1 + 2.7 objects. Requests: 460 bytes on average.
        assert!((pages / hours - 360.0).abs() < 12.0, "{}", pages / hours);
        let per_page = down / pages / 1000.0;
        assert!((33.0..39.0).contains(&per_page), "{per_page} kB a page");
        let objects = up / pages / 460.0;
        assert!((3.5..3.9).contains(&objects), "{objects} objects a page");
    }

    #[test]
    fn constant_traffic_adds_up_to_the_byte() {
        let traffic = Traffic::Constant {
            up_bytes_per_day: 500_000.0,
            down_bytes_per_day: 4_500_000.0,
            every: Duration::from_secs(7),
        };
        let visits: Vec<_> = traffic.visits(&[1; 32], 3).take(12_343).collect();
        let expected = 12_343.0 * 7.0 / 86_400.0;
        let up: u64 = visits.iter().map(|visit| visit.first.up).sum();
        let down: u64 = visits.iter().map(|visit| visit.first.down).sum();
        assert!((up as f64 - 500_000.0 * expected).abs() <= 1.0);
        assert!((down as f64 - 4_500_000.0 * expected).abs() <= 1.0);
        assert!(visits.windows(2).all(|pair| pair[1].at - pair[0].at == Duration::from_secs(7)));
    }

    #[test]
    fn on_and_off_keep_their_share_and_their_rate() {
        let second = Duration::from_secs(1);
        let traffic = Traffic::OnOff {
            on: 20 * second,
            off: 60 * second,
            up_bps: 800.0,
            down_bps: 8_000.0,
            every: second,
        };
        let hour = Duration::from_secs(3600);
        let down: u64 = (0..100)
            .flat_map(|user| traffic.visits(&[2; 32], user).take_while(|visit| visit.at < hour))
            .map(|visit| visit.first.down)
            .sum();
        // A quarter of the time, 1000 bytes a second; a little more, since a time on begins with an exchange.
        let share = down as f64 / (100.0 * 3600.0 * 1000.0);
        assert!((0.24..0.28).contains(&share), "{share}");
    }

    #[test]
    fn a_recording_is_played_over_and_over_and_a_bad_one_refused() {
        let recorded = Recorded::parse("# mine\n0,300,1000\n2.5,10,20\n\n4,1,2\n").unwrap();
        let traffic = Traffic::Trace(std::sync::Arc::new(recorded));
        let visits: Vec<_> = traffic.visits(&[1; 32], 9).take(7).collect();
        assert!(visits.windows(2).all(|pair| pair[0].at <= pair[1].at), "{visits:?}");
        assert_eq!(visits[0].at, Duration::ZERO);
        assert_eq!(visits[6].at, Duration::from_secs(8), "three lines later, four seconds later");
        assert_eq!(
            Recorded::parse("1,2,3\n0.5,1,1\n").unwrap_err(),
            "line 2: comes before the line before it"
        );
        assert_eq!(Recorded::parse("1,2\n").unwrap_err(), "line 1: must be: seconds,bytes up,bytes down");
        assert!(Recorded::parse("").is_err());
    }
}
