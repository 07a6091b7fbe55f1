//! QUIC over circuits: to `quinn` a circuit is an unreliable network between two addresses.
//!
//! Reliability, flow and congestion control, streams and their encryption come from the library; a circuit may
//! lose and reorder freely. The addresses are made up: they carry the circuit's handle.

mod congestion;
pub mod memory;
mod quic;
mod tls;
mod windows;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use throng_core::{CircuitId, Outbox};
use tokio::sync::Notify;

pub use quic::{client_config, endpoint, server_config};
pub(crate) use windows::keep_windows;

/// Packets of one circuit that may wait for QUIC to read them; over it new ones are dropped, as a network would.
const INBOUND_PER_CIRCUIT_PACKETS_MAX: usize = 4096;
/// The same for all circuits together.
const INBOUND_PACKETS_MAX: usize = 32_768;
/// Packets that may wait for the driver; over it QUIC is told to wait.
const OUTBOUND_PACKETS_MAX: usize = 1024;
/// Packets that QUIC makes and we take at once.
const SEGMENTS_AT_ONCE: usize = 32;
/// Buffers kept for the next packets.
const SPARE_BUFFERS_MAX: usize = 256;

/// What lies between a node and QUIC.
#[derive(Default)]
pub struct Pipe {
    inbound: Mutex<Inbound>,
    outbound: Mutex<Outbound>,
    outgoing: Notify,
}

#[derive(Default)]
struct Inbound {
    packets: VecDeque<(CircuitId, Bytes)>,
    /// How many of them are each circuit's.
    counts: HashMap<CircuitId, usize>,
    reader: Option<Waker>,
    dropped: u64,
}

#[derive(Default)]
struct Outbound {
    bursts: VecDeque<Burst>,
    packets: usize,
    writers: Vec<Waker>,
    spare: Vec<Vec<u8>>,
}

impl Inbound {
    fn push(&mut self, circuit: CircuitId, packet: Bytes) {
        if self.packets.len() >= INBOUND_PACKETS_MAX {
            self.dropped += 1;
            return;
        }
        let waiting = self.counts.entry(circuit).or_insert(0);
        if *waiting >= INBOUND_PER_CIRCUIT_PACKETS_MAX {
            self.dropped += 1;
        } else {
            *waiting += 1;
            self.packets.push_back((circuit, packet));
        }
    }

    fn pop(&mut self) -> Option<(CircuitId, Bytes)> {
        let (circuit, packet) = self.packets.pop_front()?;
        if let Entry::Occupied(mut waiting) = self.counts.entry(circuit) {
            *waiting.get_mut() -= 1;
            if *waiting.get() == 0 {
                waiting.remove();
            }
        }
        Some((circuit, packet))
    }
}

/// Packets of one circuit, of one length but for the last.
struct Burst {
    circuit: CircuitId,
    bytes: Vec<u8>,
    segment: usize,
}

impl Pipe {
    /// A pipe without anything in it.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Waits until the driver has something to take.
    pub(crate) async fn has_outgoing(&self) {
        self.outgoing.notified().await;
    }

    /// Hands everything that QUIC wants to send to `each`, packet by packet.
    pub(crate) fn take_outgoing(&self, mut each: impl FnMut(CircuitId, &[u8])) {
        let (mut bursts, writers) = {
            let mut outbound = self.outbound();
            if outbound.bursts.is_empty() {
                return;
            }
            outbound.packets = 0;
            (std::mem::take(&mut outbound.bursts), std::mem::take(&mut outbound.writers))
        };
        for burst in &bursts {
            for packet in burst.bytes.chunks(burst.segment.max(1)) {
                each(burst.circuit, packet);
            }
        }
        writers.into_iter().for_each(Waker::wake);
        let mut outbound = self.outbound();
        let room = SPARE_BUFFERS_MAX.saturating_sub(outbound.spare.len());
        outbound.spare.extend(bursts.drain(..).take(room).map(|burst| burst.bytes));
    }

