//! Node level: a plan becomes a world of hosts that run [`throng_core::Node`], users on some of them, and what goes
//! wrong.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use throng_core::config::Membership;
use throng_core::cover::Budget;
use throng_core::crypto::Suite;
use throng_core::limits::RELAYED_CIRCUITS_MAX;
use throng_core::membership::Record;
use throng_core::membership::View;
use throng_core::route::PathRules;
use throng_core::{ClientConfig, Design, NodeConfig, Ports, Time};
use throng_machine::Maybenot;

use crate::apps::{Apps, CHURN, EXCHANGE_TIME_MAX};
use crate::books::{Books, Digest, TraceName};
use crate::chance::{Draws, For, exponential};
use crate::checkers;
use crate::host::{HostId, LineRate};
use crate::results::Metric;
use crate::scenario::{Churn, Fault, FaultKind, Lines, Plan, SuiteName, TapAt};
use crate::stop::{Ticks, Watch};
use crate::trace::Trace;
use crate::wire::Wire;
use crate::world::{IP_UDP_BYTES, Turn, World, keys_of, mix_with_capacity};

/// What a run at node level came to.
pub(crate) struct Outcome {
    pub(crate) metrics: Vec<Metric>,
    pub(crate) digest: String,
    pub(crate) problems: Vec<String>,
    pub(crate) complete: bool,
    pub(crate) trace: Trace,
    /// Per user: cells of its exchanges on its link, from it and to it.
    pub(crate) user_cells: Vec<[u64; 2]>,
}

/// How a run differs from the plain one of its plan.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct How {
    /// What taps see is kept.
    pub(crate) is_traced: bool,
    /// Hosts are made in reverse order: nothing may depend on it.
    pub(crate) reversed: bool,
    /// At the end everything is healed, every user asks once more, and must be answered.
    pub(crate) must_heal: bool,
}

/// Users start their nodes one after the other, so many a second and mix.
const STARTS_PER_SECOND_AND_MIX: f64 = 40.0;
/// Time that the last of them has to be ready before anything is counted.
const SETTLE: Duration = Duration::from_secs(3);
/// Bounds are looked at this often.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// Progress is told this often, in happenings.
const TELL_EVERY: u64 = 1 << 16;
/// After healing, everything must work within this.
const HEAL_WITHIN: Duration = Duration::from_secs(90);

/// Runs a plan.
pub(crate) fn run<S: Suite>(plan: &Plan, seed: &[u8; 32], how: How, watch: &Watch<'_>) -> Outcome {
    let mut run = Run::<S>::new(plan, seed, how);
    let complete = run.live(watch);
    run.outcome(complete)
}

struct Run<'p, S: Suite> {
    plan: &'p Plan,
    how: How,
    chance: Draws,
    world: World<S, Books>,
    apps: Apps<'p>,
    /// In the order of their numbers, whatever the order of their making.
    mixes: Vec<PlannedHost>,
    users: Vec<PlannedHost>,
    view: View,
    design: Arc<Design>,
    begin: Time,
    /// Everything was healed: nobody goes any more.
    is_healed: bool,
    ticks: Ticks,
}

/// A host of the plan.
struct PlannedHost {
    host: HostId,
    config: NodeConfig,
    /// Sojourns so far, up or away.
    stays: u64,
}

impl<'p, S: Suite> Run<'p, S> {
    fn new(plan: &'p Plan, seed: &[u8; 32], how: How) -> Self {
        let mixes = if plan.dynamic { 0 } else { plan.mixes };
        let open = plan.suite == SuiteName::Toy;
        let taps = if how.is_traced { plan.taps.clone() } else { TapAt::Nowhere };
        let mut run = Self {
            plan,
            how,
            chance: Draws::new(seed),
            world: World::watched(
                *seed,
                plan.wire,
                Books::new(plan.mixes, plan.users, taps, open, &plan.design),
            ),
            apps: Apps::new(&plan.design),
            mixes: Vec::new(),
            users: Vec::new(),
            view: View::new(),
            design: Arc::new(plan.design.clone()),
            begin: Time::ZERO,
            is_healed: false,
            ticks: Ticks::new(),
        };
        let made = run.make_mixes(mixes);
        run.view = made.iter().map(|(_, record)| Arc::clone(record)).collect();
        run.place(made.into_iter().map(|(config, _)| config).collect(), seed);
        run
    }

