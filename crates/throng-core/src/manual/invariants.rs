//! # What is always true
//!
//! - The engine reads no clock and draws no entropy: it is `no_std`, its dependencies bring neither, and `deny.toml`
//!   forbids `getrandom` below the driver.
//! - Every datagram of a network has [one length](crate::wire::Geometry).
//! - No address, no host name and no circuit stands in a log: such values are [`Scrubbed`](crate::Scrubbed) or have
//!   a `Debug` that says nothing. Events name nodes of our own circuits to the node's owner only.
//! - What a peer sends never reaches a panic; it is acted on, or counted under a
//!   [`Refused`](crate::refused::Refused) and forgotten. The peer learns nothing.
//! - Checks leave proofs: a [`Record`](crate::membership::Record) can only be signed or verified into being, a
//!   peeled cell only comes from a relay's `peel`.
//! - A session's counter is used once per key, a circuit's number once per layer and direction: keys are renewed and
//!   circuits end long before either could come round ([`limits`](crate::limits)).
//! - Two nodes have one link; a mix is reached only at addresses that it signed, and at any new address only after an answer
//!   from there, under the keys of the link.
//! - The tables of a node agree with each other: what is gone is named nowhere ([`Node::audit`](crate::Node::audit), which
//!   the simulator's swarm and builds with debug assertions ask).
//! - Every queue and table has a bound in [`limits`](crate::limits), and every timer's owner has one entry.
//! - A mixing strategy sees tickets, never cells.
//! - A cover schedule is told nothing of what there is to send; slots are counted from the beginning of time, and every
//!   speaker draws from a stream of its own. (Demand-driven and mimicking links follow the load by design, slowly.)
//! - Streams of different isolation never share a circuit.
//! - Whoever uses a circuit hears of its end: [`Event::CircuitEnded`](crate::Event::CircuitEnded) comes once for
//!   every circuit that was ready here, or delivered something here.
