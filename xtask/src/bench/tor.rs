//! A private Tor network on loopback, of the system's `tor`, tuned as an expert would.

use std::collections::{HashSet, VecDeque};
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use super::process::{Running, find, now, output, wait_until};

/// Consensus parameters of the live network (November 2025) that touch performance: congestion control (`cc_`), Conflux
/// (`cfx_`), queues.
const PARAMETERS: &str = "CircuitPriorityHalflifeMsec=30000 ExtendByEd25519ID=1 KISTSchedRunInterval=3 \
    UseOptimisticData=1 cbttestfreq=10 cc_alg=2 cc_cwnd_full_gap=4 cc_cwnd_full_minpct=25 cc_cwnd_inc=1 \
    cc_cwnd_inc_rate=31 cc_cwnd_min=124 cc_sscap_exit=600 cc_sscap_onion=475 cc_vegas_alpha_exit=186 \
    cc_vegas_delta_exit=310 cfx_low_exit_threshold=5000 circ_max_cell_queue_size=1250 \
    circ_max_cell_queue_size_out=1000 sendme_accept_min_version=1";

/// What the report says about the tuning.
pub(crate) const PROFILE: &str = "profile \"best\": `Schedulers Vanilla` on every node (the default scheduler writes at \
    intervals, which would make a loopback network look many times slower; it is not measured here), the live network's \
    parameters for congestion control, no bandwidth or denial-of-service limits, `NumCPUs 2`, testing intervals for the \
    directory only, SOCKS with a new user name per circuit";

const AUTHORITIES: usize = 3;
const RELAYS: usize = 4;
const EXITS: usize = 3;
const START_TIME_MAX: Duration = Duration::from_secs(90);
/// Time that relays need until their descriptors are with the authorities.
const HEAD_START: f64 = 7.0;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Authority,
    Relay,
    Exit,
    Client,
}

struct Node {
    kind: Kind,
    name: String,
    dir: PathBuf,
    ip: &'static str,
    or_port: u16,
    dir_port: u16,
    control_port: u16,
    fingerprint: String,
    process: Option<Running>,
}

/// A running network.
pub(crate) struct Tor {
    nodes: Vec<Node>,
    pub(crate) proxy: SocketAddr,
}

/// Its version, where it is installed.
pub(crate) fn version() -> Option<String> {
    let text = output(Command::new(find("tor")?).arg("--version")).ok()?;
    find("tor-gencert")?;
    Some(text.lines().next()?.trim_end_matches('.').to_owned())
}

impl Tor {
    /// Starts a network; the client has bootstrapped then.
    pub(crate) fn start(dir: &Path) -> Result<Self> {
        let program = find("tor").context("no `tor`")?;
        let mut nodes = nodes(dir)?;
        let authority_lines = make_keys(&program, &mut nodes)?;
        write_files(dir, &nodes, &authority_lines)?;
        let begin = now();
        for node in nodes.iter_mut().filter(|node| node.kind != Kind::Client) {
            node.start(&program)?;
        }
        let consensus = nodes[0].dir.join("cached-microdesc-consensus");
        wait_until("the Tor network has a consensus", START_TIME_MAX, || {
            nodes.iter().try_for_each(Node::must_live)?;
            let text = fs::read_to_string(&consensus).unwrap_or_default();
            let count = |start: &str, flag: &str| {
                text.lines().filter(|line| line.starts_with(start) && line.contains(flag)).count()
            };
            let all = AUTHORITIES + RELAYS + EXITS;
            let whole =
                count("r ", "") >= all && count("s ", " Exit") >= EXITS && count("s ", " Running") >= all;
            Ok(whole.then_some(()))
        })
        .with_context(|| last_words(&nodes))?;
        // The relays fetch the descriptors first: a client that finds none waits for 10 s.
        std::thread::sleep(Duration::from_millis(1200));
        let client = nodes.len() - 1;
        nodes[client].start(&program)?;
        wait_until("Tor's client has bootstrapped", START_TIME_MAX.saturating_sub(begin.elapsed()), || {
            nodes.iter().try_for_each(Node::must_live)?;
            let phase = Control::open(nodes[client].control_port)
                .and_then(|mut control| control.call("GETINFO status/bootstrap-phase"));
            Ok(phase.ok().filter(|phase| phase.contains("PROGRESS=100")).map(drop))
        })
        .with_context(|| last_words(&nodes))?;
        let proxy = SocketAddr::from((Ipv4Addr::LOCALHOST, nodes[client].or_port));
        Ok(Self { nodes, proxy })
    }

