//! What waits for slots: a short queue for each circuit, served in turn.

use alloc::collections::{BTreeMap, VecDeque};

/// Queues by the names of circuits on a link, each with the same bound. Circuit 0 (messages between neighbours) has every
/// second turn: set-ups and documents are such messages, too, and must not keep circuits silent.
pub(crate) struct Queue<T> {
    queues: BTreeMap<u32, VecDeque<T>>,
    /// The circuit that was served last; 0 before the first.
    served: u32,
    /// Whether the last turn was circuit 0's.
    was_control: bool,
    len: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { queues: BTreeMap::new(), served: 0, was_control: false, len: 0 }
    }
}

impl<T> Queue<T> {
    /// Takes something in, unless so much of its circuit, or in all, is waiting.
    pub(crate) fn push(&mut self, circuit: u32, item: T, each: usize, all: usize) -> Result<(), T> {
        let waiting = self.queues.get(&circuit).map_or(0, VecDeque::len);
        if waiting >= each || self.len >= all {
            return Err(item);
        }
        self.queues.entry(circuit).or_default().push_back(item);
        self.len += 1;
        Ok(())
    }

    /// The next one: each circuit has one turn after the other.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let circuit = self.next()?;
        let queue = self.queues.get_mut(&circuit)?;
        let item = queue.pop_front()?;
        if queue.is_empty() {
            self.queues.remove(&circuit);
        }
        self.was_control = circuit == 0;
        if circuit != 0 {
            self.served = circuit;
        }
        self.len -= 1;
        Some(item)
    }

    fn next(&self) -> Option<u32> {
        use core::ops::Bound::{Excluded, Unbounded};
        let behind =
            |circuit| self.queues.range((Excluded(circuit), Unbounded)).next().map(|(name, _)| *name);
        let has_control = self.queues.contains_key(&0);
        let circuit =
            if has_control && !self.was_control { None } else { behind(self.served).or_else(|| behind(0)) };
        circuit.or(has_control.then_some(0))
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greedy_circuit_waits_for_a_modest_one_and_a_neighbours_message_for_nobody() {
        let mut queue = Queue::default();
        for i in 0..10 {
            assert_eq!(queue.push(7, i, 5, 100).is_ok(), i < 5, "each has its bound");
        }
        queue.push(9, 100, 5, 100).unwrap();
        queue.push(8, 200, 5, 100).unwrap();
        queue.push(0, 300, 5, 100).unwrap();
        assert!(queue.push(1, 400, 5, 8).is_err(), "and all together");
        let order: alloc::vec::Vec<i32> = core::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [300, 0, 200, 100, 1, 2, 3, 4]);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn neighbours_messages_without_end_leave_every_circuit_its_turn() {
        let mut queue = Queue::default();
        for item in 0..6 {
            queue.push(0, item, 10, 100).unwrap();
        }
        for circuit in 1..4 {
            queue.push(circuit, 10 * circuit as i32, 10, 100).unwrap();
            queue.push(circuit, 10 * circuit as i32 + 1, 10, 100).unwrap();
        }
        let order: alloc::vec::Vec<i32> = core::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [0, 10, 1, 20, 2, 30, 3, 11, 4, 21, 5, 31]);
    }
}
