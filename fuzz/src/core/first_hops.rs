//! First hops that answer, fail, lead on or let down, in a view that changes.

extern crate std;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use std::sync::LazyLock;

use super::choices::Choices;
use crate::crypto::{Portable, Suite};
use crate::id::NodeId;
use crate::limits::{FIRST_HOPS, FIRST_HOPS_MAX};
use crate::membership::{Description, Record, View};
use crate::ports::Ports;
use crate::rng::{Purpose, Rng, Seed};
use crate::route::FirstHops;
use crate::scrubbed::Scrubbed;
use crate::time::Time;

const MIXES: usize = 20;
const BEGIN: Time = Time::from_secs(1_000_000);

/// Mixes; some are no more after a day.
static RECORDS: LazyLock<Vec<Arc<Record>>> = LazyLock::new(|| (0..MIXES as u8).map(record).collect());

fn record(number: u8) -> Arc<Record> {
    let secret = [number + 1; 32];
    let until = if number.is_multiple_of(3) {
        Duration::from_secs(86_400)
    } else {
        Duration::from_secs(86_400 * 4000)
    };
    let description = Description {
        identity: NodeId(Portable::sign_public(&secret)),
        family: None,
        capacity: 1 + u32::from(number % 4) * 1000,
        addresses: [Scrubbed(([10, number, 0, 1], 9000).into())].into(),
        exit_ports: Ports::none(),
        from: Time::ZERO,
        until: BEGIN + until,
    };
    Arc::new(Record::sign::<Portable>(description, &secret))
}

/// A client's life, as its first hops see it.
pub fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let id = |choices: &mut Choices<'_>| RECORDS[choices.below(MIXES)].description().identity;
    let kept: Vec<NodeId> = (0..choices.below(16)).map(|_| id(&mut choices)).collect();
    let mut unlike: Vec<NodeId> = Vec::new();
    kept.iter().for_each(|id| unlike.extend((!unlike.contains(id)).then_some(*id)));
    let mut hops = FirstHops::new(unlike.iter().copied());
    let mut view: View = RECORDS.iter().take(choices.below(MIXES + 1)).cloned().collect();
    let mut rng = Seed::from_bytes([7; 32]).rng(Purpose::Route, 0);
    let mut now = BEGIN;
    while !choices.is_empty() {
        match choices.below(8) {
            0 => now = now + Duration::from_secs(choices.u16().into()) * [1, 60][choices.below(2)],
            1 => hops.failed(some(&hops, &mut choices), now),
            2 if choices.coin() => hops.led_to_an_exit(),
            2 => hops.answered(some(&hops, &mut choices), now),
            6 => lose(&mut hops, &view, choices.coin(), &mut rng, now),
            3 | 4 => {
                let (one, became) = (some(&hops, &mut choices), (choices.coin(), choices.coin()));
                (0..=choices.below(64)).for_each(|_| lead_on(&mut hops, one, became, now));
            }
            5 if choices.rarely(4) => view = RECORDS.iter().skip(choices.below(MIXES + 1)).cloned().collect(),
            _ => order(&mut hops, &view, choices.below(5), &mut rng, now),
        }
        assert!(hops.ids().count() <= FIRST_HOPS_MAX, "no more than are ever tried");
    }
}

fn some(hops: &FirstHops, choices: &mut Choices<'_>) -> NodeId {
    let nth = choices.below(FIRST_HOPS_MAX + 1);
    hops.ids().nth(nth).unwrap_or(NodeId([0; 32]))
}

fn lead_on(hops: &mut FirstHops, one: NodeId, (was_used, has_held): (bool, bool), now: Time) {
    let is_mistrusted = |hops: &FirstHops| hops.ids().filter(|id| hops.is_mistrusted(*id, now)).count();
    let before = (hops.is_mistrusted(one, now), is_mistrusted(hops));
    let gives_way = hops.led_on(one, was_used, has_held, now);
    assert!(!gives_way || (!before.0 && hops.is_mistrusted(one, now)), "who gives way was trusted before");
    assert!(is_mistrusted(hops) < FIRST_HOPS.max(before.1 + 1), "never do all give way");
}

fn lose(hops: &mut FirstHops, view: &View, may_help: bool, rng: &mut Rng, now: Time) {
    let before = hops.ids().count();
    hops.join_if_lost(view, |_| may_help, rng, now);
    assert!(hops.ids().count() <= before + usize::from(may_help), "one joins, if that may help");
}

fn order(hops: &mut FirstHops, view: &View, in_use: usize, rng: &mut Rng, now: Time) {
    let before: Vec<NodeId> = hops.ids().collect();
    let order = hops.in_order(view, in_use, rng, now);
    let is_valid = |record: &Arc<Record>| record.description().until > now;
    for (place, record) in order.iter().enumerate() {
        let id = record.description().identity;
        assert!(is_valid(record) && view.get(id).is_some(), "whoever is named is there");
        assert!(order[..place].iter().all(|other| other.description().identity != id), "and once");
        let is_new = !before.contains(&id);
        assert!(
            !(is_new && before.len() >= FIRST_HOPS_MAX)
                || before.iter().any(|id| view.get(*id).is_none_or(|record| !is_valid(record)))
        );
    }
    assert_eq!(order.is_empty(), !view.records().any(is_valid), "if there is a mix, there is a first hop");
}
