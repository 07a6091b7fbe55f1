//! Every bound in one place: unit last in the name, relations asserted at compile time.

use core::time::Duration;

// --- What is on the wire -------------------------------------------------------------------------------

/// Shortest datagram: a record through a circuit takes [`PARTS_MAX`] cells or fewer.
pub const DATAGRAM_BYTES_MIN: usize = 256;
/// Most parts of a message that is longer than what carries it.
pub const PARTS_MAX: usize = 16;
/// The usual datagram: a hybrid handshake's first message and its envelope fill it exactly.
pub const DATAGRAM_BYTES_USUAL: usize = 1280;
/// Packets of so many bytes can be sent through every circuit, in parts where a cell carries less. QUIC asks for 1200
/// (RFC 9000, section 14).
pub const PACKET_BYTES_MIN: usize = 1224;
/// Longest datagram: one Ethernet jumbo frame less the IPv6 and UDP headers, rounded down.
pub const DATAGRAM_BYTES_MAX: usize = 8192;
/// Longest signed record.
pub const RECORD_BYTES_MAX: usize = 512;
/// Most addresses in a record.
pub const RECORD_ADDRESSES_MAX: usize = 4;
/// Most port ranges that an exit may list in its record.
pub const PORT_RANGES_MAX: usize = 16;
/// Longest name of a network.
pub const NETWORK_NAME_BYTES_MAX: usize = 64;
/// Most operators of a network.
pub const OPERATORS_MAX: usize = 32;
/// Most records in a network document.
pub const DOCUMENT_RECORDS_MAX: usize = 4096;
/// How many of the documents before it a network document names.
pub const DOCUMENTS_BEFORE_MAX: usize = 32;
/// What exits say of documents that contradict ours, until one is reported: so many of them.
pub const DOUBTS_MAX: usize = 16;
/// So long one neighbour alone is asked for a document; then another one as well.
pub const FETCH_ALONE: Duration = Duration::from_secs(10);
/// How long a newer document may be with exits before neighbours that do not have it are suspected.
pub const DOCUMENT_BEHIND_MAX: Duration = Duration::from_secs(3600);
/// Longest network document.
pub const DOCUMENT_BYTES_MAX: usize = 512
    + DOCUMENTS_BEFORE_MAX * 32
    + 3 * u16::MAX as usize
    + DOCUMENT_RECORDS_MAX * (RECORD_BYTES_MAX + 2)
    + OPERATORS_MAX * (32 + 64);
/// Most hops of a circuit.
pub const HOPS_MAX: usize = 8;

// --- Tables --------------------------------------------------------------------------------------------

/// Most records that a node knows.
pub const RECORDS_MAX: usize = 65_536;
/// Most links at once of which we know where they lead; beyond it whoever has most gives one up.
pub const LINKS_MAX: usize = 16_384;
/// Most answered but unconfirmed handshakes at once, beside the links; over it the oldest goes.
pub const LINKS_UNCONFIRMED_MAX: usize = 4096;
/// Most handshakes for others that wait for their turn; over it the last one of whoever has most is dropped.
pub const HANDSHAKES_WAITING_MAX: usize = 1024;
/// Most circuits through a node; beyond it whoever has most gives one up.
pub const RELAYED_CIRCUITS_MAX: usize = 65_536;
/// Most of them that come from one narrow block of addresses (a /24, a /48), also where there is room: circuits go on to other
/// mixes, which see only that we bring them.
pub const CIRCUITS_PER_BLOCK_MAX: usize = RELAYED_CIRCUITS_MAX / 8;
/// Most circuits of a node's own; over it the one goes that was in use first and is not any more.
pub const OWN_CIRCUITS_MAX: usize = 1024;
/// Most streams on one of a node's own circuits.
pub const STREAMS_PER_CIRCUIT_MAX: u32 = 448;
/// Most streams that wait for a circuit.
pub const WAITING_STREAMS_MAX: usize = 4096;
/// Most set-up messages that wait for a link to come up.
pub const WAITING_CREATES_MAX: usize = 64;

// --- Queues --------------------------------------------------------------------------------------------

