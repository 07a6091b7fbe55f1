//! Who holds how much, who makes room, and who gets a permit: beside lists of all that is held and was granted.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use super::choices::Choices;
use crate::admission::{Among, Party, Permits, Shares};
use crate::id::NodeId;
use crate::rng::{Purpose, Seed};
use crate::time::Time;

/// Things are held and given up, permits are taken.
pub fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let mut shares = Shares::new(Seed::from_bytes([7; 32]).rng(Purpose::Keys, 1));
    let mut model = BTreeMap::new();
    let mut permits = Asked::new(1 + choices.below(40) as u32);
    while !choices.is_empty() {
        let (leaf, owner) = (choices.below(12) as u32, Owner::draw(&mut choices));
        match choices.below(8) {
            0 | 1 => {
                shares.add(leaf, owner.party());
                model.entry(leaf).or_insert((owner, 0)).1 += 1;
            }
            2 => {
                shares.remove(leaf);
                model.entry(leaf).and_modify(|(_, count): &mut (Owner, usize)| *count -= 1);
            }
            3 => {
                let count = choices.below(9);
                shares.set(leaf, owner.party(), count);
                model.insert(leaf, (owner, count));
            }
            4 => {
                shares.assign(leaf, owner.party());
                model.entry(leaf).and_modify(|(of, _)| *of = owner);
            }
            5 if choices.rarely(4) => {
                shares.forget(leaf);
                model.remove(&leaf);
            }
            6 => makes_room(&shares, &model, (leaf, owner)),
            _ => permits.ask(owner, &mut choices),
        }
        model.retain(|_, (_, count)| *count > 0);
        agree(&shares, &model, owner);
    }
}

type Model = BTreeMap<u32, (Owner, usize)>;

fn agree(shares: &Shares<u32>, model: &Model, owner: Owner) {
    let held: Vec<(u32, usize)> = model.iter().map(|(leaf, (_, count))| (*leaf, *count)).collect();
    assert_eq!(shares.leaves().collect::<Vec<_>>(), held);
    assert_eq!(shares.all(), held.iter().map(|(_, count)| count).sum::<usize>());
    for (leaf, (of, count)) in model {
        assert_eq!((shares.of(*leaf), shares.party(*leaf)), (*count, Some(of.party())));
    }
    assert_eq!(
        shares.of_narrow_block(owner.party()),
        count(model, owner, 3),
        "what a block holds, its leaves hold"
    );
}

/// What all hold that share so many steps of the way with an owner.
fn count(model: &Model, owner: Owner, depth: usize) -> usize {
    let inside = model.values().filter(|(of, _)| of.way()[..depth] == owner.way()[..depth]);
    inside.map(|(_, count)| *count).sum()
}

/// Whoever makes room has more than who wants one more would have: where their ways part, and nobody there has more.
fn makes_room(shares: &Shares<u32>, model: &Model, (leaf, owner): (u32, Owner)) {
    let victim = shares.makes_room_for(Some(leaf), owner.party(), Among::All);
    let greediest_beside = |depth: usize| {
        let beside = model.values().filter(|(of, _)| of.way()[..depth - 1] == owner.way()[..depth - 1]);
        beside.map(|(of, _)| count(model, *of, depth)).max().unwrap_or(0)
    };
    for depth in 1..=owner.way().len() {
        let (most, own) = (greediest_beside(depth), count(model, owner, depth));
        if most > own + 1 {
            let victim = victim.expect("somebody has more, and makes room");
            assert_eq!(count(model, model[&victim].0, depth), most, "the greediest block makes room");
            return;
        }
    }
    let at_home = model.iter().filter(|(_, (of, _))| of.way() == owner.way());
    let most = at_home.map(|(leaf, (_, count))| (*count, *leaf)).max();
    let own = shares.of(leaf);
    assert_eq!(
        victim,
        most.filter(|(count, _)| *count > own + 1).map(|(_, leaf)| leaf),
        "of one address, a link"
    );
}

/// A party, by what makes it one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Owner {
    is_mix: bool,
    blocks: [u8; 3],
    is_v6: bool,
}

impl Owner {
    fn draw(choices: &mut Choices<'_>) -> Self {
        let bits = choices.u8();
        let is_mix = bits & 3 == 3;
        let blocks = if is_mix { [bits >> 2 & 3; 3] } else { [bits >> 2 & 1, bits >> 3 & 3, bits >> 5 & 3] };
        Self { is_mix, blocks, is_v6: !is_mix && bits >> 7 == 1 }
    }

    fn party(self) -> Party {
        let [a, b, c] = self.blocks;
        if self.is_mix {
            return Party::mix(NodeId([a; 32]));
        }
        Party::at(match self.is_v6 {
            false => IpAddr::V4(Ipv4Addr::new(10, a, b, c)),
            true => Ipv6Addr::new(0x2001, a.into(), b.into(), c.into(), 7, 7, 7, 7).into(),
        })
    }

    /// The class and the blocks, from the widest to the narrowest.
    fn way(self) -> [(bool, u8); 4] {
        let [a, b, c] = self.blocks;
        [(self.is_mix, 0), (self.is_v6, a), (self.is_v6, b), (self.is_v6, c)]
    }
}

/// Permits, and who got some in the last second.
struct Asked {
    permits: Permits,
    per_second: f64,
    now: Time,
    granted: VecDeque<(Time, Owner)>,
}

impl Asked {
    fn new(per_second: u32) -> Self {
        let now = Time::from_secs(50);
        Self {
            permits: Permits::new(per_second, now),
            per_second: per_second.into(),
            now,
            granted: VecDeque::new(),
        }
    }

    fn ask(&mut self, owner: Owner, choices: &mut Choices<'_>) {
        let mut chance = Seed::from_bytes([choices.u8(); 32]).rng(Purpose::Keys, 0);
        if choices.coin() {
            self.now = self.now + Duration::from_millis(u64::from(choices.u8()) * 8);
        }
        for _ in 0..choices.below(24) {
            let is_moderate = !self.granted.iter().any(|(_, other)| other.is_mix == owner.is_mix);
            let is_granted = self.permits.take(owner.party(), &mut chance, self.now);
            if is_granted {
                self.granted.push_back((self.now, owner));
            }
            let ever = self.granted.is_empty() && is_moderate && self.per_second >= 6.0;
            assert!(is_granted || !ever, "who asks for little gets it, while nobody else has asked of late");
        }
        self.bound();
    }

    /// An e-th of what was used still counts after a second: so no more than e times as many are granted within one.
    fn bound(&mut self) {
        self.granted.retain(|(at, _)| self.now - *at < Duration::from_secs(12));
        let within = |filter: &dyn Fn(&Owner) -> bool| {
            let last =
                self.granted.iter().filter(|(at, of)| self.now - *at <= Duration::from_secs(1) && filter(of));
            last.count() as f64
        };
        let e = core::f64::consts::E;
        assert!(within(&|_| true) <= e * self.per_second + 1.0, "all together");
        assert!(within(&|of| !of.is_mix) <= e * 0.75 * self.per_second + 1.0, "a quarter is for known mixes");
        for (_, one) in &self.granted {
            let part = if one.is_mix { self.per_second / 2.0 } else { 0.75 * self.per_second / 3.0 };
            assert!(within(&|of| of == one) <= e * part + 1.0, "nobody gets more than a part");
        }
    }
}
