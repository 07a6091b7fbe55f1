//! The network beside Tor, the floor and nothing in between: what is measured, and in which turns.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::floor::{self, Chain};
use super::load::{self, Asked, Got, Mode, OpenConnections};
use super::machine::Machine;
use super::process::{Worker, now};
use super::table::Results;
use super::throng::{self, Throng, Up};
use super::tor::{self, Tor};
use super::{account, namespace};

const TURNS: usize = 5;
/// Every turn takes new user names, and a client of Throng's has at most 1024 circuits of its own.
const TURNS_MAX: i64 = 7;
const MIB: u64 = 1 << 20;
/// User names in a burst.
const BURST: usize = 60;
/// Columns of the table.
const COLUMNS: [&str; 5] = ["direct", "floor", "throng", "throng up", "tor"];

#[derive(Args, Clone)]
pub(crate) struct Options {
    /// One short turn
    #[arg(long)]
    quick: bool,
    /// Turns; medians are of so many values [default: 5]
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=TURNS_MAX))]
    turns: Option<u8>,
    /// Only these
    #[arg(long, value_delimiter = ',')]
    only: Vec<Group>,
    /// Without a Tor network beside it
    #[arg(long)]
    no_tor: bool,
    /// Write all values here
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the table here too
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// Figures that are measured together.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Group {
    /// Downloads, and what they cost
    Bulk,
    /// Small requests
    Latency,
    /// Many requests
    Rate,
    /// Circuits: time and CPU
    Circuits,
    /// Memory at rest, and per circuit
    Memory,
    /// 1000 and 4000 streams at once
    Streams,
}

impl Options {
    fn turns(&self) -> usize {
        self.turns.map_or(if self.quick { 1 } else { TURNS }, usize::from)
    }

    fn wants(&self, group: Group) -> bool {
        self.only.is_empty() || self.only.contains(&group)
    }

    /// The same as words of a command line.
    pub(crate) fn words(&self) -> Result<Vec<String>> {
        let mut words = vec!["--turns".to_owned(), self.turns().to_string()];
        words.extend(self.quick.then(|| "--quick".to_owned()));
        words.extend(self.no_tor.then(|| "--no-tor".to_owned()));
        for group in &self.only {
            let value = group.to_possible_value().context("naming a group")?;
            words.extend(["--only".to_owned(), value.get_name().to_owned()]);
        }
        for (flag, path) in [("--json", &self.json), ("--markdown", &self.markdown)] {
            let Some(path) = path else { continue };
            let path = std::path::absolute(path).context("resolving the path of a result")?;
            words.extend([flag.to_owned(), path.display().to_string()]);
        }
        Ok(words)
    }
}

/// Measures and reports; `folder` is for what this needs on disk.
pub(crate) fn run(throng: &Path, folder: &Path, options: &Options) -> Result<String> {
    let mut field = Field::start(throng, folder, options)?;
    let outcome = field.measure();
    field.report(outcome)
}

/// Everything that runs.
struct Field {
    options: Options,
    program: PathBuf,
    folder: PathBuf,
    begin: Instant,
    turn: usize,
    server: Worker,
    server_address: SocketAddr,
    chain: Chain,
    throng: Throng,
    up: Up,
    tor: Option<Tor>,
    tor_version: Option<String>,
    results: Results,
    /// User names never come twice, except where a circuit is to be used again.
    names: usize,
}

/// What is loaded.
#[derive(Clone)]
struct Target {
    name: &'static str,
    proxy: Option<SocketAddr>,
    groups: Vec<(&'static str, Vec<u32>)>,
}

impl Target {
    fn pids(&self) -> Vec<u32> {
        self.groups.iter().flat_map(|(_, pids)| pids.clone()).collect()
    }

