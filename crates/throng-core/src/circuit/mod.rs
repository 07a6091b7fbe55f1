//! One chain of mixes, seen from one node: from its origin, or from a mix in it.

mod layers;
mod origin;
mod relay;
mod supply;

#[cfg(test)]
mod tests;

pub(crate) use layers::Layers;
pub(crate) use origin::{Building, Own, Stage};
pub(crate) use relay::{Answered, Extending, Next, Peeled, Relay};
pub(crate) use supply::{Need, Supply};
