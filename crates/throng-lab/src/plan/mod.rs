//! The planner: how many mixes, how much bandwidth, how much anonymity, and each of them backwards.
//!
//! One door: fill in a [`Question`] (every field has a default; it reads and writes itself with serde), and ask.
//!
//! ```
//! use throng_lab::plan::{CoverScheme, Mode, Question};
//!
//! let question = Question { mode: Mode::Bare, users: Some(100_000), cover: CoverScheme::Link, ..Question::default() };
//! let answer = question.answer()?;
//! let stated = answer.stated_scheme();
//! assert_eq!(stated.required_mbps.map(f64::round), Some(447.0)); // Table 1 of the paper, one hour a day
//! assert!(answer.meets_requirements());
//! println!("{}", throng_lab::report::text(&answer.tables()));
//! # Ok::<(), throng_lab::plan::Invalid>(())
//! ```
//!
//! | you know | leave out | you learn |
//! |---|---|---|
//! | users | mixes | capacity, mixes and money needed, for each cover scheme |
//! | mixes | users | users that they carry |
//! | users and mixes | | how loaded they are; it is a requirement that they carry them |
//! | users and [`Requirements::budget_per_year`] | mixes | which cover the budget pays |
//! | [`MixKind::Dynamic`] and member classes | both | whether any number of members can carry itself |
//! | [`Adversary`] | | chains compromised per circuit, day, year |
//!
//! The delays of [`Delays`] are always added up. [`Question::validate`] names the field that is wrong and what it may
//! be. [`paper::Paper`] puts the paper's printed numbers beside ours, [`Sweep`] varies one quantity and draws it,
//! [`presets`] knows the lines of members in 2004 and 2026 with their sources.

mod answer;
mod breakdown;
mod capacity;
mod compromise;
pub mod formulas;
mod invalid;
mod latency;
mod load;
pub mod paper;
pub mod presets;
mod question;
mod sweep;
mod validate;

pub use answer::{Answer, Requirement};
pub use breakdown::Share;
pub use capacity::SchemeCapacity;
pub use compromise::{Compromise, Exposure, both_ends_without_replacement, first_hop_hostile, once_in};
pub use invalid::Invalid;
pub use latency::{Comfort, Latency, MixingBudget};
pub use question::{
    Adversary, BandwidthClass, Choice, CoverScheme, Delays, MixKind, Mode, Overhead, Prices, Question,
    Requirements,
};
pub use sweep::{Axis, Sweep, SweepPoint, Swept};
