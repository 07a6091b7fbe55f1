//! The slots of a link that has something to say, beside those of one that has nothing: they must be the same. And the clock of
//! all that speaks in slots.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use core::time::Duration;

use super::choices::Choices;
use crate::cover::{Budget, Content, LinkSlots, LinkTurn, Pace, Rate, SlotClock, Speaker, Timing};
use crate::departure::Departure;
use crate::id::NeighbourKey;
use crate::limits::{SLOT_GUARD, SLOT_LATE_MAX, SLOT_QUEUE_CELLS_MAX};
use crate::rng::{Purpose, Rng, Seed};
use crate::time::Time;
use crate::wire::Geometry;
use crate::wire::cell::{CellHeader, Space};

const BEGIN: Time = Time::from_secs(3000);

/// Cells for slots, slots, and whatever changes them.
pub fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let law = law(&mut choices);
    let decides = choices.coin();
    let [mut busy, mut idle] = [(); 2].map(|()| Link::new(law, decides));
    let mut clock = Clock::new();
    while !choices.is_empty() {
        match choices.below(8) {
            0 | 1 => busy.push(&mut choices),
            2 => {
                let late = late(&mut choices);
                let [busy, idle] = [busy.turn(late), idle.turn(late)];
                // Which slots a mimic has does follow what it carries: once a minute, by a tenth.
                assert!(
                    matches!(law, LinkSlots::Mimics(_)) || busy == idle,
                    "the wire does not know the load"
                );
            }
            3 => {
                let gap = Duration::from_nanos(if choices.coin() { choices.u64() } else { 20_000_000 });
                [&mut busy, &mut idle].into_iter().for_each(|link| link.pace.hear(gap));
            }
            4 if choices.rarely(4) => {
                let decides = choices.coin();
                [&mut busy, &mut idle].into_iter().for_each(|link| link.pace.decide(decides));
            }
            5 => {
                let gap = (!choices.rarely(4)).then(|| rate(&mut choices).gap(Geometry::DEFAULT));
                let tick = busy.now.max(idle.now);
                [&mut busy, &mut idle].into_iter().for_each(|link| link.pace.retune(gap, tick));
            }
            _ => clock.happen(&mut choices),
        }
    }
    busy.drain();
}

fn rate(choices: &mut Choices<'_>) -> Rate {
    Rate::bps(8_000 << choices.below(12)).expect("within its bounds")
}

fn law(choices: &mut Choices<'_>) -> LinkSlots {
    let rate = rate(choices);
    match choices.below(3) {
        0 => LinkSlots::Constant(rate),
        1 => LinkSlots::Mimics(rate),
        _ => LinkSlots::DemandDriven { least: rate, most: rate },
    }
}

/// How late a node looks at its slot.
fn late(choices: &mut Choices<'_>) -> Duration {
    match choices.below(16) {
        0 => Duration::from_millis(choices.u8().into()),
        1 => Duration::from_secs(choices.u8().into()),
        _ => Duration::from_nanos(choices.u8().into()),
    }
}

struct Link {
    pace: Pace,
    now: Time,
    /// What waits, of each circuit, in order.
    waiting: BTreeMap<u32, VecDeque<u8>>,
}

impl Link {
    fn new(law: LinkSlots, decides: bool) -> Self {
        let clock = SlotClock::new(Seed::from_bytes([5; 32]), Geometry::DEFAULT, None, BEGIN);
        let chance = clock.timing_of(Timing::Link(([10, 0, 0, 1], 9000).into()));
        let pace = Pace::new(law, decides, Geometry::DEFAULT, chance, clock.room(), BEGIN);
        Self { pace, now: BEGIN, waiting: BTreeMap::new() }
    }

    fn push(&mut self, choices: &mut Choices<'_>) {
        let (circuit, mark) = (choices.below(4) as u32, choices.u8());
        for _ in 0..=choices.below(3) * choices.below(64) {
            let header = CellHeader { circuit, space: Space::Stream, number: 0 };
            let cell = (Departure::soon(NeighbourKey::default(), header), Box::from([mark].as_slice()));
            let waiting = self.waiting.entry(circuit).or_default();
            match self.pace.push(cell) {
                Ok(None) => waiting.push_back(mark),
                Ok(Some(_)) => unreachable!("four circuits do not fill a link"),
                Err(_) => {
                    assert!(waiting.len() >= crate::limits::SLOT_QUEUE_CELLS_MIN, "there is room for a few")
                }
            }
            assert!(waiting.len() <= SLOT_QUEUE_CELLS_MAX, "and not for too many");
        }
    }

