//! Attackers besiege a mix with links and circuits, from one address, from a block of them, from many; three honest users
//! fetch something meanwhile, each time over a new circuit. The table that the long form prints is in `docs/admission.md`.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // panics are how a test says no

mod common;

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use common::namespace::{self, Host};
use common::{Running, Server, connect, order, run, throng};
use tempfile::TempDir;
use throng_core::membership::Record;
use throng_core::rng::Seed;
use throng_core::route::{PathRules, Route};
use throng_core::wire::Geometry;
use throng_core::{ClientConfig, Design, Event, Input, Membership, Node, NodeConfig, NodeKeys, Outbox, Time};
use throng_net::clock::Clock;
use throng_net::suite::Fast;

const USERS: u8 = 3;
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 250, 0, 1);
/// Attackers are somewhere in 64.0.0.0/6; the whole block leads to us.
const ATTACKERS: &str = "64.0.0.0/6";

/// Where attackers sit.
#[derive(Clone, Copy)]
enum From {
    Address,
    Block,
    WideBlocks(u16),
}

impl From {
    fn address(self, number: usize) -> Ipv4Addr {
        match self {
            Self::Address => Ipv4Addr::new(66, 6, 6, 6),
            Self::Block => Ipv4Addr::new(66, 6, 6, (number % 250) as u8),
            Self::WideBlocks(blocks) => {
                let [high, low] = ((number % usize::from(blocks)) as u16).to_be_bytes();
                Ipv4Addr::new(64 + high, low, 1, 1)
            }
        }
    }

    fn words(self) -> String {
        match self {
            Self::Address => "one address".into(),
            Self::Block => "one /24".into(),
            Self::WideBlocks(blocks) => format!("{blocks} /16"),
        }
    }
}

/// What attackers want.
#[derive(Clone, Copy)]
enum Want {
    /// A link after the other, each with a circuit.
    Links,
    /// As many circuits as go on few links.
    Circuits,
}

/// Three mixes.
struct Mixes {
    dir: TempDir,
    /// Of the first one.
    record: Arc<Record>,
    _running: Vec<Running>,
}

impl Mixes {
    /// Those of a network at 10.`network` and up; only so many of them run.
    fn start(network: u8, running: u8) -> Self {
        let dir = TempDir::new().unwrap();
        let ips = (network..network + 3).map(|second| Ipv4Addr::new(10, second, 0, 1));
        let addresses: Vec<String> = ips.clone().map(|ip| format!("{ip}:9001")).collect();
        ips.for_each(|ip| namespace::add_address(ip.into()));
        let path = |name: &str| dir.path().join(name).display().to_string();
        let words =
            ["network", "init", "--dir", &path(""), "--mixes", "3", "--exits", "3", "--exit-to-private"];
        let more = ["--exit-ports", "all", "--address", &addresses.join(",")];
        let (status, _, err) = run(&mut throng(&[&words[..], &more].concat()));
        assert!(status.success(), "{err}");
        let (status, _, err) = run(&mut throng(&["node", &path("mix-1.toml"), "--record", &path("record")]));
        assert!(status.success(), "{err}");
        let record =
            Record::verify::<Fast>(&fs::read(path("record")).unwrap(), Clock::start().now()).unwrap();
        let running = (1..=running).map(|mix| {
            let mix = Running::start(&mut throng(&["node", &path(&format!("mix-{mix}.toml"))]));
            says(&mix, "is running");
            mix
        });
        Self { record: Arc::new(record), _running: running.collect(), dir }
    }
}

struct Network {
    mixes: Mixes,
    /// A mix of another network, which no honest user uses: what besieging that costs honest users is what attackers cost whoever
    /// shares a machine with them.
    elsewhere: Mixes,
    _users: Vec<Running>,
    proxies: Vec<SocketAddr>,
    server: Server,
}

/// Which mix attackers besiege.
#[derive(Clone, Copy)]
enum Besieged {
    Here,
    Elsewhere,
}

impl Network {
    fn start() -> Self {
        ip(&format!("route add local {ATTACKERS} dev lo"));
        namespace::add_address(SERVER.into());
        let mut network = Self {
            mixes: Mixes::start(1, 3),
            elsewhere: Mixes::start(11, 1),
            _users: Vec::new(),
            proxies: Vec::new(),
            server: Server::of_noise_at(Ipv4Addr::UNSPECIFIED.into()),
        };
        (1..=USERS).for_each(|user| network.add_user(user));
        network
    }

