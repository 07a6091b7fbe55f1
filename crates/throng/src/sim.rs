//! `throng sim`: worlds in virtual time, in which the very nodes of the network run.

use std::fs;
use std::io::IsTerminal;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};
use throng_core::Time;
use throng_net::clock::Clock;
use throng_sim::swarm::{Fate, swarm};
use throng_sim::{
    Options, Progress, Results, RunResult, Scenario, Shard, Trace, check_memory, check_memory_of_trace,
    go_on, list, trace,
};

use crate::design::{SLOW, needed_company, wait_with};
use crate::disk;
use crate::network::files::to_hex;
use crate::terminal::{interrupted, print};

/// A problem inside a world is no error of this program; this exit code tells scripts about it.
const PROBLEMS: u8 = 3;
/// Stopped before its end: a script must not take it for done.
const STOPPED: u8 = 4;
/// How often what is done is written, while more is to do.
const KEPT_EVERY: Duration = Duration::from_secs(5);
/// How often the progress line is redrawn.
const TOLD_EVERY: Duration = Duration::from_millis(100);

#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    override_usage = "throng sim [OPTIONS] SCENARIO   (a file; `throng sim --list` shows those in `scenarios`)\n       \
                      throng sim --swarm | --replay SEED   (random worlds)\n       throng sim merge | export   (results, traces)"
)]
pub(crate) struct SimOptions {
    #[command(subcommand)]
    command: Option<SimCommand>,
    /// The scenario
    #[arg(required_unless_present_any = ["list", "swarm", "replay"])]
    scenario: Option<PathBuf>,
    /// List the scenarios in a folder, with the first line of their descriptions
    #[arg(long, value_name = "FOLDER", num_args = 0..=1, default_missing_value = "scenarios")]
    list: Option<PathBuf>,
    /// Simultaneous runs [default: the number of cores]
    #[arg(long, value_parser = parse_jobs)]
    jobs: Option<NonZero<usize>>,
    /// Run only this part of the runs: `0/8` to `7/8`
    #[arg(long, value_parser = parse_shard)]
    shard: Option<Shard>,
    /// Also write the results here as JSON, for `merge`; runs that are there already are not run again
    #[arg(long)]
    out: Option<PathBuf>,
    /// Run one seed only, and write what the taps saw to FILE.seen and the truth to FILE.truth
    #[arg(long, value_name = "FILE", conflicts_with_all = ["shard", "out"])]
    trace: Option<PathBuf>,
    /// The seed of `--trace` [default: the scenario's first]
    #[arg(long, requires = "trace")]
    seed: Option<u64>,
    /// The variant of a sweep that `--trace` runs, from 0
    #[arg(long, requires = "trace", default_value_t = 0)]
    variant: usize,
    /// Run random worlds with random faults: no invariant may break, and every world must recover
    #[arg(long, conflicts_with = "scenario")]
    swarm: bool,
    /// How many worlds `--swarm` tries
    #[arg(long, requires = "swarm", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed of `--swarm`
    #[arg(long, requires = "swarm", default_value_t = 0)]
    from: u64,
    /// Rerun one world of `--swarm`
    #[arg(long, value_name = "SEED", conflicts_with_all = ["scenario", "swarm"])]
    replay: Option<u64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum SimCommand {
    /// Combine the results of all shards
    Merge {
        /// Files that `--out` wrote
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Also write the results here as JSON
        #[arg(long)]
        out: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Convert what taps saw to another format and, if asked for, the truth
    ///
    /// `--csv` and `--pcap` hold the adversary's view and nothing else. The truth goes to files of its own, for scoring:
    /// the n-th line of `--truth-csv` says what the n-th line of `--csv` was.
    Export(ExportOptions),
}

#[derive(Args)]
struct ExportOptions {
    /// A file that `--trace` wrote: FILE.seen
    seen: PathBuf,
    /// Write what was seen here, as CSV: time_ns,from,to,length
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write what was seen here, as a capture for Wireshark and similar tools
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Write what each line of `--csv` was here, line by line: user,exchange,kind,segment (empty: unknown)
    #[arg(long, value_name = "FILE")]
    truth_csv: Option<PathBuf>,
    /// Write what users did here, as CSV: time_ns,what,user,exchange,exit,bytes_up,bytes_down
    #[arg(long, value_name = "FILE")]
    deeds_csv: Option<PathBuf>,
    /// Where the truth is [default: FILE.truth beside FILE.seen]
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
}

fn parse_jobs(text: &str) -> Result<NonZero<usize>, String> {
    text.parse().map_err(|_| "expected 1 or more".into())
}

fn parse_shard(text: &str) -> Result<Shard, String> {
    let parsed =
        text.split_once('/').and_then(|(number, of)| Shard::new(number.parse().ok()?, of.parse().ok()?));
    let of = text.split_once('/').and_then(|(_, of)| of.parse().ok()).filter(|of| *of > 0).unwrap_or(8_usize);
    parsed.ok_or_else(|| format!("invalid shard `{text}`: expected, of {of}, `0/{of}` to `{}/{of}`", of - 1))
}

/// Runs; the exit code says whether anything went wrong inside the worlds.
pub(crate) fn run(options: &SimOptions) -> Result<ExitCode> {
    match &options.command {
        Some(SimCommand::Merge { files, out, json }) => return merge(files, out.as_deref(), *json),
        Some(SimCommand::Export(options)) => return export(options),
        None => {}
    }
    if let Some(folder) = &options.list {
        return show_list(folder);
    }
    if let Some(seed) = options.replay {
        return show_fates(&[throng_sim::swarm::replay(seed)], 1, options.json);
    }
    if options.swarm {
        return run_swarm(options);
    }
    let path = options.scenario.as_deref().context("no scenario given")?;
    let scenario = Scenario::read(path)?;
    if let Some(to) = &options.trace {
        return write_trace(&scenario, options, to);
    }
    let jobs = jobs(options);
    if let Some(available) = available_bytes() {
        check_memory(&scenario, jobs, available)?;
    }
    if let Some(note) = note_of_company(&scenario) {
        tell!("note: {note}");
    }
    let before = match &options.out {
        // Also if there is no file: later the program may have been replaced.
        Some(out) if this_program().is_empty() => {
            bail!("cannot read this program to sign {} with", out.display())
        }
        Some(out) => done_before(out, &scenario)?,
        None => Vec::new(),
    };
    let watcher = ProgressDisplay::start();
    let told = |progress: &Progress| watcher.tell(progress);
    let shard = options.shard.unwrap_or(Shard::ALL);
    let keep = |runs: &[RunResult]| {
        if let Some(out) = options.out.as_deref().filter(|_| watcher.is_time_to_keep()) {
            // The last time says what is wrong.
            let _ = disk::write(out, ours(Results::of(&scenario, runs.to_vec())).to_json().as_bytes());
        }
    };
    let had = before.iter().filter(|run| run.is_good()).count();
    let results = ours(go_on(&scenario, &Options { jobs, shard, told: &told, stop: stop() }, before, &keep));
    watcher.end();
    if let Some(out) = options.out.as_deref().filter(|_| had > 0) {
        tell!("throng: {had} runs were in {} already", out.display());
    }
    let code = show(&results, options.out.as_deref(), options.json)?;
    let wanted = (0..results.runs_in_all).filter(|run| shard.has(*run)).count();
    let done = results.runs.iter().filter(|run| run.complete && shard.has(run.number)).count();
    if done >= wanted || !results.is_clean() {
        return Ok(code);
    }
    match &options.out {
        Some(out) => tell!(
            "throng: stopped after {done} of {wanted} runs, which are in {}: the same command goes on from there",
            out.display()
        ),
        None => tell!("throng: stopped after {done} of {wanted} runs; with `--out` they would be kept"),
    }
    Ok(ExitCode::from(STOPPED))
}

/// Says so where users will wait mostly for each other.
fn note_of_company(scenario: &Scenario) -> Option<String> {
    let waits = scenario.variants.iter().filter_map(|variant| {
        let plan = &variant.plan;
        needed_company(&plan.design, plan.mixes)?;
        Some((wait_with(&plan.design, plan.users as f64, plan.mixes), variant))
    });
    let (wait, variant) = waits.max_by_key(|(wait, _)| *wait).filter(|(wait, _)| *wait >= SLOW)?;
    let (plan, label) = (&variant.plan, variant.label());
    let label = if label.is_empty() { String::new() } else { format!(" ({label})") };
    Some(format!(
        "mixing {}{label} waits for company: with {} users on {} mixes a question and its answer take about {:.1} s longer",
        plan.design.mixing,
        plan.users,
        plan.mixes,
        wait.as_secs_f64()
    ))
}

/// The same, with a name on it.
fn ours(results: Results) -> Results {
    Results { made_by: this_program(), ..results }
}

/// A name of this very build; none where it cannot be read.
fn this_program() -> String {
    static NAME: LazyLock<String> = LazyLock::new(|| {
        let bytes = std::env::current_exe().and_then(fs::read).unwrap_or_default();
        if bytes.is_empty() { String::new() } else { to_hex(&Sha256::digest(&bytes)[..8]) }
    });
    NAME.clone()
}

/// The runs of this scenario that a file holds already.
fn done_before(out: &Path, scenario: &Scenario) -> Result<Vec<RunResult>> {
    let text = match fs::read_to_string(out) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("reading {}", out.display())),
    };
    let results = Results::from_json(&text).with_context(|| format!("in {}", out.display()))?;
    if results.made_by.is_empty() || results.made_by != this_program() {
        bail!(
            "{} was made by another build of Throng, which may come to other figures: delete it, or give another --out",
            out.display()
        );
    }
    let runs = results.runs_of(scenario);
    runs.with_context(|| {
        format!("{} is there already and would be lost: delete it, or give another --out", out.display())
    })
}

