//! The network document on a node's disk: read at startup, read again when the operator puts a newer one there, and
//! replaced when a neighbour has a newer one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use throng_core::Time;
use throng_core::config::Membership;
use throng_core::documents::Conflict;
use throng_core::documents::{Document, DocumentError, Roots};
use throng_core::output::Doubt;
use throng_net::clock::Clock;
use throng_net::driver::{Driver, News, Order};
use throng_net::notices::{About, Notices};
use throng_net::suite::Fast;
use tokio::sync::watch;

use super::{days, files};
use crate::disk;

/// How often the file is checked for changes.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A node's network document.
pub(crate) struct DocumentFile {
    path: PathBuf,
    roots: Roots,
    /// The document in force, for whoever wants to know.
    in_force: watch::Sender<Arc<Document>>,
    clock: Clock,
    modified: Option<SystemTime>,
    /// What was in the file at the last look was refused.
    is_refused: bool,
    notices: Notices,
}

impl DocumentFile {
    /// Reads and verifies it. What its owner should know of it goes to `notices`.
    pub(crate) fn open(path: PathBuf, roots: Roots, clock: Clock, notices: Notices) -> Result<Self> {
        let modified = modified(&path);
        let document = Arc::new(read(&path, &roots, clock.now())?);
        let evidence = contradiction(&path);
        if evidence.exists() {
            // Evidence about an older serial does not concern the one in force; but that takes reading it.
            let bytes = fs::read(&evidence).with_context(|| format!("reading {}", evidence.display()))?;
            if let Ok(other) = Document::verify::<Fast>(&bytes, &roots, clock.now()) {
                document.replaces(&other).with_context(|| refused(&path))?;
            }
        }
        let in_force = watch::Sender::new(document);
        let opened = Self { path, roots, in_force, clock, modified, is_refused: false, notices };
        opened.watch_expiry();
        Ok(opened)
    }

    /// The document in force.
    pub(crate) fn document(&self) -> Arc<Document> {
        Arc::clone(&self.in_force.borrow())
    }

    /// The same, and those that follow it.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Document>> {
        self.in_force.subscribe()
    }

    /// What the node starts with.
    pub(crate) fn membership(&self) -> Membership {
        Membership::Signed { roots: self.roots.clone(), document: self.document() }
    }

    /// Keeps node and file in step: a newer document of a neighbour goes to the file, a newer file of the operator to the
    /// node. Cancel-safe. Returns when the node has stopped.
    pub(crate) async fn keep(&mut self, driver: &mut Driver) -> Result<()> {
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            let news = tokio::select! {
                news = driver.news() => match news {
                    Some(news) => Some(news),
                    None => bail!("the node stopped: its socket failed"),
                },
                _ = look.tick() => None,
            };
            // The operator's file first: it must not be overwritten unread.
            let put = self.look();
            self.watch_expiry();
            if let Some(news) = news {
                self.write(&news);
            }
            if let Some(document) = put {
                driver.orders().send(Order::Document(document)).await.context("the node has stopped")?;
            }
        }
    }

    /// Says in time that the document expires, each day that it is still so, and that it has expired.
    fn watch_expiry(&self) {
        let document = self.document();
        let statement = document.statement();
        if let Some(notice) = expiry(statement.from, statement.until, self.clock.now()) {
            self.notices
                .hold(About::Expiry, format!("the network document (serial {}) {notice}", statement.serial));
        }
    }

    /// The operator's document, if the file has changed.
    fn look(&mut self) -> Option<Arc<Document>> {
        let now = modified(&self.path);
        if now == self.modified {
            // Nobody writes it any more.
            if std::mem::take(&mut self.is_refused) {
                self.set_aside();
            }
            return None;
        }
        (self.modified, self.is_refused) = (now, false);
        match read(&self.path, &self.roots, self.clock.now()) {
            Ok(document) if document == *self.document() => None,
            Ok(document) if document.statement().serial < self.document().statement().serial => {
                tell!(
                    "throng: {} is older than the document in force, and was replaced by it",
                    self.path.display()
                );
                self.put_in_force();
                None
            }
            Ok(document) => Some(Arc::new(document)),
            Err(error) => {
                tell!("throng: {error:#}; the previous document stays in force");
                // What is not valid yet, or cannot be read, may be good.
                let why = error.downcast_ref::<DocumentError>();
                self.is_refused = why.is_some_and(|why| *why != DocumentError::NotYet);
                None
            }
        }
    }

    /// Puts the document in force into the place of what cannot be one: the next start must find it.
    fn set_aside(&mut self) {
        let aside = self.path.with_added_extension("refused");
        match fs::copy(&self.path, &aside) {
            Ok(_) => {
                tell!("throng: what was refused is kept as {}", aside.display());
                self.put_in_force();
            }
            Err(error) => tell!("throng: what was refused cannot be kept as {}: {error}", aside.display()),
        }
    }

    /// Saves what the node learned of its network, and reports it.
    fn write(&mut self, news: &News) {
        match news {
            News::Document(document) => {
                let before = self.document();
                let (old, new) = (before.statement(), document.statement());
                if old.design.geometry == new.design.geometry {
                    tell!("throng: network document {} is in force", new.serial);
                } else {
                    tell!(
                        "throng: network document {} changes the length of datagrams: restart to use it",
                        new.serial
                    );
                }
                self.notices.end(About::Document);
                self.notices.end(About::Expiry);
                self.notices.end(About::Doubt);
                self.notices.end(About::Refused);
                self.in_force.send_replace(Arc::clone(document));
            }
            News::Conflict(other) => {
                self.notices.hold(About::Document, Conflict { serial: other.statement().serial }.to_string());
                write(&contradiction(&self.path), other.as_bytes());
            }
            News::OtherHistory(before) => {
                let (serial, path) = (before.statement().serial, other_history(&self.path));
                let text = format!(
                    "the document that we had, serial {serial}, is not the one of that serial that the next one \
                     names: operators' keys have signed two histories. Ours is kept as {}: ask the operators",
                    path.display()
                );
                self.notices.hold(About::History, text);
                return write(&path, before.as_bytes());
            }
            News::Doubted(doubt) => {
                return self.notices.hold(About::Doubt, in_words(doubt, self.document().digest()));
            }
            News::Refused(why) => {
                let text = format!("a neighbour's network document is refused: {why}");
                return self.notices.hold(About::Refused, text);
            }
        }
        self.put_in_force();
    }

    /// Writes the document in force.
    fn put_in_force(&mut self) {
        write(&self.path, self.document().as_bytes());
        self.modified = modified(&self.path);
    }
}

