//! A scheme as it is written: `user-link=64kbps`, `poisson=64kbps:8kbps`, `links`.

use alloc::vec::Vec;

use super::Rate;
use crate::text::words;

/// A name, and the values behind it.
pub(super) struct Scheme<'t> {
    pub(super) name: &'t str,
    values: Option<Vec<&'t str>>,
    /// The rate of a scheme that names none.
    default: Rate,
}

impl<'t> Scheme<'t> {
    pub(super) fn new(text: &'t str, default: Rate) -> Self {
        let (name, values) = words(text);
        Self { name, values: values.map(Iterator::collect), default }
    }

    /// The values, if there are any.
    pub(super) fn values(&self) -> Option<&[&'t str]> {
        self.values.as_deref()
    }

    /// Its one rate; nothing if the values are something else.
    pub(super) fn rate(&self) -> Option<Rate> {
        self.two_rates().and_then(|(rate, second)| second.is_none().then_some(rate))
    }

    /// Its rate, and a second one if there is one; nothing if the values are something else.
    pub(super) fn two_rates(&self) -> Option<(Rate, Option<Rate>)> {
        match self.values() {
            None => Some((self.default, None)),
            Some([rate]) => Some((rate.parse().ok()?, None)),
            Some([rate, second]) => Some((rate.parse().ok()?, Some(second.parse().ok()?))),
            Some(_) => None,
        }
    }
}
