//! The room of the mixing strategy: the cells that it holds, and what it observed of their company.

pub(crate) mod held;

use alloc::boxed::Box;
use alloc::vec::Vec;

use self::held::HeldCells;
use super::context::Cx;
use crate::departure::{Departure, Source};
use crate::design::Design;
use crate::mixing::{Company, MinCompany, Minute, Mixer, Mixing, Ticket};
use crate::rng::Rng;
use crate::time::Time;

/// What a node holds back; nothing where cells leave at once.
#[derive(Default)]
pub(super) struct Hold(Option<Box<Waiting>>);

/// A strategy at work, and the cells that it holds.
struct Waiting {
    mixer: Mixer,
    held: HeldCells,
    /// Those that leave now, the last one first.
    released: Vec<Ticket>,
    /// For order and delay.
    chance: Rng,
    minute: Minute,
}

/// What a strategy lets go.
pub(super) enum Released {
    /// A cell.
    Cell(Departure, Box<[u8]>),
    /// A filler in place of one.
    Filler,
}

impl Hold {
    pub(super) fn new(design: &Design, chance: Rng, now: Time) -> Self {
        let Design { mixing, company, .. } = *design;
        if (mixing, company) == (Mixing::NONE, MinCompany::Off) {
            return Self(None);
        }
        let (mixer, held) = (Mixer::new(mixing, company, now), HeldCells::default());
        Self(Some(Box::new(Waiting { mixer, held, released: Vec::new(), chance, minute: Minute::new() })))
    }

    /// Works by the strategy of the design in force.
    pub(super) fn change(&mut self, cx: &mut Cx<'_>) {
        match &mut self.0 {
            Some(waiting) => waiting.mixer.change(cx.design.mixing, cx.design.company, cx.now),
            None => *self = Self::new(cx.design, cx.chance.timing.fork(), cx.now),
        }
    }

    /// Whether cells are held at all, and do not leave at once.
    #[inline]
    pub(super) fn is_at_work(&self) -> bool {
        self.0.is_some()
    }

    /// Takes a cell in, or drops it where it holds too many. `circuits`: how many pass the node.
    pub(super) fn take(
        &mut self,
        source: Source,
        departure: Departure,
        body: &[u8],
        circuits: usize,
        cx: &mut Cx<'_>,
    ) {
        let Some(waiting) = &mut self.0 else { return };
        if let Some(ticket) = waiting.held.hold(departure, body) {
            waiting.mixer.admit(ticket, source, circuits, cx.now, &mut waiting.chance);
        }
        cx.counts.cells_dropped += waiting.held.take_dropped();
    }

    /// Lets go of what has its time. Whether there is any.
    pub(super) fn release(&mut self, now: Time) -> bool {
        let Some(waiting) = self.0.as_mut().filter(|waiting| waiting.mixer.wake() <= now) else {
            return false;
        };
        let Waiting { mixer, held, released, chance, minute } = &mut **waiting;
        mixer.release(now, chance, released);
        minute.note(released.iter().filter(|ticket| **ticket != Ticket::DUMMY).count(), held.circuits(), now);
        released.reverse();
        true
    }

    /// The next one of those.
    pub(super) fn next(&mut self, now: Time) -> Option<Released> {
        let Waiting { held, released, .. } = &mut **self.0.as_mut()?;
        loop {
            let ticket = released.pop()?;
            if ticket == Ticket::DUMMY {
                return Some(Released::Filler);
            }
            if let Some((mut departure, body)) = held.redeem(ticket) {
                if departure.at <= now {
                    departure.at = Time::ZERO; // past its circuit's slot, it leaves when the strategy says
                }
                return Some(Released::Cell(departure, body));
            }
        }
    }

    /// Keeps a cell's memory.
    pub(super) fn reuse(&mut self, body: Box<[u8]>) {
        if let Some(waiting) = &mut self.0 {
            waiting.held.reuse(body);
        }
    }

    /// The strategy's stream of chance, if it is at work.
    pub(super) fn chance(&mut self) -> Option<&mut Rng> {
        self.0.as_mut().map(|waiting| &mut waiting.chance)
    }

    /// When it has something to let go.
    #[inline]
    pub(super) fn wake(&self) -> Time {
        self.0.as_ref().map_or(Time::NEVER, |waiting| waiting.mixer.wake())
    }

    /// Cells that had less company than the design asks for.
    pub(super) fn lonely_cells(&self) -> u64 {
        self.0.as_ref().map_or(0, |waiting| waiting.mixer.lonely_cells())
    }

    /// What it observed within the last minute; where cells leave at once, each is alone.
    pub(super) fn company(&self, now: Time) -> Company {
        let alone = Company { set: 1.0, ..Company::default() };
        self.0.as_ref().map_or(alone, |waiting| waiting.minute.company(now))
    }
}
