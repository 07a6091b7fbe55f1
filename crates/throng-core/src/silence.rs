//! Whether the other side of a link or a circuit lives: it is asked a few times before it is given up.

use core::time::Duration;

use crate::limits::{
    QUESTIONS_MIN, SETUP_RETRY_FIRST, SETUP_RETRY_MAX, SILENCE_DEAD_MAX, SILENCE_PROBE, SILENCE_PROBE_EVERY,
    SILENCE_PROBE_EVERY_MAX,
};
use crate::time::Time;

/// How long round trips take: their mean, and how far they are from it (RFC 6298, section 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TripTime {
    mean_us: u32,
    /// Zero as long as none was measured, but guessed at most.
    deviation_us: u32,
}

impl TripTime {
    /// What a set-up took, which is not only the way: the first that is measured counts instead.
    pub(crate) fn guess(took: Duration) -> Self {
        Self { mean_us: micros(took), deviation_us: 0 }
    }

    /// A question was answered after so long.
    pub(crate) fn note(&mut self, took: Duration) {
        let took = micros(took);
        *self = match self.deviation_us {
            0 => Self { mean_us: took, deviation_us: (took / 2).max(1) },
            deviation => Self {
                mean_us: weighed(self.mean_us, took, 8),
                deviation_us: weighed(deviation, self.mean_us.abs_diff(took), 4).max(1),
            },
        };
    }

    /// Zero as long as nothing is known.
    pub(crate) fn mean(self) -> Duration {
        Duration::from_micros(self.mean_us.into())
    }

    /// What hardly one takes longer than.
    fn limit(self) -> Duration {
        let longest = u64::from(self.mean_us) + 4 * u64::from(self.deviation_us);
        Duration::from_micros(longest).max(2 * self.mean())
    }

    /// How long silence may last: until `dead_after`, but as long as questions may well be under way or wait in queues.
    pub(crate) fn patience(self, dead_after: Duration) -> Patience {
        let limit = self.limit();
        Patience {
            ask_after: SILENCE_PROBE.max(limit.min(SILENCE_DEAD_MAX / 3)),
            dead_after: dead_after.max((3 * limit).min(SILENCE_DEAD_MAX)),
        }
    }
}

fn micros(span: Duration) -> u32 {
    u32::try_from(span.as_micros()).unwrap_or(u32::MAX)
}

/// `before`, moved towards `new` by one part of so many.
fn weighed(before: u32, new: u32, parts: u64) -> u32 {
    ((u64::from(before) * (parts - 1) + u64::from(new)) / parts) as u32
}

/// How long silence may last where an answer is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    /// Until the other side is asked.
    pub(crate) ask_after: Duration,
    /// Until it is dead, if it was asked often enough.
    pub(crate) dead_after: Duration,
}

/// What was heard last, and what waits for an answer.
pub(crate) struct Silence {
    heard: Time,
    /// Since when something of ours waits for an answer.
    awaiting: Option<Time>,
    /// Questions since then. A machine that slept must ask before it judges.
    asked: u32,
}

/// How a client hears the first hop of a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hearing {
    /// It answers: the latest question that it answered was asked then.
    Well(Time),
    /// It does not, and the line works; or, with the only first hop, nobody can say.
    NotFirstHop,
    /// Nothing is heard on the line.
    Nothing,
}

/// What to do about silence.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pulse {
    /// Nothing waits for an answer.
    Calm,
    /// Look again then.
    Look(Time),
    /// Ask.
    Ask,
    /// It does not answer.
    Dead,
}

impl Silence {
    pub(crate) const fn new(now: Time) -> Self {
        Self { heard: now, awaiting: None, asked: 0 }
    }

    /// Something came.
    pub(crate) fn hear(&mut self, now: Time) {
        *self = Self::new(now);
    }

    /// When something came last.
    pub(crate) const fn heard(&self) -> Time {
        self.heard
    }

    /// Questions since then.
    pub(crate) const fn questions(&self) -> u32 {
        self.asked
    }

    /// Something was sent that will be answered. When to look, if nothing waited for an answer before.
    pub(crate) fn speak(&mut self, patience: Patience, now: Time) -> Option<Time> {
        let first = self.awaiting.is_none();
        self.awaiting.get_or_insert(now);
        first.then(|| now + patience.ask_after)
    }

    /// A question was sent. When to look again.
    pub(crate) fn ask(&mut self, patience: Patience, now: Time) -> Time {
        self.asked += 1;
        let next =
            now + (SILENCE_PROBE_EVERY * 2u32.pow((self.asked - 1).min(8))).min(SILENCE_PROBE_EVERY_MAX);
        match self.awaiting.map(|since| since + patience.dead_after) {
            Some(dead_at) if dead_at > now && self.asked >= QUESTIONS_MIN => next.min(dead_at),
            _ => next,
        }
    }

    /// Since when an answer is due.
    pub(crate) const fn since(&self) -> Option<Time> {
        self.awaiting
    }

