//! What was measured, as a table that can be read and as data.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

/// A row of the table: a figure of every target that has it.
pub(crate) struct Row {
    /// Its name in the data.
    pub(crate) figure: &'static str,
    pub(crate) label: &'static str,
    digits: usize,
}

const fn row(figure: &'static str, label: &'static str, digits: usize) -> Row {
    Row { figure, label, digits }
}

/// All figures, in the table's order.
pub(crate) const ROWS: [Row; 44] = [
    row("bulk_1_gbit_s", "bulk download, 1 stream, Gbit/s", 3),
    row("bulk_1_cpu_s_per_gb", "– CPU-s per GB, all processes", 2),
    row("bulk_1_cpu_relays", "–– of these the mixes", 2),
    row("bulk_1_cpu_exits", "–– the exit", 2),
    row("bulk_1_cpu_client", "–– the client", 2),
    row("bulk_8_gbit_s", "bulk, 8 streams of 8 user names, Gbit/s", 3),
    row("bulk_8_cpu_s_per_gb", "– CPU-s per GB, all processes", 2),
    row("keep_alive_p50_ms", "1 KiB request, keep-alive, p50 ms", 3),
    row("keep_alive_p95_ms", "– p95 ms", 3),
    row("new_stream_p50_ms", "1 KiB request, new stream, p50 ms", 3),
    row("new_stream_p95_ms", "– p95 ms", 3),
    row("keep_alive_beside_bulk_p50_ms", "keep-alive while a bulk stream runs, p50 ms", 3),
    row("keep_alive_beside_bulk_p95_ms", "– p95 ms", 3),
    row("new_user_p50_ms", "1 KiB request, new user name, p50 ms", 3),
    row("new_user_p95_ms", "– p95 ms", 3),
    row("rate_32", "requests/s on new streams, 32 clients", 0),
    row("rate_32_cpu_ms", "– CPU-ms per request", 3),
    row("build_p50_ms_at_least", "circuit build, p50 ms, at least", 2),
    row("build_p50_ms", "– p50 ms, at most", 2),
    row("build_p95_ms", "– p95 ms", 2),
    row("circuits_per_s", "new user names/s in a burst", 0),
    row("circuits_built", "– circuits built for it", 0),
    row("cpu_ms_per_circuit", "– CPU-ms per circuit, first request included", 2),
    row("cpu_ms_per_bare_circuit", "CPU-ms per circuit, no request (control port)", 2),
    row("kib_per_idle_circuit", "memory per idle circuit, KiB, all processes together", 1),
    row("idle_relay_mib", "RSS at start, MiB: mix", 1),
    row("idle_exit_mib", "– exit", 1),
    row("idle_client_mib", "– client", 1),
    row("idle_cpu_percent", "CPU at rest, % of a core, all processes", 2),
    row("alone_idle_mib", "a network of three mixes, RSS MiB of the largest: at start", 1),
    row("alone_1000_mib", "– with 1000 streams, all of which it carries", 1),
    row("hold_1000_answered", "1000 streams: held and answering", 0),
    row("hold_1000_answered_in_s", "– all at once answer in s", 2),
    row("hold_1000_relay_mib", "– RSS MiB: mix", 1),
    row("hold_1000_exit_mib", "– exit", 1),
    row("hold_1000_client_mib", "– client", 1),
    row("hold_4000_answered", "4000 streams: held and answering", 0),
    row("hold_4000_answered_in_s", "– all at once answer in s", 2),
    row("hold_4000_relay_mib", "– RSS MiB: mix", 1),
    row("hold_4000_exit_mib", "– exit", 1),
    row("hold_4000_client_mib", "– client", 1),
    row("most_relay_mib", "most RSS ever, MiB: mix", 1),
    row("others_cores", "(cores that others took during downloads)", 2),
    row("lost_percent", "datagrams lost, %", 3),
];

/// What a figure must be.
struct Claim {
    words: &'static str,
    target: &'static str,
    judge: fn(&Results) -> Option<(f64, Verdict)>,
    /// What the number is that was judged.
    number: &'static str,
}

/// Whether a claim holds in this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Met,
    Missed,
    /// The measurement is too coarse.
    Unclear,
}

impl Verdict {
    fn of(met: bool) -> Self {
        if met { Self::Met } else { Self::Missed }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "**missed**",
            Self::Unclear => "unclear",
        }
    }
}

