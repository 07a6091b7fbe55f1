//! One world, completely said.

use std::sync::Arc;
use std::time::Duration;

use throng_core::Design;
use throng_core::cover::{CircuitCover, MixLinkCover, Rate, UserLinkCover};
use throng_core::design::{AXES, DesignError};
use throng_machine::Maybenot;

use super::fields::{Fields, Value, Wrong};
use super::{SEEDS_MAX, USERS_MAX};
use crate::host::LineRate;
use crate::segments::segment_bytes;
use crate::traffic::{Recorded, Traffic};
use crate::wire::Wire;

/// How closely the world is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The network's own nodes, datagram by datagram.
    Nodes,
    /// Exact counts, without datagrams.
    Population,
}

/// What nodes encrypt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuiteName {
    /// [`Toy`](crate::Toy).
    Toy,
    /// [`Portable`](throng_core::crypto::Portable).
    Real,
}

/// The lines of hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// All the same.
    Same(LineRate),
    /// By the node levels of Rennhard and Plattner (2004, table 1).
    Fc04,
}

/// Users come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Churn {
    /// They stay so long on average (exponential),
    pub up_mean: Duration,
    /// and are away so long.
    pub down_mean: Duration,
}

/// Something goes wrong on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// When, from the beginning.
    pub at: Duration,
    /// What.
    pub kind: FaultKind,
    /// To which mixes, by number.
    pub mixes: Vec<usize>,
    /// To which users.
    pub users: Vec<usize>,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The hosts stop without a farewell.
    Crash,
    /// They start again, with their keys and without their memory. (Those that run, too.)
    Restart,
    /// They and the others do not reach each other.
    Partition,
    /// Everybody reaches everybody again.
    Heal,
    /// They hear everything so much later; zero: they are quick again.
    Slow(Duration),
}

/// Where an adversary listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TapAt {
    /// Nowhere.
    Nowhere,
    /// On all links.
    Everywhere,
    /// On all links between a user and a mix.
    UserLinks,
    /// On all links of these mixes.
    Mixes(Vec<usize>),
}

/// A world, completely said.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How closely it is simulated.
    pub level: Level,
    /// What nodes encrypt with.
    pub suite: SuiteName,
    /// How long it runs.
    pub duration: Duration,
    /// How the network works.
    pub design: Design,
    /// Circuits that a user keeps ready.
    pub spare: usize,
    /// Whether every user is a mix; there are no others then.
    pub dynamic: bool,
    /// Mixes; in a dynamic network as many as users.
    pub mixes: usize,
    /// How many of them are exits: the first ones.
    pub exits: usize,
    /// Users.
    pub users: usize,
    /// Time a day that a user is online; who when is spread evenly over the day (population level).
    pub online: Duration,
    /// What users do.
    pub traffic: Traffic,
    /// Users' lines.
    pub user_lines: Lines,
    /// Mixes' lines, in a static network.
    pub mix_lines: Lines,
    /// The network between hosts.
    pub wire: Wire,
    /// Users' coming and going.
    pub churn: Option<Churn>,
    /// What goes wrong, in the order of time.
    pub faults: Vec<Fault>,
    /// Where the adversary listens.
    pub taps: TapAt,
}

const MS: f64 = 1e6;
const S: f64 = 1e9;
const HOUR: f64 = 3600e9;

/// What a scenario consists of.
const WHOLE: [&str; 14] = [
    "level",
    "suite",
    "duration_s",
    "seeds",
    "first_seed",
    "design",
    "mixes",
    "users",
    "traffic",
    "lines",
    "wire",
    "churn",
    "faults",
    "taps",
];

