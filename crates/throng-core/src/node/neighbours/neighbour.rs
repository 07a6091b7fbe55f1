//! One neighbour: who it is, the keys between us, where it is, its slots, which circuits run here, whether it lives.
//!
//! Keys are renewed and addresses change under it; what runs on the link does not notice.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::circuits::Circuits;
use super::keys::{Keys, KeysDue, Opened};
use super::paths::Paths;
use super::session::Session;
use crate::cover::{Guard, Pace};
use crate::crypto::{ANSWER_BYTES, Initiation, Suite};
use crate::id::{End, NeighbourKey, NodeId};
use crate::limits::{
    ASKED_TOGETHER, CALL_ANEW_AFTER, CALL_ANEW_QUESTIONS, CREATES_PER_LINK_PER_SECOND_MAX, LINK_IDLE_MAX,
    LINK_SILENCE_DEAD, LINK_UNCONFIRMED_MAX, PROOF_EVERY, SESSION_AGE_MAX, SETUP_SENDS_MAX,
};
use crate::membership::Record;
use crate::node::context::Cx;
use crate::rate::Bucket;
use crate::refused::Refused;
use crate::silence::{Patience, Pulse, Silence, TripTime, retry_after};
use crate::time::Time;
use crate::timers::{Due, Timer};
use crate::wire::cell::CellHeader;
use crate::wire::control::Control;

/// One neighbour.
pub(crate) struct Neighbour<S: Suite> {
    pub(super) who: Who,
    pub(super) stage: Stage<S>,
    pub(super) paths: Paths,
    pub(super) circuits: Circuits,
    /// What is to be done when the link is up.
    pub(super) waiting: Vec<End>,
    pub(super) creates: Bucket,
    pub(super) due: Due,
    pub(super) introduction: Introduction,
    /// What goes to it goes in these slots; none if it goes at once.
    pub(super) slots: Option<Box<Pace>>,
    /// A defence that watches what passes.
    pub(super) guard: Option<Box<Guard>>,
    /// When the handshake with it began, or was answered.
    pub(super) begun: Time,
    pub(super) keys: Keys<S>,
    /// When it wanted a proof checked or a handshake done last.
    proved: Option<Time>,
    silence: Silence,
    trip: TripTime,
    /// The latest question: its number, and when it was sent.
    question: (u32, Time),
    /// When the latest question was sent that was answered.
    answered_at: Time,
    /// Whether circuits of our own know that it does not answer.
    is_found_silent: bool,
    /// How much longer than elsewhere the neighbour may be silent.
    more_patience: Duration,
}

/// Who a neighbour is. It says so, whoever opened the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// It has not said yet.
    Unknown,
    /// A client: nobody in particular.
    Client,
    /// A mix, which proved that it is this one.
    Mix(NodeId),
}

/// How far a link is.
pub(crate) enum Stage<S: Suite> {
    /// Our offer waits for the answer.
    Opening(Box<Opening<S>>),
    /// We answered an offer, and the neighbour has not shown that it has the answer.
    Answered(Box<Unconfirmed>),
    /// It is up.
    Up,
}

pub(crate) struct Opening<S: Suite> {
    pub(super) initiation: Initiation<S>,
    /// What proves that we are where each of its addresses sees us: another one for each, since a mix sees us at another
    /// address over IPv6 than over IPv4. At most one for each address of its record.
    pub(super) cookies: Vec<(SocketAddr, [u8; 16])>,
    pub(super) sends: u32,
}

pub(crate) struct Unconfirmed {
    /// The offer's hash.
    pub(super) offer: [u8; 32],
    pub(super) answer: [u8; ANSWER_BYTES],
}

/// Whether we said who we are, as we do on links that we opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Introduction {
    /// The neighbour knows whom it called.
    Needless,
    /// We said so this often, and say it again then until it is believed.
    Said(u32, Time),
    /// It was believed, then.
    Believed(Time),
}

/// What a link wants when its time has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Nothing until then.
    Wait(Time),
    /// Send our offer (again).
    Offer,
    /// Say who we are (again).
    Introduce,
    /// Offer other keys (again).
    Renew,
    /// Use the keys that were agreed.
    ChangeKeys,
    /// Let the keys go that were in use before.
    Expire,
    /// Ask whether the neighbour lives.
    Ping,
    /// The neighbour does not answer.
    Dead,
    /// Nobody needs it any more, or its keys are too old.
    Forget,
}

impl<S: Suite> Neighbour<S> {
    /// One to which we open a link.
    pub(super) fn to(record: Arc<Record>, initiation: Initiation<S>, now: Time) -> Self {
        let who = Who::Mix(record.description().identity);
        let opening = Opening { initiation, cookies: Vec::new(), sends: 0 };
        Self::new(who, Stage::Opening(Box::new(opening)), Paths::of(record), Introduction::Said(0, now), now)
    }

    /// One that opened a link to us.
    pub(super) fn from(paths: Paths, unconfirmed: Unconfirmed, session: Session<S>, now: Time) -> Self {
        let stage = Stage::Answered(Box::new(unconfirmed));
        let mut neighbour = Self::new(Who::Unknown, stage, paths, Introduction::Needless, now);
        neighbour.keys.current = Some(session);
        neighbour
    }

