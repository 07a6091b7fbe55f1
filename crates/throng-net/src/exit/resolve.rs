//! Names to addresses, at the exit.
//!
//! An exit asks the name servers of its system, for both families, and nothing else: neither its hosts file
//! nor its search domains, which would tell strangers about its network and make one name mean different
//! things at different exits. `localhost` is loopback (RFC 6761 §6.3) without asking, so that the policy
//! judges it.
//!
//! The resolver library's own log lines (target `hickory`) contain names: a subscriber must leave them out.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use hickory_resolver::config::{LookupIpStrategy, ResolveHosts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr;
use hickory_resolver::{ResolverBuilder, TokioResolver};
use tokio::time::timeout;

use crate::request::{Host, Name, RESOLVED_MAX, Refusal};

/// How long a lookup may take, with all its retries.
pub const LOOKUP_TIME_S: u64 = 10;
/// How long we wait for one answer of one name server.
const ANSWER_TIME_S: u64 = 3;
/// How often one question is asked.
const ATTEMPTS: usize = 2;
/// Questions under way on one TCP connection to a name server (used when UDP does not do).
const QUESTIONS_MAX: usize = 1024;
/// Answers that are kept, until their time to live is over.
const CACHE_ANSWERS: u64 = 4096;
/// However long a name server says that an answer lives.
const CACHE_TIME_MAX_S: u64 = 3600;

/// Looks names up.
pub struct Resolver(NameSource);

enum NameSource {
    System(Box<TokioResolver>),
    Fixed(HashMap<Name, Vec<IpAddr>>),
}

impl Resolver {
    /// One that asks the name servers in the configuration of this system. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`NoNameServers`] if the system has no configuration, or one without name servers.
    pub fn system() -> Result<Self, NoNameServers> {
        TokioResolver::builder_tokio().and_then(Self::asking).map_err(NoNameServers::because)
    }

    fn asking(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> Result<Self, NetError> {
        let options = builder.options_mut();
        options.timeout = Duration::from_secs(ANSWER_TIME_S);
        options.attempts = ATTEMPTS;
        options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
        options.use_hosts_file = ResolveHosts::Never;
        options.cache_size = CACHE_ANSWERS;
        options.positive_max_ttl = Some(Duration::from_secs(CACHE_TIME_MAX_S));
        options.negative_max_ttl = Some(Duration::from_secs(CACHE_TIME_MAX_S));
        options.max_active_requests = QUESTIONS_MAX;
        options.try_tcp_on_error = true;
        Ok(Self(NameSource::System(Box::new(builder.build()?))))
    }

    /// One that knows these answers and `localhost`, and asks nobody; for tests, and (with no answers) for an
    /// exit that has no name servers.
    pub fn fixed(answers: impl IntoIterator<Item = (Name, Vec<IpAddr>)>) -> Self {
        Self(NameSource::Fixed(answers.into_iter().collect()))
    }

    /// The addresses of `host`: itself if it is one, otherwise 1 to [`RESOLVED_MAX`] of its name, of both
    /// families if it has both.
    ///
    /// # Errors
    /// [`Refusal::NameNotFound`], [`Refusal::NameServerFailed`] or [`Refusal::TimedOut`].
    pub async fn lookup(&self, host: &Host) -> Result<Vec<IpAddr>, Refusal> {
        let name = match host {
            Host::Name(name) => name,
            Host::V4(address) => return Ok(vec![(*address).into()]),
            Host::V6(address) => return Ok(vec![(*address).into()]),
        };
        if is_localhost(name) {
            return Ok(vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]);
        }
        let found = match &self.0 {
            NameSource::Fixed(answers) => answers.get(name).cloned().unwrap_or_default(),
            NameSource::System(resolver) => ask(resolver, name).await?,
        };
        if found.is_empty() { Err(Refusal::NameNotFound) } else { Ok(some_of_both(found)) }
    }
}

async fn ask(resolver: &TokioResolver, name: &Name) -> Result<Vec<IpAddr>, Refusal> {
    let mut asked = rr::Name::from_ascii(name.reveal()).map_err(|_| Refusal::NameNotFound)?;
    asked.set_fqdn(true); // no search domains
    match timeout(Duration::from_secs(LOOKUP_TIME_S), resolver.lookup_ip(asked)).await {
        Ok(Ok(found)) => Ok(found.iter().collect()),
        Ok(Err(error)) => Err(refusal_of(&error)),
        Err(_) => Err(Refusal::TimedOut),
    }
}

fn refusal_of(error: &NetError) -> Refusal {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(_)) => Refusal::NameNotFound,
        NetError::Timeout => Refusal::TimedOut,
        NetError::Busy => Refusal::Busy,
        _ => Refusal::NameServerFailed,
    }
}

fn is_localhost(name: &Name) -> bool {
    name.reveal() == "localhost" || name.reveal().ends_with(".localhost")
}