    fn cpu(&self) -> f64 {
        account::cpu(&self.pids())
    }
}

impl Field {
    fn start(program: &Path, folder: &Path, options: &Options) -> Result<Self> {
        let begin = now();
        let tor_version = tor::version().filter(|_| !options.no_tor);
        if !options.no_tor && tor_version.is_none() {
            eprintln!(
                "bench: SKIPPED: all measurements of Tor, which is not installed (Debian: apt-get install tor)"
            );
        }
        let estimate = if options.quick { 1 } else { 2 + options.turns() };
        eprintln!("bench: {} turns, about {estimate} minutes in all", options.turns());
        eprintln!("bench: starting a web server, the floor, throng");
        let mut server = Worker::start(&["load".to_owned(), "serve".to_owned()])?;
        let server_address = server.hear()?.parse().context("reading the server's address")?;
        let chain = Chain::start()?;
        let place = |name: &str| -> Result<PathBuf> {
            let place = folder.join(name);
            std::fs::create_dir_all(&place).context("creating a folder")?;
            Ok(place)
        };
        let throng = Throng::start(program, &place("net")?, &throng::NETWORK)?;
        let up = Up::start(program, folder)?;
        let tor = match &tor_version {
            Some(version) => {
                eprintln!("bench: starting a private network of {version} (12 to 40 s)");
                Some(Tor::start(&place("tor")?)?)
            }
            None => None,
        };
        let options = options.clone();
        Ok(Self {
            options,
            program: program.to_owned(),
            folder: folder.to_owned(),
            begin,
            turn: 0,
            server,
            server_address,
            chain,
            throng,
            up,
            tor,
            tor_version,
            results: Results::default(),
            names: 0,
        })
    }

    // --- Who is measured

    fn direct() -> Target {
        Target { name: "direct", proxy: None, groups: Vec::new() }
    }

    fn throng(&self) -> Target {
        Target { name: "throng", proxy: Some(self.throng.proxy), groups: self.throng.groups() }
    }

    fn throng_up(&self) -> Target {
        Target { name: "throng up", proxy: Some(self.up.proxy), groups: vec![("all", vec![self.up.pid()])] }
    }

    fn tor(&self) -> Option<Target> {
        let tor = self.tor.as_ref()?;
        Some(Target { name: "tor", proxy: Some(tor.proxy), groups: tor.groups() })
    }

    /// The two networks; who comes first changes with the turn.
    fn networks(&self) -> Vec<Target> {
        let mut both: Vec<Target> = [Some(self.throng()), self.tor()].into_iter().flatten().collect();
        if self.turn % 2 == 1 {
            both.reverse();
        }
        both
    }

    // --- In which order

    fn measure(&mut self) -> Result<()> {
        let wants = |group| self.options.wants(group);
        let [bulk, latency, rate, circuits, memory, streams] =
            [Group::Bulk, Group::Latency, Group::Rate, Group::Circuits, Group::Memory, Group::Streams]
                .map(wants);
        if memory {
            // First: memory that was needed once hides what is needed later.
            self.at_rest();
            self.each_network("memory per circuit", Self::memory_per_circuit);
        }
        for turn in 0..self.options.turns() {
            self.turn = turn;
            self.must_live()?;
            if bulk {
                self.floor();
                self.each(true, "download, 1 stream", |field, target| field.bulk(target, 1));
                self.each(true, "download, 8 streams", |field, target| field.bulk(target, 8));
            }
            if latency {
                self.each(false, "small requests", Self::latency);
                self.each(false, "small requests beside a download", Self::beside_bulk);
            }
            if rate {
                self.each(false, "many requests", Self::rate);
            }
            if circuits {
                self.circuits();
            }
        }
        // Last: what thousands of streams leave behind would slow others down.
        if streams {
            self.progress("1000 streams through three mixes");
            if let Err(error) = self.alone() {
                self.results.trouble(format!("1000 streams through three mixes: {error:#}"));
            }
            for turn in 0..self.options.turns().min(3) {
                self.turn = turn;
                self.each_network("1000 streams", |field, target| field.hold(target, 1000));
            }
            if !self.options.quick {
                for turn in 0..self.options.turns().min(3) {
                    self.turn = turn;
                    self.each_network("4000 streams", |field, target| field.hold(target, 4000));
                }
            }
        }
        for target in self.networks() {
            self.memory(&target, "most_relay_mib", "relay", account::resident_most);
        }
        self.must_live()
    }

