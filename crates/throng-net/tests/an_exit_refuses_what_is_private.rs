//! A stranger does not reach through an exit what only the exit's own network may reach, whatever it is called.
//!
//! In a network namespace that has only loopback, so that nothing can leave even if the refusal fails; and there
//! every address that is asked for is given to loopback, with a server behind it: only the refusal is in the way.
#![allow(clippy::unwrap_used)] // all of it is test

mod common;

use std::net::{IpAddr, TcpListener};
use std::process::Command;

use common::{LIMIT, Network, Plan, namespace, target};
use throng_net::proxy::{Dial, Isolation};
use throng_net::request::{Host, Refusal};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

const PRIVATE: &[&str] = &[
    "127.0.0.1",
    "127.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.254",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::10.0.0.1",
    "64:ff9b::10.0.0.1",
    "2002:a00:1::1",
    "fd00::1",
    "fd00:ec2::254",
    "fe80::1",
    "ff02::1",
];

/// Whether exits of a network in which loopback is allowed refuse this all the same.
const METADATA: &[&str] =
    &["169.254.169.254", "169.254.170.2", "100.100.100.200", "fd00:ec2::254", "::ffff:169.254.169.254"];

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Servers behind every address of this machine, and all addresses that loopback can have.
fn servers() -> (u16, Vec<TcpListener>) {
    for text in PRIVATE {
        let length = if address(text).is_ipv4() { 32 } else { 128 };
        // Some (multicast, unspecified) are not to be had.
        let _ = Command::new("ip")
            .args(["addr", "add", &format!("{text}/{length}"), "dev", "lo", "nodad"])
            .output();
        let _ = Command::new("ip").args(["addr", "add", &format!("{text}/{length}"), "dev", "lo"]).output();
    }
    let v6 = TcpListener::bind("[::]:0").unwrap(); // takes IPv4 as well
    let port = v6.local_addr().unwrap().port();
    let mut all = vec![v6];
    all.extend(TcpListener::bind(("0.0.0.0", port))); // where it does not
    all.iter().for_each(|server| server.set_nonblocking(true).unwrap());
    // They would be heard: without the exit's refusal, the metadata service of this machine answers.
    for text in ["169.254.169.254", "10.0.0.1", "192.168.1.1"] {
        std::net::TcpStream::connect((address(text), port)).unwrap();
    }
    all.iter().for_each(|server| while server.accept().is_ok() {});
    (port, all)
}

/// Where the exit of the tests below stands: addresses of its own and of its links that do not look private.
const NEAR: &[&str] = &["8.8.4.4", "::ffff:8.8.4.4", "8.8.1.1", "8.8.1.77", "2606:4700::7", "2606:4700::77"];
/// What it can reach and is not near: addresses of nobody's interface that lead to this machine all the same.
const FAR: &[&str] = &["8.8.9.9", "9.9.9.9", "2606:4701::1"];