    /// The mixes of a static network, or the members of a dynamic one.
    fn make_mixes(&self, mixes: usize) -> Vec<(NodeConfig, Arc<Record>)> {
        let count = if self.plan.dynamic { self.plan.users } else { mixes };
        let design = Arc::clone(&self.design);
        let mix = |number: usize| {
            let ports = if number < self.plan.exits { Ports::reduced() } else { Ports::none() };
            let capacity = match self.lines(number).up_bps {
                Some(bps) => (bps / 1000).clamp(1, 1_000_000) as u32,
                None => 1_000_000,
            };
            mix_with_capacity::<S>(number as u32, mix_address(number), ports, &design, capacity)
        };
        (0..count).map(mix).collect()
    }

    fn lines(&self, mix: usize) -> LineRate {
        let lines = if self.plan.dynamic { self.plan.user_lines } else { self.plan.mix_lines };
        match lines {
            Lines::Same(line) => line,
            Lines::Fc04 => lines.of(self.chance, mix as u64),
        }
    }

    /// Puts hosts into the world.
    fn place(&mut self, mixes: Vec<NodeConfig>, seed: &[u8; 32]) {
        let (plan, view) = (self.plan, self.view.clone());
        let client = ClientConfig {
            rules: PathRules::Diverse,
            spare: plan.spare,
            first_hops: Vec::new(),
            budget: Budget::default(),
        };
        let membership = Membership::Shared(view);
        let with_view = |config: NodeConfig| NodeConfig { membership: membership.clone(), ..config };
        let mut members: Vec<(TraceName, SocketAddr, LineRate, NodeConfig)> = Vec::new();
        if plan.dynamic {
            for (number, config) in mixes.into_iter().enumerate() {
                let config = NodeConfig { client: Some(client.clone()), ..with_view(config) };
                members.push((number as TraceName, mix_address(number), self.lines(number), config));
            }
        } else {
            for (number, config) in mixes.into_iter().enumerate() {
                members.push((
                    number as TraceName,
                    mix_address(number),
                    self.lines(number),
                    with_view(config),
                ));
            }
            for user in 0..plan.users {
                let config = NodeConfig {
                    keys: keys_of::<S>(b"user", user as u32),
                    design: Arc::clone(&self.design),
                    relays: false,
                    is_exit: false,
                    client: Some(client.clone()),
                    membership: membership.clone(),
                    defences: Some(Arc::new(Maybenot)),
                };
                let line = plan.user_lines.of(self.chance, user as u64);
                members.push(((plan.mixes + user) as TraceName, user_address(user), line, config));
            }
        }
        if self.how.reversed {
            members.reverse();
        }
        let mut placed: Vec<(TraceName, PlannedHost)> = Vec::new();
        for (name, address, line, config) in members {
            self.world.watcher_mut().name(name);
            let host = self.world.add_down(address);
            self.world.set_line(host, line);
            placed.push((name, PlannedHost { host, config, stays: 0 }));
        }
        placed.sort_by_key(|(name, _)| *name);
        for (name, member) in placed {
            let is_user = plan.dynamic || name as usize >= plan.mixes;
            if (name as usize) < plan.exits {
                self.apps.add_exit(member.host, name, member.config.keys.id::<S>());
            }
            if is_user {
                let number = self.users.len() as u64;
                self.apps.add_user(member.host, plan.traffic.visits(seed, number));
                self.users.push(member);
            } else {
                self.mixes.push(member);
            }
        }
    }

    /// From the first node's start to the end. Whether it came there.
    fn live(&mut self, watch: &Watch<'_>) -> bool {
        for mix in 0..self.mixes.len() {
            self.world.start(self.mixes[mix].host, self.mixes[mix].config.clone());
        }
        let spread = self.users.len() as f64 / (self.plan.mixes.max(1) as f64 * STARTS_PER_SECOND_AND_MIX);
        let spread = Duration::from_millis(200 + (spread * 1000.0) as u64);
        for user in 0..self.users.len() {
            let late = crate::wire::share(spread, self.chance.of(For::Session, user as u64).bits(1));
            self.world.call_at(self.world.now() + late, self.users[user].host, CHURN);
        }
        if !self.pass(self.world.now() + spread + SETTLE, watch) {
            return false;
        }
        self.begin = self.world.now();
        self.world.watcher_mut().begin(self.begin);
        let end = self.begin + self.plan.duration;
        self.apps.begin(&mut self.world, end);
        for fault in &self.plan.faults {
            if !self.pass((self.begin + fault.at).min(end), watch) {
                return false;
            }
            self.strike(fault);
        }
        if !self.pass(end, watch) {
            return false;
        }
        !self.how.must_heal || self.heal(watch)
    }