fn show(results: &Results, out: Option<&Path>, json: bool) -> Result<ExitCode> {
    if let Some(out) = out {
        disk::write(out, results.to_json().as_bytes())?;
    }
    print(&if json { results.to_json() + "\n" } else { results.to_table() })?;
    Ok(if results.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(PROBLEMS) })
}

fn merge(files: &[PathBuf], out: Option<&Path>, json: bool) -> Result<ExitCode> {
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        Results::from_json(&text).with_context(|| format!("in {}", path.display()))
    };
    let shards = files.iter().map(read).collect::<Result<Vec<_>>>()?;
    show(&Results::merge(shards)?, out, json)
}

fn show_list(folder: &Path) -> Result<ExitCode> {
    let scenarios = list(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut text = String::new();
    for scenario in scenarios {
        let scenario = scenario?;
        text += &format!("{:<36} {}\n", scenario.name, scenario.headline());
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

// --- Traces --------------------------------------------------------------------------------------------

fn write_trace(scenario: &Scenario, options: &SimOptions, to: &Path) -> Result<ExitCode> {
    let variant = scenario.variants.get(options.variant).with_context(|| {
        format!("--variant: {} has variants 0 to {}", scenario.name, scenario.variants.len() - 1)
    })?;
    if let Some(available) = available_bytes() {
        check_memory_of_trace(&variant.plan, available)?;
    }
    let seed = options.seed.or(scenario.seeds.first().copied()).unwrap_or_default();
    let watcher = ProgressDisplay::start();
    let told = |progress: &Progress| watcher.tell(progress);
    let (result, trace) = trace(&variant.plan, seed, &told, stop());
    watcher.end();
    let (seen, truth) = (with_ending(to, "seen"), with_ending(to, "truth"));
    disk::write(&seen, &trace.seen_to_bytes())?;
    disk::write(&truth, &trace.truth_to_bytes())?;
    print(&format!(
        "seed {seed}: {} datagrams seen, written to {}; the truth written to {}\n",
        trace.seen.len(),
        seen.display(),
        truth.display()
    ))?;
    if !result.problems.is_empty() {
        return Ok(ExitCode::from(PROBLEMS));
    }
    if !result.complete {
        tell!("throng: stopped early: the files hold what was seen until then");
        return Ok(ExitCode::from(STOPPED));
    }
    Ok(ExitCode::SUCCESS)
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// The adversary's files are written before the truth is read.
fn export(options: &ExportOptions) -> Result<ExitCode> {
    let ExportOptions { seen, csv, pcap, truth_csv, deeds_csv, truth } = options;
    if [csv, pcap, truth_csv, deeds_csv].into_iter().all(Option::is_none) {
        bail!("nothing to export: give --csv, --pcap, --truth-csv or --deeds-csv");
    }
    let read = |path: &Path| fs::read(path).with_context(|| format!("reading {}", path.display()));
    let in_file = |path: &Path| format!("in {}", path.display());
    let mut trace = Trace::seen_from_bytes(&read(seen)?).with_context(|| in_file(seen))?;
    if let Some(csv) = csv {
        disk::write(csv, trace.to_csv().as_bytes())?;
    }
    if let Some(pcap) = pcap {
        disk::write(pcap, &trace.to_pcap())?;
    }
    if truth_csv.is_none() && deeds_csv.is_none() {
        return Ok(ExitCode::SUCCESS);
    }
    let truth = truth.clone().unwrap_or_else(|| seen.with_extension("truth"));
    trace.add_truth(&read(&truth)?).with_context(|| in_file(&truth))?;
    if let Some(truth_csv) = truth_csv {
        disk::write(truth_csv, trace.truth_to_csv().as_bytes())?;
    }
    if let Some(deeds_csv) = deeds_csv {
        disk::write(deeds_csv, trace.deeds_to_csv().as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

// --- Swarm ---------------------------------------------------------------------------------------------

fn run_swarm(options: &SimOptions) -> Result<ExitCode> {
    let watcher = ProgressDisplay::start();
    let bar = watcher.bar.clone();
    bar.set_length(options.seeds);
    let next = AtomicU64::new(0);
    let fates = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs(options) {
            scope.spawn(|| {
                let seeds = std::iter::from_fn(|| {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    (number < options.seeds).then(|| options.from + number)
                });
                swarm(seeds, &throng_sim::nobody, stop(), |fate| {
                    bar.inc(1);
                    fates.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(fate);
                    !stop().load(Ordering::Relaxed)
                });
            });
        }
    });
    watcher.end();
    let mut fates = fates.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    fates.sort_by_key(|fate: &Fate| fate.seed);
    fates.retain(|fate| fate.complete);
    show_fates(&fates, options.seeds, options.json)
}

/// The seeds that failed come first.
fn show_fates(fates: &[Fate], wanted: u64, json: bool) -> Result<ExitCode> {
    let failed: Vec<&Fate> = fates.iter().filter(|fate| !fate.problems.is_empty()).collect();
    let text = if json {
        let fate = |fate: &&Fate| {
            serde_json::json!({
                "seed": fate.seed, "world": fate.world, "problems": fate.problems, "digest": fate.digest,
            })
        };
        let failed: Vec<_> = failed.iter().map(fate).collect();
        serde_json::json!({ "worlds": fates.len(), "failed": failed }).to_string() + "\n"
    } else {
        let mut text = String::new();
        for fate in &failed {
            text += &format!(
                "seed {} FAILED: `throng sim --replay {}`\n  {}\n",
                fate.seed, fate.seed, fate.world
            );
            fate.problems.iter().for_each(|problem| text += &format!("  {problem}\n"));
        }
        if let ([fate], 1) = (fates, wanted) {
            text += &format!("seed {}: {}\n  digest {}\n", fate.seed, fate.world, fate.digest);
        }
        text + &format!("{} of {wanted} worlds ran, {} failed\n", fates.len(), failed.len())
    };
    print(&text)?;
    Ok(match (failed.is_empty(), fates.len() as u64 == wanted) {
        (false, _) => ExitCode::from(PROBLEMS),
        (true, false) => ExitCode::from(STOPPED),
        (true, true) => ExitCode::SUCCESS,
    })
}

// --- Around a run --------------------------------------------------------------------------------------

fn jobs(options: &SimOptions) -> usize {
    options.jobs.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZero::get)
}

/// Set by Ctrl-C; results so far are kept.
fn stop() -> &'static AtomicBool {
    static STOP: AtomicBool = AtomicBool::new(false);
    &STOP
}

/// Available memory, if the system reports it.
fn available_bytes() -> Option<u64> {
    let about = fs::read_to_string("/proc/meminfo").ok()?;
    let line = about.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Shows progress, and listens for Ctrl-C.
struct ProgressDisplay {
    bar: ProgressBar,
    clock: Clock,
    begun: Time,
    told: AtomicU64,
    kept: AtomicU64,
}

impl ProgressDisplay {
    fn start() -> Self {
        let bar =
            if std::io::stderr().is_terminal() { ProgressBar::new(1000) } else { ProgressBar::hidden() };
        if let Ok(style) =
            ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}  ({elapsed}, {eta} left)")
        {
            bar.set_style(style);
        }
        listen_for_interrupts();
        let clock = Clock::start();
        Self { bar, clock, begun: clock.now(), told: AtomicU64::new(0), kept: AtomicU64::new(0) }
    }

    /// Whether what is done is to be written now.
    fn is_time_to_keep(&self) -> bool {
        self.is_next(&self.kept, KEPT_EVERY)
    }

    /// Whether another of such spans has begun since this last said so.
    fn is_next(&self, last: &AtomicU64, span: Duration) -> bool {
        let tick = ((self.clock.now() - self.begun).as_nanos() / span.as_nanos()) as u64;
        last.fetch_max(tick, Ordering::Relaxed) < tick
    }

    /// Called from the threads that run; most calls return at once.
    fn tell(&self, progress: &Progress) {
        if !self.is_next(&self.told, TOLD_EVERY) {
            return;
        }
        let passed = self.clock.now() - self.begun;
        let of_this = progress.simulated.as_secs_f64() / progress.of.as_secs_f64().max(1e-9);
        let share = (progress.runs_done as f64 + of_this.min(1.0)) / progress.runs.max(1) as f64;
        self.bar.set_position((share * 1000.0) as u64);
        self.bar.set_message(format!(
            "run {} of {}, {:.1} s simulated, {} events/s, {}",
            (progress.runs_done + 1).min(progress.runs),
            progress.runs,
            progress.simulated.as_secs_f64(),
            HumanCount((progress.events as f64 / passed.as_secs_f64().max(1e-3)) as u64),
            HumanBytes(progress.memory_bytes),
        ));
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// The first Ctrl-C lets runs finish in order, the second ends the program.
fn listen_for_interrupts() {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        if let Ok(runtime) = runtime {
            runtime.block_on(interrupted());
            stop().store(true, Ordering::Relaxed);
            runtime.block_on(interrupted());
            std::process::exit(130);
        }
    });
}
