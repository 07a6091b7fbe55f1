mod http;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::wire::{Far, NearEnd, pair};
use super::*;

/// Dials as the host says: `refuse-N.test` refuses with code N, `never.test` does not answer, anything else
/// connects and hands the far end to the test.
struct Fake(mpsc::UnboundedSender<Dialled>);

struct Dialled {
    far: Far,
    target: String,
    isolation: Isolation,
}

async fn planned(host: &Host) -> Result<(), Refusal> {
    let text = host.reveal();
    if let Some(code) = text.strip_prefix("refuse-").and_then(|rest| rest.strip_suffix(".test")) {
        return Err(Refusal::from_code(code.parse().unwrap()));
    }
    if text == "never.test" {
        std::future::pending::<()>().await;
    }
    Ok(())
}

impl Dial for Fake {
    type Stream = NearEnd;

    async fn connect(&self, isolation: Isolation, target: Target) -> Result<NearEnd, Refusal> {
        planned(&target.host).await?;
        let (near, far) = pair();
        self.0.send(Dialled { far, target: target.reveal(), isolation }).unwrap();
        Ok(near)
    }

    async fn resolve(&self, _: Isolation, host: Host) -> Result<Vec<IpAddr>, Refusal> {
        planned(&host).await?;
        let v6 = "2001:db8::7".parse().unwrap();
        let v4 = "192.0.2.7".parse().unwrap();
        Ok(if *host.reveal() == *"six.test" { vec![v6] } else { vec![v6, v4] })
    }
}

struct World {
    address: SocketAddr,
    dialled: mpsc::UnboundedReceiver<Dialled>,
    stop: watch::Sender<bool>,
}

impl World {
    async fn new() -> Self {
        Self::with(ProxySettings::default()).await
    }

    async fn with(settings: ProxySettings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, dialled) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(serve(listener, Arc::new(Fake(tell)), settings, stopped));
        Self { address, dialled, stop }
    }

    async fn app(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn say(&self, bytes: &[u8]) -> TcpStream {
        let mut app = self.app().await;
        app.write_all(bytes).await.unwrap();
        app
    }

    /// What comes back on `bytes`, to the end.
    async fn answer(&self, bytes: &[u8]) -> Vec<u8> {
        rest_of(self.say(bytes).await).await.unwrap()
    }

    async fn far(&mut self) -> Dialled {
        soon(self.dialled.recv()).await.unwrap()
    }

    /// An application and its far end, connected through SOCKS5.
    async fn connected(&mut self) -> (TcpStream, Far) {
        let mut app = self.say(&socks5("a.test", b"")).await;
        assert_eq!(read(&mut app, SOCKS5_DONE.len()).await, SOCKS5_DONE);
        (app, self.far().await.far)
    }
}

const SOCKS5_DONE: &[u8] = &[5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future).await.expect("it hangs")
}

async fn read(from: &mut (impl AsyncRead + Unpin), length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    soon(from.read_exact(&mut bytes)).await.unwrap();
    bytes
}

async fn rest_of(mut from: impl AsyncRead + Unpin) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    soon(from.read_to_end(&mut bytes)).await.map(|_| bytes)
}

/// Reads up to and with the empty line.
async fn read_head(from: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.extend(read(from, 1).await);
    }
    String::from_utf8(bytes).unwrap()
}

fn socks5_command(command: u8, host: &str, early: &[u8]) -> Vec<u8> {
    [&[5, 1, 0, 5, command, 0, 3, host.len() as u8], host.as_bytes(), &[1, 187], early].concat()
}

fn socks5(host: &str, early: &[u8]) -> Vec<u8> {
    socks5_command(1, host, early)
}

fn socks5_as(user: &str, password: &str) -> Vec<u8> {
    let mut bytes = vec![5, 2, 0, 2, 1, user.len() as u8];
    bytes.extend_from_slice(user.as_bytes());
    bytes.push(password.len() as u8);
    bytes.extend_from_slice(password.as_bytes());
    bytes.extend_from_slice(b"\x05\x01\x00\x03\x06a.test\x01\xbb");
    bytes
}

fn socks4a(command: u8, host: &str, user: &str) -> Vec<u8> {
    [&[4, command, 0, 80, 0, 0, 0, 1], user.as_bytes(), &[0], host.as_bytes(), &[0]].concat()
}

fn http_connect(host: &str, more: &str) -> Vec<u8> {
    format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n{more}\r\n").into_bytes()
}

fn http_get(host: &str) -> Vec<u8> {
    format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").into_bytes()
}

