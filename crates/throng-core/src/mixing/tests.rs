//! Each strategy does what its law says, and none follows the order of arrival.

use std::collections::HashMap;

use core::time::Duration;

use super::*;
use crate::mixing::{Batch, Exponential, Fire, Uniform};
use crate::rng::{Purpose, Seed};

const DRAWS: usize = 40_000;

fn rng(seed: u8) -> Rng {
    Seed::from_bytes([seed; 32]).rng(Purpose::Mixing, 0)
}

/// A mix at work: cells come as told, and what leaves is noted.
struct Mix {
    mixer: Mixer,
    rng: Rng,
    now: Time,
    /// When each ticket came, and in which round.
    came: Vec<(Time, u64)>,
    /// Tickets, when they left.
    left: Vec<(Time, Ticket)>,
    rounds: u64,
    in_order: (u32, u32),
}

impl Mix {
    fn new(mixing: &str, lonely: &str) -> Self {
        let mixer = Mixer::new(mixing.parse().unwrap(), lonely.parse().unwrap(), Time::ZERO);
        let (came, left) = (Vec::new(), Vec::new());
        Self { mixer, rng: rng(2), now: Time::ZERO, came, left, rounds: 0, in_order: (0, 0) }
    }

    /// Lets time pass, with everything that happens in it.
    fn pass(&mut self, until: Time) {
        while self.mixer.wake() <= until {
            self.now = self.now.max(self.mixer.wake());
            let mut out = Vec::new();
            self.mixer.release(self.now, &mut self.rng, &mut out);
            self.rounds += u64::from(!out.is_empty());
            for pair in out.windows(2).filter(|pair| !pair.contains(&Ticket::DUMMY)) {
                self.in_order.0 += u32::from(pair[0] < pair[1]);
                self.in_order.1 += 1;
            }
            self.left.extend(out.into_iter().map(|ticket| (self.now, ticket)));
        }
        self.now = until;
    }

    fn come(&mut self, source: Source, circuits: usize) -> Ticket {
        let ticket = Ticket(self.came.len() as u32);
        self.came.push((self.now, self.rounds));
        self.mixer.admit(ticket, source, circuits, self.now, &mut self.rng);
        self.pass(self.now);
        ticket
    }

    /// Poisson arrivals until so many have left.
    fn run(&mut self, rate: f64, cells: usize) {
        let mut arrivals = rng(3);
        while self.left.len() < cells {
            let next = self.now + Duration::from_secs_f64(arrivals.exponential() / rate);
            self.pass(next);
            self.come(Source::Link, 0);
        }
    }

    fn delays(&self) -> Vec<f64> {
        let real = self.left.iter().filter(|(_, ticket)| *ticket != Ticket::DUMMY);
        real.map(|(at, ticket)| (*at - self.came[ticket.0 as usize].0).as_secs_f64()).collect()
    }
}

/// The greatest difference between what was drawn and what the law says (Kolmogorov).
fn distance(mut delays: Vec<f64>, law: impl Fn(f64) -> f64) -> f64 {
    delays.sort_by(f64::total_cmp);
    let n = delays.len() as f64;
    let differ = |(i, delay): (usize, &f64)| {
        let law = law(*delay);
        (law - i as f64 / n).abs().max((law - (i + 1) as f64 / n).abs())
    };
    delays.iter().enumerate().map(differ).fold(0.0, f64::max)
}