/// Most cells of one circuit and direction that a mixing strategy holds.
pub const HELD_CELLS_PER_CIRCUIT_MAX: usize = 512;
/// Most cells that a mixing strategy holds in all; over it the greediest circuit's newest goes.
pub const HELD_CELLS_MAX: usize = 16_384;

/// Most bodies of cells whose memory is kept for the next ones.
pub const SPARE_BODIES_MAX: usize = 512;

/// Messages of one owner (a neighbour, a circuit, an address) of which some parts are there.
pub const GATHERED_EACH_MAX: usize = 4;
const _: () = assert!(
    GATHERED_MESSAGES_MAX >= GATHERED_EACH_MAX * OWN_CIRCUITS_MAX,
    "no last hop of ours crowds another"
);
/// Messages of neighbours of which some parts are there, and others are not.
pub const GATHERED_CONTROLS_MAX: usize = 1024;
/// Messages through circuits of which that is so: at a node's circuits through it, and at its own.
pub const GATHERED_MESSAGES_MAX: usize = 4096;
/// Offers of strangers of which that is so.
pub const GATHERED_OFFERS_MAX: usize = 256;

// --- Replay windows ------------------------------------------------------------------------------------

/// Datagrams of one session that may overtake each other.
pub const LINK_WINDOW_DATAGRAMS: usize = 8192;
/// Cells of one circuit and direction that may overtake each other.
pub const CIRCUIT_WINDOW_CELLS: usize = 2048;
const _: () =
    assert!(CIRCUIT_WINDOW_CELLS >= 2 * HELD_CELLS_PER_CIRCUIT_MAX, "mixing must not outrun the window");

/// Answers to questions of a set-up that may overtake each other: the cells of all sends of one.
pub const REPLY_WINDOW_CELLS: usize = 128;
const _: () = assert!(REPLY_WINDOW_CELLS >= SETUP_SENDS_MAX as usize * PARTS_MAX);
/// Answers to questions of a set-up that a mix lets pass back through one circuit: on the longest path its first hop sees one from
/// each hop but itself, and one question may come as often as it may be sent. Whoever makes circuits longer than that gets no
/// answers from there.
pub const ANSWERS_MAX: usize = HOPS_MAX - 1 + SETUP_SENDS_MAX as usize - 1;
/// Numbers that a circuit's cells may leave out in a direction, at once: as many as an end may have under way when all
/// of them are lost. Whoever chooses numbers could write messages into the gaps; every cell that comes earns a quarter
/// of a number, so that they hold little more than dropped cells would.
pub const CIRCUIT_GAP_MAX: u32 = 16_384;

// --- Rates ---------------------------------------------------------------------------------------------

/// Handshakes per second above which a responder asks for a cookie first.
pub const HANDSHAKES_PER_SECOND_CALM: u32 = 400;
/// Handshakes per second that a mix does at all, for links and circuits. Each costs it some 0.15 ms.
pub const HANDSHAKES_PER_SECOND_MAX: u32 = 2000;
/// Hops per second of which a mix never heard and to which it links, for one circuit each.
pub const STRANGERS_PER_SECOND_MAX: u32 = 20;
/// Circuits per second that one link may ask for.
pub const CREATES_PER_LINK_PER_SECOND_MAX: u32 = 500;

// --- Times ---------------------------------------------------------------------------------------------

/// First wait for the answer to a set-up message; each retry waits half as long again.
pub const SETUP_RETRY_FIRST: Duration = Duration::from_millis(250);
/// Longest wait between two retries.
pub const SETUP_RETRY_MAX: Duration = Duration::from_millis(1500);
/// Sends of one set-up message before it is given up.
pub const SETUP_SENDS_MAX: u32 = 6;
/// A circuit that is not complete after this gets company.
pub const BUILD_SLOW: Duration = Duration::from_secs(1);
/// One that is not complete after this is given up.
pub const BUILD_TIME_MAX: Duration = Duration::from_secs(10);

