//! Why a text is no design, or none that anybody should begin with.

use alloc::string::String;
use core::fmt;

use super::axes::{AXES, FORMAT};
use crate::text::InvalidValue;
use crate::wire::datagram::VERSION as WIRE;

/// What is wrong with a design.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DesignError {
    /// A line that is none of `axis = value`.
    NoChoice(String),
    /// An axis that this program does not know.
    UnknownAxis(String),
    /// An axis that is chosen twice.
    Twice(&'static str),
    /// A value that the axis does not have.
    Value(&'static str, InvalidValue),
    /// A format that this program does not know.
    OtherFormat(String),
    /// A version of the wire that this program does not speak.
    OtherWire(u32),
    /// Choices that do not go together.
    Contradiction(String),
}

impl fmt::Display for DesignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoChoice(line) => write!(f, "`{line}` is no choice: expected axis = value"),
            Self::UnknownAxis(axis) => {
                write!(f, "unknown axis `{axis}`: expected {}", AXES.join(", "))?;
                f.write_str(" (a newer program may know it)")
            }
            Self::Twice(axis) => write!(f, "`{axis}` is chosen twice"),
            Self::Value(axis, why) => write!(f, "`{axis}`: {why}"),
            Self::OtherFormat(format) => write!(
                f,
                "this design has format {format}, and this program knows {FORMAT}: use the version of Throng that wrote it, \
                 or write the design anew"
            ),
            Self::OtherWire(wire) => write!(
                f,
                "this design is for version {wire} of the wire, and this program speaks version {WIRE}: use a program of the \
                 network's version"
            ),
            Self::Contradiction(why) => f.write_str(why),
        }
    }
}

impl core::error::Error for DesignError {}
