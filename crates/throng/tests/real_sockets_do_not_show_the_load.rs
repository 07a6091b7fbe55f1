//! A covered network on real sockets: what a tap, or tcpdump, saw while it was idle and while it was busy cannot be told
//! apart; without cover it can.
#![allow(clippy::unwrap_used)] // all of it is test

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::noise::MIB;
use common::{Answer, LIMIT, Running, Server, Up, namespace, run, throng};
use throng_lab::attack::capture::{Hosts, read_pcap};
use throng_lab::attack::load::{Knowledge, Stretch, knows_the_load};
use throng_net::clock::Clock;
use throng_sim::{Row, Trace};

const COVERED: [&str; 4] = ["--cover", "user-link,links", "--rate", "64kbps"];
const MIXES: [&str; 2] = ["--mixes", "6"];
/// The network is up, and all its links have slots.
const SETTLE: Duration = Duration::from_secs(8);
/// Around the moment at which it becomes busy.
const MARGIN: Duration = Duration::from_secs(1);

/// Lets a network be idle and then busy, each for `span` and a little more. How long ago it became busy.
fn idle_then_busy(up: &Up, server: &Server, span: Duration) -> Duration {
    thread::sleep(SETTLE + span + MARGIN);
    let clock = Clock::start();
    let begin = clock.now();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for user in 0..3u64 {
            let is_over = &is_over;
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    // What does not come in time is left; a covered link is slow.
                    let _ = run(Command::new("curl").args([
                        "--silent",
                        "--max-time",
                        "10",
                        "--output",
                        "/dev/null",
                        "--proxy-user",
                        &format!("user-{user}:x"),
                        "--proxy",
                        &format!("socks5h://{}", up.proxy),
                        &format!("http://{}/", server.address),
                    ]));
                }
            });
        }
        thread::sleep(MARGIN + span);
        is_over.store(true, Ordering::Relaxed);
    });
    clock.now() - begin
}

/// Judges a recording that ended so long after the network became busy.
fn judge(rows: &[Row], busy_for: Duration, span: Duration) -> Knowledge {
    let nanos = |span: Duration| span.as_nanos() as u64;
    let (busy, span) = (rows.last().unwrap().at - nanos(busy_for), nanos(span));
    let (idle_until, busy_from) = (busy - nanos(MARGIN), busy + nanos(MARGIN));
    let idle = Stretch { rows, from: idle_until - span, until: idle_until };
    knows_the_load(idle, Stretch { rows, from: busy_from, until: busy_from + span }).unwrap()
}

fn web() -> Server {
    let body = vec![7; MIB as usize / 16];
    Server::web(move |_| Answer { status: 200, kind: "application/octet-stream", body: body.clone() })
}

fn record_by_tap(more: &[&str], span: Duration) -> Knowledge {
    let folder = tempfile::tempdir().unwrap();
    let tap = folder.path().join("seen.trace");
    let server = web();
    let up = ["up", "--port", "0", "--json", "--tap"];
    let mut up = Up::start_with(throng(&up).arg(&tap).args(MIXES).args(more));
    let busy_for = idle_then_busy(&up, &server, span);
    up.program.interrupt();
    assert!(up.program.end(LIMIT).success());
    judge(&read(&tap), busy_for, span)
}

fn read(tap: &Path) -> Vec<Row> {
    let bytes = fs::read(tap).unwrap();
    Trace::seen_from_bytes(&bytes).unwrap().seen
}

/// With cover, pooled over all links, no better than chance: within 0.45 and 0.55.
fn knows_nothing(what: &str, knowledge: &Knowledge) {
    eprintln!("{what}\n{knowledge}");
    for (name, auc) in knowledge.each.named() {
        // Chance alone is within three standard errors.
        let most = 0.05f64.max(3.0 * auc.standard_error());
        assert!((auc.area - 0.5).abs() <= most, "{what}, {name}: {auc}");
    }
    assert_eq!(knowledge.in_one_only, 0, "{what}: which links there are follows the load");
}

fn knows_it_well(what: &str, knowledge: &Knowledge) {
    eprintln!("{what}\n{knowledge}");
    let best = knowledge.together.named().into_iter().map(|(_, auc)| auc.area).fold(0.0, f64::max);
    assert!(best > 0.95, "{what}: {best}");
}

fn by_tap(span: Duration) {
    knows_nothing("covered, by a tap", &record_by_tap(&COVERED, span));
    // Without cover, little is enough.
    knows_it_well("not covered, by a tap", &record_by_tap(&[], span.min(Duration::from_secs(20))));
}

#[test]
fn a_tap_on_a_covered_network_cannot_tell_idle_from_busy() {
    by_tap(Duration::from_secs(20));
}

#[test]
#[ignore = "takes four minutes: cargo xtask test --long"]
fn a_tap_on_a_covered_network_cannot_tell_idle_from_busy_over_forty_windows() {
    by_tap(Duration::from_secs(80));
}

#[test]
fn tcpdump_on_a_covered_network_cannot_tell_idle_from_busy() {
    if !namespace::inside("tcpdump_on_a_covered_network_cannot_tell_idle_from_busy", &["tcpdump", "curl"]) {
        return;
    }
    let cut = Command::new("ip").args(["link", "set", "lo", "gso_max_segs", "1"]).status().unwrap();
    assert!(cut.success(), "{cut}");
    let mut tcpdump =
        Running::start(Command::new("tcpdump").args([
            "-Z", "root", "-i", "lo", "-n", "-U", "-w", "-", "-s", "64", "-B", "65536", "--nano", "udp",
        ]));
    tcpdump.err.wait("tcpdump is ready", |bytes, _| {
        String::from_utf8_lossy(bytes).contains("listening on").then_some(())
    });
    let span = Duration::from_secs(20);
    let server = web();
    let up = ["up", "--port", "0", "--json"];
    let mut up = Up::start_with(throng(&up).args(MIXES).args(COVERED));
    let busy_for = idle_then_busy(&up, &server, span);
    up.program.interrupt();
    assert!(up.program.end(LIMIT).success());
    tcpdump.interrupt();
    assert!(tcpdump.end(LIMIT).success());
    assert!(tcpdump.err.text().contains("0 packets dropped by kernel"), "{}", tcpdump.err.text());
    let capture = read_pcap(&tcpdump.out.bytes(), &mut Hosts::default()).unwrap();
    knows_nothing("covered, by tcpdump", &judge(&capture.rows, busy_for, span));
}