    /// Process ids: relays, exits, client. Not the directory authorities: a static network of ours has none.
    pub(crate) fn groups(&self) -> Vec<(&'static str, Vec<u32>)> {
        let pids = |kind| {
            let of_kind = self.nodes.iter().filter(|node| node.kind == kind);
            of_kind.filter_map(|node| node.process.as_ref()).map(Running::pid).collect()
        };
        vec![("relay", pids(Kind::Relay)), ("exit", pids(Kind::Exit)), ("client", pids(Kind::Client))]
    }

    pub(crate) fn must_live(&self) -> Result<()> {
        self.nodes.iter().try_for_each(Node::must_live)
    }

    /// A connection to the client's control port.
    pub(crate) fn control(&self) -> Result<Control> {
        let client = self.nodes.last().context("no client")?;
        Control::open(client.control_port)
    }

    /// A path through three mixes, another one for each number.
    pub(crate) fn path(&self, number: usize) -> String {
        let of = |kind| self.nodes.iter().filter(move |node| node.kind == kind).map(|node| &node.fingerprint);
        let pick = |kind, at: usize, count: usize| of(kind).nth(at % count).cloned().unwrap_or_default();
        let (first, second) = (number % RELAYS, number + 1 + number / RELAYS % (RELAYS - 1));
        let (first, second) = (pick(Kind::Relay, first, RELAYS), pick(Kind::Relay, second, RELAYS));
        format!("${first},${second},${}", pick(Kind::Exit, number / 2, EXITS))
    }
}

impl Node {
    fn start(&mut self, program: &Path) -> Result<()> {
        let mut command = Command::new(program);
        command.args(["--defaults-torrc", "/dev/null", "--hush", "-f"]).arg(self.dir.join("torrc"));
        self.process = Some(Running::start(&self.name, &mut command, &self.dir.join("out"))?);
        Ok(())
    }

    fn must_live(&self) -> Result<()> {
        self.process.as_ref().map_or(Ok(()), Running::must_live)
    }
}

// --- Files ---------------------------------------------------------------------------------------------

fn nodes(dir: &Path) -> Result<Vec<Node>> {
    let kinds = [
        (Kind::Authority, "auth", AUTHORITIES),
        (Kind::Relay, "relay", RELAYS),
        (Kind::Exit, "exit", EXITS),
        (Kind::Client, "client", 1),
    ];
    let names = kinds.iter().flat_map(|&(kind, name, count)| (0..count).map(move |i| (kind, name, i)));
    // All ports are taken before the first is given back.
    let mut sockets = Vec::new();
    let mut port = || -> Result<u16> {
        let socket = TcpListener::bind("127.0.0.1:0").context("looking for a free port")?;
        let port = socket.local_addr().context("asking for a port")?.port();
        sockets.push(socket);
        Ok(port)
    };
    let mut nodes = Vec::new();
    for (kind, name, i) in names {
        let name = format!("{name}{i}");
        let dir = dir.join(&name);
        fs::create_dir_all(dir.join("keys")).with_context(|| format!("making {}", dir.display()))?;
        for private in [&dir, &dir.join("keys")] {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            fs::set_permissions(private, mode).context("setting permissions")?;
        }
        // Exits have an address of their own, so that the authorities can give them, and only them, the Exit flag.
        let ip = if kind == Kind::Exit { "127.0.0.2" } else { "127.0.0.1" };
        let (or_port, dir_port, control_port) = (port()?, port()?, port()?);
        let fingerprint = String::new();
        nodes.push(Node { kind, name, dir, ip, or_port, dir_port, control_port, fingerprint, process: None });
    }
    Ok(nodes)
}

