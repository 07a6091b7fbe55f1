//! `cargo xtask test`: everything that must hold before a change is taken in.

use std::env;

use anyhow::Result;

use crate::tools::{is_here, run, succeeds};

/// Programs that tests drive, and the Debian packages that bring them.
const NEEDED: [(&str, &str); 6] = [
    ("chromium", "chromium"),
    ("curl", "curl"),
    ("ethtool", "ethtool"),
    ("ip", "iproute2"),
    ("tcpdump", "tcpdump"),
    ("unshare", "util-linux"),
];

/// Runs all checks; the test runner's summary comes last.
pub(crate) fn run_all() -> Result<()> {
    install_needed();
    run("cargo", &["fmt", "--all", "--check"])?;
    run("cargo", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])?;
    documentation()?;
    dependencies()?;
    tests()
}

/// Installs what is missing where that is possible; says loudly what stays missing.
fn install_needed() {
    let missing: Vec<_> = NEEDED.iter().filter(|(program, _)| !is_here(program)).collect();
    if missing.is_empty() {
        return;
    }
    let packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    if is_here("apt-get") && succeeds("test", &["-w", "/var/lib/dpkg"]) {
        let mut install = vec!["install", "--yes", "--no-install-recommends"];
        install.extend(&packages);
        let installed = run("apt-get", &["update", "--quiet"]).and_then(|()| run("apt-get", &install));
        if installed.is_ok() {
            return;
        }
    }
    for (program, package) in missing {
        eprintln!(
            "SKIPPED: what needs `{program}` (package {package}): it is not here and could not be installed"
        );
    }
}

fn documentation() -> Result<()> {
    // Warnings of the documentation are errors, for private items too.
    run(
        "env",
        &[
            "RUSTDOCFLAGS=-D warnings",
            "cargo",
            "doc",
            "--workspace",
            "--no-deps",
            "--document-private-items",
            "--locked",
        ],
    )
}

fn dependencies() -> Result<()> {
    if !succeeds("cargo", &["deny", "--version"]) {
        run("cargo", &["install", "--locked", "cargo-deny"])?;
    }
    run("cargo", &["deny", "--locked", "check", "licenses", "bans", "sources"])
}

fn tests() -> Result<()> {
    run("cargo", &["test", "--workspace", "--doc", "--locked"])?;
    if succeeds("cargo", &["nextest", "--version"]) {
        let profile = if env::var_os("CI").is_some() { "ci" } else { "default" };
        run("cargo", &["nextest", "run", "--workspace", "--locked", "--profile", profile])
    } else {
        run("cargo", &["test", "--workspace", "--all-targets", "--locked"])
    }
}
