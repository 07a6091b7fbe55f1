//! A scenario: a world to simulate, as a file says it.
//!
//! ```toml
//! # What to expect: the header comment is the scenario's description.
//! level = "nodes"            # "nodes": the network's own code; "population": exact counts without cells
//! suite = "toy"              # or "real": what nodes encrypt with (nodes only)
//! duration_s = 60
//! seeds = 10                 # runs with the seeds 1 to 10,
//! first_seed = 1             # or from another one on
//!
//! [design]
//! mixing = "batch=20ms"      # or "none": see `throng_core::mixing::Mixing`
//! company = "none"           # "fill=3", "hold=3:20ms"
//! cover = "none"             # "user-link,links=1mbps": see `throng_core::cover::Cover`; counted in populations: "user-link"
//!                            # and "end-to-end"
//! cover_bps = 64000          # useful bits per second, for schemes that name no rate
//! route = "free"             # every hop drawn, in proportion to what mixes can carry
//! hops = 3
//! spare = 1                  # circuits that a user keeps ready
//! network = "static"         # "dynamic": every user is a mix too
//!
//! [mixes]                    # of a static network
//! count = 12
//! exits = 4
//!
//! [users]
//! count = 20
//! online_h = 24              # hours a day, evenly spread over the users (population level)
//!
//! [traffic]
//! model = "web"              # "constant", "on-off", "trace", "idle"; their fields: see `Traffic`
//!
//! [lines]
//! users = "fc04"             # "unbounded", or kb/s: users_up_kbps, users_down_kbps; the same for mixes
//!
//! [wire]
//! latency_ms = 20            # least
//! distance_ms = 130          # and up to so much more, per pair of hosts
//! jitter_ms = 2              # and per datagram
//! loss = 0.01
//! doubled = 0.0
//! lateness_ms = 1            # of timers
//! busy_lateness_ms = 0       # and up to so much more, the more a host has to do
//!
//! [churn]
//! up_mean_s = 600            # users stay so long, exponentially distributed,
//! down_mean_s = 60           # and are away so long
//!
//! [[faults]]
//! at_s = 20
//! kind = "crash"             # "restart", "partition", "heal", "slow"
//! mixes = [3]
//! users = []
//! slow_ms = 200
//!
//! [taps]
//! at = "user-links"          # "nowhere", "everywhere", "mixes"
//! mixes = [0, 1]             # with "mixes": those whose links are tapped
//!
//! [sweep]                    # every combination is run
//! "design.hops" = [2, 3, 4]
//! ```

mod fields;
mod plan;
mod sweep;

use std::path::Path;

use throng_core::crypto::{Portable, Suite};

pub use fields::Wrong;
pub use plan::{Churn, Fault, FaultKind, Level, Lines, Plan, SuiteName, TapAt};
pub use sweep::Variant;

use fields::Value;

/// Most seeds of one scenario.
pub const SEEDS_MAX: u64 = 10_000;
/// Most users of one scenario.
pub const USERS_MAX: u64 = 2_000_000;

/// A world to simulate, in all its variants.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name: the file's, without folder and ending.
    pub name: String,
    /// What the header comment says.
    pub about: String,
    /// What it is run with. May be replaced, to run one seed again; results are those of the same seeds in full.
    pub seeds: Vec<u64>,
    /// One for each combination of swept values; one in all if nothing is swept.
    pub variants: Vec<Variant>,
    /// Identifies everything that decides results: defaults filled in, comments left out.
    pub digest: String,
}

impl Scenario {
    /// Reads a scenario from a file.
    ///
    /// # Errors
    /// [`Wrong`] says what is wrong, in which line and field, and what is allowed.
    pub fn read(path: &Path) -> Result<Self, Wrong> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| Wrong {
            file: file.clone(),
            line: None,
            field: String::new(),
            why: format!("cannot be read: {error}"),
        })?;
        Self::parse(&file, &text)
    }

    /// Reads a scenario from a text; `file` is its name in messages, and where recorded traces are looked for.
    ///
    /// # Errors
    /// As of [`read`](Self::read).
    pub fn parse(file: &str, text: &str) -> Result<Self, Wrong> {
        let mut tree = Value::parse(file, text)?;
        let sweep = sweep::take(file, &mut tree)?;
        let mut variants = Vec::new();
        let mut seeds = Vec::new();
        for combination in sweep::combinations(file, &sweep)? {
            let (plan, of_seeds) = plan::read(file, sweep::with(file, &tree, &combination)?)?;
            seeds = of_seeds;
            variants.push(Variant { settings: sweep::settings(&combination), plan });
        }
        let canonical = format!("throng scenario 1 {seeds:?} {variants:?}");
        let digest = Portable::hash(&[canonical.as_bytes()]);
        Ok(Self {
            name: Path::new(file)
                .file_stem()
                .map_or_else(|| file.into(), |name| name.to_string_lossy().into()),
            about: header(text),
            seeds,
            variants,
            digest: digest[..16].iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }

    /// The first line of what it says about itself.
    pub fn headline(&self) -> &str {
        self.about.lines().next().unwrap_or_default()
    }
}

/// The comment at the top of a file.
fn header(text: &str) -> String {
    let lines = text.lines().map_while(|line| line.strip_prefix('#'));
    lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// The scenarios of a folder, in the order of their names; those that are wrong, with what is wrong.
pub fn list(folder: &Path) -> std::io::Result<Vec<Result<Scenario, Wrong>>> {
    let mut files: Vec<_> =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|ending| ending == "toml"));
    files.sort();
    Ok(files.iter().map(|file| Scenario::read(file)).collect())
}

#[cfg(test)]
mod tests;
