//! A TCP connection and a stream through a circuit, joined: what comes in on one goes out on the other.
//!
//! Each direction ends for itself, so a side that has said everything can still listen (half-close). An
//! error is never turned into a clean end: data that was cut off must not look complete at the far end.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::request::Abort;

/// What one direction holds at most, in user space.
pub(crate) const COPY_BUFFER_BYTES: usize = 32 * 1024;
/// What it holds before it was full once: most streams are short or silent, and there are thousands.
const COPY_BUFFER_FIRST_BYTES: usize = 2 * 1024;

/// How long the kernel gets to deliver what was said before a reset.
pub(crate) const LAST_WORDS_TIME: Duration = Duration::from_millis(300);

/// How long we still read, and throw away, what a side sends after all is said: closing with unread bytes
/// would make the kernel send a reset, which can overtake our last words.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// Which directions came to a clean end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CleanEnds {
    /// TCP → stream: everything was read, and the stream was shut down.
    pub(crate) from_tcp: bool,
    /// Stream → TCP: everything was read, and the TCP connection was shut down.
    pub(crate) to_tcp: bool,
}

/// Copies `early`, then everything that comes, until both directions have ended, one has failed beyond
/// help, nothing has moved for `idle`, or `lost` says that the stream's circuit is gone: whoever waits for a TCP
/// connection that neither reads nor writes does not see that at the stream.
///
/// The TCP connection, if `to_tcp` did not end cleanly, is set to be reset when it is dropped; to abort what
/// did not end cleanly on the stream is for the caller.
pub(crate) async fn splice<R, W>(
    tcp: &mut TcpStream,
    recv: &mut R,
    send: &mut W,
    early: &[u8],
    idle: Duration,
    lost: impl Future<Output = ()>,
) -> CleanEnds
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let ended = copy_both(tcp, recv, send, early, idle, lost).await;
    if !ended.to_tcp {
        // A reset overtakes what the kernel still has to send. How much that is, it does not tell us.
        sleep(LAST_WORDS_TIME).await;
        // Whoever reads this connection must not take what it got so far for everything. If the option
        // cannot be set the connection is already dead.
        let _ = tcp.set_zero_linger();
    }
    ended
}

async fn copy_both<R, W>(
    tcp: &mut TcpStream,
    recv: &mut R,
    send: &mut W,
    early: &[u8],
    idle: Duration,
    lost: impl Future<Output = ()>,
) -> CleanEnds
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (mut tcp_in, mut tcp_out) = tcp.split();
    let moved = AtomicU64::new(0);
    let unwanted = AtomicBool::new(false);
    let said = AtomicBool::new(false);
    let is_broken = AtomicBool::new(false);

    let outward = async {
        let copied = copy(&mut tcp_in, send, early, &moved, &is_broken).await;
        if copied == Copied::WriteFailed {
            // The far end wants no more, which says nothing about what it still sends.
            unwanted.store(true, Relaxed);
            drain(&mut tcp_in, if said.load(Relaxed) { DRAIN_TIME } else { Duration::MAX }).await;
        }
        copied
    };
    let sound = AtomicBool::new(false);
    let inward = copy(recv, &mut tcp_out, &[], &moved, &sound);
    let silence = silence(&moved, idle);
    tokio::pin!(outward, inward, silence, lost);

    let (mut from_tcp, mut to_tcp) = (None, None);
    while from_tcp.is_none() || to_tcp.is_none() {
        tokio::select! {
            biased; // what can be brought to its end without waiting comes to it also when the circuit is gone
            copied = &mut outward, if from_tcp.is_none() => {
                from_tcp = Some(copied);
                if copied == Copied::ReadFailed {
                    break;
                }
            }
            copied = &mut inward, if to_tcp.is_none() => {
                to_tcp = Some(copied);
                match copied {
                    Copied::All => said.store(true, Relaxed),
                    // Whoever wants no more may have said why: an answer to half a question.
                    // The kernel tells of a reset once: what was readable is read on, but its end is none.
                    Copied::WriteFailed => is_broken.store(true, Relaxed),
                    Copied::ReadFailed => break,
                }
                if from_tcp.is_none() && unwanted.load(Relaxed) {
                    from_tcp = timeout(DRAIN_TIME, &mut outward).await.ok().or(Some(Copied::WriteFailed));
                }
            }
            () = &mut silence => break,
            () = &mut lost => break,
        }
    }
    CleanEnds { from_tcp: from_tcp == Some(Copied::All), to_tcp: to_tcp == Some(Copied::All) }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Copied {
    All,
    ReadFailed,
    WriteFailed,
}

