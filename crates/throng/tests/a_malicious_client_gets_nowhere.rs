//! Whatever an application sends: it is answered or closed, and everybody else is served as before.
#![allow(clippy::unwrap_used)] // all of it is test

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use common::noise::{self, Noise};
use common::{Server, Up, bound};
use throng_net::clock::Clock;
use throng_net::proxy::{HANDSHAKE_TIME_S, HTTP_HEADER_MAX_BYTES};

/// The network still does what it is for.
fn assert_serves(up: &mut Up) {
    let server = Server::of_noise();
    let got = common::fetch(up.proxy, "somebody", server.address, 7, 100_000);
    assert_eq!(got, noise::pour(7, 100_000, &mut std::io::sink()).unwrap());
    assert!(up.program.lives());
}

fn open(up: &Up) -> TcpStream {
    let stream = TcpStream::connect(up.proxy).unwrap();
    bound(&stream);
    stream
}

/// What the proxy still says before it closes; a reset closes as well. Fails at the limit, if it does not close.
fn last_words(stream: &mut TcpStream) -> Vec<u8> {
    let mut words = Vec::new();
    match stream.read_to_end(&mut words) {
        Err(error)
            if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
        {
            panic!("the proxy keeps a connection open that it should close")
        }
        _ => words,
    }
}

#[test]
fn garbage_is_closed() {
    let mut noise = Noise::new(noise::seed());
    let mut up = Up::start();
    // Every first byte, so that every door gets its share, and the doors of SOCKS a larger one.
    let firsts = (0..=255).chain([4; 100]).chain([5; 100]);
    for first in firsts {
        let length = noise.below(2000) as usize;
        let mut garbage = noise.bytes(length);
        garbage.insert(0, first);
        let mut stream = open(&up);
        // It may close before it has heard everything.
        let _ = stream.write_all(&garbage);
        let _ = stream.shutdown(Shutdown::Write);
        last_words(&mut stream);
    }
    assert_serves(&mut up);
}

#[test]
fn who_falls_silent_is_closed() {
    let mut up = Up::start();
    let beginnings: [&[u8]; 7] = [
        b"",
        b"\x04",
        b"\x05",
        b"\x05\x01\x00\x05\x01\x00\x03\xff",
        b"\x05\x01\x02\x01\x04user",
        b"G",
        b"GET http://localhost/ HTTP/1.1\r\nHost: local",
    ];
    let clock = Clock::start();
    thread::scope(|scope| {
        for beginning in beginnings {
            let mut stream = open(&up);
            scope.spawn(move || {
                let begin = clock.now();
                stream.write_all(beginning).unwrap();
                last_words(&mut stream);
                let took = clock.now() - begin;
                eprintln!("closed {took:.1?} after {:?}", String::from_utf8_lossy(beginning));
                assert!(took.as_secs() >= HANDSHAKE_TIME_S - 1, "slow is not yet malicious");
            });
        }
    });
    assert_serves(&mut up);
}

#[test]
fn who_drips_is_closed_as_well() {
    let mut up = Up::start();
    thread::scope(|scope| {
        for beginning in [&b"\x04\x01\x00\x50\x00\x00\x00\x01"[..], b"GET http://localhost/ HTTP/1.1\r\nA: "]
        {
            let (up, clock) = (&up, Clock::start());
            scope.spawn(move || {
                let (mut stream, begin) = (open(up), clock.now());
                stream.write_all(beginning).unwrap();
                stream.set_read_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
                // A byte now and then: each is progress, and none of them ends the handshake's time.
                loop {
                    assert!(clock.now() - begin < common::LIMIT, "{beginning:?} keeps a connection for ever");
                    if stream.write_all(b"a").is_err() {
                        return;
                    }
                    match stream.read(&mut [0; 512]) {
                        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                        _ => return,
                    }
                }
            });
        }
    });
    assert_serves(&mut up);
}

#[test]
fn what_is_too_long_is_refused() {
    let mut up = Up::start();
    let long = vec![b'a'; 4 * HTTP_HEADER_MAX_BYTES];
    let oversize: [(&[u8], &str); 5] = [
        (b"GET http://localhost/ HTTP/1.1\r\nA: ", "HTTP/1.1 431"),
        (b"GET http://localhost/", "HTTP/1.1 4"),
        (b"GET", ""),
        (b"\x04\x01\x00\x50\x7f\x00\x00\x01", "\0\x5b"),
        (b"\x04\x01\x00\x50\x00\x00\x00\x01user\0", "\0\x5b"),
    ];
    for (beginning, answer) in oversize {
        let mut stream = open(&up);
        let _ = stream.write_all(beginning).and_then(|()| stream.write_all(&long));
        let words = String::from_utf8_lossy(&last_words(&mut stream)).into_owned();
        let shown = String::from_utf8_lossy(beginning);
        // A reset may have overtaken the answer; but it is never another one.
        assert!(words.is_empty() || words.starts_with(answer), "{shown:?}: {words:?}");
        eprintln!("{shown:?}: {:?}", words.lines().next());
    }
    assert_serves(&mut up);
}

#[test]
fn nine_hundred_silent_connections_keep_nobody_out() {
    let mut up = Up::start();
    let silent: Vec<TcpStream> = (0..900).map(|_| open(&up)).collect();
    assert_serves(&mut up);
    drop(silent);
    assert_serves(&mut up);
}
