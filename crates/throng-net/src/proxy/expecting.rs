//! The body of a request whose application wants to hear first whether the server takes it (RFC 9110 §10.1.1).
//!
//! It is not asked for before the server said so, or was silent for a while: who asks for it tells the application to go on. Once
//! there is an answer without it, it is never asked for: what comes on the connection may be another request by then.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header;
use hyper::{Request, StatusCode};
use tokio::sync::Notify;
use tokio::time::timeout;

/// A body that may have to wait.
pub(super) struct Expecting {
    body: Incoming,
    /// Until then it waits; nothing once it does not.
    awaits: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    expectation: Expectation,
}

/// What became of an application's wish to hear first.
#[derive(Clone, Default)]
pub(super) struct Expectation {
    fate: Arc<AtomicU8>,
}

/// Nothing was decided; the body is asked for; there was an answer without it.
const OPEN: u8 = 0;
const BEGUN: u8 = 1;
const ANSWERED: u8 = 2;

impl Expectation {
    /// The server answered. Whether the body was never asked for, and will not be.
    pub(super) fn is_needless(&self) -> bool {
        self.fate.compare_exchange(OPEN, ANSWERED, SeqCst, SeqCst).is_ok()
    }
}

impl Expecting {
    /// The request, and its expectation if it has one. `is_current`: whether it came as HTTP/1.1; `at_most`: how long a silent server is waited for.
    pub(super) fn body_of(
        mut request: Request<Incoming>,
        is_current: bool,
        at_most: Duration,
    ) -> (Request<Self>, Option<Expectation>) {
        let value = request.headers().get(header::EXPECT).map(|value| value.as_bytes());
        let expects = is_current
            && !request.body().is_end_stream()
            && value.is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"));
        let expectation = Expectation::default();
        let awaits = expects.then(|| {
            let said = Arc::new(Notify::new());
            let told = Arc::clone(&said);
            hyper::ext::on_informational(&mut request, move |response| {
                if response.status() == StatusCode::CONTINUE {
                    told.notify_one();
                }
            });
            let awaits = async move { drop(timeout(at_most, said.notified()).await) };
            Box::pin(awaits) as Pin<Box<dyn Future<Output = ()> + Send>>
        });
        let told = expects.then(|| expectation.clone());
        (request.map(|body| Self { body, awaits, expectation }), told)
    }
}

impl Body for Expecting {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(awaits) = &mut self.awaits {
            ready!(awaits.as_mut().poll(cx));
            if self.expectation.fate.compare_exchange(OPEN, BEGUN, SeqCst, SeqCst).is_err() {
                return Poll::Pending; // its connection ends with the answer
            }
            self.awaits = None;
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
