//! All protocol choices of a network, as data: what a design file says, a report prints, the planner varies and the
//! attacker is assumed to know.

use core::time::Duration;

use crate::cover::Cover;
use crate::mixing::{Lonely, Mixing};
use crate::route::Route;
use crate::wire::Geometry;

/// How a network works.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Design {
    /// Its lengths.
    pub geometry: Geometry,
    /// How paths are chosen.
    pub route: Route,
    /// What its mixes do with cells before they leave.
    pub mixing: Mixing,
    /// What they do where a cell has too little company.
    pub lonely: Lonely,
    /// When its links and circuits speak without need.
    pub cover: Cover,
}

impl Design {
    /// Time that mixing, covered links and covered circuits add to the way to the last hop and back: nearly the longest,
    /// while nothing waits in a queue. Whoever waits for an answer has this much patience more.
    pub fn detour(&self) -> Duration {
        let hops = self.route.hops() as u32;
        let mixes = 2 * hops * (self.mixing.long_delay() + self.lonely.longest());
        let at_user_link = self.cover.wait_at_user_link(self.geometry);
        let at_mix_link = self.cover.wait_at_mix_link(self.geometry);
        mixes + 2 * at_user_link + 2 * hops.saturating_sub(1) * at_mix_link
    }
}
