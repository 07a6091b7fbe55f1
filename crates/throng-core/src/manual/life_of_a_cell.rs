//! # The life of a cell
//!
//! Six files, from one socket to the next.
//!
//! 1. **The driver** (`throng-net/src/driver.rs`, or `throng-sim/src/world.rs`) receives a batch of datagrams and
//!    gives each to [`Node::step`](crate::Node::step) as [`Input::Datagram`](crate::Input::Datagram).
//! 2. **`node/`** reads the outside: [`Datagram::parse`](crate::wire::datagram::Datagram::parse) says whether it is
//!    a sealed cell of a session or a message that sets one up. `node/cells.rs` finds the link by the session.
//! 3. **`link/`** opens it in place: the counter must be new, the tag right; only then is the counter noted. Out
//!    comes a cell, whose [`CellHeader`](crate::wire::cell::CellHeader) names the circuit and the cell's number.
//! 4. **`circuit/relay.rs`** takes one layer off (forward) or puts one on (backward), under the number as
//!    [tweak](crate::crypto::LayerKey::encipher). A body that now begins with 16 zero bytes is
//!    [recognised](crate::wire::message::is_recognised): a [`Message`](crate::wire::message::Message) for us.
//!    Anything else goes on, with the number that the next link counts; at the end of a circuit it is noise.
//! 5. **`mixing/`** holds a ticket for the cell and lets it go when the [strategy](crate::mixing::Mixing) says so,
//!    in an order that does not follow the arrival.
//! 6. Where the next link is covered, it waits in **`cover/`** for a slot of the neighbour ([`Lane::at`](crate::Lane)).
//!    **`link/`** of the next hop seals it into a datagram of the [`Outbox`](crate::Outbox), which the driver sends
//!    together with all others to the same address.
//!
//! At its two ends a circuit carries packets of QUIC: the origin wraps one under all layers
//! (`circuit/origin.rs`), the last hop hands it to its pipe as a
//! [delivery](crate::Outbox::deliveries). Losing or overtaking cells is normal; QUIC repairs it.
//!
//! # How a circuit comes up
//!
//! The first hop gets a [`Create`](crate::wire::control::Control::Create) over the link, every further one an
//! [`Extend`](crate::wire::message::Message::Extend) through the circuit so far, which the hop before it turns
//! into a `Create`. Each carries the same [handshake](crate::crypto::Initiation). Any of these messages may be
//! lost or doubled: the origin asks again, with the same offer, and whoever has answered answers the same.
