//! Bytes that nobody guesses and everybody can make again: content for transfers, and a test's own chance.

use std::io::{self, Read, Write};
use std::time::Duration;

use sha2::{Digest, Sha256};

/// A test's seed: fresh, or what `THRONG_TEST_SEED` says. Printed, so that a failure can be had again.
pub fn seed() -> u64 {
    let given = std::env::var("THRONG_TEST_SEED")
        .ok()
        .map(|text| text.parse().expect("THRONG_TEST_SEED is a number"));
    let fresh = || u64::from_le_bytes(*throng_net::entropy::secret().first_chunk().expect("32 bytes"));
    let seed = given.unwrap_or_else(fresh);
    eprintln!("THRONG_TEST_SEED={seed}");
    seed
}

/// An endless stream of bytes, the same for the same seed (SplitMix64).
#[derive(Clone)]
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.number().to_le_bytes()[..chunk.len()]);
        }
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes);
        bytes
    }
}

/// Length and SHA-256 of what went by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Print {
    pub length: u64,
    pub hash: [u8; 32],
}

impl std::fmt::Debug for Print {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes, SHA-256 ", self.length)?;
        self.hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The print of what comes by, piece by piece.
#[derive(Default)]
pub struct Printer {
    length: u64,
    hash: Sha256,
}

impl Printer {
    pub fn see(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.hash.update(bytes);
    }

    pub fn done(self) -> Print {
        Print { length: self.length, hash: self.hash.finalize().into() }
    }
}

/// Writes `length` bytes of the noise of `seed`, never more than a piece of them in memory.
pub fn pour(seed: u64, length: u64, to: &mut impl Write) -> io::Result<Print> {
    let (mut noise, mut printer, mut piece) = (Noise::new(seed), Printer::default(), vec![0; PIECE_BYTES]);
    let mut left = length;
    while left > 0 {
        let part = &mut piece[..usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES)];
        noise.fill(part);
        printer.see(part);
        to.write_all(part)?;
        left -= part.len() as u64;
    }
    Ok(printer.done())
}

/// Reads to the end.
pub fn drink(from: &mut impl Read) -> io::Result<Print> {
    let (mut printer, mut piece) = (Printer::default(), vec![0; PIECE_BYTES]);
    loop {
        match from.read(&mut piece)? {
            0 => return Ok(printer.done()),
            length => printer.see(&piece[..length]),
        }
    }
}

/// For people: how fast that was.
pub fn speed(bytes: u64, took: Duration) -> String {
    format!(
        "{:.1} MiB in {took:.2?}: {:.1} MiB/s",
        bytes as f64 / MIB as f64,
        bytes as f64 / MIB as f64 / took.as_secs_f64()
    )
}

pub const MIB: u64 = 1 << 20;
const PIECE_BYTES: usize = 64 * 1024;