fn status_of(answer: &[u8]) -> u16 {
    std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap()
}

#[test]
fn nothing_here_opens_a_direct_connection() {
    let sources = [
        ("mod.rs", include_str!("mod.rs")),
        ("socks.rs", include_str!("socks.rs")),
        ("http.rs", include_str!("http.rs")),
        ("expecting.rs", include_str!("expecting.rs")),
        ("listener.rs", include_str!("listener.rs")),
        ("odd_targets.rs", include_str!("odd_targets.rs")),
        ("splice.rs", include_str!("../splice.rs")),
    ];
    let banned = [
        "TcpStream::connect",
        "TcpSocket",
        "UdpSocket",
        "lookup_host",
        "ToSocketAddrs",
        "std::net::TcpStream",
        "hickory",
        "crate::exit",
        "socket2",
    ];
    for (file, source) in sources {
        let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in code {
            for word in banned {
                assert!(!line.contains(word), "{file} names {word}: {line}");
            }
        }
        // A name could be smuggled in with a brace list.
        assert!(!source.contains("net::{UdpSocket") && !source.contains("net::*"), "{file}");
    }
    let listed = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/proxy")).unwrap();
    for entry in listed {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".txt") {
            continue;
        }
        let read = sources.iter().any(|(file, _)| *file == name)
            || ["tests", "tests.rs", "wire.rs"].contains(&&*name);
        assert!(read, "{name} is not read by this test");
    }
}

#[tokio::test]
async fn socks5_connects_and_early_data_is_not_lost() {
    let mut world = World::new().await;
    let mut app = world.say(&socks5("A.test.", b"early")).await;
    let mut dialled = world.far().await;
    assert_eq!((dialled.target.as_str(), dialled.isolation), ("a.test:443", Isolation::none()));
    assert_eq!(read(&mut dialled.far.pipe, 5).await, b"early");
    dialled.far.pipe.write_all(b"hello").await.unwrap();
    assert_eq!(read(&mut app, SOCKS5_DONE.len()).await, SOCKS5_DONE);
    assert_eq!(read(&mut app, 5).await, b"hello");
}

