//! Timers set, moved and taken out, beside a list of who is due when.

use alloc::collections::BTreeMap;

use slotmap::KeyData;

use super::choices::Choices;
use crate::id::NeighbourKey;
use crate::time::Time;
use crate::timers::{Due, Timer, Timers};

/// Owners, each with its entry.
struct Owner {
    timer: Timer,
    due: Due,
}

/// Some owners that change their minds.
pub fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let mut timers = Timers::default();
    let mut owners: [Owner; 12] =
        core::array::from_fn(|place| Owner { timer: timer(place as u32), due: Due::NONE });
    let mut model: BTreeMap<Timer, Time> = BTreeMap::new();
    while !choices.is_empty() {
        let place = choices.below(owners.len());
        let owner = &mut owners[place];
        let at = if choices.rarely(16) { Time::NEVER } else { Time::from_nanos(choices.below(24) as u64) };
        match choices.below(4) {
            0 => {
                timers.set(&mut owner.due, at, owner.timer);
                model.remove(&owner.timer);
                model.extend((at != Time::NEVER).then_some((owner.timer, at)));
            }
            1 => {
                timers.no_later_than(&mut owner.due, at, owner.timer);
                let before = model.get(&owner.timer).copied().unwrap_or(Time::NEVER);
                model.extend((at < before).then_some((owner.timer, at)));
            }
            2 => {
                timers.unset(&mut owner.due, owner.timer);
                model.remove(&owner.timer);
            }
            _ => fire(&mut timers, &mut owners, &mut model, at),
        }
        agree(&timers, &owners, &model);
    }
}

/// Whoever is due is looked at, the earliest first.
fn fire(timers: &mut Timers, owners: &mut [Owner; 12], model: &mut BTreeMap<Timer, Time>, now: Time) {
    let mut last = Time::ZERO;
    while let Some(timer) = timers.pop(now) {
        let at = model.remove(&timer).expect("only who is in it comes out");
        assert!(last <= at && at <= now, "in order, and not before it is due");
        last = at;
        owners.iter_mut().filter(|owner| owner.timer == timer).for_each(|owner| owner.due = Due::NONE);
    }
    assert!(model.values().all(|at| *at > now), "nobody is left behind");
}

fn agree(timers: &Timers, owners: &[Owner], model: &BTreeMap<Timer, Time>) {
    assert_eq!(timers.next(), model.values().copied().min().unwrap_or(Time::NEVER), "when the next is due");
    let entries: BTreeMap<Timer, Time> = timers.entries().map(|(at, timer)| (timer, at)).collect();
    assert_eq!(entries, *model);
    assert_eq!(timers.entries().count(), model.len(), "each owner has one entry at most");
    for owner in owners {
        assert!(owner.due.is_at(model.get(&owner.timer).copied().unwrap_or(Time::NEVER)), "owners know when");
    }
}

fn timer(place: u32) -> Timer {
    let key = KeyData::from_ffi(u64::from(place) | 1 << 32);
    match place {
        0 => Timer::Supply,
        1 => Timer::Exchange,
        2 => Timer::Mesh,
        3..6 => Timer::Link(NeighbourKey::new(place, 0)),
        6..9 => Timer::Relay(key.into()),
        _ => Timer::Origin(key.into()),
    }
}
