//! The load: one small web server and one client for everything that is measured, each in a process of its own, so that
//! their CPU is not counted. Blocking threads: nothing between the socket and the clock.

use std::io::{self, BufRead, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use super::process::now;

/// Thousands of connections have a thread each, so each gets a small stack.
const THREAD_STACK_BYTES: usize = 96 << 10;
/// A worker that hangs ends this long after its own limit.
const GRACE: Duration = Duration::from_secs(30);

/// Parts of the load.
#[derive(Subcommand)]
pub(crate) enum Load {
    /// A web server: `/N` answers N bytes
    Serve,
    /// Downloads; prints `ready` when all streams are open, and starts at a line on stdin
    Get {
        #[command(flatten)]
        way: Way,
        /// Bytes per stream
        #[arg(long)]
        bytes: u64,
        #[arg(long, default_value_t = 1)]
        streams: usize,
        /// Do not wait
        #[arg(long)]
        at_once: bool,
    },
    /// Requests of 1 KiB
    Ask {
        #[command(flatten)]
        way: Way,
        mode: Mode,
        #[arg(long)]
        count: usize,
        #[arg(long, default_value_t = 1)]
        clients: usize,
        /// Number of user names among which the clients are spread
        #[arg(long, default_value_t = 1)]
        users: usize,
        #[arg(long, default_value_t = 0)]
        pause_ms: u64,
    },
    /// Opens streams and holds them; says `ready`, and at a line on stdin asks on every stream once more, all at once
    Hold {
        #[command(flatten)]
        way: Way,
        #[arg(long)]
        streams: usize,
        #[arg(long)]
        users: usize,
    },
}

/// The destination, and the proxy to it.
#[derive(Args, Clone)]
pub(crate) struct Way {
    /// The web server
    #[arg(long)]
    to: SocketAddr,
    /// A SOCKS5 proxy
    #[arg(long)]
    via: Option<SocketAddr>,
    /// Beginning of the SOCKS user names
    #[arg(long, default_value = "u")]
    user: String,
    #[arg(long)]
    seconds: u64,
}

/// Which stream a request takes.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// The one before
    KeepAlive,
    /// A new one each
    NewStream,
    /// A new one each, of a user name that was never seen before
    NewUser,
}

impl Mode {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::KeepAlive => "keep-alive",
            Self::NewStream => "new-stream",
            Self::NewUser => "new-user",
        }
    }
}

/// The result of a download.
#[derive(Serialize, Deserialize)]
pub(crate) struct Got {
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    pub(crate) errors: usize,
    pub(crate) error: String,
}

/// The result of requests.
#[derive(Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) answered: usize,
    pub(crate) errors: usize,
    pub(crate) error: String,
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p95_ms: f64,
}

/// The result of holding streams.
#[derive(Serialize, Deserialize)]
pub(crate) struct OpenConnections {
    pub(crate) opened: usize,
    pub(crate) opened_in_s: f64,
    pub(crate) answered: usize,
    pub(crate) answered_in_s: f64,
    pub(crate) errors: usize,
    pub(crate) error: String,
}

/// Runs a part of the load.
pub(crate) fn run(load: Load) -> Result<()> {
    match load {
        Load::Serve => serve(),
        Load::Get { way, bytes, streams, at_once } => {
            bound(&way);
            say(&get(&way, bytes, streams, at_once)?)
        }
        Load::Ask { way, mode, count, clients, users, pause_ms } => {
            bound(&way);
            say(&ask(&way, mode, count, clients, users, Duration::from_millis(pause_ms)))
        }
        Load::Hold { way, streams, users } => {
            bound(&way);
            say(&hold(&way, streams, users)?)
        }
    }
}

/// A worker never outlives its limit.
fn bound(way: &Way) {
    let limit = Duration::from_secs(way.seconds) * 2 + GRACE;
    thread::spawn(move || {
        thread::sleep(limit);
        std::process::exit(3);
    });
}

fn say(result: &impl Serialize) -> Result<()> {
    line(&serde_json::to_string(result).context("writing a result")?)
}

