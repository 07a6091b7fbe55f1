//! Work that waits for its turn.
//!
//! Each narrow block of addresses has a turn of its own, and each known mix, for all that come through it, so many: whoever asks
//! for much at once waits for himself.

use alloc::collections::BTreeMap;

use super::Party;

/// A known mix has so many turns for one of a stranger's block.
const TURNS_OF_MIXES: u64 = 4;

/// Work that waits, each for a party: start-time fair queueing (Goyal, Vin, Cheng 1996) with as many pieces as may wait.
pub(crate) struct FairQueue<T> {
    most: usize,
    /// By when it starts on the queue's own clock, and when it came.
    waiting: BTreeMap<(u64, u64), T>,
    /// From when on the next piece of each starts. Forgotten when nothing waits.
    next_of: BTreeMap<Party, u64>,
    /// When what was begun last started.
    clock: u64,
    arrivals: u64,
}

impl<T> FairQueue<T> {
    /// An empty one in which so many may wait.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, waiting: BTreeMap::new(), next_of: BTreeMap::new(), clock: 0, arrivals: 0 }
    }

    /// Lets something wait for its party's turn. If too much waits, what would have its turn last is dropped and returned.
    pub(crate) fn push(&mut self, party: Party, piece: T) -> Option<T> {
        let next = self.next_of.entry(party.narrow()).or_default();
        let start = self.clock.max(*next);
        *next = start + if party.is_mix() { 1 } else { TURNS_OF_MIXES };
        self.waiting.insert((start, self.arrivals), piece);
        self.arrivals += 1;
        if self.waiting.len() > self.most { self.waiting.pop_last().map(|(_, last)| last) } else { None }
    }

    /// What has its turn, taken out.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let ((start, _), piece) = self.waiting.pop_first()?;
        self.clock = start;
        if self.waiting.is_empty() {
            self.next_of.clear();
            self.clock = 0;
        }
        Some(piece)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;
    use crate::id::NodeId;

    fn at(ip: &str) -> Party {
        Party::at(ip.parse().unwrap())
    }

    fn order(queue: &mut FairQueue<char>) -> String {
        core::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn who_asks_for_little_does_not_wait_for_who_asks_for_much() {
        let mut queue = FairQueue::new(100);
        for host in 1..=20 {
            queue.push(at(&alloc::format!("192.0.2.{host}")), 'a');
        }
        assert_eq!(queue.pop(), Some('a'));
        queue.push(at("198.51.100.1"), 'b');
        queue.push(at("198.51.100.1"), 'b');
        assert_eq!(&order(&mut queue)[..6], "babaaa");
    }

    #[test]
    fn a_mix_has_four_turns_for_one_of_a_block() {
        let mut queue = FairQueue::new(100);
        for _ in 0..8 {
            queue.push(at("192.0.2.1"), 'a');
            queue.push(Party::mix(NodeId([1; 32])), 'm');
        }
        assert_eq!(order(&mut queue), "ammmmammmmaaaaaa");
    }

    #[test]
    fn in_a_full_queue_the_last_piece_of_whoever_has_most_goes() {
        let mut queue = FairQueue::new(3);
        assert_eq!([1, 2, 3].map(|piece| queue.push(at("192.0.2.1"), piece)), [None; 3]);
        assert_eq!(queue.push(at("192.0.2.1"), 4), Some(4));
        assert_eq!(queue.push(at("198.51.100.1"), 5), Some(3));
        assert_eq!(core::iter::from_fn(|| queue.pop()).collect::<alloc::vec::Vec<_>>(), [1, 5, 2]);
        assert!(queue.is_empty() && queue.next_of.is_empty());
    }
}
