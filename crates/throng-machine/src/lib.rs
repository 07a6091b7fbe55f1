//! Defences of the [`maybenot`] crate, as links of Throng use them.
//!
//! A defence is one or more machines, written as text (several joined by `;`): what `maybenot` and its tools write. It is
//! named by its digest ([`Defences::name`]). The library draws no entropy here and reads no clock: time and chance are given to it.

use std::collections::VecDeque;
use std::time::Duration;

use maybenot::time::Instant;
use maybenot::{Framework, Machine, MachineId, Timer, TriggerAction, TriggerEvent};
use maybenot_rand_core as rand_core;
use throng_core::Time;
use throng_core::cover::{Act, Defence, Defences, Passed};
use throng_core::rng::{Purpose, Rng, Seed};

/// Machines of one defence.
const MACHINES_MAX: usize = 16;
/// Things that a defence may want in one moment: a machine that asks for more without end is cut off.
const WISHES_MAX: usize = 1024;

/// Makes defences of `maybenot`'s texts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Maybenot;

impl Defences for Maybenot {
    fn build(&self, text: &str, seed: &Seed, now: Time) -> Option<Box<dyn Defence>> {
        let machines = read(text).ok().filter(|machines| !machines.is_empty())?;
        Some(Box::new(MachineDefence::new(machines, seed, now)?))
    }

    /// Digests of its machines, as `maybenot` names them.
    fn name(&self, text: &str) -> Result<String, String> {
        let machines = read(text).map_err(|why| format!("none of maybenot's: {why}"))?;
        Ok(machines.iter().map(Machine::name).collect::<Vec<_>>().join(";"))
    }
}

/// Reads a defence's text. An empty one has no machines.
///
/// # Errors
/// What the library says of the machine that it cannot read.
pub fn read(text: &str) -> Result<Vec<Machine>, String> {
    let machines: Result<Vec<Machine>, String> = text
        .split(';')
        .filter(|machine| !machine.is_empty())
        .map(|machine| machine.parse::<Machine>().map_err(|error| error.to_string()))
        .collect();
    let machines = machines?;
    if machines.len() > MACHINES_MAX {
        return Err(format!("{} machines are more than {MACHINES_MAX}", machines.len()));
    }
    Ok(machines)
}

/// A moment, as the library wants it.
#[derive(Clone, Copy)]
struct Moment(Time);

impl Instant for Moment {
    type Duration = Duration;

    fn saturating_duration_since(&self, earlier: Self) -> Duration {
        self.0 - earlier.0
    }
}

/// Throng's stream of chance, as the library wants it. It forgets after each draw: whoever seizes a node must not find out when
/// a machine padded before.
struct MachineChance(Rng);

impl rand_core::RngCore for MachineChance {
    fn next_u32(&mut self) -> u32 {
        let mut out = [0; 4];
        self.fill_bytes(&mut out);
        u32::from_le_bytes(out)
    }

    fn next_u64(&mut self) -> u64 {
        let mut out = [0; 8];
        self.fill_bytes(&mut out);
        u64::from_le_bytes(out)
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        self.0.fill(out);
        self.0.forget();
    }
}

/// A defence at work.
struct MachineDefence {
    framework: Framework<Vec<Machine>, MachineChance, Moment>,
    /// Each machine's action and internal timer.
    machines: Vec<MachineTimers>,
    /// Until when outgoing traffic is held, and whether padding may pass.
    blocking: Option<(Time, bool)>,
    wishes: VecDeque<Act>,
}

#[derive(Clone, Copy, Default)]
struct MachineTimers {
    action: Option<(Time, Action)>,
    internal: Option<Time>,
}

#[derive(Clone, Copy)]
enum Action {
    Pad { bypass: bool, replace: bool },
    Block { duration: Duration, bypass: bool, replace: bool },
}

impl MachineDefence {
    fn new(machines: Vec<Machine>, seed: &Seed, now: Time) -> Option<Self> {
        let count = machines.len();
        // Fractions of 0 are no bounds of the framework's own: machines have theirs.
        let chance = MachineChance(seed.rng(Purpose::Cover, 0));
        let framework = Framework::new(machines, 0.0, 0.0, Moment(now), chance).ok()?;
        let machines = vec![MachineTimers::default(); count];
        Some(Self { framework, machines, blocking: None, wishes: VecDeque::new() })
    }

