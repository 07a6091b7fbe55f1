//! The protocol of Throng.
#![no_std]
extern crate alloc;
#[cfg(test)]
#[macro_use]
extern crate std;

pub mod circuit;
pub mod config;
pub mod crypto;
pub mod limits;
mod link;
pub mod membership;
pub mod mixing;
pub mod node;
pub mod output;
pub mod ports;
mod rate;
pub mod refused;
pub mod rng;
pub mod route;
mod scrubbed;
mod time;
mod timers;
mod window;
pub mod wire;

pub use circuit::CircuitId;
pub use config::{ClientConfig, NodeConfig, NodeKeys};
pub use membership::NodeId;
pub use node::{Command, Input, Node};
pub use output::{Event, Outbox};
pub use ports::Ports;
pub use scrubbed::Scrubbed;
pub use time::Time;
