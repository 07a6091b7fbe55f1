//! What runs on hosts beside their nodes: users with questions, exits with answers.

use std::collections::BTreeMap;
use std::time::Duration;

use throng_core::crypto::Suite;
use throng_core::{CircuitId, Command, Design, Event, NodeId, Time};

use crate::books::{Books, TraceName};
use crate::host::HostId;
use crate::segments::{Manner, Receiver, Segment, SegmentKind, Sender};
use crate::trace::{Deed, What};
use crate::traffic::{RoundTrip, Visit, Visits};
use crate::world::World;

/// After this, an exchange that is not done has failed.
pub(crate) const EXCHANGE_TIME_MAX: Duration = Duration::from_secs(60);
/// The port that users want; every exit serves it.
const PORT: u16 = 443;

/// What a host is called for: a visit is due,
const VISIT: u32 = u32::MAX;
/// or it comes or goes (which is not for applications).
pub(crate) const CHURN: u32 = u32::MAX - 1;

/// All applications of a world.
pub(crate) struct Apps<'p> {
    manner: Manner,
    users: Vec<User<'p>>,
    exits: BTreeMap<HostId, ServingExit>,
    /// What users know exits by.
    exit_names: BTreeMap<NodeId, TraceName>,
    /// By host number: which user lives there.
    user_at: BTreeMap<HostId, usize>,
    /// Virtual time begins for users here.
    begin: Time,
    /// No visit begins after this.
    end: Time,
    pub(crate) tally: Tally,
    pub(crate) problems: Vec<String>,
}

/// What users lived through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) began: u64,
    pub(crate) done: u64,
    pub(crate) failed: u64,
    /// Of those that are done, nanoseconds in all.
    pub(crate) took: u128,
    pub(crate) up: u64,
    pub(crate) down: u64,
    /// Bytes of answers that came, also of those that did not become whole.
    pub(crate) came: u64,
    pub(crate) circuits: u64,
    pub(crate) circuits_took: u128,
    pub(crate) circuits_failed: u64,
    pub(crate) circuits_ended: u64,
}

struct User<'p> {
    host: HostId,
    visits: Visits<'p>,
    next: Option<Visit>,
    exchanges: BTreeMap<u32, UnderWay>,
    made: u32,
    paths: BTreeMap<CircuitId, TraceName>,
}

/// An exchange, from the user's side.
struct UnderWay {
    exchange: RoundTrip,
    then: Option<RoundTrip>,
    began: Time,
    circuit: Option<CircuitId>,
    question: Sender,
    answer: Option<Receiver>,
}

/// What an exit serves.
struct ServingExit {
    name: TraceName,
    serves: BTreeMap<(CircuitId, u32), Served>,
    /// Which circuit carries whose cells: it must stay that way.
    whose: BTreeMap<CircuitId, u32>,
    calls: BTreeMap<u32, (CircuitId, u32)>,
    called: u32,
}

/// An exchange, from the exit's side.
struct Served {
    began: Time,
    question: Receiver,
    answer: Option<Sender>,
}

impl<'p> Apps<'p> {
    pub(crate) fn new(design: &Design) -> Self {
        Self {
            manner: Manner::of(design),
            users: Vec::new(),
            exits: BTreeMap::new(),
            exit_names: BTreeMap::new(),
            user_at: BTreeMap::new(),
            begin: Time::NEVER,
            end: Time::NEVER,
            tally: Tally::default(),
            problems: Vec::new(),
        }
    }

    /// The next user.
    pub(crate) fn add_user(&mut self, host: HostId, visits: Visits<'p>) {
        self.user_at.insert(host, self.users.len());
        let next = None;
        let (exchanges, paths) = (BTreeMap::new(), BTreeMap::new());
        self.users.push(User { host, visits, next, exchanges, made: 0, paths });
    }

    pub(crate) fn add_exit(&mut self, host: HostId, name: TraceName, id: NodeId) {
        self.exit_names.insert(id, name);
        let (serves, whose, calls) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        self.exits.insert(host, ServingExit { name, serves, whose, calls, called: 0 });
    }

    /// Users begin their visits: from now on, until `end`.
    pub(crate) fn begin<S: Suite>(&mut self, world: &mut World<S, Books>, end: Time) {
        self.begin = world.now();
        self.end = end;
        self.tally = Tally { circuits_failed: 0, ..self.tally };
        for user in 0..self.users.len() {
            self.plan_visit(world, user);
        }
    }

