//! Opening a connection to one of several addresses (RFC 8305, "Happy Eyeballs").

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::near::Near;
use super::policy::ExitPolicy;
use super::resolve::Found;
use crate::request::Refusal;

/// How long after one attempt the next begins beside it (RFC 8305 §5).
const ATTEMPT_DELAY_MS: u64 = 250;
/// How long all attempts together may take.
pub const CONNECT_TIME_S: u64 = 10;

/// Connects to whichever of the addresses answers first, among those that `policy` allows to who stands there. Those that the
/// name servers tell late take part when they come.
pub(crate) async fn connect(
    policy: &ExitPolicy,
    near: &Near,
    mut found: Found,
    port: u16,
) -> Result<TcpStream, Refusal> {
    let addresses = std::mem::take(&mut found.addresses);
    let first = race(policy, near, &addresses, port, TcpStream::connect);
    let late = async {
        match found.others().await {
            none if none.is_empty() => Err(Refusal::Failed),
            others => race(policy, near, &others, port, TcpStream::connect).await,
        }
    };
    let tcp = either(first, late).await?;
    // Without it a keystroke would wait for the acknowledgement of the one before.
    let _ = tcp.set_nodelay(true);
    Ok(tcp)
}

/// Whichever succeeds first.
async fn either<T>(
    one: impl Future<Output = Result<T, Refusal>>,
    other: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, Refusal> {
    tokio::pin!(one, other);
    let (first, second) = tokio::select! {
        biased;
        first = &mut one => match first {
            Ok(done) => return Ok(done),
            Err(why) => (why, other.await),
        },
        first = &mut other => match first {
            Ok(done) => return Ok(done),
            Err(why) => (why, one.await),
        },
    };
    second.map_err(|second| more_telling(first, second))
}

/// The race, with `attempt` for a connection. The policy is asked here, after the names are resolved and for
/// each address, so that nothing can come in between.
async fn race<T, A, F>(
    policy: &ExitPolicy,
    near: &Near,
    addresses: &[IpAddr],
    port: u16,
    attempt: A,
) -> Result<T, Refusal>
where
    T: Send + 'static,
    A: Fn(SocketAddr) -> F,
    F: Future<Output = io::Result<T>> + Send + 'static,
{
    if addresses.is_empty() {
        return Err(Refusal::NameNotFound);
    }
    let allowed = addresses.iter().copied().filter(|&address| policy.allows_addr(address, near));
    let allowed = interleave(allowed.collect());
    if allowed.is_empty() || !policy.allows_port(port) {
        return Err(Refusal::Policy);
    }
    let winner = first_of(allowed.into_iter().map(|address| attempt(SocketAddr::new(address, port))));
    timeout(Duration::from_secs(CONNECT_TIME_S), winner).await.unwrap_or(Err(Refusal::TimedOut))
}

/// Starts the next attempt when the last one fails, or has not succeeded for [`ATTEMPT_DELAY_MS`].
async fn first_of<T, F>(mut attempts: impl Iterator<Item = F>) -> Result<T, Refusal>
where
    T: Send + 'static,
    F: Future<Output = io::Result<T>> + Send + 'static,
{
    // Dropped with this function, which gives up the losers.
    let mut running = JoinSet::new();
    let mut more = true;
    let mut refusal = Refusal::Failed;
    loop {
        if more {
            match attempts.next() {
                Some(attempt) => drop(running.spawn(attempt)),
                None => more = false,
            }
        }
        // Until the delay is over or something fails; without further attempts, until something fails.
        let ended = tokio::select! {
            ended = running.join_next() => ended,
            () = sleep(Duration::from_millis(ATTEMPT_DELAY_MS)), if more => continue,
        };
        match ended {
            Some(Ok(Ok(winner))) => return Ok(winner),
            Some(Ok(Err(error))) => refusal = more_telling(refusal, refusal_of(&error)),
            Some(Err(_)) => {} // the attempt panicked: the others may still win
            None if more => {}
            None => return Err(refusal),
        }
    }
}

/// RFC 8305 §4: the families by turns, IPv6 first.
fn interleave(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let (v6, v4): (Vec<IpAddr>, Vec<IpAddr>) = addresses.into_iter().partition(IpAddr::is_ipv6);
    let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
    let mut out = Vec::new();
    loop {
        let before = out.len();
        out.extend(v6.next());
        out.extend(v4.next());
        if out.len() == before {
            return out;
        }
    }
}

/// Of two failures the one that says more: an exit without IPv6 fails there at once, which tells nothing
/// about the far end.
fn more_telling(one: Refusal, other: Refusal) -> Refusal {
    let rank = |refusal| match refusal {
        Refusal::ConnectionRefused => 5,
        Refusal::TimedOut => 4,
        Refusal::HostUnreachable => 3,
        Refusal::NetworkUnreachable => 2,
        Refusal::Busy => 1,
        _ => 0,
    };
    if rank(other) > rank(one) { other } else { one }
}

fn refusal_of(error: &io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Refusal::ConnectionRefused,
        io::ErrorKind::HostUnreachable => Refusal::HostUnreachable,
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable => Refusal::NetworkUnreachable,
        io::ErrorKind::TimedOut => Refusal::TimedOut,
        // A firewall of the exit's own.
        io::ErrorKind::PermissionDenied => Refusal::Policy,
        io::ErrorKind::ResourceBusy | io::ErrorKind::QuotaExceeded => Refusal::Busy,
        _ => match error.raw_os_error() {
            // No more open files (for us, or for all): ENFILE and EMFILE, the same on all Unix systems.
            Some(23 | 24) if cfg!(unix) => Refusal::Busy,
            // An address family that this system does not have: EAFNOSUPPORT on Linux, BSD, Windows.
            Some(97 | 47 | 10047) => Refusal::NetworkUnreachable,
            _ => Refusal::Failed,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// Attempts that are recorded, and end as the last octet says: 1 connects, 2 refuses, 3 hangs.
    #[derive(Clone, Default)]
    struct Far(Arc<Mutex<Vec<IpAddr>>>);

    impl Far {
        async fn race(&self, local: bool, addresses: &[&str]) -> Result<SocketAddr, Refusal> {
            let policy = ExitPolicy { local, ..ExitPolicy::default() };
            let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
            race(&policy, &Near::default(), &addresses, 443, |address| {
                self.0.lock().unwrap().push(address.ip());
                async move {
                    match address.to_string().split(['.', ':', ']']).rev().nth(1) {
                        Some("1") | Some("") => Ok(address),
                        Some("2") => Err(io::ErrorKind::ConnectionRefused.into()),
                        Some("4") => Err(io::ErrorKind::NetworkUnreachable.into()),
                        _ => std::future::pending().await,
                    }
                }
            })
            .await
        }

        fn tried(&self) -> Vec<String> {
            self.0.lock().unwrap().iter().map(IpAddr::to_string).collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_address_is_never_tried() {
        let far = Far::default();
        let inside = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "fd00::1"];
        assert_eq!(far.race(false, &inside).await, Err(Refusal::Policy));
        assert_eq!(far.tried(), Vec::<String>::new());
        let mixed = ["10.0.0.1", "8.8.8.2", "127.0.0.1"];
        assert_eq!(far.race(false, &mixed).await, Err(Refusal::ConnectionRefused));
        assert_eq!(far.tried(), ["8.8.8.2"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_port_outside_the_policy_is_never_tried() {
        let policy = ExitPolicy { local: true, ..ExitPolicy::default() };
        let loopback = [IpAddr::from([127, 0, 0, 1])];
        let tried = race(&policy, &Near::default(), &loopback, 25, |_| async { Ok(()) }).await;
        assert_eq!(tried, Err(Refusal::Policy));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_does_not_hold_up_the_next() {
        let far = Far::default();
        let won = far.race(false, &["8.8.8.3", "8.8.8.1"]).await.unwrap();
        assert_eq!(won.ip().to_string(), "8.8.8.1");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_address_is_followed_at_once() {
        let far = Far::default();
        let race = far.race(false, &["8.8.8.2", "8.8.8.4", "8.8.8.1"]);
        // The clock stands still unless somebody waits: less than one delay for all three.
        let won = timeout(Duration::from_millis(ATTEMPT_DELAY_MS - 1), race).await.unwrap();
        assert_eq!(won.unwrap().ip().to_string(), "8.8.8.1");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_everywhere_is_a_time_out() {
        let far = Far::default();
        assert_eq!(far.race(false, &["8.8.8.3", "8.8.9.3"]).await, Err(Refusal::TimedOut));
        assert_eq!(far.tried().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_most_telling_failure_is_told() {
        let far = Far::default();
        for order in [["8.8.8.4", "8.8.8.2"], ["8.8.8.2", "8.8.8.4"]] {
            assert_eq!(far.race(false, &order).await, Err(Refusal::ConnectionRefused));
        }
    }

    #[test]
    fn families_take_turns_and_ipv6_begins() {
        let given = ["1.1.1.1", "1.1.1.2", "2600::1", "2600::2", "2600::3"].map(|text| text.parse().unwrap());
        let order: Vec<String> = interleave(given.to_vec()).iter().map(IpAddr::to_string).collect();
        assert_eq!(order, ["2600::1", "1.1.1.1", "2600::2", "1.1.1.2", "2600::3"]);
    }

    #[test]
    fn a_failed_connection_has_the_name_of_its_failure() {
        for (kind, refusal) in [
            (io::ErrorKind::ConnectionRefused, Refusal::ConnectionRefused),
            (io::ErrorKind::HostUnreachable, Refusal::HostUnreachable),
            (io::ErrorKind::NetworkUnreachable, Refusal::NetworkUnreachable),
            (io::ErrorKind::TimedOut, Refusal::TimedOut),
            (io::ErrorKind::Other, Refusal::Failed),
        ] {
            assert_eq!(refusal_of(&kind.into()), refusal);
        }
        assert_eq!(refusal_of(&io::Error::from_raw_os_error(24)), Refusal::Busy);
    }
}
