//! A user's line falls silent for seconds or a minute: what runs over it goes on afterwards, and whoever cut it learned
//! and gained nothing.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use common::{Network, Plan};
use throng_core::cover::{Cover, DEFAULT_RATE};
use throng_core::{CircuitId, Command, Event, NodeId, Time};
use throng_sim::{OnWire, Verdict, Wire};

/// What a client sends: when, how much, and whether it is part of a handshake, which everybody sees.
type Sent = Rc<RefCell<Vec<(Time, usize, bool)>>>;

/// A client of nine mixes on a line that can be cut, and a circuit of it in use.
struct Story {
    network: Network,
    circuit: CircuitId,
    is_cut: Rc<Cell<bool>>,
    sent: Sent,
}

fn story(seed: u8, cover: &str, latency: Duration) -> Story {
    story_among((9, 6), seed, cover, latency)
}

/// Among so many mixes, and exits among these.
fn story_among((mixes, exits): (u8, u8), seed: u8, cover: &str, latency: Duration) -> Story {
    let cover = Cover::parse(cover, DEFAULT_RATE).unwrap();
    let wire = Wire { latency, ..Wire::default() };
    let mut network = Network::new(Plan { seed, mixes, exits, spare: 3, cover, wire, ..Plan::default() });
    network.world.run_for(Duration::from_secs(5));
    let circuit = network.attach(1, 7).expect("a circuit");
    let (is_cut, sent) = (Rc::new(Cell::new(false)), Sent::default());
    let (cut, log, client) = (Rc::clone(&is_cut), Rc::clone(&sent), network.client);
    network.world.tap(move |datagram: &OnWire| {
        if datagram.from == client {
            let is_handshake = datagram.bytes[..4] == [0; 4];
            log.borrow_mut().push((datagram.at, datagram.bytes.len(), is_handshake));
        }
        let is_ours = datagram.from == client || datagram.to == client;
        if is_ours && cut.get() { Verdict::Drop } else { Verdict::Pass }
    });
    assert!(network.echo(circuit, b"alive", Duration::from_secs(5)));
    network.world.run_for(Duration::from_secs(10));
    Story { network, circuit, is_cut, sent }
}

impl Story {
    /// The line is silent for so long; an application that is busy says something twice a second. Which circuits came and went in
    /// that time and the five seconds after it.
    fn silence(&mut self, span: Duration, is_busy: bool) -> (usize, usize) {
        self.network.world.take_events(self.network.client);
        let (client, circuit) = (self.network.client, self.circuit);
        self.is_cut.set(true);
        let mut left = span;
        while left > Duration::ZERO {
            if is_busy {
                self.network.world.command(client, Command::Send { circuit, payload: b"into the void" });
            }
            let step = left.min(Duration::from_millis(500));
            self.network.world.run_for(step);
            left -= step;
        }
        self.is_cut.set(false);
        self.network.world.run_for(Duration::from_secs(5));
        let events = self.network.world.take_events(client);
        let came = events.iter().filter(|(_, event)| matches!(event, Event::CircuitReady { .. }));
        let went = events.iter().filter(|(_, event)| matches!(event, Event::CircuitEnded { .. }));
        (came.count(), went.count())
    }

    fn handshakes(&self) -> usize {
        self.sent.borrow().iter().filter(|(_, _, is_handshake)| *is_handshake).count()
    }
}

#[test]
fn circuits_outlive_a_line_that_is_silent_for_up_to_a_minute_and_more() {
    for (seed, seconds) in (1..).zip([0.3, 0.9, 1.6, 3.0, 5.0, 12.0, 60.0, 110.0]) {
        for (is_busy, cover) in [(false, "none"), (true, "none"), (true, "user-link=256kbps")] {
            let mut story = story(seed, cover, Duration::from_millis(20));
            let (came, went) = story.silence(Duration::from_secs_f64(seconds), is_busy);
            let what = format!("{seconds} s, busy: {is_busy}, {cover}");
            assert_eq!(went, 0, "{what}: circuits end");
            assert!(story.network.echo(story.circuit, b"on", Duration::from_secs(2)), "{what}");
            assert!(seconds > 5.0 || came == 0, "{what}: {came} circuits are new");
        }
    }
}

#[test]
fn a_silent_line_shows_no_handshakes_for_five_seconds_whatever_its_user_does() {
    for (seed, cover) in
        (1..9).zip(["none", "user-link=64kbps", "user-link=64kbps,links=64kbps"].into_iter().cycle())
    {
        for is_busy in [false, true] {
            for seconds in [1, 3, 5] {
                let mut story = story(seed, cover, Duration::from_millis(20));
                let before = story.handshakes();
                story.silence(Duration::from_secs(seconds), is_busy);
                assert_eq!(
                    story.handshakes() - before,
                    0,
                    "seed {seed}, {cover}, busy: {is_busy}, {seconds} s"
                );
            }
        }
    }
}

