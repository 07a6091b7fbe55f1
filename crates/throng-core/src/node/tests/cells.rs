//! A circuit without its links: an origin and three mixes, and what one of the mixes may try.

use crate::crypto::{Initiation, KeyUse, Portable, Suite, answer};
use crate::id::{NeighbourKey, NodeId};
use crate::layers::Layers;
use crate::limits::{ANSWERS_MAX, HOPS_MAX};
use crate::membership::{Description, Record};
use crate::node::origins::{Build, Origin};
use crate::node::relays::relay::{GivenAnswer, NextHop, Peeled, Relay};
use crate::ports::Ports;
use crate::refused::Refused;
use crate::rng::{Purpose, Rng, Seed};
use crate::scrubbed::Scrubbed;
use crate::time::Time;
use crate::wire::Geometry;
use crate::wire::cell::{CellHeader, Space};
use crate::wire::message::Message;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

const HOPS: usize = 3;
const NOW: Time = Time::ZERO;

struct Circuit {
    own: Origin<Portable>,
    relays: Vec<Relay<Portable>>,
}

fn handshake(rng: &mut Rng) -> (Layers<Portable>, Layers<Portable>) {
    let secret = [1; 32];
    let identity = Portable::sign_public(&secret);
    let initiation = Initiation::<Portable>::new(rng);
    let (theirs, reply) =
        answer::<Portable>(KeyUse::Circuit, &identity, &secret, initiation.offer(), rng).unwrap();
    let ours = initiation.finish(KeyUse::Circuit, &identity, &reply).unwrap();
    (Layers::new(&ours), Layers::new(&theirs))
}

fn circuit() -> Circuit {
    let mut rng = Seed::from_bytes([3; 32]).rng(Purpose::Keys, 0);
    let first = Initiation::new(&mut rng);
    let mut own = Origin::new(
        Build::telescope(Vec::new(), true),
        NeighbourKey::default(),
        first,
        rng.u32(),
        (Duration::from_secs(20), Duration::ZERO),
        NOW,
    );
    let mut relays = Vec::new();
    for hop in 0..HOPS {
        let (ours, theirs) = handshake(&mut rng);
        own.add_hop(mix(hop as u8), ours, NOW);
        let answered =
            GivenAnswer { offer_head: [0; 32], answer: [0; crate::crypto::ANSWER_BYTES], chosen: None };
        let mut relay = Relay::new((NeighbourKey::default(), 1), theirs, answered, NOW);
        if hop + 1 < HOPS {
            relay.next = NextHop::Hop { link: NeighbourKey::default(), name: 1, answer: None };
        }
        relays.push(relay);
    }
    Circuit { own, relays }
}

/// A mix that only its record knows.
fn mix(number: u8) -> Arc<Record> {
    let secret = [number + 1; 32];
    let description = Description {
        identity: NodeId(Portable::sign_public(&secret)),
        family: None,
        capacity: 1,
        addresses: vec![Scrubbed(([10, 0, 0, number], 9000).into())],
        exit_ports: Ports::none(),
        from: NOW,
        until: Time::from_secs(1),
    };
    Arc::new(Record::sign::<Portable>(description, &secret))
}

fn body() -> Vec<u8> {
    vec![0; Geometry::DEFAULT.body()]
}

/// Carries a cell to the last hop; `meddle` may change it after each hop's work.
fn outwards(
    circuit: &mut Circuit,
    header: CellHeader,
    body: &mut [u8],
    mut meddle: impl FnMut(usize, &mut u32, &mut [u8]),
) -> Result<Vec<u8>, (usize, Refused)> {
    let mut number = header.number;
    for (hop, relay) in circuit.relays.iter_mut().enumerate() {
        match relay.peel(number, body, NOW).map_err(|why| (hop, why))? {
            Peeled::Onward(_, onward) => number = onward.number,
            Peeled::Mine(Message::Payload(payload)) => return Ok(payload.to_vec()),
            Peeled::Mine(other) => panic!("{other:?} at hop {hop}"),
        }
        meddle(hop, &mut number, body);
    }
    unreachable!("the last hop keeps the cell or refuses it")
}

