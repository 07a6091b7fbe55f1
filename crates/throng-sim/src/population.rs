//! Populations: exact counts of what the links carry, without a cell.
//!
//! A link with a schedule carries a cell in each of its slots, whatever is inside: it is a counter that changes when a
//! user comes or goes. What depends on data (links between mixes under cover of user links only, all links without
//! cover, and the outside) follows from each user's own queue: cells leave in the order of their making, one a slot. So
//! users do not meet, and one after the other is worked off in memory that does not grow with them.
//!
//! Left out, and so to be had at node level only: loss, set-up and questions to idle circuits, queues that users share,
//! the way's delay (it lies below a bin), and feedback from the network to users.

use std::time::Duration;

use crate::chance::{Draws, For};
use crate::results::Metric;
use crate::scenario::{Lines, Plan};
use crate::segments::{acknowledgements, segment_bytes, segments_of};
use crate::stop::{Ticks, Watch};
use crate::traffic::{RoundTrip, Traffic};
use crate::wire::share;
use crate::world::IP_UDP_BYTES;
use throng_core::Design;
use throng_core::cover::{CircuitCover, Cover, UserLinkCover};

/// What was counted.
#[derive(Clone, Debug)]
pub struct PopulationCounts {
    /// Per mix.
    pub mixes: Vec<MixTraffic>,
    /// Cells from users to their first mixes, per bin.
    pub user_up: Bins,
    /// Cells from first mixes to users, per bin.
    pub user_down: Bins,
    /// Cells between mixes, both ways, per bin.
    pub between: Bins,
    /// Bytes that users sent and received, less what had to wait beyond their session or the end.
    pub sent_bytes: u64,
    /// See [`sent_bytes`](Self::sent_bytes).
    pub received_bytes: u64,
    /// Bytes that found no slot in time.
    pub waiting_bytes: u64,
    /// Nanoseconds that users were online.
    pub online_nanos: u128,
    /// Cells of data, and nanoseconds that they waited for their slots.
    pub waited: (u64, u128),
    /// Per user: cells of its exchanges on its link, from it and to it, where no cover hides them.
    pub user_cells: Vec<[u64; 2]>,
    /// Users that were worked off: all, unless somebody stopped the run.
    pub users: usize,
}

/// What one mix received and sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MixTraffic {
    /// Useful bytes received: data as such; of covered links, what their cells could carry.
    pub useful_in: u64,
    /// Useful bytes sent.
    pub useful_out: u64,
    /// Datagrams received.
    pub cells_in: u64,
    /// Datagrams sent.
    pub cells_out: u64,
    /// Bytes received from the outside.
    pub outside_in: u64,
    /// Bytes sent to the outside.
    pub outside_out: u64,
}

/// Counts over time.
#[derive(Clone, Debug)]
pub struct Bins {
    /// A bin's length, nanoseconds.
    pub length: u64,
    /// In a bin itself,
    counts: Vec<u64>,
    /// and from a bin on: differences, to be summed up.
    steps: Vec<i64>,
}

impl Bins {
    fn new(length: u64, duration: u64) -> Self {
        let bins = duration.div_ceil(length) as usize;
        Self { length, counts: vec![0; bins], steps: vec![0; bins + 1] }
    }

    fn add(&mut self, at: u64, count: u64) {
        if let Some(bin) = self.counts.get_mut((at / self.length) as usize) {
            *bin += count;
        }
    }

    /// A cell at `first`, and then one each `slot`, `cells` in all. A bin is a whole number of slots long, so that every
    /// bin but the first and the last holds the same number.
    fn add_slots(&mut self, first: u64, slot: u64, cells: u64) {
        if cells == 0 {
            return;
        }
        let per_bin = self.length / slot;
        let length = self.length;
        let before = |bin: u64| (bin * length).saturating_sub(first).div_ceil(slot).min(cells);
        let (from, to) = (first / self.length, (first + (cells - 1) * slot) / self.length);
        self.add(first, before(from + 1));
        if to > from {
            self.add(to * self.length, cells - before(to));
        }
        if to > from + 1 && (from as usize + 1) < self.counts.len() {
            self.steps[from as usize + 1] += per_bin as i64;
            let end = (to as usize).min(self.steps.len() - 1);
            self.steps[end] -= per_bin as i64;
        }
    }

