//! What goes through the network comes out as it was, however much it is and whichever way it goes.

mod common;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::mpsc;

use common::noise::{self, MIB, Print};
use common::{LIMIT, Server, Up, connect, order, throng};
use throng_net::clock::Clock;

#[test]
fn a_download_of_256_mebibytes() {
    const LENGTH: u64 = 256 * MIB;
    let seed = noise::seed();
    let (tell, told) = mpsc::channel();
    let server = Server::start(move |mut stream| {
        let sent = noise::pour(seed, LENGTH, &mut stream);
        let _ = tell.send(sent.map_err(|error| error.to_string()));
    });
    let up = Up::start();
    let clock = Clock::start();
    let begin = clock.now();
    let mut stream = connect(up.proxy, "", "localhost", server.address.port()).unwrap();
    let got = noise::drink(&mut stream).unwrap();
    eprintln!("down: {}", noise::speed(LENGTH, clock.now() - begin));
    let sent = told.recv_timeout(LIMIT).unwrap().unwrap();
    assert_eq!(sent.length, LENGTH);
    assert_eq!(got, sent);
}

#[test]
fn an_upload_of_32_mebibytes() {
    const LENGTH: u64 = 32 * MIB;
    let seed = noise::seed();
    let (tell, told) = mpsc::channel();
    let server = Server::start(move |mut stream| {
        let got = noise::drink(&mut stream);
        let _ = tell.send(got.map_err(|error| error.to_string()));
    });
    let up = Up::start();
    let clock = Clock::start();
    let begin = clock.now();
    let mut stream = connect(up.proxy, "", "localhost", server.address.port()).unwrap();
    let sent = noise::pour(seed, LENGTH, &mut stream).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let got: Print = told.recv_timeout(LIMIT).unwrap().unwrap();
    eprintln!("up: {}", noise::speed(LENGTH, clock.now() - begin));
    assert_eq!(got, sent);
    assert_eq!(noise::drink(&mut stream).unwrap().length, 0, "the server said nothing");
}

#[test]
fn a_download_through_mixes_that_reorder() {
    let seed = noise::seed();
    let server = Server::of_noise();
    let up = Up::start_with(&mut throng(&["up", "--port", "0", "--json", "--mixing", "batch=5ms"]));
    let clock = Clock::start();
    let begin = clock.now();
    let got = common::fetch(up.proxy, "", server.address, seed, 16 * MIB);
    eprintln!("down: {}", noise::speed(16 * MIB, clock.now() - begin));
    assert_eq!(got, noise::pour(seed, 16 * MIB, &mut std::io::sink()).unwrap());
}

#[test]
fn who_has_said_everything_still_hears_the_answer() {
    let seed = noise::seed();
    let server = Server::start(|mut stream| {
        // The answer depends on all of the question, so it cannot begin before its end is seen.
        let Ok(asked) = noise::drink(&mut stream) else { return };
        let _ = stream.write_all(&asked.hash);
        let _ = noise::pour(asked.length, MIB, &mut stream);
    });
    let up = Up::start();
    for length in [0, 1, 100_000] {
        let mut stream = connect(up.proxy, "", "localhost", server.address.port()).unwrap();
        let sent = noise::pour(seed, length, &mut stream).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut hash = [0; 32];
        stream.read_exact(&mut hash).unwrap();
        assert_eq!(hash, sent.hash, "{length} bytes");
        let expected = noise::pour(length, MIB, &mut std::io::sink()).unwrap();
        assert_eq!(noise::drink(&mut stream).unwrap(), expected);
    }
}

#[test]
fn a_connection_that_breaks_does_not_look_complete() {
    let server = Server::start(|mut stream| {
        let mut order = [0; 16];
        let _ = stream.read_exact(&mut order);
        let _ = noise::pour(1, 100_000, &mut stream);
        // Closing with unread bytes makes the kernel send a reset; wait until there are some.
        let _ = stream.peek(&mut [0]);
    });
    let up = Up::start();
    let mut stream = connect(up.proxy, "", "localhost", server.address.port()).unwrap();
    stream.write_all(&order(1, 1)).unwrap();
    let mut some = vec![0; 100_000];
    stream.read_exact(&mut some).unwrap();
    stream.write_all(b"unread").unwrap();
    let end = noise::drink(&mut stream);
    assert!(end.is_err(), "the far end reset the connection, and we saw {end:?}");
}
