//! What hostile neighbours and hops say: well-formed as far as it helps them, and of things that they have seen.

use std::time::Duration;

use throng_core::crypto::{ANSWER_BYTES, OFFER_BYTES, Suite};
use throng_core::fuzzing::Choices;
use throng_core::wire::cell::CELL_HEADER_BYTES;
use throng_core::wire::control::{Control, Ended, Holding, Introduced};
use throng_core::wire::datagram::{LINK_HEADER_BYTES, LINK_TAG_BYTES};
use throng_core::wire::message::MESSAGE_AUTH_BYTES;

use super::suite::Open;
use super::world::World;

const BODY_AT: usize = LINK_HEADER_BYTES + CELL_HEADER_BYTES;

/// Another content for a datagram that is under way. What lies under layers keeps its beginning, which proves that they came off.
pub(super) fn rewrite(world: &World, datagram: &mut [u8], choices: &mut Choices<'_>) {
    let Some(body_end) = datagram.len().checked_sub(LINK_TAG_BYTES) else { return };
    let is_control = datagram[LINK_HEADER_BYTES..][..4] == [0; 4];
    let body = &mut datagram[BODY_AT..body_end];
    match choices.below(8) {
        0 => *datagram.get_mut(LINK_HEADER_BYTES + 3).expect("it is a cell") ^= 1 << 6, // the other space of numbers
        1 => datagram[LINK_HEADER_BYTES + 4] ^= choices.u8(),
        _ if is_control => control(world, body, choices),
        _ => message(world, &mut body[MESSAGE_AUTH_BYTES..], choices),
    }
}

/// A cell of a neighbour.
pub(super) fn cell(world: &World, datagram: &mut [u8], choices: &mut Choices<'_>) {
    let body_end = datagram.len() - LINK_TAG_BYTES;
    let (circuit, number) = match choices.below(4) {
        0 => (
            one_of(&world.seen.circuits, choices),
            one_of(&world.seen.numbers, choices).wrapping_add(choices.below(3) as u32),
        ),
        1 => (choices.u32(), choices.u32()),
        _ => (0, 0),
    };
    datagram[LINK_HEADER_BYTES..][..4].copy_from_slice(&circuit.to_le_bytes());
    datagram[LINK_HEADER_BYTES + 4..][..4].copy_from_slice(&number.to_le_bytes());
    let body = &mut datagram[BODY_AT..body_end];
    if circuit == 0 {
        control(world, body, choices);
    } else {
        message(world, &mut body[MESSAGE_AUTH_BYTES..], choices);
    }
}

/// What neighbours say to each other.
fn control(world: &World, body: &mut [u8], choices: &mut Choices<'_>) {
    let (circuit, session) = (one_of(&world.seen.circuits, choices), choices.u32());
    let (offer, answer) = ([choices.u8(); OFFER_BYTES], [choices.u8(); ANSWER_BYTES]);
    let is_long = body.len() > OFFER_BYTES + 12;
    let documents = &world.setting.documents;
    let document = &documents[choices.below(documents.len())];
    let mut digest: [u8; 32] = Open::hash(&[document.signed_bytes()]);
    if choices.rarely(8) {
        digest[0] ^= 1;
    }
    let part = if choices.rarely(8) { choices.u32() } else { choices.below(4) as u32 };
    let kind = choices.below(18);
    let said = match kind {
        0 => Control::Filler { gap: Some(Duration::from_nanos(choices.u64())) },
        1 => Control::Ping { token: choices.below(3) as u64 },
        2 => Control::Pong { token: choices.below(3) as u64 },
        3 => Control::Introduce(Introduced::Client),
        4 => Control::Introduce(Introduced::Mix {
            identity: &[choices.u8(); 32],
            signature: &[choices.u8(); 64],
        }),
        5 => Control::Introduced,
        6 if is_long => {
            Control::Create { circuit: if choices.coin() { circuit } else { session | 1 }, offer: &offer }
        }
        7 if is_long => Control::Created { circuit, answer: &answer },
        8 => Control::Destroy { circuit, why: Ended::from_byte(choices.u8()) },
        9 => {
            let length = document.as_bytes().len() as u32;
            let length = if choices.rarely(6) { choices.u32() } else { length };
            let serial = document.statement().serial + choices.below(2) as u64;
            Control::Holding(Holding { serial, digest, length })
        }
        10 => Control::Want { digest: &digest, part },
        11 => {
            let each = world.setting.design.geometry.document_part();
            let from = (part as usize).saturating_mul(each).min(document.as_bytes().len());
            let bytes = &document.as_bytes()[from..][..each.min(document.as_bytes().len() - from)];
            Control::Part { digest: &digest, part, bytes }
        }
        12 => Control::Uncover,
        13 if is_long => Control::Renew { session, offer: &offer },
        14 if is_long => Control::Renewed { initiator: session, responder: choices.u32(), answer: &answer },
        _ => return raw(body, choices),
    };
    said.write(body);
}

/// What hops of a circuit say to each other, behind the proof.
fn message(world: &World, body: &mut [u8], choices: &mut Choices<'_>) {
    let kind = 1 + choices.below(11) as u8;
    let part = if choices.rarely(3) { choices.u8() } else { 0 };
    let content = match choices.below(4) {
        0 => choices.take(12).to_vec(),
        1 => {
            let records = &world.setting.records;
            let mut record = records[choices.below(records.len())].as_bytes().to_vec();
            if choices.rarely(4) {
                let at = choices.below(record.len());
                record[at] ^= 1;
            }
            [vec![choices.u8(); OFFER_BYTES], record].concat()
        }
        2 => vec![choices.u8(); OFFER_BYTES + 8],
        _ => vec![choices.u8(); usize::from(choices.u16()) % 1300],
    };
    let length = if choices.rarely(8) { choices.u16() } else { content.len() as u16 };
    let bytes = [&[kind, part], &length.to_le_bytes()[..], &content].concat();
    let fits = bytes.len().min(body.len());
    body[..fits].copy_from_slice(&bytes[..fits]);
}

/// Bytes, of which the first say what kind of thing it is.
fn raw(body: &mut [u8], choices: &mut Choices<'_>) {
    body.fill(choices.u8());
    let kind = u32::from(choices.u8() % 17).to_le_bytes();
    let length = choices.below(64);
    let bytes = [&kind, choices.take(length)].concat();
    let fits = bytes.len().min(body.len());
    body[..fits].copy_from_slice(&bytes[..fits]);
}

fn one_of(words: &std::collections::VecDeque<u32>, choices: &mut Choices<'_>) -> u32 {
    let nth = choices.below(256);
    nth.checked_rem(words.len()).map_or(0, |place| words[place])
}