    fn must_live(&self) -> Result<()> {
        self.throng.must_live()?;
        self.tor.as_ref().map_or(Ok(()), Tor::must_live)
    }

    /// Measures all by turns; a trouble is noted, and the others go on.
    fn each(&mut self, up: bool, what: &str, measure: impl Fn(&mut Self, &Target) -> Result<()>) {
        let mut targets = vec![Self::direct()];
        targets.extend(self.networks());
        if up {
            targets.push(self.throng_up());
        }
        self.all_of(&targets, what, measure);
    }

    fn each_network(&mut self, what: &str, measure: impl Fn(&mut Self, &Target) -> Result<()>) {
        let targets = self.networks();
        self.all_of(&targets, what, measure);
    }

    fn all_of(&mut self, targets: &[Target], what: &str, measure: impl Fn(&mut Self, &Target) -> Result<()>) {
        for target in targets {
            self.progress(&format!("{what}, {}", target.name));
            if let Err(error) = measure(self, target) {
                self.results.trouble(format!("{what}, {}: {error:#}", target.name));
            }
        }
    }

    fn progress(&self, what: &str) {
        let seconds = self.begin.elapsed().as_secs();
        eprintln!("bench: [{seconds:3} s, turn {} of {}] {what}", self.turn + 1, self.options.turns());
    }

    // --- The load

    fn load(&self, target: &Target, words: &str, user: &str, seconds: u64) -> Result<Worker> {
        let mut all = vec!["load".to_owned()];
        all.extend(words.split(' ').map(str::to_owned));
        all.extend(["--to".to_owned(), self.server_address.to_string()]);
        all.extend(["--seconds".to_owned(), seconds.to_string(), "--user".to_owned(), user.to_owned()]);
        if let Some(proxy) = target.proxy {
            all.extend(["--via".to_owned(), proxy.to_string()]);
        }
        Worker::start(&all)
    }

    /// Notes errors of a load; they do not end the run.
    fn complain(&mut self, target: &Target, what: &str, errors: usize, error: &str) {
        if errors > 0 {
            self.results.trouble(format!("{what}, {}: {errors} errors, the first: {error}", target.name));
        }
    }

    fn new_name(&mut self) -> String {
        self.names += 1;
        format!("name{}", self.names)
    }

    // --- What is measured

    fn at_rest(&mut self) {
        self.progress("memory and CPU at rest");
        let targets = self.networks();
        std::thread::sleep(Duration::from_secs(2));
        let before: Vec<f64> = targets.iter().map(Target::cpu).collect();
        let begin = now();
        std::thread::sleep(Duration::from_secs(if self.options.quick { 2 } else { 5 }));
        for (target, before) in targets.iter().zip(before) {
            let percent = 100.0 * (target.cpu() - before) / begin.elapsed().as_secs_f64();
            self.results.add(target.name, "idle_cpu_percent", percent);
            for (figure, group) in
                [("idle_relay_mib", "relay"), ("idle_exit_mib", "exit"), ("idle_client_mib", "client")]
            {
                self.memory(target, figure, group, account::resident);
            }
        }
    }

    /// Notes the memory of the largest process of a group.
    fn memory(&mut self, target: &Target, figure: &'static str, group: &str, measure: fn(u32) -> f64) {
        let of_group = target.groups.iter().filter(|(name, _)| *name == group);
        let most = of_group.flat_map(|(_, pids)| pids).map(|&pid| measure(pid)).reduce(f64::max);
        self.results.add(target.name, figure, most.unwrap_or(f64::NAN));
    }

