//! Throng on real sockets: the driver of a node, QUIC in its circuits, the proxy and the exit.
//!
//! ```text
//! application ── proxy ── client ─┐                                  ┌─ exit ── the Internet
//!                                 pipe (QUIC)                pipe (QUIC)
//!                                 driver ── socket ══ UDP ══ socket ── driver
//!                                    └ pacer ┘ (what has a slot)
//! ```

mod alarm;
pub mod client;
pub mod clock;
pub mod driver;
pub mod entropy;
pub mod exit;
#[cfg(all(feature = "fuzzing", not(test)))]
pub mod fuzzing;
pub mod host;
pub mod meter;
pub mod notices;
pub mod pacer;
pub mod pipe;
pub mod proxy;
pub mod request;
pub mod socket;
mod splice;
mod stream;
pub mod suite;
pub mod tap;
