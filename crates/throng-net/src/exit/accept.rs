//! Circuits that end here: QUIC's accepting side.

use std::collections::HashMap;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, Endpoint, Incoming, VarInt};
use throng_core::{CircuitId, Event};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Exit, Guest};
use crate::pipe::memory::Portion;
use crate::pipe::{circuit_at, keep_windows};
use crate::stream::{Receiving, Sending};

/// QUIC's handshake takes at most this: a first packet alone must not keep memory for long.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// What becomes of a circuit's one connection; nothing when it is over.
type ConnectionNews = (CircuitId, Option<Connection>);

/// Serves every stream of every circuit that ends at the node which tells `events`, until `endpoint` or node ends.
///
/// A circuit has one connection at a time: whatever else arrives on it is ignored.
pub async fn accept(endpoint: Endpoint, exit: Arc<Exit>, mut events: mpsc::UnboundedReceiver<Event>) {
    let (tell, mut told) = mpsc::unbounded_channel::<ConnectionNews>();
    // None while the handshake runs.
    let mut circuits: HashMap<CircuitId, Option<Connection>> = HashMap::new();
    loop {
        tokio::select! {
            incoming = endpoint.accept() => {
                let Some(incoming) = incoming else { break };
                match circuit_at(incoming.remote_address()) {
                    Some(circuit) if !circuits.contains_key(&circuit) => match exit.memory.admit() {
                        Some(portion) => {
                            circuits.insert(circuit, None);
                            tokio::spawn(serve(circuit, incoming, portion, Arc::clone(&exit), tell.clone()));
                        }
                        None => incoming.refuse(), // the client tries elsewhere at once
                    },
                    _ => incoming.ignore(),
                }
            }
            Some((circuit, connection)) = told.recv() => match (connection, circuits.get_mut(&circuit)) {
                (Some(up), Some(place)) => *place = Some(up),
                (Some(up), None) => end(&up), // its circuit ended meanwhile
                (None, _) => drop(circuits.remove(&circuit)),
            },
            event = events.recv() => match event {
                // What runs over a dead circuit ends with an error, at once.
                Some(Event::CircuitEnded { circuit, .. }) => {
                    if let Some(Some(up)) = circuits.remove(&circuit) {
                        end(&up);
                    }
                }
                Some(_) => {}
                None => break,
            },
        }
    }
    endpoint.close(VarInt::from_u32(0), b"");
}

async fn serve(
    circuit: CircuitId,
    incoming: Incoming,
    portion: Arc<Portion>,
    exit: Arc<Exit>,
    tell: mpsc::UnboundedSender<ConnectionNews>,
) {
    if let Some(connection) = handshake(incoming, &portion).await {
        let _ = tell.send((circuit, Some(connection.clone())));
        tokio::spawn(keep_windows(connection.clone(), Arc::clone(&portion)));
        let guest = Arc::new(Guest::of(connection.clone()));
        while let Ok((send, recv)) = connection.accept_bi().await {
            let (exit, guest) = (Arc::clone(&exit), Arc::clone(&guest));
            let recv = Receiving::new(recv, Arc::clone(&portion));
            let send = Sending::new(send, Arc::clone(&portion));
            tokio::spawn(async move { exit.serve_stream(&guest, recv, send).await });
        }
    }
    let _ = tell.send((circuit, None));
}

/// QUIC's handshake, unless it takes too long or its place is needed by others.
async fn handshake(incoming: Incoming, portion: &Portion) -> Option<Connection> {
    tokio::select! {
        connected = timeout(HANDSHAKE_TIME_MAX, incoming.into_future()) => connected.ok()?.ok(),
        // It has no streams yet: this can only mean that it has to end.
        () = portion.woken() => None,
    }
}

fn end(connection: &Connection) {
    connection.close(VarInt::from_u32(0), b"");
}
