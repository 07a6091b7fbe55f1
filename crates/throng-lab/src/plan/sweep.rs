//! One quantity varied: static against dynamic, with each cover scheme.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use throng_core::limits::HOPS_MAX;

use super::capacity::usable_mean_bps;
use super::invalid::{one_of, within};
use super::{Adversary, CoverScheme, Invalid, MixKind, Mode, Question, Requirements, SchemeCapacity};
use crate::report::{Chart, Curve, Mark, Scale, Series, Table, readable};

/// A question asked along an axis, of a static and of a dynamic network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// What stays the same. [`Question::kind`], [`Question::cover`], [`Question::adversary`] and [`Question::require`]
    /// do not matter; users and mixes must be there unless they vary.
    pub question: Question,
    /// What varies.
    pub axis: Axis,
    /// From here: above 0.
    pub from: f64,
    /// To here: more than that.
    pub to: f64,
    /// In so many steps: 2 to 1000 points. (Hops: every whole number between.)
    pub points: u32,
}

/// What varies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Axis {
    /// [`Question::users`].
    Users,
    /// [`Question::mixes`].
    Mixes,
    /// [`Question::hops`].
    Hops,
    /// [`Question::received_mb_per_day`].
    ReceivedMbPerDay,
    /// [`Question::cover_rate_kbps`].
    CoverRateKbps,
    /// [`Question::online_hours_per_day`].
    OnlineHoursPerDay,
}

/// A sweep and what was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Swept {
    /// What was asked.
    pub sweep: Sweep,
    /// What was found: per value, the static and the dynamic network with each cover scheme.
    pub points: Vec<SweepPoint>,
}

/// One network with one scheme at one value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SweepPoint {
    /// The value of what varies.
    pub x: f64,
    /// Who the mixes are.
    pub kind: MixKind,
    /// The scheme.
    pub cover: CoverScheme,
    /// Capacity needed, Mb/s; nothing where the scheme is impossible.
    pub required_mbps: Option<f64>,
    /// Capacity there is, Mb/s.
    pub available_mbps: Option<f64>,
    /// Needed in parts of what there is.
    pub load_share: Option<f64>,
}

impl FromStr for Axis {
    type Err = Invalid;
    fn from_str(word: &str) -> Result<Self, Invalid> {
        let words = [
            ("users", Self::Users),
            ("mixes", Self::Mixes),
            ("hops", Self::Hops),
            ("received-mb-per-day", Self::ReceivedMbPerDay),
            ("cover-rate-kbps", Self::CoverRateKbps),
            ("online-hours-per-day", Self::OnlineHoursPerDay),
        ];
        one_of("axis", word, &words)
    }
}

impl Axis {
    /// Its name in tables and charts, with the unit.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Mixes => "mixes",
            Self::Hops => "mixes in a chain",
            Self::ReceivedMbPerDay => "MB received per user and day",
            Self::CoverRateKbps => "cover rate, kb/s",
            Self::OnlineHoursPerDay => "hours online a day",
        }
    }

    fn set(self, question: &mut Question, value: f64) {
        match self {
            Self::Users => question.users = Some(value as u64),
            Self::Mixes => question.mixes = Some(value as u64),
            Self::Hops => question.hops = value as u32,
            Self::ReceivedMbPerDay => question.received_mb_per_day = value,
            Self::CoverRateKbps => question.cover_rate_kbps = value,
            Self::OnlineHoursPerDay => question.online_hours_per_day = value,
        }
    }

    fn is_whole(self) -> bool {
        matches!(self, Self::Users | Self::Mixes | Self::Hops)
    }
}

impl Sweep {
    /// Asks at every point.
    ///
    /// # Errors
    /// If the range is none, or the question is impossible at a point.
    pub fn run(&self) -> Result<Swept, Invalid> {
        let values = self.values()?;
        let mut points = Vec::new();
        for x in values {
            for kind in [MixKind::Static, MixKind::Dynamic] {
                let question = self.question_at(x, kind);
                question.validate()?;
                points.extend(CoverScheme::ALL.map(|cover| SweepPoint::new(&question, x, cover)));
            }
        }
        Ok(Swept { sweep: self.clone(), points })
    }

    fn question_at(&self, x: f64, kind: MixKind) -> Question {
        let mut question = Question {
            kind,
            cover: CoverScheme::None, // the others may be impossible at some points
            adversary: Adversary::default(),
            require: Requirements::default(),
            ..self.question.clone()
        };
        self.axis.set(&mut question, x);
        if kind == MixKind::Dynamic {
            question.mixes = None;
        }
        question
    }

    fn values(&self) -> Result<Vec<f64>, Invalid> {
        within("from", self.from, f64::MIN_POSITIVE..=1e12)?;
        if !(self.from < self.to && self.to <= 1e12) {
            return Err(Invalid::new("to", self.to, format!("above {} to 1e12", self.from)));
        }
        within("points", f64::from(self.points), 2.0..=1000.0)?;
        if self.axis != Axis::Users && self.question.users.is_none() {
            return Err(Invalid::new("question.users", "nothing", "1 to 10000000000 unless users vary"));
        }
        if self.axis != Axis::Mixes && self.question.mixes.is_none() {
            return Err(Invalid::new(
                "question.mixes",
                "nothing",
                "1 to 10000000 unless mixes vary: a sweep has a static side",
            ));
        }
        if self.axis == Axis::Hops {
            within("from", self.from, 1.0..=HOPS_MAX as f64)?;
            within("to", self.to, self.from.ceil()..=HOPS_MAX as f64)?;
            let first = self.from.ceil() as u32;
            return Ok((first..=self.to as u32).map(f64::from).collect());
        }
        let last = f64::from(self.points - 1);
        let at = |step: u32| self.from * (self.to / self.from).powf(f64::from(step) / last);
        let mut values: Vec<f64> = (0..self.points).map(at).collect();
        if self.axis.is_whole() {
            values.iter_mut().for_each(|value| *value = value.round());
            values.dedup();
        }
        Ok(values)
    }
}

