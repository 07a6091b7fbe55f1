//! Does the wire know the load? `cargo run --release -p throng-lab --example load -- IDLE BUSY [SKIP_SECONDS]`, of two
//! recordings by `throng up --tap`, or by `tcpdump -w` (names that end in .pcap), without their first seconds.
#![expect(clippy::print_stdout, reason = "it is what this is for")]

use std::error::Error;

use throng_lab::attack::capture::{Hosts, read_pcap};
use throng_lab::attack::load::knows_the_load;
use throng_sim::{Row, Trace};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [idle, busy, skip @ ..] = arguments.as_slice() else { return Err("which two recordings?".into()) };
    let skip: u64 = skip.first().map_or(Ok(0), |text| text.parse())?;
    let mut hosts = Hosts::default();
    let (idle, busy) = (read(idle, skip, &mut hosts)?, read(busy, skip, &mut hosts)?);
    println!("{} and {} datagrams", idle.len(), busy.len());
    print!("{}", knows_the_load(&idle, &busy)?);
    Ok(())
}

fn read(path: &str, skip_seconds: u64, hosts: &mut Hosts) -> Result<Vec<Row>, Box<dyn Error>> {
    let bytes = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    let mut rows = if path.ends_with(".pcap") {
        read_pcap(&bytes, hosts)?.rows
    } else {
        Trace::seen_from_bytes(&bytes)?.seen
    };
    let begin = rows.first().map_or(0, |row| row.at) + skip_seconds * 1_000_000_000;
    rows.retain(|row| row.at >= begin);
    Ok(rows)
}
