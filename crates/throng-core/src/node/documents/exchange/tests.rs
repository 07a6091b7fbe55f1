use super::*;
use crate::crypto::Portable;
use crate::documents::Statement;
use crate::documents::tests::{example, roots, signed};

const PART: usize = 100;
const NOW: Time = Time::from_secs(150);

struct Neighbours(Vec<NeighbourKey>);

impl Neighbours {
    fn new() -> Self {
        Self((1..9).map(|session| NeighbourKey::new(session, 0)).collect())
    }

    fn mix(number: usize) -> Teller {
        Teller::Mix(NodeId([number as u8; 32]))
    }

    fn offers(&self, number: usize, exchange: &mut Exchange, what: Holding, now: Time) -> Heard {
        exchange.hear(self.0[number], Self::mix(number), what, PART, now)
    }
}

fn newer(length: usize) -> Holding {
    Holding { serial: 9, digest: [9; 32], length: length as u32 }
}

fn exchange() -> Exchange {
    Exchange::new(roots(), Arc::new(example(5)), NOW)
}

fn holding_of(document: &Document) -> Holding {
    HeldDocument::new(Arc::new(document.clone())).holding
}

/// Gives all parts of these bytes, each twice and the last first; what came of it.
fn give(
    exchange: &mut Exchange,
    from: NeighbourKey,
    what: Holding,
    asked: Vec<u32>,
    bytes: &[u8],
) -> Result<Turned, Refused> {
    let mut asked = asked;
    while let Some(part) = asked.pop() {
        let start = part as usize * PART;
        let piece = &bytes[start..bytes.len().min(start + PART)];
        for _ in 0..2 {
            match exchange.arrive::<Portable>(from, &what.digest, part, piece, NOW)? {
                Fetched::Ask(more) => asked.extend(more),
                Fetched::Complete(turned) => return Ok(turned),
            }
        }
    }
    panic!("all parts were given")
}

fn fetching(heard: Heard) -> Vec<u32> {
    match heard {
        Heard::Fetching(parts) => parts,
        other => panic!("a newer one is fetched, not {other:?}"),
    }
}

#[test]
fn a_newer_document_is_put_together_from_parts_in_any_order_and_is_in_force() {
    let (neighbours, mut exchange, document) = (Neighbours::new(), exchange(), example(6));
    let what = holding_of(&document);
    let asked = fetching(neighbours.offers(0, &mut exchange, what, NOW));
    let turned = give(&mut exchange, neighbours.0[0], what, asked, document.as_bytes()).unwrap();
    assert!(matches!(turned, Turned::InForce(_, None)));
    assert_eq!(exchange.holdings().collect::<Vec<_>>(), [what]);
}

#[test]
fn what_exits_hold_shows_a_history_of_our_own() {
    let mut exchange = exchange(); // it holds the fifth
    let exit = |serial: u64| NodeId([serial as u8; 32]);
    let mut say = |serial, digest, now| exchange.compare(exit(serial), DocumentName { serial, digest }, now);
    for serial in 3..=5 {
        assert_eq!(
            say(serial, *example(serial).digest(), NOW),
            None,
            "serial {serial} is of one history with ours"
        );
    }
    assert_eq!(say(0, [0; 32], NOW), None, "it has none");
    for serial in [3, 5] {
        let digest = [serial as u8; 32];
        let doubt = Doubt { exit: exit(serial), serial, digest, is_newer: false };
        assert_eq!(say(serial, digest, NOW), Some(doubt));
        assert_eq!(say(serial, digest, NOW), None, "once");
    }
    let newer = (6, *example(6).digest());
    assert_eq!(say(newer.0, newer.1, NOW), None, "neighbours may have it in a moment");
    let later = NOW + DOCUMENT_BEHIND_MAX;
    assert!(say(newer.0, newer.1, later).is_some_and(|doubt| doubt.is_newer));
    let reported = (0..100).filter(|digest| say(4, [*digest; 32], later).is_some()).count();
    assert_eq!(reported, 1, "who makes them up is reported once, and others still are");
}

#[test]
fn a_newer_document_that_names_another_one_than_ours_is_reported() {
    let ours = example(5);
    let other = Statement { until: Time::from_secs(199), ..ours.statement().clone() };
    let mut exchange = Exchange::new(roots(), Arc::new(signed(&other)), NOW);
    let turned = exchange.consider(Arc::new(example(6)), NOW);
    let Turned::InForce(_, Some(before)) = turned else { panic!("{turned:?}") };
    assert_eq!(before.statement(), &other);
}

