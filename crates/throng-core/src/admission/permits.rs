//! What is done for others, so often a second.

use alloc::collections::BTreeMap;
use core::time::Duration;

use super::party::{Block, Party};
use crate::rng::Rng;
use crate::time::Time;

/// Permits for work: so many in a second, and of these a part for each party.
///
/// While there are enough, whether a party gets one follows from what it had itself: what others do must not be found out by
/// asking. From three quarters of what it may have on, each permit is a matter of chance, the less likely the more it had: a party
/// may ask for several (a mix for all whose circuits it extends), and one of these could count the others by what is left for him.
/// Where permits run short, what is left counts too, as dynamic thresholds say (Choudhury and Hahne, IEEE/ACM Transactions on
/// Networking 6(2), 1998): whoever asks for little gets it, however many ask for all. How much of it a party may have is drawn anew
/// a few times a second, so that one permit more or less of somebody else hides among the draws.
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
    /// Of what is left, it may have so many parts, until that is drawn anew.
    luck: f64,
    drawn: Time,
}

/// Up to this part of what a party may have, it gets it for certain.
const CERTAIN: f64 = 0.75;

/// A party's luck holds so long.
const LUCK: Duration = Duration::from_millis(250);

/// After so long, 0.03 % of what was used still count.
const GENERATION: Duration = Duration::from_secs(8);

impl Permits {
    pub(crate) fn new(per_second: u32, now: Time) -> Self {
        let (used, used_before) = (BTreeMap::new(), BTreeMap::new());
        Self { per_second: per_second.into(), used, used_before, since: now }
    }

    /// Takes a permit for a party, if it may have one.
    pub(crate) fn take(&mut self, party: Party, chance: &mut Rng, now: Time) -> bool {
        let used = self.part_used(party, now);
        let is_moderate = used <= CERTAIN || chance.unit() < (1.0 - used) / (1.0 - CERTAIN);
        let is_granted = is_moderate && self.is_left(party, now);
        if is_granted {
            party.way().into_iter().for_each(|block| self.note(block, chance, now));
        }
        is_granted
    }

    /// Which part of what one of its kind ever gets it would have then.
    fn part_used(&self, party: Party, now: Time) -> f64 {
        let [_, _, wide, narrow, address] = party.way();
        let most = self.most(party);
        let part = |block, of: f64| of * (self.used(block, now) + 1.0) / most;
        let wide = part(wide, 2.0);
        if party.is_mix() { wide } else { wide.max(part(narrow, 3.0)).max(part(address, 3.0)) }
    }

    /// Whether, where permits run short, enough are left for it.
    fn is_left(&self, party: Party, now: Time) -> bool {
        let [all, class, wide, narrow, _] = party.way();
        let most = self.most(party);
        let left = (self.per_second - self.used(all, now)).min(most - self.used(class, now));
        let enough = most / 4.0;
        if left >= enough {
            return true;
        }
        let shortage = 1.0 - left / enough;
        let fits = |block, part: f64| part * shortage * self.used(block, now) < left * self.luck(block);
        left >= 1.0 && fits(wide, 1.0) && (party.is_mix() || fits(narrow, 2.0))
    }

    /// How many parties of its kind get together: a quarter is for known mixes alone.
    fn most(&self, party: Party) -> f64 {
        if party.is_mix() { self.per_second } else { 0.75 * self.per_second }
    }

    fn find(&self, block: Block) -> Option<&Used> {
        self.used.get(&block).or_else(|| self.used_before.get(&block))
    }

    fn used(&self, block: Block, now: Time) -> f64 {
        self.find(block).map_or(0.0, |used| used.count * libm::exp(-(now - used.at).as_secs_f64()))
    }

    fn luck(&self, block: Block) -> f64 {
        self.find(block).map_or(1.0, |used| used.luck)
    }