    fn floor(&mut self) {
        self.progress("download, the floor");
        let before = account::cpu(&self.chain.pids());
        match self.chain.pass(self.bulk_bytes()) {
            Ok(passed) => {
                let cpu = account::cpu(&self.chain.pids()) - before;
                let gb = passed.bytes as f64 / 1e9;
                self.results.add("floor", "bulk_1_gbit_s", gb * 8.0 / passed.seconds);
                self.results.add("floor", "bulk_1_cpu_s_per_gb", cpu / gb);
                let sent = passed.bytes as f64 / floor::DATAGRAM as f64 + passed.lost as f64;
                self.results.add("floor", "lost_percent", 100.0 * passed.lost as f64 / sent);
            }
            Err(error) => self.results.trouble(format!("the floor: {error:#}")),
        }
    }

    fn bulk_bytes(&self) -> u64 {
        if self.options.quick { 64 * MIB } else { 256 * MIB }
    }

    fn bulk(&mut self, target: &Target, streams: u64) -> Result<()> {
        // Without a proxy the same would be over before the clock is worth reading.
        let bytes = self.bulk_bytes() * if target.proxy.is_none() { 8 } else { 1 };
        let words = format!("get --bytes {} --streams {streams}", bytes / streams);
        // The same names in every turn: the circuits stand.
        let mut load = self.load(target, &words, &format!("bulk{streams}"), 20)?;
        load.hear()?;
        let ours = [load.pid(), self.server.pid()];
        let groups = || target.groups.iter().map(|(_, pids)| account::cpu(pids)).collect::<Vec<f64>>();
        let parts = groups();
        let (before, known, all) = (target.cpu(), account::cpu(&ours), account::machine());
        load.say("go")?;
        let got: Got = serde_json::from_str(&load.hear()?).context("reading a result")?;
        let (cpu, known, all) =
            (target.cpu() - before, account::cpu(&ours) - known, account::machine() - all);
        self.complain(target, "download", got.errors, &got.error);
        let (gbit_s, per_gb) = if streams == 1 {
            ("bulk_1_gbit_s", "bulk_1_cpu_s_per_gb")
        } else {
            ("bulk_8_gbit_s", "bulk_8_cpu_s_per_gb")
        };
        let gb = got.bytes as f64 / 1e9;
        self.results.add(target.name, gbit_s, gb * 8.0 / got.seconds);
        if target.proxy.is_some() {
            self.results.add(target.name, per_gb, cpu / gb);
            for (((name, _), before), after) in target.groups.iter().zip(parts).zip(groups()) {
                let figure = match (streams, *name) {
                    (1, "relay") => "bulk_1_cpu_relays",
                    (1, "exit") => "bulk_1_cpu_exits",
                    (1, "client") => "bulk_1_cpu_client",
                    _ => continue,
                };
                self.results.add(target.name, figure, (after - before) / gb);
            }
            self.results.add(target.name, "others_cores", ((all - known - cpu) / got.seconds).max(0.0));
        }
        Ok(())
    }

    fn ask(&mut self, target: &Target, mode: Mode, more: &str, user: &str) -> Result<Asked> {
        let mut load = self.load(target, &format!("ask {} {more}", mode.word()), user, 8)?;
        let asked: Asked = serde_json::from_str(&load.hear()?).context("reading a result")?;
        self.complain(target, mode.word(), asked.errors, &asked.error);
        Ok(asked)
    }

    fn latency(&mut self, target: &Target) -> Result<()> {
        let (keep, new) = if self.options.quick { (200, 100) } else { (1000, 300) };
        let asked = self.ask(target, Mode::KeepAlive, &format!("--count {keep}"), "small")?;
        self.results.add(target.name, "keep_alive_p50_ms", asked.p50_ms);
        self.results.add(target.name, "keep_alive_p95_ms", asked.p95_ms);
        let asked = self.ask(target, Mode::NewStream, &format!("--count {new}"), "small")?;
        self.results.add(target.name, "new_stream_p50_ms", asked.p50_ms);
        self.results.add(target.name, "new_stream_p95_ms", asked.p95_ms);
        Ok(())
    }

