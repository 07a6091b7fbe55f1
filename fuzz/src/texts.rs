//! Text as a design, and as each of its values: what is read is written so that it is read again.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use throng_core::Design;
use throng_core::cover::{Cover, Rate};
use throng_core::mixing::{MinCompany, Mixing};
use throng_core::wire::Geometry;

/// One of the grammars.
pub fn run(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let text = String::from_utf8_lossy(bytes);
    match kind % 6 {
        0 => again::<Mixing>(&text),
        1 => again::<MinCompany>(&text),
        2 => again::<Cover>(&text),
        3 => again::<Rate>(&text),
        4 => drop(text.parse::<Geometry>()),
        _ => again::<Design>(&text),
    }
}

fn again<T: FromStr<Err: Debug + PartialEq> + Display + PartialEq + Debug>(text: &str) {
    let Ok(value) = text.parse::<T>() else { return };
    let written = value.to_string();
    let read = written.parse::<T>();
    assert!(read.as_ref() == Ok(&value), "{text:?} is written as {written:?}, and read as {read:?}");
}
