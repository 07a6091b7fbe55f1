//! `throng plan`: how many mixes, for how many users; and each of it backwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde::Serialize;
use throng_lab::plan::paper::Paper;
use throng_lab::plan::presets::{self, Preset};
use throng_lab::plan::{Axis, BandwidthClass, Choice, CoverScheme, Invalid, MixKind, Mode, Question, Sweep};
use throng_lab::report::{self, Table};

use crate::terminal::print;

/// The exit code when a stated requirement is not met.
const NOT_MET: u8 = 3;
/// Points of a sweep's curves.
const SWEEP_POINTS: u32 = 61;
/// Mixes of the static network in a sweep, if neither given nor varied: those of Freedom, as in the paper.
const SWEEP_MIXES: u64 = 150;

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct PlanOptions {
    #[command(subcommand)]
    command: Option<PlanCommand>,
    /// Print the paper's own figures beside the recomputed ones
    #[arg(long)]
    paper: bool,
    /// List the presets with the source of every number
    #[arg(long)]
    presets: bool,
    #[command(flatten)]
    question: QuestionOptions,
    #[command(flatten)]
    output: OutputOptions,
}

#[derive(Subcommand)]
enum PlanCommand {
    /// Vary one quantity, given as a range like `--users 1e2..1e7`: static against dynamic, each cover scheme
    Sweep {
        #[command(flatten)]
        question: QuestionOptions,
        /// Number of points
        #[arg(long, default_value_t = SWEEP_POINTS)]
        points: u32,
        /// Write a chart here
        #[arg(long)]
        svg: Option<PathBuf>,
        #[command(flatten)]
        output: OutputOptions,
    },
}

#[derive(Args)]
#[group(multiple = false)]
struct OutputOptions {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print CSV
    #[arg(long)]
    csv: bool,
}

/// A number, or a range of them for a sweep.
#[derive(Clone, Copy)]
enum Quantity {
    One(f64),
    Range(f64, f64),
}

impl FromStr for Quantity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            text.parse::<f64>().map_err(|_| {
                format!(
                    "invalid value `{text}`: expected a number like 100000 or 1e5, or a range like 1e2..1e7"
                )
            })
        };
        match text.split_once("..") {
            Some((from, to)) => Ok(Self::Range(number(from)?, number(to)?)),
            None => Ok(Self::One(number(text)?)),
        }
    }
}

fn number(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| match text.contains("..") {
        true => {
            format!("not a number: `{text}`; what can be a range is --{}", AXES.map(Flag::flag).join(", --"))
        }
        false => format!("not a number: `{text}`"),
    })
}

/// What is asked. What is left out is computed, or has the default of the paper's Table 1.
#[derive(Args)]
struct QuestionOptions {
    /// Start from a file: the `question` of an earlier `--json`, or the same in TOML
    #[arg(long)]
    question: Option<PathBuf>,
    /// Start from a preset: fc04, home-2026, hosted-2026
    #[arg(long, conflicts_with = "question")]
    preset: Option<String>,
    /// static (listed mixes) or dynamic (every user is a mix)
    #[arg(long)]
    kind: Option<MixKind>,
    /// realistic, or bare (the paper's formulas as printed)
    #[arg(long)]
    mode: Option<Mode>,
    /// Number of users; leave out to compute it
    #[arg(long)]
    users: Option<Quantity>,
    /// Number of mixes; leave out to compute it
    #[arg(long)]
    mixes: Option<Quantity>,
    /// Mixes in a chain
    #[arg(long)]
    hops: Option<Quantity>,
    /// MB that a user sends a day
    #[arg(long, value_parser = number)]
    sent_mb_per_day: Option<f64>,
    /// MB that a user receives a day
    #[arg(long)]
    received_mb_per_day: Option<Quantity>,
    /// none, link or end-to-end
    #[arg(long)]
    cover: Option<CoverScheme>,
    /// Rate of cover in each direction
    #[arg(long)]
    cover_rate_kbps: Option<Quantity>,
    /// Hours a day that a user is online
    #[arg(long)]
    online_hours_per_day: Option<Quantity>,
    /// Line rate of every mix, in both directions (for several classes, use `--question`)
    #[arg(long, value_parser = number)]
    mix_mbps: Option<f64>,
    /// How chains choose mixes: by-bandwidth, uniform, by-acceptance
    #[arg(long)]
    choice: Option<Choice>,
    /// Share of the capacity that belongs to exits
    #[arg(long, value_parser = number)]
    exit_share: Option<f64>,
    /// Price of a mix, a year
    #[arg(long, value_parser = number)]
    per_mix_per_year: Option<f64>,
    /// Price of one Mb/s of a mix's line, a year
    #[arg(long, value_parser = number)]
    per_mbps_per_year: Option<f64>,
    /// Load at the busiest moment, as a multiple of the mean
    #[arg(long, value_parser = number)]
    peak_factor: Option<f64>,
    /// Share of mixes that are hostile
    #[arg(long, value_parser = number)]
    hostile_share: Option<f64>,
    /// The same as a number, out of `--mixes`
    #[arg(long, conflicts_with = "hostile_share")]
    hostile_mixes: Option<u64>,
    /// Share of links that are observed
    #[arg(long, value_parser = number)]
    observed_link_share: Option<f64>,
    /// Mean delay of one link, one way
    #[arg(long, value_parser = number)]
    link_ms: Option<f64>,
    /// Mean time that a mix holds a cell
    #[arg(long, value_parser = number)]
    mixing_ms: Option<f64>,
    /// Requirement: highest cost a year
    #[arg(long, value_parser = number)]
    budget_per_year: Option<f64>,
    /// Requirement: highest load, as a share of the capacity
    #[arg(long, value_parser = number)]
    load_share_max: Option<f64>,
    /// Requirement: longest delay added to a round trip
    #[arg(long, value_parser = number)]
    added_delay_ms_max: Option<f64>,
    /// Requirement: highest share of circuits compromised
    #[arg(long, value_parser = number)]
    compromised_share_max: Option<f64>,
    /// Requirement: highest probability that a user has a circuit compromised within a year
    #[arg(long, value_parser = number)]
    compromised_in_year_max: Option<f64>,
}