#[test]
fn a_covered_client_sends_the_same_while_its_line_is_silent_as_if_it_were_not() {
    let sent = |is_cut: bool, is_busy: bool| {
        let mut story = story(3, "user-link=64kbps,links=64kbps", Duration::from_millis(20));
        story.network.world.run_for(Duration::from_secs(1));
        if is_cut {
            story.silence(Duration::from_secs(5), is_busy);
        } else {
            story.network.world.run_for(Duration::from_secs(10));
        }
        story.sent.borrow().clone()
    };
    let undisturbed = sent(false, false);
    assert!(undisturbed.len() > 120, "{}", undisturbed.len());
    for is_busy in [false, true] {
        assert_eq!(sent(true, is_busy), undisturbed, "busy: {is_busy}");
    }
}

#[test]
fn cutting_a_line_again_and_again_brings_no_circuit_and_no_exit_that_was_not_there() {
    let mut story = story(5, "none", Duration::from_millis(20));
    for round in 0..40 {
        let seconds = [0.5, 1.5, 2.5, 5.0][round % 4];
        let (came, went) = story.silence(Duration::from_secs_f64(seconds), round % 3 > 0);
        assert_eq!((came, went), (0, 0), "round {round}");
    }
}

/// Who lets the answers through and not the questions, or the other way round, gains nothing either.
#[test]
fn a_line_that_is_cut_in_one_direction_only_loses_no_circuit() {
    for to_client in [false, true] {
        let mut story = story(6, "none", Duration::from_millis(20));
        let (client, is_cut) = (story.network.client, Rc::clone(&story.is_cut));
        story.network.world.tap(move |datagram: &OnWire| {
            let is_hit = if to_client { datagram.to == client } else { datagram.from == client };
            if is_hit && is_cut.get() { Verdict::Drop } else { Verdict::Pass }
        });
        let circuit = story.circuit;
        // An exit that has something to say all the time: something arrives.
        let exits = story.network.mixes.clone();
        story.network.world.take_events(client);
        story.network.world.command(client, Command::Send { circuit, payload: b"begin" });
        story.network.world.run_for(Duration::from_secs(1));
        let (exit, at_exit) = exits
            .iter()
            .find_map(|exit| story.network.world.take_delivered(*exit).first().map(|(at, _)| (*exit, *at)))
            .expect("an exit");
        story.is_cut.set(true);
        for _ in 0..20 {
            story.network.world.command(exit, Command::Send { circuit: at_exit, payload: b"news" });
            story.network.world.command(client, Command::Send { circuit, payload: b"lost" });
            story.network.world.run_for(Duration::from_millis(400));
        }
        story.is_cut.set(false);
        assert!(story.network.echo(circuit, b"on", Duration::from_secs(3)), "to the client: {to_client}");
        let ended: BTreeSet<_> = story
            .network
            .world
            .take_events(client)
            .into_iter()
            .filter(|(_, event)| matches!(event, Event::CircuitEnded { .. }))
            .map(|(at, event)| (at, format!("{event:?}")))
            .collect();
        assert!(ended.is_empty(), "to the client: {to_client}: {ended:?}");
    }
}

/// A cut that is long enough has a client call other mixes. Once it is over, a covered one has its first hop again, and that only.
#[test]
fn a_covered_client_speaks_to_one_mix_again_after_a_cut_of_any_length() {
    for (seed, seconds) in (1..).zip([8, 12, 30, 70]) {
        for is_busy in [false, true] {
            let mut story = story(seed, "user-link=64kbps", Duration::from_millis(20));
            let rounds = if seconds == 12 { 6 } else { 1 };
            (0..rounds).for_each(|_| _ = story.silence(Duration::from_secs(seconds), is_busy));
            story.network.world.run_for(Duration::from_secs(30));
            story.sent.borrow_mut().clear();
            story.network.world.run_for(Duration::from_secs(10));
            let sent = story.sent.borrow().len();
            assert!((60..=63).contains(&sent), "{seconds} s, busy: {is_busy}: {sent} datagrams in 10 s");
            let links = story.network.world.node(story.network.client).sizes().links;
            assert_eq!(links, 1, "{seconds} s, busy: {is_busy}");
        }
    }
}

