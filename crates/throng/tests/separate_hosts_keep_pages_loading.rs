//! A static network on separate hosts, with delay, jitter and loss between them: mixes are killed, restarted, cut off,
//! stopped for good and moved to another address, and pages go on loading.
#![allow(clippy::unwrap_used)] // panics are how a test says no

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use common::namespace::{self, Host};
use common::weather::{Cuts, Relay, Weather};
use common::{Running, Server, noise, run, throng, wait_until};
use tempfile::TempDir;
use throng_lab::attack::capture::{Hosts, read_pcap};
use throng_lab::attack::load::{Stretch, knows_the_load};
use throng_net::clock::Clock;
use tokio::runtime::Runtime;

const MIXES: u8 = 7;
const EXITS: u8 = 3;
/// Listens everywhere; its relay stands at the address that others know.
const PORT: u16 = 9001;
const CLIENT: u8 = 100;
/// The one that is reached by IPv6 only, and the one that is reached by both.
const V6: u8 = 6;
const BOTH: u8 = 5;
/// An exit, which changes its address at the end.
const MOVES: u8 = 2;
/// What the protocol promises for new streams, by its own timers; here it is printed, and bounded generously: the test
/// shares its processors. (`throng-sim`'s stories pin it in virtual time.)
const WITHOUT_SERVICE_MAX: Duration = Duration::from_secs(10);

/// 20 ms each way, a few more or less, and 1 % lost: of every datagram between two hosts.
fn bad(seed: u64) -> Weather {
    Weather { seed, lost_per_mille: 10, delay_us: (17_000, 23_000) }
}

/// The address by which others know a mix.
fn v4(mix: u8) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, mix, 0, 1), PORT))
}

fn v6(mix: u8) -> SocketAddr {
    SocketAddr::from((Ipv6Addr::new(0xfd00, mix.into(), 0, 0, 0, 0, 0, 1), PORT))
}

fn known_as(mix: u8) -> Vec<SocketAddr> {
    match mix {
        V6 => vec![v6(mix)],
        BOTH => vec![v4(mix), v6(mix)],
        _ => vec![v4(mix)],
    }
}

struct Network {
    dir: TempDir,
    hosts: Vec<Host>,
    client_host: Host,
    mixes: Vec<Running>,
    relays: Vec<(u8, Relay)>,
    cuts: Cuts,
    runtime: Runtime,
    server: Server,
    clock: Clock,
    seed: u64,
}

impl Network {
    fn start(design: &[&str]) -> Self {
        let seed = noise::seed();
        let runtime = Runtime::new().unwrap();
        let dir = TempDir::new().unwrap();
        let cuts = Cuts::default();
        let hosts: Vec<Host> = (1..=MIXES).map(Host::new).collect();
        let mut network = Self {
            client_host: Host::new(CLIENT),
            server: Server::of_noise_at(Ipv4Addr::UNSPECIFIED.into()),
            clock: Clock::start(),
            mixes: Vec::new(),
            relays: Vec::new(),
            dir,
            hosts,
            cuts,
            runtime,
            seed,
        };
        namespace::add_address(SERVER.into());
        network.init(design);
        for mix in 1..=MIXES {
            for address in known_as(mix) {
                network.relay(mix, address);
            }
            let running = network.node(mix);
            network.mixes.push(running);
        }
        network.mixes.iter().for_each(runs);
        network
    }

    /// Makes the network's files, and gives every host its own.
    fn init(&self, design: &[&str]) {
        let join = |mix| known_as(mix).iter().map(ToString::to_string).collect::<Vec<_>>().join("+");
        let addresses: Vec<String> = (1..=MIXES).map(join).collect();
        let (mixes, exits) = (MIXES.to_string(), EXITS.to_string());
        let dir = self.dir.path().display().to_string();
        let words = ["network", "init", "--dir", &dir, "--mixes", &mixes, "--exits", &exits];
        let more = ["--exit-to-private", "--exit-ports", "all", "--address", &addresses.join(",")];
        let (status, _, err) = run(&mut throng(&[&words[..], &more, design].concat()));
        assert!(status.success(), "{err}");
        for mix in 1..=MIXES {
            self.home(&format!("mix-{mix}"));
            self.move_to(mix, &known_as(mix));
        }
        let client = self.home("client").join("client.toml");
        let text = fs::read_to_string(&client).unwrap().replace("127.0.0.1:9450", &self.proxy().to_string());
        fs::write(client, text).unwrap();
    }