/// Reads a world and its seeds.
pub(super) fn read(file: &str, tree: Value) -> Result<(Plan, Vec<u64>), Wrong> {
    let mut root = Fields::new(file, tree)?;
    root.only(&WHOLE)?;
    let level = root.word("level", &[("nodes", Level::Nodes), ("population", Level::Population)])?;
    let suite = root.word("suite", &[("toy", SuiteName::Toy), ("real", SuiteName::Real)])?;
    let duration = root.span("duration_s", S, None, 0.001..=31_536_000.0)?;
    let seeds = root.integer("seeds", Some(10), 1..=SEEDS_MAX)?;
    let first = root.integer("first_seed", Some(1), 0..=u64::from(u32::MAX))?;

    let mut fields = root.table("design")?;
    let spare = fields.integer("spare", Some(1), 0..=16)? as usize;
    let dynamic = fields.word("network", &[("static", false), ("dynamic", true)])?;
    let design = read_design(&mut fields, level)?;
    fields.end()?;

    let mut users = root.table("users")?;
    let count = users.integer("count", None, 0..=USERS_MAX)? as usize;
    let online = users.span("online_h", HOUR, Some(24.0), 0.0..=24.0)?;
    if level == Level::Nodes && online < DAY {
        return Err(users.wrong("online_h", None, "is for the population level; here, use [churn]"));
    }
    users.end()?;

    let (mixes, exits) = read_mixes(&mut root, dynamic, count, design.route.hops())?;
    let traffic = read_traffic(file, &mut root)?;

    let mut lines = root.table("lines")?;
    let user_lines = read_lines(&mut lines, "users", "users_up_kbps", "users_down_kbps")?;
    let mix_lines = read_lines(&mut lines, "mixes", "mixes_up_kbps", "mixes_down_kbps")?;
    lines.end()?;

    let wire = read_wire(&mut root)?;
    let churn = read_churn(&mut root)?;
    let faults = read_faults(&mut root, mixes, count, duration)?;
    let taps = read_taps(&mut root, mixes)?;
    if level == Level::Population {
        refuse_what_needs_nodes(&root, churn.is_some(), !faults.is_empty(), &taps)?;
    }
    root.end()?;
    let plan = Plan {
        level,
        suite,
        duration,
        design,
        spare,
        dynamic,
        mixes,
        exits,
        users: count,
        online,
        traffic,
        user_lines,
        mix_lines,
        wire,
        churn,
        faults,
        taps,
    };
    Ok((plan, (first..first + seeds).collect()))
}

fn read_wire(root: &mut Fields<'_>) -> Result<Wire, Wrong> {
    let mut fields = root.table("wire")?;
    let wire = Wire {
        latency: fields.span("latency_ms", MS, Some(10.0), 0.0..=10_000.0)?,
        distance: fields.span("distance_ms", MS, Some(0.0), 0.0..=10_000.0)?,
        jitter: fields.span("jitter_ms", MS, Some(0.0), 0.0..=10_000.0)?,
        loss: fields.number("loss", Some(0.0), 0.0..=1.0)?,
        doubled: fields.number("doubled", Some(0.0), 0.0..=1.0)?,
        lateness: fields.span("lateness_ms", MS, Some(1.0), 0.0..=10_000.0)?,
        busy_lateness: fields.span("busy_lateness_ms", MS, Some(0.0), 0.0..=10_000.0)?,
    };
    fields.end()?;
    Ok(wire)
}

fn read_churn(root: &mut Fields<'_>) -> Result<Option<Churn>, Wrong> {
    if !root.has("churn") {
        return Ok(None);
    }
    let mut fields = root.table("churn")?;
    let churn = Churn {
        up_mean: fields.span("up_mean_s", S, None, 0.1..=1e7)?,
        down_mean: fields.span("down_mean_s", S, None, 0.1..=1e7)?,
    };
    fields.end()?;
    Ok(Some(churn))
}

/// Populations are counts: there is nothing that could come and go, break or be listened to.
fn refuse_what_needs_nodes(
    root: &Fields<'_>,
    has_churn: bool,
    has_faults: bool,
    taps: &TapAt,
) -> Result<(), Wrong> {
    const NO_CELLS: &str = "needs level = \"nodes\": there are no cells to lose here";
    const NO_DATAGRAMS: &str = "needs level = \"nodes\": counts are kept here, not datagrams";
    let has_taps = *taps != TapAt::Nowhere;
    let given =
        [("churn", has_churn, NO_CELLS), ("faults", has_faults, NO_CELLS), ("taps", has_taps, NO_DATAGRAMS)];
    match given.into_iter().find(|(_, given, _)| *given) {
        Some((name, _, why)) => Err(root.wrong(name, None, why)),
        None => Ok(()),
    }
}

const DAY: Duration = Duration::from_secs(86_400);

