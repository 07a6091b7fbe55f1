//! The keys between us and one neighbour: those in use, and those that will follow or were before.

use alloc::boxed::Box;

use super::session::{Session, Side};
use crate::crypto::{ANSWER_BYTES, Initiation, OFFER_BYTES, Suite};
use crate::limits::{SESSION_CHANGE_EVERY, SESSION_GRACE};
use crate::refused::Refused;
use crate::time::Time;

/// The keys between us and one neighbour.
pub(super) struct Keys<S: Suite> {
    /// Those in use; none before the handshake is done.
    pub(super) current: Option<Session<S>>,
    /// Those that will follow, or were in use before.
    pub(super) renewal: Option<Box<Renewal<S>>>,
}

/// Keys beside those in use.
#[expect(clippy::large_enum_variant, reason = "a neighbour has it in a box, and not for long")]
pub(super) enum Renewal<S: Suite> {
    /// We offered others.
    Asked(AskedRenewal<S>),
    /// Our offer was answered, and their time has not come.
    Agreed {
        /// The keys.
        next: Session<S>,
        /// When they come into use.
        change_at: Time,
    },
    /// The neighbour did, and we answered; it has not used them yet.
    Answered(AnsweredRenewal<S>),
    /// Those that were in use before.
    Changed {
        /// The keys.
        previous: Session<S>,
        /// Until when they are kept.
        until: Time,
    },
}

/// An offer of ours.
pub(super) struct AskedRenewal<S: Suite> {
    pub(super) initiation: Initiation<S>,
    pub(super) ours: u32,
    pub(super) sends: u32,
    pub(super) again_at: Time,
    /// When the first offer was due: not when it was sent, since timers are late, and later the more there is to do.
    pub(super) since: Time,
    /// Ours of the keys that follow. Drawn here: in which order links agree on theirs depends on what waits.
    pub(super) side: Side,
}

impl<S: Suite> AskedRenewal<S> {
    /// When the keys come into use if they are agreed `now`.
    pub(super) fn change_at(&self, now: Time) -> Time {
        let periods = (now - self.since).as_nanos() / SESSION_CHANGE_EVERY.as_nanos();
        self.since + SESSION_CHANGE_EVERY * (periods as u32 + 1)
    }
}

/// An offer of the neighbour's, and what we said to it.
pub(super) struct AnsweredRenewal<S: Suite> {
    pub(super) next: Session<S>,
    pub(super) theirs: u32,
    pub(super) offer: [u8; OFFER_BYTES],
    pub(super) answer: Box<[u8; ANSWER_BYTES]>,
}

impl<S: Suite> Renewal<S> {
    /// By which number the neighbour calls us under these keys.
    pub(super) fn number(&self) -> u32 {
        match self {
            Self::Asked(asked) => asked.ours,
            Self::Agreed { next, .. } => next.ours,
            Self::Answered(answered) => answered.next.ours,
            Self::Changed { previous, .. } => previous.ours,
        }
    }
}

/// A datagram that was opened.
pub(super) struct Opened<'d> {
    pub(super) cell: &'d mut [u8],
    /// Whether it came under the keys in use.
    pub(super) is_current: bool,
    /// Whether it did, and none was sent after it.
    pub(super) is_newest: bool,
}

/// What is to be done about keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeysDue {
    /// Other ones are to be asked for (again).
    Renew,
    /// Those that were agreed come into use.
    Change,
    /// Those of before go.
    Expire,
}

impl<S: Suite> Keys<S> {
    /// By which numbers the neighbour may call us.
    pub(super) fn numbers(&self) -> [Option<u32>; 2] {
        [self.current.as_ref().map(|session| session.ours), self.renewal_number()]
    }

    /// By which number it calls us under keys beside those in use.
    pub(super) fn renewal_number(&self) -> Option<u32> {
        self.renewal.as_deref().map(Renewal::number)
    }

    /// When something is to be done about them, and what.
    pub(super) fn due(&self) -> (Time, KeysDue) {
        match self.renewal.as_deref() {
            Some(Renewal::Asked(asked)) => (asked.again_at, KeysDue::Renew),
            Some(Renewal::Agreed { change_at, .. }) => (*change_at, KeysDue::Change),
            Some(Renewal::Answered(_)) => (Time::NEVER, KeysDue::Renew),
            Some(Renewal::Changed { until, .. }) => (*until, KeysDue::Expire),
            None => match &self.current {
                Some(session) if session.is_initiator() && session.is_worn() => (Time::ZERO, KeysDue::Renew),
                Some(session) => (session.renew_at, KeysDue::Renew),
                None => (Time::NEVER, KeysDue::Renew),
            },
        }
    }

    /// Opens a datagram under the keys that it names.
    pub(super) fn open<'d>(
        &mut self,
        (number, counter): (u32, u64),
        datagram: &'d mut [u8],
        now: Time,
    ) -> Result<Opened<'d>, Refused> {
        let cell = match &mut self.current {
            Some(current) if current.ours == number => current.open(counter, datagram)?,
            _ => self.open_beside((number, counter), datagram, now)?,
        };
        let current = self.current.as_ref().filter(|current| current.ours == number);
        let is_newest = current.is_some_and(|current| current.is_newest(counter));
        Ok(Opened { cell, is_current: current.is_some(), is_newest })
    }

    /// Opens a datagram under keys beside those in use. The next keys come into use with that.
    fn open_beside<'d>(
        &mut self,
        (number, counter): (u32, u64),
        datagram: &'d mut [u8],
        now: Time,
    ) -> Result<&'d mut [u8], Refused> {
        match self.renewal.as_deref_mut() {
            Some(Renewal::Changed { previous, .. }) if previous.ours == number => {
                previous.open(counter, datagram)
            }
            Some(Renewal::Answered(answered)) if answered.next.ours == number => {
                let cell = answered.next.open(counter, datagram)?;
                if let Some(Renewal::Answered(answered)) = self.renewal.take().map(|renewal| *renewal) {
                    self.change_to(answered.next, now);
                }
                Ok(cell)
            }
            _ => Err(Refused::UnknownSession),
        }
    }

    /// A datagram is sealed that leaves `at` some moment: keys change with it if their time has come and nobody changed them
    /// before, since what has a slot is sealed before it, and timers are late. Whether they did.
    pub(super) fn change_with(&mut self, at: Time) -> bool {
        let is_due =
            matches!(self.renewal.as_deref(), Some(Renewal::Agreed { change_at, .. }) if *change_at <= at);
        if is_due {
            self.change(at);
        }
        is_due
    }

    /// The keys that were agreed are in use from now on.
    pub(super) fn change(&mut self, now: Time) {
        match self.renewal.take().map(|renewal| *renewal) {
            Some(Renewal::Agreed { next, .. }) => self.change_to(next, now),
            _ => unreachable!("only keys that were agreed have a time"),
        }
    }

    /// Other keys are in use from now on.
    pub(super) fn change_to(&mut self, session: Session<S>, now: Time) {
        if let Some(previous) = self.current.replace(session) {
            self.renewal = Some(Box::new(Renewal::Changed { previous, until: now + SESSION_GRACE }));
        }
    }
}
