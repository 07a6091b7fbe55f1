//! Lines of members and of mixes, and what users do with them, with the source of every number.

use serde::Serialize;

use crate::report::Table;

use super::{
    Adversary, BandwidthClass, Choice, CoverScheme, Delays, MixKind, Mode, Overhead, Prices, Question,
    Requirements,
};

/// Where a number comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FigureSource {
    /// Printed there.
    Cited(&'static str),
    /// Computed from what is printed there.
    Derived(&'static str),
    /// Our own assumption, for this reason.
    Assumption(&'static str),
}

/// A number and its source.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Sourced {
    /// The number.
    pub value: f64,
    /// Its source.
    pub source: FigureSource,
}

/// A class of lines with sources. Fields as in [`BandwidthClass`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "said at BandwidthClass")]
pub struct SourcedClass {
    pub name: &'static str,
    pub up_mbps: Sourced,
    pub down_mbps: Sourced,
    pub share: Sourced,
    pub online_share: Sourced,
    pub lent_share: Sourced,
    pub acceptance: Sourced,
}

/// Members of a dynamic network, or mixes of a static one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Preset {
    /// What a command line calls it.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Who the mixes are.
    pub kind: MixKind,
    /// Their lines.
    pub lines: Vec<SourcedClass>,
    /// Other numbers of a question that belong to it, by field.
    pub numbers: Vec<(&'static str, Sourced)>,
}

impl Preset {
    /// The preset of this name.
    pub fn named(name: &str) -> Option<Self> {
        all().into_iter().find(|preset| preset.name == name)
    }

    /// Its classes, as a question has them.
    pub fn classes(&self) -> Vec<BandwidthClass> {
        self.lines.iter().map(SourcedClass::plain).collect()
    }

    /// A question about such a network (a static one still lacks users or mixes).
    pub fn question(&self) -> Question {
        let mut question = Question { kind: self.kind, ..Question::default() };
        match self.kind {
            MixKind::Static => question.mix_classes = self.classes(),
            MixKind::Dynamic => question.member_classes = self.classes(),
        }
        for &(field, Sourced { value, .. }) in &self.numbers {
            match field {
                "sent_mb_per_day" => question.sent_mb_per_day = value,
                "received_mb_per_day" => question.received_mb_per_day = value,
                "online_hours_per_day" => question.online_hours_per_day = value,
                "cover_rate_kbps" => question.cover_rate_kbps = value,
                "exit_share" => question.exit_share = value,
                "prices.per_mix_per_year" => question.prices.per_mix_per_year = value,
                "prices.per_mbps_per_year" => question.prices.per_mbps_per_year = value,
                "hops" => question.hops = value as u32,
                "overhead.reply_bytes" => question.overhead.reply_bytes = value,
                "delays.page_kb" => question.delays.page_kb = value,
                _ => unreachable!("the fields of presets are above"),
            }
        }
        question
    }

    /// Every number with its source, to read.
    pub fn table(&self) -> Table {
        let mut table =
            Table::new(format!("{}: {}", self.name, self.about), &["number", "value", "kind", "source"]);
        for (field, Sourced { value, source }) in self.sources() {
            let (kind, text) = match source {
                FigureSource::Cited(text) => ("cited", text),
                FigureSource::Derived(text) => ("derived", text),
                FigureSource::Assumption(text) => ("assumption", text),
            };
            table.row([field.into(), value.into(), kind.into(), text.into()]);
        }
        table
    }

    /// Every number with its field and source.
    pub fn sources(&self) -> impl Iterator<Item = (String, Sourced)> {
        let of_class = |class: &SourcedClass| {
            class.fields().map(|(field, sourced)| (format!("{}.{field}", class.name), sourced))
        };
        let numbers = self.numbers.iter().map(|&(field, sourced)| (field.to_owned(), sourced));
        self.lines.iter().flat_map(of_class).chain(numbers)
    }
}

impl SourcedClass {
    fn plain(&self) -> BandwidthClass {
        BandwidthClass {
            name: self.name.to_owned(),
            up_mbps: self.up_mbps.value,
            down_mbps: self.down_mbps.value,
            share: self.share.value,
            online_share: self.online_share.value,
            lent_share: self.lent_share.value,
            acceptance: self.acceptance.value,
        }
    }

    fn fields(&self) -> [(&'static str, Sourced); 6] {
        [
            ("up_mbps", self.up_mbps),
            ("down_mbps", self.down_mbps),
            ("share", self.share),
            ("online_share", self.online_share),
            ("lent_share", self.lent_share),
            ("acceptance", self.acceptance),
        ]
    }
}

/// The paper's Table 1, and the members of [`fc04`].
impl Default for Question {
    fn default() -> Self {
        Self {
            kind: MixKind::Static,
            mode: Mode::Realistic,
            users: None,
            mixes: None,
            hops: 4,
            sent_mb_per_day: 0.5,
            received_mb_per_day: 4.5,
            cover: CoverScheme::None,
            cover_rate_kbps: 64.0,
            online_hours_per_day: 1.0,
            mix_classes: vec![BandwidthClass::symmetric("volunteer", 1.0)],
            member_classes: fc04().classes(),
            choice: Choice::ByBandwidth,
            exit_share: 1.0,
            prices: Prices::default(),
            overhead: Overhead::default(),
            adversary: Adversary::default(),
            delays: Delays::default(),
            require: Requirements::default(),
        }
    }
}

/// All presets.
pub fn all() -> [Preset; 3] {
    [fc04(), home_2026(), hosted_2026()]
}

/// The node levels of MorphMix (Rennhard and Plattner, FC 2004, Table 1).
pub fn fc04() -> Preset {
    let level = |name, up_kbps: f64, down_kbps: f64, share, online: Sourced, acceptance| SourcedClass {
        name,
        up_mbps: cited(up_kbps / 1e3, FC04_TABLE),
        down_mbps: cited(down_kbps / 1e3, FC04_TABLE),
        share: cited(share, FC04_TABLE),
        online_share: online,
        lent_share: assumed(1.0, "FC 2004 limits tunnels, not bandwidth"),
        acceptance: cited(acceptance, FC04_TABLE),
    };
    let now_and_then =
        derived((1.0 / 24.0 + 0.9) / 2.0, "Rennhard and Plattner, FC 2004: uniform in [1/24, 0.9]; its mean");
    let mostly = cited(0.9, "Rennhard and Plattner, FC 2004, up-times of node levels");
    Preset {
        name: "fc04",
        about: "MorphMix' node levels of 2004, an hour of browsing a day",
        kind: MixKind::Dynamic,
        lines: vec![
            level(
                "ISDN",
                64.0,
                64.0,
                0.10,
                cited(1.0 / 24.0, "Rennhard and Plattner, FC 2004, up-times of node levels"),
                0.05,
            ),
            level("ADSL256", 64.0, 256.0, 0.25, now_and_then, 0.1),
            level("ADSL512", 128.0, 512.0, 0.25, now_and_then, 0.2),
            level("DSL512", 512.0, 512.0, 0.25, now_and_then, 0.5),
            level("T1", 1544.0, 1544.0, 0.10, mostly, 0.8),
            level("T3", 4632.0, 4632.0, 0.05, mostly, 0.95),
        ],
        numbers: Vec::new(),
    }
}

/// Homes of 2026, in countries of the OECD: measured lines of the last years, and assumptions where there are no measurements.
pub fn home_2026() -> Preset {
    let home = |name, up: Sourced, down: Sourced, share: Sourced| SourcedClass {
        name,
        up_mbps: up,
        down_mbps: down,
        share,
        online_share: assumed(1.0 / 3.0, "a home computer runs eight hours a day"),
        lent_share: assumed(0.25, "a quarter of the line is lent, so that its owner does not notice"),
        acceptance: assumed(1.0, "Throng does not choose by acceptance"),
    };
    // What fibre and fixed wireless leave, in the proportion of the last shares known: cable 30.5 to DSL 20.
    let rest = 1.0 - OECD_FIBRE - OECD_FIXED_WIRELESS;
    let of_rest = |percent: f64| derived(rest * percent / (30.5 + 20.0), REST_SPLIT);
    Preset {
        name: "home-2026",
        about: "home lines in countries of the OECD, and today's web pages",
        kind: MixKind::Dynamic,
        lines: vec![
            home(
                "fibre",
                cited(112.36, OOKLA_2022_VERIZON),
                cited(171.01, OOKLA_2022_VERIZON),
                cited(OECD_FIBRE, OECD_2024),
            ),
            home(
                "cable",
                cited(11.70, OOKLA_2022_SPECTRUM),
                cited(183.74, OOKLA_2022_SPECTRUM),
                of_rest(30.5),
            ),
            home(
                "DSL",
                cited(12.02, OOKLA_2022_CENTURYLINK),
                cited(41.29, OOKLA_2022_CENTURYLINK),
                of_rest(20.0),
            ),
            home(
                "fixed wireless",
                cited(21.68, OOKLA_2024_FWA),
                cited(205.44, OOKLA_2024_FWA),
                cited(OECD_FIXED_WIRELESS, OECD_2024_FWA),
            ),
        ],
        numbers: [
            browsing_2026(),
            vec![("exit_share", assumed(0.1, "one member in ten opens connections to the outside"))],
        ]
        .concat(),
    }
}

/// Rented machines of 2026, for the same users.
pub fn hosted_2026() -> Preset {
    let gigabit = assumed(1000.0, "a common port of a rented machine");
    let whole = |why| assumed(1.0, why);
    Preset {
        name: "hosted-2026",
        about: "rented machines with 1 Gb/s, and today's web pages",
        kind: MixKind::Static,
        lines: vec![SourcedClass {
            name: "hosted",
            up_mbps: gigabit,
            down_mbps: gigabit,
            share: whole("there is one class"),
            online_share: whole("it has no other use"),
            lent_share: whole("it has no other use"),
            acceptance: whole("Throng does not choose by acceptance"),
        }],
        numbers: [
            browsing_2026(),
            vec![
                (
                    "prices.per_mix_per_year",
                    assumed(600.0, "50 $ a month for a small machine, without its care"),
                ),
                ("prices.per_mbps_per_year", derived(12.0 * 1.0, TRANSIT_2015)),
            ],
        ]
        .concat(),
    }
}

/// What a user does in a day.
fn browsing_2026() -> Vec<(&'static str, Sourced)> {
    vec![
        ("hops", assumed(3.0, "Throng's default")),
        ("cover_rate_kbps", assumed(256.0, "the least round rate that holds such a day")),
        ("online_hours_per_day", assumed(8.0, "as long as the computer runs")),
        ("received_mb_per_day", derived(100.0 * 2.652, PAGES_A_DAY)),
        ("sent_mb_per_day", derived(100.0 * 2.652 * 48.0 / 592.8, OPENVAULT_RATIO)),
        ("overhead.reply_bytes", derived(2_652_000.0 / 71.0, ALMANAC_MEAN)),
        ("delays.page_kb", cited(2652.0, ALMANAC_2024)),
    ]
}

/// A network of mixes with equal lines: the paper's Freedom (150 mixes with two T1) and its volunteers (200 mixes of
/// 1 Mb/s).
pub fn equal_mixes(name: &str, mixes: u64, mbps: f64) -> Question {
    Question {
        kind: MixKind::Static,
        mode: Mode::Bare,
        mixes: Some(mixes),
        mix_classes: vec![BandwidthClass::symmetric(name, mbps)],
        choice: Choice::ByBandwidth,
        ..Question::default()
    }
}

const fn cited(value: f64, source: &'static str) -> Sourced {
    Sourced { value, source: FigureSource::Cited(source) }
}

const fn derived(value: f64, source: &'static str) -> Sourced {
    Sourced { value, source: FigureSource::Derived(source) }
}

const fn assumed(value: f64, why: &'static str) -> Sourced {
    Sourced { value, source: FigureSource::Assumption(why) }
}

const FC04_TABLE: &str = "Rennhard and Plattner, FC 2004, Table 1";

const OECD_FIBRE: f64 = 0.47;
const OECD_FIXED_WIRELESS: f64 = 0.058;
const OECD_2024: &str = "OECD, end of 2024: fibre 47 % of fixed broadband subscriptions; \
    https://www.rcrwireless.com/?p=425791";
const OECD_2024_FWA: &str = "OECD, June 2024: fixed wireless 5.8 % of fixed broadband subscriptions; \
    https://www.computerweekly.com/news/366623468/Fibre-5G-continue-to-expand-global-footprint";
const REST_SPLIT: &str = "what fibre (47 %) and fixed wireless (5.8 %) leave, split as cable 30.5 % (OECD, June 2023; \
    https://assets.samenacouncil.org/samena_elite/apr-jun2024/interactive/files/basic-html/page32.html) to DSL 20 % \
    (OECD, end of 2023; https://computerweekly.com/news/366598936/OECD-demand-soars-for-future-proof-fixed-mobile-broadband-access)";
const OOKLA_2022_VERIZON: &str = "median of Verizon, mostly fibre, Ookla, June (2022 by its figures); \
    https://www.telecompetitor.com/cox-nears-200-mbps-download-in-june-ookla-speedtest-results/";
const OOKLA_2022_SPECTRUM: &str = "median of Spectrum, cable, Ookla, June (2022 by its figures); \
    https://www.telecompetitor.com/cox-nears-200-mbps-download-in-june-ookla-speedtest-results/";
const OOKLA_2022_CENTURYLINK: &str = "median of CenturyLink, whose customers have DSL and some fibre, Ookla, June (2022 by its \
    figures); https://www.telecompetitor.com/cox-nears-200-mbps-download-in-june-ookla-speedtest-results/";
const OOKLA_2024_FWA: &str = "median of T-Mobile's fixed wireless, Ookla, last quarter of 2024; \
    https://wirelessdealergroup.com/post/are-t-mobile-and-verizon-mobile-customers-suffering-because-of-home-internet-subscribers";
const TRANSIT_2015: &str = "twelve months of 1.00 $ per Mb/s, median 10 GigE port in London, TeleGeography, second quarter of 2015, \
    taken as an upper bound: it fell 15 % a year to 2018 (https://blog.telegeography.com/outlook-for-ip-transit-prices-in-2018); \
    https://telecomnewsroom.com/ip-transit-prices-continue-falling-major-discrepancies-remain/";
const ALMANAC_2024: &str = "median desktop page, HTTP Archive, October 2024: 2652 KB, 71 requests; \
    https://spokes-wiki.pages.dev/webperf-wiki/web-almanac-page-weight-2024";
const ALMANAC_MEAN: &str = "median page over median requests (not a mean reply, which nobody printed), HTTP Archive, October \
    2024; https://spokes-wiki.pages.dev/webperf-wiki/web-almanac-page-weight-2024";
const PAGES_A_DAY: &str = "100 pages a day (assumption) of the median desktop page, 2652 KB, HTTP Archive, October 2024; \
    https://spokes-wiki.pages.dev/webperf-wiki/web-almanac-page-weight-2024";
const OPENVAULT_RATIO: &str = "what is received, in the ratio of 48.0 GB sent to 592.8 GB received in a month by the mean US \
    subscriber (all uses, not only the web), OpenVault, third quarter of 2025; \
    https://circleid.com/posts/q3-broadband-report-shows-uploads-rising-faster-than-downloads";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_a_question_with_an_answer() {
        for preset in all() {
            let question = Question { users: Some(1_000_000), ..preset.question() };
            let answer = question.answer().unwrap();
            assert!(answer.stated_scheme().required_mbps.unwrap() > 0.0, "{}", preset.name);
            assert_eq!(preset.table().rows.len(), preset.sources().count());
            assert_eq!(Preset::named(preset.name), Some(preset));
        }
    }

    #[test]
    fn every_number_says_where_it_comes_from() {
        for preset in all() {
            assert!(preset.sources().count() >= 6 * preset.lines.len());
            for (field, Sourced { source, .. }) in preset.sources() {
                let (FigureSource::Cited(text)
                | FigureSource::Derived(text)
                | FigureSource::Assumption(text)) = source;
                assert!(text.len() > 10, "{field}");
                let newer = preset.name != "fc04" && !matches!(source, FigureSource::Assumption(_));
                assert!(!newer || text.contains("https://"), "{field}: {text}");
            }
        }
    }
}
