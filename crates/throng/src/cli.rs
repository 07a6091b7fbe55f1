//! What the command line understands.

use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use throng_core::limits::HOPS_MAX;
use throng_core::mixing::Mixing;

/// Practical anonymity for the masses: a mix-network that people browse through.
#[derive(Parser)]
#[command(version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Start a whole network on this machine, and a proxy to browse through it
    ///
    /// Twelve mixes, each with its own socket on its own loopback network, four of them exits. Real datagrams, real
    /// cryptography, real exits; but since all of it runs here, it hides nothing from anybody outside. Ctrl-C
    /// ends it.
    Up(UpOptions),
}

#[derive(Args)]
pub(crate) struct UpOptions {
    /// Mixes in the network; a third of them are exits
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u8).range(1..=MIXES_MAX))]
    pub(crate) mixes: u8,
    /// Mixes in a circuit
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=HOPS_MAX as i64))]
    pub(crate) hops: u8,
    /// Port of the proxy on 127.0.0.1 (0: any that is free)
    #[arg(long, default_value_t = 9450)]
    pub(crate) port: u16,
    /// What mixes do with cells: `none`, or `batch=20ms` (those of one interval leave together, in random order)
    #[arg(long, default_value = "none", value_parser = parse_mixing)]
    pub(crate) mixing: Mixing,
    /// Print one JSON object instead of text when the network is ready
    #[arg(long)]
    pub(crate) json: bool,
}

/// One mix per /16 of 127.0.0.0/8, without 127.0 and 127.255.
const MIXES_MAX: i64 = 254;

fn parse_mixing(text: &str) -> Result<Mixing, String> {
    let wrong = || "mixing is `none` or `batch=` and a time from 1ms to 100ms, like `batch=20ms`".to_owned();
    if text == "none" {
        return Ok(Mixing::None);
    }
    let every = text.strip_prefix("batch=").and_then(parse_duration).ok_or_else(wrong)?;
    Mixing::batch(every).ok_or_else(wrong)
}

fn parse_duration(text: &str) -> Option<Duration> {
    if let Some(number) = text.strip_suffix("ms") {
        return number.parse().ok().map(Duration::from_millis);
    }
    text.strip_suffix('s')?.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixing_is_read_or_explained() {
        assert_eq!(parse_mixing("none"), Ok(Mixing::None));
        assert_eq!(parse_mixing("batch=20ms"), Ok(Mixing::Batch { every: Duration::from_millis(20) }));
        for wrong in ["", "batch", "batch=", "batch=0ms", "batch=101ms", "batch=1s", "batch=20", "pool"] {
            assert!(parse_mixing(wrong).is_err_and(|why| why.contains("batch=20ms")), "{wrong}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