#[test]
fn forty_thousand_delays_follow_the_law_that_is_stated() {
    for text in ["batch=20ms", "slices=20ms", "exponential=15ms", "uniform=30ms"] {
        let mixing: Mixing = text.parse().unwrap();
        let mut mix = Mix::new(text, "none");
        mix.run(500.0, DRAWS);
        let mean = mix.delays().iter().sum::<f64>() / DRAWS as f64;
        let stated = mixing.mean_delay(500.0).as_secs_f64();
        assert!((mean / stated - 1.0).abs() < 0.02, "{text}: {mean} of {stated}");
        let law = |delay: f64| mixing.left_within(Duration::from_secs_f64(delay)).unwrap();
        let distance = distance(mix.delays(), law);
        // Draws are independent: 1.63/√n is passed by chance once in a hundred. In batches they are not, so more.
        let most = if matches!(mixing, Mixing::Exponential(_) | Mixing::Uniform(_)) { 0.0082 } else { 0.012 };
        // A slice lets every source send one: where more come than leave, cells would queue. One source here.
        assert!(
            distance < most || matches!(mixing, Mixing::Slices(_)) && distance < 0.012,
            "{text}: {distance}"
        );
        let (in_order, pairs) = mix.in_order;
        if pairs > 1000 {
            let share = f64::from(in_order) / f64::from(pairs);
            assert!(
                (share - 0.5).abs() < 0.03,
                "{text}: neighbours keep their order half of the time: {share}"
            );
        }
    }
}

#[test]
fn a_pool_delays_by_n_over_n_rounds_and_hides_as_many_bits_as_stated() {
    // N = 100 that leave; 10 or 100 that stay; and AN.ON's pool.
    for (text, bits) in [("pool=100:10", 7.127), ("pool=100:100", 8.644), ("pool=1:10", 4.834)] {
        let mixing: Mixing = text.parse().unwrap();
        let Mixing::Pool(pool) = mixing else { panic!("{text}") };
        let mut mix = Mix::new(text, "none");
        mix.run(1e6, DRAWS); // so fast that no dummy comes
        let real: Vec<_> = mix.left.iter().filter(|(_, ticket)| *ticket != Ticket::DUMMY).collect();
        // Rounds of one hundred are told apart by counting what left.
        let Fire::Threshold(leave) = pool.fire else { panic!("{text}") };
        let mut ages: HashMap<u64, f64> = HashMap::new();
        let left_before: HashMap<Ticket, u64> = mix
            .left
            .iter()
            .zip(0u64..)
            .map(|((_, ticket), place)| (*ticket, place / u64::from(leave)))
            .collect();
        for (_, ticket) in &real {
            let came = u64::from(ticket.0) / u64::from(leave);
            *ages.entry(left_before[ticket] - came).or_default() += 1.0 / real.len() as f64;
        }
        let mean: f64 = ages.iter().map(|(age, share)| *age as f64 * share).sum();
        let stated = f64::from(pool.keep) / f64::from(leave);
        assert!((mean - stated).abs() < 0.05 * stated.max(1.0), "{text}: {mean} of {stated} rounds");
        let within =
            |rounds: u64| ages.iter().filter(|(age, _)| **age < rounds).map(|(_, share)| share).sum::<f64>();
        for rounds in [1, 2, 5] {
            let (drawn, stated) = (within(rounds), pool.left_within(rounds as u32, 1e6));
            assert!((drawn - stated).abs() < 0.01, "{text}: {drawn} of {stated} within {rounds}");
        }
        // A cell that leaves came so many rounds ago, and was one of as many as came then.
        let entropy: f64 = ages.values().map(|share| -share * (share / f64::from(leave)).log2()).sum();
        assert!((entropy - bits).abs() < 0.03, "{text}: {entropy} bits, {bits} expected");
        assert!((mixing.entropy_bits(1e6) - bits).abs() < 0.001, "{text}");
    }
}

