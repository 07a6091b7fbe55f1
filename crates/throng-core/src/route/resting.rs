//! Mixes that are left alone for a while, since circuits through them fell silent.

use alloc::vec::Vec;

use crate::id::NodeId;
use crate::limits::{MIX_REST, MIXES_RESTING_MAX};
use crate::time::Time;

/// Which mixes rest, and until when.
///
/// A circuit that dies does not say which of its mixes is gone, so all of them rest: a hostile one that kills circuits
/// to keep its honest neighbours out of new paths keeps itself out as well.
#[derive(Default)]
pub(crate) struct Resting(Vec<(NodeId, Time)>);

impl Resting {
    /// Lets a mix rest from now on. Over the bound, the one that rests longest is forgotten.
    pub(crate) fn rest(&mut self, mix: NodeId, now: Time) {
        self.0.retain(|(other, until)| *other != mix && *until > now);
        if self.0.len() >= MIXES_RESTING_MAX {
            self.0.remove(0);
        }
        self.0.push((mix, now + MIX_REST));
    }

    /// A mix was heard again.
    pub(crate) fn wake(&mut self, mix: NodeId) {
        self.0.retain(|(other, _)| *other != mix);
    }

    /// Whether any mix rests.
    pub(crate) fn any(&self, now: Time) -> bool {
        self.0.iter().any(|(_, until)| *until > now)
    }

    /// Whether a mix rests.
    pub(crate) fn has(&self, mix: NodeId, now: Time) -> bool {
        self.0.iter().any(|(other, until)| *other == mix && *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_rests_for_its_time_and_the_table_has_a_bound() {
        let mut resting = Resting::default();
        let mix = |number: usize| NodeId([number as u8; 32]);
        resting.rest(mix(1), Time::from_secs(1));
        assert!(resting.has(mix(1), Time::from_secs(1)) && !resting.has(mix(2), Time::from_secs(1)));
        assert!(!resting.has(mix(1), Time::from_secs(1) + MIX_REST));
        for number in 0..MIXES_RESTING_MAX + 10 {
            resting.rest(mix(number), Time::from_secs(2));
        }
        assert_eq!(resting.0.len(), MIXES_RESTING_MAX);
        assert!(!resting.has(mix(0), Time::from_secs(2)), "the one that rested longest made room");
    }
}