/// Silence after something was sent, until a link or a circuit is asked whether it lives; longer where round trips take longer.
pub const SILENCE_PROBE: Duration = Duration::from_millis(400);
/// Wait between the first two such questions; each further one is twice as long,
pub const SILENCE_PROBE_EVERY: Duration = Duration::from_millis(200);
/// up to this.
pub const SILENCE_PROBE_EVERY_MAX: Duration = Duration::from_secs(1);
/// What was asked so shortly after one another was asked together: of two such questions on one line, that only one was answered
/// says something about the other.
pub const ASKED_TOGETHER: Duration = Duration::from_millis(100);
/// Silence after which a circuit is dead whose first hop answers; longer where round trips take longer. New streams do not wait
/// for that, and a neighbour of a dead mix says so before: what is left is a queue that grew within a second or two.
pub const CIRCUIT_SILENCE_DEAD: Duration = Duration::from_secs(4);
/// The same for a link: sooner, since its round trips are shorter, and whoever has it tells the ends of all circuits there.
pub const LINK_SILENCE_DEAD: Duration = Duration::from_secs(3);
/// However long round trips take, silence of this length is death where the line works.
pub const SILENCE_DEAD_MAX: Duration = Duration::from_secs(30);
/// Questions that must have stayed without an answer before something is dead.
pub const QUESTIONS_MIN: u32 = 3;
const _: () = assert!(
    SILENCE_PROBE.as_millis() + 3 * SILENCE_PROBE_EVERY.as_millis() <= LINK_SILENCE_DEAD.as_millis(),
    "three questions fit, the second and third so long after the one before"
);
/// A user's line that is silent is not dead before this: both ends keep what runs there.
pub const LINE_SILENCE_MAX: Duration = Duration::from_secs(120);
const _: () =
    assert!(LINE_SILENCE_MAX.as_secs() < RELAY_IDLE_MAX.as_secs(), "or the hops behind would forget first");
/// Neighbours that are asked, too, when one is silent: so as to know whether the line is.
pub const ASKED_TOO_MAX: usize = 16;
/// When it was silent for so long, a client calls its first hops anew, those that it has and if need be the next: they may have been
/// started anew, and know it no more. Before, a silent line shows nothing but that.
pub const CALL_ANEW_AFTER: Duration = Duration::from_secs(6);
/// Questions that must have stayed without an answer before that.
pub const CALL_ANEW_QUESTIONS: u32 = 5;

/// An idle circuit of our own is asked about this often whether it lives (up to a quarter more or less).
pub const IDLE_PROBE: Duration = Duration::from_secs(20);
/// A relayed circuit that is silent for so long is forgotten.
pub const RELAY_IDLE_MAX: Duration = Duration::from_secs(180);
const _: () = assert!(RELAY_IDLE_MAX.as_secs() > 4 * IDLE_PROBE.as_secs());
const _: () = assert!(IDLE_PROBE.as_millis() > 4 * CIRCUIT_SILENCE_DEAD.as_millis());
/// A link without circuits that is silent for so long is forgotten.
pub const LINK_IDLE_MAX: Duration = Duration::from_secs(300);
/// A handshake answered but never confirmed is forgotten after this.
pub const LINK_UNCONFIRMED_MAX: Duration = Duration::from_secs(10);
/// Keys of a link are renewed at this age, or up to a quarter earlier.
pub const SESSION_AGE: Duration = Duration::from_secs(3600);
/// At this age nothing is sent under them any more: the link ends if they could not be renewed.
pub const SESSION_AGE_MAX: Duration = Duration::from_secs(3 * 3600);
/// New keys of a link come into use this long after they were first offered; where they were not agreed by then, so long
/// after that, and so on. Longer than a queue for slots takes on links of 8 kbit/s and more, so that when it is does not follow
/// what waits.
pub const SESSION_CHANGE_EVERY: Duration = Duration::from_secs(120);
/// What comes under the keys that were in use before is still opened for this long.
pub const SESSION_GRACE: Duration = Duration::from_secs(30);
/// Pause before another attempt, after a message of a set-up was sent as often as it may be and the link lives.
pub const SETUP_RETRY_LATER: Duration = Duration::from_secs(60);
/// A neighbour that seems to be at another address is asked there this often at most.
pub const PATH_PROBE_EVERY: Duration = Duration::from_millis(200);
/// After so long it may be asked at a third address instead.
pub const PATH_PROBE_MAX: Duration = Duration::from_secs(1);
/// Who we are is said again and again until it is believed: this often after the first attempts.
pub const INTRODUCE_LATER: Duration = Duration::from_secs(5);
/// A neighbour may want a proof checked or keys renewed this often at most.
pub const PROOF_EVERY: Duration = Duration::from_millis(100);
/// Two links that were opened so shortly after each other may have been opened at once.
pub const CROSSING_MAX: Duration = Duration::from_secs(10);

