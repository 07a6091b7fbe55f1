//! What runs came to: per run, over seeds, in one file or in many.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::scenario::Scenario;

/// The version of result files that this program writes and reads.
const VERSION: u32 = 1;

/// A number with a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// What it is.
    pub name: String,
    /// In which unit; empty for plain numbers.
    pub unit: String,
    /// How much. (Made with the four operations and `libm` only: the same on every machine.)
    pub value: f64,
}

impl Metric {
    pub(crate) fn new(name: &str, unit: &str, value: f64) -> Self {
        Self { name: name.into(), unit: unit.into(), value }
    }
}

/// What one run came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Its place among all runs: seeds within variants.
    pub number: usize,
    /// Which variant, from 0.
    pub variant: usize,
    /// Which seed.
    pub seed: u64,
    /// Its figures.
    pub metrics: Vec<Metric>,
    /// A digest of all that was sent, and of the figures.
    pub digest: String,
    /// What should never happen and did.
    pub problems: Vec<String>,
    /// Whether it came to its end, and was not stopped.
    pub complete: bool,
}

impl RunResult {
    /// Whether it need not be run again: it came to its end, and nothing happened that never should.
    pub fn is_good(&self) -> bool {
        self.complete && self.problems.is_empty()
    }
}

/// What runs of one scenario came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Of the file's format.
    pub version: u32,
    /// The scenario's name.
    pub scenario: String,
    /// Which program made them, if it says so: another one may come to other figures.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub made_by: String,
    /// The scenario's digest: results of two scenarios never mix.
    pub digest: String,
    /// The swept settings of each variant, in one line.
    pub variants: Vec<String>,
    /// Runs that the scenario has in all.
    pub runs_in_all: usize,
    /// Those that are here, in order.
    pub runs: Vec<RunResult>,
}

/// Why result files do not go together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// There is no file.
    Nothing,
    /// A file has another version.
    OtherVersion(u32),
    /// They are of different scenarios: names and digests of the first and of another one.
    OtherScenario(String, String),
    /// A run is in two files: its number.
    Doubled(Vec<usize>),
    /// A run says two things: results must not depend on the machine.
    Differs(usize),
    /// Runs are missing: their numbers.
    Missing(Vec<usize>),
    /// A file is not one of results.
    Unreadable(String),
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => write!(f, "there is nothing to merge"),
            Self::OtherVersion(version) => {
                write!(f, "a result file has version {version}; known is {VERSION}")
            }
            Self::OtherScenario(one, other) => {
                write!(f, "the files are of different scenarios: {one} and {other}")
            }
            Self::Doubled(runs) => write!(f, "these runs are in more than one file: {}", spans(runs)),
            Self::Differs(run) => write!(f, "run {run} is in two files and they differ"),
            Self::Missing(runs) => write!(f, "these runs are missing: {}", spans(runs)),
            Self::Unreadable(why) => write!(f, "not a result file: {why}"),
        }
    }
}

impl std::error::Error for Unfit {}

/// Numbers, those in a row as a span.
fn spans(numbers: &[usize]) -> String {
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match spans.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => spans.push((*number, *number)),
        }
    }
    let text =
        |(from, to): &(usize, usize)| if from == to { from.to_string() } else { format!("{from}-{to}") };
    spans.iter().map(text).collect::<Vec<_>>().join(", ")
}

/// A mean over seeds, and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// Half the width of its 95 % confidence interval (Student's t); none of a single run.
    pub half_width: Option<f64>,
    /// Runs.
    pub runs: usize,
}

impl Mean {
    /// Of these values, which are taken as independent.
    pub fn of(values: &[f64]) -> Self {
        let runs = values.len();
        let mean = values.iter().sum::<f64>() / runs.max(1) as f64;
        let half_width = (runs > 1).then(|| {
            let variance =
                values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / (runs - 1) as f64;
            student_95(runs - 1) * (variance / runs as f64).sqrt()
        });
        Self { mean, half_width, runs }
    }
}

/// The 97.5 % quantile of Student's t with so many degrees of freedom (two-sided 95 %).
fn student_95(degrees: usize) -> f64 {
    const TABLE: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145,
        2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048,
        2.045, 2.042,
    ];
    match TABLE.get(degrees.saturating_sub(1)) {
        Some(quantile) => *quantile,
        // Cornish and Fisher's first term: right to 0.001 from 30 on.
        None => 1.959_964 + 2.372_271 / degrees as f64,
    }
}

