//! Hops a second of `nexosim` on one thread: models in a ring, each of which keeps a number for some milliseconds (one
//! scheduled event) and hands it to the next model (one message). No protocol, no payload.
//!
//! `nexosim-hops MODELS CELLS SECONDS` prints hops a second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nexosim::model::{Context, Model, schedulable};
use nexosim::ports::{EventSource, Output};
use nexosim::simulation::{Mailbox, SimInit};
use nexosim::time::MonotonicTime;
use serde::{Deserialize, Serialize};

static HOPS: AtomicU64 = AtomicU64::new(0);

#[derive(Serialize, Deserialize)]
struct Mix {
    next: Output<u64>,
    chance: u64,
}

#[Model]
impl Mix {
    async fn receive(&mut self, cell: u64, context: &Context<Self>) {
        HOPS.fetch_add(1, Ordering::Relaxed);
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        let delay = Duration::from_nanos(10_000_000 + self.chance % 40_000_000);
        context.schedule_event(delay, schedulable!(Self::pass_on), cell).expect("it is in the future");
    }

    #[nexosim(schedulable)]
    async fn pass_on(&mut self, cell: u64) {
        self.next.send(cell).await;
    }
}

fn main() {
    let mut words = std::env::args().skip(1).map(|word| word.parse::<usize>().expect("a number"));
    let mut word = || words.next().expect("MODELS CELLS SECONDS");
    let (models, cells, seconds) = (word(), word(), word());
    let mut mixes: Vec<Mix> = (1..=models as u64)
        .map(|i| Mix { next: Output::default(), chance: i.wrapping_mul(0x9e37_79b9_7f4a_7c15) })
        .collect();
    let boxes: Vec<Mailbox<Mix>> = (0..models).map(|_| Mailbox::new()).collect();
    for (place, mix) in mixes.iter_mut().enumerate() {
        mix.next.connect(Mix::receive, &boxes[(place * 7 + 1) % models]);
    }
    let mut bench = SimInit::with_num_threads(1);
    let sources: Vec<_> = boxes
        .iter()
        .map(|mailbox| EventSource::new().connect(Mix::receive, mailbox).register(&mut bench))
        .collect();
    for (mix, mailbox) in mixes.into_iter().zip(boxes) {
        bench = bench.add_model(mix, mailbox, "mix");
    }
    let mut simulation = bench.init(MonotonicTime::EPOCH).expect("a simulation");
    for cell in 0..cells {
        simulation.process_event(&sources[cell % models], cell as u64).expect("a first cell");
    }
    simulation.step_until(Duration::from_millis(100)).expect("a step");
    let (before, begun) = (HOPS.load(Ordering::Relaxed), Instant::now());
    while begun.elapsed() < Duration::from_secs(seconds as u64) {
        simulation.step_until(Duration::from_millis(1)).expect("a step");
    }
    println!("{:.0}", (HOPS.load(Ordering::Relaxed) - before) as f64 / begun.elapsed().as_secs_f64());
}
