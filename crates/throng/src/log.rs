//! Logs go to stderr, and name nobody.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// What says how much is logged, as in `THRONG_LOG=info,throng_net=debug`.
const VARIABLE: &str = "THRONG_LOG";

/// Begins to log.
pub(crate) fn start() {
    let wanted = std::env::var(VARIABLE).unwrap_or_else(|_| "warn".to_owned());
    // These libraries write the names and addresses that they work on: they stay silent, whatever is wanted.
    let silenced = [
        "hickory_resolver",
        "hickory_proto",
        "hickory_net",
        "quinn",
        "quinn_proto",
        "quinn_udp",
        "rustls",
        "hyper",
    ];
    let filter = silenced.iter().fold(wanted, |filter, library| format!("{filter},{library}=off"));
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("warn"));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(true);
    tracing_subscriber::registry().with(filter).with(lines).init();
}
