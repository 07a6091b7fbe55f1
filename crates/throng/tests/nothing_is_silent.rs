//! What keeps a network from working is said: once on stderr, in the first lines of `throng status`, and to applications.

#![allow(clippy::unwrap_used)] // panics are how a test says no

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;

use common::static_network::{
    call, mixes_of, network, proxy_of, runs, sign, sign_anew, start, status_of_client,
};
use common::{Running, Server, Up, noise, throng};
use throng_core::Time;
use throng_net::clock::Clock;

/// What the HTTP proxy answers.
fn page(proxy: SocketAddr, server: SocketAddr) -> String {
    let mut stream = TcpStream::connect(proxy).unwrap();
    common::bound(&stream);
    write!(stream, "GET http://{server}/ HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn says(node: &Running, what: &str) {
    node.err.wait(what, |bytes, _| String::from_utf8_lossy(bytes).contains(what).then_some(()));
}

fn times(node: &Running, what: &str) -> usize {
    node.err.text().matches(what).count()
}

#[test]
fn a_document_that_expires_is_told_of_in_time_and_afterwards_also_to_applications() {
    let dir = network(3);
    let path = dir.path().join("network.throng");
    let now = Clock::start().now();
    let from = Time::from_nanos(now.as_nanos() - 100_000_000_000);
    let soon = sign_anew(&dir, &fs::read(&path).unwrap(), from, now + Duration::from_secs(12));
    fs::write(&path, soon).unwrap();
    let server = Server::of_noise();
    let mixes: Vec<_> = (1..=3).map(|i| start(&dir, &["node", &format!("@mix-{i}.toml")])).collect();
    let client = start(&dir, &["client", "@client.toml"]);
    let proxy = proxy_of(&client);
    for node in mixes.iter().chain([&client]) {
        says(
            node,
            "the network document (serial 1) expires within the hour: its operators must sign a newer one",
        );
    }
    assert!(status_of_client(&dir).starts_with("ATTENTION: the network document (serial 1) expires within"));
    for node in mixes.iter().chain([&client]) {
        says(node, "the network document (serial 1) has expired");
    }
    let answer = page(proxy, server.address);
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("the network document has expired"),
        "{answer}"
    );
    assert!(status_of_client(&dir).starts_with("ATTENTION: the network document (serial 1) has expired"));
    assert_eq!((times(&client, "expires within"), times(&client, "has expired")), (1, 1));
}

#[test]
fn a_mix_whose_file_differs_from_the_document_says_so_and_opens_only_what_its_file_names() {
    let dir = network(4);
    let file = dir.path().join("mix-1.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("exit_ports = \"all\"", "exit_ports = \"none\"")).unwrap();
    let server = Server::of_noise();
    let mixes = mixes_of(&dir, 4);
    says(&mixes[0], "differ in `exit_ports` (all there, none here)");
    says(&mixes[0], "ports that the file does not name are refused from now on");
    assert!(!mixes[1].err.text().contains("differ"));
    let client = start(&dir, &["client", "@client.toml"]);
    let proxy = proxy_of(&client);
    // By the document half of all circuits would end at the first mix.
    for seed in 0..10 {
        let expected = noise::pour(seed, 1000, &mut std::io::sink()).unwrap();
        assert_eq!(common::fetch(proxy, &format!("user {seed}"), server.address, seed, 1000), expected);
    }
}

#[test]
fn when_no_exit_answers_that_is_what_is_said() {
    let dir = network(5);
    let server = Server::of_noise();
    let mut mixes = mixes_of(&dir, 5);
    let client = start(&dir, &["client", "@client.toml"]);
    let proxy = proxy_of(&client);
    mixes[..2].iter_mut().for_each(Running::kill);
    says(&client, "no exit answers: circuits come up but for their last hop");
    let answer = page(proxy, server.address);
    let said = "There is no circuit: no exit answers: circuits come up but for their last hop.";
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains(said), "{answer}");
    assert!(
        status_of_client(&dir)
            .starts_with("ATTENTION: no exit answers: circuits come up but for their last hop.")
    );
    // What holds is said no longer than it holds.
    mixes[0] = start(&dir, &["node", "@mix-1.toml"]);
    runs(&mixes[0]);
    common::wait_until("an exit is back, and no notice is left", 3 * common::LIMIT, || {
        !status_of_client(&dir).contains("ATTENTION")
    });
}

