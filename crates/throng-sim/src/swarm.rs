//! Swarm: random worlds in which random things go wrong, each from one seed.
//!
//! First comes safety: whatever goes wrong, nothing may happen that never should (see `checkers`). Then everything is
//! healed, and liveness: everybody must come up, ask once more, and be answered. A seed that fails replays with
//! [`replay`].

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use throng_core::Design;
use throng_core::cover::{CircuitCover, Cover, LinkSlots, Machines, MixLinkCover, Rate, UserLinkCover};
use throng_core::mixing::{Batch, Exponential, Fire, MinCompany, Mixing, Pool, Slices, Uniform};
use throng_core::route::Route;

use crate::chance::{Draws, For};
use crate::host::LineRate;
use crate::nodes::How;
use crate::run::alone;
use crate::scenario::{Churn, Fault, FaultKind, Level, Lines, Plan, SuiteName, TapAt};
use crate::stop::OnProgress;
use crate::toy;
use crate::traffic::Traffic;
use crate::wire::Wire;

/// A defence of `maybenot`: padding 20 ms after anything, a thousand at most.
const PADDING: &str = "02eNplyzEKACAMA8BEH6ZPc/R/fsLR3UW0SGl7S0gge2Y8q+BLEiSBpvOtoo9qMnLfA/oqB9Q=";

/// What became of one seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// The seed.
    pub seed: u64,
    /// What should not have happened. Empty: all is well.
    pub problems: Vec<String>,
    /// The world and its faults, in one line.
    pub world: String,
    /// A digest of the whole run.
    pub digest: String,
    /// Whether it came to its end, and was not stopped.
    pub complete: bool,
}

/// Runs these seeds one after the other and hands each fate to `each`, which may end it (`false`).
///
/// To use more cores, call it from more threads, each with seeds of its own.
pub fn swarm(
    seeds: impl IntoIterator<Item = u64>,
    told: &OnProgress<'_>,
    stop: &AtomicBool,
    mut each: impl FnMut(Fate) -> bool,
) {
    for seed in seeds {
        let fate = replay_watched(seed, told, stop);
        if !each(fate) {
            return;
        }
    }
}

/// Runs one seed again, exactly.
pub fn replay(seed: u64) -> Fate {
    replay_watched(seed, &|_| {}, &AtomicBool::new(false))
}

fn replay_watched(seed: u64, told: &OnProgress<'_>, stop: &AtomicBool) -> Fate {
    let plan = plan(seed);
    let how = How { must_heal: true, ..How::default() };
    let (outcome, reuse) = toy::watch(|| alone(&plan, seed, how, told, stop));
    let mut problems = outcome.problems;
    problems.extend(reuse.iter().map(|kind| format!("a key was used twice with one nonce: {kind:?}")));
    problems.truncate(20);
    Fate { seed, problems, world: describe(&plan), digest: outcome.digest, complete: outcome.complete }
}

