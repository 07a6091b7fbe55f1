//! How many files this process may have open.

/// About as many as the network's own bounds on connections need.
#[cfg(unix)]
const WANTED: u64 = 65_536;

/// Raises the soft limit, often 1024, towards the hard one: every stream is a connection.
#[cfg(unix)]
pub(crate) fn allow_many() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let wanted = now.maximum.map_or(WANTED, |hard| hard.min(WANTED));
    if now.current.is_some_and(|soft| soft < wanted) {
        // If that is refused, fewer connections fit, and the one too many is told so.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: now.maximum });
    }
}

/// Elsewhere there is no such limit to raise.
#[cfg(not(unix))]
pub(crate) fn allow_many() {}