    fn beside_bulk(&mut self, target: &Target) -> Result<()> {
        let mut load = self.load(target, "get --at-once --bytes 1000000000000", "beside", 10)?;
        load.hear()?;
        std::thread::sleep(Duration::from_millis(700));
        let asked = self.ask(target, Mode::KeepAlive, "--count 200", "small")?;
        drop(load);
        self.results.add(target.name, "keep_alive_beside_bulk_p50_ms", asked.p50_ms);
        self.results.add(target.name, "keep_alive_beside_bulk_p95_ms", asked.p95_ms);
        // What is still under way drains.
        std::thread::sleep(Duration::from_millis(500));
        Ok(())
    }

    fn rate(&mut self, target: &Target) -> Result<()> {
        let count = if self.options.quick { 1000 } else { 4000 };
        let before = target.cpu();
        let words = format!("--count {count} --clients 32 --users 8");
        let asked = self.ask(target, Mode::NewStream, &words, "rate")?;
        self.results.add(target.name, "rate_32", asked.per_second);
        if target.proxy.is_some() {
            let cpu = 1e3 * (target.cpu() - before) / asked.answered as f64;
            self.results.add(target.name, "rate_32_cpu_ms", cpu);
        }
        Ok(())
    }

    fn circuits(&mut self) {
        self.each_network("circuits one by one", Self::circuits_one_by_one);
        self.each_network("circuits in a burst", Self::circuits_in_a_burst);
    }

    /// Circuits that are built while little else happens, and requests that want a new one.
    fn circuits_one_by_one(&mut self, target: &Target) -> Result<()> {
        let count = if self.options.quick { 10 } else { 20 };
        let name = self.new_name();
        let before = self.throng.circuits()?.len();
        let words = format!("--count {count} --pause-ms 30");
        let asked = self.ask(target, Mode::NewUser, &words, &name)?;
        self.results.add(target.name, "new_user_p50_ms", asked.p50_ms);
        self.results.add(target.name, "new_user_p95_ms", asked.p95_ms);
        let mut cut = false;
        let mut ms: Vec<f64> = match &self.tor {
            Some(tor) if target.name == "tor" => {
                let mut control = tor.control()?;
                let mut ms = Vec::new();
                for i in 0..count {
                    let begin = now();
                    let (built, failed) = control.build(&[tor.path(i)], Duration::from_secs(5))?;
                    ms.extend(built.first().map(|at| (*at - begin).as_secs_f64() * 1e3));
                    if failed > 0 {
                        bail!("a Tor circuit failed");
                    }
                }
                ms
            }
            _ => {
                std::thread::sleep(Duration::from_millis(300));
                let built = &self.throng.circuits()?[before..];
                cut = built.iter().any(|built| built.cut);
                built.iter().map(|built| built.ms).collect()
            }
        };
        ms.sort_by(f64::total_cmp);
        // Of what was cut to whole milliseconds the truth lies up to one above.
        self.results.add(target.name, "build_p50_ms_at_least", load::quantile(&ms, 0.5));
        ms.iter_mut().for_each(|ms| *ms += f64::from(u8::from(cut)));
        self.results.add(target.name, "build_p50_ms", load::quantile(&ms, 0.5));
        self.results.add(target.name, "build_p95_ms", load::quantile(&ms, 0.95));
        Ok(())
    }

