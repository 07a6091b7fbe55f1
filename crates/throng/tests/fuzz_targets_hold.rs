//! Every target of `fuzz/` holds for what is kept of its corpus, for inputs that once broke it, and for some that follow from a
//! seed: without a fuzzer's instruments, so that nothing is built twice for it.
//!
//! `THRONG_FUZZ_SEED` gives other inputs. `cargo xtask fuzz` looks for new ones.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use throng_core::rng::{Purpose, Rng, Seed};

#[allow(dead_code, unreachable_pub, reason = "for the fuzzer it is a library")]
#[path = "../../../fuzz/src/lib.rs"]
mod targets;

/// Inputs that follow from the seed, for a target: a second's work or so.
const STATEFUL: usize = 2_000;
/// See [`STATEFUL`].
const PARSER: usize = 20_000;
/// The longest of them, in bytes.
const INPUT_BYTES_MAX: usize = 1024;

macro_rules! hold {
    ($($target:ident: $inputs:expr),* $(,)?) => {
        $(#[test]
        fn $target() {
            hold(stringify!($target), targets::$target::run, $inputs);
        })*

        #[test]
        fn all_targets_are_here() {
            let all: Vec<&str> = targets::TARGETS.iter().map(|(name, _)| *name).collect();
            assert_eq!(all, [$(stringify!($target)),*]);
        }
    };
}

hold! {
    node: STATEFUL,
    admission: STATEFUL,
    cover: STATEFUL,
    first_hops: STATEFUL,
    memory: STATEFUL,
    mixing: STATEFUL,
    parts: STATEFUL,
    timers: STATEFUL,
    window: STATEFUL,
    documents: PARSER,
    frames: PARSER,
    http: PARSER,
    records: PARSER,
    scenarios: PARSER / 10,
    socks: PARSER,
    texts: PARSER,
    traces: PARSER,
    wire: PARSER,
}

fn hold(target: &str, run: fn(&[u8]), inputs: usize) {
    let mut bases = vec![Vec::new()];
    for file in kept(target) {
        let input = fs::read(&file).expect("it is there");
        try_one(run, &input, &file.display().to_string());
        bases.push(input);
    }
    let seed: u64 = std::env::var("THRONG_FUZZ_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    eprintln!(
        "THRONG_FUZZ_SEED={seed}: {} kept inputs of {target}, and {inputs} made of them",
        bases.len() - 1
    );
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut rng = Seed::from_bytes(bytes).rng(Purpose::World, 0);
    for number in 0..inputs {
        let input = mutated(&bases, &mut rng);
        try_one(run, &input, &format!("number {number} of seed {seed}"));
    }
}

/// The corpus, and what once broke a target, by its name.
fn kept(target: &str) -> Vec<PathBuf> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let folders = ["corpus", "found"].map(|folder| fuzz.join(folder).join(target));
    let files = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
    let mut files: Vec<PathBuf> = files.map(|entry| entry.expect("it can be read").path()).collect();
    files.sort();
    files
}

fn try_one(run: fn(&[u8]), input: &[u8], name: &str) {
    if catch_unwind(AssertUnwindSafe(|| run(input))).is_err() {
        let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        panic!("{name} does not hold. As hexadecimal digits (`xxd -r -p`): {hex}");
    }
}

/// One of some inputs, or two of them, with a few things changed.
fn mutated(bases: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut input = rng.pick(bases).cloned().unwrap_or_default();
    for _ in 0..1 + rng.below(6) {
        let at = rng.below(input.len() + 1);
        match rng.below(5) {
            0 => {
                let more = rng.bytes::<8>();
                input.splice(at..at, more[..1 + rng.below(8)].iter().copied());
            }
            1 => {
                let other = rng.pick(bases).cloned().unwrap_or_default();
                let from = rng.below(other.len() + 1);
                input.splice(at.., other[from..].iter().copied());
            }
            2 => {
                let to = (at + rng.below(9)).min(input.len());
                input.drain(at..to);
            }
            _ => {
                let change = rng.bytes::<4>();
                let span = 1 + rng.below(4);
                input.iter_mut().skip(at).zip(&change[..span]).for_each(|(byte, change)| *byte ^= change);
            }
        }
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}