    /// The count of each bin.
    pub fn counts(&self) -> Vec<u64> {
        let mut running = 0;
        let steps = self.steps.iter().map(|step| {
            running += step;
            running as u64
        });
        self.counts.iter().zip(steps).map(|(count, steady)| count + steady).collect()
    }

    /// Everything.
    pub fn total(&self) -> u64 {
        self.counts().iter().sum()
    }
}

/// Most bins of a histogram.
pub(crate) const BINS_MAX: u64 = 1440;
const DAY: Duration = Duration::from_secs(86_400);

/// Works off all users of a plan. `memory_bytes`: what that takes, to be told.
pub(crate) fn run(plan: &Plan, seed: &[u8; 32], memory_bytes: u64, watch: &Watch<'_>) -> PopulationCounts {
    let duration = nanos(plan.duration);
    let slot = slot_nanos(&plan.design);
    let each = segment_bytes(plan.design.geometry);
    let unit = slot.unwrap_or(1_000_000);
    let length = duration.div_ceil(BINS_MAX).max(1_000_000_000.min(duration)).div_ceil(unit) * unit;
    let bins = || Bins::new(length, duration);
    let mut counts = PopulationCounts {
        mixes: vec![MixTraffic::default(); plan.mixes],
        user_up: bins(),
        user_down: bins(),
        between: bins(),
        sent_bytes: 0,
        received_bytes: 0,
        waiting_bytes: 0,
        online_nanos: 0,
        waited: (0, 0),
        user_cells: if plan.design.cover.is_none() { vec![[0; 2]; plan.users] } else { Vec::new() },
        users: 0,
    };
    let chance = Draws::new(seed);
    let paths = DrawnPaths::new(plan, chance);
    let traffic = plan.traffic.within(plan.online);
    let mut ticks = Ticks::new();
    for user in 0..plan.users {
        let path = paths.of(user);
        let number = user as u64;
        let mut one =
            ModelUser { plan, counts: &mut counts, path: &path, slot, each, duration, chance, number };
        ticks.events += one.live(seed, &traffic);
        counts.users += 1;
        // Users are worked off one by one: what is simulated is their share of the time.
        let done = plan.duration.mul_f64(counts.users as f64 / plan.users as f64);
        if user % 256 == 0 && watch.tick(&ticks, done, memory_bytes) {
            break;
        }
    }
    counts
}

