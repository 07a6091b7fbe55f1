//! The two halves of a stream through a circuit, which know whether they came to a clean end.
//!
//! QUIC gives up what was not delivered when a stream is reset: an error would overtake what was said before it. So bytes go
//! in frames, and what ends a stream stands behind them, whether it is its end or an error:
//!
//! ```text
//! length u16 (not 0) · bytes …, and so on; at last: 0 u16 · 0 u8 (the end) or 1 u8 (it was cut off here)
//! ```

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use quinn::{RecvStream, SendStream, VarInt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use crate::pipe::memory::Portion;
use crate::request::Abort;

/// What the far end is told when a stream is cut off in the middle of a frame.
const CUT_OFF: VarInt = VarInt::from_u32(1);
/// Most bytes of a frame.
const FRAME_BYTES_MAX: usize = 32 * 1024;
/// What stands behind the last frame of a stream that came to its end,
const END: [u8; 3] = [0, 0, 0];
/// and of one that did not.
const CUT: [u8; 3] = [0, 0, 1];
/// How long what was said before an error may take to be sent.
const LAST_WORDS_TIME: Duration = Duration::from_secs(10);

/// What we send on a stream.
pub(crate) struct Sending {
    /// None once it is left to its last words.
    stream: Option<SendStream>,
    /// What is to be sent before the next bytes.
    head: Head,
    /// Bytes of the frame that are still to come.
    left: usize,
    finished: bool,
    /// Its circuit's.
    portion: Arc<Portion>,
}

/// A frame's length, or the end, on its way out.
#[derive(Default)]
struct Head {
    bytes: [u8; 3],
    said: usize,
    of: usize,
}

impl Head {
    fn has_begun(&self) -> bool {
        self.said > 0
    }

    fn is_said(&self) -> bool {
        self.said == self.of
    }
}

/// What we receive on a stream.
pub(crate) struct Receiving {
    stream: RecvStream,
    /// The head of the next frame, as far as it came.
    head: ([u8; 3], usize),
    /// Bytes of the frame that are still to come.
    left: usize,
    ended: bool,
    aborted: bool,
    /// Its circuit's.
    portion: Arc<Portion>,
}

impl Sending {
    pub(crate) fn new(stream: SendStream, portion: Arc<Portion>) -> Self {
        portion.opened();
        Self { stream: Some(stream), head: Head::default(), left: 0, finished: false, portion }
    }

    fn poll_raw(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let length = ready!(AsyncWrite::poll_write(Pin::new(stream), cx, bytes))?;
        self.portion.wrote(length);
        Poll::Ready(Ok(length))
    }

    /// A frame of which nothing was said yet was not promised.
    fn retract(&mut self) {
        if !self.head.has_begun() {
            (self.left, self.head) = (0, Head::default());
        }
    }

    /// Sends what is to be sent before the next bytes.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.head.is_said() {
            let Head { bytes, said, of } = self.head;
            self.head.said += ready!(self.poll_raw(cx, &bytes[said..of]))?;
        }
        Poll::Ready(Ok(()))
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
        Self { stream, head: ([0; 3], 0), left: 0, ended: false, aborted: false, portion }
    }

    /// So many bytes; none if nothing more comes.
    fn poll_raw(&mut self, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        let length = ready!(self.stream.poll_read(cx, out)).map_err(io::Error::from)?;
        if length > 0 {
            self.portion.took(length);
        }
        Poll::Ready(Ok(length))
    }

    /// Reads the head of the next frame. Whether there is one.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            let (head, got) = self.head;
            let wanted = if got >= 2 && head[..2] == [0, 0] { 3 } else { 2 };
            if got == wanted {
                self.head.1 = 0;
                self.left = u16::from_be_bytes([head[0], head[1]]).into();
                return Poll::Ready(match (self.left, head[2]) {
                    (1.., _) => Ok(true),
                    (0, 0) => Ok(false),
                    (0, _) => Err(io::ErrorKind::ConnectionReset.into()),
                });
            }
            let mut head = head;
            match ready!(self.poll_raw(cx, &mut head[got..wanted]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                length => self.head = (head, got + length),
            }
        }
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.portion.closed();
    }
}

impl Abort for Sending {
    /// What was said before arrives before the error, unless it is in the middle of a frame, or takes too long.
    fn abort(&mut self) {
        self.retract();
        let Some(mut stream) = self.stream.take().filter(|_| !self.finished) else { return };
        self.finished = true;
        let is_whole = self.left == 0 && self.head.is_said();
        match tokio::runtime::Handle::try_current().ok().filter(|_| is_whole) {
            Some(runtime) => drop(runtime.spawn(async move {
                let said = timeout(LAST_WORDS_TIME, stream.write_all(&CUT)).await;
                if !matches!(said, Ok(Ok(()))) || stream.finish().is_err() {
                    let _ = stream.reset(CUT_OFF); // it may be closed already
                }
            })),
            None => {
                let _ = stream.reset(CUT_OFF);
            }
        }
    }
}

impl Abort for Receiving {
    fn abort(&mut self) {
        if !self.ended && !self.aborted {
            let _ = self.stream.stop(CUT_OFF);
            self.aborted = true;
        }
    }
}

impl AsyncWrite for Sending {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        // What was promised and not said yet may be promised anew: nobody has to come again with the same bytes.
        if self.left == 0 || !self.head.has_begun() {
            self.left = bytes.len().min(FRAME_BYTES_MAX);
            let [high, low] = (self.left as u16).to_be_bytes();
            self.head = Head { bytes: [high, low, 0], said: 0, of: 2 };
        }
        ready!(self.poll_head(cx))?;
        let some = bytes.len().min(self.left);
        let length = ready!(self.poll_raw(cx, &bytes[..some]))?;
        self.left -= length;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Some(stream) => Pin::new(stream).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.head.of != END.len() {
            self.retract();
            if self.left > 0 {
                return Poll::Ready(Err(io::ErrorKind::InvalidInput.into())); // a frame was promised more
            }
            self.head = Head { bytes: END, said: 0, of: END.len() };
        }
        ready!(self.poll_head(cx))?;
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let done = Pin::new(stream).poll_shutdown(cx);
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
        if self.aborted {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if out.remaining() == 0 || self.ended {
            return Poll::Ready(Ok(()));
        }
        if self.left == 0 && !ready!(self.poll_head(cx))? {
            self.ended = true;
            return Poll::Ready(Ok(()));
        }
        let some = out.remaining().min(self.left);
        let length = ready!(self.poll_raw(cx, out.initialize_unfilled_to(some)))?;
        if length == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        out.advance(length);
        self.left -= length;
        Poll::Ready(Ok(()))
    }
}
