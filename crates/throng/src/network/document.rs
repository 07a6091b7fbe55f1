//! The network document on a node's disk: read at the start, looked at again when the operator puts a newer one there,
//! replaced when a neighbour has a newer one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use throng_core::Time;
use throng_core::membership::document::Conflict;
use throng_core::membership::{Document, Membership, Roots};
use throng_net::clock::Clock;
use throng_net::driver::{Driver, News, Order};
use throng_net::suite::Fast;

use super::files;

/// How often is looked whether the file changed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A node's network document.
pub(crate) struct DocumentFile {
    path: PathBuf,
    roots: Roots,
    document: Arc<Document>,
    clock: Clock,
    modified: Option<SystemTime>,
}

impl DocumentFile {
    /// Reads and verifies it.
    pub(crate) fn open(path: PathBuf, roots: Roots, clock: Clock) -> Result<Self> {
        let modified = modified(&path);
        let document = Arc::new(read(&path, &roots, clock.now())?);
        if let Ok(other) = read(&contradiction(&path), &roots, clock.now()) {
            document.replaces(&other).with_context(|| refused(&path))?;
        }
        Ok(Self { path, roots, document, clock, modified })
    }

    /// The document in force.
    pub(crate) fn document(&self) -> &Arc<Document> {
        &self.document
    }

    /// What the node begins with.
    pub(crate) fn membership(&self) -> Membership {
        Membership::Signed { roots: self.roots.clone(), document: Arc::clone(&self.document) }
    }

    /// Keeps node and file in step, for ever: what a neighbour had that is newer goes to the file, what the operator
    /// put into the file goes to the node. Cancel-safe.
    pub(crate) async fn keep(&mut self, driver: &mut Driver) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            let news = tokio::select! {
                news = driver.news() => match news {
                    Some(news) => Some(news),
                    None => std::future::pending().await, // the node has ended
                },
                _ = look.tick() => None,
            };
            // First what the operator put there: it must not be written over unread.
            let put = self.look();
            if let Some(news) = news {
                self.write(&news);
            }
            if let Some(document) = put {
                let _ = driver.orders().try_send(Order::Document(document));
            }
        }
    }

    /// What the operator put into the file, if that has changed.
    fn look(&mut self) -> Option<Arc<Document>> {
        let now = modified(&self.path);
        if now == self.modified {
            return None;
        }
        self.modified = now;
        match read(&self.path, &self.roots, self.clock.now()) {
            Ok(document) => (document != *self.document).then(|| Arc::new(document)),
            Err(error) => {
                eprintln!("throng: {error:#}; the one before stays in force");
                None
            }
        }
    }

    /// Keeps what the node heard of its network, and says so.
    fn write(&mut self, news: &News) {
        let (path, document, said) = match news {
            News::Document(document) => {
                let serial = document.statement().serial;
                self.document = Arc::clone(document);
                (self.path.clone(), document, format!("network document {serial} is in force"))
            }
            News::Conflict(other) => {
                let conflict = Conflict { serial: other.statement().serial };
                (contradiction(&self.path), other, conflict.to_string())
            }
        };
        eprintln!("throng: {said}");
        if let Err(error) = files::write(&path, document.as_bytes()) {
            eprintln!("throng: {error:#}");
        }
        self.modified = modified(&self.path);
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

/// Where the other one of two truths is kept, as evidence and so that a restart does not forget it.
fn contradiction(document: &Path) -> PathBuf {
    document.with_extension("conflict")
}
