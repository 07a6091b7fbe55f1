use proptest::prelude::*;

use super::*;

const SHARED: u64 = MemoryTerms::EXIT.shared();
const LOOK: Duration = Duration::from_millis(100);

/// A circuit with a stream, at which nothing moves.
const QUIET: Turnover = Turnover {
    taken: 0,
    written: 0,
    unacknowledged: 0,
    blocked: false,
    in_use: true,
    in_flight_max: 78_000,
    round_trip: LOOK,
    passed: LOOK,
};
/// A circuit whose far end wants to send ever more, and whose bytes nobody takes.
const GREEDY: Turnover = Turnover { blocked: true, in_flight_max: 0, ..QUIET };

fn admit(ledger: &mut Ledger) -> u64 {
    ledger.admit(Arc::default()).expect("there is a place")
}

fn above(ledger: &Ledger, circuit: u64) -> u64 {
    ledger.shares[&circuit].above(&ledger.terms)
}

/// As often as changes anything.
fn settle_for_long(ledger: &mut Ledger, circuit: u64, seen: &Turnover) {
    for _ in 0..40 {
        assert!(ledger.settle(circuit, seen).is_some());
    }
}

#[test]
fn one_greedy_circuit_gets_half_and_whoever_comes_gets_its_floor() {
    let mut ledger = Ledger::new(MemoryTerms::EXIT);
    let greedy = admit(&mut ledger);
    settle_for_long(&mut ledger, greedy, &GREEDY);
    assert!((SHARED * 49 / 100..=SHARED / 2).contains(&above(&ledger, greedy)));
    for _ in 1..MemoryTerms::EXIT.staying_max() {
        let circuit = admit(&mut ledger);
        let Some(windows) = ledger.settle(circuit, &GREEDY) else { panic!("{circuit} ended") };
        assert!(windows.receive >= MemoryTerms::EXIT.receive_floor.into());
        assert!(windows.send >= MemoryTerms::EXIT.send_floor.into());
        assert!(ledger.promised() <= MemoryTerms::EXIT.bytes_max);
    }
    assert_eq!(ledger.admit(Arc::default()), None, "one more than there are places");
}

/// The first gives up what it has too much, as fast as it reads.
#[test]
fn two_greedy_circuits_that_read_get_a_third_each() {
    let mut ledger = Ledger::new(MemoryTerms::EXIT);
    let (first, second) = (admit(&mut ledger), admit(&mut ledger));
    settle_for_long(&mut ledger, first, &GREEDY);
    let reads = Turnover { taken: 4 << 20, ..GREEDY };
    for _ in 0..100 {
        assert!(ledger.settle(first, &reads).is_some() && ledger.settle(second, &reads).is_some());
    }
    for circuit in [first, second] {
        let third = SHARED * 32 / 100..=SHARED * 35 / 100;
        assert!(third.contains(&above(&ledger, circuit)), "{} of {SHARED}", above(&ledger, circuit));
    }
}

#[test]
fn credit_counts_until_it_is_used_up() {
    let mut ledger = Ledger::new(MemoryTerms::EXIT);
    let circuit = admit(&mut ledger);
    settle_for_long(&mut ledger, circuit, &GREEDY);
    let held = above(&ledger, circuit);
    let over = Turnover { in_use: false, ..QUIET };
    settle_for_long(&mut ledger, circuit, &over);
    assert_eq!(above(&ledger, circuit), held, "the far end may still use it");
    assert!(ledger.settle(circuit, &Turnover { taken: held, ..over }).is_some());
    assert_eq!(above(&ledger, circuit), 0);
}

#[test]
fn room_to_send_is_free_again_when_everything_has_arrived() {
    let mut ledger = Ledger::new(MemoryTerms::EXIT);
    let circuit = admit(&mut ledger);
    let fast = Turnover { written: 1 << 20, unacknowledged: 8 << 20, in_flight_max: 4 << 20, ..QUIET };
    settle_for_long(&mut ledger, circuit, &fast);
    let held = above(&ledger, circuit);
    assert!(held > 7 << 20, "twice what may be in flight");
    let receive = u64::from(MemoryTerms::EXIT.receive_first - MemoryTerms::EXIT.receive_floor);
    let over = Turnover { in_use: false, unacknowledged: 8 << 20, ..QUIET };
    assert!(ledger.settle(circuit, &over).is_some());
    assert!(ledger.settle(circuit, &over).is_some());
    assert_eq!(above(&ledger, circuit), held, "nobody has acknowledged it");
    assert!(ledger.settle(circuit, &Turnover { unacknowledged: 0, ..over }).is_some());
    assert_eq!(above(&ledger, circuit), receive);
    ledger.remove(circuit);
    assert_eq!(ledger.promised(), 0);
}

