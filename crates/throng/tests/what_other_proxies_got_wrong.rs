//! Kinds of bug reports of other proxies and networks that never applied here, and would be easy to bring in.
#![allow(clippy::unwrap_used)] // panics are how a test says no

mod common;

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use common::{LIMIT, Server, Up, throng, wait_until};

/// Everything that an application gets for what it says.
fn answer(proxy: SocketAddr, said: &str) -> String {
    let mut app = TcpStream::connect(proxy).unwrap();
    common::bound(&app);
    app.write_all(said.as_bytes()).unwrap();
    let mut all = Vec::new();
    app.read_to_end(&mut all).unwrap();
    String::from_utf8_lossy(&all).into_owned()
}

/// Answers each request of a connection with these bytes, and closes.
fn says(bytes: &'static str) -> Server {
    Server::start(move |mut stream| {
        let mut asked = [0; 4096];
        if stream.read(&mut asked).is_ok_and(|length| length > 0) {
            let _ = stream.write_all(bytes.as_bytes());
        }
    })
}

/// Of go-gost: what is kept alive sends to the host of the request before.
#[test]
fn requests_that_are_pipelined_go_each_to_its_own_host() {
    let up = Up::start();
    let hosts = ["one", "two", "three"].map(|name| {
        Server::web(move |asked| common::Answer {
            status: 200,
            kind: "text/plain",
            body: format!("[{name} {}]", asked.path()).into_bytes(),
        })
    });
    let mut said = String::new();
    let mut expected = Vec::new();
    for number in 0..10 {
        let (at, name) = (number % 3, ["one", "two", "three"][number % 3]);
        let close = if number == 9 { "Connection: close\r\n" } else { "" };
        said += &format!("GET http://{}/{number} HTTP/1.1\r\nHost: x\r\n{close}\r\n", hosts[at].address);
        expected.push(format!("[{name} /{number}]"));
    }
    let all = answer(up.proxy, &said);
    let bodies: Vec<String> =
        all.split('[').skip(1).map(|body| format!("[{}]", body.split(']').next().unwrap())).collect();
    assert_eq!(bodies, expected, "{all}");
}

/// Of linkerd, hyper and carapaceproxy: chunks reach a client that does not know them.
#[test]
fn an_http_1_0_client_gets_no_chunks() {
    let up = Up::start();
    let site =
        says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
    let all = answer(up.proxy, &format!("GET http://{}/ HTTP/1.0\r\n\r\n", site.address));
    assert!(all.starts_with("HTTP/1.") && all.ends_with("\r\n\r\nhello world"), "{all}");
    assert!(!all.to_lowercase().contains("chunked"), "{all}");
}

/// Of hyper: an answer to HEAD gets a length of nought.
#[test]
fn an_answer_to_head_keeps_its_length() {
    let up = Up::start();
    for (length, kept) in [("Content-Length: 1234\r\n", "content-length: 1234"), ("", "")] {
        let site = Server::start(move |mut stream| {
            let _ = stream.read(&mut [0; 4096]);
            let _ = write!(stream, "HTTP/1.1 200 OK\r\n{length}Connection: close\r\n\r\n");
        });
        let head = format!("HEAD http://{}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", site.address);
        let all = answer(up.proxy, &head).to_lowercase();
        assert!(all.starts_with("http/1.1 200") && all.contains(kept), "{all}");
        assert!(!all.contains("content-length: 0"), "{all}");
    }
}

/// Of Nym: a client that goes is not told to the server, which streams for ever.
#[test]
fn a_server_hears_that_its_reader_has_gone() {
    let up = Up::start();
    let gone = Arc::new(AtomicBool::new(false));
    let site = {
        let gone = Arc::clone(&gone);
        Server::start(move |mut stream| {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
            while stream.write_all(b"data: x\n\n").is_ok() {
                std::thread::sleep(Duration::from_millis(20)); // as events come
            }
            gone.store(true, Relaxed);
        })
    };
    let mut app = TcpStream::connect(up.proxy).unwrap();
    common::bound(&app);
    write!(app, "GET http://{}/ HTTP/1.1\r\nHost: x\r\n\r\n", site.address).unwrap();
    app.read_exact(&mut [0; 64]).unwrap();
    drop(app);
    wait_until("the server hears it", LIMIT, || gone.load(Relaxed));
}

/// Of sniproxy, ranch and nanomsg: without descriptors left the listener spins, and does not come back.
#[test]
fn without_descriptors_it_waits_and_is_well_again() {
    let mut command = Command::new("prlimit");
    command.arg("--nofile=80:80").arg(env!("CARGO_BIN_EXE_throng"));
    command.args(["up", "--mixes", "3", "--port", "0", "--json"]).env_remove("THRONG_LOG");
    let up = Up::start_with(&mut command);
    let site = Server::web(|_| common::Answer { status: 200, kind: "text/plain", body: b"well".to_vec() });
    let held: Vec<TcpStream> = (0..200).filter_map(|_| TcpStream::connect(up.proxy).ok()).collect();
    let used = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", up.program.id())).unwrap();
        let after = stat.rsplit_once(')').unwrap().1;
        let ticks: Vec<u64> = after.split_whitespace().skip(11).take(2).map(|n| n.parse().unwrap()).collect();
        ticks.iter().sum::<u64>()
    };
    let before = used();
    std::thread::sleep(Duration::from_secs(2)); // the time in which it would spin
    let ticks = used() - before;
    assert!(ticks < 100, "{ticks} ticks of 200 in two seconds of nothing to do");
    drop(held);
    let get = format!("GET http://{}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", site.address);
    wait_until("it is well again", LIMIT, || {
        let Ok(mut app) = TcpStream::connect(up.proxy) else { return false };
        common::bound(&app);
        let mut all = Vec::new();
        app.write_all(get.as_bytes()).and_then(|()| app.read_to_end(&mut all)).is_ok()
            && all.ends_with(b"well")
    });
}

/// Of several: names with spaces and bytes that are no text.
#[test]
fn a_network_lives_in_a_folder_of_any_name() {
    let dir = tempfile::tempdir().unwrap();
    for name in [&b"with a space"[..], "über".as_bytes(), b"no \xff text"] {
        let home = dir.path().join(OsStr::from_bytes(name));
        let mut init = throng(&["network", "init", "--mixes", "3", "--dir"]);
        let (status, _, err) = common::run(init.arg(&home));
        assert!(status.success(), "{err}");
        let mut sign = throng(&["network", "sign", "--document"]);
        sign.arg(home.join("network.throng")).arg("--roots").arg(home.join("roots.toml"));
        let (status, _, err) = common::run(sign.arg("--key").arg(home.join("operator-1.keys")));
        assert!(status.success(), "{err}");
        assert!(home.join("network.pending").exists());
    }
}
