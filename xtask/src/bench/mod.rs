//! `cargo xtask bench`: speed, cost and size, taking turns with others on one machine in one run.
//!
//! Outside a namespace this builds and waits; inside it starts everything and measures. Read ratios only: a machine that
//! others use too changes its speed from minute to minute, but both sides of a ratio are measured in the same ones.
//!
//! The network is measured in `network.rs`. Another kind of benchmark is another variant of [`Kind`].

mod account;
mod floor;
mod load;
mod machine;
mod namespace;
mod network;
mod process;
mod table;
mod throng;
mod tor;

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use network::Options;
use process::now;

/// The time for everything; whatever hangs is then stopped.
const RUN_TIME_MAX: Duration = Duration::from_secs(25 * 60);
/// Time to shut down in order.
const END_TIME_MAX: Duration = Duration::from_secs(10);

/// Plain `bench` measures the network; other kinds have a name.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Bench {
    #[command(subcommand)]
    kind: Option<Kind>,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand)]
enum Kind {
    /// The simulator: cell-hops per second, memory per user, populations, sweeps
    Sim,
    /// Cover: how well slots are kept, and what 1000 covered links cost a mix
    Cover,
    /// What runs in the namespace
    #[command(hide = true)]
    Inside {
        #[arg(long)]
        throng: PathBuf,
        #[command(flatten)]
        options: Options,
    },
    /// A part of the load
    #[command(hide = true, subcommand)]
    Load(load::Load),
    /// A part of the floor
    #[command(hide = true, subcommand)]
    Floor(floor::Floor),
}

/// Runs a benchmark.
pub(crate) fn run(bench: Bench) -> Result<()> {
    match bench.kind {
        None => outside(&bench.options),
        Some(Kind::Sim) => simulator(),
        Some(Kind::Cover) => {
            crate::tools::run("cargo", &["bench", "--package", "throng-net", "--bench", "cover", "--locked"])
        }
        Some(Kind::Inside { throng, options }) => inside(&throng, &options),
        Some(Kind::Load(load)) => load::run(load),
        Some(Kind::Floor(part)) => floor::run(part),
    }
}

/// The simulator, alternating with a peer, which is built separately.
fn simulator() -> Result<()> {
    let peer = "crates/throng-sim/benches/nexosim/Cargo.toml";
    let build = ["build", "--release", "--locked", "--manifest-path", peer, "--target-dir", "target/nexosim"];
    crate::tools::run("cargo", &build)?;
    crate::tools::run("cargo", &["bench", "--package", "throng-sim", "--bench", "speed", "--locked"])
}

// --- Outside -------------------------------------------------------------------------------------------

/// Builds, starts what measures in a namespace of its own, waits for it, and passes a Ctrl-C on.
fn outside(options: &Options) -> Result<()> {
    let (throng, xtask) = build()?;
    let mut words = vec!["bench".to_owned(), "inside".to_owned()];
    words.extend(["--throng".to_owned(), throng.display().to_string()]);
    words.extend(options.words()?);
    let mut child = namespace::start_inside(&xtask, &words)?;
    let lifeline = child.stdin.take();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    let begin = now();
    let cut = runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let mut ends = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
            .into_iter()
            .filter_map(|kind| signal(kind).ok())
            .collect::<Vec<_>>();
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        while child.try_wait().ok().flatten().is_none() && begin.elapsed() < RUN_TIME_MAX {
            let asked = std::future::poll_fn(|context| {
                let any = ends.iter_mut().any(|end| end.poll_recv(context).is_ready());
                if any { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
            });
            tokio::select! {
                () = asked => return true,
                _ = tick.tick() => {}
            }
        }
        begin.elapsed() >= RUN_TIME_MAX
    });
    if cut {
        // The measuring process sees its stdin close, and ends what it started.
        drop(lifeline);
        let end = now() + END_TIME_MAX;
        while child.try_wait().context("waiting for the benchmark")?.is_none() && now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = child.kill();
    }
    let status = child.wait().context("waiting for the benchmark")?;
    match (cut, status.success()) {
        (false, true) => Ok(()),
        (true, _) => bail!("interrupted or out of time; everything that was started has been stopped"),
        _ => bail!("the benchmark failed: {status}"),
    }
}

/// Builds what is measured and what measures, both for speed. Where cargo has put them.
fn build() -> Result<(PathBuf, PathBuf)> {
    eprintln!("bench: cargo build --profile dist (minutes, if much has changed)");
    let words = ["build", "--profile", "dist", "--locked", "--package", "throng", "--package", "xtask"];
    let mut cargo = Command::new("cargo");
    cargo.args(words).args(["--bins", "--message-format", "json-render-diagnostics"]);
    cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let built = cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("running cargo")?;
    if !built.status.success() {
        bail!("cargo {} failed", words.join(" "));
    }
    let said = String::from_utf8_lossy(&built.stdout).into_owned();
    let messages = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let programs: HashMap<String, PathBuf> = messages
        .filter_map(|message| {
            let path = message["executable"].as_str()?;
            Some((message["target"]["name"].as_str()?.to_owned(), path.into()))
        })
        .collect();
    let place =
        |name| programs.get(name).cloned().with_context(|| format!("cargo did not say where {name} is"));
    Ok((place("throng")?, place("xtask")?))
}

// --- Inside --------------------------------------------------------------------------------------------

/// The folder of this run, for whoever ends it.
static FOLDER: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Measures; ends when stdin does.
fn inside(throng: &Path, options: &Options) -> Result<()> {
    let builder = tempfile::Builder::new().prefix("throng-bench-").tempdir();
    let folder = builder.context("creating a folder for this run")?;
    *FOLDER.lock().unwrap_or_else(PoisonError::into_inner) = Some(folder.path().to_owned());
    std::thread::spawn(|| {
        while load::hear().is_ok() {}
        process::end_all();
        if let Some(folder) = FOLDER.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = std::fs::remove_dir_all(folder);
        }
        std::process::exit(130);
    });
    namespace::set_up()?;
    let report = network::run(throng, folder.path(), options);
    // Without its children a run has no result.
    process::wait_if_ending();
    std::io::stdout().write_all(report?.as_bytes()).context("writing to stdout")
}
