//! What cover costs a mix, and how well slots are kept: `cargo xtask bench cover`. One machine, one run, by turns.
#![allow(clippy::disallowed_methods, reason = "a benchmark is where a clock is read")]
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use throng_core::config::Membership;
use throng_core::membership::{Description, Record};
use throng_core::route::{PathRules, Route};
use throng_core::wire::Geometry;
use throng_core::{ClientConfig, Design, NodeKeys, Ports, Scrubbed};
use throng_net::clock::Clock;
use throng_net::exit::{Exit, ExitPolicy, Resolver};
use throng_net::host::{MixSetup, start_client, start_mix};
use throng_net::notices::Notices;
use throng_net::pacer::measure::measure;
use throng_net::socket::Socket;
use throng_net::suite::Fast;
use throng_net::{driver, entropy};

const LINKS: usize = 1000;
const TURNS: usize = 3;
const SPAN: Duration = Duration::from_secs(10);
/// Datagrams a second and way, of all links together: 64 kb/s are one in 163.5 ms.
const PER_SECOND: f64 = LINKS as f64 / 0.1635;
const PART: &str = "THRONG_BENCH_COVER";

fn main() {
    allow_many_files();
    match std::env::var(PART).as_deref() {
        Ok("mix") => mix(),
        Ok("floor") => floor(),
        _ => bench(),
    }
}

fn design() -> Arc<Design> {
    let cover = "user-link=64kbps".parse().unwrap();
    Arc::new(Design { route: Route::free(1).unwrap(), cover, ..Design::default() })
}

fn bench() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    println!("| figure | target | measured: min – median – max |\n|---|---:|---:|");
    let mut kept = Vec::new();
    for _ in 0..TURNS {
        let measured = runtime.block_on(measure(1000, SPAN)).unwrap();
        let pacing = measured.pacing;
        let micros = |share| pacing.quantile(share).as_micros();
        eprintln!(
            "1000 slots/s: p50 {} µs, p99 {} µs, worst {:?}, early {}",
            micros(0.5),
            micros(0.99),
            pacing.worst,
            measured.early
        );
        kept.push(pacing.kept() * 100.0);
    }
    row("of 1000 slots/s, within 1 ms of their moment, %", "≥ 99", &kept);

    let mut mix = Part::start("mix");
    let record = Record::verify::<Fast>(&from_hex(&mix.hear()), Clock::start().now()).unwrap();
    let membership = Membership::Given(vec![Arc::new(record)]);
    let clients = runtime.block_on(start_clients(&membership));
    let (mut core, mut per_million, mut floors) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let (cpu, datagrams) = runtime.block_on(mix_turn(&mut mix));
        eprintln!("mix: {datagrams} datagrams sent in slots in {SPAN:?}, {cpu:.2} CPU-s");
        core.push(cpu / SPAN.as_secs_f64());
        per_million.push(cpu / (2.0 * datagrams as f64) * 1e6);
    }
    drop(clients);
    drop(mix);
    for _ in 0..TURNS {
        floors.push(floor_turn());
    }
    row("a mix with 1000 links at 64 kb/s, cores", "< 0.5", &core);
    row("the same, CPU-s per million datagrams, sent or received", "", &per_million);
    row("floor: the same sends and receipts without encryption", "", &floors);
}

async fn start_clients(membership: &Membership) -> Vec<(throng_net::client::Client, driver::Driver)> {
    let clock = Clock::start();
    let mut clients = Vec::new();
    for number in 0..LINKS {
        let config =
            ClientConfig { rules: PathRules::SamePrefixAllowed, spare: 1, ..ClientConfig::default() };
        clients.push(
            start_client(config, design(), membership.clone(), bind(), clock, Notices::new(clock)).unwrap(),
        );
        if number % 50 == 49 {
            tokio::time::sleep(Duration::from_millis(250)).await; // a mix does so many handshakes a second
        }
    }
    for (client, _) in &clients {
        let mut supply = client.supply();
        let ready = supply.wait_for(|supply| supply.ready > 0);
        tokio::time::timeout(Duration::from_secs(60), ready).await.unwrap().unwrap();
    }
    clients
}

