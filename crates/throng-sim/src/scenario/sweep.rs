//! Lists of values that are tried in every combination.

use super::fields::{Is, Value, Wrong};
use super::plan::Plan;

/// Most variants of one scenario.
const VARIANTS_MAX: usize = 1000;

/// One combination of swept values, and the world that it makes.
#[derive(Clone, Debug)]
pub struct Variant {
    /// The swept fields and their values here; none if nothing is swept.
    pub settings: Vec<(String, String)>,
    /// The world.
    pub plan: Plan,
}

impl Variant {
    /// The settings in one line; empty if nothing is swept.
    pub fn label(&self) -> String {
        let settings = self.settings.iter().map(|(field, value)| format!("{field}={value}"));
        settings.collect::<Vec<_>>().join(" ")
    }
}

pub(super) type SweptFields = Vec<(String, Vec<Value>)>;
pub(super) type Combination = Vec<(String, Value)>;

/// Takes the sweep out of a file.
pub(super) fn take(file: &str, tree: &mut Value) -> Result<SweptFields, Wrong> {
    let wrong = |line, field: String, why: &str| Wrong {
        file: file.into(),
        line: Some(line),
        field,
        why: why.into(),
    };
    let Is::Table(fields) = &mut tree.is else { return Ok(Vec::new()) };
    let Some(sweep) = fields.remove("sweep") else { return Ok(Vec::new()) };
    let line = sweep.line;
    let Is::Table(sweep) = sweep.is else { return Err(wrong(line, "sweep".into(), "must be a table")) };
    let lists = sweep.into_iter().map(|(field, value)| {
        let line = value.line;
        match value.is {
            Is::List(values) if !values.is_empty() => Ok((field, values)),
            _ => Err(wrong(line, format!("sweep.\"{field}\""), "must be a list of values")),
        }
    });
    lists.collect()
}

/// All combinations; the last field changes fastest.
pub(super) fn combinations(file: &str, sweep: &SweptFields) -> Result<Vec<Combination>, Wrong> {
    let mut all = vec![Vec::new()];
    for (field, values) in sweep {
        all = all
            .iter()
            .flat_map(|before: &Combination| {
                values.iter().map(move |value| {
                    let mut more = before.clone();
                    more.push((field.clone(), value.clone()));
                    more
                })
            })
            .collect();
        if all.len() > VARIANTS_MAX {
            return Err(Wrong {
                file: file.into(),
                line: values.first().map(|value| value.line),
                field: "sweep".into(),
                why: format!("makes more than {VARIANTS_MAX} variants"),
            });
        }
    }
    Ok(all)
}

/// The file with one combination in its place.
pub(super) fn with(file: &str, tree: &Value, combination: &Combination) -> Result<Value, Wrong> {
    let mut tree = tree.clone();
    for (field, value) in combination {
        tree.put(field, value.clone()).map_err(|why| Wrong {
            file: file.into(),
            line: Some(value.line),
            field: format!("sweep.\"{field}\""),
            why,
        })?;
    }
    Ok(tree)
}

pub(super) fn settings(combination: &Combination) -> Vec<(String, String)> {
    combination.iter().map(|(field, value)| (field.clone(), value.to_string())).collect()
}