#[test]
fn in_a_shortage_the_greediest_that_sits_on_its_share_ends_and_nobody_else() {
    let mut ledger = Ledger::new(MemoryTerms::EXIT);
    let (sits, sits_on_less, reads) = (admit(&mut ledger), admit(&mut ledger), admit(&mut ledger));
    let moving = Turnover { taken: SHARED, ..GREEDY };
    for _ in 0..1000 {
        // Long: but while nobody misses it, they may.
        assert!(ledger.settle(sits, &GREEDY).is_some());
    }
    for _ in 0..200 {
        assert!(ledger.settle(sits_on_less, &GREEDY).is_some());
        assert!(ledger.settle(reads, &moving).is_some());
    }
    let others: Vec<u64> = (0..20).map(|_| admit(&mut ledger)).collect();
    for circuit in &others {
        assert!(ledger.settle(*circuit, &GREEDY).is_some());
        settle_for_long(&mut ledger, *circuit, &Turnover { passed: Duration::from_millis(1), ..GREEDY });
    }
    assert!(ledger.settle(sits, &GREEDY).is_none(), "it makes room");
    ledger.remove(sits);
    for circuit in [sits_on_less, reads].into_iter().chain(others) {
        assert!(ledger.settle(circuit, &moving).is_some(), "there is room again");
    }
}

/// As many as need not end, each of which shows `seen` once.
fn crowd(ledger: &mut Ledger, seen: &Turnover) -> Vec<u64> {
    let come = ledger.terms.staying_max() - ledger.shares.len();
    let circuits: Vec<u64> = (0..come).map(|_| admit(ledger)).collect();
    for circuit in &circuits {
        assert!(ledger.settle(*circuit, seen).is_some());
    }
    circuits
}

/// Those that have to end do; whether `circuit` was one of them.
fn went(ledger: &mut Ledger, circuit: u64) -> bool {
    let leaving: Vec<u64> =
        ledger.shares.iter().filter(|(_, share)| share.ends).map(|(&one, _)| one).collect();
    for one in &leaving {
        assert_eq!(ledger.settle(*one, &QUIET), None);
        ledger.remove(*one);
    }
    leaving.contains(&circuit)
}

#[test]
fn when_places_are_few_the_circuit_whose_bytes_moved_longest_ago_makes_room() {
    let mut ledger = Ledger::new(MemoryTerms::EXIT);
    let [moved_again, without_a_stream, with_one] = [(); 3].map(|()| admit(&mut ledger));
    crowd(&mut ledger, &QUIET);
    ledger.now = ledger.now + QUIET_MIN;
    assert!(ledger.settle(with_one, &QUIET).is_some());
    assert!(ledger.settle(moved_again, &Turnover { taken: 1, ..QUIET }).is_some());
    admit(&mut ledger);
    admit(&mut ledger);
    let ends = |circuit: u64| ledger.shares[&circuit].ends;
    assert_eq!([without_a_stream, with_one, moved_again].map(ends), [true, true, false]);
}

#[test]
fn circuits_with_a_stream_that_moves_nothing_do_not_close_an_exit() {
    let mut ledger = Ledger::new(MemoryTerms::EXIT);
    let honest: Vec<u64> = (0..300).map(|_| admit(&mut ledger)).collect();
    let mut greedy = crowd(&mut ledger, &QUIET);
    for _ in 0..4096 {
        // Those who are honest move a little now and then; the greedy come, open a stream, and leave it at that.
        ledger.now = ledger.now + QUIET_MIN / 100;
        for circuit in &honest {
            assert!(
                ledger.settle(*circuit, &Turnover { taken: 1, ..QUIET }).is_some(),
                "those who move something stay"
            );
        }
        if let Some(circuit) = ledger.admit(Arc::default()) {
            assert!(ledger.settle(circuit, &QUIET).is_some());
            greedy.push(circuit);
        }
        went(&mut ledger, 0);
    }
    ledger.now = ledger.now + QUIET_MIN;
    for circuit in &honest {
        assert!(ledger.settle(*circuit, &Turnover { written: 1, ..QUIET }).is_some());
    }
    // All at once, before anybody has gone.
    let newcomers = ledger.terms.circuits_max - ledger.shares.len();
    assert_eq!(newcomers, ledger.terms.circuits_max / PLACES_KEPT_SHARE);
    for _ in 0..newcomers {
        admit(&mut ledger);
    }
    assert_eq!(ledger.leaving, newcomers);
    went(&mut ledger, 0);
    assert_eq!(ledger.leaving, 0);
    assert!(honest.iter().all(|circuit| ledger.shares.contains_key(circuit)));
    assert!(ledger.promised() <= MemoryTerms::EXIT.bytes_max);
}