    /// No new visits from now on; each user asks one thing more. (After everything was healed, it must be answered.)
    pub(crate) fn ask_once_more<S: Suite>(&mut self, world: &mut World<S, Books>) {
        self.end = Time::ZERO;
        for user in 0..self.users.len() {
            self.ask(world, user, RoundTrip { up: 300, down: 20_000 }, None);
        }
    }

    /// Which user lives at a host.
    pub(crate) fn user_at(&self, host: HostId) -> Option<usize> {
        self.user_at.get(&host).copied()
    }

    /// Exchanges that are neither done nor failed.
    pub(crate) fn under_way(&self) -> usize {
        self.users.iter().map(|user| user.exchanges.len()).sum()
    }

    /// A user's host stopped: what it had under way failed, and its user sees that.
    pub(crate) fn user_is_down<S: Suite>(&mut self, world: &mut World<S, Books>, user: usize) {
        let exchanges: Vec<u32> = self.users[user].exchanges.keys().copied().collect();
        exchanges.into_iter().for_each(|exchange| self.finish(world, user, exchange, What::Failed));
        self.users[user].paths.clear();
    }

    /// A mix's host stopped, and with it what it served as an exit.
    pub(crate) fn exit_is_down(&mut self, host: HostId) {
        if let Some(exit) = self.exits.get_mut(&host) {
            exit.serves.clear();
            exit.whose.clear();
            exit.calls.clear();
        }
    }

    /// A host wanted to be called.
    pub(crate) fn called<S: Suite>(&mut self, world: &mut World<S, Books>, host: HostId, token: u32) {
        if let Some(&user) = self.user_at.get(&host)
            && (token & EXIT == 0 || token == VISIT)
        {
            if token == VISIT {
                self.visit(world, user);
            } else {
                self.look(world, user, token);
            }
        } else {
            self.look_at_exit(world, host, token);
        }
        self.heard(world, host);
    }

    /// Events and deliveries wait at a host.
    pub(crate) fn heard<S: Suite>(&mut self, world: &mut World<S, Books>, host: HostId) {
        loop {
            let (events, delivered) = (world.take_events(host), world.take_delivered(host));
            if events.is_empty() && delivered.is_empty() {
                return;
            }
            for (_, event) in events {
                self.event(world, host, event);
            }
            for (circuit, payload) in delivered {
                self.delivery(world, host, circuit, &payload);
            }
        }
    }

    fn event<S: Suite>(&mut self, world: &mut World<S, Books>, host: HostId, event: Event) {
        let user = self.user_at.get(&host).copied();
        match (event, user) {
            (Event::CircuitReady { circuit, path, took }, Some(user)) => {
                self.tally.circuits += 1;
                self.tally.circuits_took += took.as_nanos();
                let exit = path.last().and_then(|last| self.exit_names.get(last)).copied();
                self.users[user].paths.insert(circuit, exit.unwrap_or(TraceName::MAX));
            }
            (Event::CircuitNotBuilt { .. }, Some(_)) => self.tally.circuits_failed += 1,
            (Event::Attached { stream, circuit }, Some(user)) => {
                let exchange = stream as u32;
                if let Some(asked) = self.users[user].exchanges.get_mut(&exchange) {
                    asked.circuit = Some(circuit);
                    asked.question = Sender::new(asked.exchange.up, self.manner, world.now());
                    self.send(world, user, exchange);
                } else {
                    world.command(host, Command::Detach { circuit });
                }
            }
            (Event::NotAttached { stream, .. }, Some(user)) => {
                self.finish(world, user, stream as u32, What::Failed);
            }
            (Event::CircuitEnded { circuit, .. }, _) if circuit.is_own() => {
                let Some(user) = user else { return };
                self.tally.circuits_ended += 1;
                self.users[user].paths.remove(&circuit);
                let lost =
                    self.users[user].exchanges.iter().filter(|(_, asked)| asked.circuit == Some(circuit));
                let lost: Vec<u32> = lost.map(|(exchange, _)| *exchange).collect();
                lost.into_iter().for_each(|exchange| self.finish(world, user, exchange, What::Failed));
            }
            (Event::CircuitEnded { circuit, .. }, _) => {
                if let Some(exit) = self.exits.get_mut(&host) {
                    exit.serves.retain(|(of, _), _| *of != circuit);
                    exit.whose.remove(&circuit);
                }
            }
            _ => {}
        }
    }

