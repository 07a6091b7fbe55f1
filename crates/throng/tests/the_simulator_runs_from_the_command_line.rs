//! `throng sim`: list, run, trace, export, shards, swarm; what a script reads, and what is refused.
#![allow(clippy::unwrap_used)] // panics are how a test says no

mod common;

use std::fs;
use std::path::Path;

use common::{Running, throng};
use serde_json::Value;
use tempfile::TempDir;

const SCENARIOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios");

fn sim(words: &[&str]) -> (Option<i32>, String, String) {
    let (status, out, err) = common::run(&mut throng(&[&["sim"], words].concat()));
    (status.code(), out, err)
}

fn scenario(name: &str) -> String {
    format!("{SCENARIOS}/{name}.toml")
}

fn place(dir: &TempDir, name: &str) -> String {
    dir.path().join(name).display().to_string()
}

fn json(path: &str) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn every_scenario_says_in_its_first_line_what_it_is() {
    let (code, out, err) = sim(&["--list", SCENARIOS]);
    assert_eq!(code, Some(0), "{err}");
    for name in ["first-steps", "table-1-none", "a-mix-dies"] {
        let line = out.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(line.len() > 60, "{line}");
    }
}

#[test]
fn shards_merge_to_what_one_machine_finds_and_nothing_may_be_missing_or_doubled() {
    let dir = TempDir::new().unwrap();
    let whole = place(&dir, "whole.json");
    assert_eq!(sim(&[&scenario("first-steps"), "--jobs", "1", "--out", &whole]).0, Some(0));
    let shards: Vec<String> = (0..2).map(|i| place(&dir, &format!("shard-{i}.json"))).collect();
    for (i, out) in shards.iter().enumerate() {
        let shard = format!("{i}/2");
        assert_eq!(sim(&[&scenario("first-steps"), "--shard", &shard, "--out", out]).0, Some(0));
    }
    let merged = place(&dir, "merged.json");
    assert_eq!(sim(&["merge", &shards[0], &shards[1], "--out", &merged]).0, Some(0));
    assert_eq!(json(&merged), json(&whole));
    let (code, _, err) = sim(&["merge", &shards[0]]);
    assert!(code == Some(1) && err.contains("missing"), "{err}");
    let (code, _, err) = sim(&["merge", &shards[0], &shards[0], &shards[1]]);
    assert!(code == Some(1) && err.contains("more than one file"), "{err}");
    let (code, _, err) = sim(&[&scenario("first-steps"), "--shard", "2/2"]);
    assert!(code == Some(2) && err.contains("2/2"), "{err}");
}

#[test]
fn what_was_stopped_does_not_look_done_and_goes_on_where_it_was() {
    let dir = TempDir::new().unwrap();
    let (path, out, whole) = (place(&dir, "long.toml"), place(&dir, "out.json"), place(&dir, "whole.json"));
    let text = fs::read_to_string(scenario("first-steps")).unwrap();
    let text = text.replace("duration_s = 60", "duration_s = 300").replace("seeds = 5", "seeds = 40");
    fs::write(&path, text).unwrap();
    let mut running = Running::start(&mut throng(&["sim", &path, "--jobs", "1", "--out", &out]));
    common::wait_until("some runs are kept", common::LIMIT, || Path::new(&out).exists());
    let kept = json(&out)["runs"].as_array().unwrap().len();
    running.interrupt();
    assert_eq!(running.end(common::LIMIT).code(), Some(4), "it has not come to its end");
    let err = running.err.text();
    assert!(err.contains("of 40 runs") && err.contains("the same command goes on from there"), "{err}");
    let done = json(&out)["runs"].as_array().unwrap().len();
    assert!((kept..40).contains(&done), "{done} of at least {kept}");
    let (code, _, err) = sim(&[&scenario("first-steps"), "--out", &out]);
    assert!(code == Some(1) && err.contains("would be lost") && err.contains("out.json"), "{err}");
    assert_eq!(sim(&[&path, "--out", &out]).0, Some(0));
    assert_eq!(sim(&[&path, "--out", &whole]).0, Some(0));
    assert_eq!(json(&out), json(&whole));
    // Nobody reads a part of a file, whatever the moment.
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
}

#[test]
fn a_file_of_results_is_completed_and_never_emptied_nor_believed_of_another_program() {
    let dir = TempDir::new().unwrap();
    let (out, whole) = (place(&dir, "out.json"), place(&dir, "whole.json"));
    let first_steps = scenario("first-steps");
    assert_eq!(sim(&[&first_steps, "--out", &whole]).0, Some(0));
    for shard in ["0/2", "1/2"] {
        assert_eq!(sim(&[&first_steps, "--shard", shard, "--out", &out]).0, Some(0));
    }
    assert_eq!(json(&out), json(&whole), "the second shard joins the first");
    let (code, _, err) = sim(&[&first_steps, "--out", &out]);
    assert!(code == Some(0) && err.contains("5 runs were in") && err.contains("out.json already"), "{err}");
    let text = fs::read_to_string(&out).unwrap();
    let made_by = json(&out)["made_by"].as_str().unwrap().to_owned();
    fs::write(&out, text.replace(&made_by, "0123456789abcdef")).unwrap();
    let (code, _, err) = sim(&[&first_steps, "--out", &out]);
    assert!(code == Some(1) && err.contains("another build") && err.contains("out.json"), "{err}");
    fs::write(&out, text.replace("\"number\": 4", "\"number\": 3")).unwrap();
    assert_eq!(sim(&[&first_steps, "--out", &out]).0, Some(0));
    assert_eq!(json(&out), json(&whole), "what is there twice is there once, and the other one is run");
}