/// A circuit used for so long gets no new stream.
pub const CIRCUIT_USE_MAX: Duration = Duration::from_secs(600);
/// A circuit never used for so long is replaced.
pub const CIRCUIT_SPARE_MAX: Duration = Duration::from_secs(1800);
/// A circuit ends after this, whatever runs on it.
pub const CIRCUIT_AGE_MAX: Duration = Duration::from_secs(2 * 3600);
const _: () = assert!(SESSION_AGE_MAX.as_secs() > SESSION_AGE.as_secs() + 10 * SETUP_RETRY_LATER.as_secs());
/// Most cells that an origin sends on a circuit: their numbers must not come round, and streams of layers not meet.
pub const CIRCUIT_CELLS_MAX: u32 = 1 << 28;
/// Most datagrams under one key of a link (AES-GCM: far below the 2^32 of NIST SP 800-38D for random nonces, and
/// ours are counted).
pub const SESSION_DATAGRAMS_MAX: u64 = 1 << 40;
/// A stream that gets no circuit within this is told so.
pub const STREAM_WAIT_MAX: Duration = Duration::from_secs(15);
/// Longest interval of a timed batch. A question and its answer wait at up to six mixes of a circuit of three.
pub const BATCH_EVERY_MAX: Duration = Duration::from_millis(100);
const _: () =
    assert!(6 * BATCH_EVERY_MAX.as_millis() <= CIRCUIT_SILENCE_DEAD.as_millis() - SILENCE_PROBE.as_millis());
/// Longest delay that a strategy may draw on average, and longest wait for company or for a dummy.
pub const DELAY_MAX: Duration = Duration::from_secs(10);
/// Most cells that stay in a pool, and most that leave it together.
pub const POOL_CELLS_MAX: u16 = 1000;
/// Most others that a cell may have to have beside it.
pub const COMPANY_OTHERS_MAX: u16 = 100;
/// Half the life of a cookie: a responder's secret for cookies changes this often.
pub const COOKIE_SECRET_LIFE: Duration = Duration::from_secs(120);

// --- Network documents ---------------------------------------------------------------------------------

/// Parts of a document under way at once.
pub const FETCH_PARTS_AT_ONCE_MAX: usize = 32;
/// Parts that were asked for and do not come are asked for again after this.
pub const FETCH_PAUSE: Duration = Duration::from_millis(500);
/// So many such pauses in a row, and the neighbour is given up.
pub const FETCH_PAUSES_MAX: u32 = 6;
/// A document that is not complete after this is given up.
pub const FETCH_TIME_MAX: Duration = Duration::from_secs(60);
/// Documents fetched at once, each from another neighbour: a slow one must not keep the others away.
pub const FETCHES_MAX: usize = 3;
/// A neighbour that began to give a document and did not end is not asked for this long.
pub const FETCH_REST: Duration = Duration::from_secs(600);
/// One that gave something else than it had announced, or what nobody signed, for this long.
pub const FETCH_REST_FORGED: Duration = Duration::from_secs(24 * 3600);
/// Neighbours of whom that is remembered.
pub const FETCH_RESTING_MAX: usize = 256;
/// A node says this often to one neighbour which document it holds (up to a quarter more or less).
pub const DOCUMENT_ROUND: Duration = Duration::from_secs(60);
/// A mix that has started, or has a newer network document, says to so many others what it holds, whether it has links to them or
/// not: from mix to mix a newer one is everywhere in a few steps.
pub const DOCUMENT_SPREAD: usize = 8;
/// It says so again so often, as words get lost: after a second, and each time after twice as long.
pub const DOCUMENT_SAID_AGAIN: u32 = 4;
/// A newer document is fetched so often from a mix that our own does not name. Anybody may claim to be one, and it may be new.
pub const STRANGER_FETCH_EVERY: Duration = Duration::from_secs(10);
/// Of strangers behind one /16 (/32), one is asked within this long: the others do not keep those elsewhere from being heard.
pub const STRANGER_BLOCK_REST: Duration = Duration::from_secs(600);
/// So many blocks are remembered.
pub const STRANGER_BLOCKS_MAX: usize = 64;
/// Neighbours that are told of a new document at once; the others hear of it in their own rounds.
pub const DOCUMENT_TELL_AT_ONCE_MAX: usize = 256;