/// A small random world, and what goes wrong in it. Even ones may have any cover and way of mixing.
fn plan(seed: u64) -> Plan {
    let mut draws = InOrder { chance: Draws::new(&[0x5a; 32]).of(For::Fault, seed), number: 0 };
    let hops = draws.from(1, 4) as usize;
    let mixes = hops + 1 + draws.from(0, 7) as usize;
    let users = draws.from(1, 8) as usize;
    let duration = Duration::from_secs(draws.from(15, 60));
    let mixing = match draws.from(0, 2) {
        0 => Mixing::Batch(Batch { every: Duration::from_millis(draws.from(5, 100)) }),
        _ => Mixing::NONE,
    };
    let (wire, traffic) = (draws.wire(), draws.traffic());
    let line = match draws.from(0, 3) {
        0 => LineRate {
            up_bps: Some(draws.from(256, 2_000) * 1000),
            down_bps: Some(draws.from(512, 4_000) * 1000),
        },
        _ => LineRate::default(),
    };
    let churn = (draws.from(0, 2) == 0).then(|| Churn {
        up_mean: Duration::from_secs(draws.from(5, 30)),
        down_mean: Duration::from_secs(draws.from(1, 10)),
    });
    let faults = (0..draws.from(0, 8)).map(|_| draws.fault(duration, mixes, users));
    let mut faults: Vec<Fault> = faults.collect();
    faults.sort_by_key(|fault| fault.at);
    let mut plan = Plan {
        level: Level::Nodes,
        suite: SuiteName::Toy,
        duration,
        design: Design { route: Route::free(hops).expect("1 to 4 hops"), mixing, ..Design::default() },
        spare: draws.from(0, 3) as usize,
        dynamic: false,
        mixes,
        exits: draws.from(1, mixes as u64) as usize,
        users,
        online: Duration::from_secs(86_400),
        traffic,
        user_lines: Lines::Same(line),
        mix_lines: Lines::Same(LineRate::default()),
        wire,
        churn,
        faults,
        taps: TapAt::Nowhere,
    };
    if seed.is_multiple_of(2) {
        let design = &mut plan.design;
        (design.mixing, design.company, design.cover) = (draws.mixing(), draws.company(), draws.cover());
        // Nobody wants more than slots, lines and links carry: what then waits would not be done when all is healed.
        plan.user_lines = Lines::Same(LineRate::default());
        plan.spare = plan.spare.min(1);
        plan.traffic = draws.light_traffic();
        if draws.from(0, 2) == 0 {
            make_dynamic(&mut plan);
        }
    }
    plan
}

/// Every mix is a user, and there are no others. Nobody is a mix of its own circuits: it takes one more, and another exit.
fn make_dynamic(plan: &mut Plan) {
    plan.dynamic = true;
    plan.mixes += 1;
    plan.users = plan.mixes;
    plan.exits = plan.exits.max(2);
    plan.faults.iter_mut().for_each(|fault| fault.users.clear());
}

/// Draws, one after the other.
struct InOrder {
    chance: Draws,
    number: u64,
}

impl InOrder {
    /// A whole number from `least` to `most`.
    fn from(&mut self, least: u64, most: u64) -> u64 {
        self.number += 1;
        least + self.chance.below(self.number, most - least + 1)
    }

    /// Zero in half of all cases, else up to `most`.
    fn rarely(&mut self, most: u64) -> u64 {
        if self.from(0, 1) == 0 { 0 } else { self.from(0, most) }
    }