#[test]
fn a_trace_is_written_apart_from_its_truth_and_exported() {
    let dir = TempDir::new().unwrap();
    let (trace, csv, pcap) = (place(&dir, "t"), place(&dir, "t.csv"), place(&dir, "t.pcap"));
    let (code, out, err) = sim(&[&scenario("first-steps"), "--trace", &trace, "--seed", "3"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("seed 3"), "{out}");
    let (seen, truth) = (format!("{trace}.seen"), format!("{trace}.truth"));
    assert_eq!(sim(&["export", &seen, "--csv", &csv, "--pcap", &pcap]).0, Some(0));
    let without = fs::read_to_string(&csv).unwrap();
    assert!(without.starts_with("time_ns,from,to,length\n") && without.lines().count() > 1000);
    assert_eq!(&fs::read(&pcap).unwrap()[..4], &[0x4d, 0x3c, 0xb2, 0xa1], "a capture with nanoseconds");

    let (inside, deeds) = (place(&dir, "inside.csv"), place(&dir, "deeds.csv"));
    assert_eq!(sim(&["export", &seen, "--truth-csv", &inside, "--deeds-csv", &deeds]).0, Some(0));
    let inside = fs::read_to_string(&inside).unwrap();
    assert_eq!(inside.lines().count(), without.lines().count(), "line by line");
    assert!(inside.contains(",question,") && inside.contains(",answer,"));
    assert!(fs::read_to_string(&deeds).unwrap().contains(",done,"));
    let elsewhere = place(&dir, "elsewhere");
    fs::rename(&truth, &elsewhere).unwrap();
    assert_eq!(sim(&["export", &seen, "--csv", &csv]).0, Some(0), "what was seen needs no truth");
    assert_eq!(fs::read_to_string(&csv).unwrap(), without);
    let (code, _, err) = sim(&["export", &seen, "--deeds-csv", &deeds]);
    assert!(code == Some(1) && err.contains(&truth), "{err}");
    assert_eq!(sim(&["export", &seen, "--deeds-csv", &deeds, "--truth", &elsewhere]).0, Some(0));
    let (code, _, err) = sim(&["export", &seen]);
    assert!(code == Some(1) && err.contains("--truth-csv"), "{err}");

    let mut cut = fs::read(&seen).unwrap();
    cut.truncate(cut.len() - 1);
    fs::write(&seen, cut).unwrap();
    let (code, _, err) = sim(&["export", &seen, "--csv", &csv]);
    assert!(code == Some(1) && err.contains(&seen), "{err}");
}

#[test]
fn a_wrong_scenario_is_refused_with_line_field_and_range() {
    let dir = TempDir::new().unwrap();
    let path = place(&dir, "wrong.toml");
    for (text, parts) in [
        ("duration_s = 5\nusers.count = 3\nmixes.count = 0\n", ["wrong.toml:3", "mixes.count"]),
        ("duration_s = 5\nusers.count = 3\nusers.colour = 3\n", ["wrong.toml:3", "colour"]),
        (
            "duration_s = 5\nusers.count = 3\nmixes.count = 5\ndesign.cover = \"linkz\"\ntraffic = { model = \"web\" }\n",
            ["design.cover", "user-link=64kbps"],
        ),
        ("duration_s = \n", ["wrong.toml:1", "quoted"]),
    ] {
        fs::write(&path, text).unwrap();
        let (code, _, err) = sim(&[&path]);
        assert_eq!(code, Some(1), "{text}: {err}");
        assert!(parts.iter().all(|part| err.contains(part)), "{text}: {err}");
    }
    let (code, _, err) = sim(&[&place(&dir, "none.toml")]);
    assert!(code == Some(1) && err.contains("none.toml"), "{err}");
}

#[test]
fn what_does_not_fit_into_memory_says_so_before_it_starts() {
    if !Path::new("/proc/meminfo").exists() {
        return eprintln!("SKIPPED: this system does not say how much memory it has");
    }
    let dir = TempDir::new().unwrap();
    let path = place(&dir, "large.toml");
    let text =
        "duration_s = 86400\nmixes.count = 1000\nusers.count = 2000000\ntraffic = { model = \"web\" }\n";
    fs::write(&path, format!("{text}taps.at = \"everywhere\"\n")).unwrap();
    let (code, _, err) = sim(&[&path]);
    assert!(code == Some(1) && err.contains("MiB"), "{err}");
}

#[test]
fn a_world_of_the_swarm_replays() {
    let (code, out, err) = sim(&["--swarm", "--seeds", "20", "--json"]);
    assert_eq!(code, Some(0), "{out}{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["worlds"], report["failed"].as_array().map(Vec::len)), (&Value::from(20), Some(0)));
    let (first, again) = (sim(&["--replay", "7"]), sim(&["--replay", "7"]));
    assert_eq!(first.0, Some(0));
    assert_eq!(first, again);
    assert!(first.1.contains("seed 7"), "{}", first.1);
}
