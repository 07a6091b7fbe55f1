//! The floor: the same datagrams over as many sockets, with a link's AEAD at every hop, and nothing else.
//!
//! Four processes as in a circuit of three mixes: a source where the exit would be, two relays, a sink where the client
//! would be. The sink lets the source send by datagrams that go back the same way.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use clap::Subcommand;
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::load::{hear, line};
use super::process::{Worker, now};

/// As in the real network: session 4, counter 8, body, tag 16.
pub(crate) const DATAGRAM: usize = 1280;
const HEAD: usize = 12;
const TAG: usize = 16;
/// What a datagram carries here.
const BODY: usize = DATAGRAM - HEAD - TAG;
const KERNEL_BUFFER_BYTES: usize = 8 << 20;
const RECEIVED_AT_ONCE: usize = 4;
const UDP_BYTES_MAX: usize = 65_507;
/// Datagrams under way at most: well within what the kernel's buffers hold.
const WINDOW: u64 = 512;
/// One datagram back for so many.
const CREDIT_EVERY: u64 = 32;
/// Silence after which what is missing counts as lost.
const SILENCE: Duration = Duration::from_millis(100);
/// A run takes no longer.
const TIME_MAX: Duration = Duration::from_secs(30);
/// A forgotten worker ends by itself.
const LIFE_MAX: Duration = Duration::from_secs(1800);

/// Parts of the floor. Each says its address, and is told its neighbours'.
#[derive(Subcommand)]
pub(crate) enum Floor {
    /// Sends as fast as it is allowed to
    Source,
    /// Opens, reseals, and forwards
    Relay,
    /// Receives that many bytes after `go BYTES`
    Sink,
}

/// The result of a run.
#[derive(Serialize, Deserialize)]
pub(crate) struct Passed {
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    pub(crate) lost: u64,
}

/// The four processes.
pub(crate) struct Chain {
    relays: [Worker; 2],
    source: Worker,
    sink: Worker,
}

impl Chain {
    /// Starts them and tells each who its neighbours are.
    pub(crate) fn start() -> Result<Self> {
        let start = |part: &str| -> Result<(Worker, String)> {
            let mut worker = Worker::start(&["floor".to_owned(), part.to_owned()])?;
            let address = worker.hear()?;
            Ok((worker, address))
        };
        let (mut source, a) = start("source")?;
        let (mut one, b) = start("relay")?;
        let (mut other, c) = start("relay")?;
        let (mut sink, d) = start("sink")?;
        source.say(&b)?;
        one.say(&format!("{a} {c}"))?;
        other.say(&format!("{b} {d}"))?;
        sink.say(&c)?;
        Ok(Self { relays: [one, other], source, sink })
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        self.relays.iter().chain([&self.source, &self.sink]).map(Worker::pid).collect()
    }

    /// Passes this many bytes through.
    pub(crate) fn pass(&mut self, bytes: u64) -> Result<Passed> {
        self.sink.say(&format!("go {bytes}"))?;
        serde_json::from_str(&self.sink.hear()?).context("reading the floor's result")
    }
}

/// Runs a part of the floor.
pub(crate) fn run(part: Floor) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(async {
        let mut socket = Socket::bind().context("binding a socket")?;
        line(&socket.io.local_addr().context("reading the socket's address")?.to_string())?;
        let neighbours: Vec<SocketAddr> = hear()?.split(' ').filter_map(|word| word.parse().ok()).collect();
        std::thread::spawn(|| {
            std::thread::sleep(LIFE_MAX);
            std::process::exit(3);
        });
        match (part, &neighbours[..]) {
            (Floor::Source, &[next]) => {
                end_with_stdin();
                source(&mut socket, &mut Link::new(next)?).await
            }
            (Floor::Relay, &[one, other]) => {
                end_with_stdin();
                relay(&mut socket, [Link::new(one)?, Link::new(other)?]).await
            }
            (Floor::Sink, &[next]) => sink(&mut socket, &mut Link::new(next)?).await,
            _ => bail!("expected the addresses of two neighbours"),
        }
    })
}

