//! `throng up` says what is wrong with what it was asked for, what it does, and ends when it is told to.

mod common;

use std::net::TcpListener;
use std::time::Duration;

use common::{LIMIT, Running, Server, Up, run, throng};
use serde_json::Value;
use throng_net::clock::Clock;

#[test]
fn a_taken_port_is_named_with_the_flag_that_changes_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let (status, out, err) = run(&mut throng(&["up", "--port", &port.to_string()]));
    assert!(!status.success());
    assert!(err.contains(&port.to_string()) && err.contains("--port"), "{err}");
    assert_eq!(out, "");
}

#[test]
fn more_hops_than_mixes_are_refused_with_both_flags_named() {
    let (status, out, err) = run(&mut throng(&["up", "--port", "0", "--hops", "5", "--mixes", "3"]));
    assert!(!status.success());
    assert!(err.contains("--hops 5") && err.contains("--mixes") && err.contains('3'), "{err}");
    assert_eq!(out, "");
}

#[test]
fn nonsense_is_refused_with_its_flag_named() {
    for (flag, value) in [
        ("--mixes", "0"),
        ("--mixes", "255"),
        ("--hops", "0"),
        ("--hops", "9"),
        ("--port", "65536"),
        ("--mixing", "stir"),
    ] {
        let (status, out, err) = run(&mut throng(&["up", flag, value]));
        assert_eq!(status.code(), Some(2), "{flag} {value}: {err}");
        assert!(err.contains(flag) && err.contains(value), "{flag} {value}: {err}");
        assert_eq!(out, "");
    }
}

#[test]
fn it_ends_on_ctrl_c_within_two_seconds_and_frees_the_port() {
    let mut up = Up::start();
    // With something under way, which must not hold it up.
    let server = Server::of_noise();
    let stream = common::connect(up.proxy, "", "localhost", server.address.port()).unwrap();
    assert!(TcpListener::bind(up.proxy).is_err(), "the port is taken while it runs");
    let clock = Clock::start();
    let begin = clock.now();
    up.program.interrupt();
    let status = up.program.end(Duration::from_secs(10));
    let took = clock.now() - begin;
    eprintln!("it ended {took:.2?} after Ctrl-C");
    assert_eq!(status.code(), Some(0));
    assert!(took <= Duration::from_secs(2), "it took {took:?} to end");
    drop(stream);
    // With the address reused, as any server does that starts where another has just ended.
    let again = Up::start_with(&mut throng(&["up", "--json", "--port", &up.proxy.port().to_string()]));
    assert_eq!(again.proxy, up.proxy);
}

#[test]
fn ctrl_c_ends_it_also_before_it_is_ready() {
    let mut program = Running::start(&mut throng(&["up", "--port", "0", "--mixes", "254"]));
    // Its handler is the first thing that it sets up; mixes follow. A moment too early, and the signal's own way
    // to end a process applies: the same for who pressed the keys.
    program.interrupt();
    let status = program.end(Duration::from_secs(10));
    use std::os::unix::process::ExitStatusExt;
    assert!(status.code() == Some(0) || status.signal() == Some(2), "{status}");
}

#[test]
fn json_is_one_line_and_nothing_else() {
    let mut up = Up::start();
    assert_eq!(up.report["mixes"].as_array().unwrap().len(), 12);
    assert_eq!(up.report["circuit"].as_array().unwrap().len(), 3);
    let exits =
        up.report["mixes"].as_array().unwrap().iter().filter(|mix| mix["exit_ports"] != "none").count();
    eprintln!("{}", up.report["mixes"][11]);
    assert_eq!(exits, 4);
    let server = Server::of_noise();
    common::fetch(up.proxy, "", server.address, 1, 1000);
    up.program.interrupt();
    assert!(up.program.end(LIMIT).success());
    let said = up.program.out.text();
    assert_eq!(said.matches('\n').count(), 1, "{said}");
    serde_json::from_str::<Value>(&said).unwrap();
    assert_eq!(up.program.err.text(), "", "and nothing to complain about");
}

#[test]
fn people_are_told_what_to_type_and_what_it_is_not() {
    let program = Running::start(&mut throng(&["up", "--port", "0"]));
    let text = program.out.wait("the end of what it says", |bytes, _| {
        let text = String::from_utf8_lossy(bytes);
        text.contains("Ctrl-C ends it.").then(|| text.into_owned())
    });
    assert!(text.contains("curl --proxy socks5h://127.0.0.1:"), "{text}");
    assert!(text.contains("hides nothing from anyone outside"), "{text}");
    for number in 1..=12 {
        assert!(text.contains(&format!("mix-{number} ")), "{text}");
    }
}

#[test]
fn any_length_of_circuit_and_both_ways_of_mixing_carry_data() {
    for options in [&["--hops", "1", "--mixes", "1"][..], &["--hops", "8"], &["--mixing", "batch=5ms"]] {
        let up = Up::start_with(throng(&["up", "--port", "0", "--json"]).args(options));
        let server = Server::of_noise();
        let got = common::fetch(up.proxy, "", server.address, 3, 1_000_000);
        assert_eq!(got.length, 1_000_000, "{options:?}");
    }
}
