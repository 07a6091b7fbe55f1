//! Reading a scenario file: every value with its line, every field once, nothing unknown.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

/// What is wrong with a scenario, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The file.
    pub file: String,
    /// Its line, counted from 1; none if the file could not be read or something is missing in it as a whole.
    pub line: Option<usize>,
    /// The field's path: `design.hops`. Empty if it is about the whole file.
    pub field: String,
    /// What is wrong, and what would be right.
    pub why: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}", self.why)
    }
}

impl std::error::Error for Wrong {}

/// What is wrong with a value, before anybody asked for it.
struct Misread {
    line: usize,
    field: String,
    why: String,
}

impl Misread {
    fn within(mut self, name: &str) -> Self {
        self.field = if self.field.is_empty() { name.into() } else { format!("{name}.{}", self.field) };
        self
    }
}

/// A value and the line on which it stands.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) line: usize,
    pub(crate) is: Is,
}

#[derive(Clone, Debug)]
pub(crate) enum Is {
    Integer(i64),
    Number(f64),
    Flag(bool),
    Text(String),
    List(Vec<Value>),
    Table(BTreeMap<String, Value>),
}

impl Value {
    /// Parses a file.
    pub(crate) fn parse(file: &str, text: &str) -> Result<Self, Wrong> {
        let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
        let line_of = |at: usize| ends.partition_point(|end| *end < at) + 1;
        let table = DeTable::parse(text).map_err(|error| {
            let place = error.span().and_then(|span| text.get(span)).unwrap_or_default();
            let is_doubled = error.message().starts_with("duplicate key");
            Wrong {
                file: file.into(),
                line: error.span().map(|span| line_of(span.start)),
                field: if is_doubled { place.trim().into() } else { String::new() },
                why: if is_doubled { "stands here twice".into() } else { error.message().to_string() },
            }
        })?;
        let is = Self::table(table.get_ref(), &line_of).map_err(|Misread { line, field, why }| Wrong {
            file: file.into(),
            line: Some(line),
            field,
            why,
        })?;
        Ok(Self { line: 1, is })
    }

    fn table(table: &DeTable<'_>, line_of: &dyn Fn(usize) -> usize) -> Result<Is, Misread> {
        let fields = table.iter().map(|(name, value)| {
            let (line, name) = (line_of(name.span().start), name.get_ref().to_string());
            let is =
                Self::convert(line, value.get_ref(), line_of).map_err(|misread| misread.within(&name))?;
            Ok((name, Self { line, is }))
        });
        Ok(Is::Table(fields.collect::<Result<_, _>>()?))
    }

    fn convert(line: usize, value: &DeValue<'_>, line_of: &dyn Fn(usize) -> usize) -> Result<Is, Misread> {
        let misread = |why: String| Misread { line, field: String::new(), why };
        Ok(match value {
            DeValue::String(text) => Is::Text(text.to_string()),
            DeValue::Integer(integer) => {
                let value = i64::from_str_radix(integer.as_str(), integer.radix());
                Is::Integer(value.map_err(|_| misread(format!("{} is too large", integer.as_str())))?)
            }
            DeValue::Float(number) => {
                let value = number.as_str().parse::<f64>().ok().filter(|value| value.is_finite());
                Is::Number(value.ok_or_else(|| misread(format!("{} is not a number", number.as_str())))?)
            }
            DeValue::Boolean(flag) => Is::Flag(*flag),
            DeValue::Datetime(_) => return Err(misread("a date has no place in a scenario".into())),
            DeValue::Array(values) => {
                let values = values.iter().map(|value| {
                    let line = line_of(value.span().start);
                    Ok(Self { line, is: Self::convert(line, value.get_ref(), line_of)? })
                });
                Is::List(values.collect::<Result<_, _>>()?)
            }
            DeValue::Table(table) => Self::table(table, line_of)?,
        })
    }

