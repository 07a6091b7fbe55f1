//! What is wrong with a question.

use std::fmt;
use std::ops::RangeInclusive;

use serde::Serialize;

/// A question that cannot be answered: which field is wrong, its value, and the values that it may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Invalid {
    /// The field's path, as in the question's JSON: `adversary.hostile_share`.
    pub field: String,
    /// Its value.
    pub given: String,
    /// The values that it may have, and why if that depends on other fields.
    pub allowed: String,
}

impl Invalid {
    pub(crate) fn new(
        field: impl Into<String>,
        given: impl fmt::Display,
        allowed: impl Into<String>,
    ) -> Self {
        Self { field: field.into(), given: given.to_string(), allowed: allowed.into() }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: invalid value `{}`: expected {}", self.field, self.given, self.allowed)
    }
}

impl std::error::Error for Invalid {}

/// Refuses a value outside `allowed` (NaN is outside every range).
pub(crate) fn within(field: &str, value: f64, allowed: RangeInclusive<f64>) -> Result<(), Invalid> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(Invalid::new(field, value, format!("{} to {}", allowed.start(), allowed.end())))
}

/// The value that a word stands for (the same words as in JSON).
pub(crate) fn one_of<T: Copy>(field: &str, word: &str, words: &[(&str, T)]) -> Result<T, Invalid> {
    if let Some((_, value)) = words.iter().find(|(name, _)| *name == word) {
        return Ok(*value);
    }
    let names: Vec<_> = words.iter().map(|(name, _)| *name).collect();
    Err(Invalid::new(field, word, names.join(", ")))
}
