//! The cells that a strategy holds: bounded, fair, and their memory is used again.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::departure::Departure;
use crate::id::NeighbourKey;
use crate::limits::{HELD_CELLS_MAX, HELD_CELLS_PER_CIRCUIT_MAX};
use crate::mixing::Ticket;

/// Cells in waiting.
#[derive(Default)]
pub(crate) struct HeldCells {
    cells: Vec<Option<(Departure, Box<[u8]>)>>,
    free: Vec<u32>,
    spare: Vec<Box<[u8]>>,
    /// How many cells wait for each circuit and direction.
    counts: BTreeMap<(NeighbourKey, u32), usize>,
    /// The same, behind how many they are.
    ranks: BTreeSet<(usize, (NeighbourKey, u32))>,
    held: usize,
    dropped: u64,
}

impl HeldCells {
    /// Holds a copy of a cell; no ticket if its circuit, or the mix, holds too many.
    ///
    /// At the mix's own bound a circuit that has less than its equal share still gets room: the cell
    /// that goes is one of the greediest circuit.
    pub(crate) fn hold(&mut self, departure: Departure, body: &[u8]) -> Option<Ticket> {
        let circuit = (departure.link, departure.header.circuit);
        let mine = self.counts.get(&circuit).copied().unwrap_or(0);
        if mine >= HELD_CELLS_PER_CIRCUIT_MAX || (self.held >= HELD_CELLS_MAX && !self.make_room(mine)) {
            self.dropped += 1;
            return None;
        }
        let mut copy = self.spare.pop().unwrap_or_else(|| alloc::vec![0; body.len()].into_boxed_slice());
        copy.copy_from_slice(body);
        self.recount(circuit, mine, mine + 1);
        self.held += 1;
        let cell = Some((departure, copy));
        let place = match self.free.pop() {
            Some(place) => {
                self.cells[place as usize] = cell;
                place
            }
            None => {
                self.cells.push(cell);
                self.cells.len() as u32 - 1
            }
        };
        Some(Ticket(place))
    }

    /// Lets go of a ticket's cell. Nothing comes out if it was dropped meanwhile.
    pub(crate) fn redeem(&mut self, ticket: Ticket) -> Option<(Departure, Box<[u8]>)> {
        let cell = self.cells.get_mut(ticket.0 as usize)?.take();
        self.free.push(ticket.0);
        if let Some((departure, _)) = &cell {
            self.forget(*departure);
        }
        cell
    }

    /// How many cells of each circuit are held.
    pub(crate) fn circuits(&self) -> impl Iterator<Item = usize> + Clone {
        self.counts.iter().filter(|((_, circuit), _)| *circuit != 0).map(|(_, count)| *count)
    }

    /// Gives a cell's memory back.
    pub(crate) fn reuse(&mut self, body: Box<[u8]>) {
        if self.spare.len() < HELD_CELLS_PER_CIRCUIT_MAX {
            self.spare.push(body);
        }
    }

    /// Cells dropped since the last question.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        core::mem::take(&mut self.dropped)
    }

    /// Drops a cell of the circuit that holds most, if that is more than `mine` and one.
    fn make_room(&mut self, mine: usize) -> bool {
        let Some(&(most, greediest)) = self.ranks.last() else { return false };
        if most <= mine + 1 {
            return false;
        }
        let theirs = |cell: &Option<(Departure, Box<[u8]>)>| {
            cell.as_ref()
                .is_some_and(|(departure, _)| (departure.link, departure.header.circuit) == greediest)
        };
        let Some(place) = self.cells.iter().rposition(theirs) else { return false };
        // The ticket stays out; its place becomes free when the strategy hands it back.
        if let Some((departure, body)) = self.cells[place].take() {
            self.forget(departure);
            self.reuse(body);
            self.dropped += 1;
        }
        true
    }

    fn forget(&mut self, departure: Departure) {
        self.held -= 1;
        let circuit = (departure.link, departure.header.circuit);
        let count = self.counts.get(&circuit).copied().unwrap_or(0);
        self.recount(circuit, count, count.saturating_sub(1));
    }

    fn recount(&mut self, circuit: (NeighbourKey, u32), before: usize, after: usize) {
        self.ranks.remove(&(before, circuit));
        if after > 0 {
            self.counts.insert(circuit, after);
            self.ranks.insert((after, circuit));
        } else {
            self.counts.remove(&circuit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::cell::{CellHeader, Space};
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn departure(circuit: u32) -> Departure {
        let header = CellHeader { circuit, space: Space::Stream, number: 0 };
        Departure::soon(NeighbourKey::default(), header)
    }

    #[test]
    fn a_greedy_circuit_cannot_keep_a_modest_one_out() {
        let mut held = HeldCells::default();
        let greedy = (HELD_CELLS_MAX / HELD_CELLS_PER_CIRCUIT_MAX) as u32;
        let mut tickets = 0;
        for circuit in 1..=greedy {
            for _ in 0..HELD_CELLS_PER_CIRCUIT_MAX + 10 {
                tickets += usize::from(held.hold(departure(circuit), &[0; 16]).is_some());
            }
        }
        assert_eq!(tickets, HELD_CELLS_MAX, "every greedy circuit has all it may have, and the mix is full");
        assert_eq!(held.take_dropped(), 10 * u64::from(greedy));
        let modest = held.hold(departure(1000), &[7; 16]).expect("a modest circuit gets room");
        assert_eq!(held.take_dropped(), 1, "a greedy one paid for it");
        assert_eq!(held.redeem(modest).expect("it is held").1[0], 7);
        assert_eq!(held.held, HELD_CELLS_MAX - 1);
    }

    proptest! {
        #[test]
        fn no_queue_exceeds_its_bound(steps in proptest::collection::vec((0..6u32, 0..700usize, any::<bool>()), 1..60)) {
            let mut held = HeldCells::default();
            let mut out = Vec::new();
            for (circuit, cells, redeem) in steps {
                for _ in 0..cells {
                    out.extend(held.hold(departure(circuit), &[0; 16]));
                }
                if redeem {
                    for ticket in out.drain(..) {
                        if let Some((_, body)) = held.redeem(ticket) {
                            held.reuse(body);
                        }
                    }
                }
                let mut counts = HashMap::new();
                for (departure, _) in held.cells.iter().flatten() {
                    *counts.entry(departure.header.circuit).or_insert(0) += 1;
                }
                prop_assert!(counts.values().all(|&count| count <= HELD_CELLS_PER_CIRCUIT_MAX));
                prop_assert_eq!(counts.values().sum::<usize>(), held.held);
                prop_assert!(held.held <= HELD_CELLS_MAX);
            }
        }
    }
}