/// What the project promises. Ratios are of medians of one run.
const CLAIMS: [Claim; 15] = [
    Claim {
        words: "bulk, 1 stream",
        target: "≥ 3 × Tor",
        judge: |r| at_least(r.ratio("bulk_1_gbit_s", "tor"), 3.0),
        number: "× Tor",
    },
    Claim {
        words: "bulk, 8 streams",
        target: "≥ 3 × Tor",
        judge: |r| at_least(r.ratio("bulk_8_gbit_s", "tor"), 3.0),
        number: "× Tor",
    },
    Claim {
        words: "CPU-s per GB, 1 stream",
        target: "≤ 1/3 of Tor",
        judge: |r| at_most(r.ratio("bulk_1_cpu_s_per_gb", "tor"), 1.0 / 3.0),
        number: "× Tor",
    },
    Claim {
        words: "CPU-s per GB, 8 streams",
        target: "≤ 1/3 of Tor",
        judge: |r| at_most(r.ratio("bulk_8_cpu_s_per_gb", "tor"), 1.0 / 3.0),
        number: "× Tor",
    },
    Claim {
        words: "CPU-s per GB, 1 stream",
        target: "≤ 3 × floor",
        judge: |r| at_most(r.ratio("bulk_1_cpu_s_per_gb", "floor"), 3.0),
        number: "× floor",
    },
    Claim {
        words: "1 KiB request, keep-alive, p50",
        target: "≤ Tor's",
        judge: |r| at_most(r.ratio("keep_alive_p50_ms", "tor"), 1.0),
        number: "× Tor",
    },
    Claim {
        words: "1 KiB request, new stream, p50",
        target: "≤ Tor's",
        judge: |r| at_most(r.ratio("new_stream_p50_ms", "tor"), 1.0),
        number: "× Tor",
    },
    Claim {
        words: "requests/s on new streams, 32 clients",
        target: "≥ 2 × Tor",
        judge: |r| at_least(r.ratio("rate_32", "tor"), 2.0),
        number: "× Tor",
    },
    Claim {
        words: "circuit build, p50",
        target: "≤ Tor's",
        judge: |r| {
            // Not known more exactly where the log cuts to milliseconds.
            let [least, most] =
                ["build_p50_ms_at_least", "build_p50_ms"].map(|figure| r.ratio(figure, "tor"));
            let (least, most) = (least?, most?);
            Some(match (least <= 1.0, most <= 1.0) {
                (true, false) => (most, Verdict::Unclear),
                (_, met) => (most, Verdict::of(met)),
            })
        },
        number: "× Tor",
    },
    Claim {
        words: "CPU per circuit, first request included",
        target: "≤ Tor's",
        judge: |r| at_most(r.ratio("cpu_ms_per_circuit", "tor"), 1.0),
        number: "× Tor",
    },
    Claim {
        words: "memory of one mix, idle",
        target: "≤ 20 MiB",
        judge: |r| at_most(r.most_of(&["idle_relay_mib", "idle_exit_mib", "alone_idle_mib"]), 20.0),
        number: "MiB",
    },
    Claim {
        words: "memory of a fresh mix, 1000 streams through it",
        target: "≤ 60 MiB",
        judge: |r| at_most(r.median("throng", "alone_1000_mib"), 60.0),
        number: "MiB",
    },
    Claim {
        words: "memory of the largest of seven mixes after work, 1000 streams in all",
        target: "≤ 60 MiB",
        judge: |r| at_most(r.most_of(&["hold_1000_relay_mib", "hold_1000_exit_mib"]), 60.0),
        number: "MiB",
    },
    Claim {
        words: "1000 streams held and answering",
        target: "all",
        judge: |r| at_least(r.median("throng", "hold_1000_answered"), 1000.0),
        number: "streams",
    },
    Claim {
        words: "concurrent streams held and answering",
        target: "≥ 4000",
        judge: |r| at_least(r.median("throng", "hold_4000_answered"), 4000.0),
        number: "streams",
    },
];

fn at_least(value: Option<f64>, bound: f64) -> Option<(f64, Verdict)> {
    value.map(|value| (value, Verdict::of(value >= bound)))
}

fn at_most(value: Option<f64>, bound: f64) -> Option<(f64, Verdict)> {
    value.map(|value| (value, Verdict::of(value <= bound)))
}

/// All values, one for each turn.
#[derive(Default)]
pub(crate) struct Results {
    values: BTreeMap<(&'static str, &'static str), Vec<f64>>,
    /// What went wrong.
    pub(crate) troubles: Vec<String>,
}

impl Results {
    /// Notes a figure of a target.
    pub(crate) fn add(&mut self, target: &'static str, figure: &'static str, value: f64) {
        debug_assert!(ROWS.iter().any(|row| row.figure == figure), "{figure}");
        if value.is_finite() {
            self.values.entry((target, figure)).or_default().push(value);
        }
    }

    /// Notes what went wrong.
    pub(crate) fn trouble(&mut self, what: String) {
        eprintln!("bench: {what}");
        self.troubles.push(what);
    }

    /// The least, the median and the most of a figure.
    fn spread(&self, target: &'static str, figure: &'static str) -> Option<[f64; 3]> {
        let mut sorted = self.values.get(&(target, figure))?.clone();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Some([sorted[0], (low + high) / 2.0, sorted[sorted.len() - 1]])
    }

    fn median(&self, target: &'static str, figure: &'static str) -> Option<f64> {
        self.spread(target, figure).map(|spread| spread[1])
    }

    /// Ours to another's, of medians.
    fn ratio(&self, figure: &'static str, other: &'static str) -> Option<f64> {
        Some(self.median("throng", figure)? / self.median(other, figure)?)
    }