/// Carries a cell from the last hop to the origin; `meddle` may change it after each hop's work.
fn inwards(
    circuit: &mut Circuit,
    payload: &[u8],
    mut meddle: impl FnMut(usize, &mut u32, &mut [u8]),
) -> Result<Vec<u8>, Refused> {
    let mut body = body();
    let mut header = circuit.relays[HOPS - 1].wrap_own(&Message::Payload(payload), &mut body);
    meddle(HOPS - 1, &mut header.number, &mut body);
    for hop in (0..HOPS - 1).rev() {
        header = circuit.relays[hop].wrap(Space::Stream, header.number, &mut body, Geometry::DEFAULT, NOW)?;
        meddle(hop, &mut header.number, &mut body);
    }
    match circuit.own.unwrap(header, &mut body, NOW)? {
        (place, Message::Payload(payload)) if place == HOPS - 1 => Ok(payload.to_vec()),
        (place, other) => panic!("{other:?} from hop {place}"),
    }
}

fn honest(_: usize, _: &mut u32, _: &mut [u8]) {}

#[test]
fn payloads_go_both_ways_and_look_different_everywhere() {
    let mut circuit = circuit();
    for i in 0..100u8 {
        let mut cell = body();
        let header = circuit.own.wrap(&Message::Payload(&[i; 50]), &mut cell);
        let (mut seen, mut numbers) = (vec![cell.clone()], vec![header.number]);
        let arrived = outwards(&mut circuit, header, &mut cell, |_, number, body| {
            seen.push(body.to_vec());
            numbers.push(*number);
        });
        assert_eq!(arrived.unwrap(), [i; 50]);
        for (place, a) in seen.iter().enumerate() {
            for (b, number) in seen.iter().zip(&numbers).skip(place + 1) {
                assert!(a.iter().zip(b).filter(|(a, b)| a == b).count() < 30, "equal bytes are chance");
                assert_ne!(*number, numbers[place], "and so are numbers");
            }
        }
        assert_eq!(inwards(&mut circuit, &[i; 60], honest).unwrap(), [i; 60]);
    }
}

#[test]
fn a_cell_tagged_by_a_mix_is_noise_at_the_next_one_and_refused_at_the_end() {
    for culprit in 0..HOPS - 1 {
        for bit in [0usize, 130, 5000, 8 * 1244 - 1] {
            let mut circuit = circuit();
            let mut cell = body();
            let header = circuit.own.wrap(&Message::Payload(b"secret"), &mut cell);
            let flip = |hop: usize, _: &mut u32, body: &mut [u8]| {
                if hop == culprit {
                    body[bit / 8] ^= 1 << (bit % 8);
                }
            };
            assert_eq!(outwards(&mut circuit, header, &mut cell, flip), Err((HOPS - 1, Refused::Noise)));
            assert!(!cell.windows(6).any(|window| window == b"secret"), "nothing of it can be recognised");
        }
    }
}

#[test]
fn a_cell_under_another_number_is_noise() {
    let mut circuit = circuit();
    let mut cell = body();
    let header = circuit.own.wrap(&Message::Payload(b"secret"), &mut cell);
    let renumber =
        |hop: usize, number: &mut u32, _: &mut [u8]| *number = number.wrapping_add(u32::from(hop == 0));
    assert_eq!(outwards(&mut circuit, header, &mut cell, renumber), Err((HOPS - 1, Refused::Noise)));
}

#[test]
fn a_cell_tagged_on_the_way_back_is_refused_by_the_origin() {
    for culprit in 0..HOPS {
        let mut circuit = circuit();
        let flip = |hop: usize, _: &mut u32, body: &mut [u8]| {
            if hop == culprit {
                body[700] ^= 0x10;
            }
        };
        assert_eq!(inwards(&mut circuit, b"secret", flip), Err(Refused::Noise), "hop {culprit}");
        assert_eq!(inwards(&mut circuit, b"again", honest).unwrap(), b"again", "the circuit goes on");
    }
}

#[test]
fn a_cell_replayed_by_a_mix_stops_at_the_next_one() {
    let mut circuit = circuit();
    let mut cell = body();
    let header = circuit.own.wrap(&Message::Payload(b"once"), &mut cell);
    let mut kept = (0, Vec::new());
    let keep = |hop: usize, number: &mut u32, body: &mut [u8]| {
        if hop == 0 {
            kept = (*number, body.to_vec());
        }
    };
    assert_eq!(outwards(&mut circuit, header, &mut cell, keep).unwrap(), b"once");
    let (number, mut again) = kept;
    assert!(matches!(circuit.relays[1].peel(number, &mut again, NOW), Err(Refused::ReplayedCell)));
}