    /// Lets time pass until `until`. Whether nobody stopped the run.
    fn pass(&mut self, until: Time, watch: &Watch<'_>) -> bool {
        while self.world.now() < until {
            let check = (self.world.now() + CHECK_EVERY).min(until);
            while let Some(turn) = self.world.turn(check) {
                match turn {
                    Turn::Quiet => {}
                    Turn::Heard(host) => self.apps.heard(&mut self.world, host),
                    Turn::Called(host, CHURN) => self.come_or_go(host),
                    Turn::Called(host, token) => self.apps.called(&mut self.world, host, token),
                }
                if self.world.happened().is_multiple_of(TELL_EVERY) && self.tell(watch) {
                    return false;
                }
            }
            let hosts = self.mixes.iter().chain(&self.users).map(|member| member.host);
            self.apps.problems.extend(checkers::bounds(&self.world, hosts.clone()));
            if self.how.must_heal {
                self.apps.problems.extend(checkers::audits(&self.world, hosts));
            }
            if self.tell(watch) {
                return false;
            }
        }
        true
    }

    fn tell(&mut self, watch: &Watch<'_>) -> bool {
        self.ticks.events = self.world.happened();
        let simulated = if self.begin == Time::ZERO { Duration::ZERO } else { self.world.now() - self.begin };
        let memory = self.world.bytes() + self.world.watcher().bytes();
        watch.tick(&self.ticks, simulated, memory as u64)
    }

    /// A user's time has come: it starts, or goes away.
    fn come_or_go(&mut self, host: HostId) {
        let Some(user) = self.apps.user_at(host) else { return };
        let is_up = self.world.is_up(host);
        if self.is_healed {
            return;
        }
        if is_up {
            self.stop(host, Some(user));
        } else {
            self.world.start(host, self.users[user].config.clone());
        }
        if let Some(churn) = self.plan.churn {
            let stays = self.users[user].stays;
            self.users[user].stays += 1;
            let next = self.stay(user, stays, churn, !is_up);
            self.world.call_at(self.world.now() + next, host, CHURN);
        }
    }

    fn stay(&self, user: usize, number: u64, churn: Churn, up: bool) -> Duration {
        let mean = if up { churn.up_mean } else { churn.down_mean };
        let unit = self.chance.of(For::Session, user as u64).unit(number + 2);
        Duration::from_nanos((exponential(mean.as_secs_f64(), unit) * 1e9) as u64)
    }

    fn stop(&mut self, host: HostId, user: Option<usize>) {
        self.world.crash(host);
        if let Some(user) = user {
            self.apps.user_is_down(&mut self.world, user);
        }
        self.apps.exit_is_down(host);
    }

    /// Something goes wrong.
    fn strike(&mut self, fault: &Fault) {
        let mixes = fault.mixes.iter().map(|mix| match self.plan.dynamic {
            true => (&self.users[*mix], Some(*mix)),
            false => (&self.mixes[*mix], None),
        });
        let users = fault.users.iter().map(|user| (&self.users[*user], Some(*user)));
        let struck: Vec<(HostId, Option<usize>, NodeConfig)> =
            mixes.chain(users).map(|(member, user)| (member.host, user, member.config.clone())).collect();
        match fault.kind {
            FaultKind::Crash => struck.into_iter().for_each(|(host, user, _)| self.stop(host, user)),
            FaultKind::Restart => {
                for (host, user, config) in struck {
                    self.stop(host, user);
                    self.world.start(host, config);
                }
            }
            FaultKind::Partition => self.world.move_to_island(struck.into_iter().map(|(host, _, _)| host), 1),
            FaultKind::Heal => self.world.heal(),
            FaultKind::Slow(by) => struck.into_iter().for_each(|(host, _, _)| self.world.set_slow(host, by)),
        }
    }

    /// Everything is put right: then everybody is up, asks once more and is answered.
    fn heal(&mut self, watch: &Watch<'_>) -> bool {
        self.is_healed = true;
        self.world.heal();
        self.world.set_wire(Wire { loss: 0.0, doubled: 0.0, ..self.plan.wire });
        let everybody: Vec<(HostId, NodeConfig)> =
            self.mixes.iter().chain(&self.users).map(|member| (member.host, member.config.clone())).collect();
        for (host, config) in everybody {
            self.world.set_slow(host, Duration::ZERO);
            if !self.world.is_up(host) {
                self.world.start(host, config);
            }
        }
        // What was under way fails or ends; then nothing hinders anybody.
        if !self.pass(self.world.now() + EXCHANGE_TIME_MAX + CHECK_EVERY, watch) {
            return false;
        }
        let left = self.apps.under_way();
        if left > 0 {
            self.apps.problems.push(format!("{left} exchanges neither ended nor failed"));
        }
        let before = self.apps.tally;
        self.apps.ask_once_more(&mut self.world);
        if !self.pass(self.world.now() + HEAL_WITHIN, watch) {
            return false;
        }
        let (failed, left) = (self.apps.tally.failed - before.failed, self.apps.under_way());
        if failed + left as u64 > 0 {
            let users = self.users.len();
            self.apps
                .problems
                .push(format!("after healing, {failed} of {users} users failed and {left} wait without end"));
        }
        true
    }