/// Makes keys, and learns fingerprints. The lines that name the authorities.
fn make_keys(program: &Path, nodes: &mut [Node]) -> Result<String> {
    let gencert = find("tor-gencert").context("no `tor-gencert`")?;
    let mut runs = Vec::new();
    for node in nodes.iter().filter(|node| node.kind == Kind::Authority) {
        let keys = node.dir.join("keys");
        let mut command = Command::new(&gencert);
        command.args(["--create-identity-key", "-m", "12", "--passphrase-fd", "0"]);
        command.arg("-a").arg(format!("127.0.0.1:{}", node.dir_port));
        command.arg("-i").arg(keys.join("authority_identity_key"));
        command.arg("-s").arg(keys.join("authority_signing_key"));
        command.arg("-c").arg(keys.join("authority_certificate"));
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().context("starting tor-gencert")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(b"x\n").context("talking to tor-gencert")?;
        }
        runs.push(child);
    }
    for mut run in runs {
        if !run.wait().context("waiting for tor-gencert")?.success() {
            bail!("tor-gencert failed");
        }
    }
    let mut lines = String::new();
    for node in nodes.iter_mut().filter(|node| node.kind != Kind::Client) {
        let mut command = Command::new(program);
        command.args(["--ignore-missing-torrc", "-f", "/dev/null", "--list-fingerprint", "--quiet"]);
        command.arg("--DataDirectory").arg(&node.dir).args(["--Nickname", &node.name]);
        command.arg("--ORPort").arg(format!("127.0.0.1:{}", node.or_port));
        command.args(["--DirAuthority", "x 127.0.0.1:1 0000000000000000000000000000000000000000"]);
        command.args(["--PublishServerDescriptor", "0", "--TestingTorNetwork", "1"]);
        command.args(["--AssumeReachable", "1", "--ExitRelay", "0"]);
        let said = output(&mut command)?;
        let words = said.split_whitespace().filter(|word| word.len() == 4);
        node.fingerprint = words.filter(|word| word.bytes().all(|byte| byte.is_ascii_hexdigit())).collect();
        if node.fingerprint.len() != 40 {
            bail!("tor --list-fingerprint said {said}");
        }
        if node.kind == Kind::Authority {
            let certificate = fs::read_to_string(node.dir.join("keys/authority_certificate"))
                .context("reading an authority's certificate")?;
            let v3 = certificate.lines().find_map(|line| line.strip_prefix("fingerprint "));
            let _ = writeln!(
                lines,
                "DirAuthority {} orport={} no-v2 v3ident={} 127.0.0.1:{} {}",
                node.name,
                node.or_port,
                v3.unwrap_or_default().trim(),
                node.dir_port,
                node.fingerprint
            );
        }
    }
    Ok(lines)
}