    /// New user names at once, and what the circuits for them cost.
    fn circuits_in_a_burst(&mut self, target: &Target) -> Result<()> {
        let is_tor = target.name == "tor";
        let mut control = match &self.tor {
            Some(tor) if is_tor => Some(tor.control()?),
            _ => None,
        };
        if let Some(control) = &mut control {
            control.watch()?;
        }
        let name = self.new_name();
        let (circuits, cpu) = (self.throng.circuits()?.len(), target.cpu());
        let words = format!("--count {BURST} --clients 8 --users 8");
        let asked = self.ask(target, Mode::NewUser, &words, &name)?;
        // What the store misses is built in the end too, and belongs to it.
        let built = match &mut control {
            Some(control) => control.built(Duration::from_millis(500))?,
            None => {
                std::thread::sleep(Duration::from_millis(500));
                self.throng.circuits()?.len() - circuits
            }
        };
        let cpu = target.cpu() - cpu;
        self.results.add(target.name, "circuits_per_s", asked.per_second);
        self.results.add(target.name, "circuits_built", built as f64);
        self.results.add(target.name, "cpu_ms_per_circuit", 1e3 * cpu / built as f64);
        if let (Some(mut control), Some(tor)) = (control, &self.tor) {
            let paths: Vec<String> = (0..100).map(|i| tor.path(i)).collect();
            let cpu = target.cpu();
            let (built, _) = control.build(&paths, Duration::from_secs(10))?;
            let cpu = target.cpu() - cpu;
            self.results.add(target.name, "cpu_ms_per_bare_circuit", 1e3 * cpu / built.len() as f64);
        }
        Ok(())
    }

    /// Circuits that have carried a request, and then nothing.
    fn memory_per_circuit(&mut self, target: &Target) -> Result<()> {
        let count = if self.options.quick { 100 } else { 300 };
        let all = |target: &Target| target.pids().into_iter().map(account::resident).sum::<f64>();
        let name = self.new_name();
        // What the first ones need is not per circuit.
        self.ask(target, Mode::NewUser, "--count 50 --clients 8 --users 8", &name)?;
        std::thread::sleep(Duration::from_secs(1));
        let name = self.new_name();
        let before = all(target);
        let words = format!("--count {count} --clients 8 --users 8");
        let asked = self.ask(target, Mode::NewUser, &words, &name)?;
        std::thread::sleep(Duration::from_secs(1));
        let kib = 1024.0 * (all(target) - before) / asked.answered as f64;
        self.results.add(target.name, "kib_per_idle_circuit", kib);
        Ok(())
    }

    /// A network in which every mix carries every stream: what a mix needs for so many.
    fn alone(&mut self) -> Result<()> {
        let folder = self.folder.join("alone");
        let throng = Throng::start(&self.program, &folder, &throng::ALONE)?;
        let target = Target { name: "throng", proxy: Some(throng.proxy), groups: throng.groups() };
        std::thread::sleep(Duration::from_secs(1));
        let most = |target: &Target| {
            let mixes = target.groups.iter().filter(|(name, _)| *name != "client").flat_map(|(_, pids)| pids);
            mixes.map(|&pid| account::resident(pid)).fold(f64::NAN, f64::max)
        };
        let idle = most(&target);
        let mut load = self.load(&target, "hold --streams 1000 --users 8", "alone", 25)?;
        load.hear()?;
        std::thread::sleep(Duration::from_secs(1));
        let loaded = most(&target);
        load.say("ask")?;
        let held: OpenConnections = serde_json::from_str(&load.hear()?).context("reading a result")?;
        self.complain(&target, "1000 streams through three mixes", held.errors, &held.error);
        // The memory of fewer streams is no answer.
        if held.answered < 1000 {
            bail!("only {} of {} opened streams answered", held.answered, held.opened);
        }
        self.results.add("throng", "alone_idle_mib", idle);
        self.results.add("throng", "alone_1000_mib", loaded);
        Ok(())
    }

    fn hold(&mut self, target: &Target, streams: usize) -> Result<()> {
        let users = if streams > 1000 { 16 } else { 8 };
        let words = format!("hold --streams {streams} --users {users}");
        let mut load = self.load(target, &words, "hold", 25)?;
        load.hear()?;
        std::thread::sleep(Duration::from_secs(1));
        let thousand = streams == 1000;
        let [relay, exit, client, answered, answered_in_s] = if thousand {
            [
                "hold_1000_relay_mib",
                "hold_1000_exit_mib",
                "hold_1000_client_mib",
                "hold_1000_answered",
                "hold_1000_answered_in_s",
            ]
        } else {
            [
                "hold_4000_relay_mib",
                "hold_4000_exit_mib",
                "hold_4000_client_mib",
                "hold_4000_answered",
                "hold_4000_answered_in_s",
            ]
        };
        for (figure, group) in [(relay, "relay"), (exit, "exit"), (client, "client")] {
            self.memory(target, figure, group, account::resident);
        }
        load.say("ask")?;
        let held: OpenConnections = serde_json::from_str(&load.hear()?).context("reading a result")?;
        drop(load);
        let what = format!("{streams} streams ({} opened in {:.1} s)", held.opened, held.opened_in_s);
        self.complain(target, &what, held.errors, &held.error);
        self.results.add(target.name, answered, held.answered as f64);
        self.results.add(target.name, answered_in_s, held.answered_in_s);
        // The streams end, everywhere.
        std::thread::sleep(Duration::from_secs(if thousand { 2 } else { 4 }));
        Ok(())
    }

