//! Our network: a static one, a process for every mix and one for the client; and `throng up`, all in one process.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::process::{Running, output, wait_until};

/// What kind of network.
pub(crate) struct Shape {
    pub(crate) mixes: u8,
    pub(crate) exits: u8,
    /// Mixes are at 127.N.0.1, the proxy at the port 9450 + N, with N from here.
    pub(crate) from: u8,
}

/// As many mixes as the Tor network has relays, and as many exits.
pub(crate) const NETWORK: Shape = Shape { mixes: 7, exits: 3, from: 1 };
/// Every stream goes through every mix.
pub(crate) const ALONE: Shape = Shape { mixes: 3, exits: 1, from: 101 };

const START_TIME_MAX: Duration = Duration::from_secs(30);

/// A static network.
pub(crate) struct Throng {
    mixes: Vec<Running>,
    /// The first ones.
    exits: usize,
    client: Running,
    client_log: PathBuf,
    pub(crate) proxy: SocketAddr,
}

impl Throng {
    /// Starts it; the client has a circuit then.
    pub(crate) fn start(program: &Path, dir: &Path, shape: &Shape) -> Result<Self> {
        let addresses: Vec<String> =
            (shape.from..shape.from + shape.mixes).map(|i| format!("127.{i}.0.1:9001")).collect();
        let (mixes, exits, addresses) =
            (shape.mixes.to_string(), shape.exits.to_string(), addresses.join(","));
        let init = ["network", "init", "--mixes", &mixes, "--exits", &exits, "--hops", "3"];
        let open = ["--address", &addresses, "--exit-to-private", "--exit-ports", "all", "--dir"];
        output(Command::new(program).args(init).args(open).arg(dir))?;
        let client = dir.join("client.toml");
        let text = fs::read_to_string(&client).context("reading the client's file")?;
        let port = (9450 + u16::from(shape.from)).to_string();
        fs::write(&client, text.replace("9450", &port)).context("writing the client's file")?;
        let run = |name: &str, command: &str, level: &str| {
            let file = dir.join(format!("{name}.toml"));
            let mut program = Command::new(program);
            program.arg(command).arg(file).env("THRONG_LOG", level);
            Running::start(name, &mut program, &dir.join(format!("{name}.log")))
        };
        let mixes: Vec<Running> =
            (1..=shape.mixes).map(|i| run(&format!("mix-{i}"), "node", "warn")).collect::<Result<_>>()?;
        // The client's log says what circuits come.
        let client = run("client", "client", "info")?;
        let client_log = dir.join("client.log");
        let proxy = wait_until("throng's client has a circuit", START_TIME_MAX, || {
            mixes.iter().chain([&client]).try_for_each(Running::must_live)?;
            let log = fs::read_to_string(&client_log).unwrap_or_default();
            Ok(log.lines().find_map(|line| line.strip_prefix("proxy on ")?.parse().ok()))
        })?;
        let exits = shape.exits.into();
        Ok(Self { mixes, exits, client, client_log, proxy })
    }

    /// Process ids: mixes, exits, client.
    pub(crate) fn groups(&self) -> Vec<(&'static str, Vec<u32>)> {
        let (exits, mixes) = self.mixes.split_at(self.exits);
        let pids = |nodes: &[Running]| nodes.iter().map(Running::pid).collect();
        vec![("relay", pids(mixes)), ("exit", pids(exits)), ("client", vec![self.client.pid()])]
    }

    /// How long each circuit took that was built so far, in ms, from the client's own log.
    pub(crate) fn circuits(&self) -> Result<Vec<BuildTime>> {
        let log = fs::read_to_string(&self.client_log).context("reading the client's log")?;
        Ok(log.lines().filter(|line| line.contains("a circuit is ready")).filter_map(build_time).collect())
    }

    pub(crate) fn must_live(&self) -> Result<()> {
        self.mixes.iter().chain([&self.client]).try_for_each(Running::must_live)
    }
}

/// What the log says about a circuit's build.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BuildTime {
    pub(crate) ms: f64,
    /// Cut to whole milliseconds.
    pub(crate) cut: bool,
}

fn build_time(line: &str) -> Option<BuildTime> {
    let field = |name: &str| -> Option<f64> {
        line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
    };
    let exact = field("us").map(|us| BuildTime { ms: us / 1e3, cut: false });
    exact.or_else(|| Some(BuildTime { ms: field("ms")?, cut: true }))
}

/// `throng up`.
pub(crate) struct Up {
    process: Running,
    pub(crate) proxy: SocketAddr,
}

impl Up {
    pub(crate) fn start(program: &Path, dir: &Path) -> Result<Self> {
        let log = dir.join("up.log");
        let mixes = NETWORK.mixes.to_string();
        let mut command = Command::new(program);
        command.args(["up", "--json", "--port", "0", "--hops", "3", "--mixes", &mixes]);
        let process = Running::start("throng up", command.env("THRONG_LOG", "warn"), &log)?;
        let proxy = wait_until("`throng up` has a circuit", START_TIME_MAX, || {
            process.must_live()?;
            let said = fs::read_to_string(&log).unwrap_or_default();
            let report = said.lines().find_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            Ok(report.and_then(|report| report["proxy"].as_str()?.parse().ok()))
        })?;
        Ok(Self { process, proxy })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_times_are_read_from_the_log() {
        let line = "2025-11-22T21:00:00.1Z  INFO throng_net::client: a circuit is ready hops=3 ms=12";
        assert_eq!(build_time(line), Some(BuildTime { ms: 12.0, cut: true }));
        let exact = line.replace("ms=12", "us=12345");
        assert_eq!(build_time(&exact), Some(BuildTime { ms: 12.345, cut: false }));
        assert_eq!(build_time("a circuit is ready"), None);
    }
}
