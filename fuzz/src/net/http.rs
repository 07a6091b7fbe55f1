//! What an application says in HTTP, and an origin answers; without a socket.

use std::io;
use std::net::IpAddr;
use std::sync::MutexGuard;
use std::task::Waker;
use std::time::Duration;

use throng_core::fuzzing::Choices;
use tokio::io::ReadBuf;
use tokio::runtime::{Builder, Runtime};

use super::*;

/// Longer than whatever is said here takes, by far.
const END_WITHIN: Duration = Duration::from_secs(20);

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().expect("a runtime without sockets");
}

/// An application and an origin, and what each hears.
pub fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let piece = 1 + 4 * choices.below(256);
    let answered = usize::from(choices.u16()) % 512;
    let answer = choices.take(answered).to_vec();
    let origin = Arc::new(Line { input: Mutex::new(answer), ..Line::default() });
    let application = Arc::new(Line { input: Mutex::new(choices.rest().to_vec()), ..Line::default() });
    let dial = Arc::new(Origin { line: Arc::clone(&origin), piece });
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let served = talk(End { line: Arc::clone(&application), piece, must_ask: false }, dial);
            assert!(tokio::time::timeout(END_WITHIN, served).await.is_ok(), "it ends");
        });
    });
    let heard = application.output();
    assert!(heard.is_empty() || heard.starts_with(b"HTTP/1."), "the application hears HTTP, or nothing");
    hears_nothing_of_us(&origin.output());
}

/// As `serve`, but for how it ends: there is no socket to be cut, or to be joined with a stream.
async fn talk(application: End, dial: Arc<Origin>) {
    let limits = ProxySettings::default();
    let tunnel: Tunnel<End> = Arc::default();
    let service = service_fn(|request| {
        let (dial, tunnel) = (dial.clone(), tunnel.clone());
        async move { Ok::<_, Infallible>(answer(request, dial, limits, tunnel).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.handshake_time)
        .max_buf_size(limits.http_header_max_bytes)
        .preserve_header_case(true)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(application), service)
        .with_upgrades();
    let _ = connection.await;
}

/// What is for a proxy does not reach the origin.
fn hears_nothing_of_us(said: &[u8]) {
    let head = said.windows(4).position(|end| end == b"\r\n\r\n").map_or(&[][..], |end| &said[..end]);
    let mut lines = head.split(|byte| *byte == b'\n');
    let Some(request) = lines.next() else { return };
    assert!(
        !request.windows(3).any(|part| part == b"://") || request.contains(&b'?') || is_in_path(request),
        "{request:?}"
    );
    for line in lines {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default().to_ascii_lowercase();
        let is_ours = [
            "proxy-authorization",
            "proxy-connection",
            "proxy-authenticate",
            "keep-alive",
            "te",
            "via",
            "upgrade",
        ];
        assert!(!is_ours.iter().any(|ours| name == ours.as_bytes()), "{:?}", String::from_utf8_lossy(line));
    }
}

/// A target in origin form may have a scheme's signs in its path.
fn is_in_path(request: &[u8]) -> bool {
    request.split(|byte| *byte == b' ').nth(1).is_some_and(|target| target.starts_with(b"/"))
}

/// What one side says, and what it heard.
#[derive(Default)]
struct Line {
    input: Mutex<Vec<u8>>,
    output: Mutex<Vec<u8>>,
    read: Mutex<usize>,
    asleep: Mutex<Option<Waker>>,
}

impl Line {
    fn output(&self) -> Vec<u8> {
        lock(&self.output).clone()
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The only origin there is.
struct Origin {
    line: Arc<Line>,
    piece: usize,
}

impl Dial for Origin {
    type Stream = End;

    async fn connect(&self, _: Isolation, target: Target) -> Result<End, Refusal> {
        if target.port == 1 {
            return Err(Refusal::TimedOut);
        }
        Ok(End { line: Arc::clone(&self.line), piece: self.piece, must_ask: true })
    }

    async fn resolve(&self, _: Isolation, _: Host) -> Result<Vec<IpAddr>, Refusal> {
        Err(Refusal::Unsupported)
    }
}

/// One end of a line, in pieces.
struct End {
    line: Arc<Line>,
    piece: usize,
    /// It says nothing before it was asked.
    must_ask: bool,
}

impl Abort for End {
    fn abort(&mut self) {}
}

impl AsyncRead for End {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.must_ask && lock(&self.line.output).is_empty() {
            *lock(&self.line.asleep) = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let (input, mut read) = (lock(&self.line.input), lock(&self.line.read));
        let length = self.piece.min(into.remaining()).min(input.len() - *read);
        into.put_slice(&input[*read..][..length]);
        *read += length;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        lock(&self.line.output).extend_from_slice(bytes);
        lock(&self.line.asleep).take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
