//! What waits for slots: a short queue for each circuit, served in turn.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::limits::{SLOT_QUEUE_ALL_MAX, SLOT_QUEUE_NODE_MAX, SLOT_QUEUE_SHARE};

/// How many cells wait in all queues of a node.
#[derive(Clone, Default)]
pub(crate) struct Room(Arc<AtomicUsize>);

impl Room {
    /// How many may wait in one queue now.
    fn share(&self) -> usize {
        let free = SLOT_QUEUE_NODE_MAX.saturating_sub(self.0.load(Ordering::Relaxed));
        (free / SLOT_QUEUE_SHARE).min(SLOT_QUEUE_ALL_MAX)
    }
}

/// Queues by the names of circuits on a link, each with the same bound. Circuit 0 (messages between neighbours) has every
/// second turn: set-ups and documents are such messages, too, and must not keep circuits silent.
pub(crate) struct Queue<T> {
    queues: BTreeMap<u32, VecDeque<T>>,
    /// Circuits behind how much of them waits; circuit 0 is not among them.
    longest: BTreeSet<(usize, u32)>,
    /// The circuit that was served last; 0 before the first.
    served: u32,
    /// Whether the last turn was circuit 0's.
    was_control: bool,
    len: usize,
    room: Room,
}

impl<T> Drop for Queue<T> {
    fn drop(&mut self) {
        self.room.0.fetch_sub(self.len, Ordering::Relaxed);
    }
}

impl<T> Queue<T> {
    /// An empty one, among others of a node that share this room.
    pub(crate) fn new(room: Room) -> Self {
        Self {
            queues: BTreeMap::new(),
            longest: BTreeSet::new(),
            served: 0,
            was_control: false,
            len: 0,
            room,
        }
    }

    /// Takes something in, unless so much of its circuit is waiting. Where no more may wait in all, the newest goes of the circuit
    /// of which most waits, if that is more than of this one: what has no room comes back.
    pub(crate) fn push(&mut self, circuit: u32, item: T, each: usize) -> Result<Option<T>, T> {
        let waiting = self.queues.get(&circuit).map_or(0, VecDeque::len);
        if waiting >= each {
            return Err(item);
        }
        let mut gone = None;
        if self.len >= self.room.share() {
            let greediest = self.longest.last().filter(|(most, _)| *most > waiting + 1).copied();
            let Some((_, greediest)) = greediest else { return Err(item) };
            gone = self.take(greediest, VecDeque::pop_back);
        }
        self.queues.entry(circuit).or_default().push_back(item);
        self.recount(circuit, waiting);
        self.len += 1;
        self.room.0.fetch_add(1, Ordering::Relaxed);
        Ok(gone)
    }

    /// The next one: each circuit has one turn after the other.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let circuit = self.next()?;
        let item = self.take(circuit, VecDeque::pop_front)?;
        self.was_control = circuit == 0;
        if circuit != 0 {
            self.served = circuit;
        }
        Some(item)
    }

    /// Takes one of a circuit out.
    fn take(&mut self, circuit: u32, end: impl FnOnce(&mut VecDeque<T>) -> Option<T>) -> Option<T> {
        let queue = self.queues.get_mut(&circuit)?;
        let before = queue.len();
        let item = end(queue)?;
        self.recount(circuit, before);
        self.len -= 1;
        self.room.0.fetch_sub(1, Ordering::Relaxed);
        Some(item)
    }

    /// A circuit's queue was so long, and is not any more.
    fn recount(&mut self, circuit: u32, before: usize) {
        let after = self.queues.get(&circuit).map_or(0, VecDeque::len);
        if after == 0 {
            self.queues.remove(&circuit);
        }
        if circuit != 0 {
            self.longest.remove(&(before, circuit));
            if after > 0 {
                self.longest.insert((after, circuit));
            }
        }
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
        let mut queue = Queue::new(Room::default());
        for i in 0..10 {
            assert_eq!(queue.push(7, i, 5).is_ok(), i < 5, "each has its bound");
        }
        queue.push(9, 100, 5).unwrap();
        queue.push(8, 200, 5).unwrap();
        queue.push(0, 300, 5).unwrap();
        let order: alloc::vec::Vec<i32> = core::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [300, 0, 200, 100, 1, 2, 3, 4]);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn neighbours_messages_without_end_leave_every_circuit_its_turn() {
        let mut queue = Queue::new(Room::default());
        for item in 0..6 {
            queue.push(0, item, 10).unwrap();
        }
        for circuit in 1..4 {
            queue.push(circuit, 10 * circuit as i32, 10).unwrap();
            queue.push(circuit, 10 * circuit as i32 + 1, 10).unwrap();
        }
        let order: alloc::vec::Vec<i32> = core::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [0, 10, 1, 20, 2, 30, 3, 11, 4, 21, 5, 31]);
    }

    #[test]
    fn circuits_that_fill_a_link_make_room_for_one_that_has_less() {
        let mut queue = Queue::new(Room::default());
        let mut item = 0;
        while queue.push(1 + item % 100, item, 512).is_ok_and(|gone| gone.is_none()) {
            item += 1;
        }
        assert_eq!(queue.len(), SLOT_QUEUE_ALL_MAX);
        let gone = queue.push(1000, item, 512).unwrap().expect("one of those that have most");
        assert!(gone > item - 200, "its newest");
        assert!(queue.push(1000, item, 512).is_ok_and(|gone| gone.is_some()));
        assert_eq!(queue.len(), SLOT_QUEUE_ALL_MAX);
        let mut equal = Queue::new(Room::default());
        (0..SLOT_QUEUE_ALL_MAX as u32).for_each(|circuit| assert!(equal.push(1 + circuit, 0, 512).is_ok()));
        assert_eq!(equal.push(9999, 7, 512), Err(7), "nobody has more");
    }

    /// A stranger may have as many links as there are, each at the slowest rate.
    #[test]
    fn many_greedy_links_leave_room_for_a_modest_one() {
        let room = Room::default();
        let mut one = Queue::new(room.clone());
        let alone = (0..2 * SLOT_QUEUE_ALL_MAX as u32).filter(|item| one.push(*item, (), 1).is_ok()).count();
        assert_eq!(alone, SLOT_QUEUE_ALL_MAX, "one link has its bound also where there is room");
        drop(one);
        let mut greedy: alloc::vec::Vec<Queue<u32>> = (0..1000).map(|_| Queue::new(room.clone())).collect();
        let mut taken = 0;
        for circuit in 1..100 {
            for queue in &mut greedy {
                let fits = |gone: Result<Option<u32>, u32>| gone.is_ok_and(|gone| gone.is_none());
                (0..50).for_each(|item| taken += usize::from(fits(queue.push(circuit, item, 512))));
            }
        }
        assert!(taken < SLOT_QUEUE_NODE_MAX && taken > SLOT_QUEUE_NODE_MAX / 2, "{taken} wait");
        let mut modest = Queue::new(room.clone());
        assert!((0..16).all(|item| modest.push(1, item, 512).is_ok()), "there is room for it");
        drop(greedy);
        assert_eq!(room.0.load(Ordering::Relaxed), 16, "and what is gone takes none");
    }
}
