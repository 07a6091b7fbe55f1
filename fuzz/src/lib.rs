//! What a fuzzer runs: each target takes any bytes, and panics if something is wrong.
//!
//! What is private to a crate has its target in a module of that crate, whose source is here (`core/`, `net/`).

pub mod documents;
pub mod frames;
pub mod node;
pub mod records;
pub mod scenarios;
pub mod texts;
pub mod traces;
pub mod wire;

pub use throng_core::fuzzing::{admission, cover, first_hops, mixing, parts, timers, window};
pub use throng_net::fuzzing::{http, memory, socks};

/// A target: its name, and what it does with some bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All targets: first those with a state, which take lists of operations, then those that read bytes.
pub const TARGETS: [Target; 18] = [
    ("node", node::run),
    ("admission", admission::run),
    ("cover", cover::run),
    ("first_hops", first_hops::run),
    ("memory", memory::run),
    ("mixing", mixing::run),
    ("parts", parts::run),
    ("timers", timers::run),
    ("window", window::run),
    ("documents", documents::run),
    ("frames", frames::run),
    ("http", http::run),
    ("records", records::run),
    ("scenarios", scenarios::run),
    ("socks", socks::run),
    ("texts", texts::run),
    ("traces", traces::run),
    ("wire", wire::run),
];

/// Switches on the fault that `cargo xtask fuzz --planted` asks for, if it is in this source.
pub fn plant() {
    let number = std::env::var("THRONG_FAULT").ok().and_then(|number| number.parse().ok());
    throng_core::fuzzing::plant(number.unwrap_or(0));
}