/// Answers; the exit code says whether all stated requirements are met.
pub(crate) fn run(options: &PlanOptions) -> Result<ExitCode> {
    if let Some(PlanCommand::Sweep { question, points, svg, output }) = &options.command {
        return sweep(question, *points, svg.as_deref(), output);
    }
    if options.paper {
        let paper = Paper::recomputed();
        show(&options.output, &paper, &[paper.table()])?;
        return Ok(if paper.agrees() { ExitCode::SUCCESS } else { ExitCode::from(NOT_MET) });
    }
    if options.presets {
        let tables: Vec<Table> = presets::all().iter().map(Preset::table).collect();
        show(&options.output, &tables, &tables)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (question, axis) = options.question.read()?;
    if let Some((axis, ..)) = axis {
        bail!("--{} is a range, which only `throng plan sweep` accepts", axis.flag());
    }
    if question.kind == MixKind::Static && question.users.is_none() && question.mixes.is_none() {
        bail!("give --users (how many mixes do they need?) or --mixes (how many users do they carry?)");
    }
    let answer = question.answer().map_err(|invalid| options.question.in_flags(invalid))?;
    show(&options.output, &answer, &answer.tables())?;
    Ok(if answer.meets_requirements() { ExitCode::SUCCESS } else { ExitCode::from(NOT_MET) })
}

fn sweep(
    options: &QuestionOptions,
    points: u32,
    svg: Option<&Path>,
    output: &OutputOptions,
) -> Result<ExitCode> {
    let (mut question, axis) = options.read()?;
    let (axis, from, to) = axis.context("a sweep needs one quantity as a range, like `--users 1e2..1e7`")?;
    if axis != Axis::Mixes {
        question.mixes.get_or_insert(SWEEP_MIXES);
    }
    if axis != Axis::Users && question.users.is_none() {
        bail!("give --users, or let them vary: --users 1e2..1e7");
    }
    let asked = Sweep { question, axis, from, to, points };
    let swept = asked.run().map_err(|mut invalid| {
        if invalid.field == "to" {
            invalid.field = axis.flag().into();
        }
        options.in_flags(invalid)
    })?;
    if let Some(path) = svg {
        fs::write(path, swept.chart().svg()).with_context(|| format!("writing {}", path.display()))?;
        tell!("wrote the chart to {}", path.display());
    }
    show(output, &swept, &[swept.table()])?;
    Ok(ExitCode::SUCCESS)
}

/// Prints an answer in the requested form.
fn show<T: Serialize>(output: &OutputOptions, value: &T, tables: &[Table]) -> Result<()> {
    let text = match (output.json, output.csv, tables) {
        (true, ..) => serde_json::to_string_pretty(value).context("writing JSON")? + "\n",
        (_, true, [table]) => report::csv(table),
        (_, true, tables) => report::tidy_csv(tables),
        _ => report::text(tables),
    };
    print(&text)
}

/// What varies, and from where to where.
type Varied = (Axis, f64, f64);

impl QuestionOptions {
    /// The question, and what varies in it.
    fn read(&self) -> Result<(Question, Option<Varied>)> {
        let mut question = self.begin()?;
        let mut axis = None;
        self.put_quantities(&mut question, &mut axis)?;
        self.put_words(&mut question);
        self.put_circumstances(&mut question);
        Ok((question, axis))
    }

    /// What is wrong, by the name of its flag; by that in the file, if there is one.
    fn in_flags(&self, mut invalid: Invalid) -> Invalid {
        if self.question.is_none() {
            let name = invalid.field.rsplit('.').next().unwrap_or_default().replace('_', "-");
            let is_class = invalid.field.starts_with("mix_classes");
            invalid.field = if is_class { "--mix-mbps".into() } else { format!("--{name}") };
        }
        invalid
    }

    fn begin(&self) -> Result<Question> {
        if let Some(path) = &self.question {
            let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
            let is_json = path.extension().is_some_and(|extension| extension == "json");
            let question = if is_json {
                serde_json::from_str(&text).map_err(anyhow::Error::from)
            } else {
                toml::from_str(&text).map_err(anyhow::Error::from)
            };
            return question.with_context(|| format!("in {}", path.display()));
        }
        let Some(name) = &self.preset else { return Ok(Question::default()) };
        let names = || presets::all().map(|preset| preset.name).join(", ");
        let preset = Preset::named(name);
        Ok(preset
            .with_context(|| format!("--preset: unknown preset `{name}`: expected one of {}", names()))?
            .question())
    }

    /// Numbers that a sweep may vary.
    fn put_quantities(&self, question: &mut Question, axis: &mut Option<Varied>) -> Result<()> {
        let mut take = |quantity: Option<Quantity>, of: Axis| -> Result<Option<f64>> {
            match quantity {
                None => Ok(None),
                Some(Quantity::One(value)) => Ok(Some(value)),
                Some(Quantity::Range(from, to)) => match axis.replace((of, from, to)) {
                    Some((other, ..)) => bail!("--{} and --{} cannot both vary", other.flag(), of.flag()),
                    None => Ok(None),
                },
            }
        };
        if let Some(users) = take(self.users, Axis::Users)? {
            question.users = Some(whole("users", users)?);
        }
        if let Some(mixes) = take(self.mixes, Axis::Mixes)? {
            question.mixes = Some(whole("mixes", mixes)?);
        }
        if let Some(hops) = take(self.hops, Axis::Hops)? {
            question.hops = u32::try_from(whole("hops", hops)?).unwrap_or(u32::MAX);
        }
        put(&mut question.received_mb_per_day, take(self.received_mb_per_day, Axis::ReceivedMbPerDay)?);
        put(&mut question.cover_rate_kbps, take(self.cover_rate_kbps, Axis::CoverRateKbps)?);
        put(&mut question.online_hours_per_day, take(self.online_hours_per_day, Axis::OnlineHoursPerDay)?);
        Ok(())
    }

    fn put_words(&self, question: &mut Question) {
        put(&mut question.kind, self.kind);
        put(&mut question.mode, self.mode);
        put(&mut question.cover, self.cover);
        put(&mut question.choice, self.choice);
    }

    fn put_circumstances(&self, question: &mut Question) {
        put(&mut question.sent_mb_per_day, self.sent_mb_per_day);
        put(
            &mut question.mix_classes,
            self.mix_mbps.map(|mbps| vec![BandwidthClass::symmetric("mix", mbps)]),
        );
        put(&mut question.exit_share, self.exit_share);
        put(&mut question.prices.per_mix_per_year, self.per_mix_per_year);
        put(&mut question.prices.per_mbps_per_year, self.per_mbps_per_year);
        put(&mut question.overhead.peak_factor, self.peak_factor);
        put(&mut question.adversary.observed_link_share, self.observed_link_share);
        put(&mut question.delays.link_ms, self.link_ms);
        put(&mut question.delays.mixing_ms, self.mixing_ms);
        let (adversary, require) = (&mut question.adversary, &mut question.require);
        adversary.hostile_share = self.hostile_share.or(adversary.hostile_share);
        adversary.hostile_mixes = self.hostile_mixes.or(adversary.hostile_mixes);
        require.budget_per_year = self.budget_per_year.or(require.budget_per_year);
        require.load_share_max = self.load_share_max.or(require.load_share_max);
        require.added_delay_ms_max = self.added_delay_ms_max.or(require.added_delay_ms_max);
        require.compromised_share_max = self.compromised_share_max.or(require.compromised_share_max);
        require.compromised_in_year_max = self.compromised_in_year_max.or(require.compromised_in_year_max);
    }
}

fn put<T>(field: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *field = given;
    }
}

/// A count: 1e5 is one, 1.5 is not.
fn whole(field: &str, value: f64) -> Result<u64, Invalid> {
    // Anything larger exceeds every bound anyway.
    let fits = value.fract() == 0.0 && (0.0..1e18).contains(&value);
    let allowed = || "a whole number".to_owned();
    if fits {
        Ok(value as u64)
    } else {
        Err(Invalid { field: field.into(), given: value.to_string(), allowed: allowed() })
    }
}

const AXES: [Axis; 6] = [
    Axis::Users,
    Axis::Mixes,
    Axis::Hops,
    Axis::ReceivedMbPerDay,
    Axis::CoverRateKbps,
    Axis::OnlineHoursPerDay,
];

/// An axis, as the command line names it.
trait Flag {
    fn flag(self) -> &'static str;
}

impl Flag for Axis {
    fn flag(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Mixes => "mixes",
            Self::Hops => "hops",
            Self::ReceivedMbPerDay => "received-mb-per-day",
            Self::CoverRateKbps => "cover-rate-kbps",
            Self::OnlineHoursPerDay => "online-hours-per-day",
        }
    }
}