#[test]
fn an_exit_cannot_write_messages_into_the_gaps_of_its_numbers() {
    let mut circuit = circuit();
    let mut sent = 0u32;
    // The exit leaves out 1000 numbers before each cell: ten bits per cell, if it could.
    let outcome = (0..1000).find_map(|_| {
        for _ in 0..1000 {
            let _ = circuit.relays[HOPS - 1].wrap_own(&Message::Dummy, &mut body());
        }
        sent += 1;
        inwards(&mut circuit, b"x", honest).err()
    });
    assert_eq!(outcome, Some(Refused::OutOfPlace));
    assert!(sent < 20, "so many numbers may be left out at once, and no more: {sent}");
}

#[test]
fn an_exit_cannot_write_messages_into_the_numbers_of_its_answers() {
    let mut circuit = circuit();
    let mut there = Vec::new();
    for _ in 0..6 {
        let mut cell = body();
        let header = circuit.own.wrap(&Message::Payload(b"a question"), &mut cell);
        let note =
            |hop: usize, number: &mut u32, _: &mut [u8]| there.extend((hop == HOPS - 2).then_some(*number));
        outwards(&mut circuit, header, &mut cell, note).unwrap();
    }
    // It may answer each of six questions once, in an order of its choice, and nothing else.
    let mut answer = |number| {
        circuit.relays[HOPS - 2].wrap(Space::Reply, number, &mut body(), Geometry::DEFAULT, NOW).map(|_| ())
    };
    for number in (0..100_000).map(|i: u32| there[0].wrapping_add(i * 40_009 + 77)) {
        assert!(there.contains(&number) || answer(number) == Err(Refused::OutOfPlace), "{number}");
    }
    for number in there.into_iter().rev() {
        assert_eq!((answer(number), answer(number)), (Ok(()), Err(Refused::ReplayedCell)));
    }
}

#[test]
fn a_mix_lets_no_more_answers_back_than_the_longest_path_needs() {
    let mut circuit = circuit();
    let answered = (0..100).filter(|_| {
        let mut cell = body();
        let header = circuit.own.wrap(&Message::Payload(b"a question"), &mut cell);
        let mut number = 0;
        outwards(&mut circuit, header, &mut cell, |hop, there, _| {
            if hop == HOPS - 2 {
                number = *there;
            }
        })
        .unwrap();
        circuit.relays[HOPS - 2].wrap(Space::Reply, number, &mut body(), Geometry::DEFAULT, NOW).is_ok()
    });
    assert_eq!(answered.count(), ANSWERS_MAX);
    const { assert!(ANSWERS_MAX < 2 * HOPS_MAX, "so a circuit cannot have twice the hops of the longest path") };
}

#[test]
fn losing_one_cell_in_six_is_not_taken_for_messages() {
    let mut circuit = circuit();
    for i in 0..20_000u32 {
        let mut lost = body();
        if i % 6 == 0 {
            let _ = circuit.relays[HOPS - 1].wrap_own(&Message::Payload(b"lost"), &mut lost);
        }
        assert_eq!(inwards(&mut circuit, b"here", honest).unwrap(), b"here");
    }
}

#[test]
fn cells_that_overtake_each_other_are_not_taken_for_messages() {
    let mut circuit = circuit();
    for _ in 0..2_000 {
        // A batch of twenty leaves the exit, and arrives at the next mix in the opposite order.
        let wrap = |circuit: &mut Circuit| {
            let mut cell = body();
            let header = circuit.relays[HOPS - 1].wrap_own(&Message::Payload(b"x"), &mut cell);
            (header, cell)
        };
        let batch: Vec<_> = (0..20).map(|_| wrap(&mut circuit)).collect();
        for (header, mut cell) in batch.into_iter().rev() {
            let outcome = circuit.relays[HOPS - 2].wrap(
                Space::Stream,
                header.number,
                &mut cell,
                Geometry::DEFAULT,
                NOW,
            );
            assert!(outcome.is_ok());
        }
    }
}
