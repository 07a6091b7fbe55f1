//! One UDP socket, many datagrams per system call in and out.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};

use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use socket2::{Domain, Protocol, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// System calls' worth of datagrams received at once.
const RECV_BATCHES: usize = 4;
/// Kernel buffers: what may wait while the driver is busy.
const KERNEL_BUFFER_BYTES: usize = 8 << 20;
/// Longest UDP payload of IPv4, which also bounds what the kernel segments for us.
const UDP_BYTES_MAX: usize = 65_507;

/// A UDP socket for datagrams of one length.
pub struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    datagram: usize,
    /// An IPv6 socket, which reaches IPv4 addresses in their mapped form.
    is_v6: bool,
    buffers: Vec<Vec<u8>>,
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
        // The kernel grants what its limits allow.
        let _ = state.set_recv_buffer_size((&io).into(), KERNEL_BUFFER_BYTES);
        let _ = state.set_send_buffer_size((&io).into(), KERNEL_BUFFER_BYTES);
        // One byte more than fits: a datagram that is too long must not look right because it was cut off.
        let length = (datagram * state.gro_segments() + 1).min(UDP_BYTES_MAX + 1);
        let buffers = vec![vec![0; length]; RECV_BATCHES];
        Ok(Self { io: UdpSocket::from_std(io)?, state, datagram, is_v6: address.is_ipv6(), buffers })
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// Those of the system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    /// Waits until something may have arrived.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.io.readable().await
    }

    /// Waits until something may be sent.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.io.writable().await
    }

    /// Hands every datagram that is here to `each`, one batch of system calls' worth. How many there were.
    pub(crate) fn receive(&mut self, mut each: impl FnMut(SocketAddr, &mut [u8])) -> io::Result<usize> {
        let mut meta = [RecvMeta::default(); RECV_BATCHES];
        let (io, state) = (&self.io, &self.state);
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

    /// How the kernel wants to hear of this destination.
    fn reachable(&self, to: SocketAddr) -> SocketAddr {
        match to.ip() {
            IpAddr::V4(ip) if self.is_v6 => SocketAddr::new(ip.to_ipv6_mapped().into(), to.port()),
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
        let bytes = datagrams.len().min(segments * self.datagram);
        let transmit = Transmit {
            destination: self.reachable(to),
            ecn: None,
            contents: &datagrams[..bytes],
            segment_size: (bytes > self.datagram).then_some(self.datagram),
            src_ip: None,
        };
        let io = &self.io;
        io.try_io(Interest::WRITABLE, || self.state.send(io.into(), &transmit))?;
        Ok(bytes)
    }
}

/// An IPv4 address in its own form; others as they are, with their scope.
fn plain(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => SocketAddr::new(ip.to_canonical(), address.port()),
        _ => address,
    }
}