#[test]
fn nobody_goes_who_moved_something_just_now() {
    let mut ledger = Ledger::new(MemoryTerms::EXIT);
    let circuits = crowd(&mut ledger, &QUIET);
    ledger.now = ledger.now + 10 * QUIET_MIN;
    for circuit in &circuits {
        assert!(ledger.settle(*circuit, &Turnover { taken: 1, ..QUIET }).is_some());
    }
    ledger.now = ledger.now + (QUIET_MIN - Duration::from_millis(1));
    assert_eq!(ledger.admit(Arc::default()), None, "all are at it");
    ledger.now = ledger.now + Duration::from_millis(1);
    admit(&mut ledger);
    assert!(went(&mut ledger, circuits[0]));
}

/// Those who read what they hold just in time do not get those ended who hold little, and read it slowly.
#[test]
fn in_a_shortage_whoever_holds_no_more_than_an_equal_part_stays() {
    let mut ledger = Ledger::new(MemoryTerms::EXIT);
    let step = Duration::from_millis(200);
    let looked = Turnover { passed: step, round_trip: step, ..QUIET };
    let fast = Turnover { written: 1 << 20, unacknowledged: 1 << 20, in_flight_max: 1 << 20, ..looked };
    let slow = Turnover { written: 20_000, unacknowledged: 2 << 20, ..fast };
    let honest: Vec<u64> = (0..20).map(|_| admit(&mut ledger)).collect();
    for circuit in honest.iter().cycle().take(50 * honest.len()) {
        assert!(ledger.settle(*circuit, &fast).is_some());
    }
    let mut greedy: Vec<u64> = (0..40).map(|_| admit(&mut ledger)).collect();
    // One that sits on more than all others is the one to go.
    let sits = admit(&mut ledger);
    settle_for_long(&mut ledger, sits, &GREEDY);
    let mut sat = true;
    for _ in 0..600 {
        ledger.now = ledger.now + step;
        for circuit in &honest {
            assert!(ledger.settle(*circuit, &slow).is_some(), "{} bytes", above(&ledger, *circuit));
        }
        greedy.retain(|circuit| {
            let written = above(&ledger, *circuit) / 40 + 1;
            let held = Turnover { written, unacknowledged: 16 << 20, in_flight_max: 16 << 20, ..looked };
            let stays = ledger.settle(*circuit, &held).is_some();
            if !stays {
                ledger.remove(*circuit);
            }
            stays
        });
        if sat && ledger.settle(sits, &Turnover { passed: step, ..GREEDY }).is_none() {
            ledger.remove(sits);
            sat = false;
        }
    }
    assert!(!sat, "it makes room");
}

/// A sender in its slow start, over a way without loss, to one who reads everything: in how many round trips does it fill a way
/// of `rate` bytes a second, and in how many would it without windows?
fn round_trips_until_full(terms: MemoryTerms, round_trip: Duration, rate: u64) -> (u32, u32) {
    let mut ledgers = [Ledger::new(terms), Ledger::new(terms)];
    let [from, to] = ledgers.each_mut().map(admit);
    let [sender, receiver] = &mut ledgers;
    let look = round_trip.clamp(Duration::from_millis(20), Duration::from_millis(200));
    let trips_a_look = look.as_micros().div_ceil(round_trip.as_micros()) as u32;
    let full = (u128::from(rate) * round_trip.as_micros() / 1_000_000) as u64;
    let begin = Turnover { written: 1, in_flight_max: 64 * 1224, round_trip, passed: look, ..QUIET };
    let mut send = sender.settle(from, &begin).unwrap().send;
    let mut receive = receiver.settle(to, &begin).unwrap().receive;
    let (mut in_flight_max, mut free_flight_max, mut trips, mut trips_without) =
        (64 * 1224_u64, 64 * 1224, 0, 0);
    loop {
        let mut moved = 0;
        let mut blocked = false;
        for _ in 0..trips_a_look {
            let sent = in_flight_max.min(send).min(receive).min(full);
            if sent >= full {
                return (trips, trips_without);
            }
            trips += 1;
            trips_without += u32::from(free_flight_max < full);
            free_flight_max *= 2;
            blocked |= receive < in_flight_max.min(send);
            moved += sent;
            // It learns what the way carries from what it did send.
            in_flight_max = in_flight_max.max(2 * sent);
        }
        let seen = Turnover { in_flight_max, blocked, ..begin };
        send = sender.settle(from, &Turnover { written: moved, ..seen }).unwrap().send;
        receive = receiver.settle(to, &Turnover { taken: moved, ..seen }).unwrap().receive;
        assert!(trips < 10_000, "never full: {send} to send, {receive} to receive");
    }
}

