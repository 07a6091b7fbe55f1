//! All protocol choices of a network, as data: what a design file says, a report prints, the planner varies and the
//! attacker is assumed to know.
//!
//! A design is a list of axes, and as text a line for each: `axis = value`. The signed document holds this text, design files
//! and scenarios are written in it, flags set single axes, and the digest of the whole text is the design's name.

mod axes;
mod error;
mod text;

use core::time::Duration;

pub use axes::AXES;
pub use error::DesignError;
pub use text::choices;

use crate::cover::{Cover, Defences};
use crate::mixing::{MinCompany, Mixing};
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
    pub company: MinCompany,
    /// When its links and circuits speak without need.
    pub cover: Cover,
}

impl Design {
    /// Time that mixing, covered links and covered circuits add to the way to the last hop and back: nearly the longest,
    /// while nothing waits in a queue. Whoever waits for an answer has this much patience more.
    pub fn detour(&self) -> Duration {
        let hops = self.route.hops() as u32;
        let mixes = 2 * hops * (self.mixing.long_delay() + self.company.longest());
        let at_user_link = self.cover.wait_at_user_link(self.geometry);
        let at_mix_link = self.cover.wait_at_mix_link(self.geometry);
        mixes + 2 * at_user_link + 2 * hops.saturating_sub(1) * at_mix_link
    }

    /// The mean of what mixing adds to a question and its answer where so many cells a second come to each mix. (The last mix holds
    /// what comes back, and lets out at once what goes to the Internet.)
    pub fn mean_wait(&self, cells_per_second: f64) -> Duration {
        let holdings = 2 * self.route.hops() as u32 - 1;
        holdings * self.mixing.mean_delay(cells_per_second)
    }

    /// Whether anybody should begin with it, by a library of defences. (A signed document that says so is read all the
    /// same: whoever runs has to go on.)
    ///
    /// # Errors
    /// [`DesignError::Contradiction`] says which choices do not go together.
    pub fn check(&self, defences: &dyn Defences) -> Result<(), DesignError> {
        match self.cover.contradiction(defences) {
            Some(why) => Err(DesignError::Contradiction(why)),
            None => Ok(()),
        }
    }
}