/// A server behind all of them.
fn server_near_and_far() -> (u16, Vec<TcpListener>) {
    for words in [
        "address add 8.8.4.4/32 dev lo",
        "address add 8.8.1.1/24 dev lo",
        "address add 2606:4700::7/128 dev lo nodad",
        "route add local 2606:4700::/64 dev lo",
        "route add local 2606:4701::/64 dev lo",
        "route add local 8.8.9.0/24 dev lo",
        "route add local 9.9.9.0/24 dev lo",
    ] {
        let family = if words.contains("::") { "-6" } else { "-4" };
        let done = Command::new("ip").arg(family).args(words.split_whitespace()).status().unwrap();
        assert!(done.success(), "ip {words}");
    }
    let server = TcpListener::bind("[::]:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let port = server.local_addr().unwrap().port();
    for text in NEAR.iter().chain(FAR) {
        std::net::TcpStream::connect((address(text), port)).unwrap();
        server.accept().unwrap();
    }
    (port, vec![server])
}

async fn refusal(network: &Network, host: &str, port: u16) -> Option<Refusal> {
    let connected = network.client.connect(Isolation::none(), target(host, port));
    timeout(LIMIT, connected).await.expect("an answer, not a hang").err()
}

fn assert_untouched(servers: &[TcpListener], what: &str) {
    assert!(servers.iter().all(|server| server.accept().is_err()), "{what} was connected to");
}

type Names = Vec<(&'static str, Vec<IpAddr>)>;

fn names() -> Names {
    // Every private address by a name of its own, and all of them by one.
    let own = PRIVATE.iter().enumerate().map(|(i, text)| {
        let name: &'static str = Box::leak(format!("private-{i}.example").into_boxed_str());
        (name, vec![address(text)])
    });
    own.chain([("all.example", PRIVATE.iter().map(|text| address(text)).collect())]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_address_and_by_name() {
    if !namespace::inside("by_address_and_by_name", &[]) {
        return;
    }
    let (port, servers) = servers();
    let network = Network::start(Plan { local: false, names: names(), ..Plan::default() });
    let hosts = PRIVATE.iter().map(|text| (*text).to_owned());
    let hosts = hosts.chain(names().into_iter().map(|(name, _)| name.to_owned()));
    let hosts = hosts.chain(["localhost", "any.localhost"].map(str::to_owned));
    for host in hosts {
        for port in [port, 80] {
            let connected = network.client.connect(Isolation::none(), target(&host, port));
            let refusal = timeout(LIMIT, connected).await.expect("a refusal, not a hang").err();
            assert_eq!(refusal, Some(Refusal::Policy), "{host}");
            assert_untouched(&servers, &host);
        }
        // Nor does an exit tell what such names stand for.
        let resolved = network.client.resolve(Isolation::none(), Host::from_text(&host).unwrap());
        let resolved = timeout(LIMIT, resolved).await.expect("a refusal, not a hang");
        assert_eq!(resolved, Err(Refusal::Policy), "{host}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_loopback_is_allowed_the_metadata_service_is_not() {
    if !namespace::inside("where_loopback_is_allowed_the_metadata_service_is_not", &[]) {
        return;
    }
    let (port, servers) = servers();
    let network = Network::start(Plan { local: true, ..Plan::default() });
    for host in METADATA {
        let connected = network.client.connect(Isolation::none(), target(host, port));
        let refusal = timeout(LIMIT, connected).await.expect("a refusal, not a hang").err();
        assert_eq!(refusal, Some(Refusal::Policy), "{host}");
        assert_untouched(&servers, host);
    }
    // The control: the servers are there, and the exit reaches what it may reach.
    for host in ["127.0.0.1", "::1", "10.0.0.1", "localhost"] {
        let connected = network.client.connect(Isolation::none(), target(host, port));
        let mut stream = timeout(LIMIT, connected).await.expect("a connection, not a hang").unwrap();
        stream.shutdown().await.unwrap();
        assert!(servers.iter().any(|server| server.accept().is_ok()), "{host}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_own_addresses_and_its_links_are_refused_however_global_they_look() {
    if !namespace::inside("its_own_addresses_and_its_links_are_refused_however_global_they_look", &[]) {
        return;
    }
    let (port, server) = server_near_and_far();
    let names: Names = vec![("near.example", NEAR.iter().map(|text| address(text)).collect())];
    let network = Network::start(Plan { local: false, names, ..Plan::default() });
    for host in NEAR.iter().chain(&["near.example"]) {
        assert_eq!(refusal(&network, host, port).await, Some(Refusal::Policy), "{host}");
        assert_untouched(&server, host);
    }
    for host in FAR {
        assert_eq!(refusal(&network, host, port).await, None, "{host}");
        assert!(server[0].accept().is_ok(), "{host}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_its_operator_denies_is_refused_even_where_private_addresses_are_allowed() {
    if !namespace::inside("what_its_operator_denies_is_refused_even_where_private_addresses_are_allowed", &[])
    {
        return;
    }
    let (port, server) = server_near_and_far();
    for local in [false, true] {
        let denied = ["9.9.9.0/24", "8.8.4.4", "2606:4701::/32"].map(|text| text.parse().unwrap()).to_vec();
        let network = Network::start(Plan { local, denied, ..Plan::default() });
        for host in ["9.9.9.9", "::ffff:9.9.9.9", "8.8.4.4", "2606:4701::1"] {
            assert_eq!(refusal(&network, host, port).await, Some(Refusal::Policy), "{host}");
            assert_untouched(&server, host);
        }
        assert_eq!(refusal(&network, "8.8.9.9", port).await, None);
        assert!(server[0].accept().is_ok());
        assert_eq!(refusal(&network, "8.8.1.1", port).await, (!local).then_some(Refusal::Policy));
        assert_eq!(server[0].accept().is_ok(), local, "with private addresses, its own are allowed");
    }
}
