//! The answer: what follows from a question, and whether what was required holds.

use serde::Serialize;

use super::breakdown::{Share, breakdown};
use super::{Compromise, CoverScheme, Invalid, Latency, MixKind, Mode, Question, SchemeCapacity};
use crate::report::{Cell, Table, readable};

/// What follows from a question.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// The question, with its defaults.
    pub question: Question,
    /// Each cover scheme, the least protective first; one of them is stated.
    pub schemes: Vec<SchemeCapacity>,
    /// Of what a user's need under the stated scheme is made; the parts sum to it.
    pub breakdown: Vec<Share>,
    /// The most protective scheme that is affordable: in a static network if a budget is stated, in a dynamic one that
    /// members carry.
    pub best_affordable: Option<CoverScheme>,
    /// What the adversary gets; if the question names one.
    pub compromise: Option<Compromise>,
    /// How long it takes, under the stated scheme.
    pub latency: Latency,
    /// What was required, and what was found.
    pub requirements: Vec<Requirement>,
}

/// Something that had to hold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Requirement {
    /// The field that states it.
    pub field: &'static str,
    /// What it limits, with the unit.
    pub what: &'static str,
    /// The most that was allowed.
    pub allowed: f64,
    /// What was found.
    pub found: f64,
    /// Whether it holds.
    pub met: bool,
}

impl Question {
    /// Answers it.
    ///
    /// # Errors
    /// Those of [`Self::validate`].
    pub fn answer(&self) -> Result<Answer, Invalid> {
        self.validate()?;
        Ok(Answer::new(self))
    }
}

impl Answer {
    fn new(question: &Question) -> Self {
        let schemes: Vec<_> =
            CoverScheme::ALL.iter().map(|&cover| SchemeCapacity::new(question, cover)).collect();
        let compromise = Compromise::new(question);
        let latency = Latency::new(question);
        let mut answer = Self {
            question: question.clone(),
            best_affordable: schemes.iter().rev().find(|s| s.affordable == Some(true)).map(|s| s.cover),
            schemes,
            breakdown: breakdown(question),
            compromise,
            latency,
            requirements: Vec::new(),
        };
        answer.requirements = answer.judged();
        answer
    }

    /// The scheme that the question asks about.
    pub fn stated_scheme(&self) -> &SchemeCapacity {
        self.schemes.iter().find(|scheme| scheme.stated).expect("the stated cover is one of all")
    }

    /// Whether everything that was required holds (a command ends with 3 if not).
    pub fn meets_requirements(&self) -> bool {
        self.requirements.iter().all(|requirement| requirement.met)
    }

    /// Everything, to read.
    pub fn tables(&self) -> Vec<Table> {
        let mut tables = vec![self.question_table(), self.capacity_table()];
        if self.question.mode == Mode::Realistic {
            tables.push(self.breakdown_table());
        }
        tables
            .extend(self.compromise.as_ref().map(|compromise| compromise_table(compromise, &self.question)));
        tables.push(self.latency_table());
        if !self.requirements.is_empty() {
            tables.push(self.requirements_table());
        }
        tables
    }

