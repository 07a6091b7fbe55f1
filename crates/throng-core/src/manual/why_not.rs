//! # Why not otherwise
//!
//! **Why not TCP or QUIC between mixes?** Their acknowledgements and congestion control shape the wire by the load.
//! Links here are plain datagrams, and reliability is end to end, in the pipe.
//!
//! **Why a number on every cell, where Tor chains its state?** Cells get lost and overtake each other, so a layer
//! cannot depend on the cells before. The number is the layer's tweak and lets replays be recognised exactly. It
//! stands in the cell, but under the link's encryption, and counts from another secret start on every link. What a
//! gap in it tells a mix, counting cells would tell it too.
//!
//! **Why UIV, and not a strong wide-block permutation (HCTR2)?** It needs one hash pass instead of two, and both of its
//! passes are AES-GCM, of which every machine has a fast one: a quarter less CPU for a whole download. It is
//! non-malleable in one direction only, so the direction matters: mixes encipher, origins decipher, as in Tor's
//! Counter Galois Onion. What is recognised there is a secret that changes with every cell; here it is a block of zeros,
//! and what changes is the tweak, which therefore is in the hash *and* in the stream. The seam is
//! [`LayerCipher`](crate::crypto::LayerCipher).
//!
//! **Why AES-128 everywhere?** One strength for all; links and layers are keyed afresh with every handshake, and the
//! known quantum attacks on it stay out of reach.
//!
//! **Why 1280 bytes?** It is what the handshake needs in one datagram: 1216 bytes of keys and their envelope; through
//! a circuit an extension fills its cell to the last byte. It also fits every path that carries IPv6 with its
//! usual 1500, and leaves QUIC 1224 bytes where it asks for 1200. A design may say another length, down to 256: then
//! handshakes and packets go in [parts](crate::wire::parts), and one lost cell costs more.
//!
//! **Why does a circuit's origin, and not its neighbours, notice that a hop is dead?** Both do. Links ask a silent
//! neighbour; but only the origin can tell a mix that forwards nothing from one that has nothing to forward.
//!
//! **Why does a covered client wait so long for a dead first hop?** It has one, and cannot know whether that or its own line is silent
//! without calling another one, which everybody on the line sees. So it waits six seconds, and is served after eight to fourteen;
//! clients with three first hops know within a second or two.
//!
//! **Why are keys of a link renewed by messages under the old ones, and not by a new link?** A link is a neighbour: its
//! circuits, its slots and what is known of its silence would have to move from one to the other, and whoever watches would
//! see handshakes where there are cells otherwise. Who holds the old keys could answer in the neighbour's name only with the
//! neighbour's identity, as in any other handshake. (The one who asks is as anonymous as ever: stolen keys let a thief
//! renew them in a client's place.)
//!
//! **Why do mixes have no link keys, where Tor's relays have onion keys?** In ntor a static key proves who answers. It has to be in
//! the relay's record, so it lives long or must be published again and again, and whoever takes it can answer in the relay's
//! name. An identity's signature over what only the two ends know ([`handshake`](crate::crypto::Initiation)) proves the same:
//! nothing has to be rotated, and every key of links and circuits lives as long as its link's session or its circuit. It is
//! quicker for the mix (a signature costs half of an exponentiation), and answer and offer fill a cell alike. What is given up:
//! with a static key, whoever could guess a mix's chance but does not have its keys still cannot read along; a signature does
//! not help there. And it cannot be denied: an asker who keeps its own secrets can show others that the mix answered somebody.
//!
//! **Why does a capacity that nobody has measured count up to eight medians?** Whoever boasts gains by it. But where lines differ
//! as homes' lines do, the few good ones have to carry most: with claims that counted up to two medians, and above that only as
//! far as circuits of one's own were seen to carry, 66 ± 14 exchanges were done in `scenarios/come-and-go.toml` instead of
//! 107 ± 19 (24 seeds). A client sees too little of a mix to measure it; its neighbours will have to.
//!
//! **Why is a neighbour asked at its new address before it is believed?** Who sits on the way can send its datagrams again
//! from anywhere, and would move it away. QUIC does the same (RFC 9000, section 8.2).
