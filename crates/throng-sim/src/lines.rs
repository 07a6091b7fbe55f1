//! Which line a host has.

use crate::chance::{Draws, For};
use crate::host::LineRate;
use crate::scenario::Lines;

/// A class of nodes: its line, and its share of all nodes.
#[derive(Clone, Copy, Debug)]
pub struct LineClass {
    /// FC04's name for it.
    pub name: &'static str,
    /// kb/s from the node.
    pub up_kbps: u64,
    /// kb/s to the node.
    pub down_kbps: u64,
    /// Of all nodes, percent.
    pub share_percent: u64,
}

/// The node levels of FC04, table 1.
pub const FC04: [LineClass; 6] = [
    LineClass { name: "ISDN", up_kbps: 64, down_kbps: 64, share_percent: 10 },
    LineClass { name: "ADSL256", up_kbps: 64, down_kbps: 256, share_percent: 25 },
    LineClass { name: "ADSL512", up_kbps: 128, down_kbps: 512, share_percent: 25 },
    LineClass { name: "DSL512", up_kbps: 512, down_kbps: 512, share_percent: 25 },
    LineClass { name: "T1", up_kbps: 1544, down_kbps: 1544, share_percent: 10 },
    LineClass { name: "T3", up_kbps: 4632, down_kbps: 4632, share_percent: 5 },
];

impl Lines {
    /// The line of this owner.
    pub(crate) fn of(&self, chance: Draws, owner: u64) -> LineRate {
        let Self::Fc04 = self else {
            let Self::Same(line) = self else { return LineRate::default() };
            return *line;
        };
        let mut percent = chance.of(For::Class, owner).below(0, 100);
        for class in FC04 {
            if percent < class.share_percent {
                let bps = |kbps: u64| Some(kbps * 1000);
                return LineRate { up_bps: bps(class.up_kbps), down_bps: bps(class.down_kbps) };
            }
            percent -= class.share_percent;
        }
        LineRate::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fc04s_classes_have_the_means_that_the_reference_reckons() {
        assert_eq!(FC04.iter().map(|class| class.share_percent).sum::<u64>(), 100);
        let chance = Draws::new(&[5; 32]);
        let (mut up, mut down) = (0, 0);
        for owner in 0..100_000 {
            let line = Lines::Fc04.of(chance, owner);
            up += line.up_bps.unwrap();
            down += line.down_bps.unwrap();
        }
        // The table's means are 568 kb/s up and 712 kb/s down. Standard deviation 1000 kb/s, of the mean 3.
        assert!((up / 100_000).abs_diff(568_400) < 12_000, "{up}");
        assert!((down / 100_000).abs_diff(712_400) < 12_000, "{down}");
    }
}
