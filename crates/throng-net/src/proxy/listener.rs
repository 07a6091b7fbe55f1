//! The connection of an application that may have said everything and still listen.
//!
//! TCP does not tell who shut its sending side from who is gone, before something is written to it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::odd_targets::OddTargets;

/// An application's connection. While somebody else reads and writes it, its [`Listening`] says whether the application is there.
pub(super) struct Listener {
    tcp: Arc<TcpStream>,
    written: Arc<AtomicU64>,
    targets: OddTargets,
}

/// So much is read at once where request lines are looked for.
const READ_AT_ONCE: usize = 4096;

/// Whether an application still listens, as far as can be known.
pub(super) struct Listening {
    tcp: Arc<TcpStream>,
    written: Arc<AtomicU64>,
}

/// So often it is looked for within the time after which it counts as gone.
const LOOKS: u32 = 10;

impl Listener {
    pub(super) fn new(tcp: TcpStream) -> (Self, Listening) {
        let (tcp, written) = (Arc::new(tcp), Arc::<AtomicU64>::default());
        let listening = Listening { tcp: Arc::clone(&tcp), written: Arc::clone(&written) };
        (Self { tcp, written, targets: OddTargets::default() }, listening)
    }

    /// The connection as such, when nobody asks any more whether the application listens; and what it has said that nobody
    /// has read.
    pub(super) fn into_inner(self) -> Option<(TcpStream, Bytes)> {
        Some((Arc::into_inner(self.tcp)?, self.targets.into_unread()))
    }
}

impl Listening {
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
        self.poll_written(cx, |tcp| tcp.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_written(cx, |tcp| tcp.try_write_vectored(slices))
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