    fn home(&self, node: &str) -> PathBuf {
        let home = self.dir.path().join("hosts").join(node);
        fs::create_dir_all(&home).unwrap();
        let own = [format!("{node}.toml"), format!("{node}.keys")];
        for file in ["roots.toml".to_owned(), "network.throng".to_owned()].iter().chain(&own) {
            let from = self.dir.path().join(file);
            if from.exists() {
                fs::copy(from, home.join(file)).unwrap();
            }
        }
        home
    }

    /// Says in a mix's file where others reach it; it listens on all addresses of its host.
    fn move_to(&self, mix: u8, addresses: &[SocketAddr]) {
        let file = self.dir.path().join(format!("hosts/mix-{mix}/mix-{mix}.toml"));
        let kept = fs::read_to_string(&file).unwrap();
        let kept = kept.lines().filter(|line| !line.starts_with("listen") && !line.starts_with("addresses"));
        let list: Vec<String> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
        let new = [format!("listen = \"[::]:{PORT}\""), format!("addresses = [{}]", list.join(", "))];
        let text: Vec<String> = kept.map(str::to_owned).chain(new).collect();
        fs::write(file, text.join("\n")).unwrap();
    }

    fn relay(&mut self, mix: u8, address: SocketAddr) {
        namespace::add_address(address.ip());
        let to = SocketAddr::from((self.hosts[usize::from(mix) - 1].ip, PORT));
        let weather = bad(self.seed).of(self.relays.len());
        let _in_runtime = self.runtime.enter();
        self.relays.push((mix, Relay::start_at(address, to, weather, self.cuts.clone())));
    }

    fn node(&self, mix: u8) -> Running {
        let mut command = self.hosts[usize::from(mix) - 1].command(env!("CARGO_BIN_EXE_throng"));
        command.arg("node").arg(self.dir.path().join(format!("hosts/mix-{mix}/mix-{mix}.toml")));
        Running::start(&mut command)
    }

    fn client(&self) -> Running {
        let mut command = self.client_host.command(env!("CARGO_BIN_EXE_throng"));
        command.arg("client").arg(self.dir.path().join("hosts/client/client.toml"));
        Running::start(&mut command)
    }

    fn proxy(&self) -> SocketAddr {
        SocketAddr::from((self.client_host.ip, 9450))
    }

    /// Opens a stream to the server.
    fn open(&self, user: &str) -> Option<std::net::TcpStream> {
        common::connect(self.proxy(), user, &SERVER.to_string(), self.server.address.port()).ok()
    }

    /// Loads a page of 100 kB on a new stream, at the first attempt.
    fn load(&self, user: &str) {
        self.load_on(self.open(user).expect("a stream"));
    }

    /// Loads pages, each for another user, until one came through this exit.
    fn load_through(&self, exit: u8, most: Duration) {
        let (begin, ip) = (self.clock.now(), IpAddr::from(self.hosts[Self::place(exit)].ip));
        let before = self.server.callers().len();
        for user in 0.. {
            if let Some(stream) = self.open(&format!("reader {user}")) {
                self.load_on(stream);
            }
            if self.server.callers()[before..].contains(&ip) {
                break;
            }
            assert!(self.clock.now() - begin < most, "a page through exit {exit}");
        }
    }

    fn load_on(&self, mut stream: std::net::TcpStream) {
        stream.write_all(&common::order(7, 100_000)).unwrap();
        assert_eq!(
            noise::drink(&mut stream).unwrap(),
            noise::pour(7, 100_000, &mut std::io::sink()).unwrap()
        );
    }

    /// How long it takes until a new stream brings something, from now; with as many attempts as that needs.
    fn without_service(&self, what: &str, most: Duration) {
        let begin = self.clock.now();
        for attempt in 1.. {
            let answered = self.open("reader").is_some_and(|mut stream| {
                stream.write_all(&common::order(1, 1000)).is_ok() && stream.read_exact(&mut [0; 1000]).is_ok()
            });
            let took = self.clock.now() - begin;
            if answered {
                eprintln!("{what}: {took:.2?} until a new stream brought something (attempt {attempt})");
                assert!(took < most, "{what}");
                return;
            }
        }
    }

