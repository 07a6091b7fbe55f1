//! Circuits that end here: QUIC's accepting side.

use std::collections::HashMap;
use std::sync::Arc;

use quinn::{Connection, Endpoint, Incoming, VarInt};
use throng_core::{CircuitId, Event};
use tokio::sync::mpsc;

use super::Exit;
use crate::pipe::circuit_at;
use crate::stream::{Receiving, Sending};

/// Serves every stream of every circuit that ends at the node which tells `events`, until both `endpoint` and
/// node have ended.
pub async fn accept(endpoint: Endpoint, exit: Arc<Exit>, mut events: mpsc::UnboundedReceiver<Event>) {
    let (up, mut came_up) = mpsc::unbounded_channel();
    let mut connections: HashMap<CircuitId, Connection> = HashMap::new();
    loop {
        tokio::select! {
            incoming = endpoint.accept() => match incoming {
                Some(incoming) => drop(tokio::spawn(serve(incoming, Arc::clone(&exit), up.clone()))),
                None => return,
            },
            Some((circuit, connection)) = came_up.recv() => {
                connections.retain(|_, connection| connection.close_reason().is_none());
                connections.insert(circuit, connection);
            }
            event = events.recv() => match event {
                // What runs over a dead circuit ends with an error, at once.
                Some(Event::CircuitEnded { circuit, .. }) => {
                    if let Some(connection) = connections.remove(&circuit) {
                        connection.close(VarInt::from_u32(0), b"");
                    }
                }
                Some(_) => {}
                None => return,
            },
        }
    }
}

async fn serve(incoming: Incoming, exit: Arc<Exit>, up: mpsc::UnboundedSender<(CircuitId, Connection)>) {
    let Some(circuit) = circuit_at(incoming.remote_address()) else { return incoming.ignore() };
    let Ok(connection) = incoming.await else { return };
    if up.send((circuit, connection.clone())).is_err() {
        return;
    }
    while let Ok((send, recv)) = connection.accept_bi().await {
        let exit = Arc::clone(&exit);
        tokio::spawn(async move { exit.serve_stream(Receiving::new(recv), Sending::new(send)).await });
    }
}
