//! Whether the other side of a link or a circuit lives: it is asked a few times before it is given up.

use core::time::Duration;

use crate::limits::{QUESTIONS_MIN, SETUP_RETRY_FIRST, SETUP_RETRY_MAX, SILENCE_PROBE_EVERY};
use crate::time::Time;

/// How long silence may last where an answer is due.
#[derive(Clone, Copy, Debug)]
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
    pub(crate) fn ask(&mut self, now: Time) -> Time {
        self.asked += 1;
        now + SILENCE_PROBE_EVERY
    }

    /// Whether an answer is due for longer than usual.
    pub(crate) fn is_long(&self, patience: Patience, now: Time) -> bool {
        self.awaiting.is_some_and(|since| now - since >= patience.ask_after)
    }

    /// Whether the question after [`Patience::ask_after`] has been without an answer for this long.
    pub(crate) fn is_unanswered(&self, patience: Patience, since_question: Duration, now: Time) -> bool {
        let waits = |since| now - since >= patience.ask_after + since_question;
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

    const PATIENCE: Patience =
        Patience { ask_after: Duration::from_millis(400), dead_after: Duration::from_millis(1200) };

    #[test]
    fn whoever_wakes_late_asks_before_it_judges() {
        let mut silence = Silence::new(Time::ZERO);
        assert_eq!(silence.speak(PATIENCE, Time::ZERO), Some(Time::ZERO + PATIENCE.ask_after));
        let mut now = Time::from_secs(5);
        for _ in 0..QUESTIONS_MIN {
            assert_eq!(silence.pulse(PATIENCE, now), Pulse::Ask);
            now = silence.ask(now);
        }
        assert_eq!(silence.pulse(PATIENCE, now), Pulse::Dead);
        silence.hear(now);
        assert_eq!(silence.pulse(PATIENCE, now), Pulse::Calm);
    }
}