// --- Routes --------------------------------------------------------------------------------------------

/// Capacities count up to so many times the median: what a mix says of itself must not draw all circuits to it.
pub const CAPACITY_MEDIANS_MAX: u32 = 8;

/// Mixes of a circuit that fell silent stand in no new path for this long, if there are others.
pub const MIX_REST: Duration = Duration::from_secs(10);
/// Mixes of which that is remembered.
pub const MIXES_RESTING_MAX: usize = 64;

// --- Own circuits --------------------------------------------------------------------------------------

/// Exits that a stream may ask to avoid.
pub const EXITS_AVOIDED_MAX: usize = 4;
/// Circuits under construction at once.
pub const BUILDS_AT_ONCE_MAX: usize = 8;
/// Where links have slots, so many of them at once that each has a cell this often: with three at once on 64 kbit/s, answers came
/// after the questions had been repeated, and a circuit took eight seconds instead of one.
pub const BUILD_CELLS_EVERY: Duration = Duration::from_millis(100);
/// First hops that a client keeps.
pub const FIRST_HOPS: usize = 3;
/// Circuits that went past a first hop before it is judged by how many of them came up and held.
pub const FIRST_HOP_TRIALS: u16 = 48;
/// A first hop of which fewer of them did gives way to another one, if a third as many did as at one of the others. Where a third
/// of all mixes is hostile and lets down all circuits that it does not own, honest first hops still see 38 to 44, and hostile
/// ones 5 to 11.
pub const FIRST_HOP_HELD_PERCENT: u16 = 20;
/// Circuits that went past another first hop before it is a measure for the first.
pub const FIRST_HOP_TRIALS_BESIDE: u16 = 16;
/// A first hop that gave way is used again after this, if need be.
pub const FIRST_HOP_FORGIVEN_AFTER: Duration = Duration::from_secs(7 * 24 * 3600);
/// After so many circuits, the older half of them counts half.
pub const FIRST_HOP_TRIALS_KEPT: u16 = 128;
/// First hops that a client has ever tried before it begins again with its oldest.
pub const FIRST_HOPS_MAX: usize = 12;
/// So many circuits that fell silent, or take long to come up, may have other mixes drawn in place of theirs at once, where only their
/// client knows of it,
pub const REDRAWS_MAX: u32 = 8;
/// and one more so often. The others go on behind their first hops as they did.
pub const REDRAW_EVERY: Duration = Duration::from_secs(20);
/// When no circuit came up for so long, another first hop joins, if that may help.
pub const FIRST_HOPS_LOST_MAX: Duration = Duration::from_secs(60);
/// Paths that were cut at their first hop, to go on behind another one as they did.
pub const CUT_PATHS_MAX: usize = 32;
/// For how long.
pub const CUT_PATHS_KEPT: Duration = Duration::from_secs(600);
/// A first hop that did not answer is left alone for this long.
pub const FIRST_HOP_REST: Duration = Duration::from_secs(30);
/// After a failed build the next one waits up to this long.
pub const BUILD_PAUSE_MAX: Duration = Duration::from_secs(5);
/// The first such pause.
pub const BUILD_PAUSE_FIRST: Duration = Duration::from_millis(50);
/// A circuit that others end before it is so old may have been refused.
pub const CIRCUIT_YOUNG: Duration = Duration::from_secs(5);
/// After so long without another one, the pause for it is the first again.
pub const CIRCUIT_YOUNG_FORGOTTEN: Duration = Duration::from_secs(60);

