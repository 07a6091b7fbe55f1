//! The two halves of a QUIC stream, which know whether they came to a clean end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use quinn::{RecvStream, SendStream, VarInt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::request::Abort;

/// What the far end is told when a stream is cut off.
const CUT_OFF: VarInt = VarInt::from_u32(1);

/// What we send on a stream.
pub(crate) struct Sending {
    stream: SendStream,
    finished: bool,
}

/// What we receive on a stream.
pub(crate) struct Receiving {
    stream: RecvStream,
    ended: bool,
}

impl Sending {
    pub(crate) fn new(stream: SendStream) -> Self {
        Self { stream, finished: false }
    }
}

impl Receiving {
    pub(crate) fn new(stream: RecvStream) -> Self {
        Self { stream, ended: false }
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
        AsyncWrite::poll_write(Pin::new(&mut self.stream), cx, bytes)
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
        let nothing = out.filled().len() == before && out.remaining() > 0;
        self.ended |= nothing && matches!(done, Poll::Ready(Ok(())));
        done
    }
}
