use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use throng_core::Ports;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::proxy::wire::{Far, NearEnd, pair};
use crate::proxy::{Dial, Isolation, ProxySettings};
use crate::request::Name;

/// One stream of a client: what it sends into, what it receives from, and the exit's work on it.
struct Client {
    send: Far,
    recv: Far,
    served: JoinHandle<()>,
}

impl Client {
    fn open(guest: &Arc<Guest>, exit: &Arc<Exit>) -> Self {
        let (exit_recv, send) = pair();
        let (exit_send, recv) = pair();
        let (guest, exit) = (guest.clone(), exit.clone());
        let served = tokio::spawn(async move { exit.serve_stream(&guest, exit_recv, exit_send).await });
        Self { send, recv, served }
    }

    async fn ask(exit: &Arc<Exit>, request: &Request) -> (Self, Reply) {
        Self::ask_on(&Arc::default(), exit, request).await
    }

    /// Asks on a circuit that may have asked before.
    async fn ask_on(guest: &Arc<Guest>, exit: &Arc<Exit>, request: &Request) -> (Self, Reply) {
        let mut client = Self::open(guest, exit);
        request.write(&mut client.send.pipe).await.unwrap();
        let reply = client.reply().await;
        (client, reply)
    }

    async fn reply(&mut self) -> Reply {
        soon(Reply::read(&mut self.recv.pipe)).await.unwrap()
    }

    /// A connection through the exit, and its other end.
    async fn connected(exit: &Arc<Exit>) -> (Self, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, reply) = Self::ask(exit, &to(listener.local_addr().unwrap())).await;
        assert_eq!(reply, Reply::Connected);
        (client, soon(listener.accept()).await.unwrap().0)
    }
}

fn to(address: SocketAddr) -> Request {
    Request::Connect(Target { host: address.ip().into(), port: address.port() })
}

fn connect(host: &str, port: u16) -> Request {
    Request::Connect(Target { host: Host::from_text(host).unwrap(), port })
}

fn resolve(host: &str) -> Request {
    Request::Resolve(Host::from_text(host).unwrap())
}

fn exit(local: bool, limits: ExitLimits) -> Arc<Exit> {
    let answers = [
        ("inside.test", vec!["10.1.2.3", "127.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "fd00::1"]),
        ("mixed.test", vec!["192.0.2.1", "8.8.8.8", "::1"]),
    ];
    let answers = answers.map(|(name, addresses)| {
        let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        (Name::new(name).unwrap(), addresses)
    });
    let policy = ExitPolicy { ports: Ports::all(), local, denied: Vec::new() };
    Arc::new(Exit::with_limits(policy, Resolver::fixed(answers), limits))
}

fn local() -> Arc<Exit> {
    exit(true, ExitLimits::default())
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future).await.expect("it hangs")
}

async fn read(from: &mut (impl AsyncRead + Unpin), length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    soon(from.read_exact(&mut bytes)).await.unwrap();
    bytes
}

async fn rest_of(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    soon(from.read_to_end(&mut bytes)).await.map(|_| bytes)
}

#[tokio::test]
async fn a_stream_carries_both_directions_and_each_ends_for_itself() {
    let exit = local();
    let (mut client, mut server) = Client::connected(&exit).await;
    client.send.pipe.write_all(b"question").await.unwrap();
    client.send.pipe.shutdown().await.unwrap();
    assert_eq!(rest_of(&mut server).await.unwrap(), b"question");
    server.write_all(b"answer").await.unwrap();
    assert_eq!(read(&mut client.recv.pipe, 6).await, b"answer");
    drop(server);
    assert_eq!(rest_of(&mut client.recv.pipe).await.unwrap(), b"");
    soon(client.served).await.unwrap();
    assert!(!client.recv.aborted() && !client.send.aborted());

    let (mut client, mut server) = Client::connected(&exit).await;
    server.write_all(b"news").await.unwrap();
    server.shutdown().await.unwrap();
    assert_eq!(rest_of(&mut client.recv.pipe).await.unwrap(), b"news");
    client.send.pipe.write_all(b"thanks").await.unwrap();
    assert_eq!(read(&mut server, 6).await, b"thanks");
    client.send.pipe.shutdown().await.unwrap();
    assert_eq!(rest_of(&mut server).await.unwrap(), b"");
    soon(client.served).await.unwrap();
    assert!(!client.recv.aborted() && !client.send.aborted());
}

#[tokio::test]
async fn data_sent_without_waiting_for_the_answer_is_not_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = Client::open(&Arc::default(), &local());
    let mut bytes = Vec::new();
    to(listener.local_addr().unwrap()).encode(&mut bytes);
    bytes.extend_from_slice(b"early");
    client.send.pipe.write_all(&bytes).await.unwrap();
    let mut server = soon(listener.accept()).await.unwrap().0;
    assert_eq!(read(&mut server, 5).await, b"early");
    assert_eq!(client.reply().await, Reply::Connected);
}

