//! A mix that holds cells: what goes in comes out, once, and when its strategy says; and no circuit holds more than it may.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use super::choices::Choices;
use crate::departure::{Departure, Source};
use crate::id::NeighbourKey;
use crate::mixing::{Company, MinCompany, Minute, Mixer, Mixing, Ticket};
use crate::node::mixing::held::HeldCells;
use crate::rng::{Purpose, Rng, Seed};
use crate::time::Time;
use crate::wire::cell::{CellHeader, Space};

const STRATEGIES: [&str; 8] = [
    "none",
    "batch=20ms",
    "pool=1:10:200ms",
    "pool=20ms:7:150ms",
    "slices=50ms",
    "exponential=15ms",
    "uniform=1500us",
    "pool=3:2:10ms",
];
const COMPANIES: [&str; 4] = ["none", "fill=3", "hold=3:20ms", "hold=60:1ms"];

/// Long enough for every strategy to let go of all that it does not keep in a pool.
const LONG: Duration = Duration::from_secs(30);

struct Mix {
    mixer: Mixer,
    rng: Rng,
    now: Time,
    inside: BTreeSet<Ticket>,
    /// Whether dummies lie among the cells.
    has_dummies: bool,
    next: u32,
}

/// Cells come, time passes, another strategy is in force.
pub fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let (mixing, company) = read(&mut choices);
    let now = Time::from_secs(5);
    let mut mix = Mix {
        mixer: Mixer::new(mixing, company, now),
        rng: Seed::from_bytes([3; 32]).rng(Purpose::Mixing, 0),
        now,
        inside: BTreeSet::new(),
        has_dummies: matches!(mixing, Mixing::Pool(_)),
        next: 0,
    };
    let mut held = Cells::default();
    while !choices.is_empty() {
        match choices.below(6) {
            0 | 1 => mix.take(&mut choices),
            2 => mix.pass(Duration::from_micros(choices.u16().into())),
            3 => {
                mix.now = mix.now.max(mix.mixer.wake().min(mix.now + LONG));
                mix.pass(Duration::ZERO);
            }
            4 if choices.rarely(8) => {
                let (mixing, company) = read(&mut choices);
                mix.mixer.change(mixing, company, mix.now);
                // Those that wait for company stay.
                mix.has_dummies |= matches!(mixing, Mixing::Pool(_));
            }
            _ => held.happen(&mut choices),
        }
        let is_there =
            mix.mixer.len() == mix.inside.len() || (mix.has_dummies && mix.mixer.len() > mix.inside.len());
        assert!(is_there, "what went in and did not come out is there");
    }
    mix.mixer.change(Mixing::NONE, MinCompany::default(), mix.now);
    mix.pass(LONG);
    assert!(mix.inside.is_empty(), "nothing is left behind");
}

fn read(choices: &mut Choices<'_>) -> (Mixing, MinCompany) {
    let (mixing, company) = (choices.below(STRATEGIES.len()), choices.below(COMPANIES.len()));
    let mixing = STRATEGIES[mixing].parse().expect("the list is right");
    (mixing, COMPANIES[company].parse().expect("and so is this one"))
}

impl Mix {
    fn take(&mut self, choices: &mut Choices<'_>) {
        let source = match choices.below(4) {
            0 => Source::Link,
            _ => Source::Circuit { number: choices.below(6) as u64, is_backward: choices.coin() },
        };
        for _ in 0..=choices.below(12) {
            let ticket = Ticket(self.next);
            self.next += 1;
            self.inside.insert(ticket);
            self.mixer.admit(ticket, source, choices.below(9), self.now, &mut self.rng);
        }
    }

    /// Time passes, and whatever has its time leaves.
    fn pass(&mut self, span: Duration) {
        self.now = self.now + span;
        for _ in 0..2 {
            let mut out = Vec::new();
            self.mixer.release(self.now, &mut self.rng, &mut out);
            for ticket in out {
                assert!(ticket == Ticket::DUMMY || self.inside.remove(&ticket), "{ticket:?} comes out twice");
            }
        }
    }
}

/// The cells themselves, beside a count of each circuit's.
#[derive(Default)]
struct Cells {
    held: HeldCells,
    out: Vec<(Ticket, u32, u8)>,
    minute: Option<Minute>,
    now: Time,
}

impl Cells {
    fn happen(&mut self, choices: &mut Choices<'_>) {
        let circuit = choices.below(5) as u32;
        for _ in 0..=choices.below(16) {
            let mark = choices.u8();
            let header = CellHeader { circuit, space: Space::Stream, number: 0 };
            let ticket = self.held.hold(Departure::soon(NeighbourKey::default(), header), &[mark; 4]);
            let ticket = ticket.filter(|ticket| !self.out.iter().any(|(other, ..)| other == ticket));
            self.out.push((
                ticket.expect("few are held: there is room, and a place of its own"),
                circuit,
                mark,
            ));
        }
        self.now = self.now + Duration::from_millis(choices.u16().into());
        let minute = self.minute.get_or_insert_with(Minute::new);
        minute.note(choices.below(5), self.held.circuits(), self.now);
        let Company { set, bits, .. } = minute.company(self.now);
        assert!(set >= 0.99 && bits >= 0.0 && set.is_finite(), "a cell has its own circuit at least: {set}");
        let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
        self.out.iter().filter(|(_, circuit, _)| *circuit != 0).for_each(|(_, circuit, _)| {
            *counts.entry(*circuit).or_default() += 1;
        });
        assert_eq!(self.held.circuits().collect::<Vec<_>>(), counts.into_values().collect::<Vec<_>>());
        assert_eq!(self.held.take_dropped(), 0, "few are held: none has to go");
        while self.out.len() > 100 || (!self.out.is_empty() && choices.rarely(3)) {
            let (ticket, circuit, mark) = self.out.swap_remove(choices.below(self.out.len()));
            let (departure, body) = self.held.redeem(ticket).expect("it was not dropped");
            assert_eq!((departure.header.circuit, &body[..]), (circuit, &[mark; 4][..]));
            self.held.reuse(body);
        }
    }
}