/// Writes every node's settings.
fn write_files(dir: &Path, nodes: &[Node], authority_lines: &str) -> Result<()> {
    let place = dir.display();
    let write = |path: PathBuf, text: String| {
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    };
    let seconds = seconds_of_today();
    // Equal bandwidths, so that paths spread evenly; the authorities carry (almost) nothing.
    let mut bandwidths = format!("{}\n", seconds as u64);
    for node in nodes.iter().filter(|node| node.kind != Kind::Client) {
        let bandwidth = if node.kind == Kind::Authority { 1 } else { 100_000 };
        let _ = writeln!(bandwidths, "node_id=${} bw={bandwidth} nick={}", node.fingerprint, node.name);
    }
    write(dir.join("v3bw"), bandwidths)?;
    write(dir.join("resolv.conf"), "nameserver 127.0.0.1\n".to_owned())?;
    let first_vote = first_vote(seconds);
    for node in nodes {
        let (data, control) = (node.dir.display(), node.control_port);
        let (or_port, ip, dir_port) = (node.or_port, node.ip, node.dir_port);
        let mut text = format!(
            "TestingTorNetwork 1\nDataDirectory {data}\nNickname {}\nRunAsDaemon 0\nLog notice file {data}/log\n\
             AvoidDiskWrites 1\n__OwningControllerProcess {}\nShutdownWaitLength 0\nDisableDebuggerAttachment 0\n\
             PathsNeededToBuildCircuits 0.6\nControlPort 127.0.0.1:{control}\nCookieAuthentication 0\n\
             GeoIPFile /dev/null\nGeoIPv6File /dev/null\nClientUseIPv6 0\nSchedulers Vanilla\n{authority_lines}",
            node.name,
            std::process::id(),
        );
        if node.kind == Kind::Client {
            let _ = writeln!(text, "SocksPort 127.0.0.1:{or_port}");
        } else {
            let _ = write!(
                text,
                "SocksPort 0\nORPort {ip}:{or_port} IPv4Only\nAddress {ip}\nAssumeReachable 1\n\
                 BandwidthRate 2047 MBytes\nBandwidthBurst 2047 MBytes\nNumCPUs 2\n\
                 ContactInfo bench@example.org\nDoSCircuitCreationEnabled 0\nDoSConnectionEnabled 0\n\
                 DoSStreamCreationEnabled 0\nServerDNSDetectHijacking 0\n\
                 ServerDNSResolvConfFile {place}/resolv.conf\nServerDNSAllowBrokenConfig 1\n"
            );
            // "accept *:*" only because a summary of a policy does not count loopback.
            text.push_str(if node.kind == Kind::Exit {
                "ExitRelay 1\nExitPolicy accept 127.0.0.0/8:*\nExitPolicy reject private:*\nExitPolicy accept *:*\n"
            } else {
                "ExitRelay 0\nExitPolicy reject *:*\n"
            });
        }
        if node.kind == Kind::Authority {
            let _ = write!(
                text,
                "AuthoritativeDirectory 1\nV3AuthoritativeDirectory 1\nDirPort 127.0.0.1:{dir_port}\n\
                 TestingV3AuthInitialVotingInterval {first_vote}\nTestingV3AuthInitialVoteDelay 2\n\
                 TestingV3AuthInitialDistDelay 2\nV3AuthVotingInterval 10\nV3AuthVoteDelay 2\nV3AuthDistDelay 2\n\
                 V3AuthNIntervalsValid 60\nTestingDirAuthVoteExit 127.0.0.2\nTestingDirAuthVoteExitIsStrict 1\n\
                 TestingDirAuthVoteGuard 127.0.0.1\nTestingDirAuthVoteGuardIsStrict 1\n\
                 V3BandwidthsFile {place}/v3bw\nMinMeasuredBWsForAuthToIgnoreAdvertised 1\n\
                 TestingMinExitFlagThreshold 0\nAuthDirMaxServersPerAddr 0\nMinUptimeHidServDirectoryV2 0\n\
                 ConsensusParams {PARAMETERS}\n"
            );
        }
        write(node.dir.join("torrc"), text)?;
    }
    Ok(())
}

/// The first vote must come when every relay has sent its descriptor, and not much later. Votes are held 4 s before a
/// multiple of the interval: the interval, a divisor of 30 minutes, that fits the clock.
fn first_vote(seconds: f64) -> u32 {
    let wait = |interval: u32| {
        let interval = f64::from(interval);
        let next = interval - seconds % interval - 4.0;
        (0..9).map(|k| next + f64::from(k) * interval).find(|&wait| wait >= HEAD_START).unwrap_or(99.0)
    };
    let intervals = [5, 6, 8, 9, 10, 12, 15, 18, 20];
    intervals.into_iter().min_by(|&a, &b| wait(a).total_cmp(&wait(b))).unwrap_or(10)
}

#[expect(clippy::disallowed_methods, reason = "tor votes by the wall clock")]
fn seconds_of_today() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn last_words(nodes: &[Node]) -> String {
    let mut words = String::from("the nodes wrote last:");
    for node in nodes {
        let log = fs::read_to_string(node.dir.join("log")).unwrap_or_default();
        let from = log.lines().count().saturating_sub(2);
        log.lines().skip(from).for_each(|line| {
            let _ = write!(words, "\n[{}] {line}", node.name);
        });
    }
    words
}

// --- The control port ----------------------------------------------------------------------------------

/// The few commands that are needed.
pub(crate) struct Control {
    stream: BufReader<TcpStream>,
    events: VecDeque<(Instant, String)>,
    /// A line that has not come to its end.
    part: String,
}