    /// The next slot, and when what is in it leaves; nothing if there is none.
    fn turn(&mut self, late: Duration) -> Option<(u64, Time)> {
        if self.pace.due() == Time::NEVER {
            return None;
        }
        self.now = self.now.max(self.pace.due() + late);
        let missed = self.pace.skip(self.now);
        let due = self.pace.due();
        assert!(due + SLOT_LATE_MAX >= self.now, "a slot that is too long ago is passed over");
        let LinkTurn { at, content } = self.pace.turn(self.now);
        assert_eq!(at, due, "a datagram leaves at its slot");
        assert!(self.pace.due() >= due, "slots go forward");
        if let Content::Cell((departure, body)) = content {
            let waiting = self.waiting.get_mut(&departure.header.circuit).expect("it was pushed");
            assert_eq!(
                waiting.pop_front().as_slice(),
                &body[..],
                "each circuit's cells leave in their order"
            );
        }
        Some((missed, at))
    }

    /// Whatever waits leaves, as long as there are slots.
    fn drain(&mut self) {
        for _ in 0..8 * SLOT_QUEUE_CELLS_MAX * 4 {
            if self.waiting.values().all(VecDeque::is_empty) || self.turn(Duration::ZERO).is_none() {
                return;
            }
        }
        panic!("what waits for slots does not leave");
    }
}

/// The clock, beside a list of who is due when.
struct Clock {
    clock: SlotClock,
    model: BTreeSet<(Time, Speaker)>,
    now: Time,
    paid: u64,
    day: u64,
    rng: Rng,
}

const DATAGRAMS_A_DAY: u64 = 5;

impl Clock {
    fn new() -> Self {
        let bytes = DATAGRAMS_A_DAY * (Geometry::DEFAULT.datagram() as u64 + 28);
        let budget = Some(Budget { bytes_per_day: Some(bytes) });
        let clock = SlotClock::new(Seed::from_bytes([5; 32]), Geometry::DEFAULT, budget, BEGIN);
        let model = clock.entries().collect();
        let rng = Seed::from_bytes([6; 32]).rng(Purpose::Cover, 0);
        Self { clock, model, now: BEGIN, paid: 0, day: 0, rng }
    }

    fn happen(&mut self, choices: &mut Choices<'_>) {
        let speaker = match choices.below(4) {
            0 => Speaker::Tick,
            1 => Speaker::Guard(NeighbourKey::new(choices.below(3) as u32, 0)),
            _ => Speaker::Link(NeighbourKey::new(choices.below(3) as u32, 0)),
        };
        let at = self.now + Duration::from_micros(choices.u16().into());
        match choices.below(6) {
            0 | 1 => {
                self.clock.schedule(at, speaker);
                self.model.insert((at, speaker));
            }
            2 => {
                let (at, speaker) =
                    self.model.first().copied().filter(|_| choices.coin()).unwrap_or((at, speaker));
                self.clock.unschedule(at, speaker);
                self.model.remove(&(at, speaker));
            }
            3 => {
                self.now = self.now + Duration::from_secs(choices.u16().into());
                self.pay();
            }
            4 => self.pay(),
            _ => self.pop(at),
        }
        let first = self.model.first().map_or(Time::NEVER, |(at, _)| *at);
        let wake = if first == Time::NEVER {
            first
        } else {
            Time::from_nanos((first - Time::ZERO - SLOT_GUARD).as_nanos() as u64)
        };
        assert_eq!(self.clock.wake(), wake, "it wakes a guard time before the first slot");
        assert!((0.0..1.0).contains(&self.clock.draw_renewal().unwrap_or(self.rng.unit())));
    }

    fn pop(&mut self, now: Time) {
        self.now = now;
        while let Some(speaker) = self.clock.pop(now) {
            let (at, first) = self.model.pop_first().expect("only who is in it comes out");
            assert!(first == speaker && at <= now + SLOT_GUARD, "in order, and not before it is due");
        }
        assert!(self.model.first().is_none_or(|(at, _)| *at > now + SLOT_GUARD), "nobody is left behind");
    }

    /// A budget is for a day, and is not exceeded by those who ask before they spend.
    fn pay(&mut self) {
        let day = self.now.as_secs() / 86_400;
        if day != self.day {
            (self.day, self.paid) = (day, 0);
        }
        assert_eq!(self.clock.may_spend(self.now), self.paid < DATAGRAMS_A_DAY, "{} paid", self.paid);
        if self.paid < DATAGRAMS_A_DAY {
            self.clock.pay(self.now);
            self.paid += 1;
        }
    }
}
