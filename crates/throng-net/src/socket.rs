//! One UDP socket, many datagrams per system call in and out.

use std::collections::HashMap;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use socket2::{Domain, Protocol, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::tap::{Seen, Tap};

/// System calls' worth of datagrams received at once.
const RECV_BATCHES: usize = 4;
/// Kernel buffers: what may wait while the driver is busy.
const KERNEL_BUFFER_BYTES: usize = 8 << 20;
/// When several at once could not be sent, so many go one by one before that is tried again.
const ONE_BY_ONE: u32 = 4096;
/// Destinations for which that is remembered.
const NARROW_LINES_MAX: usize = 4096;
/// Longest UDP payload of IPv4, which also bounds what the kernel segments for us.
const UDP_BYTES_MAX: usize = 65_507;

/// A UDP socket for datagrams of one length.
pub struct Socket {
    outlet: Arc<Outlet>,
    buffers: Vec<Vec<u8>>,
}

/// Its sending half, which a pacer shares.
pub(crate) struct Outlet {
    io: UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    datagram: usize,
    tap: Option<Tap>,
    narrow: NarrowLines,
}

impl Socket {
    /// Binds to `address` for datagrams of `datagram` bytes. `[::]` stands for all addresses of both families.
    ///
    /// # Errors
    /// Those of the system: the address is taken or not ours.
    pub fn bind(address: SocketAddr, datagram: usize) -> io::Result<Self> {
        let io = socket2::Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            io.set_only_v6(false)?;
        }
        io.set_nonblocking(true)?;
        io.bind(&address.into())?;
        let io = std::net::UdpSocket::from(io);
        let state = UdpSocketState::new((&io).into())?;
        #[cfg(target_os = "linux")]
        allow_fragments(&io)?;
        // The kernel grants what its limits allow.
        let _ = state.set_recv_buffer_size((&io).into(), KERNEL_BUFFER_BYTES);
        let _ = state.set_send_buffer_size((&io).into(), KERNEL_BUFFER_BYTES);
        // One byte more than fits: a datagram that is too long must not look right because it was cut off.
        let length = (datagram * state.gro_segments() + 1).min(UDP_BYTES_MAX + 1);
        let buffers = vec![vec![0; length]; RECV_BATCHES];
        let local = io.local_addr()?;
        let outlet = Outlet {
            io: UdpSocket::from_std(io)?,
            state,
            local,
            datagram,
            tap: None,
            narrow: NarrowLines::default(),
        };
        Ok(Self { outlet: Arc::new(outlet), buffers })
    }

    /// The same, with somebody who sees every datagram that it sends.
    pub fn tapped(mut self, tap: Tap) -> Self {
        Arc::get_mut(&mut self.outlet).expect("only a running node shares it").tap = Some(tap);
        self
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// Those of the system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.outlet.io.local_addr()
    }

    /// Its sending half.
    pub(crate) fn outlet(&self) -> &Arc<Outlet> {
        &self.outlet
    }

    /// Waits until something may have arrived.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.outlet.io.readable().await
    }

    /// Hands every datagram that is here to `each`, one batch of system calls' worth. How many there were.
    pub(crate) fn receive(&mut self, mut each: impl FnMut(SocketAddr, &mut [u8])) -> io::Result<usize> {
        let mut meta = [RecvMeta::default(); RECV_BATCHES];
        let Outlet { io, state, .. } = &*self.outlet;
        let messages = {
            let mut buffers = self.buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer));
            let mut slices: [IoSliceMut<'_>; RECV_BATCHES] =
                std::array::from_fn(|_| buffers.next().expect("one buffer per message"));
            io.try_io(Interest::READABLE, || state.recv(io.into(), &mut slices, &mut meta))?
        };
        let mut count = 0;
        for (meta, buffer) in meta.iter().zip(&mut self.buffers).take(messages) {
            let from = plain(meta.addr);
            for datagram in buffer[..meta.len].chunks_mut(meta.stride.max(1)) {
                each(from, datagram);
                count += 1;
            }
        }
        Ok(count)
    }
}

impl Outlet {
    /// The length of its datagrams.
    pub(crate) fn datagram(&self) -> usize {
        self.datagram
    }

