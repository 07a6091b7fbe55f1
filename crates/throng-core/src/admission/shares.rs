//! What is held, and who makes room.

use alloc::collections::{BTreeMap, BTreeSet};

use super::party::{Block, Party};
use crate::rng::Rng;

/// How much each of `K` (links) holds, and so each party. Nothing here is searched: parts of a block lie in the order of what
/// they hold, and of equals by lot. (By their addresses, say, whoever has the right one could drive others out.)
pub(crate) struct Shares<K> {
    leaves: BTreeMap<K, Leaf>,
    blocks: BTreeMap<Block, Holdings<K>>,
    lots: Rng,
}

#[derive(Clone, Copy)]
struct Leaf {
    party: Party,
    count: usize,
    lot: u32,
}

/// What a block holds in all, and its parts behind what each of them holds.
struct Holdings<K> {
    count: usize,
    /// Drawn when the block got something and had nothing.
    lot: u32,
    parts: BTreeSet<(usize, u32, Branch<K>)>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Branch<K> {
    Block(Block),
    Leaf(K),
}

/// Who may be the one that makes room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Among {
    All,
    /// Those in the narrow block of addresses of whoever wants something, since it has all that one may have.
    Block,
}

/// Where the narrow block of addresses stands on a party's way.
const NARROW: usize = 3;

impl<K: Copy + Ord> Shares<K> {
    /// `lots`: who of equals makes room.
    pub(crate) const fn new(lots: Rng) -> Self {
        Self { leaves: BTreeMap::new(), blocks: BTreeMap::new(), lots }
    }

    /// Nobody holds anything any more.
    pub(crate) fn clear(&mut self) {
        self.leaves.clear();
        self.blocks.clear();
    }

    /// Counts one thing more for a leaf. If it is the first, the leaf is this party's.
    pub(crate) fn add(&mut self, leaf: K, party: Party) {
        let (party, count) = self.leaves.get(&leaf).map_or((party, 0), |leaf| (leaf.party, leaf.count));
        self.set(leaf, party, count + 1);
    }

    /// Counts one thing less for a leaf.
    pub(crate) fn remove(&mut self, leaf: K) {
        if let Some(&Leaf { party, count, .. }) = self.leaves.get(&leaf) {
            self.set(leaf, party, count - 1);
        }
    }

    /// A leaf is a party's, and holds so much.
    pub(crate) fn set(&mut self, key: K, party: Party, count: usize) {
        let before = self.leaves.remove(&key);
        let lot = before.map_or_else(|| self.lots.u32(), |leaf| leaf.lot);
        let held = match before {
            Some(before) if before.party == party => before.count, // its blocks keep their lots
            Some(before) => {
                self.shift(key, before, 0);
                0
            }
            None => 0,
        };
        self.shift(key, Leaf { party, count: held, lot }, count);
        if count > 0 {
            self.leaves.insert(key, Leaf { party, count, lot });
        }
    }

    /// A leaf holds nothing any more.
    pub(crate) fn forget(&mut self, leaf: K) {
        if let Some(&Leaf { party, .. }) = self.leaves.get(&leaf) {
            self.set(leaf, party, 0);
        }
    }

    /// A leaf is another party's than it seemed.
    pub(crate) fn assign(&mut self, leaf: K, party: Party) {
        self.set(leaf, party, self.of(leaf));
    }

    /// Who gives something up if a leaf of a party (none yet) wants one thing more and there is no room: from block to block,
    /// the part that has most. None if nobody has more than the one who wants it would have then.
    pub(crate) fn makes_room_for(&self, leaf: Option<K>, party: Party, among: Among) -> Option<K> {
        let way = party.way();
        let (mut block, way) = match among {
            Among::All => (way[0], &way[1..]),
            Among::Block => (way[NARROW], &way[NARROW + 1..]),
        };
        for &own in way {
            match self.greediest_part(block)? {
                (most, Branch::Block(greediest)) if most > self.count(own) + 1 => {
                    return self.greediest_leaf(greediest);
                }
                _ => block = own,
            }
        }
        match self.greediest_part(block)? {
            (most, Branch::Leaf(greediest)) if most > leaf.map_or(0, |leaf| self.of(leaf)) + 1 => {
                Some(greediest)
            }
            _ => None,
        }
    }

