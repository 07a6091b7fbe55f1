//! # Glossary
//!
//! One meaning each, in code, help and documents.
//!
//! | word | meaning |
//! |---|---|
//! | node | one running Throng ([`Node`](crate::Node)); client and mix are roles of it |
//! | mix | a node that relays for others; an *exit* is one where circuits may end |
//! | neighbour | a node that we exchange datagrams with; there is one *link* to it, which outlives keys and addresses |
//! | session | one set of keys of a link, and what was seen under it |
//! | datagram | what is on the wire; a network has one length of them ([`Geometry`](crate::wire::Geometry)) |
//! | cell | what a datagram carries: [header](crate::wire::cell::CellHeader) and body |
//! | part | a piece of a message that is longer than a cell or a datagram ([`parts`](crate::wire::parts)) |
//! | circuit | a chain of mixes, made by its *origin*; each mix is a *hop* of it |
//! | layer | the keys that an origin shares with one hop |
//! | stream | a connection of an application through a circuit; a *payload* is one of its packets |
//! | cover, filler, dummy | traffic without need; a filler goes over a link, a dummy through a circuit |
//! | slot | a moment at which a link or circuit speaks whatever there is to say |
//! | ticket | a held cell, as its mixing strategy sees it |
//! | design | all choices of a network, one for each axis ([`Design`](crate::Design)) |
//! | record | what a node signs of itself ([`Record`](crate::membership::Record)) |
//! | document | what the operators of a static network sign ([`Document`](crate::documents::Document)) |
//! | view | whom a node knows ([`View`](crate::membership::View)) |
//! | room | a part of a node that owns its tables (`node/`) |
//! | company | who else's cells were in a mix with one of ours |
