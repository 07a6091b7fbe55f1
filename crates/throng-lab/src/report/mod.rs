//! How results are shown: tables to read, CSV to compute with, charts to look at. JSON is serde's.

mod chart;
mod csv;
mod number;
mod svg;
mod text;

pub use chart::{Chart, Curve, Mark, Scale, Series};
pub use csv::{csv, tidy_csv};
pub use number::readable;
pub use text::text;

use serde::Serialize;

/// A table of results: one head line, rows below.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Table {
    /// What it is about.
    pub title: String,
    /// Names of the columns, with units.
    pub columns: Vec<String>,
    /// Each with as many cells as there are columns.
    pub rows: Vec<Vec<Cell>>,
    /// Lines below it.
    pub notes: Vec<String>,
}

/// A cell of a table; in JSON a string, a number or null.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A number; text rounds it to four digits, CSV does not.
    Number(f64),
    /// There is none.
    Missing,
}

impl Table {
    /// A table without rows.
    pub fn new(title: impl Into<String>, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        Self { title: title.into(), columns, rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Drops columns in which nothing stands.
    pub fn drop_empty_columns(&mut self) {
        let used: Vec<bool> = (0..self.columns.len())
            .map(|column| {
                self.rows.iter().any(|row| row.get(column).is_some_and(|cell| *cell != Cell::Missing))
            })
            .collect();
        let keep = |column: &mut usize| {
            *column += 1;
            used[*column - 1]
        };
        let mut column = 0;
        self.columns.retain(|_| keep(&mut column));
        for row in &mut self.rows {
            let mut column = 0;
            row.retain(|_| keep(&mut column));
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<f64> for Cell {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self::Number(number as f64)
    }
}

impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Missing, Into::into)
    }
}

impl From<bool> for Cell {
    fn from(value: bool) -> Self {
        Self::from(if value { "yes" } else { "no" })
    }
}
