//! Parts of messages, in any order, of many owners, beside a memory of what each message has.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::choices::Choices;
use crate::limits::{GATHERED_EACH_MAX, PARTS_MAX};
use crate::wire::parts::{Gathering, Part, cut};

const MOST: usize = 10;
const OWNERS: u8 = 5;
const NAMES: u32 = 8;

/// What is known to be there of a message: how many parts it has, and those.
type Known = (usize, BTreeMap<usize, (u32, Vec<u8>)>);

/// Owners that begin messages, go on with them and go.
pub fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    whole(&mut choices);
    let mut gathering = Gathering::<u8, MOST>::new();
    let mut known: BTreeMap<(u8, u32), Known> = BTreeMap::new();
    while !choices.is_empty() {
        let owner = choices.below(OWNERS.into()) as u8;
        if choices.rarely(24) {
            gathering.forget(owner);
            known.retain(|(other, _), _| *other != owner);
        } else {
            add(&mut gathering, &mut known, owner, &mut choices);
        }
        assert!(gathering.is_within_bound(), "no more messages than there may be");
        for owner in 0..OWNERS {
            let names = (0..NAMES).filter(|name| gathering.has(owner, *name));
            assert!(names.count() <= GATHERED_EACH_MAX, "nor of one owner");
        }
    }
}

fn add(
    gathering: &mut Gathering<u8, MOST>,
    known: &mut BTreeMap<(u8, u32), Known>,
    owner: u8,
    choices: &mut Choices<'_>,
) {
    let key = (owner, choices.below(NAMES as usize) as u32);
    let Some(part) = Part::new(choices.below(PARTS_MAX), choices.below(PARTS_MAX + 2)) else { return };
    let (with, content) = (choices.u8().into(), choices.take(part.index() % 4).to_vec());
    let was_there = gathering.has(key.0, key.1);
    let gathered = gathering.add(key, part, with, &content);
    if part.is_whole() {
        let gathered = gathered.expect("there is no other part");
        assert_eq!((gathered.bytes, gathered.with), (content, [with].to_vec()));
        return;
    }
    let message = known.entry(key).or_insert_with(|| (part.of(), BTreeMap::new()));
    if !was_there || message.0 != part.of() {
        *message = (part.of(), BTreeMap::new()); // it made room for another one meanwhile, or is another one
    }
    message.1.insert(part.index(), (with, content));
    let is_complete = message.1.len() == message.0;
    assert_eq!(gathered.is_some(), is_complete, "a message comes out with its last part");
    assert_eq!(gathering.has(key.0, key.1), !is_complete);
    if let Some(gathered) = gathered
        && let Some((_, parts)) = known.remove(&key)
    {
        let (with, bytes): (Vec<u32>, Vec<Vec<u8>>) = parts.into_values().unzip();
        assert_eq!((gathered.bytes, gathered.with), (bytes.concat(), with));
    }
}

/// A message that is cut comes together again.
fn whole(choices: &mut Choices<'_>) {
    let of = 1 + choices.below(PARTS_MAX);
    let length = choices.below(80);
    let message = choices.take(length);
    let mut gathering = Gathering::<(), 1>::new();
    let mut out = None;
    for (part, bytes) in cut(message, of) {
        assert_eq!(Part::from_byte(part.to_byte()), Ok(part));
        out = gathering.add(((), 0), part, 0, bytes);
    }
    assert_eq!(out.map(|out| out.bytes).as_deref(), Some(message));
}