    fn delivery<S: Suite>(
        &mut self,
        world: &mut World<S, Books>,
        host: HostId,
        circuit: CircuitId,
        payload: &[u8],
    ) {
        let Some(segment) = Segment::parse(payload) else {
            self.problems.push(format!("{:?}: a payload came that nobody sent", world.now()));
            return;
        };
        if circuit.is_own() {
            self.answered(world, host, circuit, &segment);
        } else {
            self.asked(world, host, circuit, &segment);
        }
    }

    // --- Users ----------------------------------------------------------------------------------------

    fn plan_visit<S: Suite>(&mut self, world: &mut World<S, Books>, user: usize) {
        let one = &mut self.users[user];
        one.next = one.visits.next();
        if let Some(visit) = one.next
            && self.begin + visit.at < self.end
        {
            world.call_at(self.begin + visit.at, one.host, VISIT);
        }
    }

    fn visit<S: Suite>(&mut self, world: &mut World<S, Books>, user: usize) {
        let Some(visit) = self.users[user].next.take() else { return };
        if world.now() >= self.end {
            return;
        }
        if world.is_up(self.users[user].host) {
            self.ask(world, user, visit.first, visit.then);
        }
        self.plan_visit(world, user);
    }

    fn ask<S: Suite>(
        &mut self,
        world: &mut World<S, Books>,
        user: usize,
        exchange: RoundTrip,
        then: Option<RoundTrip>,
    ) {
        let now = world.now();
        let one = &mut self.users[user];
        let number = one.made;
        one.made += 1;
        let question = Sender::new(exchange.up, self.manner, now);
        one.exchanges
            .insert(number, UnderWay { exchange, then, began: now, circuit: None, question, answer: None });
        let host = one.host;
        self.tally.began += 1;
        self.note(world, user, number, What::Began, exchange, TraceName::MAX);
        world.call_at(now + self.manner.repeat_after, host, number);
        let isolation = [1; 32]; // one application per user
        world.command(
            host,
            Command::Attach { stream: u64::from(number), isolation, port: Some(PORT), avoid: &[] },
        );
        self.heard(world, host);
    }

    /// Sends what may go of a question.
    fn send<S: Suite>(&mut self, world: &mut World<S, Books>, user: usize, exchange: u32) {
        let one = &mut self.users[user];
        let Some(asked) = one.exchanges.get_mut(&exchange) else { return };
        let Some(circuit) = asked.circuit else { return };
        let now = world.now();
        asked.question.repeat(now);
        for number in asked.question.go(now) {
            let segment = question_segment(user, exchange, asked, number);
            world.command(one.host, Command::Send { circuit, payload: &segment.write() });
        }
    }

    /// An exchange is looked at from time to time: what got lost is sent again, and nothing lasts for ever.
    fn look<S: Suite>(&mut self, world: &mut World<S, Books>, user: usize, exchange: u32) {
        let Some(asked) = self.users[user].exchanges.get(&exchange) else { return };
        if world.now() - asked.began >= EXCHANGE_TIME_MAX {
            return self.finish(world, user, exchange, What::Failed);
        }
        self.send(world, user, exchange);
        let one = &self.users[user];
        if let Some(asked) = one.exchanges.get(&exchange) {
            let end = asked.began + EXCHANGE_TIME_MAX;
            let due = if asked.question.is_done() { end } else { asked.question.due() };
            world.call_at(due.max(world.now() + SOON).min(end), one.host, exchange);
        }
    }

