//! How fast the simulator is: `cargo xtask bench sim`. Ratios of one run on one machine; the clock is read here only.
#![allow(clippy::disallowed_methods, reason = "a benchmark is where a clock is read")]
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use throng_core::crypto::{Portable, Suite};
use throng_sim::{Options, Scenario, Shard, Toy, bench, nobody, run};

const TURNS: usize = 3;
/// Where somebody else takes turns with us.
const PEER_TURNS: usize = 7;

/// What the program does when it is asked for this.
const IDLE: &str = "bytes-per-idle-user";

fn main() {
    if std::env::args().any(|arg| arg == IDLE) {
        return println!("{}", bytes_per_idle_user());
    }
    // Elsewhere: a heap in which thousands of users lay about would have this one's users all over it.
    let idle: u64 = output(&std::env::current_exe().unwrap().to_string_lossy(), &[IDLE]).unwrap();
    let mut toy = Vec::new();
    let (mut as_many, mut more) = (Vec::new(), Vec::new());
    eprintln!("1000 users, by turns with nexosim …");
    let mut world = bench::CellHops::<Toy>::prepare(1000, 50);
    for _ in 0..PEER_TURNS {
        toy.push(turn(&mut world, Duration::from_secs(10)));
        as_many.extend(nexosim(2000));
        more.extend(nexosim(100_000));
    }
    drop(world);
    let many = hops::<Toy>(10_000, Duration::from_secs(3));
    let real = hops::<Portable>(200, Duration::from_secs(20));
    let hundred_thousand = population(100_000);
    let million = population(1_000_000);
    let (one, two): (Vec<f64>, Vec<f64>) = (0..TURNS).map(|_| (sweep(1), sweep(2))).unzip();
    println!("\n| figure | target | measured: min – median – max |\n|---|---:|---:|");
    row("node level, toy suite, 1000 users, M cell-hops/s", "≥ 1", &toy, 1e6);
    row("the same, 10 000 users", "", &many, 1e6);
    if !as_many.is_empty() {
        row("nexosim, 1000 models, 2000 cells under way (as above), M hops/s", "", &as_many, 1e6);
        row("nexosim, 1000 models, 100 000 cells under way, M hops/s", "", &more, 1e6);
    }
    row("node level, real (portable) suite, 200 users, M cell-hops/s", "≥ 0.3", &real, 1e6);
    println!("| state of an idle user, bytes | ≤ 1024 | {idle} |");
    row("100 000 users, one hour, end-to-end cover at 64 kb/s, s", "< 10", &hundred_thousand, 1.0);
    row("1 000 000 users, the same, s", "< 120", &million, 1.0);
    let speed_up: Vec<f64> = one.iter().zip(&two).map(|(one, two)| one / two).collect();
    row("a sweep with two jobs, times as fast as with one", "≥ 1.7", &speed_up, 1.0);
    if as_many.is_empty() {
        println!("\n(nexosim is not there: `cargo xtask bench sim` builds it)");
    }
    let median = sorted(&toy)[toy.len() / 2];
    println!(
        "\nBeside public simulators as they were measured elsewhere (not here): {:.0} × MiXiM (9 thousand hops/s), {:.1} × \
         nexosim (0.28 million hops/s). Theirs run no protocol.",
        median / 9e3,
        median / 0.28e6
    );
}

/// Cell-hops per second of worlds of real nodes.
fn hops<S: Suite>(users: usize, span: Duration) -> Vec<f64> {
    eprintln!("{users} users, their circuits first …");
    let mut world = bench::CellHops::<S>::prepare(users, 50);
    (0..TURNS).map(|_| turn(&mut world, span)).collect()
}

fn turn<S: Suite>(world: &mut bench::CellHops<S>, span: Duration) -> f64 {
    let begun = Instant::now();
    let measured = world.run(span);
    measured.cell_hops as f64 / begun.elapsed().as_secs_f64()
}

/// Hops a second of a thousand models in `nexosim` with so many cells under way, if the program is there.
fn nexosim(cells: usize) -> Option<f64> {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/nexosim/release/nexosim-hops");
    output(program, &["1000", &cells.to_string(), "2"])
}

/// The number that a program says, if it is there.
fn output<T: std::str::FromStr>(program: &str, arguments: &[&str]) -> Option<T> {
    let output = std::process::Command::new(program).args(arguments).output().ok()?;
    String::from_utf8(output.stdout).unwrap().trim().parse().ok()
}

/// What a user more takes, from worlds of 10 000 and of 30 000 users.
fn bytes_per_idle_user() -> u64 {
    let resident = || {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
    };
    let before = resident();
    let small = bench::idle::<Toy>(10_000, 50, 0);
    let between = resident();
    let large = bench::idle::<Toy>(30_000, 50, 0);
    let after = resident();
    drop((small, large));
    (after - between).saturating_sub(between - before) / 20_000
}

/// Seconds for a population's busy hour.
fn population(users: usize) -> Vec<f64> {
    eprintln!("{users} users …");
    let scenario = bench::busy_hour(users);
    (0..TURNS).map(|_| seconds(&scenario, 1)).collect()
}

/// Seconds for the same eight runs with so many jobs.
fn sweep(jobs: usize) -> f64 {
    eprintln!("a sweep with {jobs} jobs …");
    let text = "duration_s = 60\nseeds = 8\nmixes.count = 20\nusers.count = 200\ntraffic = { model = \"web\", reading_s = 10 }\n";
    seconds(&Scenario::parse("sweep.toml", text).unwrap(), jobs)
}

fn seconds(scenario: &Scenario, jobs: usize) -> f64 {
    let stop = AtomicBool::new(false);
    let begun = Instant::now();
    let results = run(scenario, &Options { jobs, shard: Shard::ALL, told: &nobody, stop: &stop });
    assert!(results.is_clean() && results.missing().is_empty());
    begun.elapsed().as_secs_f64()
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

fn row(what: &str, target: &str, values: &[f64], unit: f64) {
    let values = sorted(values);
    let [least, median, most] =
        [values[0], values[values.len() / 2], values[values.len() - 1]].map(|value| value / unit);
    println!("| {what} | {target} | {least:.2} – **{median:.2}** – {most:.2} |");
}