    /// What was silent until now says nothing about the other side: if an answer is due, it is from now on.
    pub(crate) fn excuse(&mut self, now: Time) {
        self.asked = 0;
        self.awaiting = self.awaiting.map(|_| now);
    }

    /// Whether an answer is due for longer than usual.
    pub(crate) fn is_long(&self, patience: Patience, now: Time) -> bool {
        self.awaiting.is_some_and(|since| now - since >= patience.ask_after)
    }

    /// Whether the question after [`Patience::ask_after`] has been without an answer for longer than a round trip takes.
    pub(crate) fn is_unanswered(&self, patience: Patience, trip: TripTime, now: Time) -> bool {
        let waits = |since| now - since >= patience.ask_after + SILENCE_PROBE_EVERY.max(trip.mean() * 3 / 2);
        self.asked > 0 && self.awaiting.is_some_and(waits)
    }

    pub(crate) fn pulse(&self, patience: Patience, now: Time) -> Pulse {
        let Some(since) = self.awaiting else { return Pulse::Calm };
        match now - since {
            silence if silence >= patience.dead_after && self.asked >= QUESTIONS_MIN => Pulse::Dead,
            silence if silence >= patience.ask_after => Pulse::Ask,
            _ => Pulse::Look(since + patience.ask_after),
        }
    }
}

/// How long to wait for an answer to the `sends`-th message of a set-up.
pub(crate) fn retry_after(sends: u32) -> Duration {
    (SETUP_RETRY_FIRST * 3u32.pow(sends.saturating_sub(1).min(8)) / 2u32.pow(sends.saturating_sub(1).min(8)))
        .min(SETUP_RETRY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const PATIENCE: Patience =
        Patience { ask_after: Duration::from_millis(400), dead_after: Duration::from_millis(1200) };

    #[test]
    fn whoever_wakes_late_asks_before_it_judges() {
        let mut silence = Silence::new(Time::ZERO);
        assert_eq!(silence.speak(PATIENCE, Time::ZERO), Some(Time::ZERO + PATIENCE.ask_after));
        let mut now = Time::from_secs(5);
        for _ in 0..QUESTIONS_MIN {
            assert_eq!(silence.pulse(PATIENCE, now), Pulse::Ask);
            now = silence.ask(PATIENCE, now);
        }
        assert_eq!(silence.pulse(PATIENCE, now), Pulse::Dead);
        silence.hear(now);
        assert_eq!(silence.pulse(PATIENCE, now), Pulse::Calm);
    }

    #[test]
    fn patience_grows_with_round_trips_and_shrinks_again() {
        let ms = Duration::from_millis;
        let dead_after = |trip: TripTime| trip.patience(ms(1500)).dead_after;
        let mut trip = TripTime::default();
        assert_eq!(trip.patience(ms(1500)), Patience { ask_after: ms(400), dead_after: ms(1500) });
        trip = TripTime::guess(ms(2000));
        assert_eq!(dead_after(trip), ms(12_000));
        (0..20).for_each(|_| trip.note(ms(50)));
        assert_eq!(dead_after(trip), ms(1500), "the set-up was slow, not the way");
        trip.note(ms(1050));
        assert!(dead_after(trip) > ms(2300), "a queue of a second came to be: {trip:?}");
        (0..20).for_each(|_| trip.note(ms(1050)));
        assert!(trip.patience(ms(1500)).ask_after >= ms(1050), "{trip:?}");
        (0..60).for_each(|_| trip.note(ms(50)));
        assert_eq!(dead_after(trip), ms(1500), "and went: {trip:?}");
        (0..20).for_each(|_| trip.note(Duration::from_secs(9000)));
        assert_eq!(dead_after(trip), SILENCE_DEAD_MAX);
    }

    #[test]
    fn questions_are_asked_less_and_less_often_and_death_is_noticed_in_time() {
        let mut silence = Silence::new(Time::ZERO);
        let mut now = silence.speak(PATIENCE, Time::ZERO).expect("the first");
        let mut asked = Vec::new();
        while silence.pulse(PATIENCE, now) == Pulse::Ask {
            asked.push((now - Time::ZERO).as_millis());
            now = silence.ask(PATIENCE, now);
        }
        assert_eq!((asked, now), (vec![400, 600, 1000], Time::ZERO + PATIENCE.dead_after));
    }

    #[test]
    fn who_is_excused_has_all_its_time_again() {
        let mut silence = Silence::new(Time::ZERO);
        silence.excuse(Time::from_secs(1));
        assert_eq!(silence.since(), None, "nothing was due");
        silence.speak(PATIENCE, Time::from_secs(1));
        (0..9).for_each(|_| _ = silence.ask(PATIENCE, Time::from_secs(2)));
        silence.excuse(Time::from_secs(8));
        let now = Time::from_secs(8) + PATIENCE.dead_after;
        assert_eq!(silence.pulse(PATIENCE, now), Pulse::Ask, "it was not asked since");
    }
}