    /// Tells the machines what happened, and notes what they want.
    fn tell(&mut self, event: TriggerEvent, now: Time) {
        let mut events = vec![event];
        // A timer that begins is an event itself: machines answer it at most once each.
        for _ in 0..=MACHINES_MAX {
            let actions: Vec<_> = self.framework.trigger_events(&events, Moment(now)).cloned().collect();
            events = actions.into_iter().filter_map(|action| self.note(action, now)).collect();
            if events.is_empty() {
                return;
            }
        }
    }

    fn note(&mut self, action: TriggerAction<Moment>, now: Time) -> Option<TriggerEvent> {
        match action {
            TriggerAction::Cancel { machine, timer } => {
                let timers = &mut self.machines[machine.into_raw()];
                if matches!(timer, Timer::Action | Timer::All) {
                    timers.action = None;
                }
                if matches!(timer, Timer::Internal | Timer::All) {
                    timers.internal = None;
                }
                None
            }
            TriggerAction::SendPadding { timeout, bypass, replace, machine } => {
                let due = (now + timeout, Action::Pad { bypass, replace });
                self.machines[machine.into_raw()].action = Some(due);
                None
            }
            TriggerAction::BlockOutgoing { timeout, duration, bypass, replace, machine } => {
                let due = (now + timeout, Action::Block { duration, bypass, replace });
                self.machines[machine.into_raw()].action = Some(due);
                None
            }
            TriggerAction::UpdateTimer { duration, replace, machine } => {
                let timers = &mut self.machines[machine.into_raw()];
                let end = now + duration;
                let is_changed = replace || timers.internal.is_none_or(|before| before < end);
                if is_changed {
                    timers.internal = Some(end);
                }
                is_changed.then_some(TriggerEvent::TimerBegin { machine })
            }
        }
    }

    /// What is due of one machine.
    fn look(&mut self, machine: usize, now: Time) {
        let id = MachineId::from_raw(machine);
        if self.machines[machine].internal.is_some_and(|end| end <= now) {
            self.machines[machine].internal = None;
            self.tell(TriggerEvent::TimerEnd { machine: id }, now);
        }
        let Some((_, action)) = self.machines[machine].action.take_if(|(due, _)| *due <= now) else { return };
        match action {
            Action::Pad { bypass, replace } => {
                let bypass = bypass && self.blocking.is_some_and(|(_, may_pass)| may_pass);
                self.wishes.push_back(Act::Pad { bypass, replace });
                self.tell(TriggerEvent::PaddingSent { machine: id }, now);
            }
            Action::Block { duration, bypass, replace } => {
                let end = now + duration;
                let before = self.blocking.map(|(end, _)| end).filter(|_| !replace);
                self.blocking = Some((before.map_or(end, |before| before.max(end)), bypass));
                self.tell(TriggerEvent::BlockingBegin { machine: id }, now);
            }
        }
    }
}

impl Defence for MachineDefence {
    fn observe(&mut self, passed: Passed, now: Time) {
        match passed {
            Passed::Queued => self.tell(TriggerEvent::NormalSent, now),
            Passed::Sent => self.tell(TriggerEvent::TunnelSent, now),
            Passed::Received => {
                self.tell(TriggerEvent::TunnelRecv, now);
                self.tell(TriggerEvent::NormalRecv, now);
            }
            Passed::PaddingReceived => {
                self.tell(TriggerEvent::TunnelRecv, now);
                self.tell(TriggerEvent::PaddingRecv, now);
            }
        }
    }

    fn wake(&self) -> Time {
        if !self.wishes.is_empty() {
            return Time::ZERO;
        }
        let timers =
            self.machines.iter().flat_map(|timers| [timers.action.map(|(due, _)| due), timers.internal]);
        let ends = timers.chain([self.blocking.map(|(end, _)| end)]);
        ends.flatten().min().unwrap_or(Time::NEVER)
    }

    fn act(&mut self, now: Time) -> Option<Act> {
        if let Some(wish) = self.wishes.pop_front() {
            return Some(wish);
        }
        if self.blocking.take_if(|(end, _)| *end <= now).is_some() {
            self.tell(TriggerEvent::BlockingEnd, now);
            return Some(Act::Release);
        }
        for _ in 0..WISHES_MAX {
            if self.wake() > now || !self.wishes.is_empty() {
                break;
            }
            (0..self.machines.len()).for_each(|machine| self.look(machine, now));
            if self.blocking.is_some_and(|(end, _)| end <= now) {
                break; // it ends with the next call
            }
        }
        self.wishes.pop_front()
    }

    fn holds(&self) -> bool {
        self.blocking.is_some()
    }
}

#[cfg(test)]
mod tests;
