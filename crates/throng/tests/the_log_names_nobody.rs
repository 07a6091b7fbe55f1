//! However much is logged: who went where, and who carried it, is not in it.
#![allow(clippy::unwrap_used)] // all of it is test

mod common;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use common::namespace;
use common::{RESOLVE, Running, Server, Up, closed_port, connect, socks5, throng};

/// Addresses of either kind that stand in a text.
fn addresses(text: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for run in text.split(|c: char| !(c.is_ascii_digit() || c == '.')) {
        found.extend(run.trim_matches('.').parse::<Ipv4Addr>().map(IpAddr::V4));
    }
    // Rust's paths have colons and letters up to f as well; but no word of them is an address as a whole.
    for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, ':' | '.' | '_'))) {
        let bare = word.trim_end_matches([':', '.']);
        found.extend([word, bare].iter().find_map(|word| word.parse::<Ipv6Addr>().ok()).map(IpAddr::V6));
    }
    found
}

#[test]
fn the_scan_finds_addresses() {
    for text in [
        "from 127.0.0.1:80",
        "a=10.1.2.3, b",
        "[::1]:443",
        "to fd00::17.",
        "(::ffff:10.0.0.1)",
        "2001:db8:0:0:0:0:0:1",
    ] {
        assert!(!addresses(text).is_empty(), "{text}");
    }
    for text in [
        "throng_net::driver",
        "quinn 0.11.12",
        "2026-01-02T03:04:05.678901Z",
        "a::b_c",
        "took 1.5ms",
        "step::cell: x",
    ] {
        assert_eq!(addresses(text), Vec::<IpAddr>::new(), "{text}");
    }
}

/// Streams that work and streams that fail, to hosts with names that nobody else has.
fn make_traffic(up: &Up) {
    let server = Server::of_noise();
    let port = server.address.port();
    for host in ["good-zebra.localhost", "127.0.0.1", "::1", "127.99.98.97"] {
        if let Ok(mut stream) = connect(up.proxy, "user-walrus", host, port) {
            stream.write_all(&common::order(1, 100_000)).unwrap();
            assert_eq!(common::noise::drink(&mut stream).unwrap().length, 100_000);
        }
    }
    for host in
        ["refused-ocelot.localhost", "127.96.95.94", "::1", "203.0.113.77", "2001:db8::77", "169.254.169.254"]
    {
        assert!(connect(up.proxy, "user-walrus", host, closed_port()).is_err());
    }
    // There is no name server in here: this one fails.
    assert!(connect(up.proxy, "user-walrus", "nowhere-badger.example", 80).is_err());
    let (_, reply, _) = socks5(up.proxy, "user-walrus", RESOLVE, "good-zebra.localhost", 0);
    assert_eq!(reply, 0);
    let mut plain = std::net::TcpStream::connect(up.proxy).unwrap();
    common::bound(&plain);
    let url = format!("http://plain-gibbon.localhost:{}/path-lemur", closed_port());
    plain
        .write_all(format!("GET {url} HTTP/1.0\r\nProxy-Authorization: user-walrus\r\n\r\n").as_bytes())
        .unwrap();
    plain.read_to_end(&mut Vec::new()).unwrap();
}

const ANIMALS: [&str; 6] = ["zebra", "walrus", "ocelot", "badger", "gibbon", "lemur"];

fn assert_names_nobody(log: &str) {
    for line in log.lines() {
        let animal = ANIMALS.iter().find(|animal| line.to_lowercase().contains(*animal));
        assert_eq!(animal, None, "{line}");
        assert_eq!(addresses(line), Vec::<IpAddr>::new(), "{line}");
    }
}

#[test]
fn the_whole_log_of_a_run_has_no_address_and_no_name() {
    if !namespace::inside("the_whole_log_of_a_run_has_no_address_and_no_name", &[]) {
        return;
    }
    let mut up = Up::start_with(throng(&["up", "--port", "0", "--json"]).env("THRONG_LOG", "trace"));
    make_traffic(&up);
    up.program.interrupt();
    assert!(up.program.end(common::LIMIT).success());
    let log = up.program.err.text();
    eprintln!("{} lines of log", log.lines().count());
    assert_names_nobody(&log);
}

#[test]
fn whoever_asks_for_the_log_of_a_library_gets_no_address_either() {
    if !namespace::inside("whoever_asks_for_the_log_of_a_library_gets_no_address_either", &[]) {
        return;
    }
    // More particular than what silences them.
    let wanted = "trace,quinn_proto::connection=trace,quinn::connection=trace,hickory_resolver::name_server=trace,\
                  hickory_net::udp=trace,hickory_net::xfer=trace,hickory_proto::rr=trace,hyper::proto=trace,\
                  quinn_proto::endpoint=trace,rustls::client=trace";
    let mut up = Up::start_with(throng(&["up", "--port", "0", "--json"]).env("THRONG_LOG", wanted));
    make_traffic(&up);
    up.program.interrupt();
    assert!(up.program.end(common::LIMIT).success());
    assert_names_nobody(&up.program.err.text());
}

#[test]
fn what_people_are_shown_on_stderr_has_no_address_either() {
    let mut program = Running::start(throng(&["up", "--port", "0"]).env("THRONG_LOG", "trace"));
    program.out.wait("a network that is ready", |bytes, _| {
        String::from_utf8_lossy(bytes).contains("Ctrl-C").then_some(())
    });
    program.interrupt();
    assert!(program.end(common::LIMIT).success());
    assert_names_nobody(&program.err.text());
}
