//! Over links that lose a fiftieth and reorder the rest a transfer is complete and brisk; and when a mix dies, what
//! ran through it ends with an error, and what comes next goes another way.
#![allow(clippy::unwrap_used)] // all of it is test

mod common;

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::thread;

use common::noise::{self, MIB, Noise, Print, Printer};
use common::weather::Weather;
use common::{LIMIT, Network, Plan, target};
use throng_net::client::CircuitStream;
use throng_net::clock::Clock;
use throng_net::proxy::{Dial, Isolation};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

const LENGTH: u64 = 8 * MIB;

fn weather(seed: u64) -> Weather {
    Weather { seed, lost_per_mille: 20, delay_us: (1000, 5000) }
}

/// Reads everything, then says what it was, then sends noise of its own: `length` bytes, seeded with the first
/// eight of that.
fn server(length: u64) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            stream.set_write_timeout(Some(LIMIT)).unwrap();
            thread::spawn(move || {
                let Ok(got) = noise::drink(&mut stream) else { return };
                let _ = stream.write_all(&got.hash);
                let _ = noise::pour(seed_of(&got.hash), length, &mut stream);
                let _ = stream.shutdown(Shutdown::Write);
            });
        }
    });
    address
}

fn seed_of(hash: &[u8; 32]) -> u64 {
    u64::from_be_bytes(*hash.first_chunk().unwrap())
}

async fn connect(network: &Network, server: SocketAddr) -> CircuitStream {
    let connected = network.client.connect(Isolation::none(), target("127.0.0.1", server.port()));
    timeout(LIMIT, connected).await.expect("a connection, not a hang").unwrap()
}

/// Sends noise and says that this is all.
async fn pour(stream: &mut CircuitStream, seed: u64, length: u64) -> Print {
    let (mut noise, mut printer, mut piece) = (Noise::new(seed), Printer::default(), vec![0; 64 * 1024]);
    for _ in 0..length / piece.len() as u64 {
        noise.fill(&mut piece);
        printer.see(&piece);
        stream.write_all(&piece).await.unwrap();
    }
    stream.shutdown().await.unwrap();
    printer.done()
}

/// Everything that comes, or how it ended.
async fn drink(stream: &mut CircuitStream) -> std::io::Result<Print> {
    let (mut printer, mut piece) = (Printer::default(), vec![0; 64 * 1024]);
    loop {
        match stream.read(&mut piece).await? {
            0 => return Ok(printer.done()),
            length => printer.see(&piece[..length]),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_mebibytes_each_way_over_bad_links() {
    let seed = noise::seed();
    let server = server(LENGTH);
    let network = Network::start(Plan { weather: Some(weather(seed)), ..Plan::default() });
    let clock = Clock::start();
    let begin = clock.now();
    let mut stream = connect(&network, server).await;
    eprintln!("connected after {:.2?}", clock.now() - begin);

    let begin = clock.now();
    let sent = timeout(LIMIT, pour(&mut stream, seed, LENGTH)).await.expect("the upload ends");
    let mut hash = [0; 32];
    timeout(LIMIT, stream.read_exact(&mut hash)).await.expect("the upload arrives").unwrap();
    assert_eq!(hash, sent.hash);
    eprintln!("up:   {}", noise::speed(LENGTH, clock.now() - begin));

    let begin = clock.now();
    let got = timeout(LIMIT, drink(&mut stream)).await.expect("the download ends").unwrap();
    eprintln!("down: {}", noise::speed(LENGTH, clock.now() - begin));
    assert_eq!(got, noise::pour(seed_of(&hash), LENGTH, &mut std::io::sink()).unwrap());

    let (lost, passed) =
        network.relays.iter().fold((0, 0), |(lost, passed), r| (lost + r.lost(), passed + r.passed()));
    eprintln!("{lost} of {} datagrams lost", lost + passed);
    assert!(lost * 100 > lost + passed, "the weather was bad");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_mix_ends_what_runs_through_it_and_nothing_else() {
    let seed = noise::seed();
    let server = server(512 * MIB); // more than comes before the mix dies
    let mild = Weather { lost_per_mille: 0, ..weather(seed) };
    let mut network = Network::start(Plan { weather: Some(mild), ..Plan::default() });
    let clock = Clock::start();
    let mut stream = connect(&network, server).await;
    let sent = pour(&mut stream, seed, MIB).await;
    let mut hash = [0; 32];
    timeout(LIMIT, stream.read_exact(&mut hash)).await.expect("an answer").unwrap();
    assert_eq!(hash, sent.hash);

    // Whose relays are busy while this stream is the only one: those are the circuit's mixes.
    let before: Vec<u64> = network.relays.iter().map(|relay| relay.passed()).collect();
    let mut some = vec![0; MIB as usize];
    timeout(LIMIT, stream.read_exact(&mut some)).await.expect("the download flows").unwrap();
    let busy = |mix: &usize| network.relays[*mix].passed() - before[*mix];
    // Of those the busiest that is no exit: there must be another exit for what comes next.
    let exits = Plan::default().exits;
    let mix = (exits..network.mixes.len()).max_by_key(busy).unwrap();
    assert!(busy(&mix) > MIB / 1280, "it is one of the circuit's");
    network.kill(mix);
    let killed = clock.now();

    let ended = async {
        let end = drink(&mut stream).await;
        (end, clock.now() - killed)
    };
    // Someone who is impatient and asks for a stream at once, while nobody knows yet.
    let impatient = async {
        let stream = connect(&network, server).await;
        (stream, clock.now() - killed)
    };
    let ((end, ended_after), (mut next, next_after)) =
        timeout(LIMIT, async { tokio::join!(ended, impatient) }).await.expect("an end and a new beginning");
    eprintln!(
        "after the death of a mix the old stream ended in {ended_after:.2?}, a new one was open in {next_after:.2?}"
    );
    let end = end.expect_err("what was cut off must not look complete");
    eprintln!("the old stream ended with: {end}");

    let begin = clock.now();
    let later = connect(&network, server).await;
    eprintln!("the next one was open in {:.2?}", clock.now() - begin);
    drop(later);

    let sent = pour(&mut next, seed ^ 1, MIB).await;
    timeout(LIMIT, next.read_exact(&mut hash)).await.expect("an answer").unwrap();
    assert_eq!(hash, sent.hash, "the new stream carries data");
}
