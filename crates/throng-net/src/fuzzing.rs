//! What is private here, for the targets in `fuzz/`: their sources are modules of this crate.

/// See the file itself.
#[path = "../../../fuzz/src/net/socks.rs"]
pub mod socks;

pub use crate::pipe::memory::fuzzing as memory;
pub use crate::proxy::http::fuzzing as http;