#[tokio::test]
async fn localhost_is_reached_by_a_local_exit_only() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let request = connect("localhost", listener.local_addr().unwrap().port());
    let (_client, reply) = Client::ask(&local(), &request).await;
    assert_eq!(reply, Reply::Connected);
    let (_client, reply) = Client::ask(&exit(false, ExitLimits::default()), &request).await;
    assert_eq!(reply, Reply::Refused(Refusal::Policy));
}

#[tokio::test]
async fn a_name_that_points_inside_is_refused() {
    let exit = exit(false, ExitLimits::default());
    let inside = [connect("inside.test", 80), connect("127.0.0.1", 80), connect("::ffff:10.0.0.1", 80)];
    for request in inside.iter().chain(&[resolve("inside.test"), resolve("localhost")]) {
        let (mut client, reply) = Client::ask(&exit, request).await;
        assert_eq!(reply, Reply::Refused(Refusal::Policy));
        assert_eq!(rest_of(&mut client.recv.pipe).await.unwrap(), b"");
        soon(client.served).await.unwrap();
        assert!(!client.recv.aborted(), "the refusal must arrive whole");
    }
}

#[tokio::test]
async fn an_exit_tells_only_addresses_that_it_would_connect_to() {
    let (_client, reply) = Client::ask(&exit(false, ExitLimits::default()), &resolve("mixed.test")).await;
    assert_eq!(reply, Reply::Resolved(vec!["8.8.8.8".parse().unwrap()]));
    let (_client, reply) = Client::ask(&local(), &resolve("none.test")).await;
    assert_eq!(reply, Reply::Refused(Refusal::NameNotFound));
}

#[tokio::test]
async fn a_port_outside_the_policy_is_refused_before_the_name_is_looked_up() {
    let policy = ExitPolicy { local: true, ..ExitPolicy::default() };
    let exit = Arc::new(Exit::new(policy, Resolver::fixed([])));
    let (_client, reply) = Client::ask(&exit, &connect("none.test", 25)).await;
    assert_eq!(reply, Reply::Refused(Refusal::NotAnExit));
}

#[tokio::test]
async fn a_mix_without_ports_is_not_an_exit() {
    let exit = Arc::new(Exit::new(
        ExitPolicy { ports: Ports::none(), ..ExitPolicy::default() },
        Resolver::fixed([]),
    ));
    for request in [connect("localhost", 80), resolve("localhost")] {
        assert_eq!(Client::ask(&exit, &request).await.1, Reply::Refused(Refusal::NotAnExit));
    }
}

#[tokio::test]
async fn nobody_there_is_a_refused_connection() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (_client, reply) = Client::ask(&local(), &to(address)).await;
    assert_eq!(reply, Reply::Refused(Refusal::ConnectionRefused));
}

#[tokio::test]
async fn what_is_no_request_is_malformed() {
    for bytes in [&b"\x00\x00"[..], b"\xff\xff", b"\x00\x01\x09", b"\x00\x04\x02\x01\x01!"] {
        let mut client = Client::open(&Arc::default(), &local());
        client.send.pipe.write_all(bytes).await.unwrap();
        assert_eq!(client.reply().await, Reply::Refused(Refusal::Malformed));
    }
}

#[tokio::test]
async fn a_request_that_does_not_come_is_not_waited_for() {
    let request_time = Duration::from_millis(50);
    let exit = exit(true, ExitLimits { request_time, ..Default::default() });
    let mut client = Client::open(&Arc::default(), &exit);
    client.send.pipe.write_all(b"\x00").await.unwrap();
    assert_eq!(rest_of(&mut client.recv.pipe).await.unwrap(), b"");
    soon(client.served).await.unwrap();
    assert!(client.recv.aborted() && client.send.aborted());
}

#[tokio::test]
async fn one_connection_too_many_is_busy_and_a_freed_place_is_used() {
    let exit = exit(true, ExitLimits { connections_max: 1, ..Default::default() });
    let (client, server) = Client::connected(&exit).await;
    let (_second, reply) = Client::ask(&exit, &resolve("localhost")).await;
    assert_eq!(reply, Reply::Refused(Refusal::Busy));
    drop((client.send, client.recv, server));
    soon(client.served).await.unwrap();
    Client::connected(&exit).await;
}

