//! On the wire there is one length: setting up, idle, busy, and leaving.
#![allow(clippy::unwrap_used)] // all of it is test

mod common;

use std::collections::HashMap;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4};
use std::process::Command;
use std::time::Duration;

use common::noise::{self, MIB};
use common::{LIMIT, Running, Server, Up, namespace, wait_until};

/// The length of every datagram.
const DATAGRAM_BYTES: usize = 1280;
const LOAD_BYTES: u64 = 4 * MIB;

/// A datagram as the wire shows it.
#[derive(Debug)]
struct Seen {
    at: Duration,
    from: SocketAddrV4,
    to: SocketAddrV4,
    /// Of its UDP payload, in bytes.
    length: usize,
}

/// Reads what tcpdump has written so far (pcap, from Ethernet: that is how Linux shows its loopback).
fn parse(capture: &[u8]) -> Vec<Seen> {
    let Some((header, mut rest)) = capture.split_at_checked(24) else { return Vec::new() };
    assert_eq!(header[..4], 0xa1b2_c3d4_u32.to_ne_bytes(), "microseconds, in this machine's order");
    assert_eq!(header[20..24], 1_u32.to_ne_bytes(), "Ethernet");
    let mut seen = Vec::new();
    while rest.len() >= 16 {
        let word = |i: usize| u32::from_ne_bytes(rest[4 * i..4 * i + 4].try_into().unwrap());
        let at = Duration::from_secs(word(0).into()) + Duration::from_micros(word(1).into());
        let Some(frame) = rest[16..].get(..word(2) as usize) else { break };
        rest = &rest[16 + frame.len()..];
        let ip = &frame[14..];
        assert_eq!((frame[12..14].to_vec(), ip[0] >> 4, ip[9]), (vec![8, 0], 4, 17), "UDP over IPv4");
        assert_eq!([ip[6] & 0x3f, ip[7]], [0, 0], "not a fragment");
        let udp = &ip[usize::from(ip[0] & 15) * 4..];
        let short = |i: usize| u16::from_be_bytes([udp[i], udp[i + 1]]);
        let address =
            |i: usize, port| SocketAddrV4::new(Ipv4Addr::new(ip[i], ip[i + 1], ip[i + 2], ip[i + 3]), port);
        seen.push(Seen {
            at,
            from: address(12, short(0)),
            to: address(16, short(2)),
            length: usize::from(short(4)) - 8,
        });
    }
    seen
}

#[test]
fn every_datagram_on_the_wire_has_the_same_length() {
    if !namespace::inside("every_datagram_on_the_wire_has_the_same_length", &["tcpdump"]) {
        return;
    }
    // Datagrams that are sent with one system call go through loopback as one, and the receiver's kernel cuts
    // them up; a real network card does so before the wire. This makes loopback do it, too.
    let cut = Command::new("ip").args(["link", "set", "lo", "gso_max_segs", "1"]).status().unwrap();
    assert!(cut.success(), "{cut}");
    let mut tcpdump = Running::start(Command::new("tcpdump").args(
        // As root (of this namespace), written at once, the headers only, with a large buffer in the kernel.
        ["-Z", "root", "-i", "lo", "-n", "-U", "-w", "-", "-s", "64", "-B", "65536", "udp"],
    ));
    tcpdump.err.wait("tcpdump is ready", |bytes, _| {
        String::from_utf8_lossy(bytes).contains("listening on").then_some(())
    });

    let server = Server::of_noise();
    let sink = Server::start(|mut stream| drop(noise::drink(&mut stream)));
    let mut up = Up::start();
    // What is captured comes to us a little later.
    let captured = |what: &str, is: &dyn Fn(&[Seen]) -> bool| {
        let mut looked_at = 0;
        wait_until(what, LIMIT, || {
            let capture = tcpdump.out.bytes();
            let is_new = std::mem::replace(&mut looked_at, capture.len()) != capture.len();
            is_new && is(&parse(&capture))
        });
    };
    common::fetch(up.proxy, "somebody", server.address, 1, 10);
    captured("set-up is captured: three hops, there and back", &|seen| seen.len() > 3 * 2);
    common::fetch(up.proxy, "somebody", server.address, 2, LOAD_BYTES);
    let mut upload = common::connect(up.proxy, "somebody-else", "localhost", sink.address.port()).unwrap();
    noise::pour(3, LOAD_BYTES, &mut upload).unwrap();
    upload.shutdown(Shutdown::Write).unwrap();
    assert_eq!(noise::drink(&mut upload).unwrap().length, 0);
    let load = 2 * 3 * LOAD_BYTES as usize / DATAGRAM_BYTES; // both ways, on each of three links
    captured("the load is captured", &|seen| seen.len() > load);
    // Idle circuits are asked now and then whether they live.
    let silence = Duration::from_secs(5);
    captured("a datagram follows a silence", &|seen| {
        seen.windows(2).any(|pair| pair[1].at > pair[0].at + silence)
    });
    up.program.interrupt();
    assert!(up.program.end(LIMIT).success());
    tcpdump.interrupt();
    assert!(tcpdump.end(LIMIT).success());

    let seen = parse(&tcpdump.out.bytes());
    let summary = tcpdump.err.text();
    eprintln!("{} datagrams: {summary}", seen.len());
    assert!(summary.contains("0 packets dropped by kernel"), "{summary}");
    let mut lengths: HashMap<usize, usize> = HashMap::new();
    seen.iter().for_each(|datagram| *lengths.entry(datagram.length).or_default() += 1);
    assert_eq!(
        lengths.keys().copied().collect::<Vec<_>>(),
        [DATAGRAM_BYTES],
        "lengths and how often: {lengths:?}"
    );

    // And it is the network's traffic that we saw: of every mix that a circuit can begin with or end at.
    let mixes: Vec<SocketAddr> = (up.report["mixes"].as_array().unwrap().iter())
        .map(|mix| mix["address"].as_str().unwrap().parse().unwrap())
        .collect();
    let is_mix = |address: &SocketAddrV4| mixes.contains(&SocketAddr::V4(*address));
    let stray = seen.iter().find(|datagram| !is_mix(&datagram.from) && !is_mix(&datagram.to));
    assert!(stray.is_none(), "{stray:?}");
    let between_mixes = seen.iter().filter(|datagram| is_mix(&datagram.from) && is_mix(&datagram.to)).count();
    assert!(between_mixes > seen.len() / 4, "{between_mixes} of {}", seen.len());
}