/// Sends a line to the parent process.
pub(crate) fn line(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(format!("{text}\n").as_bytes()).and_then(|()| out.flush()).context("writing to stdout")
}

/// Reads a line from the parent process; an error at the end of stdin.
pub(crate) fn hear() -> Result<String> {
    let mut text = String::new();
    io::stdin().lock().read_line(&mut text).context("reading stdin")?;
    if text.is_empty() {
        bail!("stdin has ended");
    }
    Ok(text.trim_end().to_owned())
}

// --- The server ----------------------------------------------------------------------------------------

fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").context("listening")?;
    line(&listener.local_addr().context("asking for our address")?.to_string())?;
    thread::spawn(|| {
        while hear().is_ok() {}
        std::process::exit(0);
    });
    let noise: Arc<[u8]> = (0..1u32 << 18).map(|i| (i.wrapping_mul(0x9e37_79b1) >> 24) as u8).collect();
    for stream in listener.incoming().flatten() {
        let noise = Arc::clone(&noise);
        let thread = thread::Builder::new().stack_size(THREAD_STACK_BYTES);
        let _ = thread.spawn(move || serve_connection(stream, &noise));
    }
    Ok(())
}

fn serve_connection(mut stream: TcpStream, noise: &[u8]) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut asked = Vec::with_capacity(512);
    loop {
        let end = loop {
            if let Some(end) = end_of_head(&asked) {
                break end;
            }
            let mut piece = [0; 1024];
            let length = stream.read(&mut piece)?;
            if length == 0 {
                return Ok(());
            }
            asked.extend_from_slice(&piece[..length]);
        };
        let head = String::from_utf8_lossy(&asked[..end]).into_owned();
        asked.drain(..end);
        let path = head.split(' ').nth(1).unwrap_or_default();
        let mut left: u64 = path.trim_start_matches('/').parse().unwrap_or(0);
        let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {left}\r\n\r\n").into_bytes();
        let first = left.min(65_536);
        answer.extend_from_slice(&noise[..first as usize]);
        stream.write_all(&answer)?;
        left -= first;
        while left > 0 {
            let piece = left.min(noise.len() as u64);
            stream.write_all(&noise[..piece as usize])?;
            left -= piece;
        }
    }
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

// --- The client ----------------------------------------------------------------------------------------

fn wrong(what: &str) -> io::Error {
    io::Error::other(what)
}

/// A stream to the server.
fn open(way: &Way, user: &str) -> io::Result<TcpStream> {
    let limit = Some(Duration::from_secs(way.seconds));
    let mut stream = TcpStream::connect(way.via.unwrap_or(way.to))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(limit)?;
    stream.set_write_timeout(limit)?;
    if way.via.is_none() {
        return Ok(stream);
    }
    let SocketAddr::V4(to) = way.to else { return Err(wrong("the server has an IPv4 address")) };
    let mut answer = [0; 10];
    stream.write_all(&[5, 1, 2])?;
    stream.read_exact(&mut answer[..2])?;
    if answer[..2] != [5, 2] {
        return Err(wrong("the proxy takes no user names"));
    }
    let mut login = vec![1, user.len() as u8];
    login.extend_from_slice(user.as_bytes());
    login.extend_from_slice(b"\x01p");
    stream.write_all(&login)?;
    stream.read_exact(&mut answer[..2])?;
    if answer[1] != 0 {
        return Err(wrong("the proxy refused the user name"));
    }
    let mut connect = vec![5, 1, 0, 1];
    connect.extend_from_slice(&to.ip().octets());
    connect.extend_from_slice(&to.port().to_be_bytes());
    stream.write_all(&connect)?;
    stream.read_exact(&mut answer)?;
    if answer[1] != 0 || answer[3] != 1 {
        return Err(wrong(&format!("SOCKS reply {}", answer[1])));
    }
    Ok(stream)
}

