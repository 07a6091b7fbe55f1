//! Bytes as a recorded trace and its truth: most of them with a length and a check that fit.

use throng_core::fuzzing::Choices;
use throng_sim::{Inside, Row, Trace};

/// Both files.
pub fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    match choices.below(8) {
        0 => check(&mut choices, |body, _| body.to_vec()),
        1 => written(&mut choices),
        _ => check(&mut choices, whole),
    }
}

/// A file from what is in it.
fn whole(body: &[u8], magic: &[u8; 8]) -> Vec<u8> {
    let length = 8 + 2 + 8 + body.len() + 8;
    let mut out = [&magic[..], &1u16.to_le_bytes(), &(length as u64).to_le_bytes(), body].concat();
    let check = check_of(&out);
    out.extend_from_slice(&check.to_le_bytes());
    out
}

fn check(choices: &mut Choices<'_>, file: fn(&[u8], &[u8; 8]) -> Vec<u8>) {
    let length = choices.u16().into();
    let seen = file(choices.take(length), b"THRONGSE");
    let Ok(mut trace) = Trace::seen_from_bytes(&seen) else { return };
    assert_eq!(
        Trace::seen_from_bytes(&trace.seen_to_bytes()).as_ref(),
        Ok(&trace),
        "it is written as it was read"
    );
    assert!(trace.seen.is_sorted_by_key(|row| row.at));
    assert_eq!(trace.to_csv().lines().count(), 1 + trace.seen.len());
    assert_eq!(trace.to_pcap().len(), 24 + 44 * trace.seen.len());
    let length = choices.u16().into();
    if trace.add_truth(&file(choices.take(length), b"THRONGTR")).is_ok() {
        round(&trace);
    }
}

/// A trace of rows, as the simulator writes it.
fn written(choices: &mut Choices<'_>) {
    let mut trace = Trace::new(choices.below(9) as u32, 1280);
    while !choices.is_empty() {
        let row = Row {
            at: choices.u16().into(),
            from: choices.below(20) as u32,
            to: choices.u32() >> 1,
            length: choices.u16().min(65_507),
        };
        let (user, number) = (choices.u16().into(), choices.u32());
        trace.push(
            row,
            choices.coin().then_some(Inside { user, exchange: 7, kind: choices.below(6) as u8, number }),
        );
    }
    trace.sort();
    round(&trace);
}

fn round(trace: &Trace) {
    let mut again = Trace::seen_from_bytes(&trace.seen_to_bytes()).expect("it was written whole");
    again.add_truth(&trace.truth_to_bytes()).expect("and so was its truth");
    assert_eq!(&again, trace);
    assert_eq!(trace.truth_to_csv().lines().count(), 1 + trace.inside.len());
    assert_eq!(trace.deeds_to_csv().lines().count(), 1 + trace.deeds.len());
}

/// The same as in the file that is tested: a check is not there to keep a fuzzer out.
fn check_of(bytes: &[u8]) -> u64 {
    let mut check = 0xcbf2_9ce4_8422_2325u64 ^ bytes.len() as u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        check = (check ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(27);
    }
    check ^ check >> 31
}