    fn judged(&self) -> Vec<Requirement> {
        let require = &self.question.require;
        let stated = self.stated_scheme();
        // Stating both users and mixes, or having members carry themselves, requires that they are enough.
        let enough = stated.load_share.is_some().then_some(1.0);
        let year = self.compromise.as_ref().map(|compromise| compromise.year.once_sticky);
        let circuit = self.compromise.as_ref().map(|compromise| compromise.per_circuit);
        let cost = match self.question.kind {
            MixKind::Static => stated.cost_per_year,
            MixKind::Dynamic => Some(0.0), // members bring their lines
        };
        let candidates = [
            (
                "require.load_share_max",
                "need in parts of the capacity",
                require.load_share_max.or(enough),
                stated.load_share,
            ),
            ("require.budget_per_year", "cost of the mixes a year", require.budget_per_year, cost),
            (
                "require.added_delay_ms_max",
                "delay added to a round trip, ms",
                require.added_delay_ms_max,
                Some(self.latency.added_ms),
            ),
            (
                "require.compromised_share_max",
                "circuits compromised, in parts of all",
                require.compromised_share_max,
                circuit,
            ),
            (
                "require.compromised_in_year_max",
                "probability of a compromised circuit within a year, sticky first hops",
                require.compromised_in_year_max,
                year,
            ),
        ];
        let judge = |(field, what, allowed, found): (_, _, Option<f64>, Option<f64>)| {
            let (allowed, found) = (allowed?, found?);
            Some(Requirement { field, what, allowed, found, met: found <= allowed })
        };
        candidates.into_iter().filter_map(judge).collect()
    }

    fn question_table(&self) -> Table {
        let question = &self.question;
        let mut table = Table::new("Question", &["what", "value", "unit"]);
        let mode = match question.mode {
            Mode::Bare => "bare: the paper's formulas as printed",
            Mode::Realistic => "realistic: with headers, padding, acknowledgements, set-up, probes and peaks",
        };
        table.row(["network".into(), question.kind.name().into(), "".into()]);
        table.row(["counting".into(), mode.into(), "".into()]);
        table.row(["cover".into(), question.cover.name().into(), "".into()]);
        let count = |number: Option<u64>| number.map_or("?".to_owned(), |number| readable(number as f64));
        table.row(["users".into(), count(question.users).into(), "".into()]);
        if question.kind == MixKind::Static {
            table.row(["mixes".into(), count(question.mixes).into(), "".into()]);
        }
        let numbers = [
            ("hops", f64::from(question.hops), "mixes"),
            ("sent", question.sent_mb_per_day, "MB per user and day"),
            ("received", question.received_mb_per_day, "MB per user and day"),
            ("cover rate", question.cover_rate_kbps, "kb/s each way"),
            ("online", question.online_hours_per_day, "hours a day"),
            ("exits", question.exit_share * 100.0, "% of the capacity"),
        ];
        for (name, value, unit) in numbers {
            table.row([name.into(), readable(value).into(), unit.into()]);
        }
        if question.mode == Mode::Realistic {
            table.row([
                "peak factor".into(),
                readable(question.overhead.peak_factor).into(),
                "times the mean".into(),
            ]);
        }
        table
    }

    fn capacity_table(&self) -> Table {
        let mut table = Table::new(
            "Capacity",
            &[
                "scheme",
                "per user kb/s",
                "by formula kb/s",
                "overhead %",
                "needed Mb/s",
                "mixes needed",
                "there is Mb/s",
                "users carried",
                "load %",
                "cost a year",
                "affordable",
            ],
        );
        for scheme in &self.schemes {
            let mark = if scheme.stated { " *" } else { "" };
            table.row([
                format!("{}{mark}", scheme.cover.name()).into(),
                scheme.per_user_mbps.map(|mbps| mbps * 1e3).into(),
                Cell::from(scheme.per_user_printed_mbps * 1e3),
                scheme.overhead_percent.into(),
                scheme.required_mbps.into(),
                scheme.mixes_needed.into(),
                scheme.available_mbps.into(),
                match (self.question.kind, scheme.load_share) {
                    (MixKind::Dynamic, Some(load)) if load <= 1.0 => "any number".into(),
                    (MixKind::Dynamic, Some(_)) => "none".into(),
                    _ => scheme.users_supported.into(),
                },
                scheme.load_share.map(|share| share * 100.0).into(),
                scheme.cost_per_year.into(),
                scheme.affordable.into(),
            ]);
            if let Some(why) = &scheme.impossible {
                table.notes.push(format!("{}: {why}", scheme.cover.name()));
            }
        }
        table.drop_empty_columns();
        if let Some(bottleneck) = &self.stated_scheme().bottleneck {
            table.notes.push(format!("* stated; decided by {bottleneck}"));
        }
        if let Some(best) = self.best_affordable {
            table.notes.push(format!("most protective that is affordable: {}", best.name()));
        }
        table
    }

