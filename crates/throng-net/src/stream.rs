//! The two halves of a QUIC stream, which know whether they came to a clean end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use quinn::{RecvStream, SendStream, VarInt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::pipe::memory::Portion;
use crate::request::Abort;

/// What the far end is told when a stream is cut off.
const CUT_OFF: VarInt = VarInt::from_u32(1);

/// What we send on a stream.
pub(crate) struct Sending {
    stream: SendStream,
    finished: bool,
    /// Its circuit's.
    portion: Arc<Portion>,
}

/// What we receive on a stream.
pub(crate) struct Receiving {
    stream: RecvStream,
    ended: bool,
    /// Its circuit's.
    portion: Arc<Portion>,
}

impl Sending {
    pub(crate) fn new(stream: SendStream, portion: Arc<Portion>) -> Self {
        portion.opened();
        Self { stream, finished: false, portion }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.portion.closed();
    }
}

impl Receiving {
    pub(crate) fn new(stream: RecvStream, portion: Arc<Portion>) -> Self {
        portion.opened();
        Self { stream, ended: false, portion }
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.portion.closed();
    }
}

impl Abort for Sending {
    fn abort(&mut self) {
        if !self.finished {
            let _ = self.stream.reset(CUT_OFF); // it may be closed already
            self.finished = true;
        }
    }
}

impl Abort for Receiving {
    fn abort(&mut self) {
        if !self.ended {
            let _ = self.stream.stop(CUT_OFF);
            self.ended = true;
        }
    }
}

impl AsyncWrite for Sending {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = AsyncWrite::poll_write(Pin::new(&mut self.stream), cx, bytes);
        if let Poll::Ready(Ok(length)) = written {
            self.portion.wrote(length);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.finished |= matches!(done, Poll::Ready(Ok(())));
        done
    }
}

impl AsyncRead for Receiving {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        let done = Pin::new(&mut self.stream).poll_read(cx, out);
        let length = out.filled().len() - before;
        if length > 0 {
            self.portion.took(length);
        }
        self.ended |= length == 0 && out.remaining() > 0 && matches!(done, Poll::Ready(Ok(())));
        done
    }
}
