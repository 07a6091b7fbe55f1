//! Ten thousand circuits and a hundred thousand streams later every process of a static network has the memory that it
//! had after the first fifth of them. Takes minutes: `cargo xtask test --long` runs it.
#![allow(clippy::unwrap_used)] // panics are how a test says no

mod common;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use common::{Running, Server, noise, run, throng};
use tempfile::TempDir;

const CIRCUITS: usize = 10_000;
const STREAMS_PER_CIRCUIT: usize = 10;
const READERS: usize = 16;
const MIXES: u8 = 4;
/// What an allocator may keep for itself, and what tables may still grow to.
const GROWTH_MAX_KIB: u64 = 8 * 1024;

/// Every name has a circuit of its own.
fn use_circuits(proxy: SocketAddr, server: SocketAddr, names: std::ops::Range<usize>) {
    let next = AtomicUsize::new(names.start);
    let expected = noise::pour(1, 200, &mut std::io::sink()).unwrap();
    thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                loop {
                    let name = next.fetch_add(1, Ordering::Relaxed);
                    if name >= names.end {
                        return;
                    }
                    for _ in 0..STREAMS_PER_CIRCUIT {
                        let got = common::fetch(proxy, &format!("user {name}"), server, 1, 200);
                        assert_eq!(got, expected);
                    }
                    if name.is_multiple_of(1000) {
                        eprintln!("{name} circuits");
                    }
                }
            });
        }
    });
}

/// Resident memory, in KiB.
fn memory(process: &Running) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
#[ignore = "takes minutes"]
fn after_ten_thousand_circuits_and_a_hundred_thousand_streams_no_process_has_grown() {
    let dir = TempDir::new().unwrap();
    let addresses: Vec<_> = (1..=MIXES).map(common::mix_address).collect();
    let place = |file: &str| dir.path().join(file).display().to_string();
    let words = ["network", "init", "--dir", &place(""), "--mixes", &MIXES.to_string(), "--exits", "2"];
    let more = ["--exit-to-private", "--exit-ports", "all", "--address", &addresses.join(",")];
    let (status, _, err) = run(&mut throng(&[&words[..], &more].concat()));
    assert!(status.success(), "{err}");
    let proxy = SocketAddr::from((Ipv4Addr::LOCALHOST, common::closed_port()));
    let file = dir.path().join("client.toml");
    let text = fs::read_to_string(&file).unwrap().replace("127.0.0.1:9450", &proxy.to_string());
    fs::write(file, text).unwrap();

    let server = Server::of_noise();
    let mut nodes: Vec<Running> = (1..=MIXES)
        .map(|i| Running::start(&mut throng(&["node", &place(&format!("mix-{i}.toml"))])))
        .collect();
    nodes.push(Running::start(&mut throng(&["client", &place("client.toml")])));
    nodes[usize::from(MIXES)].err.wait("the proxy is open", |bytes, _| {
        String::from_utf8_lossy(bytes).contains("proxy on").then_some(())
    });

    use_circuits(proxy, server.address, 0..CIRCUITS / 5);
    let before: Vec<u64> = nodes.iter().map(memory).collect();
    use_circuits(proxy, server.address, CIRCUITS / 5..CIRCUITS);
    let after: Vec<u64> = nodes.iter().map(memory).collect();
    eprintln!("KiB after a fifth: {before:?}; after all: {after:?}");
    assert!(server.accepted() >= CIRCUITS * STREAMS_PER_CIRCUIT, "every stream reached the server");
    for (before, after) in before.iter().zip(&after) {
        assert!(*after < before + GROWTH_MAX_KIB, "{before} KiB before, {after} KiB after");
    }
}
