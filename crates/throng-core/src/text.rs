//! Strategies and schemes as words: `batch=20ms`, `user-link=64kbps,links`. One grammar for flags, files and documents.

use alloc::borrow::{Cow, ToOwned};
use alloc::string::String;
use core::fmt;
use core::time::Duration;

/// A word that is none of those that were expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidValue {
    found: String,
    expected: Cow<'static, str>,
}

impl InvalidValue {
    pub(crate) fn new(found: &str, expected: impl Into<Cow<'static, str>>) -> Self {
        Self { found: found.to_owned(), expected: expected.into() }
    }
}

impl fmt::Display for InvalidValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid value `{}`: expected {}", self.found, self.expected)
    }
}

impl core::error::Error for InvalidValue {}

/// Splits `name=value:value…`; values may be missing.
pub(crate) fn words(text: &str) -> (&str, Option<core::str::Split<'_, char>>) {
    match text.split_once('=') {
        Some((name, values)) => (name, Some(values.split(':'))),
        None => (text, None),
    }
}

/// A whole number, if it is within `range`.
pub(crate) fn number(text: &str, range: core::ops::RangeInclusive<u16>) -> Option<u16> {
    text.parse().ok().filter(|number| range.contains(number))
}

/// A time: a number and `us`, `ms` or `s`, longer than nothing and at most `most`.
pub(crate) fn span(text: &str, most: Duration) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => return None,
    };
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds = digits.parse::<f64>().ok().filter(|_| plain)? * unit;
    // To the nanosecond, so that what is written can be read again.
    let span = Duration::from_nanos((seconds * 1e9 + 0.5) as u64);
    (Duration::ZERO < span && span <= most).then_some(span)
}

/// Writes a time as [`span`] reads it.
pub(crate) struct Span(pub(crate) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos() as u64;
        match nanos {
            _ if nanos.is_multiple_of(1_000_000_000) => write!(f, "{}s", nanos / 1_000_000_000),
            _ if nanos.is_multiple_of(1_000_000) => write!(f, "{}ms", nanos / 1_000_000),
            _ if nanos.is_multiple_of(1000) => write!(f, "{}us", nanos / 1000),
            _ => write!(f, "{}us", nanos as f64 / 1000.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_read_or_refused() {
        let most = Duration::from_secs(10);
        assert_eq!(span("20ms", most), Some(Duration::from_millis(20)));
        assert_eq!(span("1.5s", most), Some(Duration::from_millis(1500)));
        assert_eq!(span("250us", most), Some(Duration::from_micros(250)));
        for wrong in ["", "ms", "20", "0ms", "11s", "-1s", "1e3ms", "inf s", "nans", "20 ms", "1.2.3s", "1m"]
        {
            assert_eq!(span(wrong, most), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn times_round_trip(nanos in 1..10_000_000_000u64) {
            use std::string::ToString;
            let time = Duration::from_nanos(nanos);
            prop_assert_eq!(span(&Span(time).to_string(), Duration::from_secs(10)), Some(time));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,20}") {
            let _ = span(&text, Duration::from_secs(10));
        }
    }
}
