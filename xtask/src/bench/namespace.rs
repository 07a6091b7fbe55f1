//! A network of our own: only a loopback device, made like a real link.
//!
//! Measurements neither see nor touch the machine's network. The loopback's usual MTU of 64 KiB would make it the TCP
//! segment size, and every small write of a program without `TCP_NODELAY` (as tor) wait for a delayed acknowledgement.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::process::{find, output};

/// A link like Ethernet's, and the congestion control that most of the Internet has.
const MTU: &str = "1500";
const CONGESTION: &str = "cubic";

/// What is said about it in the report.
pub(crate) const DESCRIPTION: &str =
    "a network namespace with a loopback of MTU 1500, TCP cubic, no delayed acknowledgements";

/// The ways in, the best first: with process ids of our own nothing can outlive us.
const WAYS: [&[&str]; 4] = [
    &["--net", "--pid", "--fork", "--kill-child", "--mount-proc"],
    &["--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"],
    &["--net"],
    &["--user", "--map-root-user", "--net"],
];

/// Starts a program of ours in a namespace; it ends when its stdin does.
pub(crate) fn start_inside(program: &Path, words: &[String]) -> Result<Child> {
    let unshare = find("unshare").context("`unshare` (Debian: util-linux) is needed")?;
    let works = |way: &&&[&str]| {
        let tried = Command::new(&unshare).args(**way).arg("true").stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    };
    let way = WAYS.iter().find(works).context("this system permits no network namespace of our own")?;
    let files = files_max().to_string();
    let mut command = Command::new(unshare);
    command.args(*way).arg("--");
    // Thousands of streams need as many descriptors: the soft limit is raised, for all that runs inside alike.
    command.arg("prlimit").arg(format!("--nofile={files}:{files}")).arg(program).args(words);
    // Ctrl-C reaches only the one who waits outside; who runs inside ends, in order, when its stdin does.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.stdin(Stdio::piped()).spawn().context("starting the benchmark in a namespace")
}

/// Sets the loopback up; run inside.
pub(crate) fn set_up() -> Result<()> {
    let ip = find("ip").context("`ip` (Debian: iproute2) is needed")?;
    let call = |words: &str| output(Command::new(&ip).args(words.split(' ')));
    // A new namespace's loopback is down; anybody else's is not touched.
    if call("-o link show lo")?.contains(",UP") {
        bail!("this is not a namespace of our own");
    }
    call(&format!("link set lo mtu {MTU} up"))?;
    let _ = fs::write("/proc/sys/net/ipv4/ip_local_port_range", "10000 65000");
    for to in ["127.0.0.0/8", "127.0.0.1"] {
        call(&format!(
            "route replace table local local {to} dev lo proto kernel scope host src 127.0.0.1 congctl {CONGESTION} quickack 1"
        ))?;
    }
    Ok(())
}

/// How many files a process may have open at most.
pub(crate) fn files_max() -> u64 {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap_or_default();
    line.split_whitespace().nth(4).and_then(|most| most.parse().ok()).unwrap_or(1024)
}
