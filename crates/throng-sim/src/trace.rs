//! Traces: what an adversary saw, and, in another file, what it was.
//!
//! Both files are columns of variable-length integers (LEB128), a thousand or so rows to a block:
//!
//! ```text
//! seen:   "THRONGSE" · version u16 · bytes of the file u64 · mixes · datagram bytes · blocks · 0 · rows in all · check u64
//!         block: rows · bytes · time (difference to the row before, ns) · from · to · length (less the datagram's)
//! truth:  "THRONGTR" · version u16 · bytes of the file u64 · blocks · 0 · rows in all ·
//!         deeds · each: time · what · user · exchange · exit · bytes up · bytes down · check u64
//!         block: rows · bytes · user + 1, or 0 where nothing is known · exchange · kind · number
//! ```
//!
//! The n-th row of the truth belongs to the n-th row of what was seen; rows are in the order of time, from the moment
//! at which the network was up. Hosts are numbers: mixes from 0, then users. A file of another version, one that ends
//! too early, and one that was changed are refused. Attacks get the first file; the second is for their score.

use std::fmt;
use std::fmt::Write as _;

/// What an adversary on the wire sees of one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// Nanoseconds since the network was up.
    pub at: u64,
    /// Whose it is.
    pub from: u32,
    /// To whom it goes.
    pub to: u32,
    /// UDP payload, bytes.
    pub length: u16,
}

/// What a datagram was: a segment of somebody's exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Inside {
    /// Whose, from 0.
    pub user: u32,
    /// Which exchange of this user.
    pub exchange: u32,
    /// 1: of a question, 2: of an answer, 3 and 4: acknowledgements of these.
    pub kind: u8,
    /// Which segment.
    pub number: u32,
}

/// Something that a user did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deed {
    /// Nanoseconds since the network was up.
    pub at: u64,
    /// What.
    pub what: What,
    /// Who, from 0.
    pub user: u32,
    /// Which exchange of this user.
    pub exchange: u32,
    /// Through which exit; `u32::MAX` if there was none.
    pub exit: u32,
    /// Bytes of the question.
    pub up: u64,
    /// Bytes of the answer.
    pub down: u64,
}

/// What became of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum What {
    /// It began.
    Began = 1,
    /// It is done.
    Done = 2,
    /// It failed, visibly.
    Failed = 3,
}

/// What was seen, and what it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Hosts below this number are mixes.
    pub mixes: u32,
    /// The length of the network's datagrams, bytes.
    pub datagram: u16,
    /// What was seen.
    pub seen: Vec<Row>,
    /// What it was; nothing where the simulator does not know (real suite, and messages between neighbours).
    pub inside: Vec<Option<Inside>>,
    /// What users did.
    pub deeds: Vec<Deed>,
}

/// Why a trace cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It is not a trace of this kind.
    NotATrace,
    /// It has a version that this program does not know.
    UnknownVersion(u16),
    /// It ends too early.
    Truncated,
    /// It was changed.
    Changed,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotATrace => write!(f, "not a Throng trace file"),
            Self::UnknownVersion(version) => {
                write!(f, "this trace has version {version}; known is {VERSION}")
            }
            Self::Truncated => write!(f, "this trace ends too early"),
            Self::Changed => write!(f, "this trace was changed after it was written"),
        }
    }
}

impl std::error::Error for Unreadable {}

const SEEN_MAGIC: &[u8; 8] = b"THRONGSE";
const TRUTH_MAGIC: &[u8; 8] = b"THRONGTR";
const VERSION: u16 = 1;
/// Where the file's length stands.
const LENGTH_AT: usize = 10;
const BLOCK_ROWS: usize = 1024;

impl Trace {
    /// An empty one.
    pub fn new(mixes: u32, datagram: u16) -> Self {
        Self { mixes, datagram, ..Self::default() }
    }

    /// Adds a row, in any order: [`sort`](Self::sort) afterwards.
    pub fn push(&mut self, row: Row, inside: Option<Inside>) {
        self.seen.push(row);
        self.inside.push(inside);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.seen.capacity() * size_of::<Row>()
            + self.inside.capacity() * size_of::<Option<Inside>>()
            + self.deeds.capacity() * size_of::<Deed>()
    }

    /// Puts rows into the order of time: a line sends later what was given to it before.
    pub fn sort(&mut self) {
        let mut order: Vec<u32> = (0..self.seen.len() as u32).collect();
        order.sort_by_key(|place| (self.seen[*place as usize], self.inside[*place as usize]));
        self.seen = order.iter().map(|place| self.seen[*place as usize]).collect();
        self.inside = order.iter().map(|place| self.inside[*place as usize]).collect();
        self.deeds.sort();
    }