fn request(bytes: u64) -> Vec<u8> {
    format!("GET /{bytes} HTTP/1.1\r\nHost: bench.invalid\r\n\r\n").into_bytes()
}

/// Sends a request and reads all of its answer; `count` hears of every byte, and may end it.
fn exchange(
    stream: &mut TcpStream,
    buffer: &mut [u8],
    bytes: u64,
    mut count: impl FnMut(u64) -> bool,
) -> io::Result<()> {
    stream.write_all(&request(bytes))?;
    let mut have = 0;
    let head = loop {
        let length = stream.read(&mut buffer[have..])?;
        have += length;
        if length == 0 {
            return Err(wrong("the stream ended in an answer's head"));
        }
        if let Some(end) = end_of_head(&buffer[..have]) {
            break end;
        }
    };
    if !buffer.starts_with(b"HTTP/1.1 200") {
        return Err(wrong("the answer is not 200"));
    }
    let mut got = (have - head) as u64;
    count(got);
    while got < bytes {
        let length = stream.read(buffer)?;
        if length == 0 {
            return Err(wrong("the stream ended in an answer's body"));
        }
        got += length as u64;
        if !count(length as u64) {
            return Err(wrong("time limit"));
        }
    }
    Ok(())
}

#[derive(Default)]
struct Errors(Mutex<(usize, String)>);

