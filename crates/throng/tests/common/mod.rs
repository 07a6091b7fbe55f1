//! What these tests share: programs that end with the test, a running `throng up`, servers, a SOCKS client.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // every test uses a part of it; and all of it is test

#[path = "../../../throng-net/tests/common/namespace.rs"]
pub mod namespace;
#[path = "../../../throng-net/tests/common/noise.rs"]
pub mod noise;
#[path = "../../../throng-net/tests/common/weather.rs"]
pub mod weather;

pub mod static_network;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// Nothing that goes well takes so long; what does not go well ends then.
pub const LIMIT: Duration = Duration::from_secs(90);

/// What a program may write in a test.
const SAID_BYTES_MAX: usize = 256 << 20;

// --- Programs ------------------------------------------------------------------------------------------

/// A program that runs. It is killed, by its id, when this is dropped: also when a test panics.
pub struct Running {
    child: Child,
    pub out: Arc<Said>,
    pub err: Arc<Said>,
}

/// What a program has written so far.
#[derive(Default)]
pub struct Said {
    state: Mutex<(Vec<u8>, bool)>,
    more: Condvar,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let out = Said::collect(child.stdout.take().unwrap());
        let err = Said::collect(child.stderr.take().unwrap());
        Self { child, out, err }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What Ctrl-C sends.
    pub fn interrupt(&self) {
        let sent =
            Command::new("sh").args(["-c", &format!("kill -INT {}", self.child.id())]).status().unwrap();
        assert!(sent.success(), "{sent}");
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end and for all that it wrote.
    pub fn end(&mut self, limit: Duration) -> ExitStatus {
        wait_until("a program ends", limit, || !self.lives());
        for said in [&self.out, &self.err] {
            said.wait("the end of what a program wrote", |_, ended| ended.then_some(()));
        }
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("--- a program of this test wrote last:\n{}\n{}", self.out.last(), self.err.last());
        }
    }
}

impl Said {
    fn collect(mut from: impl Read + Send + 'static) -> Arc<Self> {
        let said = Arc::new(Self::default());
        let collected = Arc::clone(&said);
        thread::spawn(move || {
            let mut piece = [0; 8192];
            loop {
                let length = from.read(&mut piece).unwrap_or(0);
                let mut state = collected.state.lock().unwrap();
                assert!(state.0.len() < SAID_BYTES_MAX, "a program that says so much has lost its way");
                state.0.extend_from_slice(&piece[..length]);
                state.1 = length == 0;
                collected.more.notify_all();
                if length == 0 {
                    return;
                }
            }
        });
        said
    }

    /// Waits until `found` finds something in the bytes so far; it also learns whether they are all.
    pub fn wait<T>(&self, what: &str, mut found: impl FnMut(&[u8], bool) -> Option<T>) -> T {
        let state = self.state.lock().unwrap();
        let mut result = None;
        let (state, _) = self
            .more
            .wait_timeout_while(state, LIMIT, |(bytes, ended)| {
                result = found(bytes, *ended);
                result.is_none() && !*ended
            })
            .unwrap();
        drop(state);
        result.unwrap_or_else(|| panic!("waited for {what}; it wrote:\n{}", self.last()))
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.state.lock().unwrap().0.clone()
    }

    fn last(&self) -> String {
        let bytes = self.bytes();
        String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(2000)..]).into_owned()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }
}

/// Runs a program to its end.
pub fn run(command: &mut Command) -> (ExitStatus, String, String) {
    let mut running = Running::start(command);
    let status = running.end(LIMIT);
    (status, running.out.text(), running.err.text())
}

/// Waits for something that no one tells us.
pub fn wait_until(what: &str, limit: Duration, mut is: impl FnMut() -> bool) {
    let clock = throng_net::clock::Clock::start();
    let begin = clock.now();
    while !is() {
        assert!(clock.now() - begin < limit, "waited {limit:?} until {what}");
        thread::sleep(Duration::from_millis(2)); // not for time to pass: to let others run
    }
}