    fn outcome(mut self, complete: bool) -> Outcome {
        let metrics = self.metrics();
        let problems = std::mem::take(&mut self.apps.problems);
        let books = self.world.into_watcher();
        let user_cells = books.user_cells().to_vec();
        let (of_datagrams, trace) = books.close();
        let mut digest = Digest::new();
        digest.note(&of_datagrams.bytes().map(u64::from).collect::<Vec<_>>());
        metrics.iter().for_each(|metric| digest.note(&[metric.value.to_bits()]));
        Outcome { metrics, digest: digest.to_hex(), problems, complete, trace, user_cells }
    }

    fn metrics(&self) -> Vec<Metric> {
        let (tally, books) = (self.apps.tally, self.world.watcher());
        let seconds = self.plan.duration.as_secs_f64();
        // There is no mean of nothing: such a figure is left out.
        let mean_ms = |total: u128, count: u64| total as f64 / 1e6 / count as f64;
        let sum =
            |of: fn(&crate::population::MixTraffic) -> u64| books.loads().iter().map(of).sum::<u64>() as f64;
        let bps = |bytes: f64| bytes * 8.0 / seconds;
        let datagram = (self.plan.design.geometry.datagram() as u64 + IP_UDP_BYTES) as f64;
        let wire =
            bps(sum(|load| load.cells_in) * datagram + sum(|load| load.outside_in))
                .max(bps(sum(|load| load.cells_out) * datagram + sum(|load| load.outside_out)));
        let mut metrics = vec![
            Metric::new("exchanges begun", "", tally.began as f64),
            Metric::new("exchanges done", "", tally.done as f64),
            Metric::new("exchanges failed", "", tally.failed as f64),
            Metric::new("time of an exchange, mean", "ms", mean_ms(tally.took, tally.done)),
            Metric::new("users sent", "bytes", tally.up as f64),
            Metric::new("users received", "bytes", tally.down as f64),
            Metric::new("users received, parts included", "bytes", tally.came as f64),
            Metric::new("circuits completed", "", tally.circuits as f64),
            Metric::new(
                "time of a circuit's set-up, mean",
                "ms",
                mean_ms(tally.circuits_took, tally.circuits),
            ),
            Metric::new("circuits not completed", "", tally.circuits_failed as f64),
            Metric::new("circuits ended", "", tally.circuits_ended as f64),
            Metric::new("datagrams", "", books.datagrams() as f64),
            Metric::new("dropped by full lines", "", books.lost_at_lines() as f64),
            Metric::new("capacity needed on the wire", "Mb/s", wire / 1e6),
        ];
        if self.plan.suite == SuiteName::Toy {
            let useful_in = bps(sum(|load| load.useful_in + load.outside_in));
            let useful_out = bps(sum(|load| load.useful_out + load.outside_out));
            let need = useful_in.max(useful_out);
            let overhead = if need == 0.0 { 0.0 } else { (wire - need) / need * 100.0 };
            metrics.extend([
                Metric::new("mixes receive, useful", "Mb/s", useful_in / 1e6),
                Metric::new("mixes send, useful", "Mb/s", useful_out / 1e6),
                Metric::new("capacity needed, useful", "Mb/s", need / 1e6),
                Metric::new("overhead of headers and padding", "%", overhead),
            ]);
        }
        metrics.retain(|metric| !metric.value.is_nan());
        metrics
    }
}

/// Every mix has a /16 of its own: so many as there are such networks from 10.0.0.0 on.
pub(crate) fn mix_address(number: usize) -> SocketAddr {
    if number < MIX_NETWORKS {
        let [a, b] = (0x0a00 + number as u16).to_be_bytes();
        return ([a, b, 0, 1], 9000).into();
    }
    // More members than networks: they share them.
    let (host, network) = (number / MIX_NETWORKS, number % MIX_NETWORKS);
    let [a, b] = (0x0a00 + network as u16).to_be_bytes();
    let [c, d] = (host as u16 + 1).to_be_bytes();
    ([a, b, c, d], 9000).into()
}

/// 10.0.0.0/16 to 233.255.0.0/16.
const MIX_NETWORKS: usize = 224 * 256;

fn user_address(number: usize) -> SocketAddr {
    let [_, a, b, c] = (number as u32).to_be_bytes();
    ([240 + a % 8, b, c, 1 + a / 8], 9000).into()
}

const _: () = assert!(RELAYED_CIRCUITS_MAX >= 65_536, "populations of node level fit");