impl Control {
    fn open(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).context("connecting to tor's control port")?;
        stream.set_nodelay(true).context("TCP_NODELAY")?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).context("a time limit")?;
        let mut control =
            Self { stream: BufReader::new(stream), events: VecDeque::new(), part: String::new() };
        control.call("AUTHENTICATE")?;
        Ok(control)
    }

    /// A command; all lines of its reply.
    pub(crate) fn call(&mut self, command: &str) -> Result<String> {
        let send = format!("{command}\r\n");
        self.stream.get_mut().write_all(send.as_bytes()).context("writing to tor's control port")?;
        let mut reply = String::new();
        loop {
            let line = self.line()?.with_context(|| format!("tor does not answer to {command}"))?;
            if line.starts_with("650") {
                self.events.push_back((now(), line));
                continue;
            }
            reply.push_str(&line);
            reply.push('\n');
            if line.get(3..4) == Some(" ") {
                if !line.starts_with("250") {
                    bail!("{command}: {line}");
                }
                return Ok(reply);
            }
        }
    }

    /// The next line; none if it does not come in time.
    fn line(&mut self) -> Result<Option<String>> {
        match self.stream.read_line(&mut self.part) {
            Ok(0) => bail!("tor closed its control port"),
            Ok(_) => Ok(Some(std::mem::take(&mut self.part).trim_end().to_owned())),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(None),
            Err(error) => Err(error).context("reading from tor's control port"),
        }
    }

    /// The next event, if one comes within `limit`.
    fn event(&mut self, limit: Duration) -> Result<Option<(Instant, String)>> {
        if let Some(event) = self.events.pop_front() {
            return Ok(Some(event));
        }
        let limit = limit.max(Duration::from_millis(1));
        self.stream.get_ref().set_read_timeout(Some(limit)).context("a time limit")?;
        let line = self.line();
        self.stream.get_ref().set_read_timeout(Some(Duration::from_secs(10))).context("a time limit")?;
        Ok(line?.map(|line| (now(), line)))
    }

    /// Builds circuits over these paths, all at once; when each was built, how many failed.
    pub(crate) fn build(&mut self, paths: &[String], limit: Duration) -> Result<(Vec<Instant>, usize)> {
        self.call("SETEVENTS CIRC")?;
        let mut ids = HashSet::new();
        for path in paths {
            let reply = self.call(&format!("EXTENDCIRCUIT 0 {path}"))?;
            ids.extend(reply.split_whitespace().nth(2).map(str::to_owned));
        }
        let all = ids.clone();
        let (mut built, mut failed, until) = (Vec::new(), 0, now() + limit);
        while !ids.is_empty() && now() < until {
            let Some((at, line)) = self.event(until.saturating_duration_since(now()))? else { break };
            let mut words = line.split(' ').skip(1);
            if words.next() != Some("CIRC") || !words.next().is_some_and(|id| ids.contains(id)) {
                continue;
            }
            let id = line.split(' ').nth(2).unwrap_or_default();
            match words.next() {
                Some("BUILT") => built.push(at),
                Some("FAILED" | "CLOSED") => failed += 1,
                _ => continue,
            }
            ids.remove(id);
        }
        for id in all {
            let _ = self.call(&format!("CLOSECIRCUIT {id}"));
        }
        Ok((built, failed + ids.len()))
    }

    /// Counts the circuits that are built from now on.
    pub(crate) fn watch(&mut self) -> Result<()> {
        self.call("SETEVENTS CIRC").map(drop)
    }

    /// How many were built since [`Self::watch`], until none has come for `quiet`.
    pub(crate) fn built(&mut self, quiet: Duration) -> Result<usize> {
        let mut built = 0;
        while let Some((_, line)) = self.event(quiet)? {
            built += usize::from(line.starts_with("650 CIRC") && line.contains(" BUILT "));
        }
        Ok(built)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_vote_leaves_relays_their_time() {
        for tenth in 0..18_000 {
            let seconds = f64::from(tenth) / 10.0;
            let interval = f64::from(first_vote(seconds));
            let mut wait = interval - seconds % interval - 4.0;
            while wait < HEAD_START {
                wait += interval;
            }
            assert!(wait < 2.0 * HEAD_START, "{seconds}: {interval}, {wait}");
        }
    }
}