    /// What to say more if this should be a number and is a text of one.
    fn quoted(&self) -> &'static str {
        match &self.is {
            Is::Text(text) if text.parse::<f64>().is_ok() => ", without quotes",
            _ => "",
        }
    }

    /// Puts a value into the place of a dotted field, which may be new.
    pub(crate) fn put(&mut self, field: &str, value: Self) -> Result<(), String> {
        let Is::Table(fields) = &mut self.is else { return Err("is not a table".into()) };
        match field.split_once('.') {
            None => {
                fields.insert(field.into(), value);
                Ok(())
            }
            Some((table, rest)) => {
                let line = value.line;
                let inner =
                    fields.entry(table.into()).or_insert(Self { line, is: Is::Table(BTreeMap::new()) });
                inner.put(rest, value)
            }
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.is {
            Is::Integer(value) => write!(f, "{value}"),
            Is::Number(value) if value.abs() >= 1e15 => write!(f, "{value:e}"),
            Is::Number(value) => write!(f, "{value}"),
            Is::Flag(value) => write!(f, "{value}"),
            Is::Text(value) => write!(f, "{value}"),
            Is::List(_) => write!(f, "a list"),
            Is::Table(_) => write!(f, "a table"),
        }
    }
}

/// A table whose fields are taken out one by one. What is left at the end is unknown.
pub(crate) struct Fields<'f> {
    file: &'f str,
    path: String,
    line: Option<usize>,
    fields: BTreeMap<String, Value>,
    known: Vec<&'static str>,
    /// Where fields stood that were taken out and are judged later.
    lines: BTreeMap<&'static str, usize>,
}

impl<'f> Fields<'f> {
    pub(crate) fn new(file: &'f str, value: Value) -> Result<Self, Wrong> {
        Self::of(file, String::new(), value)
    }

    fn of(file: &'f str, path: String, value: Value) -> Result<Self, Wrong> {
        match value.is {
            Is::Table(fields) => Ok(Self {
                file,
                path,
                line: Some(value.line),
                fields,
                known: Vec::new(),
                lines: BTreeMap::new(),
            }),
            _ => Err(Wrong {
                file: file.into(),
                line: Some(value.line),
                field: path,
                why: "must be a table".into(),
            }),
        }
    }

    /// Says that a field is wrong.
    pub(crate) fn wrong(&self, name: &str, line: Option<usize>, why: impl Into<String>) -> Wrong {
        let field = if self.path.is_empty() { name.to_string() } else { format!("{}.{name}", self.path) };
        let line = line.or_else(|| self.lines.get(name).copied()).or(self.line);
        Wrong { file: self.file.into(), line, field, why: why.into() }
    }

    fn not_possible(&self, name: &str, value: &Value, allowed: impl fmt::Display) -> Wrong {
        self.wrong(name, Some(value.line), format!("invalid value `{value}`: expected {allowed}"))
    }