    /// The file of what was seen.
    pub fn seen_to_bytes(&self) -> Vec<u8> {
        let mut out = TraceWriter::new(SEEN_MAGIC);
        out.number(u64::from(self.mixes));
        out.number(u64::from(self.datagram));
        let mut before = 0;
        for rows in self.seen.chunks(BLOCK_ROWS) {
            out.block(rows.len(), |block| {
                for row in rows {
                    block.number(row.at - before);
                    before = row.at;
                }
                rows.iter().for_each(|row| block.number(u64::from(row.from)));
                rows.iter().for_each(|row| block.number(u64::from(row.to)));
                rows.iter().for_each(|row| block.signed(i64::from(row.length) - i64::from(self.datagram)));
            });
        }
        out.end(self.seen.len());
        out.check()
    }

    /// The file of what it was.
    pub fn truth_to_bytes(&self) -> Vec<u8> {
        let mut out = TraceWriter::new(TRUTH_MAGIC);
        for rows in self.inside.chunks(BLOCK_ROWS) {
            out.block(rows.len(), |block| {
                rows.iter().for_each(|row| block.number(row.map_or(0, |row| u64::from(row.user) + 1)));
                let known = || rows.iter().flatten();
                known().for_each(|row| block.number(u64::from(row.exchange)));
                known().for_each(|row| block.number(u64::from(row.kind)));
                known().for_each(|row| block.number(u64::from(row.number)));
            });
        }
        out.end(self.inside.len());
        out.number(self.deeds.len() as u64);
        for deed in &self.deeds {
            let words = [
                deed.at,
                deed.what as u64,
                u64::from(deed.user),
                u64::from(deed.exchange),
                u64::from(deed.exit),
                deed.up,
                deed.down,
            ];
            words.into_iter().for_each(|word| out.number(word));
        }
        out.check()
    }

    /// Reads what was seen: a trace without truth.
    ///
    /// # Errors
    /// [`Unreadable`], if the bytes are not all of a trace of the known version.
    pub fn seen_from_bytes(bytes: &[u8]) -> Result<Self, Unreadable> {
        let mut reader = TraceReader::new(SEEN_MAGIC, bytes)?;
        let mut trace = Self::new(reader.narrow()?, reader.narrow()?);
        let mut before = 0u64;
        let rows = reader.blocks(|block, rows| {
            let start = trace.seen.len();
            for _ in 0..rows {
                before = before.checked_add(block.number()?).ok_or(Unreadable::Changed)?;
                trace.seen.push(Row { at: before, from: 0, to: 0, length: 0 });
            }
            for row in &mut trace.seen[start..] {
                row.from = block.narrow()?;
            }
            for row in &mut trace.seen[start..] {
                row.to = block.narrow()?;
            }
            for row in &mut trace.seen[start..] {
                let length = i64::from(trace.datagram).checked_add(block.signed()?);
                let length = length.and_then(|length| u16::try_from(length).ok());
                row.length = length.filter(|length| *length <= PAYLOAD_MAX).ok_or(Unreadable::Changed)?;
            }
            Ok(())
        })?;
        let has_address = |row: &Row| trace.address(row.from).is_some() && trace.address(row.to).is_some();
        if rows != trace.seen.len() as u64 || !reader.0.is_empty() || !trace.seen.iter().all(has_address) {
            return Err(Unreadable::Changed);
        }
        Ok(trace)
    }

    /// Reads the truth of this trace.
    ///
    /// # Errors
    /// [`Unreadable`], if the bytes are not all of a truth of the known version, or of another trace.
    pub fn add_truth(&mut self, bytes: &[u8]) -> Result<(), Unreadable> {
        let mut reader = TraceReader::new(TRUTH_MAGIC, bytes)?;
        let mut inside: Vec<Option<Inside>> = Vec::new();
        let rows = reader.blocks(|block, rows| {
            let start = inside.len();
            for _ in 0..rows {
                let user = block.number()?;
                let user = (user > 0).then(|| u32::try_from(user - 1)).transpose();
                let user = user.map_err(|_| Unreadable::Changed)?;
                inside.push(user.map(|user| Inside { user, exchange: 0, kind: 0, number: 0 }));
            }
            for row in inside[start..].iter_mut().flatten() {
                row.exchange = block.narrow()?;
            }
            for row in inside[start..].iter_mut().flatten() {
                row.kind = block.narrow()?;
            }
            for row in inside[start..].iter_mut().flatten() {
                row.number = block.narrow()?;
            }
            Ok(())
        })?;
        if rows != inside.len() as u64 || inside.len() != self.seen.len() {
            return Err(Unreadable::Changed);
        }
        let mut deeds = Vec::new();
        for _ in 0..reader.number()? {
            let at = reader.number()?;
            let what = match reader.number()? {
                1 => What::Began,
                2 => What::Done,
                3 => What::Failed,
                _ => return Err(Unreadable::Changed),
            };
            let (user, exchange, exit) = (reader.narrow()?, reader.narrow()?, reader.narrow()?);
            deeds.push(Deed { at, what, user, exchange, exit, up: reader.number()?, down: reader.number()? });
        }
        if !reader.0.is_empty() {
            return Err(Unreadable::Changed);
        }
        self.inside = inside;
        self.deeds = deeds;
        Ok(())
    }

