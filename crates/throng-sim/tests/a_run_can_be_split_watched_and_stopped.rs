//! Jobs, shards, progress, stopping, memory: what long runs need.
#![allow(clippy::unwrap_used)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use throng_sim::{Options, Progress, Results, Scenario, Shard, Unfit, check_memory, nobody, run};

fn scenario(users: usize, seconds: u64, more: &str) -> Scenario {
    let text = format!(
        "duration_s = {seconds}\nseeds = 3\nmixes.count = 5\nusers.count = {users}\n\
         traffic = {{ model = \"constant\", up_mb_per_day = 20, down_mb_per_day = 90, every_s = 1 }}\n{more}\n"
    );
    Scenario::parse("split.toml", &text).unwrap()
}

fn shard(scenario: &Scenario, number: usize, of: usize) -> Results {
    let shard = Shard::new(number, of).unwrap();
    run(scenario, &Options { jobs: 1, shard, told: &nobody, stop: &AtomicBool::new(false) })
}

#[test]
fn shards_run_apart_and_merge_to_the_whole() {
    let scenario = scenario(3, 4, "[sweep]\n\"design.hops\" = [1, 2]");
    let whole = shard(&scenario, 0, 1);
    let parts: Vec<Results> = (0..4).map(|number| shard(&scenario, number, 4)).collect();
    let read = |part: &Results| Results::from_json(&part.to_json()).unwrap();
    assert_eq!(Results::merge(parts.iter().map(read).collect()).unwrap(), whole);
    let without = Results::merge(vec![parts[0].clone(), parts[2].clone(), parts[3].clone()]);
    assert_eq!(without, Err(Unfit::Missing(vec![1, 5])));
    assert_eq!(Shard::new(4, 4), None);
}

#[test]
fn progress_grows_to_the_end() {
    let told = Mutex::new(Vec::new());
    let scenario = scenario(8, 20, "");
    let tell = |progress: &Progress| told.lock().unwrap().push(*progress);
    let results =
        run(&scenario, &Options { jobs: 1, shard: Shard::ALL, told: &tell, stop: &AtomicBool::new(false) });
    assert_eq!(results.missing(), [0; 0]);
    let told = told.into_inner().unwrap();
    assert!(told.len() > 20);
    assert!(told.windows(2).all(|pair| pair[0].events <= pair[1].events), "events only grow");
    let last = told.last().unwrap();
    assert_eq!((last.runs, last.runs_done, last.simulated), (3, 2, Duration::from_secs(20)));
    assert!(last.memory_bytes > 100_000 && last.events > 1000);
}

#[test]
fn a_run_that_is_stopped_keeps_what_was_done() {
    for more in ["", "level = \"population\""] {
        let text = format!(
            "{more}\nduration_s = 100000\nseeds = 3\nmixes.count = 5\nusers.count = 40\n\
            traffic = {{ model = \"constant\", up_mb_per_day = 20, down_mb_per_day = 90, every_s = 1 }}\n"
        );
        let scenario = Scenario::parse("stop.toml", &text).unwrap();
        let (stop, told) = (AtomicBool::new(false), AtomicU64::new(0));
        // The first run ends by itself only at population level; both are stopped in the middle.
        let tell = |progress: &Progress| {
            told.fetch_add(1, Ordering::Relaxed);
            if progress.runs_done > 0 || progress.simulated > Duration::from_secs(30) {
                stop.store(true, Ordering::Relaxed);
            }
        };
        let results = run(&scenario, &Options { jobs: 1, shard: Shard::ALL, told: &tell, stop: &stop });
        assert!(!results.missing().is_empty() && results.runs.len() < 3, "{more}");
        assert!(results.runs.iter().any(|run| !run.complete && !run.metrics.is_empty()), "{more}");
        assert!(results.to_table().contains("stopped before the end"), "{more}");
        assert!(told.load(Ordering::Relaxed) > 0);
    }
}

#[test]
fn a_world_that_does_not_fit_is_refused_before_it_begins() {
    let large = scenario(2_000_000, 10, "");
    let error = check_memory(&large, 2, 4 << 30).unwrap_err();
    assert!(error.needs > 8 << 30, "{error:?}");
    assert!(error.to_string().contains("fewer users"));
    assert!(check_memory(&scenario(100, 10, ""), 2, 1 << 30).is_ok());
}