/// A design's own axes. `cover_bps` is the rate of schemes that name none: useful bits per second, which payloads could carry.
fn read_design(fields: &mut Fields<'_>, level: Level) -> Result<Design, Wrong> {
    let useful = fields.integer("cover_bps", Some(64_000), 1000..=90_000_000)?;
    let mut choices = Vec::new();
    for axis in AXES {
        choices.extend(fields.said(axis)?.map(|value| (axis, value)));
    }
    let given = || choices.iter().map(|(axis, value)| (*axis, value.as_str()));
    // The rate that carries so much depends on how long datagrams are.
    let lengths = given().filter(|(axis, _)| *axis == "datagram");
    let read = Design::default().with(lengths).and_then(|design| {
        let geometry = design.geometry;
        let gap = Duration::from_nanos(segment_bytes(geometry) * 8 * 1_000_000_000 / useful);
        Design::default().with_rate(Rate::of_gap(gap, geometry), given())
    });
    let wrong = |why: DesignError| match why {
        DesignError::Value(axis, why) => fields.wrong(axis, None, why.to_string()),
        why => fields.wrong("cover", None, why.to_string()),
    };
    let design = read.map_err(wrong)?;
    design.check(&Maybenot).map_err(wrong)?;
    let is_counted = matches!(
        (&design.cover.user_links, &design.cover.mix_links, design.cover.circuits),
        (UserLinkCover::None | UserLinkCover::Constant(_), MixLinkCover::None, CircuitCover::None)
            | (UserLinkCover::None, MixLinkCover::None, CircuitCover::Constant(_))
    );
    if level == Level::Population && !is_counted {
        let why = "needs level = \"nodes\": populations are counted with none, user-link or end-to-end";
        return Err(fields.wrong("cover", None, why));
    }
    Ok(design)
}

fn read_mixes(
    root: &mut Fields<'_>,
    dynamic: bool,
    users: usize,
    hops: usize,
) -> Result<(usize, usize), Wrong> {
    let mut mixes = root.table("mixes")?;
    let found = if dynamic {
        if mixes.has("count") {
            return Err(mixes.wrong("count", None, "in a dynamic network, users are the mixes"));
        }
        if users <= hops {
            return Err(root.wrong(
                "users",
                None,
                format!("circuits of {hops} mixes need more users than that"),
            ));
        }
        (users, users)
    } else {
        let count = mixes.integer("count", None, hops as u64..=50_000)? as usize;
        (count, mixes.integer("exits", Some(count as u64), 1..=count as u64)? as usize)
    };
    mixes.end()?;
    Ok(found)
}

#[derive(Clone, Copy)]
enum Model {
    Idle,
    Web,
    Constant,
    OnOff,
    Trace,
}

fn read_traffic(file: &str, root: &mut Fields<'_>) -> Result<Traffic, Wrong> {
    let mut fields = root.table("traffic")?;
    let model = fields.word(
        "model",
        &[
            ("idle", Model::Idle),
            ("web", Model::Web),
            ("constant", Model::Constant),
            ("on-off", Model::OnOff),
            ("trace", Model::Trace),
        ],
    )?;
    const BYTES_MAX: f64 = 1e12;
    let traffic = match model {
        Model::Idle => Traffic::Idle,
        Model::Web => Traffic::Web {
            reading: fields.span("reading_s", S, Some(10.0), 0.1..=1e6)?,
            largest_bytes: fields.integer("largest_kb", Some(10_000), 1..=10_000_000)? * 1000,
        },
        Model::Constant => Traffic::Constant {
            up_bytes_per_day: fields.number("up_mb_per_day", None, 0.0..=BYTES_MAX / 1e6)? * 1e6,
            down_bytes_per_day: fields.number("down_mb_per_day", None, 0.0..=BYTES_MAX / 1e6)? * 1e6,
            every: fields.span("every_s", S, Some(10.0), 0.01..=86_400.0)?,
        },
        Model::OnOff => Traffic::OnOff {
            on: fields.span("on_mean_s", S, None, 0.01..=1e6)?,
            off: fields.span("off_mean_s", S, None, 0.01..=1e6)?,
            up_bps: fields.number("up_bps", None, 0.0..=1e10)?,
            down_bps: fields.number("down_bps", None, 0.0..=1e10)?,
            every: fields.span("every_s", S, Some(1.0), 0.01..=86_400.0)?,
        },
        Model::Trace => {
            let Some(name) = fields.text("file")? else {
                return Err(fields.wrong("file", None, "is missing: expected a file beside the scenario"));
            };
            let path = std::path::Path::new(file).with_file_name(&name);
            let recorded = std::fs::read_to_string(&path)
                .map_err(|error| format!("{} cannot be read: {error}", path.display()))
                .and_then(|text| Recorded::parse(&text).map_err(|why| format!("{}: {why}", path.display())))
                .map_err(|why| fields.wrong("file", None, why))?;
            Traffic::Trace(Arc::new(recorded))
        }
    };
    fields.end()?;
    Ok(traffic)
}