    /// Begins a download that does not end soon; and says which mixes it surely runs over, the busiest first. (The first
    /// hop is among them; behind it, a relay sees only links that were opened through it.)
    fn long_download(&self) -> (std::net::TcpStream, Vec<u8>) {
        let mut stream = self.open("reader").expect("a stream");
        stream.write_all(&common::order(3, 1 << 30)).unwrap();
        let before: Vec<u64> = self.relays.iter().map(|(_, relay)| relay.passed()).collect();
        loop {
            // What comes at first may have been under way long since: until the relays show who is busy.
            stream.read_exact(&mut vec![0; 500_000]).expect("the download flows");
            let mut busy = BTreeMap::<u8, u64>::new();
            for ((mix, relay), before) in self.relays.iter().zip(&before) {
                *busy.entry(*mix).or_default() += relay.passed() - before;
            }
            let mut busy: Vec<(u64, u8)> = busy.into_iter().map(|(mix, passed)| (passed, mix)).collect();
            busy.retain(|(passed, _)| *passed > 500);
            busy.sort_unstable();
            if !busy.is_empty() {
                return (stream, busy.into_iter().rev().map(|(_, mix)| mix).collect());
            }
        }
    }

    fn place(mix: u8) -> usize {
        usize::from(mix) - 1
    }

    /// The operators sign a mix's new record into the next document.
    fn sign_in(&self, mix: u8) {
        let path = |name: &str| self.dir.path().join(name).display().to_string();
        let (file, record) = (path(&format!("hosts/mix-{mix}/mix-{mix}.toml")), path("new.record"));
        let (status, _, err) = run(&mut throng(&["node", &file, "--record", &record]));
        assert!(status.success(), "{err}");
        let document = path("network.throng");
        let roots = path("roots.toml");
        for (operator, more) in [(1, &["--record", &record][..]), (2, &[])] {
            let key = path(&format!("operator-{operator}.keys"));
            let words = ["network", "sign", "--document", &document, "--roots", &roots, "--key", &key];
            let (status, _, err) = run(&mut throng(&[&words[..], more].concat()));
            assert!(status.success(), "{err}");
        }
    }
}

fn runs(mix: &Running) {
    mix.err
        .wait("a mix runs", |bytes, _| String::from_utf8_lossy(bytes).contains("is running").then_some(()));
}

/// Where the pages are.
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 250, 0, 1);

#[test]
fn mixes_die_return_are_cut_off_leave_and_move_and_pages_go_on_loading() {
    if !namespace::inside(
        "mixes_die_return_are_cut_off_leave_and_move_and_pages_go_on_loading",
        &["nsenter", "ip"],
    ) {
        return;
    }
    let mut network = Network::start(&[]);
    let client = network.client();
    client.err.wait("the proxy is open", |bytes, _| {
        String::from_utf8_lossy(bytes).contains("proxy on").then_some(())
    });
    network.without_service("at the start", WITHOUT_SERVICE_MAX);
    for user in ["a", "b", "c", "d"] {
        network.load(user);
    }

    // A mix dies in the dead of a transfer.
    let (mut stream, path) = network.long_download();
    let dead = path[0];
    network.mixes[Network::place(dead)].kill();
    network.without_service("a mix of the circuit was killed", WITHOUT_SERVICE_MAX);
    let end = thread::spawn(move || noise::drink(&mut stream));
    assert!(end.join().unwrap().is_err(), "what was cut off must not look complete");
    network.load("a");

    // It comes back with the same keys.
    network.mixes[Network::place(dead)] = network.node(dead);
    runs(&network.mixes[Network::place(dead)]);
    for user in ["e", "f", "g"] {
        network.load(user);
    }

    // The links between a mix of a circuit and its neighbours are cut, both ways, and heal.
    let (stream, path) = network.long_download();
    let ip = |mix: u8| IpAddr::from(network.hosts[Network::place(mix)].ip);
    (1..=MIXES).filter(|mix| *mix != path[0]).for_each(|other| network.cuts.cut(ip(path[0]), ip(other)));
    network.without_service(
        "the links between a mix of the circuit and all other mixes were cut",
        WITHOUT_SERVICE_MAX,
    );
    drop(stream);
    network.cuts.heal();
    for user in ["h", "i", "j"] {
        network.load(user);
    }

    // An operator stops its node for good: it takes leave.
    let (stream, path) = network.long_download();
    let leaving = path.into_iter().find(|mix| *mix != MOVES).unwrap_or(MIXES);
    network.mixes[Network::place(leaving)].interrupt();
    network.without_service("a mix of the circuit was stopped by its operator", WITHOUT_SERVICE_MAX);
    drop(stream);
    for user in ["k", "l", "m"] {
        network.load(user);
    }

    // An exit changes its address; the operators give the document that says so to one mix.
    network.mixes[Network::place(MOVES)].kill();
    network.relays.retain(|(mix, _)| *mix != MOVES);
    let there = v4(100 + MOVES);
    network.relay(MOVES, there);
    network.move_to(MOVES, &[there]);
    network.sign_in(MOVES);
    let newest = fs::read(network.dir.path().join("network.throng")).unwrap();
    let moved = network.dir.path().join(format!("hosts/mix-{MOVES}/network.throng"));
    fs::write(moved, &newest).unwrap();
    network.mixes[Network::place(MOVES)] = network.node(MOVES);
    runs(&network.mixes[Network::place(MOVES)]);
    let begin = network.clock.now();
    wait_until("the client has the document that says where the exit is now", common::LIMIT * 2, || {
        fs::read(network.dir.path().join("hosts/client/network.throng")).unwrap() == newest
    });
    eprintln!("the client had the new document after {:.2?}", network.clock.now() - begin);
    // Each mix has to notice for itself that the exit is not where it was, and circuits that wait for that make it rest.
    network.load_through(MOVES, common::LIMIT * 3);
}

