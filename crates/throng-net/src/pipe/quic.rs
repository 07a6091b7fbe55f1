//! How QUIC is told that its network is a mix-network.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    AckFrequencyConfig, ClientConfig, Endpoint, EndpointConfig, ServerConfig, TokioRuntime, TransportConfig,
    VarInt,
};
use quinn_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid, RandomConnectionIdGenerator};
use throng_core::limits::{CIRCUIT_GAP_MAX, STREAMS_PER_CIRCUIT_MAX};
use throng_core::wire::Geometry;
use throng_core::{Design, NodeId, NodeKeys};

use super::congestion::WatchedConfig;
use super::memory::MemoryTerms;
use super::{Pipe, PipeSocket, tls};
use crate::entropy;

/// Streams that one circuit may carry at once: some more than a client uses, since the end of one takes its time.
const STREAMS_MAX: u32 = STREAMS_PER_CIRCUIT_MAX + 64;
/// What a stream towards the client may have under way that its reader has not taken yet: 168 Mbit/s at a round trip of 100 ms.
const CLIENT_STREAM_WINDOW_BYTES: u32 = 2 << 20;
/// What a stream towards the exit may have so, whose memory others use too.
const EXIT_STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// An acknowledgement costs a full cell at every hop: one per so many packets …
const ACKNOWLEDGE_PACKETS: u32 = 30;
/// … or after so long.
const ACKNOWLEDGE_DELAY: Duration = Duration::from_millis(25);
/// Packets that overtake each other by up to so many are not taken for lost: mixing reorders.
const REORDERED_PACKETS: u32 = 256;
/// Packets that may be under way before the first acknowledgement,
const FIRST_WINDOW_PACKETS: u64 = 64;
/// also where links are slow.
const FIRST_WINDOW_PACKETS_MIN: u64 = 4;
/// How long the way is taken to be before the first acknowledgement, without what the design adds.
const FIRST_RTT: Duration = Duration::from_millis(100);
/// A connection without a packet for so long ends. (That a circuit is dead the engine sees long before.)
const IDLE_MAX: Duration = Duration::from_secs(7200);

/// QUIC's end on a pipe; with a `server` configuration it also accepts.
///
/// # Errors
/// Those of the library at its start.
pub fn endpoint(pipe: Arc<Pipe>, geometry: Geometry, server: Option<ServerConfig>) -> io::Result<Endpoint> {
    let mut config = EndpointConfig::default();
    let largest = u16::try_from(geometry.packet()).unwrap_or(u16::MAX);
    config.max_udp_payload_size(largest).map_err(io::Error::other)?;
    config.rng_seed(Some(entropy::secret()));
    config.cid_generator(|| Box::new(PlainIds(RandomConnectionIdGenerator::default())));
    Endpoint::new_with_abstract_socket(config, server, Arc::new(PipeSocket(pipe)), Arc::new(TokioRuntime))
}

/// For a client: the other end is the exit with this identity.
pub fn client_config(design: &Design, exit: NodeId) -> ClientConfig {
    let crypto = QuicClientConfig::try_from(tls::client(exit)).expect("the suite has QUIC's first cipher");
    let mut config = ClientConfig::new(Arc::new(crypto));
    let mut transport = transport(design);
    transport.max_concurrent_bidi_streams(VarInt::from_u32(0));
    transport.stream_receive_window(VarInt::from_u32(CLIENT_STREAM_WINDOW_BYTES));
    begin_at_floors(&mut transport, MemoryTerms::CLIENT);
    config.transport_config(Arc::new(transport));
    config
}

/// For an exit: it shows its identity.
pub fn server_config(design: &Design, keys: &NodeKeys) -> ServerConfig {
    let crypto = QuicServerConfig::try_from(tls::server(keys)).expect("the suite has QUIC's first cipher");
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.migration(false);
    let mut transport = transport(design);
    transport.max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX));
    transport.stream_receive_window(VarInt::from_u32(EXIT_STREAM_WINDOW_BYTES));
    begin_at_floors(&mut transport, MemoryTerms::EXIT);
    config.transport_config(Arc::new(transport));
    config
}

fn transport(design: &Design) -> TransportConfig {
    let packet = u16::try_from(design.geometry.packet()).unwrap_or(u16::MAX);
    let mut acknowledge = AckFrequencyConfig::default();
    acknowledge
        .ack_eliciting_threshold(VarInt::from_u32(ACKNOWLEDGE_PACKETS))
        .max_ack_delay(Some(ACKNOWLEDGE_DELAY))
        .reordering_threshold(VarInt::from_u32(REORDERED_PACKETS));
    let mut transport = TransportConfig::default();
    transport
        .initial_mtu(packet)
        .min_mtu(packet)
        .mtu_discovery_config(None)
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .packet_threshold(REORDERED_PACKETS)
        .time_threshold(2.0)
        .initial_rtt(FIRST_RTT + design.detour())
        .datagram_receive_buffer_size(None)
        .allow_spin(false)
        .ack_frequency_config(Some(acknowledge))
        .max_idle_timeout(Some(IDLE_MAX.try_into().expect("a few hours fit")))
        .congestion_controller_factory(Arc::new(WatchedConfig::new(
            first_window(design),
            under_way_max(design),
        )));
    transport
}

/// A circuit begins with what it is sure of; `windows` gives it more.
fn begin_at_floors(transport: &mut TransportConfig, terms: MemoryTerms) {
    transport.receive_window(VarInt::from_u32(terms.receive_floor)).send_window(terms.send_floor.into());
}

/// What may be under way before the first acknowledgement, in bytes.
fn first_window(design: &Design) -> u64 {
    // What covered links carry in a second, if that is less.
    let slots = design.cover.widest_gap(design.geometry).map_or(f64::INFINITY, |gap| 1.0 / gap.as_secs_f64());
    let packets = FIRST_WINDOW_PACKETS.min(slots as u64).max(FIRST_WINDOW_PACKETS_MIN);
    packets * design.geometry.packet() as u64
}

/// What may be under way, in bytes. A circuit lives through the loss of all of it: its numbers have a bound on gaps.
fn under_way_max(design: &Design) -> u64 {
    let cells = design.geometry.packet_cells() as u64;
    u64::from(CIRCUIT_GAP_MAX) * design.geometry.packet() as u64 / cells
}

/// Connection identifiers that say nothing.
///
/// Those that the library makes by itself are recognisably one endpoint's, and it answers unknown ones at a rate that
/// it keeps over all of them: by either, exits could tell that two circuits are one client's.
struct PlainIds(RandomConnectionIdGenerator);

impl ConnectionIdGenerator for PlainIds {
    fn generate_cid(&mut self) -> ConnectionId {
        self.0.generate_cid()
    }

    fn validate(&self, _: &ConnectionId) -> Result<(), InvalidCid> {
        Err(InvalidCid) // this is asked about unknown ones only: they get no answer
    }

    fn cid_len(&self) -> usize {
        self.0.cid_len()
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
