//! Running other programs.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Runs a program in the workspace's root and waits for it.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<()> {
    run_in(root(), program, arguments)
}

/// Runs a program in a folder and waits for it.
pub(crate) fn run_in(folder: &Path, program: &str, arguments: &[&str]) -> Result<()> {
    eprintln!("\n$ {program} {}", arguments.join(" "));
    let status = command(program, arguments)
        .current_dir(folder)
        .status()
        .with_context(|| format!("running {program}"))?;
    if !status.success() {
        bail!("{program} {} failed: {status}", arguments.join(" "));
    }
    Ok(())
}

/// Runs a program in the workspace's root, and returns what it writes to stdout.
pub(crate) fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let output = command(program, arguments).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("running {program}"))?;
    if !output.status.success() {
        bail!("{program} {} failed: {}", arguments.join(" "), output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("reading the output of {program}"))
}

/// Whether a program succeeds; its output is discarded.
pub(crate) fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let quiet =
        command(program, arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}

/// Whether a program of this name is installed.
pub(crate) fn is_here(program: &str) -> bool {
    let paths = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&paths)
        .chain([Path::new("/usr/sbin").into()])
        .any(|folder| folder.join(program).is_file())
}

/// The workspace's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Whether cargo has this subcommand, after an attempt to install it.
pub(crate) fn cargo_tool(subcommand: &str, package: &str) -> bool {
    let here = || succeeds("cargo", &[subcommand, "--version"]);
    let here = here() || (run("cargo", &["install", "--locked", package]).is_ok() && here());
    if !here {
        skipped(&format!("checks that need `{package}`, which could not be installed"));
    }
    here
}

/// Says loudly what is not done.
pub(crate) fn skipped(what: &str) {
    eprintln!("SKIPPED: {what}");
}

fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}
