//! # The life of a cell
//!
//! From one socket to the next a forward cell at a mix passes six places, and ten files of the node in them (formats, layers
//! and the outbox have their own). Nothing there is decided by anything but the cell's own header, the node's tables, the time
//! and a stream of chance.
//!
//! 1. **The driver** (`throng-net/src/driver.rs` and `socket.rs`, or `throng-sim/src/world.rs`) receives a batch of datagrams
//!    and gives each to [`Node::step`](crate::Node::step) as [`Input::Datagram`](crate::Input::Datagram).
//! 2. **The door**, `node/mod.rs`, hands it to `node/routing.rs`, which reads like this page.
//!    [`Datagram::parse`](crate::wire::datagram::Datagram::parse) (`wire/datagram.rs`) says whether it is a sealed cell of a
//!    session or a message that sets one up.
//! 3. **The room of the neighbours**, `node/neighbours/mod.rs`, finds the neighbour by the session that the datagram names
//!    (`table.rs`, `sessions.rs`) and opens it in place under the keys in use (`neighbour.rs`, `keys.rs`, `session.rs`): the
//!    counter must be new, the tag right; only then is the counter noted. Out comes a cell, whose
//!    [`CellHeader`](crate::wire::cell::CellHeader) names the circuit and the cell's number.
//! 4. **The room of circuits through us**, `node/relays/mod.rs`, takes one layer off (`relay.rs`, `layers.rs`), under the
//!    number as [tweak](crate::crypto::LayerCipher::encipher); for a backward cell it puts one on. A body that now begins with 16
//!    zero bytes is [recognised](crate::wire::message::is_recognised): a [`Message`](crate::wire::message::Message) for us.
//!    Anything else goes on, with the number that the next link counts; at the end of a circuit it is noise.
//! 5. **The room of the mixing strategy**, `node/mixing/mod.rs`, holds a ticket for the cell and lets it go when the
//!    [strategy](crate::mixing::Mixing) says so, in an order that does not follow the arrival. Where cells leave at once there
//!    is nothing to pass here.
//! 6. **The neighbours again**: where the next link is covered, the cell waits for a slot of it ([`Lane::at`](crate::Lane)).
//!    Then it is sealed into a datagram of the [`Outbox`](crate::Outbox) (`output.rs`), which the driver sends together with
//!    all others to the same address.
//!
//! At its two ends a circuit carries packets of QUIC: the origin wraps one under all layers (`node/origins/origin.rs`), the
//! last hop hands it to its pipe as a [delivery](crate::Outbox::deliveries). Losing or overtaking cells is normal; QUIC
//! repairs it.
//!
//! # Rooms
//!
//! No room knows another one. Each owns its tables, gets a small context (now, out, timers, slots, chance, counts, design)
//! and leaves two kinds of things behind: cells and datagrams that it wants to send (`departure.rs`), and what its work means
//! for others (`effect.rs`: a circuit is off a link, a link is up, has moved, is gone). `node/routing.rs` takes both on, in
//! order; what a neighbour says is in `node/control.rs`, what a host commands in `node/rooms.rs`, what concerns several rooms
//! at once in `node/circuits.rs` and `node/links.rs`. That tables of two rooms agree is
//! checked by [`Node::audit`](crate::Node::audit).
//!
//! # A neighbour
//!
//! Two nodes have one link at most. Whoever opened it says first who it is: a client, or a mix, which proves it
//! ([`Introduced`](crate::wire::control::Introduced)). Under the link keys are renewed and addresses change; circuits, slots
//! and defence stay. If two mixes open links to each other at once, one remains and takes over what runs on the other.
//!
//! # How a circuit comes up
//!
//! The first hop gets a [`Create`](crate::wire::control::Control::Create) over the link, every further one an
//! [`Extend`](crate::wire::message::Message::Extend) through the circuit so far, which the hop before it turns
//! into a `Create`. An `Extend` [names](crate::wire::message::Next) the next hop, carries its record, or leaves the choice to
//! the hop, which then says whom it chose: the path grows as hops join. Each carries the same [handshake](crate::crypto::Initiation). Any of these messages may be
//! lost or doubled: the origin asks again, with the same offer, and whoever has answered answers the same.