/// CPU-seconds of the mix, and datagrams that it sent in slots, in a span.
async fn mix_turn(mix: &mut Part) -> (f64, u64) {
    mix.say();
    let (cpu, before) = (mix.cpu(), mix.hear().parse::<u64>().unwrap());
    tokio::time::sleep(SPAN).await;
    let cpu = mix.cpu() - cpu;
    mix.say();
    (cpu, mix.hear().parse::<u64>().unwrap() - before)
}

fn bind() -> Socket {
    Socket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), Geometry::DEFAULT.datagram()).unwrap()
}

// --- The mix, a process of its own ---------------------------------------------------------------------

fn mix() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (clock, socket) = (Clock::start(), bind());
        let keys = NodeKeys::new(entropy::secret());
        let description = Description {
            identity: keys.id::<Fast>(),
            family: None,
            capacity: 1_000_000,
            addresses: vec![Scrubbed(socket.local_addr().unwrap())],
            exit_ports: Ports::all(),
            from: clock.now(),
            until: clock.now() + Duration::from_secs(3600),
        };
        let record = Arc::new(Record::sign::<Fast>(description, keys.identity_secret()));
        println!("{}", to_hex(record.as_bytes()));
        let policy = ExitPolicy { ports: Ports::all(), local: true, ..ExitPolicy::default() };
        let exit = Exit::new(policy, Resolver::fixed([]));
        let membership = Membership::Given(vec![record]);
        let driver =
            start_mix(MixSetup { keys, design: design(), membership, exit: Some(exit) }, socket, clock)
                .unwrap();
        let (asked, mut asks) = tokio::sync::mpsc::channel(4);
        std::thread::spawn(move || while read_line().is_some() && asked.blocking_send(()).is_ok() {});
        while asks.recv().await.is_some() {
            let spent = driver.meter().ask().await.unwrap().spent.unwrap_or_default();
            println!("{}", spent.real + spent.filler);
        }
    });
}

// --- The floor: one socket that sends and receives as many, and nothing else ---------------------------

fn floor_turn() -> f64 {
    let mut floor = Part::start("floor");
    let to: SocketAddr = floor.hear().parse().unwrap();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.send_to(&[0; 1280], to).unwrap();
    let (cpu, begin) = (floor.cpu(), Instant::now());
    let drain = socket.try_clone().unwrap();
    drain.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let reading = std::thread::spawn(move || {
        let (mut count, mut buffer) = (0u64, [0; 1500]);
        while drain.recv(&mut buffer).is_ok() {
            count += 1;
        }
        count
    });
    let sent = at_rate(begin, |_| _ = socket.send_to(&[0; 1280], to));
    let cpu = floor.cpu() - cpu;
    drop(floor);
    cpu / (sent + reading.join().unwrap()) as f64 * 1e6
}

fn floor() {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    println!("{}", socket.local_addr().unwrap());
    let mut buffer = [0; 1500];
    let (_, peer) = socket.recv_from(&mut buffer).unwrap();
    let receiving = socket.try_clone().unwrap();
    std::thread::spawn(move || while receiving.recv(&mut buffer).is_ok() {});
    at_rate(Instant::now(), |_| _ = socket.send_to(&[0; 1280], peer));
    let _ = std::io::stdin().read(&mut [0]); // until nobody asks any more
}

/// Does something at the rate of all links for a span, a millisecond's worth at once. How often.
fn at_rate(begin: Instant, mut each: impl FnMut(u64)) -> u64 {
    let mut done = 0;
    while begin.elapsed() < SPAN {
        let due = (begin.elapsed().as_secs_f64() * PER_SECOND) as u64;
        (done..due).for_each(&mut each);
        done = due;
        std::thread::sleep(Duration::from_millis(1));
    }
    done
}

// --- Processes -----------------------------------------------------------------------------------------

/// This program again, with another part to play; it is killed, by its id, when this is dropped.
struct Part {
    child: Child,
    from: BufReader<std::process::ChildStdout>,
}

impl Part {
    fn start(part: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(PART, part).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let from = BufReader::new(child.stdout.take().unwrap());
        Self { child, from }
    }

    fn say(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// CPU-seconds so far (Linux: in hundredths).
    fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_line() -> Option<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).ok().filter(|length| *length > 0).map(|_| line)
}

fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

fn row(figure: &str, target: &str, values: &[f64]) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (min, median, max) = (sorted[0], sorted[sorted.len() / 2], sorted[sorted.len() - 1]);
    println!("| {figure} | {target} | {min:.2} – **{median:.2}** – {max:.2} |");
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}
