//! The paper's printed numbers beside ours.

use serde::Serialize;

use super::formulas::{self, Demand};
use super::{CoverScheme, Mode, Overhead, Question, presets};
use crate::report::{Cell, Table, readable};

/// All that the paper prints and we recompute: Table 1 and sections 5, 6.1 and 6.2.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Paper {
    /// In the paper's order.
    pub checks: Vec<Check>,
}

/// One printed number and ours.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// Where it stands.
    pub place: &'static str,
    /// What it is.
    pub what: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// As printed.
    pub printed: &'static str,
    /// Between which values ours must lie to be that number, rounded as the paper rounds.
    pub means: [f64; 2],
    /// Ours.
    pub computed: f64,
    /// Why they differ, if they do.
    pub note: &'static str,
}

impl Check {
    /// Whether ours is the printed one, but for rounding.
    pub fn agrees(&self) -> bool {
        (self.means[0]..=self.means[1]).contains(&self.computed)
    }
}

/// Users of Table 1.
const USERS: u64 = 100_000;
const TABLE_1: &str = "Table 1";
const FREEDOM: &str = "6.1 Freedom";
const VOLUNTEERS: &str = "6.2 volunteers";
const ATTACKER: &str = "5 attacker";
/// The paper continues with its rounded capacity of Freedom.
const FREEDOM_BPS: f64 = 463e6;
const FREEDOM_MIXES: u64 = 150;
const T1_MBPS: f64 = 1.544;
const ROUNDED: &str = "the paper divides its rounded capacities";

impl Paper {
    /// Recomputes every figure.
    ///
    /// # Panics
    /// Never: the questions are the paper's.
    pub fn recomputed() -> Self {
        let mut paper = Self { checks: Vec::new() };
        paper.table_1();
        paper.freedom();
        paper.volunteers();
        paper.attacker();
        paper
    }

    /// Whether every number agrees.
    pub fn agrees(&self) -> bool {
        self.checks.iter().all(Check::agrees)
    }

    /// To read.
    pub fn table(&self) -> Table {
        let title =
            "Practical Anonymity for the Masses with Mix-Networks (WETICE 2003): printed and recomputed";
        let columns = ["what", "section", "unit", "printed", "computed", "agrees", "note"];
        let mut table = Table::new(title, &columns);
        for check in &self.checks {
            table.row([
                check.what.into(),
                check.place.into(),
                check.unit.into(),
                check.printed.into(),
                Cell::from(precisely(check.computed)),
                check.agrees().into(),
                check.note.into(),
            ]);
        }
        table.notes.push(
            "Table 1: 100 000 users, 0.5 MB sent and 4.5 MB received a day, 64 kb/s, 4 mixes".to_owned(),
        );
        table
    }

    fn add(
        &mut self,
        place: &'static str,
        what: &'static str,
        unit: &'static str,
        printed: &'static str,
        means: [f64; 2],
        computed: f64,
    ) {
        self.checks.push(Check { place, what, unit, printed, means, computed, note: "" });
    }

    fn note(&mut self, note: &'static str) {
        if let Some(last) = self.checks.last_mut() {
            last.note = note;
        }
    }

    fn table_1(&mut self) {
        let need = |cover, hours| required_mbps(&table_1(cover, hours));
        let none = need(CoverScheme::None, 24.0);
        self.add(TABLE_1, "no cover", "Mb/s", "185.2", [185.15, 185.25], none);
        let rows = [
            ("link cover, 1 h", CoverScheme::Link, 1.0, "447.2", [447.15, 447.25], "141", [141.0, 142.0]),
            (
                "link cover, 24 h",
                CoverScheme::Link,
                24.0,
                "6580.6",
                [6580.55, 6580.65],
                "3453",
                [3452.5, 3454.0],
            ),
            (
                "end-to-end cover, 1 h",
                CoverScheme::EndToEnd,
                1.0,
                "1908.3",
                [1908.25, 1908.35],
                "930",
                [929.5, 931.0],
            ),
            (
                "end-to-end cover, 24 h",
                CoverScheme::EndToEnd,
                24.0,
                "44841.7",
                [44841.65, 44841.75],
                "24113",
                [24112.0, 24115.0],
            ),
        ];
        for (what, cover, hours, printed, means, printed_overhead, overhead_means) in rows {
            let mbps = need(cover, hours);
            self.add(TABLE_1, what, "Mb/s", printed, means, mbps);
            let overhead = (mbps / none - 1.0) * 100.0;
            self.add(TABLE_1, what, "% overhead", printed_overhead, overhead_means, overhead);
            self.note(ROUNDED);
        }
    }

