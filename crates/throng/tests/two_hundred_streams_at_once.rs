//! Many streams through one proxy do not mix up, and one that stands still does not hold up the others.

mod common;

use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use common::noise::{self, MIB};
use common::{LIMIT, Server, Up, connect, order, order_from, wait_until};

const STREAMS: u64 = 200;
const USERS: u64 = 10;

#[test]
fn two_hundred_streams_each_get_their_own() {
    let seed = noise::seed();
    let all_here = Arc::new(Barrier::new(STREAMS as usize));
    let server = {
        let all_here = Arc::clone(&all_here);
        Server::start(move |mut stream| {
            let mut order = [0; 16];
            if stream.read_exact(&mut order).is_ok() {
                all_here.wait(); // nobody gets a byte before everybody has asked: they are open at once
                let (seed, length) = order_from(&order);
                let _ = noise::pour(seed, length, &mut stream);
            }
        })
    };
    let up = Up::start();
    thread::scope(|scope| {
        for number in 0..STREAMS {
            let (server, up) = (&server, &up);
            scope.spawn(move || {
                let (seed, length) = (seed.wrapping_add(number), 20_000 + number * 1000);
                let user = format!("user-{}", number % USERS);
                let got = common::fetch(up.proxy, &user, server.address, seed, length);
                let expected = noise::pour(seed, length, &mut std::io::sink()).unwrap();
                assert_eq!(got, expected, "stream {number} of {user}");
            });
        }
    });
    assert_eq!(server.accepted(), STREAMS as usize);
}

#[test]
fn a_reader_that_does_not_read_stalls_nobody() {
    const LENGTH: u64 = 64 * MIB;
    let seed = noise::seed();
    let sent = Arc::new(AtomicU64::new(0));
    let slow = {
        let sent = Arc::clone(&sent);
        Server::start(move |stream| {
            let _ = noise::pour(seed, LENGTH, &mut Counted(stream, &sent));
        })
    };
    let brisk = Server::of_noise();
    let up = Up::start();
    let mut unread = connect(up.proxy, "somebody", "localhost", slow.address.port()).unwrap();
    // It fills every buffer on its way; from then on it would hold up whatever shares a queue with it.
    wait_until("the unread stream flows", LIMIT, || sent.load(Ordering::SeqCst) > MIB);

    // With the same credentials, so that these may well share its circuit.
    let fetch = |number: u64, length| {
        let got = common::fetch(up.proxy, "somebody", brisk.address, number, length);
        assert_eq!(got, noise::pour(number, length, &mut std::io::sink()).unwrap());
    };
    fetch(0, 16 * MIB);
    thread::scope(|scope| (1..=20).for_each(|number| drop(scope.spawn(move || fetch(number, MIB)))));

    let waiting = LENGTH - sent.load(Ordering::SeqCst);
    eprintln!("the unread stream still has {:.1} MiB to send", waiting as f64 / MIB as f64);
    assert!(waiting > LENGTH / 2, "what nobody reads is kept at its source, not in between");

    // And it has only been waiting.
    assert_eq!(noise::drink(&mut unread).unwrap(), noise::pour(seed, LENGTH, &mut std::io::sink()).unwrap());
}

#[test]
fn a_writer_whom_nobody_reads_stalls_nobody() {
    let deaf = Server::start(|stream| {
        // Reads nothing, until the test is over.
        thread::park_timeout(LIMIT);
        drop(stream);
    });
    let brisk = Server::of_noise();
    let up = Up::start();
    let mut unheard = connect(up.proxy, "somebody", "localhost", deaf.address.port()).unwrap();
    let written = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&written);
    thread::spawn(move || {
        let _ = noise::pour(1, 256 * MIB, &mut Counted(&mut unheard, &counted));
    });
    wait_until("the unheard stream flows", LIMIT, || written.load(Ordering::SeqCst) > MIB);
    for number in 0..10 {
        let got = common::fetch(up.proxy, "somebody", brisk.address, number, MIB);
        assert_eq!(got, noise::pour(number, MIB, &mut std::io::sink()).unwrap());
        // The other way, past the stream that is stuck in it.
        let mut stream = connect(up.proxy, "somebody", "localhost", brisk.address.port()).unwrap();
        stream.write_all(&order(number, 10)).unwrap();
        assert_eq!(noise::drink(&mut stream).unwrap().length, 10);
    }
    assert!(written.load(Ordering::SeqCst) < 128 * MIB, "what nobody reads is kept at its source");
}

/// Counts what was written.
struct Counted<'a, W>(W, &'a AtomicU64);

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let length = self.0.write(bytes)?;
        self.1.fetch_add(length as u64, Ordering::SeqCst);
        Ok(length)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}
