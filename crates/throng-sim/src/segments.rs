//! How a question or an answer becomes cells, at both levels: a tiny reliable stream, which plays the part that QUIC
//! has in the real network.

use std::time::Duration;

use throng_core::wire::Geometry;
use throng_core::{Design, Time};

/// Useful bytes in a cell of the simulator's streams: a payload less the stream's header.
pub(crate) const fn segment_bytes(geometry: Geometry) -> u64 {
    (geometry.payload() - HEADER_BYTES) as u64
}
/// The header of a segment, bytes.
pub(crate) const HEADER_BYTES: usize = 32;
/// A receiver acknowledges so many segments at once (and the last one, one that is out of order, and one that asks for it).
pub(crate) const ACKNOWLEDGE_EVERY: u64 = 16;

/// Cells for so many bytes, `each` with so many: one at least.
pub(crate) fn segments_of(bytes: u64, each: u64) -> u64 {
    bytes.div_ceil(each).max(1)
}

/// Acknowledgements for so many segments that come in order.
pub(crate) fn acknowledgements(segments: u64) -> u64 {
    segments.div_ceil(ACKNOWLEDGE_EVERY)
}

/// What a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum SegmentKind {
    /// A part of a question.
    Question = 1,
    /// A part of an answer.
    Answer = 2,
    /// Segments of a question came.
    QuestionCame = 3,
    /// Segments of an answer came.
    AnswerCame = 4,
}

/// The header of a segment. Its content is never looked at, so none is sent: the cell is padded anyway.
///
/// ```text
/// mark u32 · user u32 · exchange u32 · kind u8 · asks u8 · useful u16 · number u32 · of u32 · more u64
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Whose exchange it is.
    pub user: u32,
    /// Which of this user's.
    pub exchange: u32,
    /// What it is.
    pub kind: SegmentKind,
    /// Whether it is to be acknowledged at once.
    pub asks: bool,
    /// Bytes of the question or the answer that it stands for.
    pub useful: u16,
    /// Which one, from 0; of an acknowledgement: all below this came.
    pub number: u32,
    /// Of how many.
    pub of: u32,
    /// Of a question: bytes of the answer. Of an acknowledgement: which of the 64 behind `number` came, too.
    pub more: u64,
}

impl Segment {
    pub(crate) fn write(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[..4].copy_from_slice(&self.mark().to_le_bytes());
        out[4..8].copy_from_slice(&self.user.to_le_bytes());
        out[8..12].copy_from_slice(&self.exchange.to_le_bytes());
        out[12] = self.kind as u8;
        out[13] = self.asks.into();
        out[14..16].copy_from_slice(&self.useful.to_le_bytes());
        out[16..20].copy_from_slice(&self.number.to_le_bytes());
        out[20..24].copy_from_slice(&self.of.to_le_bytes());
        out[24..].copy_from_slice(&self.more.to_le_bytes());
        out
    }

    /// Reads a header; nothing if its mark is not right.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let kind = match bytes[12] {
            1 => SegmentKind::Question,
            2 => SegmentKind::Answer,
            3 => SegmentKind::QuestionCame,
            4 => SegmentKind::AnswerCame,
            _ => return None,
        };
        let segment = Self {
            user: word(4),
            exchange: word(8),
            kind,
            asks: bytes[13] == 1,
            useful: u16::from_le_bytes([bytes[14], bytes[15]]),
            number: word(16),
            of: word(20),
            more: u64::from(word(24)) | u64::from(word(28)) << 32,
        };
        (word(0) == segment.mark()).then_some(segment)
    }

    /// By it, a segment is known where it lies open, and a changed one is noticed.
    fn mark(&self) -> u32 {
        let words = [
            u64::from(self.user) << 32 | u64::from(self.exchange),
            u64::from(self.number) << 32 | u64::from(self.of),
            self.more,
            u64::from(self.asks) << 24 | u64::from(self.useful) << 8 | self.kind as u64,
        ];
        let mixed = words.iter().fold(0x5eed_0001_2345_6789u64, |mark, word| {
            (mark ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
        });
        (mixed >> 32) as u32
    }
}

/// One direction of an exchange, where it is sent: a window of segments, what came repeated where it did not.
///
/// The window shrinks where segments get lost, as TCP's does (RFC 5681), and waits follow round trips (RFC 6298): users who share a
/// line that is too slow for them share what it carries, and do not fill it with repetitions.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    manner: Manner,
    bytes: u64,
    pub(crate) of: u32,
    /// All below came.
    came: u32,
    /// Which of the 64 behind came, too, as far as is known.
    beyond: u64,
    /// The next one to be sent; those from here on were never sent, or all are sent again.
    next: u32,
    /// Those from here on were never sent.
    unsent: u32,
    /// The last one of those that were sent together.
    last: u32,
    /// How many may be under way.
    window: u32,
    /// Below it, the window doubles with each round trip; above it, it grows by one.
    threshold: u32,
    /// How many came since the window grew.
    grown: u32,
    /// What was lost of segments below this was counted.
    counted: u32,
    /// Holes below this were filled, once.
    filled: u32,
    /// When something new came last, or everything was sent again.
    progress: Time,
    repeats: u32,
    /// A segment that was sent once, and when: how long it takes until it came.
    timed: Option<(u32, Time)>,
    round_trip: Option<SmoothedTrip>,
}

