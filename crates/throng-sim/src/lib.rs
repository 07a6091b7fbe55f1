//! A virtual world in which the very nodes of the network run.
//!
//! A [`Scenario`] says which world; [`run()`] runs it with all its seeds on all cores and gives [`Results`];
//! [`trace()`] gives what an adversary saw and, apart from it, the truth; [`swarm`](swarm::swarm) looks for what should never
//! happen. Time passes only when the simulator says so, all chance follows from seeds: the same scenario gives the
//! same bytes on every machine.
//!
//! ```
//! use std::sync::atomic::AtomicBool;
//! use throng_sim::{Options, Scenario, Shard, run};
//!
//! let text = r#"
//! duration_s = 5
//! seeds = 2
//! mixes.count = 4
//! users.count = 3
//! traffic = { model = "constant", up_mb_per_day = 10, down_mb_per_day = 90, every_s = 1 }
//! "#;
//! let scenario = Scenario::parse("example.toml", text)?;
//! let (told, stop) = (throng_sim::nobody, AtomicBool::new(false));
//! let results = run(&scenario, &Options { jobs: 2, shard: Shard::ALL, told: &told, stop: &stop });
//! assert!(results.is_clean() && results.missing().is_empty());
//! assert_eq!(results.mean(0, "exchanges failed").map(|mean| mean.mean), Some(0.0));
//! # Ok::<(), throng_sim::Wrong>(())
//! ```
//!
//! There are two levels. At *node level*, hosts run [`throng_core::Node`], which does not know that its time, its
//! network and its chance are made up; [`World`] is that world for tests that tell a story. At *population level*
//! ([`population`]), a million users are counted without a cell. Where both can say something, they say the same.

mod apps;
pub mod bench;
mod books;
mod cells;
mod chance;
mod checkers;
mod host;
pub mod lines;
mod memory;
mod nodes;
pub mod population;
mod results;
mod run;
mod scenario;
mod segments;
mod stop;
pub mod swarm;
pub mod toy;
mod trace;
pub mod traffic;
mod wheel;
mod wire;
mod world;

pub use host::{HostId, LineRate};
pub use results::{Mean, Metric, Results, RunResult, Unfit};
pub use run::{
    Options, Shard, TooLarge, cells_on_user_links, check_memory, check_memory_of_trace, go_on, nobody, run,
    trace, with_hosts_reversed,
};
pub use scenario::{
    Churn, Fault, FaultKind, Level, Lines, Plan, SEEDS_MAX, Scenario, SuiteName, TapAt, USERS_MAX, Variant,
    Wrong, list,
};
pub use stop::{OnProgress, Progress};
pub use toy::Toy;
pub use trace::{Deed, Inside, Row, Trace, Unreadable, What};
pub use wire::{OnWire, Verdict, Watcher, Wire, WireAdversary};
pub use world::{World, mix_config};