/// Greedy circuits leave places free, and so each circuit of somebody else gets one.
#[tokio::test]
async fn a_few_greedy_circuits_do_not_close_an_exit() {
    let exit = exit(true, ExitLimits { connections_max: 100, ..Default::default() });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let request = to(listener.local_addr().unwrap());
    let mut open = Vec::new();
    for greedy in 0..5 {
        let guest = Arc::default();
        for held in 0.. {
            let (client, reply) = Client::ask_on(&guest, &exit, &request).await;
            if reply == Reply::Refused(Refusal::Busy) {
                assert!(held >= 4, "circuit {greedy} has {held}");
                break;
            }
            assert_eq!(reply, Reply::Connected);
            open.push(client);
        }
    }
    assert!((50..90).contains(&open.len()), "{} of 100 are taken", open.len());
    for _ in 0..10 {
        let (client, reply) = Client::ask(&exit, &request).await;
        assert_eq!(reply, Reply::Connected, "somebody else finds a place");
        open.push(client);
    }
}

#[tokio::test]
async fn a_reset_connection_is_no_clean_end() {
    let (mut client, mut server) = Client::connected(&local()).await;
    server.write_all(b"half").await.unwrap();
    assert_eq!(read(&mut client.recv.pipe, 4).await, b"half");
    server.set_zero_linger().unwrap();
    drop(server);
    soon(client.served).await.unwrap();
    assert!(client.recv.aborted() && client.send.aborted());
}

#[tokio::test]
async fn a_broken_circuit_resets_the_connection() {
    let (mut client, mut server) = Client::connected(&local()).await;
    client.send.pipe.write_all(b"half").await.unwrap();
    assert_eq!(read(&mut server, 4).await, b"half");
    client.send.cut();
    assert_eq!(rest_of(&mut server).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    soon(client.served).await.unwrap();
    assert!(client.recv.aborted());
}

#[tokio::test]
async fn a_silent_connection_ends() {
    let exit = exit(true, ExitLimits { idle_time: Duration::from_millis(50), ..Default::default() });
    let (client, mut server) = Client::connected(&exit).await;
    assert_eq!(rest_of(&mut server).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    soon(client.served).await.unwrap();
    assert!(client.recv.aborted() && client.send.aborted());
}

/// A client's proxy whose circuits are pipes to an exit in the same process.
struct Short(Arc<Exit>);

impl Dial for Short {
    type Stream = NearEnd;

    async fn connect(&self, _: Isolation, target: Target) -> Result<NearEnd, Refusal> {
        let (mut near, far) = pair();
        let exit = self.0.clone();
        tokio::spawn(async move {
            let (from_client, mut to_exit) = pair();
            let (to_client, mut from_exit) = pair();
            let (mut recv, mut send) = tokio::io::split(far.pipe);
            let there = async {
                let _ = tokio::io::copy(&mut recv, &mut to_exit.pipe).await;
                let _ = to_exit.pipe.shutdown().await;
            };
            let back = async {
                let _ = tokio::io::copy(&mut from_exit.pipe, &mut send).await;
                let _ = send.shutdown().await;
            };
            let guest = Guest::default();
            tokio::join!(exit.serve_stream(&guest, from_client, to_client), there, back);
        });
        let (mut recv, mut send) = tokio::io::split(&mut near);
        Request::Connect(target).ask(&mut recv, &mut send).await?;
        Ok(near)
    }

    async fn resolve(&self, _: Isolation, _: Host) -> Result<Vec<IpAddr>, Refusal> {
        Err(Refusal::Unsupported)
    }
}

#[tokio::test]
async fn proxy_and_exit_understand_each_other() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = proxy.local_addr().unwrap();
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    tokio::spawn(crate::proxy::serve(proxy, Arc::new(Short(local())), ProxySettings::default(), stopped));

    // More than all buffers on the way, both ways at once, with a half-close at the end of each.
    let mut app = TcpStream::connect(address).await.unwrap();
    app.write_all(format!("CONNECT localhost:{port} HTTP/1.1\r\n\r\n").as_bytes()).await.unwrap();
    let mut far = soon(server.accept()).await.unwrap().0;
    assert_eq!(read(&mut app, 19).await, b"HTTP/1.1 200 OK\r\n\r\n");
    let sent: Vec<u8> = (0..4_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let echo = tokio::spawn(async move {
        let (mut recv, mut send) = far.split();
        tokio::io::copy(&mut recv, &mut send).await.unwrap();
        send.shutdown().await.unwrap();
    });
    let (mut app_recv, mut app_send) = app.split();
    let say = async {
        app_send.write_all(&sent).await.unwrap();
        app_send.shutdown().await.unwrap();
    };
    let (heard, ()) = tokio::join!(rest_of(&mut app_recv), say);
    assert!(heard.unwrap() == sent, "the echo differs");
    soon(echo).await.unwrap();

    let mut app = TcpStream::connect(address).await.unwrap();
    app.write_all(b"CONNECT none.test:80 HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(read(&mut app, 12).await, b"HTTP/1.1 502");
}
