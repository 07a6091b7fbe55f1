//! Does the wire know the load? `cargo run --release -p throng-lab --example load -- IDLE BUSY`, both of them a recording
//! by `throng up --tap`, or by `tcpdump -w` (a name that ends in .pcap), and which seconds of it: `seen.trace@10-50`.
#![expect(clippy::print_stdout, reason = "it is what this is for")]

use std::error::Error;

use throng_lab::attack::capture::{Hosts, read_pcap};
use throng_lab::attack::load::{Stretch, knows_the_load};
use throng_sim::{Row, Trace};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [idle, busy] = arguments.as_slice() else { return Err("which two recordings?".into()) };
    let mut hosts = Hosts::default();
    let (idle, busy) = (Part::read(idle, &mut hosts)?, Part::read(busy, &mut hosts)?);
    print!("{}", knows_the_load(idle.span(), busy.span())?);
    Ok(())
}

struct Part {
    rows: Vec<Row>,
    /// Seconds from the first row.
    seconds: Option<(u64, u64)>,
}

impl Part {
    fn read(argument: &str, hosts: &mut Hosts) -> Result<Self, Box<dyn Error>> {
        let (path, seconds) = match argument.rsplit_once('@') {
            Some((path, seconds)) => {
                let (from, until) = seconds.split_once('-').ok_or("seconds are `from-until`")?;
                (path, Some((from.parse()?, until.parse()?)))
            }
            None => (argument, None),
        };
        let bytes = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
        let rows = if path.ends_with(".pcap") {
            read_pcap(&bytes, hosts)?.rows
        } else {
            Trace::seen_from_bytes(&bytes)?.seen
        };
        Ok(Self { rows, seconds })
    }

    fn span(&self) -> Stretch<'_> {
        let all = Stretch::all(&self.rows);
        let after = |seconds| all.from + seconds * 1_000_000_000;
        match self.seconds {
            Some((from, until)) => Stretch { from: after(from), until: after(until), ..all },
            None => all,
        }
    }
}