#[test]
fn who_promises_a_document_and_is_slow_keeps_nobody_else_from_giving_it() {
    let (neighbours, mut exchange, document) = (Neighbours::new(), exchange(), example(6));
    let what = holding_of(&document);
    let longer = Holding { length: what.length + 1, ..what };
    fetching(neighbours.offers(0, &mut exchange, longer, NOW));
    fetching(neighbours.offers(1, &mut exchange, what, NOW));
    assert_eq!(neighbours.offers(2, &mut exchange, what, NOW), Heard::Nothing, "one gives it");
    fetching(neighbours.offers(2, &mut exchange, what, NOW + FETCH_ALONE));
}

#[test]
fn who_gives_something_else_than_announced_is_not_asked_again_whatever_the_link() {
    let (neighbours, document) = (Neighbours::new(), example(5));
    // A forged one; and an old one under another serial, or under another digest.
    let ours = holding_of(&document);
    for what in
        [newer(document.as_bytes().len()), Holding { serial: 7, ..ours }, Holding { digest: [1; 32], ..ours }]
    {
        let mut exchange = exchange();
        let heard = neighbours.offers(0, &mut exchange, what, NOW);
        if heard == Heard::Nothing {
            continue;
        }
        let outcome = give(&mut exchange, neighbours.0[0], what, fetching(heard), document.as_bytes());
        assert_eq!(outcome, Err(Refused::Forged), "{what:?}");
        let again = exchange.hear(neighbours.0[1], Neighbours::mix(0), newer(500), PART, NOW);
        assert_eq!(again, Heard::Nothing, "on another link");
        fetching(neighbours.offers(2, &mut exchange, newer(500), NOW));
    }
}

#[test]
fn a_document_that_our_clock_or_program_cannot_judge_is_told_and_no_forgery() {
    let (neighbours, mut exchange) = (Neighbours::new(), exchange());
    let bytes = example(6).as_bytes().to_vec();
    let what = holding_of(&example(6));
    let asked = fetching(neighbours.offers(0, &mut exchange, what, Time::from_secs(99)));
    let mut turned = None;
    for part in asked {
        let start = part as usize * PART;
        let piece = &bytes[start..bytes.len().min(start + PART)];
        // It is valid from second 100 on.
        turned = Some(exchange.arrive::<Portable>(
            neighbours.0[0],
            &what.digest,
            part,
            piece,
            Time::from_secs(99),
        ));
    }
    assert_eq!(turned, Some(Ok(Fetched::Complete(Turned::Unusable(DocumentError::NotYet)))));
}

#[test]
fn what_stays_away_is_asked_for_again_and_then_given_up_for_a_while() {
    let (neighbours, mut exchange) = (Neighbours::new(), exchange());
    fetching(neighbours.offers(0, &mut exchange, newer(1000), NOW));
    assert_eq!(neighbours.offers(1, &mut exchange, newer(1000), NOW), Heard::Nothing, "one is enough");
    let mut now = NOW;
    let mut again = 0;
    while !exchange.fetches.is_empty() {
        now = now + FETCH_PAUSE;
        for (from, digest, parts) in exchange.ask_again(now) {
            assert_eq!((from, digest, parts.len()), (neighbours.0[0], [9; 32], 10));
            again += 1;
        }
    }
    assert_eq!(again, FETCH_PAUSES_MAX);
    assert_eq!(neighbours.offers(0, &mut exchange, newer(1000), now), Heard::Nothing, "it rests");
    fetching(neighbours.offers(1, &mut exchange, newer(1000), now));
    fetching(neighbours.offers(
        0,
        &mut exchange,
        Holding { digest: [8; 32], ..newer(1000) },
        now + FETCH_REST,
    ));
}

#[test]
fn one_that_drips_keeps_no_other_away_and_does_not_drip_for_long() {
    let (neighbours, mut exchange) = (Neighbours::new(), exchange());
    let lie = Holding { serial: u64::MAX, digest: [7; 32], length: DOCUMENT_BYTES_MAX as u32 };
    fetching(neighbours.offers(0, &mut exchange, lie, NOW));
    fetching(neighbours.offers(1, &mut exchange, newer(1000), NOW));
    let mut now = NOW;
    for part in 0.. {
        now = now + FETCH_PAUSE;
        exchange.ask_again(now);
        if exchange.arrive::<Portable>(neighbours.0[0], &lie.digest, part, &[0; PART], now).is_err() {
            break;
        }
    }
    assert!(now - NOW <= FETCH_TIME_MAX + FETCH_PAUSE);
    assert_eq!(neighbours.offers(0, &mut exchange, lie, now), Heard::Nothing);
}