fn end_with_stdin() {
    std::thread::spawn(|| {
        while hear().is_ok() {}
        std::process::exit(0);
    });
}

/// One neighbour.
struct Link {
    address: SocketAddr,
    key: LessSafeKey,
    counter: u64,
}

impl Link {
    fn new(address: SocketAddr) -> Result<Self> {
        // Every link has the same key: it protects nothing, but costs what protection costs.
        let key = UnboundKey::new(&AES_128_GCM, &[7; 16]).map_err(|_| anyhow!("making a key"))?;
        Ok(Self { address, key: LessSafeKey::new(key), counter: 0 })
    }

    fn nonce(head: &[u8]) -> Nonce {
        let mut nonce = [0; 12];
        nonce.copy_from_slice(&head[..HEAD]);
        Nonce::assume_unique_for_key(nonce)
    }

    /// Opens a datagram in place; whether it is genuine.
    fn open(&self, datagram: &mut [u8]) -> bool {
        if datagram.len() != DATAGRAM {
            return false;
        }
        let (head, sealed) = datagram.split_at_mut(HEAD);
        self.key.open_in_place(Self::nonce(head), Aad::from(&*head), sealed).is_ok()
    }

    /// Seals a datagram in place.
    fn seal(&mut self, datagram: &mut [u8]) {
        let (head, rest) = datagram.split_at_mut(HEAD);
        head[4..].copy_from_slice(&self.counter.to_le_bytes());
        self.counter += 1;
        let (body, tag) = rest.split_at_mut(BODY);
        if let Ok(made) = self.key.seal_in_place_separate_tag(Self::nonce(head), Aad::from(&*head), body) {
            tag.copy_from_slice(made.as_ref());
        }
    }
}

struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    buffers: Vec<Vec<u8>>,
}

impl Socket {
    fn bind() -> io::Result<Self> {
        let io = std::net::UdpSocket::bind("127.0.0.1:0")?;
        io.set_nonblocking(true)?;
        let state = UdpSocketState::new((&io).into())?;
        let _ = state.set_recv_buffer_size((&io).into(), KERNEL_BUFFER_BYTES);
        let _ = state.set_send_buffer_size((&io).into(), KERNEL_BUFFER_BYTES);
        let length = (DATAGRAM * state.gro_segments() + 1).min(UDP_BYTES_MAX + 1);
        Ok(Self { io: UdpSocket::from_std(io)?, state, buffers: vec![vec![0; length]; RECEIVED_AT_ONCE] })
    }