    fn freedom(&mut self) {
        let network = presets::equal_mixes("two T1", FREEDOM_MIXES, 2.0 * T1_MBPS);
        let capacity = solved(&network).stated_scheme().available_mbps.unwrap_or(f64::NAN);
        self.add(FREEDOM, "capacity of 150 mixes with two T1", "Mb/s", "463", [462.5, 463.5], capacity);
        let peak = Overhead::default().peak_factor;
        let mixes = FREEDOM_MIXES as f64;
        let two_hops = Demand { hops: 2, ..table_1(CoverScheme::None, 24.0).demand() };
        let plain = formulas::users(FREEDOM_BPS, formulas::none_bps(1.0, two_hops));
        self.add(FREEDOM, "users without cover", "users", "about 500 000", [495e3, 505e3], plain);
        self.note("with 463 Mb/s, as the paper; 500 256 with 463.2");
        self.add(FREEDOM, "the same at peak times", "users", "100 000", [99e3, 101e3], plain / peak);
        self.add(
            FREEDOM,
            "the same for each mix",
            "users",
            "about 660",
            [650.0, 670.0],
            plain / peak / mixes,
        );
        let schedule = table_1(CoverScheme::Link, 24.0).schedule();
        let covered = formulas::users(FREEDOM_BPS, formulas::link_bps(1.0, two_hops, schedule));
        self.add(FREEDOM, "users with link cover all day", "users", "7136", [7135.5, 7136.5], covered);
        self.note("with 463 Mb/s, as the paper; 7139 with 463.2");
        self.add(FREEDOM, "the same at peak times", "users", "about 1400", [1350.0, 1450.0], covered / peak);
        self.add(FREEDOM, "the same for each mix", "users", "below 10", [0.0, 10.0], covered / peak / mixes);
    }

    fn volunteers(&mut self) {
        let mixes =
            solved(&table_1(CoverScheme::None, 24.0)).stated_scheme().mixes_needed.unwrap_or(0) as f64;
        self.add(
            VOLUNTEERS,
            "mixes of 1 Mb/s for Table 1 without cover",
            "mixes",
            "about 200",
            [180.0, 220.0],
            mixes,
        );
    }

    fn attacker(&mut self) {
        let mut question = Question { mixes: Some(400), ..table_1(CoverScheme::None, 24.0) };
        question.adversary.hostile_mixes = Some(300);
        let Some(found) = solved(&question).compromise else { return };
        let percent = found.per_circuit * 100.0;
        self.add(
            ATTACKER,
            "chains compromised by 300 hostile mixes of 400",
            "%",
            "56.25",
            [56.245, 56.255],
            percent,
        );
        self.note("56.20 if both ends are different mixes");
        let cost = found.cost_per_year.unwrap_or(f64::NAN);
        self.add(ATTACKER, "what that costs a year", "$", "3 000 000", [3e6, 3e6], cost);
    }
}

/// The question of a row of Table 1.
fn table_1(cover: CoverScheme, online_hours_per_day: f64) -> Question {
    Question { mode: Mode::Bare, users: Some(USERS), cover, online_hours_per_day, ..Question::default() }
}

fn required_mbps(question: &Question) -> f64 {
    solved(question).stated_scheme().required_mbps.unwrap_or(f64::NAN)
}

fn solved(question: &Question) -> super::Answer {
    question.answer().expect("the paper's questions are valid")
}

/// One decimal place, where the paper has one.
fn precisely(value: f64) -> String {
    if value.abs() < 1e5 && value.fract() != 0.0 {
        let places = if value < 100.0 { 2 } else { 1 };
        return format!("{value:.places$}");
    }
    readable(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn computed(what: &str, unit: &str) -> f64 {
        let paper = Paper::recomputed();
        let check = paper.checks.iter().find(|check| check.what == what && check.unit == unit);
        check.unwrap_or_else(|| panic!("{what} in {unit}")).computed
    }

    #[test]
    fn all_agree() {
        for check in Paper::recomputed().checks {
            assert!(check.agrees(), "{check:?}");
        }
    }

    #[test]
    fn exact_values_are_pinned() {
        let pins = [
            ("no cover", "Mb/s", 185.185_185),
            ("link cover, 1 h", "Mb/s", 447.222_222),
            ("link cover, 24 h", "Mb/s", 6_580.555_556),
            ("end-to-end cover, 1 h", "Mb/s", 1_908.333_333),
            ("end-to-end cover, 24 h", "Mb/s", 44_841.666_667),
            ("link cover, 1 h", "% overhead", 141.5),
            ("link cover, 24 h", "% overhead", 3_453.5),
            ("end-to-end cover, 1 h", "% overhead", 930.5),
            ("end-to-end cover, 24 h", "% overhead", 24_114.5),
            ("capacity of 150 mixes with two T1", "Mb/s", 463.2),
            ("users without cover", "users", 500_040.0),
            ("users with link cover all day", "users", 7_136.292_279),
            ("mixes of 1 Mb/s for Table 1 without cover", "mixes", 186.0),
            ("chains compromised by 300 hostile mixes of 400", "%", 56.25),
            ("what that costs a year", "$", 3e6),
        ];
        for (what, unit, value) in pins {
            let found = computed(what, unit);
            assert!((found - value).abs() < 1e-6 * value, "{what}: {found} against {value}");
        }
    }

    /// The paper's percentages are of its rounded capacities.
    #[test]
    fn printed_overheads_come_from_printed_capacities() {
        for (capacity, percent) in [(447.2, 141.0), (6580.6, 3453.0), (1908.3, 930.0), (44841.7, 24113.0)] {
            let found: f64 = (capacity / 185.2 - 1.0) * 100.0;
            assert!((found - percent).abs() < 0.5, "{found} against {percent}");
        }
    }
}
