//! Work that waits for its turn.
//!
//! Each narrow block of addresses has a turn of its own, and each known mix, for all that come through it, so many: whoever asks
//! for much at once waits for himself.

use alloc::collections::BTreeMap;

use super::Party;

/// A known mix has so many turns for one of a stranger's block.
const TURNS_OF_MIXES: u64 = 4;

/// Work that waits under its names, each for a party: start-time fair queueing (Goyal, Vin, Cheng 1996), of which as many pieces
/// may wait.
pub(crate) struct FairQueue<N, T> {
    most: usize,
    waiting: BTreeMap<Rank, Owing<N, T>>,
    places: BTreeMap<N, Rank>,
    /// From when on the next piece of each starts, where that is later than the clock.
    next_of: BTreeMap<Party, u64>,
    /// When what was begun last started.
    clock: u64,
    arrivals: u64,
}

/// When it starts on the queue's own clock; of those that start together, known mixes go first, and then who came first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    start: u64,
    is_stranger: bool,
    arrival: u64,
}

struct Owing<N, T> {
    name: N,
    party: Party,
    work: T,
}

impl<N: Ord + Copy, T> FairQueue<N, T> {
    /// An empty one in which so many may wait.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            waiting: BTreeMap::new(),
            places: BTreeMap::new(),
            next_of: BTreeMap::new(),
            clock: 0,
            arrivals: 0,
        }
    }

    /// Lets something wait for its party's turn. Of the same name, what waited before is kept. If too much waits, what would have
    /// its turn last is dropped, and returned.
    pub(crate) fn push(&mut self, party: Party, name: N, work: T) -> Option<(N, T)> {
        if self.places.contains_key(&name) {
            return None;
        }
        let party = party.narrow();
        let next = self.next_of.entry(party).or_default();
        let start = self.clock.max(*next);
        *next = start + cost(party);
        let place = Rank { start, is_stranger: !party.is_mix(), arrival: self.arrivals };
        self.arrivals += 1;
        self.places.insert(name, place);
        self.waiting.insert(place, Owing { name, party, work });
        self.forget_who_is_even();
        if self.waiting.len() <= self.most {
            return None;
        }
        let (_, last) = self.waiting.pop_last()?;
        self.places.remove(&last.name);
        self.give_back(last.party);
        Some((last.name, last.work))
    }

    /// What waits under this name.
    pub(crate) fn get(&self, name: &N) -> Option<&T> {
        let piece = self.waiting.get(self.places.get(name)?)?;
        Some(&piece.work)
    }

    /// It is not wanted any more. Whether it waited.
    pub(crate) fn remove(&mut self, name: &N) -> bool {
        let piece = self.places.remove(name).and_then(|place| self.waiting.remove(&place));
        piece.map(|piece| self.give_back(piece.party)).is_some()
    }

    /// What has its turn, taken out.
    pub(crate) fn pop(&mut self) -> Option<(N, T)> {
        let (place, piece) = self.waiting.pop_first()?;
        self.places.remove(&piece.name);
        self.clock = place.start;
        if self.waiting.is_empty() {
            self.next_of.clear();
        }
        Some((piece.name, piece.work))
    }

    /// Nothing is wanted any more.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.most);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A party does not pay for what is not done.
    fn give_back(&mut self, party: Party) {
        if let Some(next) = self.next_of.get_mut(&party) {
            *next = next.saturating_sub(cost(party));
        }
    }

    /// Who has nothing behind the clock begins like somebody new.
    fn forget_who_is_even(&mut self) {
        if self.next_of.len() > 2 * self.most {
            self.next_of.retain(|_, next| *next > self.clock);
        }
    }
}

fn cost(party: Party) -> u64 {
    if party.is_mix() { 1 } else { TURNS_OF_MIXES }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;
    use alloc::vec::Vec;

    use super::*;
    use crate::id::NodeId;

    fn at(ip: &str) -> Party {
        Party::at(ip.parse().unwrap())
    }

    fn mix(number: u8) -> Party {
        Party::mix(NodeId([number; 32]))
    }

    fn order(queue: &mut FairQueue<u32, char>) -> String {
        core::iter::from_fn(|| queue.pop()).map(|(_, piece)| piece).collect()
    }

    #[test]
    fn who_asks_for_little_does_not_wait_for_who_asks_for_much() {
        let mut queue = FairQueue::new(100);
        for host in 1..=20 {
            queue.push(at(&format!("192.0.2.{host}")), host, 'a');
        }
        assert_eq!(queue.pop(), Some((1, 'a')));
        queue.push(at("198.51.100.1"), 21, 'b');
        queue.push(at("198.51.100.1"), 22, 'b');
        assert_eq!(&order(&mut queue)[..6], "babaaa");
    }

    #[test]
    fn a_mix_has_four_turns_for_one_of_a_block_and_goes_first() {
        let mut queue = FairQueue::new(100);
        for number in 0..8 {
            queue.push(at("192.0.2.1"), number, 'a');
            queue.push(mix(1), 100 + number, 'm');
        }
        assert_eq!(order(&mut queue), "mammmmammmaaaaaa");
    }

    #[test]
    fn in_a_full_queue_the_last_piece_of_whoever_has_most_goes() {
        let mut queue = FairQueue::new(3);
        assert_eq!([1, 2, 3].map(|name| queue.push(at("192.0.2.1"), name, 'a')), [None; 3]);
        assert_eq!(queue.push(at("192.0.2.1"), 4, 'a'), Some((4, 'a')));
        assert_eq!(queue.push(at("198.51.100.1"), 5, 'b'), Some((3, 'a')));
        assert_eq!(queue.push(mix(1), 6, 'm'), Some((2, 'a')));
        assert_eq!(order(&mut queue), "mab");
        assert!(queue.is_empty() && queue.next_of.is_empty());
        for block in 0..3 {
            queue.push(at(&format!("192.0.{block}.1")), block, 's');
        }
        assert_eq!(queue.push(mix(1), 6, 'm'), Some((2, 's')), "among equals a stranger goes, not a mix");
    }

    #[test]
    fn nobody_pays_for_what_was_dropped_or_is_not_wanted() {
        let mut queue = FairQueue::new(10);
        for name in 0..5000 {
            queue.push(mix(1), name, 'm');
        }
        assert_eq!(queue.next_of[&mix(1)], 10);
        (5..10).for_each(|name| assert!(queue.remove(&name)));
        assert_eq!(queue.next_of[&mix(1)], 5);
    }

    #[test]
    fn what_waits_is_known_by_its_name_and_waits_once() {
        let mut queue = FairQueue::new(10);
        queue.push(at("192.0.2.1"), 1, 'a');
        queue.push(at("192.0.2.1"), 1, 'b');
        assert_eq!((queue.get(&1), queue.get(&2)), (Some(&'a'), None));
        assert!(queue.remove(&1) && !queue.remove(&1) && queue.is_empty());
    }

    #[test]
    fn no_more_parties_are_remembered_than_twice_what_may_wait() {
        let mut queue = FairQueue::new(4);
        queue.push(mix(1), 0, 'm');
        let mut most = 0;
        for number in 0..10_000u32 {
            queue.push(Party::at(core::net::Ipv4Addr::from_bits(number << 8).into()), number + 1, 's');
            queue.push(mix(1), 20_000 + number, 'm');
            let _: Vec<_> = (0..2).map(|_| queue.pop()).collect();
            most = most.max(queue.next_of.len());
        }
        assert!(most <= 10, "{most}");
    }
}
