//! The protocol of Throng: links, circuits, mixing and routes, as one state machine.
//!
//! [`Node::step`] takes one input (a datagram, a command, a wake-up) and the time, and appends what follows to an
//! [`Outbox`]: datagrams to send, payloads that arrived, events. There is no clock here, no socket, no thread, no
//! lock and no entropy: time is an argument, chance follows from a [`rng::Seed`]. So a node's inputs *are* its
//! replay, and the simulator runs the very code that real sockets drive.
//!
//! ```text
//!   datagram ─▶ node ─▶ link ─▶ circuit ─▶ mixing ─▶ link ─▶ datagram
//!               step    open    one layer  a ticket  seal
//!                                 │
//!                                 └─▶ payload (the last hop, the origin)
//! ```
//!
//! [`manual`] tells it in prose: the life of a cell, the threats, what is always true, and why not otherwise.
#![no_std]
extern crate alloc;
#[cfg(test)]
#[macro_use]
extern crate std;

mod admission;
pub mod config;
pub mod cover;
pub mod crypto;
mod departure;
pub mod design;
pub mod documents;
mod effect;
#[cfg(all(feature = "fuzzing", not(test)))]
pub mod fuzzing;
pub mod id;
mod layers;
pub mod limits;
pub mod manual;
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
mod silence;
pub mod text;
mod time;
mod timers;
mod window;
pub mod wire;

pub use config::{ClientConfig, Membership, NodeConfig, NodeKeys};
pub use design::Design;
pub use id::{CircuitId, NodeId};
pub use node::{Command, Input, Node, OwnCircuit, Sizes};
pub use output::{Event, Lane, Outbox};
pub use ports::Ports;
pub use scrubbed::Scrubbed;
pub use time::Time;
