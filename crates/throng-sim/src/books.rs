//! The simulator's own books: what every mix carried, and what an adversary saw where it listens.

use throng_core::Design;
use throng_core::Time;
use throng_core::cover::{CircuitCover, Cover, MixLinkCover, UserLinkCover};

use crate::host::HostId;
use crate::population::MixTraffic;
use crate::scenario::TapAt;
use crate::segments::{Segment, SegmentKind, segment_bytes};
use crate::toy::payload_of;
use crate::trace::{Inside, Row, Trace};
use crate::wire::Watcher;

/// A number that stands for a host in traces: mixes first, from 0, then users. It does not depend on who was made first.
pub(crate) type TraceName = u32;

/// Which links carry datagrams at a rate of their own.
#[derive(Clone, Copy)]
struct Covered {
    user_links: bool,
    mix_links: bool,
}

impl Covered {
    fn by(cover: &Cover) -> Self {
        let circuits = cover.circuits != CircuitCover::None;
        Self {
            user_links: circuits || cover.user_links != UserLinkCover::None,
            mix_links: circuits || cover.mix_links != MixLinkCover::None,
        }
    }
}

/// Reads everything, notes what counts.
pub(crate) struct Books {
    /// By number of the host in its world.
    names: Vec<TraceName>,
    mixes: TraceName,
    tap: TapAt,
    /// Whether datagrams lie open: with the toy suite.
    open: bool,
    covered: Covered,
    /// Useful bytes that a payload could carry.
    segment_bytes: u64,
    /// Nothing is noted before.
    begin: Time,
    loads: Vec<MixTraffic>,
    digest: Digest,
    datagrams: u64,
    dropped: u64,
    /// Per user: cells of exchanges on its link, from it and to it.
    user_cells: Vec<[u64; 2]>,
    trace: Trace,
}

impl Books {
    pub(crate) fn new(mixes: usize, users: usize, tap: TapAt, open: bool, design: &Design) -> Self {
        Self {
            names: Vec::new(),
            mixes: mixes as TraceName,
            tap,
            open,
            covered: Covered::by(&design.cover),
            segment_bytes: segment_bytes(design.geometry),
            begin: Time::NEVER,
            loads: vec![MixTraffic::default(); mixes],
            digest: Digest::new(),
            datagrams: 0,
            dropped: 0,
            user_cells: vec![[0; 2]; users],
            trace: Trace::new(mixes as u32, design.geometry.datagram() as u16),
        }
    }

    /// The next host of the world has this name.
    pub(crate) fn name(&mut self, name: TraceName) {
        self.names.push(name);
    }

    /// From `now` on, everything is noted.
    pub(crate) fn begin(&mut self, now: Time) {
        self.begin = now;
    }

    /// A user's exchange passed an exit: bytes from the outside, and to it.
    pub(crate) fn outside(&mut self, exit: TraceName, inward: u64, outward: u64, now: Time) {
        if now >= self.begin
            && let Some(load) = self.loads.get_mut(exit as usize)
        {
            load.outside_in += inward;
            load.outside_out += outward;
        }
    }

    pub(crate) fn loads(&self) -> &[MixTraffic] {
        &self.loads
    }

    pub(crate) fn datagrams(&self) -> u64 {
        self.datagrams
    }

    pub(crate) fn lost_at_lines(&self) -> u64 {
        self.dropped
    }

    pub(crate) fn user_cells(&self) -> &[[u64; 2]] {
        &self.user_cells
    }

    pub(crate) fn trace_mut(&mut self) -> &mut Trace {
        &mut self.trace
    }

    pub(crate) fn bytes(&self) -> usize {
        self.trace.bytes()
    }

    pub(crate) fn close(mut self) -> (String, Trace) {
        self.trace.sort();
        (self.digest.to_hex(), self.trace)
    }

    fn is_tapped(&self, from: TraceName, to: TraceName) -> bool {
        match &self.tap {
            TapAt::Nowhere => false,
            TapAt::Everywhere => true,
            TapAt::UserLinks => from >= self.mixes || to >= self.mixes,
            TapAt::Mixes(mixes) => [from, to].iter().any(|end| mixes.contains(&(*end as usize))),
        }
    }

    /// Useful bytes of a datagram: of a covered link, what its payload could carry, as the paper's formulas count.
    fn useful(&self, from: TraceName, to: TraceName, inside: Option<&Segment>) -> u64 {
        let is_user_link = from >= self.mixes || to >= self.mixes;
        let is_covered = if is_user_link { self.covered.user_links } else { self.covered.mix_links };
        if is_covered { self.segment_bytes } else { inside.map_or(0, useful) }
    }

    fn inside(&self, bytes: &[u8]) -> Option<Segment> {
        if self.open { Segment::parse(payload_of(bytes)) } else { None }
    }
}

impl Watcher for Books {
    fn sent(&mut self, at: Time, from: HostId, to: HostId, bytes: &[u8]) {
        if at < self.begin {
            return;
        }
        let (from, to) = (self.names[from.0], self.names[to.0]);
        let since = (at - self.begin).as_nanos() as u64;
        self.datagrams += 1;
        self.digest.note(&[since, u64::from(from) << 32 | u64::from(to), bytes.len() as u64]);
        let inside = self.inside(bytes);
        let useful = self.useful(from, to, inside.as_ref());
        if let Some(load) = self.loads.get_mut(from as usize) {
            load.cells_out += 1;
            load.useful_out += useful;
        }
        if let Some(segment) = inside {
            for (user, way) in [(from, 0), (to, 1)] {
                if user >= self.mixes && user - self.mixes == segment.user {
                    self.user_cells[segment.user as usize][way] += 1;
                }
            }
        }
        if self.is_tapped(from, to) {
            let inside = inside.map(|segment| Inside {
                user: segment.user,
                exchange: segment.exchange,
                kind: segment.kind as u8,
                number: segment.number,
            });
            self.trace.push(Row { at: since, from, to, length: bytes.len() as u16 }, inside);
        }
    }

    fn arrived(&mut self, at: Time, from: HostId, to: HostId, bytes: &[u8]) {
        if at < self.begin {
            return;
        }
        let (from, to) = (self.names[from.0], self.names[to.0]);
        let useful = self.useful(from, to, self.inside(bytes).as_ref());
        if let Some(load) = self.loads.get_mut(to as usize) {
            load.cells_in += 1;
            load.useful_in += useful;
        }
    }

    fn dropped(&mut self, _: Time, _: HostId) {
        self.dropped += 1;
    }
}

fn useful(segment: &Segment) -> u64 {
    match segment.kind {
        SegmentKind::Question | SegmentKind::Answer => u64::from(segment.useful),
        SegmentKind::QuestionCame | SegmentKind::AnswerCame => 0,
    }
}

/// A running digest of numbers: equal runs have equal ones. (No defence against anybody.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Digest([u64; 2]);

impl Digest {
    pub(crate) fn new() -> Self {
        Self([0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344])
    }

    pub(crate) fn note(&mut self, words: &[u64]) {
        for word in words {
            let wide = u128::from(self.0[0] ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            self.0 =
                [(wide >> 64) as u64 ^ self.0[1].rotate_left(23), self.0[1].wrapping_add(wide as u64) ^ word];
        }
    }

    pub(crate) fn to_hex(&self) -> String {
        format!("{:016x}{:016x}", self.0[0], self.0[1])
    }
}