/// Whether a program is there; if not, says loudly that `test` is skipped.
pub fn needs(program: &str, test: &str) -> bool {
    let there = namespace::exists(program);
    if !there {
        eprintln!("SKIPPED: {test} needs {program} to be installed");
    }
    there
}

// --- The network ---------------------------------------------------------------------------------------

/// `throng up`, ready.
pub struct Up {
    pub program: Running,
    pub proxy: SocketAddr,
    pub report: Value,
}

impl Up {
    pub fn start() -> Self {
        Self::start_with(&mut throng(&["up", "--port", "0", "--json"]))
    }

    /// From a command with `--json`.
    pub fn start_with(command: &mut Command) -> Self {
        let program = Running::start(command);
        let line = program.out.wait("a network that is ready", |bytes, _| {
            let end = bytes.iter().position(|&byte| byte == b'\n')?;
            Some(bytes[..end].to_vec())
        });
        let report: Value = serde_json::from_slice(&line).unwrap();
        let proxy = report["proxy"].as_str().unwrap().parse().unwrap();
        Self { program, proxy, report }
    }
}

/// The program under test.
pub fn throng(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throng"));
    command.args(arguments).env_remove("THRONG_LOG");
    command
}

// --- Servers -------------------------------------------------------------------------------------------

/// A TCP server on loopback with a thread for each connection. It ends with the test's process.
pub struct Server {
    pub address: SocketAddr,
    /// From where connections came.
    callers: Arc<Mutex<Vec<IpAddr>>>,
}

impl Server {
    pub fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), serve)
    }

    fn start_at(ip: IpAddr, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let callers = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&callers);
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                noted.lock().unwrap().extend(stream.peer_addr().map(|caller| caller.ip()));
                bound(&stream);
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(stream));
            }
        });
        Self { address, callers }
    }

    /// A web server: one request per connection.
    pub fn web(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::web_at(Ipv4Addr::LOCALHOST.into(), answer)
    }

    /// The same at an address of its own.
    pub fn web_at(ip: IpAddr, answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_at(ip, move |mut stream| {
            let Ok(asked) = Asked::read(&mut stream) else { return };
            let answer = answer(&asked);
            let head = format!(
                "HTTP/1.1 {} \r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                answer.status,
                answer.kind,
                answer.body.len()
            );
            let _ = stream.write_all(&[head.as_bytes(), &answer.body].concat());
        })
    }

    /// Sends what each connection asks for: [`fetch`] asks.
    pub fn of_noise() -> Self {
        Self::of_noise_at(Ipv4Addr::LOCALHOST.into())
    }

    /// The same at an address of its own.
    pub fn of_noise_at(ip: IpAddr) -> Self {
        Self::start_at(ip, |mut stream| {
            let mut order = [0; 16];
            if stream.read_exact(&mut order).is_ok() {
                let (seed, length) = order_from(&order);
                assert!(length <= 1 << 30, "a test that asks for so much does not mean it");
                let _ = noise::pour(seed, length, &mut stream);
            }
        })
    }

    pub fn accepted(&self) -> usize {
        self.callers.lock().unwrap().len()
    }

    /// From where connections came so far.
    pub fn callers(&self) -> Vec<IpAddr> {
        self.callers.lock().unwrap().clone()
    }
}

/// A port where nobody listens: a moment ago it was ours.
pub fn closed_port() -> u16 {
    port_that(|port| TcpListener::bind(("127.0.0.1", port)).is_ok())
}

/// An address on this machine at which no mix listens yet.
pub fn mix_address(number: u8) -> String {
    let ip = Ipv4Addr::new(127, number, 0, 1);
    format!("{ip}:{}", port_that(|port| UdpSocket::bind((ip, port)).is_ok()))
}