    fn add_user(&mut self, user: u8) {
        let host = Host::new(100 + user);
        let proxy = SocketAddr::from((host.ip, 9450));
        let home: PathBuf = self.mixes.dir.path().join(format!("user-{user}"));
        fs::create_dir_all(&home).unwrap();
        for file in ["roots.toml", "network.throng"] {
            fs::copy(self.mixes.dir.path().join(file), home.join(file)).unwrap();
        }
        let text = fs::read_to_string(self.mixes.dir.path().join("client.toml")).unwrap();
        fs::write(home.join("client.toml"), text.replace("127.0.0.1:9450", &proxy.to_string())).unwrap();
        let mut command = host.command(env!("CARGO_BIN_EXE_throng"));
        let running = Running::start(command.arg("client").arg(home.join("client.toml")));
        says(&running, "proxy on");
        self._users.push(running);
        self.proxies.push(proxy);
        std::mem::forget(host); // it ends with the namespace
    }

    /// What honest users get in a while: how long each fetch took, and how many failed.
    fn served(&self, span: Duration) -> Served {
        let clock = Clock::start();
        let begin = clock.now();
        let per_user = |proxy: SocketAddr| {
            let (mut took, mut failed) = (Vec::new(), 0);
            for number in 0.. {
                let before = clock.now();
                if before - begin >= span {
                    break;
                }
                match fetch(proxy, &format!("user {number}"), self.server.address.port()) {
                    Some(()) => took.push(clock.now() - before),
                    None => failed += 1,
                }
                thread::sleep(Duration::from_millis(300).saturating_sub(clock.now() - before));
            }
            (took, failed)
        };
        let results: Vec<_> = thread::scope(|scope| {
            let running: Vec<_> =
                self.proxies.iter().map(|proxy| scope.spawn(move || per_user(*proxy))).collect();
            running.into_iter().map(|user| user.join().unwrap()).collect()
        });
        let mut took: Vec<Duration> = results.iter().flat_map(|(took, _)| took.clone()).collect();
        took.sort_unstable();
        Served { took, failed: results.iter().map(|(_, failed)| failed).sum() }
    }

    /// Under siege here and elsewhere by turns, twice each: what was served under both, and the siege here.
    fn by_turns(&self, from: From, want: Want, bps: u64, span: Duration) -> (Served, Siege, Served) {
        let [here, elsewhere, again, elsewhere_again] =
            [Besieged::Here, Besieged::Elsewhere, Besieged::Here, Besieged::Elsewhere]
                .map(|mix| self.besieged(mix, from, want, bps, span));
        let siege =
            Siege { bps: (here.1.bps + again.1.bps) / 2, circuits: here.1.circuits + again.1.circuits };
        (here.0.and(again.0), siege, elsewhere.0.and(elsewhere_again.0))
    }

    /// What is served under siege, at so many bits a second.
    fn besieged(&self, mix: Besieged, from: From, want: Want, bps: u64, span: Duration) -> (Served, Siege) {
        let record = match mix {
            Besieged::Here => &self.mixes.record,
            Besieged::Elsewhere => &self.elsewhere.record,
        };
        let is_over = AtomicBool::new(false);
        let report = SiegeCounts::default();
        thread::scope(|scope| {
            scope.spawn(|| besiege(record, (from, want), bps, &is_over, &report));
            thread::sleep(Duration::from_secs(3));
            let served = self.served(span);
            is_over.store(true, Ordering::Relaxed);
            let sent = report.bytes.load(Ordering::Relaxed) * 8;
            let seconds = (span.as_secs() + 3).max(1);
            let siege = Siege { bps: sent / seconds, circuits: report.circuits.load(Ordering::Relaxed) };
            (served, siege)
        })
    }
}

/// What honest users got.
struct Served {
    /// Shortest first.
    took: Vec<Duration>,
    failed: usize,
}

impl Served {
    fn and(self, other: Self) -> Self {
        let mut took = [self.took, other.took].concat();
        took.sort_unstable();
        Self { took, failed: self.failed + other.failed }
    }

