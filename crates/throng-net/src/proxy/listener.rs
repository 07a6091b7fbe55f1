//! The connection of an application that may have said everything and still listen.
//!
//! TCP does not tell who shut its sending side from who is gone, before something is written to it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::odd_targets::OddTargets;
use super::{HTTP_HEADER_MAX_BYTES, HTTP_HEADER_MAX_LINES};

/// An application's connection. While somebody else reads and writes it, its [`Listening`] says whether the application is there.
pub(super) struct Listener {
    tcp: Arc<TcpStream>,
    written: Arc<AtomicU64>,
    targets: OddTargets,
    /// Requests were understood.
    is_http: Arc<AtomicBool>,
}

/// What is no HTTP that can be understood: often TLS or SSH, from a program that takes this for a server.
const NOT_UNDERSTOOD: &str = concat!(
    "This could not be understood: it is neither SOCKS nor HTTP, or its target or headers are not as HTTP has them.\n",
    include_str!("this_is_a_proxy.txt")
);

fn headers_too_long() -> String {
    let kib = HTTP_HEADER_MAX_BYTES / 1024;
    format!("The header section of a request may have {kib} KiB and {HTTP_HEADER_MAX_LINES} lines.\n")
}

/// So much is read at once where request lines are looked for.
const READ_AT_ONCE: usize = 4096;

/// Whether an application still listens, as far as can be known.
pub(super) struct Listening {
    tcp: Arc<TcpStream>,
    written: Arc<AtomicU64>,
    is_http: Arc<AtomicBool>,
}

/// So often it is looked for within the time after which it counts as gone.
const LOOKS: u32 = 10;

impl Listener {
    pub(super) fn new(tcp: TcpStream) -> (Self, Listening) {
        let (tcp, written) = (Arc::new(tcp), Arc::<AtomicU64>::default());
        let is_http = Arc::<AtomicBool>::default();
        let listening =
            Listening { tcp: Arc::clone(&tcp), written: Arc::clone(&written), is_http: Arc::clone(&is_http) };
        (Self { tcp, written, targets: OddTargets::default(), is_http }, listening)
    }

    /// The connection as such, when nobody asks any more whether the application listens; and what it has said that nobody
    /// has read.
    pub(super) fn into_inner(self) -> Option<(TcpStream, Bytes)> {
        Some((Arc::into_inner(self.tcp)?, self.targets.into_unread()))
    }
}

impl Listening {
    /// To be called when a request was understood: what is written from then on answers it.
    pub(super) fn understood(&self) -> impl Fn() + use<> {
        let is_http = Arc::clone(&self.is_http);
        move || is_http.store(true, Relaxed)
    }

    /// Returns when the application broke its connection off, or has said everything and took nothing for `span`.
    pub(super) async fn is_over(&self, span: Duration) {
        let (mut silent_for, mut before) = (0, self.written.load(Relaxed));
        loop {
            sleep(span / LOOKS).await;
            // Not by looking at what is there to be read: nobody may read it any more.
            let ready =
                timeout(Duration::from_millis(1), self.tcp.ready(Interest::READABLE | Interest::WRITABLE));
            let ready = ready.await.ok().and_then(Result::ok);
            if ready.is_some_and(|ready| ready.is_write_closed()) {
                return;
            }
            let has_said_all = ready.is_some_and(|ready| ready.is_read_closed());
            let now = self.written.load(Relaxed);
            silent_for = if has_said_all && now == before { silent_for + 1 } else { 0 };
            before = now;
            if silent_for >= LOOKS {
                return;
            }
        }
    }

    /// Has the connection end with a reset: what was passed on must not look complete.
    pub(super) fn reset(&self) {
        let _ = self.tcp.set_zero_linger();
    }
}

impl AsyncRead for Listener {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let plain = self.targets.plain();
        if plain > 0 {
            let into = out.initialize_unfilled();
            let most = into.len().min(plain);
            let length = ready!(self.poll_some(cx, &mut into[..most]))?;
            out.advance(length);
            self.targets.passed(length);
            return Poll::Ready(Ok(()));
        }
        if !self.targets.has_some() {
            let mut some = [0; READ_AT_ONCE];
            let length = ready!(self.poll_some(cx, &mut some))?;
            self.targets.take(&some[..length]);
        }
        let length = self.targets.read(out.initialize_unfilled());
        out.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl Listener {
    fn poll_some(&self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.tcp.poll_read_ready(cx))?;
            match self.tcp.try_read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
        }
    }

    /// The library's own answer to what it does not understand says nothing: ours goes in its place, if it is one.
    fn say_why(&self, bytes: &[u8]) -> Option<usize> {
        let status = bytes.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
        if self.is_http.load(Relaxed) {
            return None;
        }
        let why = if status == b"431" { headers_too_long() } else { NOT_UNDERSTOOD.to_owned() };
        let line = bytes.split(|byte| *byte == b'\r').next()?;
        let answer = format!(
            "{}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{why}",
            String::from_utf8_lossy(line),
            why.len()
        );
        // It is the first that is written: there is room. Whoever has left does not miss it.
        let _ = self.tcp.try_write(answer.as_bytes());
        Some(bytes.len())
    }

    fn poll_written(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.tcp.poll_write_ready(cx))?;
            match write(&self.tcp) {
                Ok(length) => {
                    self.written.fetch_add(length as u64, Relaxed);
                    return Poll::Ready(Ok(length));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Listener {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.say_why(bytes) {
            Some(length) => Poll::Ready(Ok(length)),
            None => self.poll_written(cx, |tcp| tcp.try_write(bytes)),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match slices.first().and_then(|first| self.say_why(first)) {
            Some(_) => Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum())),
            None => self.poll_written(cx, |tcp| tcp.try_write_vectored(slices)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // it is closed by who drops it last
    }
}
