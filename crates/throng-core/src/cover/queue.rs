//! What waits for slots: a short queue for each circuit, served in turn.

use alloc::collections::{BTreeMap, VecDeque};

/// Queues by key, each with the same bound. The first key (messages between neighbours) goes before all others.
pub(crate) struct Queue<K, T> {
    queues: BTreeMap<K, VecDeque<T>>,
    /// Who was served last.
    served: Option<K>,
    first: K,
    len: usize,
}

impl<K: Ord + Copy, T> Queue<K, T> {
    pub(crate) fn new(first: K) -> Self {
        Self { queues: BTreeMap::new(), served: None, first, len: 0 }
    }

    /// Takes something in, unless so much of its key, or in all, is waiting.
    pub(crate) fn push(&mut self, key: K, item: T, each: usize, all: usize) -> Result<(), T> {
        let waiting = self.queues.get(&key).map_or(0, VecDeque::len);
        if waiting >= each || self.len >= all {
            return Err(item);
        }
        self.queues.entry(key).or_default().push_back(item);
        self.len += 1;
        Ok(())
    }

    /// The next one: each key has one turn after the other.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let key = if self.queues.contains_key(&self.first) { self.first } else { self.next()? };
        self.pop_of(key)
    }

    /// The next one of a key.
    pub(crate) fn pop_of(&mut self, key: K) -> Option<T> {
        let queue = self.queues.get_mut(&key)?;
        let item = queue.pop_front()?;
        if queue.is_empty() {
            self.queues.remove(&key);
        }
        self.served = Some(key);
        self.len -= 1;
        Some(item)
    }

    fn next(&self) -> Option<K> {
        use core::ops::Bound::{Excluded, Unbounded};
        let behind = self.served.and_then(|served| self.queues.range((Excluded(served), Unbounded)).next());
        behind.or_else(|| self.queues.first_key_value()).map(|(key, _)| *key)
    }

    /// The key that goes before all others.
    pub(crate) fn first(&self) -> K {
        self.first
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greedy_circuit_waits_for_a_modest_one_and_neighbours_messages_for_nobody() {
        let mut queue = Queue::new(0);
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
}
