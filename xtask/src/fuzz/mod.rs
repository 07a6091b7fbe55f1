//! `cargo xtask fuzz`: runs the targets of `fuzz/` under libFuzzer, until it has nothing new to say.

mod faults;
mod progress;

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::tools::{cargo_tool, root, run_in};
use progress::Progress;

/// What is fuzzed, and for how long.
#[derive(Args)]
pub(crate) struct Fuzz {
    /// Which target; all of them, one after the other, if none is named
    target: Option<String>,
    /// Executions of each target at least; it goes on for as many again while the last fifth found something new
    #[arg(long, default_value_t = 1_000_000)]
    runs: u64,
    /// For no longer than this, seconds for each target
    #[arg(long)]
    seconds: Option<u64>,
    /// Plants a fault for each target in a copy of the source, and sees after how many executions it is found
    #[arg(long, conflicts_with = "keep")]
    planted: bool,
    /// Afterwards writes to `fuzz/corpus` a small part of what was found that reaches all that was reached
    #[arg(long)]
    keep: bool,
}

/// Executions within which a planted fault must be found.
const PLANTED_RUNS_MAX: u64 = 20_000_000;
/// So often a target is run again because it still found something new.
const ROUNDS_MAX: usize = 4;
/// Longest input, in bytes.
const INPUT_BYTES_MAX: usize = 4096;
/// Longest input that is kept: the corpus is to stay small.
const KEPT_BYTES_MAX: u64 = 2048;

/// Runs it.
pub(crate) fn run(fuzz: &Fuzz) -> Result<()> {
    if !cargo_tool("fuzz", "cargo-fuzz") {
        bail!("without cargo-fuzz nothing is fuzzed");
    }
    let targets = targets(fuzz.target.as_deref())?;
    let tree = if fuzz.planted { faults::plant(&built().join("planted"))? } else { root().to_owned() };
    build(&tree, fuzz.target.as_deref())?;
    let mut failed = Vec::new();
    let mut table = Vec::new();
    for target in &targets {
        let outcome = match fuzz.planted {
            true => find_planted(target, fuzz)?,
            false => explore(target, fuzz)?,
        };
        failed.extend((outcome.crashed != fuzz.planted).then_some(target.as_str()));
        let line = outcome.to_line(target);
        eprintln!("{line}");
        table.push(line);
        if fuzz.keep {
            keep(target)?;
        }
    }
    eprintln!("\n{}\n{}", progress::HEAD, table.join("\n"));
    if failed.is_empty() {
        return Ok(());
    }
    match fuzz.planted {
        true => bail!("the planted faults of {} were not found", failed.join(", ")),
        false => bail!("{} failed: the inputs are in {}", failed.join(", "), built().join("found").display()),
    }
}

/// Where everything goes that need not be kept.
fn built() -> PathBuf {
    root().join("target/fuzz")
}

/// The names of all targets, or this one's.
fn targets(one: Option<&str>) -> Result<Vec<String>> {
    let files = fs::read_dir(root().join("fuzz/fuzz_targets")).context("reading fuzz/fuzz_targets")?;
    let files: Vec<PathBuf> = files.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    let names = files.iter().filter_map(|file| file.file_stem().and_then(OsStr::to_str)).map(str::to_owned);
    let mut names: Vec<String> = names.filter(|name| one.is_none_or(|one| one == name)).collect();
    names.sort();
    if names.is_empty() {
        bail!("there is no target {}", one.unwrap_or_default());
    }
    Ok(names)
}

/// No sanitizer: our crates have no unsafe code to be watched. Without one, stable Rust has all it takes.
fn build(tree: &Path, target: Option<&str>) -> Result<()> {
    let folder = tree.join("fuzz").display().to_string();
    let built = format!("CARGO_TARGET_DIR={}", programs().display());
    let words = [built.as_str(), "cargo", "fuzz", "build", "--sanitizer", "none", "--fuzz-dir", &folder];
    run_in(tree, "env", &[&words[..], target.as_slice()].concat())
}

/// Where programs are built; elsewhere if somebody shares such a folder.
fn programs() -> PathBuf {
    std::env::var_os("THRONG_FUZZ_TARGET_DIR").map_or_else(built, PathBuf::from)
}