#[test]
fn older_equal_and_endless_ones_and_those_of_strangers_are_not_fetched() {
    let (neighbours, mut exchange) = (Neighbours::new(), exchange());
    let ours = exchange.held.holding;
    assert_eq!(neighbours.offers(0, &mut exchange, ours, NOW), Heard::Nothing);
    assert_eq!(neighbours.offers(0, &mut exchange, Holding { serial: 4, ..ours }, NOW), Heard::Tell);
    let endless = Holding { serial: 6, digest: [1; 32], length: u32::MAX };
    assert_eq!(neighbours.offers(0, &mut exchange, endless, NOW), Heard::Nothing);
    assert_eq!(exchange.hear(neighbours.0[0], Teller::Nobody, newer(100), PART, NOW), Heard::Nothing);
    let rival = Holding { digest: [1; 32], ..ours };
    assert_eq!(exchange.hear(neighbours.0[0], Teller::Nobody, rival, PART, NOW), Heard::Tell);
    assert_eq!(exchange.hear(neighbours.0[0], stranger(7, 7), rival, PART, NOW), Heard::Nothing);
}

fn stranger(name: u8, block: u8) -> Teller {
    Teller::Stranger(NodeId([name; 32]), WideBlock::of([192, block, 0, 1].into()))
}

#[test]
fn strangers_may_give_a_newer_document_and_hold_up_no_known_mix() {
    let (neighbours, mut exchange, document) = (Neighbours::new(), exchange(), example(6));
    let what = holding_of(&document);
    let mut says = |number: usize, now| {
        exchange.hear(neighbours.0[number], stranger(100 + number as u8, number as u8), what, PART, now)
    };
    fetching(says(0, NOW));
    assert_eq!(says(1, NOW), Heard::Nothing);
    assert_eq!(says(1, NOW + STRANGER_FETCH_EVERY / 2), Heard::Nothing, "one at once");
    for mix in 1..=3 {
        let what = if mix == 1 { what } else { newer(100 + mix) };
        fetching(neighbours.offers(mix, &mut exchange, what, NOW));
    }
    let mut exchange = self::exchange();
    let asked = fetching(exchange.hear(neighbours.0[0], stranger(100, 1), what, PART, NOW));
    let turned = give(&mut exchange, neighbours.0[0], what, asked, document.as_bytes()).unwrap();
    assert!(matches!(turned, Turned::InForce(..)));
}

#[test]
fn strangers_who_give_nothing_starve_no_stranger_elsewhere_and_shield_no_known_forger() {
    let (neighbours, mut exchange, document) = (Neighbours::new(), exchange(), example(6));
    let what = holding_of(&document);
    let (mut now, mut names) = (NOW, 0_u8);
    let end = NOW + STRANGER_BLOCK_REST;
    let mut asked = false;
    while now < end && !asked {
        // Those of 20 blocks speak all the time, under new names; one elsewhere does every minute.
        for block in 0..20 {
            names = names.wrapping_add(1);
            exchange.hear(neighbours.0[1], stranger(names, block), what, PART, now);
        }
        if (now - NOW).as_secs().is_multiple_of(60) {
            let heard = exchange.hear(neighbours.0[0], stranger(99, 99), what, PART, now);
            asked = heard != Heard::Nothing;
        }
        now = now + FETCH_PAUSE;
        exchange.ask_again(now);
    }
    assert!(asked, "it had its turn");
    assert!(exchange.resting.is_empty() && exchange.strange_blocks.len() <= STRANGER_BLOCKS_MAX);
}

#[test]
fn a_part_of_nothing_is_refused() {
    let (neighbours, mut exchange) = (Neighbours::new(), exchange());
    let (link, other) = (neighbours.0[0], neighbours.0[1]);
    let arrive = |exchange: &mut Exchange, link, digest: u8, part, length: usize| {
        exchange.arrive::<Portable>(link, &[digest; 32], part, &vec![0; length], NOW).is_ok()
    };
    assert!(!arrive(&mut exchange, link, 9, 0, PART));
    fetching(neighbours.offers(0, &mut exchange, newer(150), NOW));
    assert!(!arrive(&mut exchange, other, 9, 0, PART), "of another neighbour");
    assert!(!arrive(&mut exchange, link, 8, 0, PART), "of another document");
    assert!(!arrive(&mut exchange, link, 9, 2, PART), "behind the end");
    assert!(!arrive(&mut exchange, link, 9, 0, PART - 1), "too short");
    assert!(arrive(&mut exchange, link, 9, 0, PART));
}