/// What is to be said of a document that is valid in this span, from the last third of it on.
fn expiry(from: Time, until: Time, now: Time) -> Option<String> {
    if now >= until {
        return Some(
            "has expired: nothing works until its operators have signed a newer one (`throng network sign`) and somebody here \
             or a neighbour has it"
                .into(),
        );
    }
    let left = until - now;
    if left > (until - from) / 3 {
        return None;
    }
    let (days, hours) = (left.as_secs() / days(1).as_secs(), left.as_secs() / 3600);
    let span = match (days, hours) {
        (0, 0) => "within the hour".into(),
        (0, _) => "within a day".into(),
        (1, _) => "in 1 day".into(),
        (days, _) => format!("in {days} days"),
    };
    Some(format!("expires {span}: its operators must sign a newer one (`throng network sign`)"))
}

/// What an exit says of documents. It may lie; so may whoever gave us ours.
fn in_words(doubt: &Doubt, ours: &[u8; 32]) -> String {
    let Doubt { exit, serial, digest, is_newer } = doubt;
    let (exit, theirs) = (exit.fingerprint(), files::to_hex(&digest[..8]));
    if *is_newer {
        return format!(
            "mix {exit} has had a newer network document (serial {serial}, {theirs}…) for more than an hour, and none of our \
             first hops gives it to us: get it from the operators"
        );
    }
    format!(
        "mix {exit} holds another history of this network (serial {serial} is {theirs}… there, and ours {}…): it lies, or one \
         of us was shown documents that others are not. Ask the operators which one is right",
        files::to_hex(&ours[..8])
    )
}

/// A file that cannot be written is reported; it is no reason to stop.
fn write(path: &Path, bytes: &[u8]) {
    if let Err(error) = disk::write(path, bytes) {
        tell!("throng: {error:#}");
    }
}

fn read(path: &Path, roots: &Roots, now: Time) -> Result<Document> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    Document::verify::<Fast>(&bytes, roots, now).with_context(|| refused(path))
}

fn refused(path: &Path) -> String {
    format!("the network document {} is refused", path.display())
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|about| about.modified()).ok()
}

/// Where a document is kept that those after it do not name.
fn other_history(document: &Path) -> PathBuf {
    document.with_extension("other-history")
}

/// Where the second of two documents with one serial is kept: as evidence, and so that a restart does not forget it.
fn contradiction(document: &Path) -> PathBuf {
    document.with_extension("conflict")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_said_to_expire_from_the_last_third_on_each_day_anew() {
        let day = |number: u16| Time::from_secs(1_000_000) + days(number);
        let said = |now| expiry(day(0), day(30), now);
        assert_eq!(said(day(19)), None);
        let daily: Vec<_> = (20..30).filter_map(|days| said(day(days))).collect();
        assert_eq!(daily.len(), 10);
        assert!(daily[0].starts_with("expires in 10 days: its operators must"), "{}", daily[0]);
        assert!(daily[9].starts_with("expires in 1 day:"), "{}", daily[9]);
        assert!(daily.windows(2).all(|two| two[0] != two[1]), "what changes is said again");
        assert!(said(day(29) + Duration::from_secs(3600)).unwrap().contains("within a day"));
        assert!(said(day(30)).unwrap().starts_with("has expired: nothing works until"));
    }
}