impl Errors {
    fn add(&self, error: &io::Error) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.0 += 1;
        if all.1.is_empty() {
            all.1 = error.to_string();
        }
    }

    fn take(&self) -> (usize, String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn get(way: &Way, bytes: u64, streams: usize, at_once: bool) -> Result<Got> {
    let (total, errors, barrier) = (AtomicU64::new(0), Errors::default(), Barrier::new(streams + 1));
    let download = |i: usize| {
        let mut buffer = vec![0; 256 << 10];
        // The stream and its circuit are open before the clock starts.
        let stream = open(way, &format!("{}-{i}", way.user)).and_then(|mut stream| {
            exchange(&mut stream, &mut buffer, 1, |_| true)?;
            Ok(stream)
        });
        barrier.wait();
        barrier.wait();
        let until = now() + Duration::from_secs(way.seconds);
        let done = stream.and_then(|mut stream| {
            exchange(&mut stream, &mut buffer, bytes, |more| {
                total.fetch_add(more, Relaxed);
                now() < until
            })
        });
        if let Err(error) = done {
            errors.add(&error);
        }
    };
    let seconds = thread::scope(|scope| {
        let download = &download;
        for i in 0..streams {
            scope.spawn(move || download(i));
        }
        barrier.wait();
        let told = line("ready").and_then(|()| if at_once { Ok(String::new()) } else { hear() });
        let begin = now();
        barrier.wait();
        told.map(|_| begin)
    })?
    .elapsed()
    .as_secs_f64();
    let (errors, error) = errors.take();
    Ok(Got { bytes: total.into_inner(), seconds, errors, error })
}

fn ask(way: &Way, mode: Mode, count: usize, clients: usize, users: usize, pause: Duration) -> Asked {
    let (next, errors, times) = (AtomicUsize::new(0), Errors::default(), Mutex::new(Vec::new()));
    let until = now() + Duration::from_secs(way.seconds);
    let barrier = Barrier::new(clients + 1);
    let client = |c: usize| {
        let mut buffer = vec![0; 16 << 10];
        let name = format!("{}-{}", way.user, c % users);
        let fresh = |name: &str, buffer: &mut [u8]| {
            let mut stream = open(way, name)?;
            exchange(&mut stream, buffer, 1024, |_| true)?;
            io::Result::Ok(stream)
        };
        // One that is not counted: it may have to wait for a circuit.
        let mut kept = if mode == Mode::NewUser { None } else { fresh(&name, &mut buffer).ok() };
        barrier.wait();
        loop {
            let i = next.fetch_add(1, Relaxed);
            if i >= count || now() > until {
                return;
            }
            let begin = now();
            let done = match (mode, &mut kept) {
                (Mode::KeepAlive, Some(stream)) => exchange(stream, &mut buffer, 1024, |_| true),
                (Mode::KeepAlive, None) => fresh(&name, &mut buffer).map(|stream| kept = Some(stream)),
                (Mode::NewStream, _) => fresh(&name, &mut buffer).map(drop),
                (Mode::NewUser, _) => fresh(&format!("{}-n{i}", way.user), &mut buffer).map(drop),
            };
            let took = begin.elapsed();
            match done {
                Ok(()) => times.lock().unwrap_or_else(PoisonError::into_inner).push(took.as_secs_f64() * 1e3),
                Err(error) => {
                    errors.add(&error);
                    kept = None;
                }
            }
            thread::sleep(pause);
        }
    };
    let begin = thread::scope(|scope| {
        let client = &client;
        for c in 0..clients {
            scope.spawn(move || client(c));
        }
        barrier.wait();
        now()
    });
    let seconds = begin.elapsed().as_secs_f64();
    let mut times = times.into_inner().unwrap_or_else(PoisonError::into_inner);
    times.sort_by(f64::total_cmp);
    let (errors, error) = errors.take();
    Asked {
        answered: times.len(),
        errors,
        error,
        per_second: times.len() as f64 / seconds,
        p50_ms: quantile(&times, 0.5),
        p95_ms: quantile(&times, 0.95),
    }
}

/// Of sorted values.
pub(crate) fn quantile(sorted: &[f64], part: f64) -> f64 {
    let at = (sorted.len().saturating_sub(1)) as f64 * part;
    sorted.get(at.round() as usize).copied().unwrap_or(f64::NAN)
}

fn hold(way: &Way, streams: usize, users: usize) -> Result<OpenConnections> {
    const OPENERS: usize = 64;
    let (next, errors, held) = (AtomicUsize::new(0), Errors::default(), Mutex::new(Vec::new()));
    let begin = now();
    let until = begin + Duration::from_secs(way.seconds);
    let opener = || {
        let mut buffer = vec![0; 16 << 10];
        loop {
            let i = next.fetch_add(1, Relaxed);
            if i >= streams || now() > until {
                return;
            }
            let stream = open(way, &format!("{}-{}", way.user, i % users)).and_then(|mut stream| {
                exchange(&mut stream, &mut buffer, 1024, |_| true)?;
                Ok(stream)
            });
            match stream {
                Ok(stream) => held.lock().unwrap_or_else(PoisonError::into_inner).push(stream),
                Err(error) => errors.add(&error),
            }
        }
    };
    thread::scope(|scope| (0..OPENERS).for_each(|_| drop(scope.spawn(opener))));
    let opened_in_s = begin.elapsed().as_secs_f64();
    let mut held = held.into_inner().unwrap_or_else(PoisonError::into_inner);
    let opened = held.len();
    line("ready")?;
    hear()?;
    // All requests are sent before any answer is read, so that all are in flight together.
    let begin = now();
    let until = begin + Duration::from_secs(way.seconds);
    for stream in &mut held {
        if let Err(error) = stream.write_all(&request(1024)) {
            errors.add(&error);
        }
    }
    let mut buffer = vec![0; 16 << 10];
    let mut answered = 0;
    for stream in &mut held {
        if now() > until {
            break;
        }
        match answer(stream, &mut buffer) {
            Ok(()) => answered += 1,
            Err(error) => errors.add(&error),
        }
    }
    let answered_in_s = begin.elapsed().as_secs_f64();
    let (errors, error) = errors.take();
    Ok(OpenConnections { opened, opened_in_s, answered, answered_in_s, errors, error })
}

/// Reads the answer to a request of 1 KiB that was sent before.
fn answer(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    let mut have = 0;
    loop {
        let length = stream.read(&mut buffer[have..])?;
        have += length;
        if length == 0 {
            return Err(wrong("a held stream has ended"));
        }
        if end_of_head(&buffer[..have]).is_some_and(|head| have >= head + 1024) {
            return Ok(());
        }
    }
}