    fn most_of(&self, figures: &[&'static str]) -> Option<f64> {
        figures.iter().filter_map(|figure| self.median("throng", figure)).reduce(f64::max)
    }

    /// The tables in Markdown; `targets` are the columns.
    pub(crate) fn markdown(&self, targets: &[&'static str]) -> String {
        let has = |target: &str| self.values.keys().any(|(other, _)| *other == target);
        let targets: Vec<&'static str> = targets.iter().copied().filter(|target| has(target)).collect();
        let mut lines = vec![[&["figure"][..], &targets, &["throng : tor"]].concat().join("\t")];
        for row in &ROWS {
            let cell = |target| {
                let spread = self.spread(target, row.figure)?;
                let [least, median, most] = spread.map(|value| format!("{value:.*}", row.digits));
                Some(if least == most { median } else { format!("{least} – **{median}** – {most}") })
            };
            let cells: Vec<Option<String>> = targets.iter().map(|target| cell(target)).collect();
            if cells.iter().all(Option::is_none) {
                continue;
            }
            let ratio = self.ratio(row.figure, "tor").filter(|ratio| ratio.is_finite());
            let mut line = vec![row.label.to_owned()];
            line.extend(cells.into_iter().map(|cell| cell.unwrap_or_default()));
            line.push(ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default());
            lines.push(line.join("\t"));
        }
        let mut claims = vec!["target\tmust be\tmeasured\t".to_owned()];
        claims.extend(CLAIMS.iter().map(|claim| {
            let verdict = match (claim.judge)(self) {
                Some((value, verdict)) => format!("{value:.2} {}\t{}", claim.number, verdict.word()),
                None => "not in this run\t".to_owned(),
            };
            format!("{}\t{}\t{verdict}", claim.words, claim.target)
        }));
        format!("{}\n{}", aligned(&lines), aligned(&claims))
    }

    /// The same as data.
    pub(crate) fn json(&self) -> Value {
        let figures: Vec<Value> = self
            .values
            .iter()
            .map(|((target, figure), values)| {
                let spread = self.spread(target, figure).unwrap_or_default();
                json!({"target": target, "figure": figure, "values": values,
                       "min": spread[0], "median": spread[1], "max": spread[2]})
            })
            .collect();
        let claims: Vec<Value> = CLAIMS
            .iter()
            .map(|claim| {
                let verdict = (claim.judge)(self);
                json!({"what": claim.words, "target": claim.target, "unit": claim.number,
                       "measured": verdict.map(|(value, _)| value), "met": verdict.filter(|(_, v)| *v != Verdict::Unclear).map(|(_, v)| v == Verdict::Met)})
            })
            .collect();
        json!({"figures": figures, "targets": claims, "troubles": self.troubles})
    }
}

/// A Markdown table whose columns stand below each other in plain text too.
fn aligned(lines: &[String]) -> String {
    let rows: Vec<Vec<&str>> = lines.iter().map(|line| line.split('\t').collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |row: &[&str], column: usize| row.get(column).copied().unwrap_or_default().to_owned();
    let width = |column| rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0).max(3);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (column, width) in widths.iter().enumerate() {
            let _ = write!(text, "| {:<width$} ", cell(row, column));
        }
        text.push_str("|\n");
        if number == 0 {
            let rule = |(column, width): (usize, &usize)| {
                if column == 0 {
                    format!("|{:-<1$}", "", width + 2)
                } else {
                    format!("|{:-<1$}:", "", width + 1)
                }
            };
            text.push_str(&widths.iter().enumerate().map(rule).collect::<String>());
            text.push_str("|\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_judged() {
        let mut results = Results::default();
        for value in [9.0, 1.0, 2.0] {
            results.add("throng", "bulk_1_gbit_s", value);
            results.add("tor", "bulk_1_gbit_s", value / 3.5);
        }
        assert_eq!(results.spread("throng", "bulk_1_gbit_s"), Some([1.0, 2.0, 9.0]));
        let text = results.markdown(&["throng", "tor"]);
        assert!(text.contains("1.000 – **2.000** – 9.000"), "{text}");
        assert!(text.contains("3.50 × Tor") && text.contains("met"), "{text}");
        assert!(text.contains("not in this run"), "{text}");
        let data = results.json();
        assert_eq!(data["targets"][0]["met"], true);
        assert_eq!(data["targets"][2]["met"], Value::Null);
    }

    #[test]
    fn what_lies_between_two_bounds_is_judged_only_where_both_agree() {
        let claim = CLAIMS.iter().find(|claim| claim.words.starts_with("circuit build")).unwrap();
        for (tor, verdict) in [(0.9, Verdict::Missed), (1.5, Verdict::Unclear), (2.0, Verdict::Met)] {
            let mut results = Results::default();
            for (target, least, most) in [("throng", 1.0, 2.0), ("tor", tor, tor)] {
                results.add(target, "build_p50_ms_at_least", least);
                results.add(target, "build_p50_ms", most);
            }
            assert_eq!((claim.judge)(&results).unwrap().1, verdict, "{tor}");
        }
    }
}
