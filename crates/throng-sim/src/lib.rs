//! A small virtual world in which the very nodes of the network run.
//!
//! [`World`] is a queue of happenings around [`Node::step`](throng_core::Node::step): nothing in a node knows
//! that its time, its network and its chance are made up. The same seed gives the same world.

mod host;
mod wire;
mod world;

pub use host::HostId;
pub use wire::{Seen, Tap, Verdict, Wire};
pub use world::{World, mix_config};