#[test]
fn an_exponential_mix_hides_log2_of_lambda_e_over_mu_bits_and_no_other_delay_of_its_mean_hides_more() {
    // An observer weighs every arrival by how likely the law makes its delay.
    let posterior = |density: &dyn Fn(f64) -> f64, rate: f64, span: f64| {
        let mut arrivals = rng(5);
        let mut total = 0.0;
        let rounds = 400;
        for _ in 0..rounds {
            let (mut age, mut weights) = (0.0, Vec::new());
            while age < span {
                age += arrivals.exponential() / rate;
                weights.push(density(age));
            }
            let sum: f64 = weights.iter().sum();
            total += weights.iter().filter(|w| **w > 0.0).map(|w| -w / sum * (w / sum).log2()).sum::<f64>();
        }
        total / f64::from(rounds)
    };
    let mean = 0.015;
    for (ratio, bits) in [(10.0, 4.76), (100.0, 8.09), (500.0, 10.41)] {
        let rate = ratio / mean;
        let exponential = posterior(&|age| (-age / mean).exp(), rate, 20.0 * mean);
        let uniform = posterior(&|age| f64::from(age <= 2.0 * mean), rate, 2.0 * mean);
        let stated =
            Mixing::Exponential(Exponential { mean: Duration::from_secs_f64(mean) }).entropy_bits(rate);
        assert!(
            (stated - bits).abs() < 0.01 && (exponential - bits).abs() < 0.12,
            "{exponential} of {stated} bits"
        );
        let stated =
            Mixing::Uniform(Uniform { most: Duration::from_secs_f64(2.0 * mean) }).entropy_bits(rate);
        assert!((uniform - stated).abs() < 0.12, "{uniform} of {stated} bits");
        assert!((exponential - uniform - 0.44).abs() < 0.1, "0.44 bits less: {exponential}, {uniform}");
    }
    assert_eq!(Mixing::NONE.entropy_bits(1000.0), 0.0);
}

#[test]
fn a_batch_hides_the_mean_of_log2_of_its_size() {
    let mut mix = Mix::new("batch=20ms", "none");
    mix.run(500.0, DRAWS);
    let mut sizes: HashMap<Time, f64> = HashMap::new();
    mix.left.iter().for_each(|(at, _)| *sizes.entry(*at).or_default() += 1.0);
    let bits = sizes.values().map(|size| size * size.log2()).sum::<f64>() / DRAWS as f64;
    let stated = Mixing::Batch(Batch { every: Duration::from_millis(20) }).entropy_bits(500.0);
    assert!((bits - stated).abs() < 0.03, "{bits} of {stated}");
}

#[test]
fn a_flood_drives_a_cell_out_of_a_threshold_mix_at_once_and_out_of_a_pool_by_halves() {
    // n = f = 10 (Serjantov, Dingledine and Syverson 2002). The attacker flushes the pool with its own, lets the target in, and floods.
    let inside_after = |text: &str, rounds: usize| {
        let inside = (0..2000).filter(|seed| {
            let mut mix = Mix::new(text, "none");
            mix.rng = Seed::from_bytes([(seed % 250) as u8; 32]).rng(Purpose::Mixing, *seed);
            let target = mix.come(Source::Link, 0);
            (0..10 * rounds - 1).for_each(|_| _ = mix.come(Source::Link, 0));
            !mix.left.iter().any(|(_, ticket)| *ticket == target)
        });
        inside.count() as f64 / 2000.0
    };
    assert_eq!(inside_after("pool=10:0", 1), 0.0, "a threshold mix gives it away in one round");
    for (rounds, expected) in [(1, 0.5), (2, 0.25), (3, 0.125), (7, 0.0078)] {
        let inside = inside_after("pool=10:10", rounds);
        let error = 3.0 * (expected * (1.0 - expected) / 2000.0f64).sqrt();
        assert!((inside - expected).abs() <= error, "{rounds} rounds: {inside} of {expected}");
    }
}

#[test]
fn a_pool_without_visitors_is_emptied_by_dummies() {
    let mut mix = Mix::new("pool=1:10:200ms", "none");
    let cells: Vec<_> = (0..5).map(|_| mix.come(Source::Link, 0)).collect();
    mix.pass(Time::from_secs(60));
    assert!(cells.iter().all(|cell| mix.left.iter().any(|(_, left)| left == cell)));
    assert!(mix.left.iter().filter(|(_, left)| *left == Ticket::DUMMY).count() > 250, "five a second");
}