    pub(crate) fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.fields.remove(name)
    }

    /// What a field says in the network's own words, text or number; nothing if it is missing.
    pub(crate) fn said(&mut self, name: &'static str) -> Result<Option<String>, Wrong> {
        let Some(value) = self.take(name) else { return Ok(None) };
        self.lines.insert(name, value.line);
        match &value.is {
            Is::Text(text) => Ok(Some(text.clone())),
            Is::Integer(number) => Ok(Some(number.to_string())),
            _ => Err(self.not_possible(name, &value, "a text or a number")),
        }
    }

    /// A table within; an empty one if it is missing.
    pub(crate) fn table(&mut self, name: &'static str) -> Result<Self, Wrong> {
        let line = self.line.unwrap_or(1);
        let value = self.take(name).unwrap_or(Value { line, is: Is::Table(BTreeMap::new()) });
        let path = if self.path.is_empty() { name.into() } else { format!("{}.{name}", self.path) };
        Self::of(self.file, path, value)
    }

    /// A list of tables; empty if it is missing.
    pub(crate) fn tables(&mut self, name: &'static str) -> Result<Vec<Self>, Wrong> {
        let Some(value) = self.take(name) else { return Ok(Vec::new()) };
        let Is::List(values) = value.is else {
            return Err(self.not_possible(name, &value, format!("tables [[{name}]]")));
        };
        let path = |i: usize| format!("{name}[{i}]");
        values.into_iter().enumerate().map(|(i, value)| Self::of(self.file, path(i), value)).collect()
    }

    pub(crate) fn integer(
        &mut self,
        name: &'static str,
        default: Option<u64>,
        allowed: RangeInclusive<u64>,
    ) -> Result<u64, Wrong> {
        let range = format!("whole numbers from {} to {}", allowed.start(), allowed.end());
        match self.take(name) {
            None => default.ok_or_else(|| self.wrong(name, None, format!("is missing: expected {range}"))),
            Some(value) => match value.is {
                Is::Integer(given) if u64::try_from(given).is_ok_and(|given| allowed.contains(&given)) => {
                    Ok(given as u64)
                }
                _ => Err(self.not_possible(name, &value, range + value.quoted())),
            },
        }
    }

    pub(crate) fn number(
        &mut self,
        name: &'static str,
        default: Option<f64>,
        allowed: RangeInclusive<f64>,
    ) -> Result<f64, Wrong> {
        let range = format!("{} to {}", allowed.start(), allowed.end());
        match self.take(name) {
            None => default.ok_or_else(|| self.wrong(name, None, format!("is missing: expected {range}"))),
            Some(value) => {
                let given = match value.is {
                    Is::Integer(given) => Some(given as f64),
                    Is::Number(given) => Some(given),
                    _ => None,
                };
                given
                    .filter(|given| allowed.contains(given))
                    .ok_or_else(|| self.not_possible(name, &value, range + value.quoted()))
            }
        }
    }

    /// A span of time, given in units of so many nanoseconds.
    pub(crate) fn span(
        &mut self,
        name: &'static str,
        unit_nanos: f64,
        default: Option<f64>,
        allowed: RangeInclusive<f64>,
    ) -> Result<Duration, Wrong> {
        Ok(Duration::from_nanos((self.number(name, default, allowed)? * unit_nanos) as u64))
    }

    pub(crate) fn text(&mut self, name: &'static str) -> Result<Option<String>, Wrong> {
        match self.take(name) {
            None => Ok(None),
            Some(Value { is: Is::Text(text), .. }) => Ok(Some(text)),
            Some(value) => Err(self.not_possible(name, &value, "a text")),
        }
    }

    /// The value that a word stands for; the first one if the field is missing.
    pub(crate) fn word<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)]) -> Result<T, Wrong> {
        let all = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        match self.take(name) {
            None => Ok(words[0].1),
            Some(value) => {
                let found = match &value.is {
                    Is::Text(text) => words.iter().find(|(word, _)| word == text),
                    _ => None,
                };
                found.map(|(_, value)| *value).ok_or_else(|| self.not_possible(name, &value, all))
            }
        }
    }

    /// Numbers of hosts below `bound`.
    pub(crate) fn numbers(&mut self, name: &'static str, bound: usize) -> Result<Vec<usize>, Wrong> {
        let allowed = format!("a list of numbers from 0 to {}", bound.saturating_sub(1));
        let Some(value) = self.take(name) else { return Ok(Vec::new()) };
        let Is::List(values) = &value.is else { return Err(self.not_possible(name, &value, allowed)) };
        let number = |value: &Value| match value.is {
            Is::Integer(given) if given >= 0 && (given as usize) < bound => Ok(given as usize),
            _ => Err(self.not_possible(name, value, &allowed)),
        };
        values.iter().map(number).collect()
    }

    /// Whether a field is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// Refuses all but these, before what is missing is missed: it may be there under another name.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), Wrong> {
        match self.fields.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, value)) => {
                let why = format!("is unknown here: expected {}", known.join(", "));
                Err(self.wrong(name, Some(value.line), why))
            }
        }
    }

    /// Refuses what nobody asked for.
    pub(crate) fn end(self) -> Result<(), Wrong> {
        self.only(&self.known)
    }
}