/// The first addresses, but of each family at least half of the room if it has as many: a name with many
/// IPv6 addresses must stay reachable for an exit that has IPv4 only.
fn some_of_both(found: Vec<IpAddr>) -> Vec<IpAddr> {
    let (mut v6, mut v4): (Vec<IpAddr>, Vec<IpAddr>) = found.into_iter().partition(IpAddr::is_ipv6);
    v6.truncate(RESOLVED_MAX - v4.len().min(RESOLVED_MAX / 2));
    v4.truncate(RESOLVED_MAX - v6.len());
    v6.append(&mut v4);
    v6
}

/// This system names no name servers.
#[derive(Debug)]
pub struct NoNameServers(String);

impl NoNameServers {
    fn because(error: impl fmt::Display) -> Self {
        Self(error.to_string())
    }
}

impl fmt::Display for NoNameServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "an exit needs name servers, but this system's configuration (/etc/resolv.conf on Unix) gives none \
             that can be used: {}",
            self.0
        )
    }
}

impl std::error::Error for NoNameServers {}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
    use tokio::net::UdpSocket;

    /// A name server on loopback that knows `both.test`, `four.test` and `broken.test`, and nothing else.
    async fn name_server() -> Resolver {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut connection = ConnectionConfig::udp();
        connection.port = socket.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut query = [0; 1500];
            loop {
                let (length, from) = socket.recv_from(&mut query).await.unwrap();
                socket.send_to(&answer(&query[..length]), from).await.unwrap();
            }
        });
        let server = NameServerConfig::new(IpAddr::from([127, 0, 0, 1]), true, vec![connection]);
        let config = ResolverConfig::from_parts(None, vec![], vec![server]);
        let runtime = TokioRuntimeProvider::default();
        Resolver::asking(TokioResolver::builder_with_config(config, runtime)).unwrap()
    }

    /// RFC 1035 §4: header, question, and at most one answer.
    fn answer(query: &[u8]) -> Vec<u8> {
        let name_end = 12 + query[12..].iter().position(|&byte| byte == 0).unwrap() + 1;
        let question = &query[12..name_end + 4];
        let kind = query[name_end + 1];
        let data: Option<Vec<u8>> = match (&question[1..5], kind) {
            (b"both" | b"four", 1) => Some(vec![192, 0, 2, 7]),
            (b"both", 28) => Some([&[0x20, 1, 0xd, 0xb8], &[0; 11][..], &[7]].concat()),
            _ => None,
        };
        let code = match &question[1..5] {
            b"both" | b"four" => 0,
            b"brok" => 2, // SERVFAIL
            _ => 3,       // NXDOMAIN
        };
        let counts = [0, 1, 0, u8::from(data.is_some()), 0, 0, 0, 0];
        let mut out = [&query[..2], &[0x81, 0x80 | code], &counts, question].concat();
        if let Some(data) = data {
            out.extend_from_slice(&[0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
            out.extend_from_slice(&data);
        }
        out
    }

    #[tokio::test]
    async fn both_families_are_asked_and_failures_told_apart() {
        let resolver = name_server().await;
        let v4 = IpAddr::from([192, 0, 2, 7]);
        let v6: IpAddr = "2001:db8::7".parse().unwrap();
        for (text, found) in [
            ("both.test", Ok(vec![v6, v4])),
            ("four.test", Ok(vec![v4])),
            ("none.test", Err(Refusal::NameNotFound)),
            ("broken.test", Err(Refusal::NameServerFailed)),
        ] {
            assert_eq!(resolver.lookup(&Host::from_text(text).unwrap()).await, found, "{text}");
        }
    }

    #[tokio::test]
    async fn localhost_is_loopback_without_asking() {
        let resolver = Resolver::fixed([]);
        for text in ["localhost", "LOCALHOST.", "a.b.localhost"] {
            let found = resolver.lookup(&Host::from_text(text).unwrap()).await.unwrap();
            assert!(found.iter().all(IpAddr::is_loopback) && found.len() == 2, "{text}");
        }
        let other = Host::from_text("notlocalhost").unwrap();
        assert_eq!(resolver.lookup(&other).await, Err(Refusal::NameNotFound));
    }

    #[tokio::test]
    async fn an_address_is_its_own_answer() {
        let host = Host::from_text("192.0.2.7").unwrap();
        assert_eq!(Resolver::fixed([]).lookup(&host).await.unwrap(), [host.address().unwrap()]);
    }

    #[tokio::test]
    async fn answers_are_capped_and_keep_both_families() {
        let v6 = (0..20).map(|i| IpAddr::from(Ipv6Addr::new(0x2600, 0, 0, 0, 0, 0, 0, i)));
        let v4 = (0..2).map(|i| IpAddr::from(Ipv4Addr::new(8, 8, 8, i)));
        let name = Name::new("many.example").unwrap();
        let resolver = Resolver::fixed([(name.clone(), v6.chain(v4).collect())]);
        let found = resolver.lookup(&Host::Name(name)).await.unwrap();
        assert_eq!(found.len(), RESOLVED_MAX);
        assert_eq!(found.iter().filter(|address| address.is_ipv4()).count(), 2);
    }
}