fn read_lines(
    fields: &mut Fields<'_>,
    name: &'static str,
    up: &'static str,
    down: &'static str,
) -> Result<Lines, Wrong> {
    let fc04 = fields.word(name, &[("unbounded", false), ("fc04", true)])?;
    let mut speed = |name| -> Result<Option<u64>, Wrong> {
        let given = fields.has(name);
        if given && fc04 {
            return Err(fields.wrong(name, None, "FC04's classes say it already"));
        }
        let kbps = fields.number(name, Some(1.0), 1.0..=1e9)?;
        Ok(given.then_some((kbps * 1000.0) as u64))
    };
    let line = LineRate { up_bps: speed(up)?, down_bps: speed(down)? };
    Ok(if fc04 { Lines::Fc04 } else { Lines::Same(line) })
}

#[derive(Clone, Copy)]
enum FaultWord {
    Crash,
    Restart,
    Partition,
    Heal,
    Slow,
}

fn read_faults(
    root: &mut Fields<'_>,
    mixes: usize,
    users: usize,
    duration: Duration,
) -> Result<Vec<Fault>, Wrong> {
    let mut faults = Vec::new();
    for mut fields in root.tables("faults")? {
        let at = fields.span("at_s", S, None, 0.0..=duration.as_secs_f64())?;
        let kind = fields.word(
            "kind",
            &[
                ("crash", FaultWord::Crash),
                ("restart", FaultWord::Restart),
                ("partition", FaultWord::Partition),
                ("heal", FaultWord::Heal),
                ("slow", FaultWord::Slow),
            ],
        )?;
        let kind = match kind {
            FaultWord::Crash => FaultKind::Crash,
            FaultWord::Restart => FaultKind::Restart,
            FaultWord::Partition => FaultKind::Partition,
            FaultWord::Heal => FaultKind::Heal,
            FaultWord::Slow => FaultKind::Slow(fields.span("slow_ms", MS, None, 0.0..=60_000.0)?),
        };
        let fault = Fault {
            at,
            kind,
            mixes: fields.numbers("mixes", mixes)?,
            users: fields.numbers("users", users)?,
        };
        if fault.mixes.is_empty() && fault.users.is_empty() && fault.kind != FaultKind::Heal {
            return Err(fields.wrong("mixes", None, "is missing: whom does it hit? (`mixes`, `users`)"));
        }
        fields.end()?;
        faults.push(fault);
    }
    faults.sort_by_key(|fault| fault.at);
    Ok(faults)
}

#[derive(Clone, Copy)]
enum TapWord {
    Nowhere,
    Everywhere,
    UserLinks,
    Mixes,
}

fn read_taps(root: &mut Fields<'_>, mixes: usize) -> Result<TapAt, Wrong> {
    let mut fields = root.table("taps")?;
    let at = fields.word(
        "at",
        &[
            ("nowhere", TapWord::Nowhere),
            ("everywhere", TapWord::Everywhere),
            ("user-links", TapWord::UserLinks),
            ("mixes", TapWord::Mixes),
        ],
    )?;
    let taps = match at {
        TapWord::Nowhere => TapAt::Nowhere,
        TapWord::Everywhere => TapAt::Everywhere,
        TapWord::UserLinks => TapAt::UserLinks,
        TapWord::Mixes => TapAt::Mixes(fields.numbers("mixes", mixes)?),
    };
    fields.end()?;
    Ok(taps)
}
