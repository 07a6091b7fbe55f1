//! `cargo xtask test`: everything that must hold before a change is taken in.

use std::env;

use anyhow::Result;

use crate::house;
use crate::tools::{is_here, run, succeeds};

/// Programs that tests drive, and the Debian packages that bring them.
const NEEDED: [(&str, &str); 7] = [
    ("chromium", "chromium"),
    ("curl", "curl"),
    ("ethtool", "ethtool"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("tcpdump", "tcpdump"),
    ("unshare", "util-linux"),
];

/// The same for tests that take long.
const NEEDED_LONG: [(&str, &str); 4] =
    [("munged", "munge"), ("sbatch", "slurm-client"), ("slurmctld", "slurmctld"), ("slurmd", "slurmd")];

/// Runs all checks; the test runner's summary comes last.
pub(crate) fn run_all(long: bool) -> Result<()> {
    install(&NEEDED);
    if long {
        install(&NEEDED_LONG);
    }
    ask_for_namespaces();
    let nextest = cargo_tool("nextest", "cargo-nextest");
    run("cargo", &["fmt", "--all", "--check"])?;
    eprintln!("\n$ cargo xtask house");
    house::check()?;
    run("cargo", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])?;
    documentation()?;
    if cargo_tool("deny", "cargo-deny") {
        run("cargo", &["deny", "--locked", "check", "licenses", "bans", "sources"])?;
    }
    run("cargo", &["test", "--workspace", "--doc", "--locked"])?;
    planted_faults()?;
    if nextest {
        let profile = if env::var_os("CI").is_some() { "ci" } else { "default" };
        let ignored = if long { "all" } else { "default" };
        let words = ["nextest", "run", "--workspace", "--locked", "--profile", profile];
        run("cargo", &[&words[..], &["--run-ignored", ignored]].concat())
    } else {
        let words = ["test", "--workspace", "--all-targets", "--locked", "--", "--test-threads=1"];
        let more: &[&str] = if long { &["--include-ignored"] } else { &[] };
        run("cargo", &[&words[..], more].concat())
    }
}

/// The proof that the wire does not know the load must be able to fail: with faults planted, in a build of its own.
fn planted_faults() -> Result<()> {
    let test = ["test", "--locked", "--package", "throng-sim", "--test", "the_wire_does_not_know_the_load"];
    let build = ["RUSTFLAGS=--cfg mutants", "CARGO_TARGET_DIR=target/mutants", "cargo"];
    run("env", &[&build[..], &test, &["planted"]].concat())
}

/// Writes the golden tables of the scenarios anew.
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

/// Installs what is missing where that is possible; says loudly what stays missing.
fn install(needed: &[(&str, &str)]) {
    let missing = || needed.iter().filter(|(program, _)| !is_here(program));
    if missing().next().is_some() && is_here("apt-get") && succeeds("test", &["-w", "/var/lib/dpkg"]) {
        let _ = run("apt-get", &["update", "--quiet"]);
        for (_, package) in missing() {
            // One by one: what cannot be had must not keep the rest away.
            let apt =
                ["DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes", "--no-install-recommends"];
            let _ = run("env", &[&apt[..], &[*package]].concat());
        }
    }
    for (program, package) in missing() {
        skipped(&format!("what needs `{program}` (package {package}), which could not be installed"));
    }
}

fn ask_for_namespaces() {
    let namespaces = succeeds("unshare", &["--net", "true"])
        || succeeds("unshare", &["--user", "--map-root-user", "--net", "true"]);
    if !namespaces {
        skipped("what needs a network namespace of its own: this system permits none");
    }
}

/// Whether cargo has this subcommand, after an attempt to install it.
fn cargo_tool(subcommand: &str, package: &str) -> bool {
    let here = || succeeds("cargo", &[subcommand, "--version"]);
    let here = here() || (run("cargo", &["install", "--locked", package]).is_ok() && here());
    if !here {
        skipped(&format!("what needs `{package}`, which could not be installed"));
    }
    here
}

fn skipped(what: &str) {
    eprintln!("SKIPPED: {what}");
}

fn documentation() -> Result<()> {
    // Warnings of the documentation are errors, for private items too.
    let doc = ["cargo", "doc", "--workspace", "--no-deps", "--document-private-items", "--locked"];
    run("env", &[&["RUSTDOCFLAGS=-D warnings"][..], &doc].concat())
}
