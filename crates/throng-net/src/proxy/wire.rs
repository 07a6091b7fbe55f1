//! For tests: a stream through a circuit that is only a pipe in memory, and its far end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use crate::request::Abort;

/// The near end: what a circuit gives.
pub(crate) struct NearEnd {
    pipe: DuplexStream,
    marks: Arc<Marks>,
}

/// The far end: what the test plays.
pub(crate) struct Far {
    pub(crate) pipe: DuplexStream,
    marks: Arc<Marks>,
}

#[derive(Default)]
struct Marks {
    aborted: AtomicBool,
    cut: AtomicBool,
}

pub(crate) fn pair() -> (NearEnd, Far) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let marks = Arc::<Marks>::default();
    (NearEnd { pipe: near, marks: marks.clone() }, Far { pipe: far, marks })
}

impl Far {
    /// Whether the near end was aborted.
    pub(crate) fn aborted(&self) -> bool {
        self.marks.aborted.load(SeqCst)
    }

    /// The circuit breaks: the near end reads what is under way, and then an error.
    pub(crate) fn cut(self) {
        self.marks.cut.store(true, SeqCst);
    }
}

impl Abort for NearEnd {
    fn abort(&mut self) {
        self.marks.aborted.store(true, SeqCst);
    }
}

impl AsyncRead for NearEnd {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.pipe).poll_read(cx, buffer))?;
        if buffer.filled().len() == before && self.marks.cut.load(SeqCst) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for NearEnd {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.pipe).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}
