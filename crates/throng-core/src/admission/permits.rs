//! What is done for others, so often a second.

use alloc::collections::BTreeMap;
use core::time::Duration;

use super::party::{Block, Party};
use crate::time::Time;

/// Permits for work: so many in a second, shared by dynamic thresholds (Choudhury and Hahne, IEEE/ACM Transactions on
/// Networking 6(2), 1998). A party gets as many as a part of what is left: alone it gets most, and however many ask for all,
/// something is left for whoever asks for little.
pub(crate) struct Permits {
    per_second: f64,
    /// What was used of late, forgotten by and by. A block that used nothing for a generation or two is not kept.
    used: BTreeMap<Block, Used>,
    used_before: BTreeMap<Block, Used>,
    since: Time,
}

#[derive(Clone, Copy)]
struct Used {
    /// Permits. Of what was used a second ago, an e-th part still counts.
    count: f64,
    at: Time,
}

/// After so long, 0.03 % of what was used still count.
const GENERATION: Duration = Duration::from_secs(8);

impl Permits {
    pub(crate) fn new(per_second: u32, now: Time) -> Self {
        let (used, used_before) = (BTreeMap::new(), BTreeMap::new());
        Self { per_second: per_second.into(), used, used_before, since: now }
    }

    /// Takes a permit for a party, if it may have one.
    pub(crate) fn take(&mut self, party: Party, now: Time) -> bool {
        let [all, class, wide, narrow, address] = party.way();
        // A quarter is for known mixes alone.
        let (most, part) = if party.is_mix() { (1.0, 1.0) } else { (0.75, 0.5) };
        let left_to_all = self.per_second - self.used(all, now);
        let left = left_to_all.min(most * self.per_second - self.used(class, now));
        let is_granted = left >= 1.0
            && self.used(wide, now) < left
            && self.used(narrow, now) < part * left
            && self.used(address, now) < part * left;
        if is_granted {
            party.way().into_iter().for_each(|block| self.note(block, now));
        }
        is_granted
    }

    /// Takes a permit for somebody whose address is not proved, if no more than `calm` a second are used.
    pub(crate) fn take_unproved(&mut self, calm: u32, now: Time) -> bool {
        let is_granted = self.used(Block::All, now) + 1.0 <= calm.into();
        if is_granted {
            self.note(Block::All, now);
        }
        is_granted
    }

    fn used(&self, block: Block, now: Time) -> f64 {
        let used = self.used.get(&block).or_else(|| self.used_before.get(&block));
        used.map_or(0.0, |used| used.count * libm::exp(-(now - used.at).as_secs_f64()))
    }

    fn note(&mut self, block: Block, now: Time) {
        if now - self.since >= GENERATION {
            self.used_before = core::mem::take(&mut self.used);
            self.since = now;
        }
        let count = self.used(block, now) + 1.0;
        self.used.insert(block, Used { count, at: now });
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use core::net::Ipv4Addr;

    use super::*;
    use crate::id::NodeId;

    const MOST: u32 = 1000;

    /// What each of some parties gets of what it asks for, in ten seconds, a second: the parties ask in turn.
    fn granted(asking: &[(Party, u32)]) -> Vec<u32> {
        let mut permits = Permits::new(MOST, Time::ZERO);
        let mut granted = vec![0; asking.len()];
        let mut asked = vec![0_u64; asking.len()];
        for milli in 0..10_000 {
            let now = Time::from_nanos(milli * 1_000_000);
            for (place, (party, per_second)) in asking.iter().enumerate() {
                while asked[place] * 1000 < milli * u64::from(*per_second) {
                    asked[place] += 1;
                    granted[place] += u32::from(permits.take(*party, now));
                }
            }
        }
        granted.iter().map(|count| count / 10).collect()
    }

    fn at(ip: [u8; 4]) -> Party {
        Party::at(Ipv4Addr::from(ip).into())
    }

    #[test]
    fn whoever_asks_for_a_fair_share_gets_it_whoever_else_asks_for_all() {
        for (blocks, little) in [(1, 20), (25, 20), (200, 3)] {
            let mut asking: Vec<_> =
                (0..blocks).map(|i| (at([10, i as u8, 0, 1]), 100_000 / blocks)).collect();
            asking.push((at([20, 0, 0, 1]), little));
            let granted = granted(&asking);
            let greedy: u32 = granted[..blocks as usize].iter().sum();
            assert!(granted[blocks as usize] >= little - 1, "{blocks} greedy blocks leave {granted:?}");
            assert!((250..=800).contains(&greedy), "and get {greedy} of {MOST}");
        }
    }

    #[test]
    fn known_mixes_have_a_quarter_that_strangers_never_get() {
        let mut asking: Vec<_> = (0..200).map(|i| (at([i as u8, 0, 0, 1]), 1000)).collect();
        asking.push((Party::mix(NodeId([1; 32])), 100));
        assert!(*granted(&asking).last().unwrap() >= 95);
    }

    #[test]
    fn alone_one_address_gets_a_quarter_and_a_wide_block_three_eighths() {
        assert!((250..=285).contains(&granted(&[(at([10, 0, 0, 1]), 5000)])[0]));
        let block: Vec<_> = (0..20).map(|i| (at([10, 0, i, 1]), 500)).collect();
        assert!((375..=420).contains(&granted(&block).iter().sum::<u32>()));
    }

    #[test]
    fn blocks_that_are_silent_are_forgotten() {
        let mut permits = Permits::new(10, Time::ZERO);
        (0..50).for_each(|i| assert!(permits.take(at([10, i, 0, 1]), Time::from_secs(2 * u64::from(i)))));
        assert!(permits.used.len() + permits.used_before.len() < 60);
    }
}