/// A port below those that the system gives away on its own, so that hardly anybody takes it meanwhile.
fn port_that(is_free: impl Fn(u16) -> bool) -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Tests are processes of their own, and begin in other places.
    let ports = std::iter::repeat_with(|| {
        (10_000 + (std::process::id() * 101 + NEXT.fetch_add(1, Ordering::Relaxed)) % 22_000) as u16
    });
    ports.take(22_000).find(|port| is_free(*port)).expect("a free port")
}

pub struct Asked {
    pub line: String,
    pub headers: Vec<(String, String)>,
}

pub struct Answer {
    pub status: u16,
    pub kind: &'static str,
    pub body: Vec<u8>,
}

impl Asked {
    fn read(stream: &mut TcpStream) -> io::Result<Self> {
        let mut lines = BufReader::new(stream).lines();
        let mut next = || lines.next().ok_or(io::ErrorKind::UnexpectedEof)?;
        let line = next()?;
        let mut headers = Vec::new();
        loop {
            let header = next()?;
            let Some((name, value)) = header.split_once(':') else { break };
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        Ok(Self { line, headers })
    }

    pub fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

// --- A client ------------------------------------------------------------------------------------------

/// Opens a connection through the proxy with SOCKS5, the name left to the exit; or tells the reply's code.
pub fn connect(proxy: SocketAddr, user: &str, host: &str, port: u16) -> Result<TcpStream, u8> {
    let (stream, reply, _) = socks5(proxy, user, CONNECT, host, port);
    if reply == 0 { Ok(stream) } else { Err(reply) }
}

/// One SOCKS5 request: the connection, the reply's code and its address.
pub fn socks5(proxy: SocketAddr, user: &str, command: u8, host: &str, port: u16) -> (TcpStream, u8, IpAddr) {
    let mut stream = TcpStream::connect(proxy).unwrap();
    bound(&stream);
    let method = if user.is_empty() { 0 } else { 2 };
    stream.write_all(&[5, 1, method]).unwrap();
    assert_eq!(read(&mut stream), [5, method]);
    if !user.is_empty() {
        let credentials = [&[1, user.len() as u8], user.as_bytes(), &[6], b"secret"].concat();
        stream.write_all(&credentials).unwrap();
        assert_eq!(read(&mut stream), [1, 0]);
    }
    let host = [&[host.len() as u8], host.as_bytes()].concat();
    stream.write_all(&[&[5, command, 0, 3], host.as_slice(), &port.to_be_bytes()].concat()).unwrap();
    let [version, reply, _, kind] = read(&mut stream);
    assert_eq!(version, 5);
    let address: IpAddr = match kind {
        1 => read::<4>(&mut stream).into(),
        4 => read::<16>(&mut stream).into(),
        _ => panic!("an address of kind {kind}"),
    };
    let _port: [u8; 2] = read(&mut stream);
    (stream, reply, address)
}

/// Gets `length` bytes of noise from a [`Server::of_noise`] and looks at every one.
pub fn fetch(proxy: SocketAddr, user: &str, server: SocketAddr, seed: u64, length: u64) -> noise::Print {
    let mut stream = connect(proxy, user, "localhost", server.port()).unwrap();
    stream.write_all(&order(seed, length)).unwrap();
    noise::drink(&mut stream).unwrap()
}

/// What [`Server::of_noise`] understands.
pub fn order(seed: u64, length: u64) -> [u8; 16] {
    let both = u128::from(seed) << 64 | u128::from(length);
    both.to_be_bytes()
}

pub fn order_from(bytes: &[u8; 16]) -> (u64, u64) {
    let both = u128::from_be_bytes(*bytes);
    ((both >> 64) as u64, both as u64)
}

pub fn read<const N: usize>(stream: &mut TcpStream) -> [u8; N] {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// Nothing in a test waits for ever.
pub fn bound(stream: &TcpStream) {
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_write_timeout(Some(LIMIT)).unwrap();
}

pub const CONNECT: u8 = 1;
pub const UDP_ASSOCIATE: u8 = 3;
pub const RESOLVE: u8 = 0xf0;
