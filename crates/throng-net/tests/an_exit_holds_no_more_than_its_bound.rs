//! Circuits that send to targets that do not read fill what an exit may hold, and no more; others still get their answers.
#![allow(clippy::unwrap_used)] // all of it is test

mod common;

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use common::noise::{self, MIB, Printer};
use common::{LIMIT, Network, Plan, deaf, target};
use throng_net::client::{CircuitStream, Client};
use throng_net::pipe::memory::MemoryTerms;
use throng_net::proxy::{Dial, Isolation};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

const MEMORY: MemoryTerms = MemoryTerms { bytes_max: 4 * MIB, circuits_max: 32, ..MemoryTerms::EXIT };
/// With a window of its own for each stream they would leave the exit with ten times as much.
const GREEDY: usize = 5;
const STREAMS: usize = 8;
/// What is under way elsewhere: in buffers for copying, and with the clients that do not get rid of it.
const ELSEWHERE: u64 = 8 * MIB;
const ANSWER: u64 = MIB / 2;

/// What lies in the kernel on its way to the server at `port`, in bytes; all of it, where it does not say.
fn in_the_kernel(port: u16) -> u64 {
    let Ok(table) = std::fs::read_to_string("/proc/net/tcp") else { return u64::MAX };
    let port = format!(":{port:04X}");
    let queues = table.lines().filter_map(|line| {
        let [_, near, far, _, queues] = line.split_whitespace().collect::<Vec<_>>()[..5] else { return None };
        let (sent, received) = queues.split_once(':')?;
        let queue = if near.ends_with(&port) { received } else { sent };
        let ours = near.ends_with(&port) || far.ends_with(&port);
        ours.then(|| u64::from_str_radix(queue, 16).unwrap())
    });
    queues.sum()
}

/// Answers everybody with noise.
fn brisk() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || noise::pour(1, ANSWER, &mut stream));
        }
    });
    port
}

async fn connect(client: &Client, port: u16) -> CircuitStream {
    let connected = client.connect(Isolation::none(), target("127.0.0.1", port));
    timeout(LIMIT, connected).await.expect("a connection, not a hang").unwrap()
}

/// Sends as long as anybody takes it.
async fn pour(mut stream: CircuitStream, written: Arc<AtomicU64>) {
    let piece = vec![1; 16 * 1024];
    while let Ok(length) = stream.write(&piece).await {
        written.fetch_add(length as u64, Ordering::Relaxed);
    }
}

async fn answer(client: &Client, port: u16) {
    let mut stream = connect(client, port).await;
    let (mut printer, mut piece) = (Printer::default(), vec![0; 64 * 1024]);
    loop {
        match timeout(LIMIT, stream.read(&mut piece)).await.expect("an answer, not a hang").unwrap() {
            0 => break,
            length => printer.see(&piece[..length]),
        }
    }
    assert_eq!(printer.done(), noise::pour(1, ANSWER, &mut std::io::sink()).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_that_do_not_read_cost_an_exit_its_bound_at_most() {
    let (_deaf, deaf) = deaf();
    let brisk = brisk();
    let network = Network::start(Plan { exits: 1, memory: MEMORY, ..Plan::default() });
    let memory = Arc::clone(&network.memories[0]);
    let written = Arc::new(AtomicU64::new(0));
    let greedy: Vec<_> = (0..GREEDY).map(|_| network.another_client()).collect();
    let mut streams = Vec::new();
    for (client, _) in &greedy {
        for _ in 0..STREAMS {
            streams.push(connect(client, deaf).await);
        }
    }
    for stream in streams {
        tokio::spawn(pour(stream, Arc::clone(&written)));
    }
    let mut most = 0;
    let sees = || memory.promised();
    timeout(LIMIT, async {
        // More than the exit may hold has been sent, and there it stays.
        while written.load(Ordering::Relaxed) < 2 * MEMORY.bytes_max || sees() < MEMORY.bytes_max / 2 {
            most = most.max(sees());
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("they fill it");
    for _ in 0..20 {
        answer(&network.client, brisk).await;
        most = most.max(memory.promised());
    }
    let kernel = in_the_kernel(deaf);
    let held = written.load(Ordering::Relaxed).saturating_sub(kernel);
    eprintln!("{held} bytes are held, and {kernel} in the kernel; at most {most} promised");
    assert!(most <= MEMORY.bytes_max, "{most}");
    assert!(held < MEMORY.bytes_max + ELSEWHERE, "{held} bytes are somewhere");
}