/// `is_broken`: whether an end of `from` is none.
async fn copy<R, W>(
    from: &mut R,
    to: &mut W,
    early: &[u8],
    moved: &AtomicU64,
    is_broken: &AtomicBool,
) -> Copied
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    if !early.is_empty() && write(to, early).await.is_err() {
        return Copied::WriteFailed;
    }
    let mut buffer = vec![0; COPY_BUFFER_FIRST_BYTES];
    loop {
        match from.read(&mut buffer).await {
            Err(_) => return Copied::ReadFailed,
            Ok(0) if is_broken.load(Relaxed) => return Copied::ReadFailed,
            Ok(0) => return if to.shutdown().await.is_ok() { Copied::All } else { Copied::WriteFailed },
            Ok(length) => {
                moved.fetch_add(1, Relaxed);
                if write(to, &buffer[..length]).await.is_err() {
                    return Copied::WriteFailed;
                }
                moved.fetch_add(1, Relaxed);
                if length == buffer.len() && length < COPY_BUFFER_BYTES {
                    buffer = vec![0; COPY_BUFFER_BYTES];
                }
            }
        }
    }
}

async fn write<W: AsyncWrite + Unpin>(to: &mut W, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}

/// Returns when `moved` has not changed for `idle` (and at most twice that).
async fn silence(moved: &AtomicU64, idle: Duration) {
    let mut before = moved.load(Relaxed);
    loop {
        sleep(idle).await;
        let now = moved.load(Relaxed);
        if now == before {
            return;
        }
        before = now;
    }
}

/// Says that nothing more comes, and gives the other side a moment to hear it.
pub(crate) async fn close(tcp: &mut TcpStream) {
    if tcp.shutdown().await.is_ok() {
        drain(tcp, DRAIN_TIME).await;
    }
}

/// Reads and throws away, to the end or for `time`.
async fn drain<R: AsyncRead + Unpin>(from: &mut R, time: Duration) {
    let read = async {
        let mut buffer = vec![0; 4096];
        while matches!(from.read(&mut buffer).await, Ok(1..)) {}
    };
    let _ = timeout(time, read).await;
}

/// A stream that is aborted when dropped, unless both its directions have ended cleanly.
pub(crate) struct Guarded<S: Abort> {
    stream: S,
    read_to_end: bool,
    shut_down: bool,
}

impl<S: Abort> Guarded<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, read_to_end: false, shut_down: false }
    }
}

impl<S: Abort> Drop for Guarded<S> {
    fn drop(&mut self) {
        if !(self.read_to_end && self.shut_down) {
            self.stream.abort();
        }
    }
}

impl<S: AsyncRead + Abort + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (room, before) = (buffer.remaining(), buffer.filled().len());
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        if read.is_ok() && room > 0 && buffer.filled().len() == before {
            self.read_to_end = true;
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Abort + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = ready!(Pin::new(&mut self.stream).poll_shutdown(cx));
        self.shut_down |= shut.is_ok();
        Poll::Ready(shut)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;
    use tokio::net::TcpListener;

    /// The kernel tells of a reset once. Told while it was written to, the connection then looks as if it had come to its end.
    #[tokio::test]
    async fn a_reset_that_one_direction_hears_of_is_no_end_for_the_other() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        for _ in 0..10 {
            let mut app = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut tcp, _) = listener.accept().await.unwrap();
            let (near, mut far) = tokio::io::duplex(1 << 16);
            let joined = tokio::spawn(async move {
                let (mut recv, mut send) = tokio::io::split(near);
                splice(&mut tcp, &mut recv, &mut send, &[], Duration::from_secs(60), pending()).await
            });
            app.write_all(b"part").await.unwrap();
            far.read_exact(&mut [0; 4]).await.unwrap();
            app.set_zero_linger().unwrap();
            drop(app);
            std::thread::sleep(Duration::from_millis(2)); // the kernel knows, and we have not looked
            far.write_all(b"news").await.unwrap();
            let ended = joined.await.unwrap();
            assert!(!ended.from_tcp && !ended.to_tcp, "{ended:?}");
        }
    }
}