impl Results {
    /// What these runs of a scenario came to.
    pub fn of(scenario: &Scenario, mut runs: Vec<RunResult>) -> Self {
        runs.sort_by_key(|run| run.number);
        Self {
            version: VERSION,
            made_by: String::new(),
            scenario: scenario.name.clone(),
            digest: scenario.digest.clone(),
            variants: scenario.variants.iter().map(|variant| variant.label()).collect(),
            runs_in_all: scenario.variants.len() * scenario.seeds.len(),
            runs,
        }
    }

    /// The runs that are here, for this scenario to go on from.
    ///
    /// # Errors
    /// [`Unfit`] if they are of another one.
    pub fn runs_of(self, scenario: &Scenario) -> Result<Vec<RunResult>, Unfit> {
        let wanted = Self::of(scenario, Vec::new());
        if (&self.digest, self.runs_in_all) == (&wanted.digest, wanted.runs_in_all) {
            Ok(self.runs)
        } else {
            Err(Unfit::OtherScenario(wanted.name(), self.name()))
        }
    }

    fn name(&self) -> String {
        format!("{} ({})", self.scenario, self.digest)
    }

    /// A metric of a variant over its seeds. Runs that were stopped do not count.
    pub fn mean(&self, variant: usize, metric: &str) -> Option<Mean> {
        let of_variant = self.runs.iter().filter(|run| run.variant == variant && run.complete);
        let values: Vec<f64> = of_variant
            .filter_map(|run| run.metrics.iter().find(|found| found.name == metric).map(|found| found.value))
            .collect();
        (!values.is_empty()).then(|| Mean::of(&values))
    }

    /// Whether nothing happened that never should.
    pub fn is_clean(&self) -> bool {
        self.runs.iter().all(|run| run.problems.is_empty())
    }

    /// Numbers of runs that are not here, or not complete.
    pub fn missing(&self) -> Vec<usize> {
        (0..self.runs_in_all)
            .filter(|number| !self.runs.iter().any(|run| run.number == *number && run.complete))
            .collect()
    }

    /// A table to read: means and confidence intervals per variant, then whatever was wrong.
    pub fn to_table(&self) -> String {
        let mut out = format!("{} ({})\n", self.scenario, self.digest);
        for (variant, label) in self.variants.iter().enumerate() {
            let runs: Vec<&RunResult> =
                self.runs.iter().filter(|run| run.variant == variant && run.complete).collect();
            // A run in which something never happened has no mean of it.
            let Some(fullest) = runs.iter().max_by_key(|run| run.metrics.len()) else { continue };
            let label = if label.is_empty() { "all" } else { label };
            let _ = writeln!(out, "\n{label}: {} run{}", runs.len(), if runs.len() == 1 { "" } else { "s" });
            for metric in &fullest.metrics {
                let Some(mean) = self.mean(variant, &metric.name) else { continue };
                let interval = mean.half_width.map_or(String::new(), |half| format!(" ± {}", digits(half)));
                let line =
                    format!("  {:<36} {:>14}{interval} {}", metric.name, digits(mean.mean), metric.unit);
                let _ = writeln!(out, "{}", line.trim_end());
            }
        }
        for run in self.runs.iter().filter(|run| !run.problems.is_empty()) {
            let _ = writeln!(out, "\nrun {} (seed {}):", run.number, run.seed);
            for problem in &run.problems {
                let _ = writeln!(out, "  {problem}");
            }
        }
        let stopped = self.runs.iter().filter(|run| !run.complete).count();
        if stopped > 0 {
            let _ = writeln!(
                out,
                "\nstopped before the end: {stopped} run{}, not counted above",
                if stopped == 1 { "" } else { "s" }
            );
        }
        out
    }

    /// The file's text.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// [`Unfit`] if it is none of results, or of another version.
    pub fn from_json(text: &str) -> Result<Self, Unfit> {
        let results: Self =
            serde_json::from_str(text).map_err(|error| Unfit::Unreadable(error.to_string()))?;
        if results.version != VERSION {
            return Err(Unfit::OtherVersion(results.version));
        }
        Ok(results)
    }