    fn breakdown_table(&self) -> Table {
        let columns = ["what", "per user kb/s"];
        let mut table = Table::new("What a user needs of all mixes, under the stated scheme", &columns);
        for part in &self.breakdown {
            table.row([part.what.into(), (part.per_user_mbps * 1e3).into()]);
        }
        table
    }

    fn latency_table(&self) -> Table {
        let latency = &self.latency;
        let mut table = Table::new("Latency (means)", &["what", "ms"]);
        let rows = [
            ("one way", latency.one_way_ms),
            ("round trip", latency.round_trip_ms),
            ("round trip without the network", latency.direct_round_trip_ms),
            ("added to a round trip", latency.added_ms),
            ("of it, waiting for slots of cover", 2.0 * latency.slot_wait_ms),
            ("setting a circuit up (ahead of need)", latency.set_up_ms),
            ("a page", latency.page_ms),
        ];
        for (name, ms) in rows {
            table.row([name.into(), ms.into()]);
        }
        table.notes.push(latency.comfort.name().to_owned());
        for budget in &latency.mixing_budgets {
            let seconds = readable(budget.added_ms / 1e3);
            table.notes.push(match budget.mixing_ms {
                Some(ms) => {
                    format!("{seconds} s would be added if each mix held cells for {} ms", readable(ms))
                }
                None => format!("{seconds} s are added without any mixing"),
            });
        }
        table
    }

    fn requirements_table(&self) -> Table {
        let mut table = Table::new("Requirements", &["what", "at most", "found", "met"]);
        for requirement in &self.requirements {
            table.row([
                requirement.what.into(),
                requirement.allowed.into(),
                requirement.found.into(),
                requirement.met.into(),
            ]);
        }
        table
    }
}

fn compromise_table(compromise: &Compromise, question: &Question) -> Table {
    let mut table = Table::new("Chains compromised (seen from both ends)", &["what", "value", "unit"]);
    let percent = |name: &str, share: f64| [name.into(), (share * 100.0).into(), "%".into()];
    table.row(percent("hostile mixes", compromise.hostile_share));
    table.row(percent("observed links", compromise.observed_link_share));
    table.row(percent("circuits compromised", compromise.per_circuit));
    if let Some(share) = compromise.both_mixes_without_replacement {
        table.row(percent("both end mixes hostile, two different ones", share));
    }
    table.row(percent("all mixes of a circuit hostile", compromise.all_mixes));
    table.row(percent("any mix of a circuit hostile", compromise.any_mix));
    table.row(["circuits of a user".into(), compromise.circuits_per_day.into(), "a day".into()]);
    for (exposure, name) in [(compromise.day, "day"), (compromise.year, "year")] {
        table.row([format!("compromised in a {name}").into(), exposure.circuits.into(), "circuits".into()]);
        table.row(percent(&format!("at least one in a {name}, fresh first hops"), exposure.once_fresh));
        table.row(percent(&format!("at least one in a {name}, sticky first hops"), exposure.once_sticky));
    }
    table.row(percent("a hostile first hop within a year, sticky", compromise.hostile_first_hop_in_year));
    if let Some(circuits) = compromise.predecessor_circuits {
        let name = "predecessor attack done after, fresh first hops";
        table.row([name.into(), circuits.into(), "circuits at most".into()]);
    }
    if let Some(cost) = compromise.cost_per_year {
        table.row(["price of the hostile mixes".into(), cost.into(), "a year".into()]);
    }
    table.notes.push(format!(
        "sticky: {} first hops, each kept {} days",
        question.adversary.first_hops,
        readable(question.adversary.first_hop_days)
    ));
    table
}
