//! A server that says why, and breaks off: its words arrive, and the end does not look like one.
#![allow(clippy::unwrap_used)] // all of it is test

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use common::Up;

/// What the server says before it breaks off.
const WORDS: &[u8] = b"quota is spent";

#[test]
fn a_servers_last_words_arrive_before_its_reset_and_an_answer_before_the_upload_is_read() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for tcp in listener.incoming() {
            let mut tcp = tcp.unwrap();
            thread::spawn(move || {
                let mut asked = [0; 4];
                tcp.read_exact(&mut asked).unwrap();
                tcp.write_all(WORDS).unwrap();
                // What was not read makes the kernel break the connection off.
                thread::sleep(Duration::from_millis(20));
            });
        }
    });
    let up = Up::start();
    for round in 0..30 {
        let mut stream = common::connect(up.proxy, "somebody", "127.0.0.1", port).unwrap();
        stream.set_read_timeout(Some(common::LIMIT)).unwrap();
        let upload = vec![7; if round % 2 == 0 { 100 } else { 4_000_000 }];
        let mut half = stream.try_clone().unwrap();
        let uploading = thread::spawn(move || half.write_all(&upload));
        let mut got = Vec::new();
        let end = stream.read_to_end(&mut got);
        assert_eq!(got, WORDS, "round {round}, {end:?}");
        if let Err(error) = end {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "round {round}");
        }
        drop(stream);
        let _ = uploading.join().unwrap(); // it may have been refused in the middle
    }
}