    fn ms(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.from(least, most))
    }

    fn wire(&mut self) -> Wire {
        Wire {
            latency: self.ms(1, 60),
            distance: self.ms(0, 100),
            jitter: Duration::from_millis(self.rarely(80)),
            loss: self.rarely(200) as f64 / 1000.0,
            doubled: self.rarely(100) as f64 / 1000.0,
            lateness: self.ms(0, 20),
            busy_lateness: Duration::ZERO,
        }
    }

    fn traffic(&mut self) -> Traffic {
        match self.from(0, 2) {
            0 => Traffic::Web { reading: Duration::from_secs(3), largest_bytes: 200_000 },
            1 => Traffic::Constant {
                up_bytes_per_day: 86_400.0 * self.from(0, 4_000) as f64,
                down_bytes_per_day: 86_400.0 * self.from(0, 8_000) as f64,
                every: Duration::from_secs(2),
            },
            _ => Traffic::OnOff {
                on: Duration::from_secs(5),
                off: Duration::from_secs(5),
                up_bps: 20_000.0,
                down_bps: 80_000.0,
                every: Duration::from_millis(500),
            },
        }
    }

    fn mixing(&mut self) -> Mixing {
        match self.from(0, 6) {
            0 => Mixing::Batch(Batch { every: self.ms(5, 100) }),
            1 => self.pool(Fire::Threshold(1)),
            2 => {
                let fire = Fire::Every(self.ms(5, 50));
                self.pool(fire)
            }
            3 => Mixing::Slices(Slices { every: self.ms(5, 50) }),
            4 => Mixing::Exponential(Exponential { mean: self.ms(1, 20) }),
            5 => Mixing::Uniform(Uniform { most: self.ms(1, 50) }),
            _ => Mixing::NONE,
        }
    }

    /// A small one, and eager: in worlds of a few users hardly anything but dummies drives a cell out.
    fn pool(&mut self, fire: Fire) -> Mixing {
        Mixing::Pool(Pool { fire, keep: self.from(0, 3) as u16, dummy_after: self.ms(10, 50) })
    }

    fn company(&mut self) -> MinCompany {
        let others = self.from(1, 5) as u16;
        match self.from(0, 3) {
            0 => MinCompany::Fill { others },
            1 => MinCompany::Hold { others, at_most: self.ms(1, 50) },
            _ => MinCompany::Off,
        }
    }

    fn light_traffic(&mut self) -> Traffic {
        let every = self.ms(2000, 6000);
        match self.from(0, 1) {
            0 => Traffic::Constant {
                up_bytes_per_day: 86_400.0 * self.from(0, 200) as f64,
                down_bytes_per_day: 86_400.0 * self.from(0, 800) as f64,
                every,
            },
            _ => Traffic::OnOff {
                on: Duration::from_secs(5),
                off: Duration::from_secs(5),
                up_bps: 1_000.0,
                down_bps: 10_000.0,
                every,
            },
        }
    }

    /// Links have room for what the circuits of all users say.
    fn cover(&mut self) -> Cover {
        let user_links = match self.from(0, 3) {
            0 => UserLinkCover::Constant(self.rate(200, 400)),
            1 => UserLinkCover::Machines(Machines { client: PADDING.into(), mix: PADDING.into() }),
            _ => UserLinkCover::None,
        };
        let mix_links = match self.from(0, 4) {
            0 => MixLinkCover::Slots(LinkSlots::Constant(self.rate(600, 1000))),
            1 => {
                let (least, most) = (self.rate(32, 200), self.rate(600, 1000));
                MixLinkCover::Slots(LinkSlots::DemandDriven { least, most })
            }
            2 => MixLinkCover::Slots(LinkSlots::Mimics(self.rate(1800, 3000))),
            _ => MixLinkCover::None,
        };
        let circuits = match self.from(0, 3) {
            0 => CircuitCover::Constant(self.rate(16, 32)),
            1 => CircuitCover::Poisson { rate: self.rate(16, 32), loops: self.rate(2, 8) },
            _ => CircuitCover::None,
        };
        Cover { user_links, mix_links, circuits }
    }

    fn rate(&mut self, least_kbps: u64, most_kbps: u64) -> Rate {
        Rate::bps(self.from(least_kbps, most_kbps) * 1000).expect("within the bounds")
    }

    fn fault(&mut self, duration: Duration, mixes: usize, users: usize) -> Fault {
        let kind = match self.from(0, 4) {
            0 => FaultKind::Crash,
            1 => FaultKind::Restart,
            2 => FaultKind::Partition,
            3 => FaultKind::Heal,
            _ => FaultKind::Slow(Duration::from_millis(self.from(1, 500))),
        };
        let mut some = |of: usize| (0..of).filter(|_| self.from(0, 4) == 0).collect::<Vec<_>>();
        let (mixes, users) = (some(mixes), some(users));
        Fault { at: duration.mul_f64(self.from(0, 900) as f64 / 1000.0), kind, mixes, users }
    }
}

fn describe(plan: &Plan) -> String {
    let Plan { mixes, users, duration, wire, churn, faults, .. } = plan;
    let Design { route, mixing, company, cover, .. } = &plan.design;
    let faults: Vec<String> = faults
        .iter()
        .map(|fault| {
            format!("{:?} {:?} mixes {:?} users {:?}", fault.at, fault.kind, fault.mixes, fault.users)
        })
        .collect();
    let kind = if plan.dynamic { "dynamic" } else { "static" };
    format!(
        "{kind}: {users} users, {mixes} mixes, {} hops, {duration:?}, {mixing}, {company}, {}, loss {}, doubled {}, {}; {}",
        route.hops(),
        cover.named(&throng_machine::Maybenot),
        wire.loss,
        wire.doubled,
        if churn.is_some() { "churn" } else { "no churn" },
        faults.join("; ")
    )
}