#[tokio::test]
async fn socks5_connects_byte_by_byte() {
    let mut world = World::new().await;
    let mut app = world.app().await;
    app.set_nodelay(true).unwrap();
    for byte in socks5_as("user", "password") {
        app.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(world.far().await.target, "a.test:443");
    assert_eq!(read(&mut app, 6).await, [5, 2, 1, 0, 5, 0]);
}

#[tokio::test]
async fn socks4_and_4a_connect() {
    let mut world = World::new().await;
    let mut app = world.say(&[4, 1, 0, 80, 192, 0, 2, 1, 0, b'x']).await;
    let mut dialled = world.far().await;
    assert_eq!((dialled.target.as_str(), dialled.isolation), ("192.0.2.1:80", Isolation::none()));
    assert_eq!(read(&mut app, 8).await, [0, 0x5a, 0, 0, 0, 0, 0, 0]);
    assert_eq!(read(&mut dialled.far.pipe, 1).await, b"x");
    let mut app = world.say(&socks4a(1, "b.test", "me")).await;
    let dialled = world.far().await;
    assert_eq!((dialled.target.as_str(), dialled.isolation), ("b.test:80", Isolation::socks4(b"me")));
    assert_eq!(read(&mut app, 2).await, [0, 0x5a]);
}

#[tokio::test]
async fn names_are_resolved_through_the_circuit() {
    let world = World::new().await;
    let both = world.answer(&socks5_command(0xf0, "b.test", b"")).await;
    assert_eq!(both, [5, 0, 5, 0, 0, 1, 192, 0, 2, 7, 0, 0]);
    let six = world.answer(&socks5_command(0xf0, "six.test", b"")).await;
    assert_eq!(six, [&[5, 0, 5, 0, 0, 4, 0x20, 1, 0xd, 0xb8], &[0; 11][..], &[7, 0, 0]].concat());
    let itself = world.answer(&socks5_command(0xf0, "9.8.7.6", b"")).await;
    assert_eq!(itself, [5, 0, 5, 0, 0, 1, 9, 8, 7, 6, 0, 0]);
    assert_eq!(world.answer(&socks4a(0xf0, "b.test", "")).await, [0, 0x5a, 0, 0, 192, 0, 2, 7]);
    assert_eq!(world.answer(&socks4a(0xf0, "six.test", "")).await, [0, 0x5b, 0, 0, 0, 0, 0, 0]);
}

#[tokio::test]
async fn udp_associate_and_bind_are_refused_at_once() {
    // No time limit helps here: the answer must come without one.
    let hour = Duration::from_secs(3600);
    let world =
        World::with(ProxySettings { handshake_time: hour, dial_time: hour, ..Default::default() }).await;
    for command in [2, 3, 0xf1] {
        let mut app = world.say(&socks5_command(command, "a.test", b"")).await;
        assert_eq!(read(&mut app, 12).await, [5, 0, 5, 7, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(rest_of(app).await.unwrap(), b"");
    }
}

#[tokio::test]
async fn every_refusal_reaches_the_application() {
    let world = World::new().await;
    for refusal in Refusal::ALL {
        let host = format!("refuse-{}.test", refusal.code());
        let five = world.answer(&socks5(&host, b"")).await;
        assert_eq!(five, [5, 0, 5, refusal.socks5_reply(), 0, 1, 0, 0, 0, 0, 0, 0]);
        let resolve = world.answer(&socks5_command(0xf0, &host, b"")).await;
        assert_eq!(resolve[3], refusal.socks5_reply());
        assert_eq!(world.answer(&socks4a(1, &host, "")).await, [0, 0x5b, 0, 0, 0, 0, 0, 0]);
        for request in [http_connect(&host, "Connection: close\r\n"), http_get(&host)] {
            let answer = world.answer(&request).await;
            assert_eq!(status_of(&answer), refusal.http_status());
            let text = String::from_utf8(answer).unwrap();
            assert!(text.ends_with(&format!("{refusal}\n")), "{text}");
        }
    }
}

#[tokio::test]
async fn a_dial_that_never_ends_is_a_time_out() {
    let dial_time = Duration::from_millis(50);
    let world = World::with(ProxySettings { dial_time, ..Default::default() }).await;
    assert_eq!(world.answer(&socks5("never.test", b"")).await[3], 6);
    assert_eq!(world.answer(&socks5_command(0xf0, "never.test", b"")).await[3], 6);
    assert_eq!(status_of(&world.answer(&http_get("never.test")).await), 504);
    assert_eq!(status_of(&world.answer(&http_connect("never.test", "Connection: close\r\n")).await), 504);
}

#[tokio::test]
async fn who_has_said_everything_can_still_listen() {
    let mut world = World::new().await;
    let (mut app, mut far) = world.connected().await;
    app.write_all(b"question").await.unwrap();
    app.shutdown().await.unwrap();
    assert_eq!(rest_of(&mut far.pipe).await.unwrap(), b"question");
    far.pipe.write_all(b"answer").await.unwrap();
    assert_eq!(read(&mut app, 6).await, b"answer");
    far.pipe.shutdown().await.unwrap();
    assert_eq!(rest_of(app).await.unwrap(), b"");
    assert!(!far.aborted());

    let (mut app, mut far) = world.connected().await;
    far.pipe.write_all(b"news").await.unwrap();
    far.pipe.shutdown().await.unwrap();
    assert_eq!(rest_of(&mut app).await.unwrap(), b"news");
    app.write_all(b"thanks").await.unwrap();
    assert_eq!(read(&mut far.pipe, 6).await, b"thanks");
    app.shutdown().await.unwrap();
    assert_eq!(rest_of(&mut far.pipe).await.unwrap(), b"");
    assert!(!far.aborted());
}

#[tokio::test]
async fn a_broken_circuit_resets_the_application() {
    let mut world = World::new().await;
    let (app, mut far) = world.connected().await;
    far.pipe.write_all(b"half of it").await.unwrap();
    far.cut();
    assert_eq!(rest_of(app).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);

    let mut app = world.say(&http_connect("a.test", "")).await;
    read_head(&mut app).await;
    world.far().await.far.cut();
    assert_eq!(rest_of(app).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_broken_application_aborts_the_stream() {
    let mut world = World::new().await;
    let (mut app, mut far) = world.connected().await;
    app.write_all(b"half of it").await.unwrap();
    assert_eq!(read(&mut far.pipe, 10).await, b"half of it");
    app.set_zero_linger().unwrap();
    drop(app);
    assert_eq!(rest_of(&mut far.pipe).await.unwrap(), b"");
    assert!(far.aborted());
}

#[tokio::test]
async fn a_far_end_that_wants_no_more_can_still_finish() {
    let mut world = World::new().await;
    let (mut app, far) = world.connected().await;
    let (mut far_recv, mut far_send) = tokio::io::split(far.pipe);
    far_send.write_all(b"too large").await.unwrap();
    far_send.shutdown().await.unwrap();
    // The pipe refuses what is written to it from here on.
    let _ = far_recv.read(&mut [0; 0]).await.unwrap();
    drop((far_recv, far_send));
    let flood = vec![7; 1 << 20];
    let _ = app.write_all(&flood).await;
    assert_eq!(rest_of(app).await.unwrap(), b"too large");
}

#[tokio::test]
async fn a_silent_stream_ends() {
    let idle_time = Duration::from_millis(50);
    let mut world = World::with(ProxySettings { idle_time, ..Default::default() }).await;
    let (app, mut far) = world.connected().await;
    assert_eq!(rest_of(app).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(rest_of(&mut far.pipe).await.unwrap(), b"");
    assert!(far.aborted());
}

#[tokio::test]
async fn credentials_keep_streams_apart() {
    let mut world = World::new().await;
    let http = |value: &str| http_connect("a.test", &format!("Proxy-Authorization: {value}\r\n"));
    let different = [
        socks5("a.test", b""),
        socks5_as("a", "b"),
        socks5_as("a", "c"),
        socks5_as("ab", ""),
        socks5_as("", "ab"),
        socks4a(1, "a.test", "a"),
        socks4a(1, "a.test", "ab"),
        http("Basic YTpi"),
        http("Basic YTpj"),
        http("Bearer YTpi"),
    ];
    let mut seen = Vec::new();
    for request in &different {
        let _app = world.say(request).await;
        let one = world.far().await.isolation;
        let _app = world.say(request).await;
        assert_eq!(world.far().await.isolation, one);
        assert!(!seen.contains(&one));
        seen.push(one);
    }
    for request in [socks4a(1, "a.test", ""), http_connect("a.test", ""), http_get("a.test")] {
        let _app = world.say(&request).await;
        assert_eq!(world.far().await.isolation, Isolation::none());
    }
    assert_eq!(format!("{:?}", seen[1]), "[scrubbed]");
}

#[tokio::test]
async fn who_is_too_slow_is_cut() {
    let handshake_time = Duration::from_millis(50);
    let world = World::with(ProxySettings { handshake_time, ..Default::default() }).await;
    let starts: [&[u8]; 8] = [
        b"",
        b"\x05",
        b"\x05\x01\x00",
        b"\x05\x01\x02\x01\x05u",
        b"\x05\x01\x00\x05\x01\x00\x03\x09a",
        b"\x04\x01\x00\x50\x01\x02\x03\x04user",
        b"GET http://a.test/ HTTP/1.1\r\nHost: ",
        b"C",
    ];
    for start in starts {
        let mut app = world.say(start).await;
        // Its end is what matters; a reset is one too.
        let _ = soon(app.read_to_end(&mut Vec::new())).await;
    }
}

#[tokio::test]
async fn garbage_never_hangs() {
    let handshake_time = Duration::from_millis(50);
    let world = World::with(ProxySettings { handshake_time, ..Default::default() }).await;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..100 {
        let mut garbage: Vec<u8> = (0..round * 7)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        if let (Some(first), true) = (garbage.first_mut(), round % 3 > 0) {
            *first = 3 + (round % 3) as u8;
        }
        let mut app = world.app().await;
        let _ = app.write_all(&garbage).await;
        let _ = soon(app.read_to_end(&mut Vec::new())).await;
    }
}

#[tokio::test]
async fn one_connection_too_many_is_closed_and_a_freed_place_is_used() {
    let mut world = World::with(ProxySettings { connections_max: 1, ..Default::default() }).await;
    let (app, far) = world.connected().await;
    let turned_away = world.app().await;
    assert_eq!(rest_of(turned_away).await.unwrap_or_default(), b"");
    drop((app, far));
    let back = async {
        loop {
            let mut app = world.app().await;
            let _ = app.write_all(&socks5("a.test", b"")).await;
            if app.read_exact(&mut [0; 12]).await.is_ok() {
                return;
            }
        }
    };
    soon(back).await;
}

#[tokio::test]
async fn stopping_ends_what_is_open() {
    let mut world = World::new().await;
    let (app, mut far) = world.connected().await;
    world.stop.send(true).unwrap();
    let _ = rest_of(app).await;
    assert_eq!(rest_of(&mut far.pipe).await.unwrap(), b"");
    assert!(far.aborted());
    assert!(TcpStream::connect(world.address).await.is_err());
}