    fn new(who: Who, stage: Stage<S>, paths: Paths, introduction: Introduction, now: Time) -> Self {
        Self {
            who,
            stage,
            paths,
            circuits: Circuits::default(),
            waiting: Vec::new(),
            creates: Bucket::new(CREATES_PER_LINK_PER_SECOND_MAX, now),
            due: Due::NONE,
            introduction,
            slots: None,
            guard: None,
            begun: now,
            keys: Keys { current: None, renewal: None },
            proved: None,
            silence: Silence::new(now),
            trip: TripTime::default(),
            question: (0, Time::NEVER),
            answered_at: Time::ZERO,
            is_found_silent: false,
            more_patience: Duration::ZERO,
        }
    }

    /// Our offer was answered: the link is up.
    pub(super) fn establish(&mut self, session: Session<S>, now: Time) {
        self.keys.current = Some(session);
        self.stage = Stage::Up;
        self.silence.hear(now);
    }

    // --- Who and where --------------------------------------------------------------------------------

    /// Which mix it is, if it is one.
    pub(super) fn peer(&self) -> Option<NodeId> {
        match self.who {
            Who::Mix(peer) => Some(peer),
            Who::Unknown | Who::Client => None,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.keys.current.is_some()
    }

    pub(super) fn is_unconfirmed(&self) -> bool {
        matches!(self.stage, Stage::Answered(_))
    }

    /// Whether we began the handshake that the keys in use are from, or will be.
    pub(super) fn is_initiator(&self) -> bool {
        self.keys.current.as_ref().is_none_or(Session::is_initiator)
    }

    /// Whether a client's first hop is silent for so long that it may have been started anew, and knows us no more. (Not because we
    /// were asleep.)
    pub(super) fn may_know_us_no_more(&self, now: Time) -> bool {
        let is_long = self.silent_since().is_some_and(|since| now - since >= CALL_ANEW_AFTER);
        self.is_up() && is_long && self.unanswered() >= CALL_ANEW_QUESTIONS
    }

    /// Whether nothing runs here, and the neighbour may have forgotten us.
    pub(super) fn may_be_forgotten(&self, now: Time) -> bool {
        self.is_up() && self.is_unused() && now - self.silence.heard() >= LINK_IDLE_MAX / 2
    }

    /// Whether no circuit runs here or is to run here.
    pub(super) fn is_unused(&self) -> bool {
        self.circuits.is_empty() && self.waiting.is_empty()
    }

    // --- Cells ----------------------------------------------------------------------------------------

    /// Opens a datagram under the keys that it names. Only those in use show that the neighbour lives, and knows us.
    pub(super) fn open<'d>(
        &mut self,
        named: (u32, u64),
        datagram: &'d mut [u8],
        now: Time,
    ) -> Result<Opened<'d>, Refused> {
        let opened = self.keys.open(named, datagram, now)?;
        if opened.is_current {
            self.silence.hear(now);
            self.is_found_silent = false;
        }
        Ok(opened)
    }

    /// Returns whether the neighbour may be asked at an address from which one of its datagrams came. A mix is at one of those
    /// that it signed, or anyone able to delay datagrams for a moment could stay in the middle for good; others move as they
    /// like.
    pub(super) fn may_be_at(&self, address: SocketAddr, now: Time) -> bool {
        address != self.paths.chosen()
            && self.paths.may_probe(address, now)
            && match self.who {
                Who::Mix(_) => self.paths.is_candidate(address),
                Who::Client | Who::Unknown => true,
            }
    }

    /// Whether the neighbour may want something now that costs us a signature or a handshake.
    pub(super) fn may_prove(&mut self, now: Time) -> bool {
        let may = self.proved.is_none_or(|before| now - before >= PROOF_EVERY);
        if may {
            self.proved = Some(now);
        }
        may
    }

    /// Seals a cell into a datagram that leaves `at` its slot.
    pub(super) fn seal(
        &mut self,
        key: NeighbourKey,
        to: SocketAddr,
        (header, body): (CellHeader, &[u8]),
        at: Time,
        cx: &mut Cx<'_>,
    ) {
        // The neighbour must hear of new keys: if nothing comes back, it is asked.
        let is_first = self.keys.change_with(at.max(cx.now));
        let Some(session) = self.keys.current.as_mut().filter(|session| session.may_seal()) else {
            cx.counts.cells_dropped += 1;
            return;
        };
        session.seal_cell(to, header, body, at, cx);
        if (is_first || header.circuit != 0 || Control::parse(body).is_ok_and(|message| message.asks()))
            && let Some(look) = self.await_answer(cx.now)
        {
            cx.timers.no_later_than(&mut self.due, look, Timer::Link(key));
        }
    }

    // --- Time -----------------------------------------------------------------------------------------

    /// Notes that something was sent to which the neighbour will answer. When to look, if nothing was awaited
    /// before.
    pub(super) fn await_answer(&mut self, now: Time) -> Option<Time> {
        self.silence.speak(self.patience(), now)
    }

    /// The link's time has come: what now? `is_cut_off`: silence may be that of a line, which is no death.
    pub(super) fn wish(&self, is_cut_off: bool, now: Time) -> Wish {
        match &self.stage {
            Stage::Opening(opening) if opening.sends < SETUP_SENDS_MAX => return Wish::Offer,
            Stage::Opening(_) => return Wish::Dead,
            Stage::Answered(_) => {
                let end = self.begun + LINK_UNCONFIRMED_MAX;
                return if now >= end { Wish::Forget } else { Wish::Wait(end) };
            }
            Stage::Up => {}
        }
        let keys_end = self.keys_end();
        let is_idle = self.is_unused() && now - self.silence.heard() >= LINK_IDLE_MAX;
        if is_idle || now >= keys_end {
            return Wish::Forget;
        }
        let pulse = self.silence.pulse(self.patience(), now);
        if pulse == Pulse::Dead && !is_cut_off {
            return Wish::Dead;
        }
        if matches!(pulse, Pulse::Ask | Pulse::Dead) {
            return Wish::Ping; // before all else: whoever is dead must not be waited for
        }
        let introduce_at = match self.introduction {
            Introduction::Said(_, again_at) => again_at,
            Introduction::Needless | Introduction::Believed(_) => Time::NEVER,
        };
        let (renewal_at, due) = self.keys.due();
        if introduce_at <= now {
            return Wish::Introduce;
        }
        if renewal_at <= now {
            return match due {
                KeysDue::Renew => Wish::Renew,
                KeysDue::Change => Wish::ChangeKeys,
                KeysDue::Expire => Wish::Expire,
            };
        }
        let next = match pulse {
            Pulse::Look(at) => at,
            _ => (self.silence.heard() + LINK_IDLE_MAX).max(now + LINK_IDLE_MAX / 4).min(keys_end),
        };
        Wish::Wait(next.min(introduce_at).min(renewal_at))
    }

    /// When no datagram may be sealed any more under the keys in use.
    fn keys_end(&self) -> Time {
        self.keys.current.as_ref().map_or(Time::NEVER, |session| session.since + SESSION_AGE_MAX)
    }

    /// Notes that a question was sent, and says when to look again.
    pub(super) fn asked(&mut self, now: Time) -> Time {
        match &self.stage {
            Stage::Opening(opening) => now + retry_after(opening.sends) + self.more_patience / 2,
            _ => self.silence.ask(self.patience(), now) + self.more_patience / 2,
        }
    }

    /// A question is sent. What comes back in its answer: an even number, since questions at other addresses have odd ones.
    pub(super) fn question(&mut self, now: Time) -> u64 {
        self.question = (self.question.0.wrapping_add(1), now);
        u64::from(self.question.0) << 1
    }

    /// Whether the latest question may well be under way.
    pub(super) fn was_just_asked(&self, now: Time) -> bool {
        self.question.1 <= now && now - self.question.1 < ASKED_TOGETHER
    }

    /// A question was answered. When it was sent, if it is the latest.
    pub(super) fn answered(&mut self, token: u64, now: Time) -> Option<Time> {
        let (number, sent) = self.question;
        let is_latest = token == u64::from(number) << 1 && sent <= now;
        is_latest.then(|| {
            (self.question.1, self.answered_at) = (Time::NEVER, sent);
            self.trip.note(now - sent);
            sent
        })
    }

    /// Whether circuits of our own know that it does not answer.
    pub(super) fn is_found_silent(&self) -> bool {
        self.is_found_silent
    }

    /// They do from now on, until it is heard.
    pub(super) fn find_silent(&mut self) {
        self.is_found_silent = true;
    }

    /// When the latest question was sent that was answered.
    pub(super) fn answered_at(&self) -> Time {
        self.answered_at
    }

    /// Since when an answer is due.
    pub(super) fn silent_since(&self) -> Option<Time> {
        self.silence.since()
    }

    /// Whether the neighbour has not answered a question for longer than usual.
    pub(super) fn is_silent(&self, now: Time) -> bool {
        self.silence.is_unanswered(self.patience(), self.trip, now)
    }

    /// Lets the neighbour be silent for longer.
    pub(super) fn be_patient(&mut self, more: Duration) {
        self.more_patience = more;
    }

    /// Questions since an answer was due.
    pub(super) fn unanswered(&self) -> u32 {
        self.silence.questions()
    }

    pub(super) fn patience(&self) -> Patience {
        let Patience { ask_after, dead_after } = self.trip.patience(LINK_SILENCE_DEAD);
        let more = self.more_patience;
        Patience { ask_after: ask_after + more, dead_after: dead_after + 2 * more }
    }

    /// When something came last.
    pub(super) fn last_heard(&self) -> Time {
        self.silence.heard()
    }

    // --- Slots ----------------------------------------------------------------------------------------

    /// Whether what goes to it goes in slots now.
    pub(super) fn speaks_in_slots(&self) -> bool {
        self.slots.as_ref().is_some_and(|slots| slots.due() != Time::NEVER)
    }
}