#[test]
fn a_fat_pipe_is_filled_nearly_as_soon_as_without_windows() {
    for terms in [MemoryTerms::EXIT, MemoryTerms::CLIENT] {
        for (millis, megabits) in [(30, 1000), (100, 168), (100, 1000), (300, 400), (1000, 100)] {
            let rate = megabits * 1_000_000 / 8;
            let (trips, without) = round_trips_until_full(terms, Duration::from_millis(millis), rate);
            assert!(trips <= without + 3, "{millis} ms, {megabits} Mbit/s: {trips} and not {without}");
        }
        // Where looks are rarer than round trips: at once, or within a few looks.
        for (micros, megabits) in [(500, 1000), (500, 2000), (2000, 1000), (5000, 1000)] {
            let rate = megabits * 1_000_000 / 8;
            let round_trip = Duration::from_micros(micros);
            let (trips, _) = round_trips_until_full(terms, round_trip, rate);
            assert!(
                trips * round_trip < Duration::from_millis(100),
                "{micros} µs, {megabits} Mbit/s: {trips}"
            );
        }
    }
}

/// What QUIC keeps of a connection's credit (`StreamsState` of quinn-proto 0.11).
struct Credit {
    window: u64,
    max_data: u64,
    debt: u64,
    read: u64,
}

impl Credit {
    fn set(&mut self, window: u64) {
        self.max_data += window.saturating_sub(self.window);
        self.debt += self.window.saturating_sub(window);
        self.window = window;
    }

    fn read(&mut self, bytes: u64) -> u64 {
        let bytes = bytes.min(self.may_be_held());
        self.read += bytes;
        self.max_data += bytes.saturating_sub(self.debt);
        self.debt = self.debt.saturating_sub(bytes);
        bytes
    }

    /// All that the far end may send, and nobody has read.
    fn may_be_held(&self) -> u64 {
        self.max_data - self.read
    }
}

/// What QUIC keeps of what was written.
#[derive(Default)]
struct Unacknowledged {
    bytes: u64,
    window: u64,
}

const SMALL: MemoryTerms = MemoryTerms { bytes_max: 4 << 20, circuits_max: 8, ..MemoryTerms::EXIT };

#[derive(Clone, Debug)]
struct Move {
    circuit: usize,
    blocked: bool,
    in_use: bool,
    read: u64,
    write: u64,
    acknowledge: u64,
    in_flight_max: u64,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let bytes = || prop_oneof![Just(0), Just(u64::MAX), 0..200_000_u64];
    let one = (0..6_usize, any::<bool>(), any::<bool>(), bytes(), bytes(), bytes(), 0..4_000_000_u64);
    let one = one.prop_map(|(circuit, blocked, in_use, read, write, acknowledge, in_flight_max)| Move {
        circuit,
        blocked,
        in_use,
        read,
        write,
        acknowledge,
        in_flight_max,
    });
    prop::collection::vec(one, 1..300)
}

proptest! {
    /// Whatever circuits do: what may be held is counted, and all of it is within the bound.
    #[test]
    fn what_is_promised_covers_what_may_be_held_and_stays_within_the_bound(moves in moves()) {
        let mut ledger = Ledger::new(SMALL);
        let mut circuits: Vec<(u64, Credit, Unacknowledged)> = (0..6)
            .map(|_| {
                let (window, send) = (SMALL.receive_floor.into(), SMALL.send_floor.into());
                let credit = Credit { window, max_data: window, debt: 0, read: 0 };
                (admit(&mut ledger), credit, Unacknowledged { bytes: 0, window: send })
            })
            .collect();
        for step in moves {
            let (circuit, credit, sent) = &mut circuits[step.circuit];
            let taken = credit.read(step.read);
            sent.bytes -= step.acknowledge.min(sent.bytes);
            let unacknowledged = sent.bytes;
            let written = step.write.min(sent.window.saturating_sub(sent.bytes));
            sent.bytes += written;
            let seen = Turnover {
                taken,
                written,
                unacknowledged: unacknowledged + written,
                blocked: step.blocked,
                in_use: step.in_use,
                in_flight_max: step.in_flight_max,
                passed: Duration::from_millis(1), // nobody ends
                ..QUIET
            };
            let windows = ledger.settle(*circuit, &seen).unwrap();
            credit.set(windows.receive);
            sent.window = windows.send;
            prop_assert!(windows.receive >= SMALL.receive_floor.into() && windows.send >= SMALL.send_floor.into());
            let may_be_held: u64 = circuits.iter().map(|(_, credit, sent)| credit.may_be_held() + sent.bytes.max(sent.window)).sum();
            prop_assert!(may_be_held <= ledger.promised());
            prop_assert!(ledger.promised() <= SMALL.bytes_max);
        }
        for (circuit, ..) in circuits {
            ledger.remove(circuit);
        }
        prop_assert_eq!(ledger.promised(), 0);
    }
}
