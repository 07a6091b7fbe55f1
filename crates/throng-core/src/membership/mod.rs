//! Who is there: what nodes sign of themselves, and whose records a node knows.

pub mod record;
mod view;

pub use record::{Description, Record, is_of_family, join_family};
pub use view::View;
