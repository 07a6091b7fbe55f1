//! Tunnels and some mobile lines take packets of 1280 bytes at most; our datagrams are longer with their headers.
#![allow(clippy::unwrap_used)] // all of it is test

mod common;

use std::fs;
use std::net::IpAddr;
use std::process::Command;

use common::noise::MIB;
use common::static_network::{mixes_of, network_at, proxy_of, start};
use common::{Server, Up, namespace};

fn narrow() {
    let narrowed = Command::new("ip").args(["link", "set", "lo", "mtu", "1280"]).status().unwrap();
    assert!(narrowed.success(), "{narrowed}");
}

#[test]
fn a_line_of_1280_bytes_carries_circuits_and_loads() {
    if !namespace::inside("a_line_of_1280_bytes_carries_circuits_and_loads", &[]) {
        return;
    }
    narrow();
    let server = Server::of_noise();
    let up = Up::start();
    common::fetch(up.proxy, "somebody", server.address, 1, 4 * MIB);
}

#[test]
fn such_a_line_carries_them_over_ipv6_too() {
    if !namespace::inside("such_a_line_carries_them_over_ipv6_too", &[]) {
        return;
    }
    narrow();
    let mix = |number: u8| format!("fd00:{number}::1");
    (1..=4).for_each(|number| namespace::add_address(mix(number).parse::<IpAddr>().unwrap()));
    let addresses: Vec<_> = (1..=4).map(|number| format!("[{}]:9001", mix(number))).collect();
    let dir = network_at(&addresses);
    let server = Server::of_noise();
    let _mixes = mixes_of(&dir, 4);
    let client = start(&dir, &["client", "@client.toml"]);
    common::fetch(proxy_of(&client), "somebody", server.address, 1, 4 * MIB);
    let cut = fs::read_to_string("/proc/net/snmp6").unwrap();
    let cut = cut.lines().find(|line| line.starts_with("Ip6FragCreates")).unwrap();
    let fragments: u64 = cut.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(fragments > 1000, "a datagram is longer than the line takes: {cut}");
}