/// How long round trips take, and how far they are from that.
#[derive(Clone, Copy, Debug)]
struct SmoothedTrip {
    mean: Duration,
    deviation: Duration,
}

impl SmoothedTrip {
    fn with(before: Option<Self>, took: Duration) -> Self {
        match before {
            None => Self { mean: took, deviation: took / 2 },
            Some(Self { mean, deviation }) => {
                Self { mean: (7 * mean + took) / 8, deviation: (3 * deviation + mean.abs_diff(took)) / 4 }
            }
        }
    }
}

/// How eagerly applications send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// Useful bytes of a segment.
    segment_bytes: u64,
    /// Segments under way at once.
    window: u32,
    /// Silence after which segments are sent again; each time half as long again.
    pub(crate) repeat_after: Duration,
}

impl Manner {
    /// As a real transport finds it out: no more under way than slow links carry in a second, and patience for all of it.
    pub(crate) fn of(design: &Design) -> Self {
        let segment_bytes = segment_bytes(design.geometry);
        let Some(gap) = design.cover.widest_gap(design.geometry) else {
            return Self { segment_bytes, window: WINDOW, repeat_after: REPEAT_AFTER + design.detour() };
        };
        let window = ((1.0 / gap.as_secs_f64()) as u32).clamp(WINDOW_MIN, WINDOW);
        Self { segment_bytes, window, repeat_after: REPEAT_AFTER + design.detour() + 2 * window * gap }
    }
}

const WINDOW: u32 = 32;
/// An acknowledgement comes after so many: with fewer under way, none would.
const WINDOW_MIN: u32 = ACKNOWLEDGE_EVERY as u32;
const REPEAT_AFTER: Duration = Duration::from_millis(1500);
const REPEAT_AFTER_MAX: Duration = Duration::from_secs(10);

impl Sender {
    pub(crate) fn new(bytes: u64, manner: Manner, now: Time) -> Self {
        Self {
            manner,
            bytes,
            of: segments_of(bytes, manner.segment_bytes) as u32,
            came: 0,
            beyond: 0,
            next: 0,
            unsent: 0,
            last: 0,
            window: manner.window,
            threshold: manner.window,
            grown: 0,
            counted: 0,
            filled: 0,
            progress: now,
            repeats: 0,
            timed: None,
            round_trip: None,
        }
    }

    /// Numbers of the segments that may go now.
    pub(crate) fn go(&mut self, now: Time) -> Vec<u32> {
        let end = (self.came + self.window).min(self.of);
        let numbers = (self.next..end).filter(|number| !self.has_come(*number)).collect::<Vec<u32>>();
        self.next = self.next.max(end);
        if let Some(fresh) = numbers.iter().find(|number| **number >= self.unsent) {
            self.timed.get_or_insert((*fresh, now));
        }
        self.unsent = self.unsent.max(self.next);
        self.last = numbers.last().copied().unwrap_or(self.last);
        numbers
    }

    fn has_come(&self, number: u32) -> bool {
        number < self.came || (number - self.came < 64 && self.beyond & 1 << (number - self.came) != 0)
    }

    /// Whether a segment that goes now is to be acknowledged at once: with few under way, no other acknowledgement would come.
    pub(crate) fn asks(&self, number: u32) -> bool {
        self.window < self.manner.window && (number == self.last || number + 1 == self.filled)
    }

    /// Notes an acknowledgement. A number that should be sent again, if there is a hole.
    pub(crate) fn acknowledged(&mut self, came: u32, beyond: u64, now: Time) -> Option<u32> {
        if came > self.of {
            return None;
        }
        if came > self.came {
            self.progressed(came, now);
        }
        if came < self.came {
            return None;
        }
        self.beyond = beyond;
        // The highest that came shows what is missing below it, if that is not only late.
        let highest = came + 64 - beyond.leading_zeros();
        let is_missing = |number: &u32| !self.has_come(*number);
        let hole = (came.max(self.filled)..highest.saturating_sub(3)).find(is_missing);
        if let Some(hole) = hole {
            self.lost(now);
            self.filled = hole + 1;
        }
        hole
    }

