//! Tunnels and some mobile lines take packets of 1280 bytes at most; our datagrams are longer with their headers.
#![allow(clippy::unwrap_used)] // all of it is test

mod common;

use std::process::Command;

use common::noise::MIB;
use common::{Server, Up, namespace};

#[test]
fn a_line_of_1280_bytes_carries_circuits_and_loads() {
    if !namespace::inside("a_line_of_1280_bytes_carries_circuits_and_loads", &[]) {
        return;
    }
    let narrowed = Command::new("ip").args(["link", "set", "lo", "mtu", "1280"]).status().unwrap();
    assert!(narrowed.success(), "{narrowed}");
    let server = Server::of_noise();
    let up = Up::start();
    common::fetch(up.proxy, "somebody", server.address, 1, 4 * MIB);
}