/// Idle, and busy, for so long each.
const SPAN: Duration = Duration::from_secs(20);
const MARGIN: Duration = Duration::from_secs(1);

#[test]
fn tcpdump_between_covered_hosts_cannot_tell_idle_from_busy() {
    let name = "tcpdump_between_covered_hosts_cannot_tell_idle_from_busy";
    if !namespace::inside(name, &["nsenter", "ip", "tcpdump"]) {
        return;
    }
    let network = Network::start(&["--cover", "user-link,links", "--rate", "64kbps"]);
    let client = network.client();
    client.err.wait("the proxy is open", |bytes, _| {
        String::from_utf8_lossy(bytes).contains("proxy on").then_some(())
    });
    thread::sleep(Duration::from_secs(10)); // every mix has its links to all others
    // What comes from a host is what it sent, when it sent it; what goes to one a relay has held up.
    let mut tcpdump = Running::start(std::process::Command::new("tcpdump").args([
        "-Z", "root", "-i", "any", "-Q", "in", "-n", "-U", "-w", "-", "-s", "80", "-B", "65536", "--nano",
        "udp",
    ]));
    tcpdump.err.wait("tcpdump is ready", |bytes, _| {
        String::from_utf8_lossy(bytes).contains("listening on").then_some(())
    });
    thread::sleep(SPAN + 2 * MARGIN);
    let begin = network.clock.now();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        for user in ["a", "b"] {
            let (network, is_over) = (&network, &is_over);
            scope.spawn(move || {
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    let Some(mut stream) = network.open(user) else { continue };
                    let _ = stream.write_all(&common::order(1, 10_000));
                    let _ = stream.read_exact(&mut [0; 10_000]);
                }
            });
        }
        thread::sleep(SPAN + 2 * MARGIN);
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let busy_for = network.clock.now() - begin;
    tcpdump.interrupt();
    assert!(tcpdump.end(common::LIMIT).success());
    let rows = read_pcap(&tcpdump.out.bytes(), &mut Hosts::default()).unwrap().rows;
    let nanos = |span: Duration| span.as_nanos() as u64;
    let (busy, span) = (rows.last().unwrap().at - nanos(busy_for), nanos(SPAN));
    let (idle_until, busy_from) = (busy - nanos(MARGIN), busy + nanos(MARGIN));
    let idle = Stretch { rows: &rows, from: idle_until - span, until: idle_until };
    let busy = Stretch { rows: &rows, from: busy_from, until: busy_from + span };
    let knowledge = knows_the_load(idle, busy).unwrap();
    eprintln!("{knowledge}");
    for (name, auc) in knowledge.each.named() {
        let most = 0.05f64.max(3.0 * auc.standard_error());
        assert!((auc.area - 0.5).abs() <= most, "{name}: {auc}");
    }
}
