//! Logs go to stderr, and name nobody.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The variable that says how much is logged, as in `THRONG_LOG=info,throng_net=debug`.
const VARIABLE: &str = "THRONG_LOG";

/// Starts logging, of our own lines only: libraries log the names and addresses that they work on.
pub(crate) fn start() {
    let wanted = std::env::var(VARIABLE).unwrap_or_else(|_| "warn".to_owned());
    let filter = EnvFilter::try_new(&wanted).unwrap_or_else(|error| {
        tell!("throng: invalid {VARIABLE} ({error}): expected for example `info` or `info,throng_net=debug`");
        EnvFilter::new("warn")
    });
    let ours = filter_fn(|line| line.target().starts_with("throng"));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .log_internal_errors(false) // stderr may be gone
        .with_ansi(std::io::stderr().is_terminal());
    tracing_subscriber::registry().with(filter).with(ours).with(lines).init();
}
