//! The protocol of Throng.
#![no_std]
extern crate alloc;

pub mod limits;
pub mod ports;

pub use ports::Ports;
