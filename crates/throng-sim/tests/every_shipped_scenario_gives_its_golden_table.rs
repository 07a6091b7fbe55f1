//! Every scenario in `scenarios/` runs, twice to the same digests, in whatever order its hosts are made, and to the table
//! beside it. After a change that is meant, `THRONG_BLESS=1` writes the tables anew: the diff shows what changed.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use throng_sim::{Level, Options, Results, Scenario, Shard, nobody, run, with_hosts_reversed};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios")
}

fn shipped() -> Vec<Scenario> {
    let scenarios: Vec<_> = throng_sim::list(&folder()).unwrap().into_iter().map(Result::unwrap).collect();
    assert!(scenarios.len() >= 6, "they are there");
    scenarios
}

fn with_jobs(scenario: &Scenario, jobs: usize) -> Results {
    run(scenario, &Options { jobs, shard: Shard::ALL, told: &nobody, stop: &AtomicBool::new(false) })
}

#[test]
fn every_shipped_scenario_says_what_to_expect() {
    for scenario in shipped() {
        assert!(scenario.headline().len() > 20, "{}", scenario.name);
        assert!(scenario.about.contains("Expect:"), "{}", scenario.name);
    }
}

#[test]
fn every_shipped_scenario_gives_its_golden_table_and_the_same_one_again() {
    let mut wrong = Vec::new();
    for scenario in shipped() {
        let results = with_jobs(&scenario, 2);
        assert!(results.is_clean(), "{}", results.to_table());
        assert_eq!(results.missing(), [0; 0]);
        let again = with_jobs(&scenario, 1);
        assert_eq!(results, again, "{}: one job or two, the same results", scenario.name);

        let mut table = results.to_table();
        let digests = results.runs.iter().map(|run| format!("{} {}\n", run.number, run.digest));
        table.push_str("\ndigests\n");
        table.extend(digests);
        let golden = folder().join("golden").join(format!("{}.txt", scenario.name));
        if std::env::var("THRONG_BLESS").is_ok_and(|bless| bless == "1") {
            std::fs::write(&golden, &table).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        if table != expected {
            wrong.push(format!("{}: expected\n{expected}\nand got\n{table}", golden.display()));
        }
    }
    assert!(wrong.is_empty(), "{}\nTHRONG_BLESS=1 accepts this.", wrong.join("\n"));
}

#[test]
fn the_order_in_which_hosts_are_made_changes_nothing() {
    for scenario in shipped() {
        let plan = &scenario.variants[0].plan;
        if plan.level != Level::Nodes {
            continue;
        }
        let mut one = scenario.clone();
        one.variants.truncate(1);
        one.seeds.truncate(1);
        let results = with_jobs(&one, 1);
        let reversed = with_hosts_reversed(plan, scenario.seeds[0]);
        assert_eq!(results.runs[0], reversed, "{}", scenario.name);
    }
}

#[test]
fn another_seed_gives_another_run() {
    for scenario in shipped().into_iter().filter(|scenario| scenario.variants[0].plan.level == Level::Nodes) {
        let mut one = scenario.clone();
        one.variants.truncate(1);
        one.seeds.truncate(2);
        let results = with_jobs(&one, 2);
        assert_ne!(results.runs[0].digest, results.runs[1].digest, "{}", scenario.name);
    }
}