// --- The meter -----------------------------------------------------------------------------------------

/// Seconds over which a mix averages what it observes of its company.
pub const COMPANY_SECONDS: usize = 60;
/// How often it looks at most while cells leave.
pub const COMPANY_EVERY: Duration = Duration::from_millis(10);

// --- Cover ---------------------------------------------------------------------------------------------

/// Least and greatest rate of a covered link, bits per second on the wire.
pub const RATE_BPS_MIN: u64 = 1_000;
/// See [`RATE_BPS_MIN`].
pub const RATE_BPS_MAX: u64 = 100_000_000;
/// What cover that strangers ask of a mix may take of its line, bits per second, where no record says what it carries.
pub const COVER_FOR_OTHERS_BPS: u64 = 500_000_000;
/// What goes into a slot is decided this long before it: longer than timers are late.
pub const SLOT_GUARD: Duration = Duration::from_millis(2);
/// Datagrams of slots leave at whole multiples of this.
pub const SLOT_GRID: Duration = Duration::from_millis(1);
/// A slot that passed so long ago stays empty and is counted.
pub const SLOT_LATE_MAX: Duration = Duration::from_millis(10);
/// Cells of one circuit that may wait for a link's slots: what it carries in this time, but within the next two bounds.
/// More would wait in vain: whoever sent them has sent them again by then.
pub const SLOT_QUEUE_SPAN: Duration = Duration::from_secs(1);
/// See [`SLOT_QUEUE_SPAN`].
pub const SLOT_QUEUE_CELLS_MIN: usize = 32;
/// See [`SLOT_QUEUE_SPAN`].
pub const SLOT_QUEUE_CELLS_MAX: usize = 512;
/// Cells that may wait for one link's slots in all.
pub const SLOT_QUEUE_ALL_MAX: usize = 4096;
/// Cells that may wait for slots in a whole node, 85 MB of usual ones.
pub const SLOT_QUEUE_NODE_MAX: usize = 65_536;
/// Another cell may wait for a link's slots only while fewer do than one in so many of those for which there is still room in
/// the node: so greedy links leave a part of it free, and a modest one finds room (dynamic thresholds: Choudhury and Hahne 1998).
pub const SLOT_QUEUE_SHARE: usize = 4;
/// A defence may do so many things at one moment; one that wants more goes on after the next bound.
pub const DEFENCE_ACTS_MAX: u32 = 256;
/// See [`DEFENCE_ACTS_MAX`].
pub const DEFENCE_REST: Duration = Duration::from_millis(1);
/// The far end of a covered circuit ends its slots when it heard nothing for so many of them,
pub const SLOTS_SILENT_MAX: u32 = 16;
/// or for so long, if that is longer.
pub const CIRCUIT_SILENT_MIN: Duration = Duration::from_secs(3);
/// A neighbour that has not shown that it knows our schedule is told of it in every fourth slot at least.
pub const ANNOUNCE_EVERY: u64 = 4;
/// One that has, in every 64th: it may have forgotten.
pub const ANNOUNCE_AGAIN_EVERY: u64 = 64;
/// A mix that covers its links looks this often whether it has one to every other mix.
pub const MESH_EVERY: Duration = Duration::from_secs(1);
/// Links that it opens at once.
pub const MESH_AT_ONCE_MAX: usize = 32;
/// Demand-driven: the common rate is set anew this often.
pub const DEMAND_TICK: Duration = Duration::from_millis(100);
/// Demand-driven: a rate that is not needed any more is kept this long, and then halved.
pub const DEMAND_HOLD: Duration = Duration::from_secs(10);
/// Mimics: rates change once in this time,
pub const MIMICS_EPOCH: Duration = Duration::from_secs(60);
/// by a tenth at most.
pub const MIMICS_STEP_PERCENT: u64 = 10;
