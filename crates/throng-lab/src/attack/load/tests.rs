use super::*;

const MS: u64 = 1_000_000;
/// About as many as twelve mixes have.
const LINKS: u32 = 120;
const SECONDS: u64 = 40;
/// 64 kb/s of datagrams of 1280 bytes.
const PERIOD: u64 = 160 * MS;

/// Chance enough for tests (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn is(&mut self, share: f64) -> bool {
        self.share() < share
    }

    fn exponential(&mut self, mean_ns: f64) -> u64 {
        (-mean_ns * (1.0 - self.share()).ln()) as u64
    }
}

/// A recording of links with slots: what leaves in the slot at this moment leaves at these.
fn slots(seed: u64, leave: impl Fn(&mut Chance, u64, &mut Vec<u64>)) -> Vec<Row> {
    let mut chance = Chance(seed);
    let mut rows = Vec::new();
    for link in 0..LINKS {
        let mut at = chance.next() % PERIOD;
        while at < SECONDS * 1000 * MS {
            let mut left = Vec::new();
            leave(&mut chance, at, &mut left);
            rows.extend(left.into_iter().map(|at| Row { at, from: link, to: link + 1, length: 1280 }));
            at += PERIOD;
        }
    }
    rows.sort();
    rows
}

/// The pacer's own lateness, whatever the load.
fn jitter(chance: &mut Chance) -> u64 {
    30_000 + chance.exponential(20_000.0)
}

fn constant(seed: u64) -> Vec<Row> {
    slots(seed, |chance, at, left| left.push(at + jitter(chance)))
}

fn compare(idle: &[Row], busy: &[Row]) -> Result<Knowledge, TooShort> {
    knows_the_load(Stretch::all(idle), Stretch::all(busy))
}

fn all(knowledge: &Knowledge) -> impl Iterator<Item = Auc> {
    [knowledge.each, knowledge.together].into_iter().flat_map(|scores| scores.named()).map(|(_, auc)| auc)
}

#[test]
fn slots_that_do_not_follow_the_load_look_the_same_idle_and_busy() {
    let knowledge = compare(&constant(1), &constant(2)).unwrap();
    println!("{knowledge}");
    assert_eq!(knowledge.links, LINKS as usize);
    for auc in all(&knowledge) {
        assert!(auc.deviation().abs() <= 3.0, "{auc}");
    }
    for (name, auc) in knowledge.each.named() {
        assert!((0.45..=0.55).contains(&auc.area), "{name}: {auc}");
    }
}

#[test]
fn chance_is_as_wide_as_it_says() {
    // If a window could be judged by what was learnt from itself, or from all but itself, the mean would be off.
    const PAIRS: u64 = 60;
    let mut sums = [(0.0, 0.0); 6];
    for seed in 0..PAIRS {
        let knowledge = compare(&constant(1000 + 2 * seed), &constant(1001 + 2 * seed)).unwrap();
        for (auc, (sum, squares)) in all(&knowledge).zip(&mut sums) {
            *sum += auc.deviation();
            *squares += auc.deviation().powi(2);
        }
    }
    let moments = sums.map(|(sum, squares)| (sum / PAIRS as f64, (squares / PAIRS as f64).sqrt()));
    println!("in standard errors, mean and width: {moments:.2?}");
    for (mean, width) in moments {
        assert!(mean.abs() < 3.0 / (PAIRS as f64).sqrt(), "{mean}");
        assert!(width < 1.35, "{width}");
    }
}

#[test]
fn traffic_that_follows_the_load_gives_it_away() {
    // Idle: a question now and then. Busy: bursts.
    let idle = slots(1, |chance, at, left| left.extend(chance.is(0.1).then_some(at)));
    let busy = slots(2, |chance, at, left| {
        if chance.is(0.5) {
            left.extend((0..1 + chance.next() % 20).map(|number| at + number * 300_000));
        }
    });
    let knowledge = compare(&idle, &busy).unwrap();
    println!("{knowledge}");
    for (name, auc) in knowledge.each.named() {
        assert!(auc.area > 0.9, "{name}: {auc}");
    }
    for (name, auc) in knowledge.together.named() {
        assert!(auc.area > 0.99, "{name}: {auc}");
    }
}

#[test]
fn three_late_records_of_a_hundred_are_found() {
    let late = slots(2, |chance, at, left| {
        let late = if chance.is(0.03) { MS / 2 + chance.exponential(500_000.0) } else { 0 };
        left.push(at + late + jitter(chance));
    });
    let knowledge = compare(&constant(1), &late).unwrap();
    println!("{knowledge}");
    assert!(knowledge.each.intervals.deviation() > 5.0);
    assert!(knowledge.together.intervals.area > 0.95);
}

#[test]
fn doubled_slots_are_found() {
    let doubled = slots(2, |chance, at, left| {
        left.push(at + jitter(chance));
        left.extend(chance.is(0.03).then(|| at + jitter(chance)));
    });
    let knowledge = compare(&constant(1), &doubled).unwrap();
    println!("{knowledge}");
    assert!(knowledge.each.intervals.deviation() > 5.0);
    assert!(knowledge.together.intervals.area > 0.95);
}

#[test]
fn a_clock_that_counts_from_now_is_found() {
    // Each slot is late by as much as all before it: a period that is a little longer, by 20 µs of 160 ms, when busy.
    let shifted = slots(2, |chance, at, left| left.push(at + at / 8000 + jitter(chance)));
    let knowledge = compare(&constant(1), &shifted).unwrap();
    println!("{knowledge}");
    assert!(knowledge.each.intervals.deviation() > 5.0);
    assert!(knowledge.each.distribution.deviation() > 5.0);
}

#[test]
fn a_recording_needs_some_seconds() {
    let rows = constant(1);
    let short: Vec<Row> = rows.iter().copied().filter(|row| row.at < 3000 * MS).collect();
    assert_eq!(compare(&rows, &short), Err(TooShort));
    assert_eq!(compare(&[], &rows), Err(TooShort));
}

#[test]
fn a_link_that_is_silent_in_one_recording_is_no_matter() {
    let rows = constant(1);
    let without: Vec<Row> = rows.iter().copied().filter(|row| row.from != 7).collect();
    let knowledge = compare(&without, &rows).unwrap();
    assert_eq!((knowledge.links, knowledge.in_one_only), (LINKS as usize, 1));
    assert!(knowledge.together.counts.area > 0.99, "{}", knowledge.together.counts);
}

#[test]
fn silence_at_the_ends_counts() {
    let rows = constant(1);
    let few: Vec<Row> = rows.iter().copied().filter(|row| row.at / (1000 * MS) == 20).collect();
    let span = |rows| Stretch { rows, from: 0, until: SECONDS * 1000 * MS };
    let knowledge = knows_the_load(span(&few), span(&rows)).unwrap();
    assert_eq!(knowledge.together.counts.first, SECONDS as usize / 2);
    assert!(knowledge.together.counts.area > 0.99);
    // And what is outside the span does not.
    let knowledge = knows_the_load(Stretch { until: 19_000 * MS, ..span(&few) }, span(&few)).unwrap();
    assert_eq!(knowledge.in_one_only, knowledge.links);
}