    fn progressed(&mut self, came: u32, now: Time) {
        let new = came - self.came;
        (self.came, self.beyond) = (came, 0);
        self.next = self.next.max(came);
        (self.progress, self.repeats) = (now, 0);
        if let Some((_, sent)) = self.timed.take_if(|(number, _)| *number < came) {
            self.round_trip = Some(SmoothedTrip::with(self.round_trip, now - sent));
        }
        if self.window < self.threshold {
            self.window += new;
        } else {
            self.grown += new;
            self.window += self.grown / self.window;
            self.grown %= self.window;
        }
        self.window = self.window.min(self.manner.window);
    }

    /// Something of what is under way got lost. It counts once.
    fn lost(&mut self, now: Time) {
        self.timed = self.timed.filter(|(_, sent)| *sent == now); // what is sent again measures nothing (Karn)
        if self.came >= self.counted {
            self.threshold = (self.window / 2).max(1);
            (self.window, self.grown, self.counted) = (self.threshold, 0, self.next);
        }
    }

    /// If nothing came for long, everything that is not known to have come is sent again, one at first.
    pub(crate) fn repeat(&mut self, now: Time) {
        if now < self.due() || self.is_done() || self.next == self.came {
            return;
        }
        self.counted = self.counted.min(self.came);
        self.lost(now);
        (self.window, self.progress, self.next) = (1, now, self.came);
        self.repeats += 1;
        self.filled = self.came;
    }

    /// When to look again.
    pub(crate) fn due(&self) -> Time {
        let longest = self.round_trip.map_or(Duration::ZERO, |trip| trip.mean + 4 * trip.deviation);
        let after = self.manner.repeat_after.max(longest.min(REPEAT_AFTER_MAX));
        self.progress + after * 3u32.pow(self.repeats.min(6)) / 2u32.pow(self.repeats.min(6))
    }

    pub(crate) fn is_done(&self) -> bool {
        self.came >= self.of
    }

    /// Bytes that a segment stands for.
    pub(crate) fn useful(&self, number: u32) -> u16 {
        let each = self.manner.segment_bytes;
        self.bytes.saturating_sub(u64::from(number) * each).min(each) as u16
    }
}

/// One direction of an exchange, where it is received.
#[derive(Clone, Debug, Default)]
pub(crate) struct Receiver {
    of: u32,
    /// All below came.
    pub(crate) came: u32,
    /// Which of the 64 behind came: bit 0 is `came` itself, and so never set.
    pub(crate) beyond: u64,
    pub(crate) bytes: u64,
    since: u64,
}

impl Receiver {
    pub(crate) fn new(of: u32) -> Self {
        Self { of, ..Self::default() }
    }

    /// Takes a segment. Whether it is acknowledged now.
    pub(crate) fn take(&mut self, segment: &Segment) -> bool {
        let Some(ahead) = segment.number.checked_sub(self.came).filter(|ahead| *ahead < 64) else {
            return true;
        };
        if segment.number >= self.of || self.beyond & 1 << ahead != 0 {
            return true;
        }
        self.beyond |= 1 << ahead;
        self.bytes += u64::from(segment.useful);
        let in_order = self.beyond.trailing_ones();
        self.came += in_order;
        self.beyond = self.beyond.checked_shr(in_order).unwrap_or(0);
        self.since += 1;
        let now = ahead > 0 || self.since >= ACKNOWLEDGE_EVERY || self.is_done() || segment.asks;
        if now {
            self.since = 0;
        }
        now
    }

