//! # Whom Throng defends against, and whom not
//!
//! **Somebody on the wire** sees datagrams of one length between addresses, and when. They cannot read, change,
//! repeat or forge one: a changed or repeated datagram is dropped before anything else happens. With the mixing
//! strategy [`None`](crate::mixing::Mixing::None), and without cover traffic, *timing tells them everything*: who
//! watches both ends of a circuit links them after a few dozen datagrams. A
//! [batch](crate::mixing::Mixing::Batch) makes that harder only as far as others are in the same batch.
//!
//! **A mix** knows the one before and the one behind it, how many cells pass, and when. It cannot read them. Tagging
//! one (changing a bit to see where it comes out changed) turns the whole cell into noise at the next honest hop
//! ([`LayerKey`](crate::crypto::LayerKey)), so it learns no more than by dropping it. Repeating one is recognised
//! at the next honest hop. By a cell's number two mixes cannot recognise it either, since each link counts from
//! its own secret start; but they can count cells and compare times.
//!
//! **The first and the last hop together**, in one hand, link a client with its destination. Path rules
//! ([`PathRules`](crate::route::PathRules)) and sticky first hops ([`FirstHops`](crate::route::FirstHops)) make
//! that rare, not impossible.
//!
//! **The exit** sees destinations, and contents that are not encrypted by the application. It does not see who asks.
//!
//! **A recorder with a quantum computer**, later, needs to break X25519 *and* ML-KEM-768 to open what it recorded.
//! (Symmetric keys have 128 bits. Who a node is, is proved with X25519 and Ed25519 alone: that must hold only now.)
//!
//! **A flood** of handshakes from forged addresses costs a responder one hash each; of honest-looking ones it does
//! a bounded number per second. All tables have bounds ([`limits`](crate::limits)).
//!
//! Nobody can promise anonymity against an adversary who sees all links of a network with low latency; the paper
//! of Rennhard and Plattner says so too.