/// The time between two cells of a covered link: such that their useful bytes make the rate.
fn slot_nanos(design: &Design) -> Option<u64> {
    match &design.cover {
        Cover { user_links: UserLinkCover::Constant(rate), .. }
        | Cover { circuits: CircuitCover::Constant(rate), .. } => Some(nanos(rate.gap(design.geometry))),
        _ => None,
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// Who goes through whom: mixes drawn by capacity, none twice in a path, the last one an exit.
pub(crate) struct DrawnPaths {
    chance: Draws,
    hops: usize,
    dynamic: bool,
    /// Capacities of the mixes before each, and of all.
    before: Vec<u64>,
    exits: usize,
}

impl DrawnPaths {
    fn new(plan: &Plan, chance: Draws) -> Self {
        let lines = if plan.dynamic { plan.user_lines } else { plan.mix_lines };
        let capacity = |mix: usize| match lines {
            Lines::Fc04 => lines.of(chance, mix as u64).up_bps.unwrap_or(1000) / 1000,
            Lines::Same(_) => 1,
        };
        let mut before = vec![0];
        for mix in 0..plan.mixes {
            before.push(before[mix] + capacity(mix));
        }
        Self { chance, hops: plan.design.route.hops(), dynamic: plan.dynamic, before, exits: plan.exits }
    }

    fn of(&self, user: usize) -> Vec<usize> {
        let draws = self.chance.of(For::Path, user as u64);
        let mut path: Vec<usize> = Vec::with_capacity(self.hops);
        let mut draw = 0;
        while path.len() < self.hops {
            // The exit is drawn first and stands last.
            let among = if path.is_empty() { self.exits } else { self.before.len() - 1 };
            let weight = draws.below(draw, self.before[among]);
            draw += 1;
            let mix = self.before.partition_point(|before| *before <= weight) - 1;
            let is_self = self.dynamic && mix == user;
            if !is_self && !path.contains(&mix) {
                path.push(mix);
            }
        }
        path.rotate_left(1);
        path
    }
}

/// One user at work.
struct ModelUser<'r> {
    plan: &'r Plan,
    counts: &'r mut PopulationCounts,
    /// Mixes, first to last.
    path: &'r [usize],
    slot: Option<u64>,
    /// Useful bytes of a cell.
    each: u64,
    duration: u64,
    chance: Draws,
    number: u64,
}

/// What goes one way: when its next slot is free, and the last slot's end.
struct SlotQueue {
    /// Start of the first slot.
    first: u64,
    /// Slots in all.
    slots: u64,
    /// Slots that are taken, or passed.
    taken: u64,
}

impl ModelUser<'_> {
    /// All sessions of this user. How many visits that were.
    fn live(&mut self, seed: &[u8; 32], traffic: &Traffic) -> u64 {
        let online = self.plan.online;
        if online.is_zero() {
            return 0;
        }
        if online >= DAY {
            return self.session(seed, traffic, 0, self.duration);
        }
        // Evenly over the day: the n-th user's session begins at the n-th part of it, or a little later.
        let part = nanos(DAY) / self.plan.users.max(1) as u64;
        let late =
            nanos(share(Duration::from_nanos(part), self.chance.of(For::Session, self.number).bits(0)));
        let begins = part * self.number + late;
        let days = self.duration / nanos(DAY) + 1;
        let mut visits = 0;
        for day in 0..=days {
            // Day 0 is yesterday: its sessions reach into today.
            let from = (day * nanos(DAY) + begins) as i64 - nanos(DAY) as i64;
            let to = from + nanos(online) as i64;
            if to > 0 && from < self.duration as i64 {
                visits += self.session(seed, traffic, from, (to as u64).min(self.duration));
            }
        }
        visits
    }

    /// A session from `from` (which may lie before the beginning) to `to`.
    fn session(&mut self, seed: &[u8; 32], traffic: &Traffic, from: i64, to: u64) -> u64 {
        let begin = from.max(0) as u64;
        self.counts.online_nanos += u128::from(to - begin);
        let mut up = self.queue(begin, to);
        let mut down = self.queue(begin, to);
        self.cover(&up, &down);
        let mut visits = 0;
        for visit in traffic.visits(seed, self.number) {
            let at = from.saturating_add(nanos(visit.at) as i64);
            if at >= to as i64 {
                break;
            }
            visits += 1;
            if at < 0 {
                continue;
            }
            self.exchange(at as u64, visit.first, &mut up, &mut down);
            if let Some(then) = visit.then {
                self.exchange(at as u64, then, &mut up, &mut down);
            }
        }
        visits
    }

    /// A link's slots within a session: its own phase, one cell each slot.
    fn queue(&self, from: u64, to: u64) -> SlotQueue {
        let Some(slot) = self.slot else { return SlotQueue { first: from, slots: u64::MAX, taken: 0 } };
        let phase = self.chance.of(For::Phase, self.number).below(0, slot);
        // Slots are counted from the beginning of time, never from "now".
        let first = from.saturating_sub(phase).div_ceil(slot) * slot + phase;
        SlotQueue { first, slots: to.saturating_sub(first).div_ceil(slot), taken: 0 }
    }

    /// What covered links carry in a session, whatever is inside.
    fn cover(&mut self, up: &SlotQueue, down: &SlotQueue) {
        let Some(slot) = self.slot else { return };
        self.counts.user_up.add_slots(up.first, slot, up.slots);
        self.counts.user_down.add_slots(down.first, slot, down.slots);
        let covered = match &self.plan.design.cover {
            Cover { circuits: CircuitCover::Constant(_), .. } => self.path.len(),
            Cover { user_links: UserLinkCover::Constant(_), .. } => 1,
            _ => 0,
        };
        for place in 0..covered {
            if place > 0 {
                self.counts.between.add_slots(up.first, slot, up.slots);
                self.counts.between.add_slots(down.first, slot, down.slots);
            }
            self.link(place, up.slots, up.slots * self.each, down.slots, down.slots * self.each);
        }
    }

    /// Cells and useful bytes on the link before the `place`-th mix: from the user's side, and towards it.
    fn link(&mut self, place: usize, up_cells: u64, up_bytes: u64, down_cells: u64, down_bytes: u64) {
        let near = &mut self.counts.mixes[self.path[place]];
        near.cells_in += up_cells;
        near.useful_in += up_bytes;
        near.cells_out += down_cells;
        near.useful_out += down_bytes;
        if place > 0 {
            let far = &mut self.counts.mixes[self.path[place - 1]];
            far.cells_out += up_cells;
            far.useful_out += up_bytes;
            far.cells_in += down_cells;
            far.useful_in += down_bytes;
        }
    }

    /// A question and its answer, each with its acknowledgements the other way.
    fn exchange(&mut self, at: u64, exchange: RoundTrip, up: &mut SlotQueue, down: &mut SlotQueue) {
        let asked = segments_of(exchange.up, self.each);
        let answered = segments_of(exchange.down, self.each);
        let (sent, _) = self.carry(at, asked, exchange.up, up, true);
        self.carry(at, acknowledgements(asked), 0, down, false);
        let (received, _) = self.carry(at, answered, exchange.down, down, false);
        self.carry(at, acknowledgements(answered), 0, up, true);
        self.counts.sent_bytes += sent;
        self.counts.received_bytes += received;
        self.counts.waiting_bytes += exchange.up + exchange.down - sent - received;
        let last = &mut self.counts.mixes[self.path[self.path.len() - 1]];
        last.outside_out += sent;
        last.outside_in += received;
    }

    /// Cells with so many useful bytes in all, one way, in the order of the queue. Bytes and cells that found slots.
    fn carry(&mut self, at: u64, cells: u64, bytes: u64, queue: &mut SlotQueue, is_up: bool) -> (u64, u64) {
        let Some(slot) = self.slot else {
            let user_link = if is_up { &mut self.counts.user_up } else { &mut self.counts.user_down };
            user_link.add(at, cells);
            self.counts.user_cells[self.number as usize][usize::from(!is_up)] += cells;
            self.pass_on(0, at, 1, cells, bytes, is_up);
            return (bytes, cells);
        };
        let next = queue.taken.max(at.saturating_sub(queue.first).div_ceil(slot));
        let carried = cells.min(queue.slots.saturating_sub(next));
        queue.taken = next + carried;
        if carried == 0 {
            return (0, 0);
        }
        let bytes = if carried == cells { bytes } else { carried * self.each };
        let starts = queue.first + next * slot;
        self.counts.waited.0 += carried;
        self.counts.waited.1 += u128::from(starts - at.min(starts)) * u128::from(carried)
            + u128::from(slot) * u128::from(carried) * u128::from(carried - 1) / 2;
        if let UserLinkCover::Constant(_) = self.plan.design.cover.user_links {
            self.pass_on(1, starts, slot, carried, bytes, is_up);
        }
        (bytes, carried)
    }

    /// Cells on the uncovered links from the `from`-th on.
    fn pass_on(&mut self, from: usize, at: u64, slot: u64, cells: u64, bytes: u64, is_up: bool) {
        for place in from..self.path.len() {
            if place > 0 {
                match self.slot {
                    Some(_) => self.counts.between.add_slots(at, slot, cells),
                    None => self.counts.between.add(at, cells),
                }
            }
            match is_up {
                true => self.link(place, cells, bytes, 0, 0),
                false => self.link(place, 0, 0, cells, bytes),
            }
        }
    }
}