    pub(crate) fn is_done(&self) -> bool {
        self.came >= self.of
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    /// Over a wire that loses, repeats and reorders, everything comes; without that, with as few cells as planned.
    fn comes(bytes: u64, fate: &[u8], good: bool) {
        let mut now = Time::ZERO;
        let mut sender = Sender::new(bytes, Manner::of(&Design::default()), now);
        let mut receiver = Receiver::new(sender.of);
        let (mut fates, mut under_way, mut sent, mut acks) = (fate.iter().cycle(), Vec::new(), 0u64, 0u64);
        let mut lost = BTreeMap::new();
        for _ in 0..100_000 {
            if sender.is_done() {
                break;
            }
            sender.repeat(now);
            under_way.extend(sender.go(now));
            if under_way.is_empty() {
                now = now.max(sender.due());
                continue;
            }
            let fate = if good { 99 } else { *fates.next().unwrap() };
            let place = if fate < 30 { usize::from(fate) % under_way.len() } else { 0 };
            let number = under_way.remove(place);
            sent += 1;
            // Each gets through at its third try, however the fates repeat.
            let tries = lost.entry(number).or_insert(0);
            if fate % 10 == 1 && *tries < 2 {
                *tries += 1;
                continue;
            }
            *tries = 0;
            let kind = SegmentKind::Question;
            let useful = sender.useful(number);
            let (of, asks) = (sender.of, sender.asks(number));
            let segment = Segment { user: 1, exchange: 2, kind, asks, useful, number, of, more: 0 };
            let read = Segment::parse(&segment.write()).unwrap();
            assert_eq!(read, segment);
            if receiver.take(&read) {
                acks += 1;
                // Most may get lost, but not all.
                if fate % 10 != 2 || acks % 3 == 0 {
                    under_way.extend(sender.acknowledged(receiver.came, receiver.beyond, now));
                }
            }
        }
        assert!(sender.is_done() && receiver.is_done());
        assert_eq!(receiver.bytes, bytes);
        if good {
            assert_eq!(sent, segments_of(bytes, segment_bytes(Geometry::DEFAULT)));
            assert_eq!(acks, acknowledgements(sent));
        }
    }

    proptest! {
        #[test]
        fn everything_comes(bytes in 0..400_000u64, fate in proptest::collection::vec(0..100u8, 1..400), good: bool) {
            comes(bytes, &fate, good);
        }
    }

    /// Found by chance: with losses that repeat as the repetitions do, one and the same segment was lost each time.
    #[test]
    fn nothing_is_lost_each_time_where_losses_repeat() {
        comes(72_713, &[11], false);
    }

    /// So many senders share a line that carries a segment each 25 ms, and a queue of a second: seconds until all is there, and how
    /// many segments went over the line.
    fn over_a_slow_line(senders: usize, bytes: u64) -> (f64, u64) {
        const EACH: Duration = Duration::from_millis(25);
        const WAY: Duration = Duration::from_millis(40);
        let manner = Manner::of(&Design::default());
        let mut now = Time::from_secs(1);
        let mut flows: Vec<_> =
            (0..senders).map(|_| (Sender::new(bytes, manner, now), Receiver::new(0))).collect();
        let (mut free_at, mut carried) = (now, 0);
        let mut at_receiver: BTreeMap<(Time, u64), (usize, Segment)> = BTreeMap::new();
        let mut at_sender: BTreeMap<(Time, u64), (usize, u32, u64)> = BTreeMap::new();
        let begin = now;
        while flows.iter().any(|(sender, _)| !sender.is_done()) {
            let arrived: Vec<_> = at_sender.extract_if(..=(now, u64::MAX), |_, _| true).collect();
            let mut out = Vec::new();
            for (_, (flow, came, beyond)) in arrived {
                out.extend(flows[flow].0.acknowledged(came, beyond, now).map(|number| (flow, number)));
            }
            for (flow, (sender, _)) in flows.iter_mut().enumerate() {
                sender.repeat(now);
                out.extend(sender.go(now).into_iter().map(|number| (flow, number)));
            }
            for (flow, number) in out {
                let sender = &flows[flow].0;
                let segment = Segment {
                    user: 1,
                    exchange: 1,
                    kind: SegmentKind::Answer,
                    asks: sender.asks(number),
                    useful: sender.useful(number),
                    number,
                    of: sender.of,
                    more: 0,
                };
                free_at = free_at.max(now);
                if free_at - now < Duration::from_secs(1) {
                    free_at = free_at + EACH;
                    carried += 1;
                    at_receiver.insert((free_at + WAY, carried), (flow, segment));
                }
            }
            let arrived: Vec<_> = at_receiver.extract_if(..=(now, u64::MAX), |_, _| true).collect();
            for ((_, name), (flow, segment)) in arrived {
                let receiver = &mut flows[flow].1;
                receiver.of = segment.of;
                if receiver.take(&segment) {
                    at_sender.insert((now + WAY, name), (flow, receiver.came, receiver.beyond));
                }
            }
            now = now + Duration::from_millis(5);
            assert!(now - begin < Duration::from_secs(1000), "it ends");
        }
        ((now - begin).as_secs_f64(), carried)
    }

    #[test]
    fn senders_that_share_a_slow_line_carry_nearly_as_much_as_it_can() {
        for senders in [1, 2, 5, 10, 20] {
            let (took, carried) = over_a_slow_line(senders, 100_000);
            let least = senders as f64 * 100_000.0 / segment_bytes(Geometry::DEFAULT) as f64;
            assert!(took < 1.25 * least / 40.0 + 1.0, "{senders} senders: {took} s");
            assert!((carried as f64) < 1.2 * least + 1.0, "{senders} senders: {carried} of {least} segments");
        }
    }

    #[test]
    fn a_changed_header_is_not_read() {
        let kind = SegmentKind::Answer;
        let segment =
            Segment { user: 1, exchange: 2, kind, asks: false, useful: 7, number: 3, of: 9, more: 1 };
        for at in 0..HEADER_BYTES {
            let mut bytes = segment.write();
            bytes[at] ^= 1;
            assert!(Segment::parse(&bytes) != Some(segment), "{at}");
        }
    }
}