    fn answered<S: Suite>(
        &mut self,
        world: &mut World<S, Books>,
        host: HostId,
        circuit: CircuitId,
        segment: &Segment,
    ) {
        let Some(&user) = self.user_at.get(&host) else { return };
        let now = world.now();
        if segment.user != user as u32
            || matches!(segment.kind, SegmentKind::Question | SegmentKind::AnswerCame)
        {
            let whose = segment.user;
            self.problems.push(format!("{now:?}: user {user} was given a cell of user {whose}"));
            return;
        }
        let Some(asked) = self.users[user].exchanges.get_mut(&segment.exchange) else {
            // Done with, or given up: the other side need not go on.
            if segment.kind == SegmentKind::Answer {
                let all = Segment {
                    kind: SegmentKind::AnswerCame,
                    useful: 0,
                    number: segment.of,
                    more: 0,
                    ..*segment
                };
                world.command(host, Command::Send { circuit, payload: &all.write() });
            }
            return;
        };
        if asked.circuit != Some(circuit) {
            self.problems.push(format!("{now:?}: user {user} was answered on another circuit"));
            return;
        }
        match segment.kind {
            SegmentKind::QuestionCame => {
                if let Some(number) = asked.question.acknowledged(segment.number, segment.more, now) {
                    let again = question_segment(user, segment.exchange, asked, number);
                    world.command(host, Command::Send { circuit, payload: &again.write() });
                }
                self.send(world, user, segment.exchange);
            }
            _ => {
                asked.question.acknowledged(asked.question.of, 0, now);
                let answer = asked.answer.get_or_insert_with(|| Receiver::new(segment.of));
                let before = answer.bytes;
                let is_acknowledged = answer.take(segment);
                self.tally.came += answer.bytes - before;
                if is_acknowledged {
                    let (number, more) = (answer.came, answer.beyond);
                    let came = Segment { kind: SegmentKind::AnswerCame, useful: 0, number, more, ..*segment };
                    world.command(host, Command::Send { circuit, payload: &came.write() });
                }
                if let Some(answer) = self.users[user].exchanges[&segment.exchange].answer.as_ref()
                    && answer.is_done()
                {
                    self.complete(world, user, segment.exchange);
                }
            }
        }
    }

    /// An answer is whole.
    fn complete<S: Suite>(&mut self, world: &mut World<S, Books>, user: usize, exchange: u32) {
        let Some(asked) = self.users[user].exchanges.get(&exchange) else { return };
        let came = asked.answer.as_ref().map_or(0, |answer| answer.bytes);
        let (expected, then) = (asked.exchange.down, asked.then);
        if came != expected {
            let now = world.now();
            self.problems.push(format!("{now:?}: user {user} received {came} bytes instead of {expected}"));
        }
        self.finish(world, user, exchange, What::Done);
        if let Some(then) = then
            && self.begin <= world.now()
            && world.now() < self.end
        {
            self.ask(world, user, then, None);
        }
    }

    fn finish<S: Suite>(&mut self, world: &mut World<S, Books>, user: usize, exchange: u32, what: What) {
        let one = &mut self.users[user];
        let Some(asked) = one.exchanges.remove(&exchange) else { return };
        let exit =
            asked.circuit.and_then(|circuit| one.paths.get(&circuit).copied()).unwrap_or(TraceName::MAX);
        let host = one.host;
        match what {
            What::Done => {
                self.tally.done += 1;
                self.tally.took += (world.now() - asked.began).as_nanos();
                self.tally.up += asked.exchange.up;
                self.tally.down += asked.exchange.down;
            }
            What::Failed => self.tally.failed += 1,
            What::Began => {}
        }
        self.note(world, user, exchange, what, asked.exchange, exit);
        if let Some(circuit) = asked.circuit {
            world.command(host, Command::Detach { circuit });
        }
    }

    fn note<S: Suite>(
        &self,
        world: &mut World<S, Books>,
        user: usize,
        exchange: u32,
        what: What,
        of: RoundTrip,
        exit: TraceName,
    ) {
        let at = (world.now() - self.begin).as_nanos() as u64;
        let deed = Deed { at, what, user: user as u32, exchange, exit, up: of.up, down: of.down };
        world.watcher_mut().trace_mut().deeds.push(deed);
    }

    // --- Exits ----------------------------------------------------------------------------------------