    /// What was seen, as lines of `time_ns,from,to,length` under a line with these names.
    pub fn to_csv(&self) -> String {
        let mut out = String::from("time_ns,from,to,length\n");
        for row in &self.seen {
            // Writing to a string does not fail.
            let _ = writeln!(out, "{},{},{},{}", row.at, row.from, row.to, row.length);
        }
        out
    }

    /// What it was, line by line beside [`to_csv`](Self::to_csv): whose exchange, which segment of it; empty where nothing is
    /// known.
    pub fn truth_to_csv(&self) -> String {
        let mut out = String::from("user,exchange,kind,segment\n");
        for inside in &self.inside {
            let _ = match inside {
                Some(Inside { user, exchange, kind, number }) => {
                    let kind = KINDS.get(usize::from(*kind).wrapping_sub(1)).unwrap_or(&"");
                    writeln!(out, "{user},{exchange},{kind},{number}")
                }
                None => writeln!(out, ",,,"),
            };
        }
        out
    }

    /// What users did: a line for each beginning and end of an exchange.
    pub fn deeds_to_csv(&self) -> String {
        let mut out = String::from("time_ns,what,user,exchange,exit,bytes_up,bytes_down\n");
        for Deed { at, what, user, exchange, exit, up, down } in &self.deeds {
            let what = match what {
                What::Began => "began",
                What::Done => "done",
                What::Failed => "failed",
            };
            let exit = if *exit == u32::MAX { String::new() } else { exit.to_string() };
            let _ = writeln!(out, "{at},{what},{user},{exchange},{exit},{up},{down}");
        }
        out
    }

    /// What was seen, as a pcap file (nanoseconds, raw IPv4): each datagram with IP and UDP headers and without content.
    ///
    /// A host's number is in its address: 10.0.0.0 and up are mixes, 100.0.0.0 and up users.
    pub fn to_pcap(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(24 + self.seen.len() * (16 + PCAP_HEADERS));
        out.extend(0xa1b2_3c4du32.to_le_bytes()); // nanosecond resolution
        out.extend(2u16.to_le_bytes());
        out.extend(4u16.to_le_bytes());
        out.extend([0; 8]);
        out.extend((PCAP_HEADERS as u32).to_le_bytes()); // no content is kept
        out.extend(LINKTYPE_RAW.to_le_bytes());
        for row in &self.seen {
            let length = row.length + PCAP_HEADERS as u16;
            out.extend(((row.at / 1_000_000_000) as u32).to_le_bytes());
            out.extend(((row.at % 1_000_000_000) as u32).to_le_bytes());
            out.extend((PCAP_HEADERS as u32).to_le_bytes());
            out.extend(u32::from(length).to_le_bytes());
            let ip = self.ip_header(row, length);
            out.extend(ip);
            out.extend(PORT.to_be_bytes());
            out.extend(PORT.to_be_bytes());
            out.extend((row.length + 8).to_be_bytes());
            out.extend([0; 2]); // no checksum
        }
        out
    }

    fn ip_header(&self, row: &Row, length: u16) -> [u8; 20] {
        let mut ip = [0; 20];
        ip[0] = 0x45;
        ip[2..4].copy_from_slice(&length.to_be_bytes());
        ip[8] = 64;
        ip[9] = 17;
        for (place, host) in [(12, row.from), (16, row.to)] {
            let address = self.address(host).expect("no trace has more hosts than there are addresses");
            ip[place..place + 4].copy_from_slice(&address);
        }
        let sum: u32 = ip.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
        let folded = (sum & 0xffff) + (sum >> 16);
        ip[10..12].copy_from_slice(&(!((folded & 0xffff) + (folded >> 16)) as u16).to_be_bytes());
        ip
    }