impl SweepPoint {
    fn new(question: &Question, x: f64, cover: CoverScheme) -> Self {
        let scheme = SchemeCapacity::new(question, cover);
        Self {
            x,
            kind: question.kind,
            cover,
            required_mbps: scheme.required_mbps,
            available_mbps: scheme.available_mbps,
            load_share: scheme.load_share,
        }
    }
}

impl Swept {
    /// Every point, a line each.
    pub fn table(&self) -> Table {
        let columns = [self.sweep.axis.name(), "network", "cover", "needed Mb/s", "there is Mb/s", "load %"];
        let mut table = Table::new(format!("{} ({})", self.title(), self.subtitle()), &columns);
        for point in &self.points {
            table.row([
                point.x.into(),
                point.kind.name().into(),
                point.cover.name().into(),
                point.required_mbps.into(),
                point.available_mbps.into(),
                point.load_share.map(|share| share * 100.0).into(),
            ]);
        }
        table
    }

    /// The load of both networks with each scheme. Above 100 %, users wait.
    pub fn chart(&self) -> Chart {
        let series = |kind, cover| Series {
            name: format!("{}, {}", MixKind::name(kind), CoverScheme::name(cover)),
            color: cover as usize,
            line: if kind == MixKind::Static { Curve::Solid } else { Curve::Dashed },
            points: (self.points.iter())
                .filter(|point| point.kind == kind && point.cover == cover)
                .filter_map(|point| Some((point.x, point.load_share? * 100.0)))
                .collect(),
        };
        let kinds = [MixKind::Static, MixKind::Dynamic];
        Chart {
            title: self.title(),
            subtitle: self.subtitle(),
            x_name: self.sweep.axis.name().to_owned(),
            y_name: "needed, % of the capacity".to_owned(),
            x_scale: if self.sweep.axis == Axis::Hops { Scale::Linear } else { Scale::Log },
            y_scale: Scale::Log,
            series: kinds
                .iter()
                .flat_map(|&kind| CoverScheme::ALL.map(|cover| series(kind, cover)))
                .collect(),
            marks: vec![Mark { y: 100.0, name: "full".to_owned() }],
        }
    }

    fn title(&self) -> String {
        format!("Load by {}: static against dynamic", self.sweep.axis.name())
    }

    fn subtitle(&self) -> String {
        let Sweep { question, axis, .. } = &self.sweep;
        let mut parts = Vec::new();
        let mut fixed = |of: Axis, text: String| {
            if of != *axis {
                parts.push(text);
            }
        };
        let line = readable(usable_mean_bps(&question.mix_classes, question.choice) / 1e6);
        let count = |number: Option<u64>| readable(number.unwrap_or(0) as f64);
        fixed(Axis::Users, format!("{} users", count(question.users)));
        fixed(Axis::Mixes, format!("static: {} mixes of {line} Mb/s", count(question.mixes)));
        fixed(Axis::Hops, format!("{} hops", question.hops));
        fixed(
            Axis::ReceivedMbPerDay,
            format!("{} + {} MB a day", question.sent_mb_per_day, question.received_mb_per_day),
        );
        fixed(Axis::CoverRateKbps, format!("cover {} kb/s", question.cover_rate_kbps));
        fixed(Axis::OnlineHoursPerDay, format!("{} h online", question.online_hours_per_day));
        let mode = match question.mode {
            Mode::Bare => "bare formulas",
            Mode::Realistic => "realistic",
        };
        parts.push(mode.to_owned());
        parts.join(" · ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep() -> Sweep {
        let question = Question { mixes: Some(200), ..Question::default() };
        Sweep { question, axis: Axis::Users, from: 1e2, to: 1e7, points: 26 }
    }

    #[test]
    fn static_load_grows_and_dynamic_load_does_not() {
        let swept = sweep().run().unwrap();
        assert_eq!(swept.points.len(), 26 * 6);
        for cover in CoverScheme::ALL {
            let loads = |kind| -> Vec<f64> {
                let of = swept.points.iter().filter(|point| (point.kind, point.cover) == (kind, cover));
                of.map(|point| point.load_share.unwrap()).collect()
            };
            assert!(loads(MixKind::Static).windows(2).all(|pair| pair[0] < pair[1]));
            assert!(loads(MixKind::Dynamic).windows(2).all(|pair| (pair[0] / pair[1] - 1.0).abs() < 1e-9));
        }
    }

    #[test]
    fn an_impossible_scheme_is_a_gap_and_an_impossible_range_an_error() {
        let question = Question { users: Some(1000), ..sweep().question };
        let rates = Sweep { question, axis: Axis::CoverRateKbps, from: 1.0, to: 1e3, points: 10 };
        let swept = rates.run().unwrap();
        assert!(swept.points.iter().any(|point| point.load_share.is_none()));
        assert_eq!(Sweep { to: 0.5, ..rates }.run().unwrap_err().field, "to");
        let without = Sweep { question: Question::default(), ..sweep() };
        assert_eq!(without.run().unwrap_err().field, "question.mixes");
        let hops = Sweep {
            axis: Axis::Hops,
            from: 1.0,
            to: 9.0,
            question: Question { users: Some(9), ..sweep().question },
            ..sweep()
        };
        assert_eq!(hops.run().unwrap_err().field, "to");
    }
}