/// Who lets through what he likes of a line, the first of two at once, every second or third, has a client draw few other exits.
#[test]
fn whoever_drops_by_a_pattern_has_a_client_meet_few_other_exits() {
    for pattern in ["first of a burst", "every second", "every third", "one in 300 ms"] {
        for seed in 1..=3 {
            let mut story = story_among((24, 20), seed, "none", Duration::from_millis(20));
            let client = story.network.client;
            let before = exits(&story.network);
            let (mut count, mut last) = (0, Time::ZERO);
            story.network.world.tap(move |datagram: &OnWire| {
                if datagram.from != client {
                    return Verdict::Pass;
                }
                count += 1;
                let passes = match pattern {
                    "first of a burst" => datagram.at - last > Duration::from_millis(5),
                    "every second" => count % 2 == 0,
                    "every third" => count % 3 == 0,
                    _ => datagram.at - last > Duration::from_millis(300),
                };
                if passes || pattern == "first of a burst" {
                    last = datagram.at;
                }
                if passes { Verdict::Pass } else { Verdict::Drop }
            });
            let mut all = before.clone();
            for stream in 2..120 {
                let circuit = story.circuit;
                story.network.world.command(
                    client,
                    Command::Attach { stream, isolation: [7; 32], port: Some(443), avoid: &[] },
                );
                story.network.world.command(client, Command::Send { circuit, payload: b"on and on" });
                story.network.world.run_for(Duration::from_millis(500));
                all.extend(exits(&story.network));
            }
            let met = all.difference(&before).count();
            println!("{pattern}: {met} new exits of 20 in a minute");
            assert!(met <= 11, "{pattern}: {met} new exits of 20 in a minute"); // as `limits::REDRAWS_MAX` says
        }
    }
}

/// Where the circuits of a network's client end.
fn exits(network: &Network) -> BTreeSet<NodeId> {
    let own = network.world.node(network.client).own_circuits(network.world.now());
    own.into_iter().filter_map(|circuit| circuit.path.last().copied()).collect()
}

/// Their exits could tell that they are one client's.
#[test]
fn circuits_are_not_asked_together_when_a_line_is_back() {
    let mut story = story(4, "none", Duration::from_millis(20));
    let (client, mut used) = (story.network.client, vec![story.circuit]);
    for isolation in 10..20 {
        used.extend(story.network.attach(isolation.into(), isolation));
    }
    story.network.world.run_for(Duration::from_secs(5));
    story.is_cut.set(true);
    for circuit in &used {
        story.network.world.command(client, Command::Send { circuit: *circuit, payload: b"into the void" });
    }
    story.network.world.run_for(Duration::from_secs(4));
    story.is_cut.set(false);
    story.sent.borrow_mut().clear();
    story.network.world.run_for(Duration::from_secs(3));
    let mut at_once = BTreeMap::<Time, usize>::new();
    story.sent.borrow().iter().for_each(|(at, _, _)| *at_once.entry(*at).or_default() += 1);
    let most = at_once.values().max().copied().unwrap_or(0);
    assert!(at_once.values().sum::<usize>() >= used.len(), "all are asked");
    assert!(most <= 4, "{most} at once"); // a question to the first hop each, and one to a circuit
}

/// As on one machine that was suspended, or whose firewall was set up anew: nobody hears anybody.
#[test]
fn circuits_outlive_a_network_in_which_everything_is_silent_at_once() {
    for (seed, seconds) in (1..).zip([1, 2, 5, 20, 60]) {
        let mut story = story(seed, "none", Duration::from_millis(1));
        let is_silent = Rc::new(Cell::new(true));
        let silent = Rc::clone(&is_silent);
        story.network.world.tap(move |_: &OnWire| if silent.get() { Verdict::Drop } else { Verdict::Pass });
        let (client, circuit) = (story.network.client, story.circuit);
        for _ in 0..seconds * 2 {
            story.network.world.command(client, Command::Send { circuit, payload: b"into the void" });
            story.network.world.run_for(Duration::from_millis(500));
        }
        is_silent.set(false);
        assert!(story.network.echo(circuit, b"on", Duration::from_secs(3)), "{seconds} s");
    }
}

#[test]
fn a_first_hop_that_dies_is_told_from_a_silent_line_within_two_seconds() {
    for seed in 1..=8 {
        let Story { mut network, circuit, .. } = story(seed, "none", Duration::from_millis(30));
        let now = network.world.now();
        let own = network.world.node(network.client).own_circuits(now);
        let first = network.host_of(own.iter().find(|own| own.is_used).unwrap().path[0]);
        network.world.crash(first);
        let died = network.world.now();
        network.world.command(network.client, Command::Send { circuit, payload: b"into the void" });
        let served = (2..40).any(|stream| {
            let next = network.attach(stream, 7).expect("a circuit");
            network.echo(next, b"again", Duration::from_millis(300))
        });
        let took = network.world.now() - died;
        assert!(served && took < Duration::from_secs(2), "seed {seed}: {took:?}");
    }
}
