//! When slots are. Nothing here is told what there is to send.

use alloc::sync::Arc;
use core::time::Duration;

use crate::limits::{SLOT_GRID, SLOT_GUARD, SLOT_LATE_MAX};
use crate::rng::{Purpose, Rng, Seed};
use crate::time::Time;

/// What a slot costs beside waiting for it.
pub(super) const SLOT_OVERHEAD: Duration =
    Duration::from_nanos((SLOT_GUARD.as_nanos() + 2 * SLOT_GRID.as_nanos()) as u64);

/// A law of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Schedule {
    /// Every `gap`, counted from the beginning of time and a phase of its own: never from "now".
    Constant { gap: u64, phase: u64 },
    /// At exponential intervals.
    Poisson { mean: u64 },
    /// Every `gap` after the last one: for a gap that changes.
    Following { gap: u64 },
}

impl Schedule {
    /// A constant rate, with a phase drawn once.
    pub(crate) fn constant(gap: Duration, chance: &mut Rng) -> Self {
        let gap = (gap.as_nanos() as u64).max(1);
        Self::Constant { gap, phase: chance.below(gap as usize) as u64 }
    }

    pub(crate) fn poisson(mean: Duration) -> Self {
        Self::Poisson { mean: (mean.as_nanos() as u64).max(1) }
    }

    /// The first slot after another one.
    pub(crate) fn next(&self, slot: Time, chance: &mut Rng) -> Time {
        match *self {
            Self::Constant { gap, phase } => {
                let passed = (slot.as_nanos() + gap - phase) / gap;
                Time::from_nanos(passed * gap + phase)
            }
            Self::Poisson { mean } => {
                slot + Duration::from_nanos((mean as f64 * chance.exponential()) as u64 + 1)
            }
            Self::Following { gap } => slot + Duration::from_nanos(gap),
        }
    }

    /// The mean from one slot to the next.
    pub(crate) const fn gap(&self) -> Duration {
        match *self {
            Self::Constant { gap, .. } | Self::Following { gap } => Duration::from_nanos(gap),
            Self::Poisson { mean } => Duration::from_nanos(mean),
        }
    }
}

/// When datagrams of slots leave: at moments that all slots of a node share, so that many links share a wake-up and those of
/// a fast one a system call.
///
/// There is one in each millisecond, at a secret place in it. Timers and processors are late by some microseconds more or
/// less with what else there is to do; beside the places these are lost.
#[derive(Clone)]
pub(crate) struct Grid(Arc<Seed>);

impl Grid {
    pub(crate) fn new(seed: Seed) -> Self {
        Self(Arc::new(seed))
    }

    /// The first moment at or after a slot, or the one after it.
    pub(crate) fn leaves(&self, slot: Time) -> Time {
        let grid = SLOT_GRID.as_nanos() as u64;
        let number = slot.as_nanos().div_ceil(grid);
        Time::from_nanos(number * grid + self.0.number(Purpose::Cover, number) % grid)
    }
}

/// The slots of one speaker: which is the next, and when what is in it leaves.
pub(crate) struct Slots {
    /// None: there are no slots now.
    schedule: Option<Schedule>,
    chance: Rng,
    grid: Grid,
    slot: Time,
    leaves: Time,
}

impl Slots {
    /// The first slot after `now`, and those behind it.
    pub(crate) fn new(schedule: Option<Schedule>, (chance, grid): (Rng, Grid), now: Time) -> Self {
        let mut slots = Self { schedule, chance, grid, slot: now, leaves: Time::NEVER };
        slots.advance();
        slots
    }

    /// When what is in the next slot leaves.
    pub(crate) fn due(&self) -> Time {
        self.leaves
    }

    /// The next slot.
    pub(crate) fn slot(&self) -> Time {
        self.slot
    }

    /// The law that they follow.
    pub(crate) fn schedule(&self) -> Option<Schedule> {
        self.schedule
    }

    /// The mean from one to the next.
    pub(crate) fn gap(&self) -> Duration {
        self.schedule.map_or(Duration::ZERO, |schedule| schedule.gap())
    }

    /// A share that the stream of these slots gives.
    pub(crate) fn draw(&mut self) -> f64 {
        self.chance.unit()
    }

    /// From the slot after this one on they follow another law.
    pub(crate) fn follow(&mut self, schedule: Schedule) {
        self.schedule = Some(schedule);
    }

    /// They follow another law, or there are none; the next one is the first after `before`.
    pub(crate) fn begin_again(&mut self, schedule: Option<Schedule>, before: Time) {
        (self.schedule, self.slot) = (schedule, before);
        self.advance();
    }

    /// Goes to the slot after this one.
    pub(crate) fn advance(&mut self) {
        self.advance_from(self.slot);
    }

    /// Goes to the first slot after `slot`.
    pub(crate) fn advance_from(&mut self, slot: Time) {
        let next = self.schedule.map_or(Time::NEVER, |schedule| schedule.next(slot, &mut self.chance));
        self.place(next);
    }

    /// Has the next slot there, wherever the schedule would have it.
    pub(crate) fn place(&mut self, slot: Time) {
        self.slot = slot;
        self.leaves = if slot == Time::NEVER { Time::NEVER } else { self.grid.leaves(slot) };
    }