    fn at(&self, part: f64) -> Duration {
        let place = ((self.took.len() as f64 * part) as usize).min(self.took.len().saturating_sub(1));
        self.took.get(place).copied().unwrap_or(Duration::MAX)
    }

    fn row(&self, what: &str, siege: &Siege, more: &str) {
        println!(
            "| {what} | {:.1} | {} | {} of {} | {} | {} |{more}",
            siege.bps as f64 / 1e6,
            siege.circuits,
            self.took.len(),
            self.took.len() + self.failed,
            self.millis(0.5),
            self.millis(0.95),
        );
    }

    fn millis(&self, part: f64) -> String {
        format!("{:.0}", self.at(part).as_secs_f64() * 1e3)
    }
}

#[derive(Default)]
struct SiegeCounts {
    bytes: AtomicU64,
    circuits: AtomicU64,
}

struct Siege {
    bps: u64,
    /// Circuits that attackers got.
    circuits: u64,
}

/// A kilobyte over a new circuit.
fn fetch(proxy: SocketAddr, user: &str, port: u16) -> Option<()> {
    let mut stream = connect(proxy, user, &SERVER.to_string(), port).ok()?;
    stream.write_all(&order(1, 1000)).ok()?;
    stream.read_exact(&mut [0; 1000]).ok()
}

/// Attackers are clients, as many as are needed, which want one circuit after the other through one mix.
fn besiege(
    record: &Arc<Record>,
    (from, want): (From, Want),
    bps: u64,
    is_over: &AtomicBool,
    report: &SiegeCounts,
) {
    let clock = Clock::start();
    let begin = clock.now();
    let to = record.description().addresses[0].0;
    let (nodes_max, spare) = if let Want::Circuits = want { (60, 400) } else { (20_000, 1) };
    let mut sockets: HashMap<Ipv4Addr, (UdpSocket, HashMap<u32, usize>)> = HashMap::new();
    let mut nodes: Vec<(Node<Fast>, Time, Ipv4Addr)> = Vec::new();
    let mut out = Outbox::new(Geometry::DEFAULT);
    let mut sent = 0_u64;
    let mut in_turn = 0;
    while !is_over.load(Ordering::Relaxed) {
        let now = clock.now();
        let may_send = (now - begin).as_millis() as u64 * bps / 8000;
        let mut step =
            |nodes: &mut Vec<(Node<Fast>, Time, Ipv4Addr)>,
             number: usize,
             input: Input<'_>,
             sockets: &mut HashMap<Ipv4Addr, (UdpSocket, HashMap<u32, usize>)>| {
                out.clear();
                let (node, wake, address) = &mut nodes[number];
                *wake = node.step(now, input, &mut out);
                let (socket, sessions) = sockets.get_mut(address).unwrap();
                for datagram in
                    out.lanes().flat_map(|lane| lane.datagrams.chunks(Geometry::DEFAULT.datagram()))
                {
                    if datagram[..5] == [0, 0, 0, 0, 1] {
                        sessions.insert(u32::from_le_bytes(datagram[8..12].try_into().unwrap()), number);
                    }
                    let _ = socket.send_to(datagram, to);
                    sent += datagram.len() as u64;
                }
                let ready =
                    out.events.iter().filter(|event| matches!(event, Event::CircuitReady { .. })).count();
                report.circuits.fetch_add(ready as u64, Ordering::Relaxed);
                report.bytes.store(sent, Ordering::Relaxed);
                sent
            };
        let mut buffer = [0; 2048];
        let addresses: Vec<Ipv4Addr> = sockets.keys().copied().collect();
        for address in addresses {
            for _ in 0..256 {
                let (socket, sessions) = &sockets[&address];
                let Ok((length, there)) = socket.recv_from(&mut buffer) else { break };
                let session = |at: usize| u32::from_le_bytes(buffer[at..at + 4].try_into().unwrap());
                let session = if session(0) == 0 { session(8) } else { session(0) };
                let Some(&number) = sessions.get(&session) else { continue };
                let input = Input::Datagram { from: there, bytes: &mut buffer[..length] };
                step(&mut nodes, number, input, &mut sockets);
            }
        }
        let mut spent = report.bytes.load(Ordering::Relaxed);
        for _ in 0..nodes.len().min(2000) {
            in_turn = (in_turn + 1) % nodes.len();
            if nodes[in_turn].1 <= now && spent <= may_send {
                spent = step(&mut nodes, in_turn, Input::Wake, &mut sockets);
            }
        }
        while spent <= may_send && nodes.len() < nodes_max {
            let (number, address) = (nodes.len(), from.address(nodes.len()));
            sockets.entry(address).or_insert_with(|| {
                let socket = UdpSocket::bind((address, 0)).unwrap();
                socket.set_nonblocking(true).unwrap();
                (socket, HashMap::new())
            });
            nodes.push((attacker(record, spare, number, now), now, address));
            spent = step(&mut nodes, number, Input::Wake, &mut sockets);
        }
        thread::sleep(Duration::from_micros(500));
    }
}

