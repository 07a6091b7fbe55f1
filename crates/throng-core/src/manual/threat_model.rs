//! # Whom Throng defends against, and whom not
//!
//! **Somebody on the wire** sees datagrams of one length between addresses, and when. They cannot read, change,
//! repeat or forge one: a changed or repeated datagram is dropped before anything else happens. With the mixing
//! strategy [`AtOnce`](crate::mixing::AtOnce), and without cover traffic, *timing tells them everything*: who
//! watches both ends of a circuit links them after a few dozen datagrams. A
//! [batch](crate::mixing::Batch) makes that harder only as far as others are in the same batch. Where user links and
//! links between mixes are [covered](crate::cover::Cover) at constant rates, what they see does not depend on what users do;
//! neither does it when circuits end or keys are renewed. (The header of a datagram names its session, so that keys were
//! renewed shows: they change at moments that were fixed when they were last changed, whatever waits then. Where only circuits
//! are covered, it shows how many of them there are, and each new isolation is another one.)
//!
//! **Somebody on the wire who also delays and drops** can still make a gap and look where it comes out: no cover scheme here
//! defends against that. Who sends datagrams again from elsewhere can draw what a mix says to a client there while he holds up
//! both directions, but not longer.
//!
//! **A mix** knows the one before and the one behind it, how many cells pass, and when. It cannot read them. Tagging
//! one (changing a bit to see where it comes out changed) turns the whole cell into noise at the next honest hop
//! ([`LayerCipher`](crate::crypto::LayerCipher)), so it learns no more than by dropping it. Repeating one is recognised
//! at the next honest hop. By a cell's number two mixes cannot recognise it either, since each link counts from
//! its own secret start; but they can count cells and gaps, and compare times. An exit that wants to can write to a first
//! hop of its own past honest mixes: these ration the gaps in its numbers, and let it answer only what was asked, once, but the
//! order of its cells is free (some 4 bits a cell).
//!
//! **Whoever asks mixes** for circuits, as often as they like, learns nothing of others from the answers: mixes tell nobody how
//! many users, circuits or cells they have. So a client cannot know either how much company it has: `throng status` shows only
//! what mixes in the same process observe. Some things can still be asked. Where links are not covered, the first circuit from
//! one mix to another takes a turn longer if nobody went there within five minutes. Whoever fills a bound finds out how
//! much of it others have: the circuits of his own block of addresses at a mix, or the covered links and circuits there.
//! Where cells leave at once, the answers to a burst of handshakes show by their gaps when others' were done meanwhile.
//! The names that an exit looked up last are kept for all of its users, so the time of an answer tells that somebody asked.
//!
//! **The first and the last hop together**, in one hand, link a client with its destination. Path rules
//! ([`PathRules`](crate::route::PathRules)) and sticky first hops ([`FirstHops`](crate::route::FirstHops)) make
//! that rare, not impossible. Who is of an operator's family, its key says; and a first hop counts as standing where it answered, not
//! where it says that it stands, so it cannot keep honest exits out of paths. (An exit can say so of at most four networks, to keep
//! mixes in them from the middle.) What a mix can carry, it says itself: who boasts is chosen up to eight times as often as the
//! median one ([`CAPACITY_MEDIANS_MAX`](crate::limits::CAPACITY_MEDIANS_MAX)). A hostile first hop that lets down what it does not own is mostly found out: of the circuits
//! that get past each first hop it is counted how many hold until they are not needed any more, used and unused ones apart. One of
//! which fewer than a fifth do, and a third as many as at another first hop, gives way to another mix for a week. That never happens to all, and not
//! because of what breaks circuits behind all of them: whoever can do that, or cut lines, must not choose first hops. It does not
//! help clients whose cover allows one first hop only, nor against one that falls silent whenever it is judged, and counts begin
//! anew with each start of the client. Whoever cuts a user's line, or holds up what he
//! likes of it, gains little: while nothing is heard, nothing is begun and nothing ends for two minutes, and for five seconds the
//! wire shows nothing but that (afterwards first hops are called anew, since they may have been started anew; what was
//! called needlessly is let go when the line is back). Circuits that only their client finds silent have other mixes drawn eight times
//! at most, and once more every twenty seconds ([`REDRAWS_MAX`](crate::limits::REDRAWS_MAX)); the others go on behind their first
//! hops as they did before. Another first hop joins only when no circuit came up for a minute in which some were wanted and somebody
//! answered, and it may help: none of the first hops answered, or all that did are the exit that is left, or its operator's. (Up to
//! twelve.) A client that was silent for a moment asks its circuits one after the other, within a second: whoever cut the line
//! and has several of their exits may guess which are its.
//!
//! **Operators whose keys are misused** cannot give one client a history of its own unseen. A document names the 32 before it, and
//! a node says so if the next one does not name the one that it had; far ends of circuits say which one they hold when they are
//! asked whether they are there, past all who could show another one, and a client says so if that does not fit (an exit may lie,
//! and is believed no more than that). It does not stop browsing: only two documents of one serial do. Constantly covered circuits
//! ask nothing, so nothing is heard there; and whoever starts with a forged history, and only meets those who have it, sees nothing.
//!
//! **Somebody who seizes a running mix** finds the keys of the links and circuits that run, not those of the past: keys
//! are drawn from a stream that forgets ([`Rng::forget`](crate::rng::Rng::forget)), and no other secret lives longer but the
//! mix's identity, which opens nothing: it signs. With it the mix can be played until operators sign a document without it. The
//! delays and orders of mixing and the padding of defences are forgotten, too: what was mixed before cannot be put in order again.
//! Slots of covered links and circuits are not, since when they were is on the wire anyway; nor is which slots of a client's covered
//! circuit were loops.
//!
//! **The exit** sees destinations, and contents that are not encrypted by the application. It does not see who asks.
//!
//! **A recorder with a quantum computer**, later, needs to break X25519 *and* ML-KEM-768 to open what it recorded.
//! (Symmetric keys have 128 bits. Who a node is, is proved with Ed25519 alone: that must hold only now.)
//!
//! **A flood** of handshakes costs a responder a bounded number of them per second, for links and circuits together; above a few
//! hundred, those from forged addresses cost one hash each, since a cookie is asked for first. All tables have bounds
//! ([`limits`](crate::limits)). What is bounded is shared by where it comes from: known mixes against all others, then the wide
//! block of addresses (/16 of IPv4, /32 of IPv6), the narrow one (/24, /48), the address (of IPv6, the /64), the link. In a full
//! table whoever has most makes room; handshakes have fixed parts for each, and where they run short, each may have a part of what
//! is left, which is drawn, so that asking does not tell what others do. (Whether an offer from an unproved address is answered or
//! asked for a cookie does tell how many such offers others make.) So one block cannot keep others out, and
//! known mixes give up nothing of what they carry for many while strangers hold more than all of them together; whoever has
//! addresses in hundreds of blocks gets hundreds of shares. Cover that strangers ask for is shared in the same way, and takes half
//! of what a mix says that it carries at most, on links, and as much in circuits that end there
//! (`docs/admission.md` says what each costs honest users). A circuit that runs through other mixes counts for the mix before:
//! attackers behind it share with its honest users, and blocks of addresses at eight mixes or more could fill another one so that
//! nobody gets in through mixes. A circuit that grows without end, to have mixes work for one, gets no answers
//! from beyond its thirteenth hop, since mixes let back no more of them than the longest path needs
//! ([`ANSWERS_MAX`](crate::limits::ANSWERS_MAX)).
//!
//! Nobody can promise anonymity against an adversary who sees all links of a network with low latency; the paper
//! of Rennhard and Plattner says so too.