    /// Waits until something may be sent.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.io.writable().await
    }

    /// How the kernel wants to hear of this destination.
    fn reachable(&self, to: SocketAddr) -> SocketAddr {
        match to.ip() {
            // An IPv6 socket reaches IPv4 addresses in their mapped form.
            IpAddr::V4(ip) if self.local.is_ipv6() => SocketAddr::new(ip.to_ipv6_mapped().into(), to.port()),
            _ => to,
        }
    }

    /// Sends the first datagrams of `datagrams`, as many as go in one call. How many bytes are done with.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if the kernel's buffer is full: try again when writable. Other errors are
    /// not returned: a datagram that cannot be sent is lost, as any datagram may be.
    pub(crate) fn send(&self, to: SocketAddr, datagrams: &[u8]) -> io::Result<usize> {
        let segments = self.state.max_gso_segments().min(UDP_BYTES_MAX / self.datagram).max(1);
        let together = datagrams.len().min(segments * self.datagram);
        let handed = self.tap.as_ref().map(Tap::now);
        let bytes = if together > self.datagram && !self.narrow.leads_to(to) {
            match self.hand_over(to, &datagrams[..together]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                Err(error) if goes_one_by_one(&error) => {
                    self.narrow.note(to);
                    self.send_one(to, datagrams)?
                }
                Err(_) | Ok(()) => together, // lost, or sent
            }
        } else {
            self.send_one(to, datagrams)?
        };
        if let (Some(tap), Some(at)) = (&self.tap, handed) {
            for datagram in datagrams[..bytes].chunks(self.datagram) {
                tap.see(Seen { at, from: self.local, to, length: datagram.len() });
            }
        }
        Ok(bytes)
    }

    /// Sends the first of them, or loses it.
    fn send_one(&self, to: SocketAddr, datagrams: &[u8]) -> io::Result<usize> {
        let one = datagrams.len().min(self.datagram);
        match self.hand_over(to, &datagrams[..one]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(one),
        }
    }

    fn hand_over(&self, to: SocketAddr, datagrams: &[u8]) -> io::Result<()> {
        let transmit = Transmit {
            destination: self.reachable(to),
            ecn: None,
            contents: datagrams,
            segment_size: (datagrams.len() > self.datagram).then_some(self.datagram),
            src_ip: None,
        };
        let io = &self.io;
        io.try_io(Interest::WRITABLE, || self.state.try_send(io.into(), &transmit))
    }
}

/// Where datagrams go in fragments: there the kernel does not cut them out of a longer buffer.
#[derive(Default)]
struct NarrowLines {
    /// Whether there are any: most sockets know none.
    any: AtomicBool,
    /// How many more go one by one before it is tried again.
    left: Mutex<HashMap<SocketAddr, u32>>,
}

impl NarrowLines {
    /// Whether the next datagram to there goes alone.
    fn leads_to(&self, to: SocketAddr) -> bool {
        if !self.any.load(Relaxed) {
            return false;
        }
        let mut narrow = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(left) = narrow.get_mut(&to) else { return false };
        *left -= 1;
        if *left == 0 {
            narrow.remove(&to);
            self.any.store(!narrow.is_empty(), Relaxed);
        }
        true
    }

    fn note(&self, to: SocketAddr) {
        let mut narrow = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        // Over the bound each batch is tried in vain first: that costs a call.
        if narrow.len() < NARROW_LINES_MAX {
            narrow.insert(to, ONE_BY_ONE);
            self.any.store(true, Relaxed);
        }
    }
}

/// Whether the kernel does not send several at once there, since even one does not go as it is. (Whatever else is wrong with a
/// destination must not slow down all others.)
fn goes_one_by_one(error: &io::Error) -> bool {
    // (Older kernels call it an invalid argument.)
    #[cfg(target_os = "linux")]
    let is_too_long = rustix::io::Errno::from_io_error(error)
        .is_some_and(|error| [rustix::io::Errno::MSGSIZE, rustix::io::Errno::INVAL].contains(&error));
    #[cfg(not(target_os = "linux"))]
    let is_too_long = false;
    is_too_long
}

/// Lets datagrams go in fragments where a line takes only shorter ones (tunnels and some mobile lines: 1280 bytes), which
/// the library forbids: all have one length, so the path's cannot be followed. What a router says of it is not believed, since
/// routers cut themselves.
///
/// Over IPv6 only the sender may cut, so what a router says of its line is believed: it can make us send two where one would do.
#[cfg(target_os = "linux")]
fn allow_fragments(io: &std::net::UdpSocket) -> io::Result<()> {
    use rustix::net::sockopt::{
        Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover,
    };
    set_ip_mtu_discover(io, Ipv4PathMtuDiscovery::OMIT)?;
    if io.local_addr()?.is_ipv6() {
        // Where the kernel does not know these, all goes as it did.
        let _ = set_ipv6_mtu_discover(io, Ipv6PathMtuDiscovery::WANT);
        let _ = nix::sys::socket::setsockopt(io, nix::sys::socket::sockopt::Ipv6DontFrag, &false);
    }
    Ok(())
}

/// An IPv4 address in its own form; others as they are, with their scope.
fn plain(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => SocketAddr::new(ip.to_canonical(), address.port()),
        _ => address,
    }
}