    fn note(&mut self, block: Block, chance: &mut Rng, now: Time) {
        if now - self.since >= GENERATION {
            self.used_before = core::mem::take(&mut self.used);
            self.since = now;
        }
        let count = self.used(block, now) + 1.0;
        let kept =
            self.find(block).filter(|used| now - used.drawn < LUCK).map(|used| (used.luck, used.drawn));
        let (luck, drawn) = kept.unwrap_or_else(|| (0.5 + chance.unit(), now));
        self.used.insert(block, Used { count, at: now, luck, drawn });
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use core::net::Ipv4Addr;

    use super::*;
    use crate::id::NodeId;
    use crate::rng::{Purpose, Seed};

    const MOST: u32 = 1000;

    /// What each of some parties gets of what it asks for, in ten seconds, a second: the parties ask in turn.
    fn granted(asking: &[(Party, u32)]) -> Vec<u32> {
        let mut permits = Permits::new(MOST, Time::ZERO);
        let mut chance = Seed::from_bytes([7; 32]).rng(Purpose::Keys, 0);
        let mut granted = vec![0; asking.len()];
        let mut asked = vec![0_u64; asking.len()];
        for milli in 0..10_000 {
            let now = Time::from_nanos(milli * 1_000_000);
            for (place, (party, per_second)) in asking.iter().enumerate() {
                while asked[place] * 1000 < milli * u64::from(*per_second) {
                    asked[place] += 1;
                    granted[place] += u32::from(permits.take(*party, &mut chance, now));
                }
            }
        }
        granted.iter().map(|count| count / 10).collect()
    }

    fn at(ip: [u8; 4]) -> Party {
        Party::at(Ipv4Addr::from(ip).into())
    }

    #[test]
    fn whoever_asks_for_half_a_fair_share_gets_it_whoever_else_asks_for_all() {
        for (blocks, little) in [(1, 20), (25, 12), (200, 2)] {
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
        let one = granted(&[(at([10, 0, 0, 1]), 5000)])[0];
        assert!((225..=285).contains(&one), "{one}");
        let block: Vec<_> = (0..20).map(|i| (at([10, 0, i, 1]), 500)).collect();
        let block = granted(&block).iter().sum::<u32>();
        assert!((340..=420).contains(&block), "{block}");
    }

    /// How well what was seen tells one from the other: the area under the curve.
    fn area(with: &[usize], without: &[usize]) -> f64 {
        let pairs = with.iter().flat_map(|with| without.iter().map(move |without| without.cmp(with)));
        pairs.map(|order| f64::from(order as i8) / 2.0 + 0.5).sum::<f64>()
            / (with.len() * without.len()) as f64
    }

    fn chance(seed: u16, world: u8) -> Rng {
        let mut bytes = [world; 32];
        bytes[..2].copy_from_slice(&seed.to_le_bytes());
        Seed::from_bytes(bytes).rng(Purpose::Keys, 0)
    }

    #[test]
    fn while_there_are_enough_nobody_finds_out_what_others_do() {
        // What a prober is granted of what it asks for in three seconds, while others elsewhere ask too.
        let granted = |others: u8, every: u64, seed: u16| {
            let mut permits = Permits::new(MOST, Time::ZERO);
            let mut chance = chance(seed, others);
            (0..3000)
                .filter(|milli| {
                    let now = Time::from_nanos(milli * 1_000_000);
                    if milli % 10 == 0 {
                        (0..others)
                            .for_each(|other| _ = permits.take(at([20, other, 0, 1]), &mut chance, now));
                    }
                    milli % every == 0 && permits.take(at([10, 0, 0, 1]), &mut chance, now)
                })
                .count()
        };
        for others in 0..3 {
            assert_eq!(
                granted(others, 6, 0),
                500,
                "167 a second, less than three quarters of a quarter, are certain"
            );
        }
        let all = |others| (0..200).map(|seed| granted(others, 1, seed)).collect::<Vec<_>>();
        let (alone, beside) = (all(0), all(2));
        let area = area(&beside, &alone);
        assert!((0.4..0.6).contains(&area), "who asks for all: {area}");
    }

    /// Who extends circuits behind a mix takes all that it may have, and looks at what it gets after the moment when somebody else may
    /// have had one.
    #[test]
    fn one_permit_of_somebody_else_behind_the_same_mix_hides_among_the_draws() {
        let mix = Party::mix(NodeId([1; 32]));
        let got_after = |seed: u16, other: bool| {
            let mut permits = Permits::new(MOST, Time::ZERO);
            let mut chance = chance(seed, other.into());
            (0..3300)
                .filter(|asked| {
                    let now = Time::from_nanos(asked * 1_000_000);
                    if other && *asked == 3000 {
                        permits.take(mix, &mut chance, now);
                    }
                    permits.take(mix, &mut chance, now) && *asked >= 3000
                })
                .count()
        };
        let (with, without): (Vec<_>, Vec<_>) =
            (0..400).map(|seed| (got_after(seed, true), got_after(seed, false))).unzip();
        let area = area(&with, &without);
        assert!((0.4..0.6).contains(&area), "the area under the curve is {area}");
    }

    #[test]
    fn blocks_that_are_silent_are_forgotten() {
        let mut permits = Permits::new(10, Time::ZERO);
        let mut chance = Seed::from_bytes([7; 32]).rng(Purpose::Keys, 0);
        let mut take =
            |i: u8| permits.take(at([10, i, 0, 1]), &mut chance, Time::from_secs(2 * u64::from(i)));
        (0..50).for_each(|i| assert!(take(i)));
        assert!(permits.used.len() + permits.used_before.len() < 60);
    }
}