    fn asked<S: Suite>(
        &mut self,
        world: &mut World<S, Books>,
        host: HostId,
        circuit: CircuitId,
        segment: &Segment,
    ) {
        let now = world.now();
        let Some(exit) = self.exits.get_mut(&host) else {
            self.problems.push(format!("{now:?}: a mix that is no exit was given a payload"));
            return;
        };
        let whose = *exit.whose.entry(circuit).or_insert(segment.user);
        if whose != segment.user || matches!(segment.kind, SegmentKind::Answer | SegmentKind::QuestionCame) {
            let other = segment.user;
            self.problems.push(format!("{now:?}: a circuit of user {whose} carried a cell of user {other}"));
            return;
        }
        let key = (circuit, segment.exchange);
        if segment.kind == SegmentKind::AnswerCame {
            let Some(sender) = exit.serves.get_mut(&key).and_then(|served| served.answer.as_mut()) else {
                return;
            };
            if let Some(number) = sender.acknowledged(segment.number, segment.more, now) {
                let again = answer_segment(segment, sender, number);
                world.command(host, Command::Send { circuit, payload: &again.write() });
            }
            if sender.is_done() {
                exit.serves.remove(&key);
                return;
            }
            return self.answer(world, host, key, segment.user);
        }
        let served = exit.serves.entry(key).or_insert_with(|| Served {
            began: now,
            question: Receiver::new(segment.of),
            answer: None,
        });
        if served.question.take(segment) {
            let (number, more) = (served.question.came, served.question.beyond);
            let came = Segment { kind: SegmentKind::QuestionCame, useful: 0, number, more, ..*segment };
            world.command(host, Command::Send { circuit, payload: &came.write() });
        }
        if served.question.is_done() && served.answer.is_none() {
            served.answer = Some(Sender::new(segment.more, self.manner, now));
            let (inward, outward, name) = (segment.more, served.question.bytes, exit.name);
            exit.called = (exit.called + 1) % (CHURN - EXIT);
            let token = EXIT + exit.called;
            exit.calls.insert(token, key);
            world.call_at(now + self.manner.repeat_after, host, token);
            world.watcher_mut().outside(name, inward, outward, now);
            self.answer(world, host, key, segment.user);
        }
    }

    /// Sends what may go of an answer.
    fn answer<S: Suite>(
        &mut self,
        world: &mut World<S, Books>,
        host: HostId,
        key: (CircuitId, u32),
        user: u32,
    ) {
        let Some(exit) = self.exits.get_mut(&host) else { return };
        let Some(sender) = exit.serves.get_mut(&key).and_then(|served| served.answer.as_mut()) else {
            return;
        };
        let now = world.now();
        let of = Segment {
            user,
            exchange: key.1,
            kind: SegmentKind::Answer,
            asks: false,
            useful: 0,
            number: 0,
            of: 0,
            more: 0,
        };
        sender.repeat(now);
        for number in sender.go(now) {
            let segment = answer_segment(&of, sender, number);
            world.command(host, Command::Send { circuit: key.0, payload: &segment.write() });
        }
    }

    fn look_at_exit<S: Suite>(&mut self, world: &mut World<S, Books>, host: HostId, token: u32) {
        let Some(exit) = self.exits.get_mut(&host) else { return };
        let Some(key) = exit.calls.remove(&token) else { return };
        let Some(user) = exit.whose.get(&key.0).copied() else { return };
        let Some(served) = exit.serves.get(&key).filter(|_| world.is_up(host)) else { return };
        if world.now() - served.began >= EXCHANGE_TIME_MAX {
            exit.serves.remove(&key); // who asked has given it up as well
            return;
        }
        self.answer(world, host, key, user);
        let Some(exit) = self.exits.get_mut(&host) else { return };
        if let Some(sender) = exit.serves.get(&key).and_then(|served| served.answer.as_ref()) {
            exit.calls.insert(token, key);
            world.call_at(sender.due().max(world.now() + SOON), host, token);
        }
    }
}

/// Calls with this bit are an exit's.
const EXIT: u32 = 1 << 31;
/// Nothing is looked at more often.
const SOON: Duration = Duration::from_millis(50);

fn question_segment(user: usize, exchange: u32, asked: &UnderWay, number: u32) -> Segment {
    Segment {
        user: user as u32,
        exchange,
        kind: SegmentKind::Question,
        asks: asked.question.asks(number),
        useful: asked.question.useful(number),
        number,
        of: asked.question.of,
        more: asked.exchange.down,
    }
}

fn answer_segment(of: &Segment, sender: &Sender, number: u32) -> Segment {
    Segment {
        kind: SegmentKind::Answer,
        asks: sender.asks(number),
        useful: sender.useful(number),
        number,
        of: sender.of,
        more: 0,
        ..*of
    }
}
