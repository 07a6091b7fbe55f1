//! Circuits that come, read, write, sit and go, and what their node promised them.

use throng_core::fuzzing::Choices;

use super::*;

/// Few places, so that a short list of operations fills them.
const TERMS: MemoryTerms = MemoryTerms {
    bytes_max: 8 << 20,
    circuits_max: 40,
    receive_floor: 16 << 10,
    send_floor: 16 << 10,
    receive_first: 32 << 10,
};

/// A node's life.
pub fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let mut ledger = Ledger::new(TERMS);
    let mut circuits: Vec<u64> = Vec::new();
    while !choices.is_empty() {
        match choices.below(8) {
            0 | 1 => come(&mut ledger, &mut circuits),
            2 => ledger.now = ledger.now + Duration::from_millis(u64::from(choices.u8()) * 100),
            3 if choices.rarely(4) && !circuits.is_empty() => {
                let circuit = circuits.swap_remove(choices.below(circuits.len()));
                ledger.remove(circuit);
            }
            4 => (0..=choices.below(40)).for_each(|_| come(&mut ledger, &mut circuits)),
            _ => settle(&mut ledger, &mut circuits, &mut choices),
        }
        audit(&ledger, circuits.len());
    }
    circuits.iter().for_each(|circuit| ledger.remove(*circuit));
    assert_eq!((ledger.promised(), ledger.leaving, ledger.making_room), (0, 0, None), "nothing is left");
}

fn come(ledger: &mut Ledger, circuits: &mut Vec<u64>) {
    let had_room = circuits.len() - ledger.leaving < TERMS.staying_max();
    let circuit = ledger.admit(Arc::default());
    assert!(circuit.is_some() || !had_room, "there is a place");
    circuits.extend(circuit);
}

fn settle(ledger: &mut Ledger, circuits: &mut Vec<u64>, choices: &mut Choices<'_>) {
    let Some(place) = choices.below(256).checked_rem(circuits.len()) else { return };
    let circuit = circuits[place];
    let amount = |choices: &mut Choices<'_>| match choices.below(4) {
        0 => 0,
        1 => u64::from(choices.u8()) << 6,
        2 => u64::from(choices.u16()) << 5,
        _ => u64::from(choices.u8()) << 16,
    };
    let seen = Turnover {
        taken: amount(choices),
        written: amount(choices),
        unacknowledged: amount(choices),
        blocked: choices.coin(),
        in_use: !choices.rarely(4),
        in_flight_max: amount(choices),
        round_trip: Duration::from_millis(choices.u8().into()),
        passed: Duration::from_millis(20 + u64::from(choices.u8()) * 4),
    };
    for _ in 0..=choices.below(3) * choices.below(60) {
        let Some(windows) = ledger.settle(circuit, &seen) else {
            ledger.remove(circuit);
            circuits.swap_remove(place);
            return;
        };
        assert!(
            windows.receive >= TERMS.receive_floor.into() && windows.send >= TERMS.send_floor.into(),
            "a floor"
        );
        assert!(windows.send <= SEND_WINDOW_BYTES_MAX.max(TERMS.send_floor.into()));
        audit(ledger, circuits.len());
        assert!(ledger.shares.contains_key(&circuit), "who settles stays, or is told to end");
    }
}

fn audit(ledger: &Ledger, circuits: usize) {
    assert_eq!(ledger.shares.len(), circuits);
    assert!(circuits <= TERMS.circuits_max, "no more circuits than places");
    assert!(ledger.promised() <= TERMS.bytes_max, "no more is promised than there is");
    assert_eq!(ledger.above, ledger.shares.values().map(|share| share.above(&TERMS)).sum::<u64>());
    assert_eq!(ledger.leaving, ledger.shares.values().filter(|share| share.ends).count());
    assert!(circuits - ledger.leaving <= TERMS.staying_max());
    assert!(ledger.making_room.is_none_or(|circuit| ledger.shares[&circuit].ends), "who makes room ends");
}