impl PopulationCounts {
    /// What they come to.
    pub(crate) fn metrics(&self, plan: &Plan, chance_of: &[u8; 32]) -> Vec<Metric> {
        let seconds = plan.duration.as_secs_f64();
        let sum = |of: fn(&MixTraffic) -> u64| self.mixes.iter().map(of).sum::<u64>() as f64;
        let bps = |bytes: f64| bytes * 8.0 / seconds;
        let useful_in = bps(sum(|load| load.useful_in + load.outside_in));
        let useful_out = bps(sum(|load| load.useful_out + load.outside_out));
        let datagram = (plan.design.geometry.datagram() as u64 + IP_UDP_BYTES) as f64;
        let wire_in = bps(sum(|load| load.cells_in) * datagram + sum(|load| load.outside_in));
        let wire_out = bps(sum(|load| load.cells_out) * datagram + sum(|load| load.outside_out));
        let (need, wire) = (useful_in.max(useful_out), wire_in.max(wire_out));
        let busiest =
            self.mixes.iter().map(|load| load.useful_in + load.outside_in).max().unwrap_or(0) as f64;
        let mixes = self.mixes.len().max(1) as f64;
        let mut metrics = vec![
            Metric::new("users online, mean", "", self.online_nanos as f64 / 1e9 / seconds),
            Metric::new("users sent", "bytes", self.sent_bytes as f64),
            Metric::new("users received", "bytes", self.received_bytes as f64),
            Metric::new("found no slot", "bytes", self.waiting_bytes as f64),
            Metric::new("cells on user links", "", (self.user_up.total() + self.user_down.total()) as f64),
            Metric::new("cells between mixes", "", self.between.total() as f64),
            Metric::new("mixes receive, useful", "Mb/s", useful_in / 1e6),
            Metric::new("mixes send, useful", "Mb/s", useful_out / 1e6),
            Metric::new("capacity needed, useful", "Mb/s", need / 1e6),
            Metric::new("capacity needed on the wire", "Mb/s", wire / 1e6),
            Metric::new("overhead of headers and padding", "%", ratio(wire - need, need) * 100.0),
            Metric::new("load of a mix, mean", "kb/s", need / mixes / 1e3),
            Metric::new("load of the busiest mix", "kb/s", bps(busiest) / 1e3),
        ];
        if self.slot_waits() {
            let (cells, waited) = self.waited;
            metrics.push(Metric::new(
                "wait for a slot, mean",
                "ms",
                ratio(waited as f64 / 1e6, cells as f64),
            ));
        }
        if plan.dynamic && plan.user_lines == Lines::Fc04 {
            let chance = Draws::new(chance_of);
            let up: u64 =
                (0..plan.users as u64).filter_map(|user| plan.user_lines.of(chance, user).up_bps).sum();
            metrics.push(Metric::new("load of a member's line", "%", ratio(wire, up as f64) * 100.0));
        }
        metrics
    }

    fn slot_waits(&self) -> bool {
        self.waited.0 > 0
    }
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against counting one by one.
        #[test]
        fn slots_fall_into_their_bins(first in 0..2_000u64, slot in 1..40u64, per_bin in 1..9u64, cells in 0..200u64) {
            let mut bins = Bins::new(slot * per_bin, 4_000);
            bins.add_slots(first, slot, cells);
            let mut expected = vec![0u64; bins.counts.len()];
            for cell in 0..cells {
                if let Some(bin) = expected.get_mut(((first + cell * slot) / bins.length) as usize) {
                    *bin += 1;
                }
            }
            prop_assert_eq!(bins.counts(), expected);
        }
    }
}
