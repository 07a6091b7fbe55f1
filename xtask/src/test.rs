//! `cargo xtask test`: everything that must hold before a change is merged.

use std::collections::BTreeSet;
use std::env;

use anyhow::{Result, bail};

use crate::house;
use crate::tools::{cargo_tool, is_here, output, root, run, skipped, succeeds};

/// Programs that tests drive, and the Debian packages that provide them.
const NEEDED: [(&str, &str); 14] = [
    ("chromium", "chromium"),
    ("curl", "curl"),
    ("ethtool", "ethtool"),
    ("firefox-esr", "firefox-esr"),
    ("git", "git"),
    ("ip", "iproute2"),
    ("npm", "npm"),
    ("nsenter", "util-linux"),
    ("pip", "python3-pip"),
    ("proxychains4", "proxychains4"),
    ("tcpdump", "tcpdump"),
    ("torsocks", "torsocks"),
    ("unshare", "util-linux"),
    ("wget", "wget"),
];

/// The same for tests that take long.
const NEEDED_LONG: [(&str, &str); 4] =
    [("munged", "munge"), ("sbatch", "slurm-client"), ("slurmctld", "slurmctld"), ("slurmd", "slurmd")];

/// How much is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// What takes less than two minutes once everything is built, and needs nothing but Rust.
    Quick,
    /// What a change must pass.
    Normal,
    /// Also what takes minutes and is not needed for every change.
    Long,
}

/// Packages whose tests need no socket, no other program and no rights.
const PURE: [&str; 5] = ["throng-core", "throng-machine", "throng-sim", "throng-lab", "xtask"];

/// Files of their tests that take seconds, beside the tests next to the code.
const FAST: [&str; 13] = [
    "a_circuit_is_renewed",
    "a_circuit_survives_every_single_loss",
    "a_mix_may_die",
    "a_newer_document_reaches_everybody",
    "a_run_can_be_split_watched_and_stopped",
    "a_trace_shows_what_the_wire_shows",
    "an_adversary_on_the_wire_or_in_a_mix_gains_nothing",
    "covered_links_keep_their_schemes",
    "errors_name_the_field",
    "known_answers",
    "the_engine_keeps_its_promises",
    "the_swarm_finds_nothing",
    "the_wire_does_not_know_the_load",
];

/// Tests in these files that take longer.
const SLOW: [&str; 2] = ["fifty_random_worlds_with_cover", "for_three_hours"];

/// Runs the checks; the test runner's summary comes last.
pub(crate) fn run_all(extent: Extent) -> Result<()> {
    if extent == Extent::Quick {
        return run_quick();
    }
    install(&NEEDED);
    if extent == Extent::Long {
        install(&NEEDED_LONG);
    }
    ask_for_namespaces();
    let nextest = cargo_tool("nextest", "cargo-nextest");
    source()?;
    documentation()?;
    if cargo_tool("deny", "cargo-deny") {
        run("cargo", &["deny", "--locked", "check", "licenses", "bans", "sources"])?;
    }
    run("cargo", &["test", "--workspace", "--doc", "--locked"])?;
    planted_faults()?;
    engine_alone()?;
    let is_long = extent == Extent::Long;
    if nextest {
        let profile = if env::var_os("CI").is_some() { "ci" } else { "default" };
        let ignored = if is_long { "all" } else { "default" };
        let words = ["nextest", "run", "--workspace", "--locked", "--profile", profile];
        run("cargo", &[&words[..], &["--run-ignored", ignored]].concat())
    } else {
        let words = ["test", "--workspace", "--all-targets", "--locked", "--", "--test-threads=1"];
        let more: &[&str] = if is_long { &["--include-ignored"] } else { &[] };
        run("cargo", &[&words[..], more].concat())
    }
}

/// The source as it stands: its form, the house's rules, lints. Cheapest first.
fn source() -> Result<()> {
    run("cargo", &["fmt", "--all", "--check"])?;
    eprintln!("\n$ cargo xtask house");
    house::check()?;
    run("cargo", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])
}

/// Installs nothing, and runs nothing but cargo.
fn run_quick() -> Result<()> {
    source()?;
    let tests = FAST.map(|test| ["--test", test]).concat();
    if succeeds("cargo", &["nextest", "--version"]) {
        // The whole workspace, of which a part runs: for fewer packages, libraries would be built with fewer features.
        let words = ["nextest", "run", "--workspace", "--locked", "--lib", "--bins"];
        let packages = PURE.map(|package| format!("package({package})")).join(" + ");
        let slow = SLOW.map(|test| format!("test({test})")).join(" + ");
        run("cargo", &[&words[..], &tests, &["--filterset", &format!("({packages}) - ({slow})")]].concat())
    } else {
        let packages = PURE.map(|package| ["--package", package]).concat();
        let without_slow = SLOW.map(|test| ["--skip", test]).concat();
        let words = ["test", "--locked", "--lib", "--bins"];
        run("cargo", &[&words[..], &packages, &tests, &["--"], &without_slow].concat())
    }
}