    /// Hands what arrived through circuits to QUIC.
    pub(crate) fn deliver(&self, outbox: &Outbox) {
        let Some(batch) = outbox.payloads() else { return };
        let batch = Bytes::copy_from_slice(batch); // one allocation for all of them
        let reader = {
            let mut inbound = self.inbound();
            for (circuit, range) in outbox.delivery_ranges() {
                inbound.push(circuit, batch.slice(range));
            }
            inbound.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Packets that came faster than QUIC read them, and were dropped.
    pub fn dropped(&self) -> u64 {
        self.inbound().dropped
    }

    fn inbound(&self) -> MutexGuard<'_, Inbound> {
        self.inbound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outbound(&self) -> MutexGuard<'_, Outbound> {
        self.outbound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The made-up address of a circuit's other end: a unique local one (RFC 4193) that never leaves the process.
pub(crate) fn address_of(circuit: CircuitId) -> SocketAddr {
    let bits = (0xfd00_u128 << 112) | u128::from(circuit.to_bits());
    SocketAddr::new(Ipv6Addr::from_bits(bits).into(), 1)
}

/// The circuit with this made-up address.
pub(crate) fn circuit_at(address: SocketAddr) -> Option<CircuitId> {
    match address.ip() {
        IpAddr::V6(ip) => Some(CircuitId::from_bits(ip.to_bits() as u64)),
        IpAddr::V4(_) => None,
    }
}

/// The pipe as a socket.
struct PipeSocket(Arc<Pipe>);

impl std::fmt::Debug for PipeSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PipeSocket")
    }
}

impl AsyncUdpSocket for PipeSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable(Arc::clone(&self.0)))
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let Some(circuit) = circuit_at(transmit.destination) else { return Ok(()) };
        let segment = transmit.segment_size.unwrap_or(transmit.contents.len());
        let mut outbound = self.0.outbound();
        if outbound.packets >= OUTBOUND_PACKETS_MAX {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let first = outbound.bursts.is_empty();
        let mut bytes = outbound.spare.pop().unwrap_or_default();
        bytes.clear();
        bytes.extend_from_slice(transmit.contents);
        outbound.packets += bytes.len().div_ceil(segment.max(1));
        outbound.bursts.push_back(Burst { circuit, bytes, segment });
        drop(outbound);
        if first {
            self.0.outgoing.notify_one(); // one wake-up per batch
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut inbound = self.0.inbound();
        if inbound.packets.is_empty() {
            inbound.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let mut filled = 0;
        while filled < buffers.len().min(meta.len()) {
            let Some((circuit, first)) = inbound.pop() else { break };
            let buffer = &mut buffers[filled];
            let stride = first.len();
            let mut length = put(buffer, 0, &first);
            // Equal packets of one circuit go in together, as the kernel's receive offload would do it.
            while let Some((next, packet)) = inbound.packets.front() {
                if *next != circuit || packet.len() != stride || length + stride > buffer.len() || stride == 0
                {
                    break;
                }
                length = put(buffer, length, packet);
                let taken = inbound.pop();
                debug_assert!(taken.is_some());
            }
            meta[filled] =
                RecvMeta { addr: address_of(circuit), len: length, stride, ecn: None, dst_ip: None };
            filled += 1;
        }
        Poll::Ready(Ok(filled))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::new(Ipv6Addr::from_bits(0xfd00_u128 << 112).into(), 1))
    }

    fn max_transmit_segments(&self) -> usize {
        SEGMENTS_AT_ONCE
    }

    fn max_receive_segments(&self) -> usize {
        SEGMENTS_AT_ONCE
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

/// Copies a packet to `at` and says where it ends. A packet longer than the buffer is not ours: it is cut off.
fn put(buffer: &mut [u8], at: usize, packet: &[u8]) -> usize {
    let end = buffer.len().min(at + packet.len());
    buffer[at..end].copy_from_slice(&packet[..end - at]);
    end
}

/// Waits until the pipe has room.
struct Writable(Arc<Pipe>);

impl std::fmt::Debug for Writable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Writable")
    }
}

impl UdpPoller for Writable {
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut outbound = self.0.outbound();
        if outbound.packets < OUTBOUND_PACKETS_MAX {
            return Poll::Ready(Ok(()));
        }
        if !outbound.writers.iter().any(|waker| waker.will_wake(cx.waker())) {
            outbound.writers.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circuit_that_floods_us_fills_its_own_share_only() {
        let mut inbound = Inbound::default();
        let (greedy, modest) = (CircuitId::from_bits(1), CircuitId::from_bits(2));
        for _ in 0..INBOUND_PER_CIRCUIT_PACKETS_MAX + 100 {
            inbound.push(greedy, Bytes::from_static(b"x"));
        }
        assert_eq!(inbound.dropped, 100);
        inbound.push(modest, Bytes::from_static(b"y"));
        let packets: Vec<_> = std::iter::from_fn(|| inbound.pop()).collect();
        assert_eq!(packets.len(), INBOUND_PER_CIRCUIT_PACKETS_MAX + 1);
        assert_eq!(packets.last().map(|(circuit, _)| *circuit), Some(modest));
        assert!(inbound.counts.is_empty(), "what is read is forgotten");
        inbound.push(greedy, Bytes::from_static(b"x"));
        assert_eq!(inbound.dropped, 100, "and makes room");
    }

    #[test]
    fn no_number_of_circuits_exceeds_the_bound_of_all() {
        let mut inbound = Inbound::default();
        for packet in 0..2 * INBOUND_PACKETS_MAX {
            inbound.push(CircuitId::from_bits(packet as u64 % 1000), Bytes::new());
        }
        assert_eq!(inbound.packets.len(), INBOUND_PACKETS_MAX);
        assert_eq!(inbound.dropped as usize, INBOUND_PACKETS_MAX);
        inbound.push(CircuitId::from_bits(5000), Bytes::new());
        assert_eq!(inbound.counts.len(), 1000, "who has nothing there is not counted");
    }

    #[test]
    fn a_circuits_address_leads_back_to_it() {
        for bits in [0, 1, u64::MAX, 1 << 63, 0x1234_5678_9abc_def0] {
            let circuit = CircuitId::from_bits(bits);
            assert_eq!(circuit_at(address_of(circuit)), Some(circuit));
        }
    }
}