#[test]
fn a_round_ends_when_every_circuit_has_delivered_or_when_its_time_is_over() {
    let mut mix = Mix::new("slices=50ms", "none");
    let of = |number, is_backward| Source::Circuit { number, is_backward };
    mix.pass(Time::from_nanos(1_000_000));
    let first = mix.come(of(1, false), 3);
    let second = mix.come(of(1, false), 3);
    mix.come(of(2, false), 3);
    mix.come(of(7, true), 3);
    assert!(mix.left.is_empty(), "one circuit is missing, and the other direction has its own round");
    mix.come(of(3, false), 3);
    assert_eq!(mix.left.len(), 3, "everybody has delivered, and has one turn");
    assert!(
        mix.left.iter().any(|(_, left)| *left == first) && !mix.left.iter().any(|(_, left)| *left == second)
    );
    mix.pass(Time::from_nanos(49_999_999));
    assert_eq!(mix.left.len(), 3);
    mix.pass(Time::from_nanos(50_000_000));
    assert_eq!(mix.left.len(), 5, "its time is over");
}

#[test]
fn a_lonely_cell_is_held_for_company_or_gets_fillers_and_is_counted() {
    // Held until two others are there …
    let mut mix = Mix::new("none", "hold=2:20ms");
    mix.come(Source::Link, 0);
    mix.come(Source::Link, 0);
    assert!(mix.left.is_empty());
    mix.come(Source::Link, 0);
    assert_eq!((mix.left.len(), mix.mixer.lonely_cells()), (3, 2));
    // … but not for ever.
    mix.come(Source::Link, 0);
    mix.pass(Time::from_nanos(19_999_999));
    assert_eq!(mix.left.len(), 3);
    mix.pass(Time::from_nanos(20_000_000));
    assert_eq!(mix.left.len(), 4);

    let mut mix = Mix::new("batch=20ms", "fill=3");
    mix.come(Source::Link, 0);
    mix.come(Source::Link, 0);
    mix.pass(Time::from_secs(1));
    let dummies = mix.left.iter().filter(|(_, ticket)| *ticket == Ticket::DUMMY).count();
    assert_eq!((mix.left.len(), dummies, mix.mixer.lonely_cells()), (4, 2, 2), "two others are missing");
    for _ in 0..4 {
        mix.come(Source::Link, 0);
    }
    mix.pass(Time::from_secs(2));
    assert_eq!((mix.left.len(), mix.mixer.lonely_cells()), (8, 2), "four are company enough");
}

#[test]
fn what_is_held_leaves_when_the_strategy_changes() {
    for text in ["batch=20ms", "pool=3:10", "slices=50ms", "exponential=15ms", "uniform=20ms"] {
        let mut mix = Mix::new(text, "none");
        let cells: Vec<_> =
            (0..2).map(|_| mix.come(Source::Circuit { number: 1, is_backward: false }, 9)).collect();
        mix.mixer.change(Mixing::NONE, MinCompany::Off, mix.now);
        mix.pass(mix.now);
        assert!(cells.iter().all(|cell| mix.left.iter().any(|(_, left)| left == cell)), "{text}");
        assert_eq!(mix.mixer.len(), 0, "{text}");
    }
}

/// From the state of a stream that runs, all that was drawn from it follows.
#[test]
fn a_mix_that_is_seized_does_not_know_how_it_mixed_before() {
    for strategy in ["batch=20ms", "pool=1:10:200ms", "slices=50ms", "exponential=15ms", "uniform=20ms"] {
        let mut mix = Mix::new(strategy, "none");
        mix.run(1000.0, 50);
        mix.pass(Time::from_secs(1));
        assert!(!mix.left.is_empty() && mix.rng.has_forgotten(), "{strategy}");
    }
}
