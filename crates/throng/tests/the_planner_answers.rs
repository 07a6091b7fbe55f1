//! `throng plan` from the command line: the paper's figures, both directions, what a script reads, what is refused.
#![allow(clippy::unwrap_used)] // panics are how a test says no

mod common;

use common::throng;
use serde_json::Value;

/// Exit code, stdout, stderr.
fn plan(words: &[&str]) -> (Option<i32>, String, String) {
    let (status, out, err) = common::run(&mut throng(&[&["plan"], words].concat()));
    (status.code(), out, err)
}

fn json(words: &[&str]) -> Value {
    let (code, out, err) = plan(&[words, &["--json"]].concat());
    assert!(matches!(code, Some(0 | 3)), "{err}");
    serde_json::from_str(&out).unwrap()
}

#[test]
fn the_papers_figures_stand_beside_ours_and_agree() {
    let (code, out, _) = plan(&["--paper"]);
    assert_eq!(code, Some(0));
    for printed in
        ["185.2", "447.2", "6580.6", "1908.3", "44841.7", "7136", "56.25", "3 000 000", "about 200"]
    {
        let line = out.lines().find(|line| line.contains(printed));
        assert!(line.is_some_and(|line| line.contains("yes")), "{printed}: {line:?}");
    }
}

#[test]
fn users_give_mixes_and_those_mixes_give_the_users_back() {
    let there = json(&["--users", "1e5", "--mode", "bare", "--mix-mbps", "1"]);
    let mixes = there["schemes"][0]["mixes_needed"].as_u64().unwrap();
    assert_eq!(mixes, 186);
    let back = json(&["--mixes", "186", "--mode", "bare", "--mix-mbps", "1"]);
    let users = back["schemes"][0]["users_supported"].as_f64().unwrap();
    assert!((100_000.0..101_000.0).contains(&users), "{users}");
}

#[test]
fn a_requirement_that_is_not_met_is_exit_code_3() {
    let question = ["--users", "1e5", "--mode", "bare"];
    let (code, out, _) = plan(&[&question[..], &["--budget-per-year", "1e6"]].concat());
    assert_eq!(code, Some(3), "{out}");
    let (code, ..) = plan(&[&question[..], &["--budget-per-year", "1e7"]].concat());
    assert_eq!(code, Some(0));
}

#[test]
fn what_is_impossible_is_refused_by_the_name_of_its_flag_and_with_its_range() {
    for (words, parts) in [
        (&["--users", "1e5", "--hops", "9"][..], ["--hops", "1 to 8"]),
        (&["--users", "1e5", "--hostile-share", "1.5"], ["--hostile-share", "0 to 1"]),
        (&["--users", "1e5", "--mix-mbps", "0"], ["--mix-mbps", "0.000001"]),
        (&[], ["--users (how many mixes", "--mixes (how many users"]),
        (&["sweep", "--hops", "1..4"], ["--users", "1e2..1e7"]),
        (&["--users", "1.5"], ["users", "whole number"]),
        (&["--users", "1e2..1e4"], ["--users", "plan sweep"]),
        (&["sweep", "--users", "100"], ["sweep", "range"]),
        (&["sweep", "--users", "1e2..1e4", "--hops", "1..4"], ["--users", "--hops"]),
        (&["--preset", "home-1999"], ["home-1999", "fc04"]),
    ] {
        let (code, _, err) = plan(words);
        assert_eq!(code, Some(1), "{words:?}");
        assert!(parts.iter().all(|part| err.contains(part)), "{words:?}: {err}");
    }
}

#[test]
fn an_answers_question_can_be_asked_again_from_a_file() {
    let dir = tempfile::TempDir::new().unwrap();
    let first = json(&["--users", "12345", "--cover", "link", "--preset", "hosted-2026"]);
    let file = dir.path().join("question.json");
    std::fs::write(&file, first["question"].to_string()).unwrap();
    assert_eq!(json(&["--question", &file.display().to_string()]), first);
}

#[test]
fn a_sweep_writes_its_points_and_draws_them() {
    let dir = tempfile::TempDir::new().unwrap();
    let svg = dir.path().join("out.svg");
    let words =
        ["sweep", "--users", "1e2..1e7", "--points", "6", "--svg", &svg.display().to_string(), "--csv"];
    let (code, out, err) = plan(&words);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(
        out.lines().count(),
        1 + 6 * 2 * 3,
        "a head, and two networks with three schemes at six points"
    );
    let drawn = std::fs::read_to_string(svg).unwrap();
    assert!(drawn.starts_with("<svg") && drawn.trim_end().ends_with("</svg>"));
    assert!(drawn.contains("dynamic") && drawn.contains("end-to-end"));
}
