//! Real sockets.

pub mod exit;
pub mod proxy;
pub mod request;
