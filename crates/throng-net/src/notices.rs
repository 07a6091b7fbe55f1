//! What the owner of a node should know and can do something about: said once on stderr, and shown for as long as it lasts.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use throng_core::Time;

use crate::clock::Clock;

/// What comes and goes is said again after this long at the earliest.
const SAID_AGAIN_AFTER: Duration = Duration::from_secs(600);

/// Not more of one kind is said within that time.
const SAID_MAX: usize = 4;
/// What may be over in a moment is said once it has lasted so long.
const LASTING: Duration = Duration::from_secs(5);

/// What a notice is about: there is one of each at most. What keeps more from working is shown first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// Network documents that contradict each other.
    Document,
    /// The network document expires, or has expired.
    Expiry,
    /// Why there are no circuits.
    Circuits,
    /// That other machines may use the proxy.
    OpenProxy,
    /// Why an exit can look up no names.
    Names,
    /// What a mix's file and the network document say differently.
    Record,
    /// That operators' keys have signed two histories of the network.
    History,
    /// What an exit says of network documents.
    Doubt,
    /// A neighbour's network document that cannot be used here.
    Refused,
    /// Why there is no cover.
    Cover,
    /// That today's cover is spent.
    Budget,
}

/// The notices of a node. Copies are the same ones.
#[derive(Clone)]
pub struct Notices {
    clock: Clock,
    all: Arc<Mutex<All>>,
}

#[derive(Default)]
struct All {
    notices: BTreeMap<About, Notice>,
    /// What may be over in a moment, and since when it is so.
    fleeting: BTreeMap<About, Time>,
}

#[derive(Default)]
struct Notice {
    text: String,
    holds: bool,
    /// What was said lately or still holds, and when it was said.
    said: Vec<(String, Time)>,
}

impl Notices {
    /// None so far.
    pub fn new(clock: Clock) -> Self {
        Self { clock, all: Arc::default() }
    }

    /// This holds from now on, whatever was said of the same before. A sentence without a full stop; it names no address.
    pub fn hold(&self, about: About, text: impl Into<String>) {
        let (text, now) = (text.into(), self.clock.now());
        if self.note(about, &text, now) {
            // A terminal that was closed, or a disk that is full, is no reason to stop.
            let _ = writeln!(std::io::stderr(), "throng: {text}");
        }
    }

    /// The same of what may be over in a moment, and is told of again and again as long as it is so.
    pub fn hold_if_it_lasts(&self, about: About, text: impl Into<String>) {
        let now = self.clock.now();
        let since = *self.all().fleeting.entry(about).or_insert(now);
        if now - since >= LASTING {
            self.hold(about, text);
        }
    }

    /// Whether it is to be said.
    fn note(&self, about: About, text: &str, now: Time) -> bool {
        let mut all = self.all();
        let notice = all.notices.entry(about).or_default();
        let held_on = std::mem::replace(&mut notice.holds, true) && notice.text == text;
        text.clone_into(&mut notice.text);
        notice.said.retain(|(said, at)| now - *at < SAID_AGAIN_AFTER || (held_on && said == text));
        // What there is no room for now is said when there is.
        let is_news = notice.said.len() < SAID_MAX && notice.said.iter().all(|(said, _)| said != text);
        if is_news {
            notice.said.push((text.to_owned(), now));
        }
        is_news
    }

    /// Nothing of this kind holds any more.
    pub fn end(&self, about: About) {
        let mut all = self.all();
        all.fleeting.remove(&about);
        if let Some(notice) = all.notices.get_mut(&about) {
            notice.holds = false;
        }
    }

    /// Those that hold, the gravest first.
    pub fn holding(&self) -> Vec<String> {
        let all = self.all();
        all.notices.values().filter(|notice| notice.holds).map(|notice| notice.text.clone()).collect()
    }

    /// What holds about one thing.
    pub fn of(&self, about: About) -> Option<String> {
        self.all().notices.get(&about).filter(|notice| notice.holds).map(|notice| notice.text.clone())
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_is_said_once_and_again_only_if_it_says_something_else_or_was_long_gone() {
        let notices = Notices::new(Clock::start());
        let at = |seconds: u64| Time::from_secs(1000 + seconds);
        assert!(notices.note(About::Cover, "spent", at(0)));
        assert!(!notices.note(About::Cover, "spent", at(1000)), "it still holds");
        notices.end(About::Cover);
        assert!(notices.holding().is_empty());
        assert!(notices.note(About::Cover, "spent", at(1001)));
        notices.end(About::Cover);
        assert!(!notices.note(About::Cover, "spent", at(1002)), "it comes and goes");
        assert!(notices.note(About::Cover, "metered", at(1003)));
        assert!(!notices.note(About::Cover, "spent", at(1004)), "and by turns");
        assert!(!notices.note(About::Cover, "metered", at(1005)));
        for text in ["a", "b"] {
            notices.note(About::Cover, text, at(1006));
        }
        assert!(!notices.note(About::Cover, "c", at(1007)), "too many at once");
        assert!(notices.note(About::Cover, "c", at(1700)), "it still holds, and was never said");
        assert!(notices.note(About::Cover, "metered", at(1701)));
        assert!(notices.note(About::Document, "expired", at(1003)));
        assert_eq!(notices.holding(), ["expired", "metered"]);
    }
}