    /// None if there are not so many addresses.
    fn address(&self, host: u32) -> Option<[u8; 4]> {
        let (first, number) =
            host.checked_sub(self.mixes).map_or((0x0a00_0000, host), |user| (0x6400_0000, user));
        number.checked_add(first).map(u32::to_be_bytes)
    }
}

/// What [`Inside::kind`] is called in tables, from 1.
const KINDS: [&str; 4] = ["question", "answer", "question-came", "answer-came"];
/// What fits into a datagram of IPv4, in bytes.
const PAYLOAD_MAX: u16 = u16::MAX - PCAP_HEADERS as u16;
const PCAP_HEADERS: usize = 28;
/// Packets begin with the IP header (tcpdump.org/linktypes.html).
const LINKTYPE_RAW: u32 = 101;
const PORT: u16 = 9000;

/// Writes a file.
struct TraceWriter(Vec<u8>);

impl TraceWriter {
    fn new(magic: &[u8; 8]) -> Self {
        let mut out = magic.to_vec();
        out.extend(VERSION.to_le_bytes());
        out.extend([0; 8]);
        Self(out)
    }

    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn signed(&mut self, number: i64) {
        self.number((number << 1 ^ number >> 63) as u64);
    }

    fn block(&mut self, rows: usize, write: impl FnOnce(&mut Self)) {
        let mut block = Self(Vec::new());
        write(&mut block);
        self.number(rows as u64);
        self.number(block.0.len() as u64);
        self.0.extend(block.0);
    }

    fn end(&mut self, rows: usize) {
        self.number(0);
        self.number(rows as u64);
    }

    fn check(mut self) -> Vec<u8> {
        let length = self.0.len() as u64 + 8;
        self.0[LENGTH_AT..LENGTH_AT + 8].copy_from_slice(&length.to_le_bytes());
        let check = check_of(&self.0);
        self.0.extend(check.to_le_bytes());
        self.0
    }
}

/// Reads a file.
struct TraceReader<'b>(&'b [u8]);

impl<'b> TraceReader<'b> {
    /// Knows the file by its first bytes. Whether it is whole is seen at its end.
    fn new(magic: &[u8; 8], bytes: &'b [u8]) -> Result<Self, Unreadable> {
        let rest = bytes.strip_prefix(magic.as_slice()).ok_or(Unreadable::NotATrace)?;
        let (version, rest) = rest.split_first_chunk().ok_or(Unreadable::Truncated)?;
        match u16::from_le_bytes(*version) {
            VERSION => {}
            other => return Err(Unreadable::UnknownVersion(other)),
        }
        let (length, rest) = rest.split_first_chunk().ok_or(Unreadable::Truncated)?;
        if (bytes.len() as u64) < u64::from_le_bytes(*length) {
            return Err(Unreadable::Truncated);
        }
        let (body, check) = bytes.split_last_chunk::<8>().ok_or(Unreadable::Truncated)?;
        if check_of(body) != u64::from_le_bytes(*check) {
            return Err(Unreadable::Changed);
        }
        Ok(Self(&rest[..rest.len() - 8]))
    }

    fn number(&mut self) -> Result<u64, Unreadable> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(Unreadable::Truncated)?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Unreadable::Changed)
    }

    fn narrow<T: TryFrom<u64>>(&mut self) -> Result<T, Unreadable> {
        T::try_from(self.number()?).map_err(|_| Unreadable::Changed)
    }

    fn signed(&mut self) -> Result<i64, Unreadable> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// Reads blocks to their end. How many rows the file says that they have.
    fn blocks(
        &mut self,
        mut read: impl FnMut(&mut Self, u64) -> Result<(), Unreadable>,
    ) -> Result<u64, Unreadable> {
        loop {
            let rows = self.number()?;
            if rows == 0 {
                break;
            }
            let length: usize = self.narrow()?;
            let (block, rest) = self.0.split_at_checked(length).ok_or(Unreadable::Truncated)?;
            self.0 = rest;
            let mut block = Self(block);
            read(&mut block, rows)?;
            if !block.0.is_empty() {
                return Err(Unreadable::Changed);
            }
        }
        self.number()
    }
}

fn check_of(bytes: &[u8]) -> u64 {
    let mut check = 0xcbf2_9ce4_8422_2325u64 ^ bytes.len() as u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        check = (check ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(27);
    }
    check ^ check >> 31
}

#[cfg(test)]
mod tests;