    /// Passes over slots that are too long ago at `now`: they stay empty. How many.
    pub(crate) fn skip(&mut self, now: Time) -> u64 {
        let until = Time::from_nanos(now.as_nanos().saturating_sub(SLOT_LATE_MAX.as_nanos() as u64));
        let mut missed = 0;
        if self.due() != Time::NEVER && self.slot + Duration::from_secs(1) < until {
            // A machine that slept: there is no point in counting one by one.
            let gap = self.gap().as_nanos().max(1);
            missed = (((until - self.slot).as_nanos() / gap) as u64).max(1);
            match self.schedule {
                Some(Schedule::Following { gap }) => {
                    self.advance_from(self.slot + Duration::from_nanos(gap.saturating_mul(missed - 1)));
                }
                _ => self.advance_from(until),
            }
        }
        while self.due() < until {
            self.advance();
            missed += 1;
        }
        missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cover::Rate;
    use crate::wire::Geometry;

    fn rng() -> Rng {
        Seed::from_bytes([6; 32]).rng(Purpose::Cover, 0)
    }

    #[test]
    fn rates_from_8_kbps_to_100_mbps_are_exact_over_a_minute() {
        let mut rng = rng();
        for bps in [8_000, 64_000, 1_000_000, 100_000_000] {
            let gap = Rate::bps(bps).unwrap().gap(Geometry::DEFAULT);
            let schedule = Schedule::constant(gap, &mut rng);
            let begin = Time::from_secs(1_700_000_000);
            let (mut slot, mut count) = (begin, 0u64);
            loop {
                let next = schedule.next(slot, &mut rng);
                assert!(next > slot);
                if next > begin + Duration::from_secs(60) {
                    break;
                }
                (slot, count) = (next, count + 1);
            }
            let sent = count as f64 * 1308.0 * 8.0 / 60.0;
            // A slot more or less; at 8 kb/s that is 1.3 s.
            let error = (sent - bps as f64).abs() - 1308.0 * 8.0 / 60.0;
            assert!(error < bps as f64 * 0.005, "{bps}: {sent}");
        }
    }

    #[test]
    fn moments_come_once_in_a_millisecond_at_places_that_another_seed_does_not_share() {
        let grid = |seed: u8| Grid::new(Seed::from_bytes([seed; 32]));
        let (ours, theirs) = (grid(1), grid(2));
        let (mut before, mut same, mut places) = (Time::ZERO, 0, 0u64);
        for ms in 1..=2000u64 {
            let slot = Time::from_nanos(ms * 1_000_000 - 400_000);
            let leaves = ours.leaves(slot);
            assert!(leaves > before && leaves >= slot && leaves < slot + 2 * SLOT_GRID);
            assert_eq!(
                leaves,
                ours.leaves(slot + Duration::from_nanos(300_000)),
                "slots of a millisecond share it"
            );
            same += usize::from(leaves == theirs.leaves(slot));
            places += leaves.as_nanos() % 1_000_000;
            before = leaves;
        }
        assert!(same < 3 && (places / 2000).abs_diff(500_000) < 30_000, "{same} {places}");
    }

    #[test]
    fn a_late_question_does_not_move_the_slots() {
        let mut rng = rng();
        let schedule = Schedule::constant(Duration::from_millis(7), &mut rng);
        let first = schedule.next(Time::from_secs(5), &mut rng);
        let later = schedule.next(first + Duration::from_millis(100), &mut rng);
        assert_eq!((later - first).as_nanos() % 7_000_000, 0);
    }

    #[test]
    fn poisson_slots_have_the_mean_and_the_spread_that_are_stated() {
        let mut rng = rng();
        let schedule = Schedule::poisson(Duration::from_millis(10));
        let (mut slot, mut squares) = (Time::ZERO, 0.0);
        for _ in 0..40_000 {
            let next = schedule.next(slot, &mut rng);
            squares += (next - slot).as_secs_f64().powi(2);
            slot = next;
        }
        let mean = slot.as_nanos() as f64 / 1e9 / 40_000.0;
        let deviation = (squares / 40_000.0 - mean * mean).sqrt();
        assert!((mean - 0.01).abs() < 0.0002 && (deviation - 0.01).abs() < 0.0003, "{mean} {deviation}");
    }

    /// Pauses of all lengths, under all laws: what comes next lies on the schedule, and is not used if it is too late.
    #[test]
    fn after_a_pause_slots_go_on_where_the_schedule_has_them() {
        let gap = 20_000_000;
        let laws = [
            Schedule::Constant { gap, phase: 7_000_000 },
            Schedule::Following { gap },
            Schedule::Poisson { mean: gap },
        ];
        let begin = Time::from_secs(1000);
        for (law, pause_ms) in
            laws.iter().flat_map(|law| [5, 300, 1500, 5000, 3_600_000].map(|ms| (*law, ms)))
        {
            let grid = Grid::new(Seed::from_bytes([3; 32]));
            let mut slots = Slots::new(Some(law), (rng(), grid), begin);
            let first = slots.slot();
            let now = slots.due() + Duration::from_millis(pause_ms);
            let missed = slots.skip(now);
            assert!(slots.due() + SLOT_LATE_MAX >= now, "{law:?} {pause_ms}");
            assert_eq!(missed > 0, pause_ms > 10, "{law:?} {pause_ms}: {missed}");
            if !matches!(law, Schedule::Poisson { .. }) {
                assert_eq!((slots.slot() - first).as_nanos() % u128::from(gap), 0, "{law:?} {pause_ms}");
                let passed = (slots.slot() - first).as_nanos() as u64 / gap;
                assert!(passed.abs_diff(missed) <= 1, "{law:?} {pause_ms}: {missed} of {passed}");
            }
        }
    }
}
