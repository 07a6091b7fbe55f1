//! A network may have longer datagrams than usual: then all of them are, and streams use the room.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::AtomicBool;

use throng_sim::{Scenario, trace};

const SCENARIO: &str = r#"
duration_s = 20
seeds = 1
[design]
datagram = 2000
cover = "user-link=256kbps"
[mixes]
count = 5
exits = 2
[users]
count = 3
[traffic]
model = "web"
reading_s = 3
largest_kb = 100
[taps]
at = "everywhere"
"#;

#[test]
fn every_datagram_of_a_world_with_2000_bytes_has_2000() {
    let scenario = Scenario::parse("long.toml", SCENARIO).unwrap();
    let (result, trace) = trace(&scenario.variants[0].plan, 1, &|_| {}, &AtomicBool::new(false));
    assert!(result.problems.is_empty(), "{:?}", result.problems);
    assert!(trace.seen.len() > 500, "{} datagrams", trace.seen.len());
    assert!(trace.seen.iter().all(|row| row.length == 2000));
}

#[test]
fn a_world_of_512_bytes_browses_and_every_datagram_has_512() {
    let text = SCENARIO.replace("datagram = 2000", "datagram = 512");
    let scenario = Scenario::parse("short.toml", &text).unwrap();
    let (result, trace) = trace(&scenario.variants[0].plan, 1, &|_| {}, &AtomicBool::new(false));
    assert!(result.problems.is_empty(), "{:?}", result.problems);
    assert!(trace.seen.len() > 1000, "{} datagrams", trace.seen.len());
    assert!(trace.seen.iter().all(|row| row.length == 512));
}

/// The same bytes in fewer cells: a payload of a longer datagram carries more.
#[test]
fn longer_datagrams_carry_more() {
    let cells = |datagram: &str| {
        let text = SCENARIO.replace("datagram = 2000", datagram).replace("user-link=256kbps", "none");
        let scenario = Scenario::parse("long.toml", &text).unwrap();
        let (_, trace) = trace(&scenario.variants[0].plan, 1, &|_| {}, &AtomicBool::new(false));
        trace.seen.len() as f64
    };
    let (usual, long) = (cells(""), cells("datagram = 4000"));
    assert!(long < usual * 0.6, "{usual} cells of 1280 bytes, {long} of 4000");
}