    /// What has arrived, a call's worth: how many bytes from whom in each buffer. Waits for something.
    async fn receive(&mut self) -> io::Result<[(usize, SocketAddr); RECEIVED_AT_ONCE]> {
        let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut got = [(0, nobody); RECEIVED_AT_ONCE];
        loop {
            self.io.readable().await?;
            let mut meta = [RecvMeta::default(); RECEIVED_AT_ONCE];
            let (io, state) = (&self.io, &self.state);
            let mut slices: Vec<IoSliceMut<'_>> =
                self.buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
            match io.try_io(Interest::READABLE, || state.recv(io.into(), &mut slices, &mut meta)) {
                Ok(messages) => {
                    for (got, meta) in got.iter_mut().zip(&meta[..messages]) {
                        // Datagrams of another length are not ours; those of ours stand side by side.
                        *got = (if meta.stride == DATAGRAM { meta.len } else { 0 }, meta.addr);
                    }
                    return Ok(got);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends datagrams that stand side by side.
    async fn send(&self, to: SocketAddr, datagrams: &[u8]) -> io::Result<()> {
        let segments = self.state.max_gso_segments().clamp(1, UDP_BYTES_MAX / DATAGRAM);
        for contents in datagrams.chunks(segments * DATAGRAM) {
            let transmit = Transmit {
                destination: to,
                ecn: None,
                contents,
                segment_size: (contents.len() > DATAGRAM).then_some(DATAGRAM),
                src_ip: None,
            };
            let io = &self.io;
            while let Err(error) = io.try_io(Interest::WRITABLE, || self.state.send(io.into(), &transmit)) {
                if error.kind() != io::ErrorKind::WouldBlock {
                    return Err(error);
                }
                io.writable().await?;
            }
        }
        Ok(())
    }
}

async fn relay(socket: &mut Socket, mut links: [Link; 2]) -> Result<()> {
    loop {
        let got = socket.receive().await.context("receiving")?;
        for (i, (length, from)) in got.into_iter().enumerate().filter(|(_, (length, _))| *length > 0) {
            let Some(side) = links.iter().position(|link| link.address == from) else { continue };
            let mut buffer = std::mem::take(&mut socket.buffers[i]);
            for datagram in buffer[..length].chunks_mut(DATAGRAM) {
                if !links[side].open(datagram) {
                    bail!("a datagram is not genuine");
                }
                links[1 - side].seal(datagram);
            }
            socket.send(links[1 - side].address, &buffer[..length]).await.context("sending")?;
            socket.buffers[i] = buffer;
        }
    }
}

/// A number at the beginning of a datagram's body.
fn number(datagram: &mut [u8]) -> &mut [u8] {
    &mut datagram[HEAD..HEAD + 8]
}

fn read_number(datagram: &mut [u8]) -> u64 {
    number(datagram).iter().rev().fold(0, |all, &byte| all << 8 | u64::from(byte))
}

async fn source(socket: &mut Socket, link: &mut Link) -> Result<()> {
    let (mut sent, mut allowed) = (0u64, 0u64);
    let mut out = Vec::new();
    loop {
        let got = socket.receive().await.context("receiving")?;
        for (i, (length, _)) in got.into_iter().enumerate() {
            for datagram in socket.buffers[i][..length].chunks_mut(DATAGRAM) {
                if !link.open(datagram) {
                    bail!("a datagram is not genuine");
                }
                allowed = allowed.max(read_number(datagram));
            }
        }
        out.resize(allowed.saturating_sub(sent) as usize * DATAGRAM, 0);
        for datagram in out.chunks_mut(DATAGRAM) {
            number(datagram).copy_from_slice(&sent.to_le_bytes());
            link.seal(datagram);
            sent += 1;
        }
        socket.send(link.address, &out).await.context("sending")?;
    }
}

async fn sink(socket: &mut Socket, link: &mut Link) -> Result<()> {
    let mut expected = 0u64;
    let mut credit = vec![0; DATAGRAM];
    loop {
        let Ok(order) = hear() else { return Ok(()) };
        let wanted: u64 =
            order.strip_prefix("go ").and_then(|bytes| bytes.parse().ok()).context("expected `go BYTES`")?;
        let (begin, first) = (now(), expected);
        // What the source may send is never taken back: the last ones of a run are awaited.
        let last = first + wanted.div_ceil(BODY as u64);
        let (mut received, mut allowed) = (0u64, 0u64);
        while expected < last && begin.elapsed() < TIME_MAX {
            let may = (expected + WINDOW).min(last);
            if may >= allowed + CREDIT_EVERY || may == last && allowed < last {
                allowed = may;
                number(&mut credit).copy_from_slice(&may.to_le_bytes());
                link.seal(&mut credit);
                socket.send(link.address, &credit).await.context("sending")?;
            }
            let Ok(got) = timeout(SILENCE, socket.receive()).await else {
                expected = allowed;
                continue;
            };
            for (i, (length, _)) in got.context("receiving")?.into_iter().enumerate() {
                for datagram in socket.buffers[i][..length].chunks_mut(DATAGRAM) {
                    if !link.open(datagram) {
                        bail!("a datagram is not genuine");
                    }
                    expected = expected.max(read_number(datagram) + 1);
                    received += 1;
                }
            }
        }
        let passed = Passed {
            bytes: received * BODY as u64,
            seconds: begin.elapsed().as_secs_f64(),
            lost: (expected - first).saturating_sub(received),
        };
        line(&serde_json::to_string(&passed).context("writing a result")?)?;
    }
}
