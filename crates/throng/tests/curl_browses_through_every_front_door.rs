//! SOCKS5 with names resolved there or here, SOCKS4a, HTTP and CONNECT: all on one port, all for a real client.

mod common;

use std::io::Write;
use std::process::Command;

use common::noise::{self, Noise};
use common::{Answer, RESOLVE, Server, UDP_ASSOCIATE, Up, closed_port, connect, needs, run, socks5};

/// Status of curl, what it printed, what it complained about. (`-f` is not set: bodies of failures are wanted.)
fn curl(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "60", "--noproxy", ""]).args(arguments);
    for variable in ["http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env_remove(variable);
    }
    let (status, out, err) = run(&mut command);
    (status.code(), out, err)
}

/// A page with a text of its own for every path, and what the server learned about who asks.
fn site(seed: u64) -> Server {
    Server::web(move |asked| Answer {
        status: 200,
        kind: "text/plain",
        body: page(seed, asked.path()).into_bytes(),
    })
}

fn page(seed: u64, path: &str) -> String {
    let mut noise = Noise::new(seed ^ path.len() as u64);
    let words: String = (0..5000).map(|_| format!("{:016x} ", noise.number())).collect();
    format!("{path}\n{words}")
}

#[test]
fn every_kind_of_proxy_brings_the_page() {
    if !needs("curl", "every_kind_of_proxy_brings_the_page") {
        return;
    }
    let seed = noise::seed();
    let site = site(seed);
    let up = Up::start();
    let (proxy, port) = (up.proxy, site.address.port());
    let doors: &[&[&str]] = &[
        &["--proxy", &format!("socks5h://{proxy}")],
        &["--proxy", &format!("socks5://{proxy}")],
        &["--proxy", &format!("socks4a://{proxy}")],
        &["--proxy", &format!("socks4://{proxy}")],
        &["--proxy", &format!("http://{proxy}")],
        &["--proxy", &format!("http://{proxy}"), "--proxytunnel"],
        &["--proxy", &format!("socks5h://{proxy}"), "--proxy-user", "somebody:secret"],
        &["--proxy", &format!("socks5h://{proxy}"), "--proxy-user", "somebody-else:secret"],
        &["--proxy", &format!("http://{proxy}"), "--proxy-user", "somebody:secret"],
    ];
    let mut asked = 0;
    for host in ["127.0.0.1", "localhost"] {
        for door in doors {
            let path = format!("/{asked}-for-{host}");
            let (status, out, err) =
                curl(&[door, &[format!("http://{host}:{port}{path}").as_str()][..]].concat());
            asked += 1;
            assert_eq!(status, Some(0), "{host} {door:?}: {err}");
            assert_eq!(out, page(seed, &path), "{host} {door:?}");
        }
    }
    assert_eq!(site.accepted(), asked);
}

#[test]
fn a_name_that_only_the_exit_can_resolve_is_resolved_there() {
    if !needs("curl", "a_name_that_only_the_exit_can_resolve_is_resolved_there") {
        return;
    }
    let seed = noise::seed();
    let site = site(seed);
    let up = Up::start();
    // An exit takes whatever ends in .localhost for its loopback; for this machine's resolver curl is told that
    // the name is somewhere else, so that an answer can only come by way of the exit's.
    let url = format!("http://only.the.exit.localhost:{}/page", site.address.port());
    let elsewhere = format!("only.the.exit.localhost:{}:192.0.2.1", site.address.port());
    for kind in ["socks5h", "socks4a", "http"] {
        let (status, out, err) =
            curl(&["--resolve", &elsewhere, "--proxy", &format!("{kind}://{}", up.proxy), &url]);
        assert_eq!(status, Some(0), "{kind}: {err}");
        assert_eq!(out, page(seed, "/page"), "{kind}");
    }
}

#[test]
fn nothing_of_the_proxy_reaches_the_server() {
    if !needs("curl", "nothing_of_the_proxy_reaches_the_server") {
        return;
    }
    let mirror = Server::web(|asked| {
        let headers: String =
            asked.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        Answer { status: 200, kind: "text/plain", body: format!("{}\n{headers}", asked.line).into_bytes() }
    });
    let up = Up::start();
    let url = format!("http://localhost:{}/path?query", mirror.address.port());
    let socks = format!("socks5h://{}", up.proxy);
    let http = format!("http://{}", up.proxy);
    let (_, by_socks, _) = curl(&["--proxy", &socks, &url]);
    let (_, by_http, _) = curl(&["--proxy", &http, "--proxy-user", "somebody:secret", &url]);
    assert!(by_socks.starts_with("GET /path?query HTTP/1.1\n"), "{by_socks}");
    assert_eq!(by_socks, by_http, "a plain proxied request looks like a direct one");
}

#[test]
fn a_refused_connection_is_told_as_such() {
    if !needs("curl", "a_refused_connection_is_told_as_such") {
        return;
    }
    let up = Up::start();
    let port = closed_port();
    let url = format!("http://localhost:{port}/");
    let proxy = |kind: &str| format!("{kind}://{}", up.proxy);

    assert_eq!(connect(up.proxy, "", "localhost", port).unwrap_err(), 5, "RFC 1928: connection refused");
    let (status, _, err) = curl(&["--proxy", &proxy("socks5h"), &url]);
    assert_eq!(status, Some(97), "{err}");
    assert!(err.contains("(5)"), "{err}");
    let (status, _, err) = curl(&["--proxy", &proxy("socks4a"), &url]);
    assert_eq!(status, Some(97), "{err}");
    assert!(err.contains("91"), "request rejected or failed: {err}");

    let (status, out, err) = curl(&["--proxy", &proxy("http"), "--write-out", "%{http_code}", &url]);
    assert_eq!(status, Some(0), "{err}");
    assert_eq!(out, "The other side refused the connection.\n502");
    let (status, out, err) =
        curl(&["--proxy", &proxy("http"), "--proxytunnel", "--write-out", "%{http_connect}", &url]);
    assert_eq!(status, Some(56), "{err}");
    assert_eq!(out, "502", "{err}");
}

#[test]
fn a_name_is_resolved_for_who_asks_for_nothing_else() {
    let up = Up::start();
    let (_, reply, address) = socks5(up.proxy, "", RESOLVE, "localhost", 0);
    assert_eq!((reply, address.to_string().as_str()), (0, "127.0.0.1"));
}

#[test]
fn udp_is_declined_at_once() {
    let up = Up::start();
    let (_, reply, _) = socks5(up.proxy, "", UDP_ASSOCIATE, "localhost", 0);
    assert_eq!(reply, 7, "RFC 1928: command not supported");
}

#[test]
fn what_is_said_before_the_answer_is_not_lost() {
    let seed = noise::seed();
    let site = site(seed);
    let up = Up::start();
    let mut stream = std::net::TcpStream::connect(up.proxy).unwrap();
    common::bound(&stream);
    // Greeting, request and data in one go, as an application in a hurry sends them.
    let host = b"localhost";
    let request =
        [&[5, 1, 0, 5, 1, 0, 3, host.len() as u8], &host[..], &site.address.port().to_be_bytes()].concat();
    stream.write_all(&[&request[..], b"GET /early HTTP/1.1\r\nHost: localhost\r\n\r\n"].concat()).unwrap();
    let mut got = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut got).unwrap();
    assert_eq!(got[..2], [5, 0]);
    assert_eq!(got[2..4], [5, 0]);
    assert!(String::from_utf8_lossy(&got).ends_with(&page(seed, "/early")));
}