/// The proof that the wire does not know the load must be able to fail: with faults planted.
///
/// A wrapper of the compiler plants them into our own crates. `RUSTFLAGS` would have every library built again, and a
/// feature could be switched on by a dependent.
fn planted_faults() -> Result<()> {
    let wrapper = format!("RUSTC_WORKSPACE_WRAPPER={}", root().join("xtask/plant-faults").display());
    let test = ["test", "--workspace", "--locked", "--test", "the_wire_does_not_know_the_load", "planted"];
    run("env", &[&[&wrapper, "cargo"][..], &test].concat())
}

/// Targets without a standard library: the engine builds for them, or something in it has crept in.
const BARE_TARGETS: [&str; 4] =
    ["thumbv7em-none-eabihf", "x86_64-unknown-none", "riscv32imac-unknown-none-elf", "wasm32v1-none"];

/// The engine needs no standard library, and no feature that only other crates of the workspace ask for.
fn engine_alone() -> Result<()> {
    let installed = output("rustup", &["target", "list", "--installed"]).unwrap_or_default();
    if let Some(target) =
        BARE_TARGETS.into_iter().find(|target| installed.lines().any(|line| line == *target))
    {
        run("cargo", &["build", "--package", "throng-core", "--locked", "--target", target])?;
        eprintln!("no_std: PROVED, throng-core builds for {target}, which has no standard library");
        return Ok(());
    }
    let edges = "normal,no-proc-macro";
    let tree = ["tree", "--package", "throng-core", "--locked", "--edges", edges, "--prefix", "none"];
    let tree = output("cargo", &[&tree[..], &["--format", "{p}\t{f}"]].concat())?;
    let with_std = crates_with_std(&tree);
    if !with_std.is_empty() {
        bail!("throng-core needs the standard library, by the feature `std` of {}", with_std.join(", "));
    }
    eprintln!(
        "no_std: NOT BUILT, since no target without a standard library is installed (`rustup target add {}`); by the \
         dependency graph, none of the {} crates of throng-core has its feature `std`",
        BARE_TARGETS[0],
        tree.lines().filter_map(|line| line.split('\t').next()).collect::<BTreeSet<_>>().len()
    );
    Ok(())
}

/// Of lines with a crate and, behind a tab, its features.
fn crates_with_std(tree: &str) -> Vec<&str> {
    let lines = tree.lines().filter_map(|line| line.split_once('\t'));
    let std = |features: &str| features.split([',', ' ']).any(|feature| feature == "std");
    lines.filter(|(_, features)| std(features)).map(|(name, _)| name).collect()
}

/// Rewrites the golden tables of the scenarios.
pub(crate) fn bless() -> Result<()> {
    let test = [
        "test",
        "--locked",
        "--package",
        "throng-sim",
        "--test",
        "every_shipped_scenario_gives_its_golden_table",
    ];
    run("env", &[&["THRONG_BLESS=1", "cargo"][..], &test].concat())
}

/// Installs what is missing where possible, and reports loudly what stays missing.
fn install(needed: &[(&str, &str)]) {
    let missing = || needed.iter().filter(|(program, _)| !is_here(program));
    if missing().next().is_some() && is_here("apt-get") && succeeds("test", &["-w", "/var/lib/dpkg"]) {
        let _ = run("apt-get", &["update", "--quiet"]);
        for (_, package) in missing() {
            // One by one: a package that is unavailable must not block the others.
            let apt =
                ["DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes", "--no-install-recommends"];
            let _ = run("env", &[&apt[..], &[*package]].concat());
        }
    }
    for (program, package) in missing() {
        skipped(&format!("tests that need `{program}` (package {package}), which could not be installed"));
    }
}

fn ask_for_namespaces() {
    let namespaces = succeeds("unshare", &["--net", "true"])
        || succeeds("unshare", &["--user", "--map-root-user", "--net", "true"]);
    if !namespaces {
        skipped("tests that need a network namespace, which this system does not permit");
    }
}

fn documentation() -> Result<()> {
    // Warnings of the documentation are errors, for private items too.
    let doc = ["cargo", "doc", "--workspace", "--no-deps", "--document-private-items", "--locked"];
    run("env", &[&["RUSTDOCFLAGS=-D warnings"][..], &doc].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_with_its_standard_library_is_found() {
        let tree = "throng-core v0.1.0\t\nrand v0.9.0\tstd,alloc\nsubtle v2.6.1\tconst-generics (*)\nx v1.0.0\tstdx\n";
        assert_eq!(crates_with_std(tree), ["rand v0.9.0"]);
        assert_eq!(crates_with_std("a v1.0.0\talloc,std (*)"), ["a v1.0.0"]);
    }
}
