//! Bytes and values. Parsers are total: any bytes give a value or [`Malformed`], never a panic.

mod bytes;
pub mod cell;
pub mod control;
pub mod datagram;
mod geometry;
pub mod message;
pub mod parts;

pub use geometry::Geometry;

pub(crate) use bytes::{Reader, Writer};

/// Bytes that mean nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;