fn attacker(record: &Arc<Record>, spare: usize, number: usize, now: Time) -> Node<Fast> {
    let mut seed = [3; 32];
    seed[..8].copy_from_slice(&(number as u64).to_le_bytes());
    let rules = PathRules::SamePrefixAllowed;
    let config = NodeConfig {
        keys: NodeKeys::new([0; 32]),
        design: Arc::new(Design { route: Route::free(1).unwrap(), ..Design::default() }),
        relays: false,
        is_exit: false,
        client: Some(ClientConfig { spare, rules, ..ClientConfig::default() }),
        membership: Membership::Given(vec![Arc::clone(record)]),
        defences: None,
    };
    Node::new(config, &Seed::from_bytes(seed), now)
}

fn says(running: &Running, words: &str) {
    running.err.wait(words, |bytes, _| String::from_utf8_lossy(bytes).contains(words).then_some(()));
}

fn ip(words: &str) {
    assert!(Command::new("ip").args(words.split_whitespace()).status().unwrap().success(), "ip {words}");
}

#[test]
fn one_block_at_10_megabits_takes_at_most_5_percent_of_streams() {
    if !namespace::inside("one_block_at_10_megabits_takes_at_most_5_percent_of_streams", &["nsenter", "ip"]) {
        return;
    }
    let network = Network::start();
    for want in [Want::Links, Want::Circuits] {
        let (served, siege) =
            network.besieged(Besieged::Here, From::Block, want, 10_000_000, Duration::from_secs(8));
        served.row("one /24", &siege, "");
        assert!(siege.bps > 2_000_000 && siege.circuits > 100, "there is a siege");
        assert!(
            served.took.len() > 20 && served.failed * 20 <= served.took.len(),
            "{} failed",
            served.failed
        );
    }
}

#[test]
#[ignore = "four minutes; prints the first half of the table of docs/admission.md"]
fn what_links_without_end_take_from_honest_users() {
    if namespace::inside("what_links_without_end_take_from_honest_users", &["nsenter", "ip"]) {
        print_table(Want::Links, "links");
    }
}

#[test]
#[ignore = "four minutes; prints the second half of the table of docs/admission.md"]
fn what_circuits_without_end_take_from_honest_users() {
    if namespace::inside("what_circuits_without_end_take_from_honest_users", &["nsenter", "ip"]) {
        print_table(Want::Circuits, "circuits");
    }
}

fn print_table(want: Want, word: &str) {
    let network = Network::start();
    let span = Duration::from_secs(6);
    println!(
        "| attackers | Mb/s | circuits they got | served | p50, ms | p95, ms | elsewhere: p50 | p95 |\n|---|---|---|---|---|---|---|---|"
    );
    let none = Siege { bps: 0, circuits: 0 };
    network.served(Duration::from_secs(2));
    network.served(2 * span).row("none", &none, "  |  |");
    for (from, mbps) in [
        (From::Address, 10),
        (From::Block, 10),
        (From::WideBlocks(25), 10),
        (From::WideBlocks(500), 10),
        (From::WideBlocks(500), 30),
    ] {
        let (served, siege, beside) = network.by_turns(from, want, mbps * 1_000_000, span);
        let (p50, p95) = (beside.millis(0.5), beside.millis(0.95));
        served.row(&format!("{word}, {}", from.words()), &siege, &format!(" {p50} | {p95} |"));
        assert!(!served.took.is_empty(), "an outage");
    }
    network.served(2 * span).row("none, after", &none, "  |  |");
}