    /// How much is held in all.
    pub(crate) fn all(&self) -> usize {
        self.count(Block::All)
    }

    /// Whose a leaf is, if it holds something.
    pub(crate) fn party(&self, leaf: K) -> Option<Party> {
        self.leaves.get(&leaf).map(|leaf| leaf.party)
    }

    /// How much a leaf holds.
    pub(crate) fn of(&self, leaf: K) -> usize {
        self.leaves.get(&leaf).map_or(0, |leaf| leaf.count)
    }

    /// How much the narrow block of addresses holds that a party is in.
    pub(crate) fn of_narrow_block(&self, party: Party) -> usize {
        self.count(party.way()[NARROW])
    }

    /// All that hold something, and how much.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = (K, usize)> {
        self.leaves.iter().map(|(key, leaf)| (*key, leaf.count))
    }

    fn greediest_leaf(&self, mut block: Block) -> Option<K> {
        loop {
            match self.greediest_part(block)? {
                (_, Branch::Block(part)) => block = part,
                (_, Branch::Leaf(leaf)) => return Some(leaf),
            }
        }
    }

    fn greediest_part(&self, block: Block) -> Option<(usize, Branch<K>)> {
        let &(most, _, part) = self.blocks.get(&block)?.parts.last()?;
        Some((most, part))
    }

    fn count(&self, block: Block) -> usize {
        self.blocks.get(&block).map_or(0, |held| held.count)
    }

    /// A leaf holds another number of things than it did: so do all blocks that it lies in.
    fn shift(&mut self, key: K, leaf: Leaf, count: usize) {
        let (mut part, mut lot, mut before, mut after) = (Branch::Leaf(key), leaf.lot, leaf.count, count);
        for block in leaf.party.way().into_iter().rev() {
            let lots = &mut self.lots;
            let new = || Holdings { count: 0, lot: lots.u32(), parts: BTreeSet::new() };
            let held = self.blocks.entry(block).or_insert_with(new);
            held.parts.remove(&(before, lot, part));
            if after > 0 {
                held.parts.insert((after, lot, part));
            }
            let of_block = held.count;
            held.count = of_block + after - before;
            (part, lot, before, after) = (Branch::Block(block), held.lot, of_block, held.count);
            if after == 0 {
                self.blocks.remove(&block);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use core::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;
    use crate::id::NodeId;
    use crate::rng::{Purpose, Seed};

    fn lots(seed: u8) -> crate::rng::Rng {
        Seed::from_bytes([seed; 32]).rng(Purpose::Keys, 0)
    }

    fn at(ip: [u8; 4]) -> Party {
        Party::at(Ipv4Addr::from(ip).into())
    }

    /// A table with `room` for so many: when it is full, whoever wants one more takes somebody's place, or does not get in.
    fn fill(shares: &mut Shares<u32>, room: usize, wanted: impl IntoIterator<Item = (u32, Party)>) {
        for (leaf, party) in wanted {
            if shares.all() >= room {
                let Some(victim) = shares.makes_room_for(Some(leaf), party, Among::All) else { continue };
                shares.remove(victim);
            }
            shares.add(leaf, party);
        }
    }

    #[test]
    fn the_greediest_block_makes_room_and_nobody_else() {
        let mut shares = Shares::new(lots(7));
        fill(&mut shares, 100, (0..200).map(|i| (i, at([10, 0, 0, i as u8]))));
        let mut honest = (1000..1040).map(|i| (i, at([20, i as u8, 0, 1])));
        fill(&mut shares, 100, honest.clone());
        assert!(
            honest.clone().all(|(leaf, _)| shares.of(leaf) == 1),
            "one /24 took all, and gives up what others want"
        );
        fill(&mut shares, 100, (2000..2500).map(|i| (i, at([10, 0, 1, i as u8]))));
        let by_block = |third| shares.count(at([10, 0, third, 0]).way()[3]);
        assert!(honest.all(|(leaf, _)| shares.of(leaf) == 1));
        assert_eq!((by_block(0), by_block(1)), (30, 30), "two /24 share what their /16 has");
    }

    #[test]
    fn strangers_leave_their_half_to_known_mixes_who_share_it_alike() {
        let mut shares = Shares::new(lots(7));
        let mix = |number: u8| Party::mix(NodeId([number; 32]));
        fill(&mut shares, 100, (0..500).map(|i| (i, at([i as u8, (i >> 8) as u8, 0, 1]))));
        fill(&mut shares, 100, (0..90).map(|_| (1000, mix(1))));
        fill(&mut shares, 100, (0..20).map(|_| (1001, mix(2))));
        assert_eq!((shares.of(1000), shares.of(1001)), (30, 20));
        fill(&mut shares, 100, (0..500).map(|i| (i, at([i as u8, (i >> 8) as u8, 1, 1]))));
        assert_eq!(
            (shares.of(1000), shares.of(1001)),
            (30, 20),
            "a flood from everywhere takes nothing from them"
        );
    }

    #[test]
    fn of_one_address_the_link_with_most_makes_room() {
        let mut shares = Shares::new(lots(7));
        fill(&mut shares, 10, (0..12).map(|_| (1, at([10, 0, 0, 1]))));
        fill(&mut shares, 10, (0..12).map(|_| (2, at([10, 0, 0, 1]))));
        assert_eq!((shares.of(1), shares.of(2)), (5, 5));
    }

    #[test]
    fn of_equals_a_lot_says_who_makes_room_and_not_their_addresses() {
        let victim = |seed| {
            let mut shares = Shares::new(lots(seed));
            fill(&mut shares, 100, (0..100).map(|i| (i, at([10, (i / 2) as u8, 0, 1]))));
            shares.makes_room_for(None, at([200, 0, 0, 1]), Among::All).unwrap()
        };
        let victims: BTreeSet<u32> = (0..100).map(|seed| victim(seed) / 2).collect();
        assert!(victims.len() > 30, "of 50 blocks, {} made room in 100 tables", victims.len());
    }

    proptest! {
        /// Whatever comes and goes, blocks hold what their leaves hold, and a full table stays fair: no /16 has two things more
        /// than another one that was refused one.
        #[test]
        fn blocks_hold_what_their_leaves_hold(steps in proptest::collection::vec((0..24u32, any::<bool>()), 1..400)) {
            let mut shares = Shares::new(lots(7));
            let party = |leaf: u32| at([10, (leaf % 3) as u8, (leaf % 6) as u8, (leaf % 12) as u8]);
            for (leaf, comes) in steps {
                if comes {
                    let room = 12;
                    if shares.all() == room && shares.makes_room_for(Some(leaf), party(leaf), Among::All).is_none() {
                        let wide = |leaf: u32| shares.count(party(leaf).way()[2]);
                        prop_assert!((0..3).all(|other| wide(other) <= wide(leaf) + 1));
                    }
                    fill(&mut shares, room, [(leaf, party(leaf))]);
                } else {
                    shares.remove(leaf);
                }
                let all: Vec<_> = shares.leaves().collect();
                prop_assert_eq!(shares.all(), all.iter().map(|(_, count)| count).sum::<usize>());
                for block in all.iter().flat_map(|(leaf, _)| party(*leaf).way()) {
                    let inside = all.iter().filter(|(leaf, _)| party(*leaf).way().contains(&block));
                    prop_assert_eq!(shares.count(block), inside.map(|(_, count)| count).sum::<usize>());
                }
            }
        }
    }
}