    // --- What is said

    fn report(&self, outcome: Result<()>) -> Result<String> {
        let machine = Machine::look();
        let mut text = format!("# `cargo xtask bench` on {}\n\n{}", machine.date, machine.markdown());
        text.push_str(&self.conditions());
        text.push('\n');
        text.push_str(&self.results.markdown(&COLUMNS));
        if let Err(error) = outcome {
            text.push_str(&format!("\n**The run ended early: {error:#}**\n"));
        }
        if !self.results.troubles.is_empty() {
            text.push_str("\nTroubles:\n\n");
            self.results.troubles.iter().for_each(|what| text.push_str(&format!("- {what}\n")));
        }
        if let Some(path) = &self.options.markdown {
            std::fs::write(path, &text).with_context(|| format!("writing {}", path.display()))?;
        }
        if let Some(path) = &self.options.json {
            let mut data = self.results.json();
            data["machine"] = machine.json();
            data["tor"] = json!(self.tor_version);
            data["turns"] = json!(self.options.turns());
            data["seconds"] = json!(self.begin.elapsed().as_secs());
            let data = serde_json::to_string_pretty(&data).context("writing JSON")?;
            std::fs::write(path, data + "\n").with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(text)
    }

    fn conditions(&self) -> String {
        let mut text = format!(
            "- Command: `cargo xtask bench {}`, {} s; {} turns, all targets one after the other within each measurement, \
             the order of the networks reversed in every second turn. Cells are least – **median** – most of the turns.\n\
             - In {}; at most {} open files for every process alike.\n\
             - throng: `throng network init --mixes {} --exits {} --hops 3`, `throng node` × {}, `throng client`, a process \
             each; no mixing delay, no cover. `throng up`: the same in one process.\n",
            Options { json: None, markdown: None, ..self.options.clone() }
                .words()
                .unwrap_or_default()
                .join(" "),
            self.begin.elapsed().as_secs(),
            self.options.turns(),
            namespace::DESCRIPTION,
            namespace::files_max(),
            throng::NETWORK.mixes,
            throng::NETWORK.exits,
            throng::NETWORK.mixes,
        );
        if let Some(version) = &self.tor_version {
            text.push_str(&format!(
                "- tor: {version}, 3 authorities (whose CPU is not counted), 4 relays, 3 exits, 1 client; {}.\n",
                tor::PROFILE
            ));
        }
        text.push_str(
            "- floor: 1280-byte datagrams over four sockets (three links), AES-128-GCM opened and sealed at every hop, \
             segmentation offload, a process each; delivered bytes are what the link's seal leaves of a datagram.\n\
             - direct: the same load without a proxy. The load's own processes are never counted.\n\
             - circuit build: Throng's from the client's log (while that cuts to whole milliseconds, both bounds are given), \
             Tor's from `EXTENDCIRCUIT` to `BUILT` on its control port. New user names get circuits out of the client's \
             store where it has some.\n\
             - memory: the largest process of its kind; of Tor at rest, a consensus every 10 s is part of it (testing \
             interval). 1000 streams are of 8 user names, 4000 of 16. At start, per circuit and in three fresh mixes it is \
             measured once a run: read what is per circuit as an order of magnitude, since allocators keep what they had.\n",
        );
        text
    }
}