/// The program of a target, wherever this machine's programs are built.
fn program(target: &str) -> Result<PathBuf> {
    let triples = fs::read_dir(programs()).context("reading what was built")?;
    let programs = triples.flatten().map(|entry| entry.path().join("release").join(target));
    programs
        .filter(|program| program.is_file())
        .max_by_key(|program| fs::metadata(program).and_then(|metadata| metadata.modified()).ok())
        .with_context(|| format!("{target} was not built"))
}

/// Goes on until so many executions are done and the last fifth of them found nothing new.
fn explore(target: &str, fuzz: &Fuzz) -> Result<Progress> {
    let corpus = built().join("corpus").join(target);
    fs::create_dir_all(&corpus)?;
    let mut whole = Progress::default();
    for _ in 0..ROUNDS_MAX {
        let left = fuzz.seconds.map(|seconds| seconds.saturating_sub(whole.seconds as u64).max(1));
        whole.add(launch(target, &[&corpus, &kept(target)], fuzz.runs, left, None)?);
        let is_over = fuzz.seconds.is_some_and(|seconds| whole.seconds >= seconds as f64);
        if whole.crashed || whole.is_exhausted() || is_over {
            break;
        }
    }
    Ok(whole)
}

/// From what is kept on: nothing that was found while the fault was there stays.
fn find_planted(target: &str, fuzz: &Fuzz) -> Result<Progress> {
    let corpus = built().join("planted-corpus").join(target);
    let _ = fs::remove_dir_all(&corpus);
    fs::create_dir_all(&corpus)?;
    let number = faults::number(target).with_context(|| format!("no fault is planted for {target}"))?;
    launch(target, &[&corpus, &kept(target)], PLANTED_RUNS_MAX, fuzz.seconds, Some(number))
}

fn kept(target: &str) -> PathBuf {
    root().join("fuzz/corpus").join(target)
}

/// Runs a target once; `fault`: the one that is switched on.
fn launch(
    target: &str,
    corpora: &[&PathBuf],
    runs: u64,
    seconds: Option<u64>,
    fault: Option<u8>,
) -> Result<Progress> {
    let found = built().join(if fault.is_some() { "planted-found" } else { "found" }).join(target);
    fs::create_dir_all(&found)?;
    let mut command = Command::new(program(target)?);
    command
        .args([format!("-runs={runs}"), format!("-max_len={INPUT_BYTES_MAX}")])
        .args(["-timeout=20", "-rss_limit_mb=1024", "-use_value_profile=0", "-print_final_stats=1"])
        .arg(format!("-artifact_prefix={}/", found.display()));
    let words = root().join("fuzz/words").join(target);
    command.args(words.is_file().then(|| format!("-dict={}", words.display())));
    command.args(seconds.map(|seconds| format!("-max_total_time={seconds}")));
    command.args(corpora.iter().filter(|corpus| corpus.is_dir()));
    command.env("THRONG_FAULT", fault.unwrap_or(0).to_string());
    eprintln!("\n$ {}", command.get_program().display());
    let mut child = command.stderr(Stdio::piped()).spawn().with_context(|| format!("starting {target}"))?;
    let mut progress = Progress::default();
    for line in BufReader::new(child.stderr.take().context("its errors are read")?).split(b'\n') {
        let line = line?;
        progress.read(&String::from_utf8_lossy(&line));
    }
    progress.crashed = !child.wait()?.success();
    Ok(progress)
}

/// Of all that was found, the smallest inputs that reach the same edges.
fn keep(target: &str) -> Result<()> {
    let (all, kept, least) =
        (built().join("corpus").join(target), kept(target), built().join("least").join(target));
    let _ = fs::remove_dir_all(&least);
    fs::create_dir_all(&least)?;
    let mut merge = Command::new(program(target)?);
    // How often an edge is passed counts for the search, and not for what is kept.
    merge
        .args(["-merge=1", "-use_counters=0"])
        .args([&least, &kept, &all].into_iter().filter(|folder| folder.is_dir()));
    let merged = merge.stderr(Stdio::null()).status()?;
    if !merged.success() {
        bail!("the corpus of {target} could not be made smaller: {merged}");
    }
    let _ = fs::remove_dir_all(&kept);
    fs::create_dir_all(&kept)?;
    for entry in fs::read_dir(&least)? {
        let entry = entry?;
        if entry.metadata()?.len() <= KEPT_BYTES_MAX {
            let name = entry.file_name().to_string_lossy().chars().take(12).collect::<String>();
            fs::copy(entry.path(), kept.join(name))?;
        }
    }
    Ok(())
}
