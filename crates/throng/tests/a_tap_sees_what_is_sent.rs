//! `throng up --tap` records every datagram of the network, as `throng sim` reads it.
#![allow(clippy::unwrap_used)] // all of it is test

mod common;

use std::collections::BTreeSet;
use std::fs;

use common::noise::MIB;
use common::{LIMIT, Server, Up, run, throng};

/// What every datagram of the network has.
const DATAGRAM_BYTES: &str = "1280";
const MIXES: u32 = 4;

#[test]
fn a_tap_on_a_real_network_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let (tap, csv) = (folder.path().join("seen.trace"), folder.path().join("seen.csv"));
    let server = Server::of_noise();
    let mixes = MIXES.to_string();
    let mut up =
        Up::start_with(throng(&["up", "--port", "0", "--json", "--mixes", &mixes, "--tap"]).arg(&tap));
    common::fetch(up.proxy, "somebody", server.address, 1, MIB);
    up.program.interrupt();
    assert!(up.program.end(LIMIT).success());
    assert!(up.program.err.text().contains("datagrams seen, written to "), "{}", up.program.err.text());

    let (status, _, err) = run(throng(&["sim", "export"]).arg(&tap).arg("--csv").arg(&csv));
    assert!(status.success(), "{err}");
    let text = fs::read_to_string(csv).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let times: Vec<u64> = rows.iter().map(|row| row[0].parse().unwrap()).collect();
    assert!(times.is_sorted());
    assert!(rows.iter().all(|row| row[3] == DATAGRAM_BYTES));
    // A megabyte came through three links, and every host of a circuit spoke, the client too.
    assert!(rows.len() > 3 * MIB as usize / 1280, "{}", rows.len());
    let hosts: BTreeSet<u32> = rows.iter().map(|row| row[1].parse().unwrap()).collect();
    assert!(hosts.len() > 3 && hosts.last() == Some(&MIXES), "{hosts:?}");
    let others = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(others, 2, "nothing is left of how it was written");
}

#[test]
fn a_place_where_nothing_can_be_written_is_refused_at_once() {
    let (status, out, err) = run(&mut throng(&["up", "--port", "0", "--tap", "/nowhere/seen.trace"]));
    assert!(!status.success());
    assert!(err.contains("--tap") && err.contains("/nowhere/seen.trace"), "{err}");
    assert_eq!(out, "");
}