    /// Puts the results of shards together.
    ///
    /// # Errors
    /// [`Unfit`] if they are of different scenarios, or a run is missing or doubled.
    pub fn merge(shards: Vec<Self>) -> Result<Self, Unfit> {
        let mut shards = shards.into_iter();
        let mut all = shards.next().ok_or(Unfit::Nothing)?;
        for shard in shards {
            if shard.digest != all.digest || shard.runs_in_all != all.runs_in_all {
                return Err(Unfit::OtherScenario(all.name(), shard.name()));
            }
            if shard.made_by != all.made_by {
                all.made_by.clear();
            }
            all.runs.extend(shard.runs);
        }
        all.runs.sort_by_key(|run| run.number);
        if let Some(pair) =
            all.runs.windows(2).find(|pair| pair[0].number == pair[1].number && pair[0] != pair[1])
        {
            return Err(Unfit::Differs(pair[0].number));
        }
        let mut doubled: Vec<usize> = all
            .runs
            .windows(2)
            .filter(|pair| pair[0].number == pair[1].number)
            .map(|pair| pair[0].number)
            .collect();
        doubled.dedup();
        if !doubled.is_empty() {
            return Err(Unfit::Doubled(doubled));
        }
        let missing = all.missing();
        if missing.is_empty() { Ok(all) } else { Err(Unfit::Missing(missing)) }
    }
}

/// Six significant digits, without an exponent.
fn digits(value: f64) -> String {
    let magnitude = value.abs();
    let mut decimals = 0;
    let mut bound = 100_000.0;
    while magnitude < bound && decimals < 5 {
        bound /= 10.0;
        decimals += 1;
    }
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(number: usize, value: f64) -> RunResult {
        RunResult {
            number,
            variant: number / 2,
            seed: number as u64 % 2,
            metrics: vec![Metric::new("load", "kb/s", value)],
            digest: "d".into(),
            problems: Vec::new(),
            complete: true,
        }
    }

    fn shard(runs: &[usize]) -> Results {
        Results {
            version: VERSION,
            made_by: String::new(),
            scenario: "example".into(),
            digest: "abc".into(),
            variants: vec!["a=1".into(), "a=2".into()],
            runs_in_all: 4,
            runs: runs.iter().map(|number| run(*number, *number as f64)).collect(),
        }
    }

    #[test]
    fn shards_merge_to_what_one_machine_gives() {
        let merged = Results::merge(vec![shard(&[1, 3]), shard(&[0, 2])]).unwrap();
        assert_eq!(merged, shard(&[0, 1, 2, 3]));
        assert_eq!(Results::from_json(&merged.to_json()).unwrap(), merged);
    }

    #[test]
    fn what_is_missing_doubled_or_of_another_scenario_is_named() {
        assert_eq!(Results::merge(vec![shard(&[1]), shard(&[3])]), Err(Unfit::Missing(vec![0, 2])));
        assert_eq!(Results::merge(vec![shard(&[0, 1]), shard(&[1, 2, 3])]), Err(Unfit::Doubled(vec![1])));
        let mut other = shard(&[2, 3]);
        other.digest = "def".into();
        let Err(Unfit::OtherScenario(one, two)) = Results::merge(vec![shard(&[0, 1]), other]) else {
            panic!("different scenarios do not mix");
        };
        assert_eq!((one.as_str(), two.as_str()), ("example (abc)", "example (def)"));
        let mut differs = shard(&[1]);
        differs.runs[0].digest = "e".into();
        assert_eq!(Results::merge(vec![shard(&[0, 1]), differs]), Err(Unfit::Differs(1)));
        assert_eq!(Unfit::Missing(vec![0, 2, 3, 4, 9]).to_string(), "these runs are missing: 0, 2-4, 9");
        let mut old = shard(&[0]);
        old.version = 7;
        assert_eq!(Results::from_json(&old.to_json()), Err(Unfit::OtherVersion(7)));
    }

    #[test]
    fn intervals_are_students() {
        // 1 to 5: mean 3, standard deviation 1.581; t(4) = 2.776.
        let mean = Mean::of(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(mean.mean, 3.0);
        assert!((mean.half_width.unwrap() - 1.963).abs() < 0.001);
        assert_eq!(Mean::of(&[4.0]).half_width, None);
        // Tables: t(40) = 2.021, t(100) = 1.984.
        assert!((student_95(40) - 2.021).abs() < 0.003 && (student_95(100) - 1.984).abs() < 0.001);
    }

    #[test]
    fn figures_are_short() {
        assert_eq!(digits(185.185_185), "185.185");
        assert_eq!(digits(44_841.667), "44841.7");
        assert_eq!(digits(1_234_567.8), "1234568");
        assert_eq!(digits(0.0), "0");
        assert_eq!(digits(12.0), "12");
    }
}