#[test]
fn a_spent_budget_for_cover_is_told_of() {
    let arguments = [
        "up",
        "--mixes",
        "3",
        "--cover",
        "user-link",
        "--rate",
        "10mbps",
        "--cover-mb-per-day",
        "1",
        "--port",
        "0",
    ];
    let up = Up::start_with(&mut throng(&[&arguments[..], &["--status-port", "0", "--json"]].concat()));
    says(&up.program, "cover has ended for today: 1 MB are spent");
    let status = common::run(&mut throng(&["status", "--at", up.report["status"].as_str().unwrap()])).1;
    assert!(status.starts_with("ATTENTION: cover has ended for today: 1 MB are spent"), "{status}");
    assert!(status.contains("(it rests now)") && status.contains("Why it is low: cover rests"), "{status}");
}

#[test]
fn a_state_file_that_another_client_uses_is_refused() {
    let dir = network(3);
    let _mixes = mixes_of(&dir, 3);
    let mut client = start(&dir, &["client", "@client.toml"]);
    proxy_of(&client);
    let (ok, err) = call(&dir, &["client", "@client.toml"]);
    assert!(!ok && err.contains("another client uses") && err.contains("client.state"), "{err}");
    // However a client ends, the next one may.
    client.kill();
    proxy_of(&start(&dir, &["client", "@client.toml"]));
}

#[test]
fn a_document_file_that_was_spoilt_is_put_right_while_the_mix_runs() {
    let dir = network(3);
    let path = dir.path().join("network.throng");
    let mix = start(&dir, &["node", "@mix-1.toml"]);
    runs(&mix);
    fs::write(&path, "garbage").unwrap();
    says(&mix, "it is damaged, or no network document; the previous document stays in force");
    common::wait_until("it is replaced", common::LIMIT, || fs::read(&path).unwrap() != b"garbage");
    runs(&start(&dir, &["node", "@mix-2.toml"]));
    assert_eq!(fs::read_to_string(dir.path().join("network.throng.refused")).unwrap(), "garbage");
}

#[test]
fn that_a_file_differs_is_said_until_the_operators_have_signed_it() {
    let dir = network(3);
    let file = dir.path().join("mix-1.toml");
    let port = common::closed_port();
    let text = fs::read_to_string(&file).unwrap().replace("capacity_kbps = 100000", "capacity_kbps = 200000");
    fs::write(&file, format!("status = \"127.0.0.1:{port}\"\n{text}")).unwrap();
    let mix = start(&dir, &["node", "@mix-1.toml"]);
    runs(&mix);
    says(&mix, "differ in `capacity_kbps` (100000 there, 200000 here)");
    assert!(!mix.err.text().contains("are refused"), "it says nothing of ports");
    let at = format!("127.0.0.1:{port}");
    let status = || common::run(&mut throng(&["status", "--at", &at])).1;
    assert!(status().contains("differ in `capacity_kbps`"));
    assert!(call(&dir, &["node", "@mix-1.toml", "--record", "@mix-1.record"]).0);
    let record = dir.path().join("mix-1.record").display().to_string();
    assert!(sign(&dir, "@operator-1.keys", &["--record", &record]).0);
    assert!(sign(&dir, "@operator-2.keys", &[]).0);
    common::wait_until("the notice ends", common::LIMIT, || !status().contains("differ"));
}

/// A log that was rotated away, a terminal that was closed, a full disk.
#[test]
fn a_client_that_nobody_can_hear_goes_on() {
    let dir = network(4);
    let server = Server::of_noise();
    let mut mixes = mixes_of(&dir, 4);
    let place = |name: &str| dir.path().join(name).display().to_string();
    let port = common::closed_port();
    let text = fs::read_to_string(place("client.toml")).unwrap();
    fs::write(place("client.toml"), text.replace("127.0.0.1:0", &format!("127.0.0.1:{port}"))).unwrap();
    let proxy = SocketAddr::from(([127, 0, 0, 1], port));
    let mut client =
        Client(throng(&["client", &place("client.toml")]).stderr(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    let mut err = BufReader::new(client.0.stderr.take().unwrap());
    while !line.contains("proxy on") {
        line.clear();
        err.read_line(&mut line).unwrap();
    }
    drop(err);
    mixes[..2].iter_mut().for_each(Running::kill);
    common::wait_until("it would say so", common::LIMIT, || {
        page(proxy, server.address).starts_with("HTTP/1.1 503")
    });
    common::wait_until("and has tried to", common::LIMIT, || status_of_client(&dir).starts_with("ATTENTION"));
    for i in 1..=2 {
        mixes[i - 1] = start(&dir, &["node", &format!("@mix-{i}.toml")]);
        runs(&mixes[i - 1]);
    }
    let (host, to) = (server.address.ip().to_string(), server.address.port());
    common::wait_until("streams open again", 3 * common::LIMIT, || {
        common::connect(proxy, "somebody", &host, to).is_ok()
    });
    assert!(client.0.try_wait().unwrap().is_none(), "it still runs");
}

/// Killed with the test.
struct Client(Child);

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
