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
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{self, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use throng_core::Time;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::request::{Host, Name, RESOLVED_MAX, Refusal};

/// How long a lookup may take, with all its repetitions.
pub const LOOKUP_TIME_S: u64 = 10;
/// How long we wait for an answer of name servers; the library asks each three times within the first second.
const ANSWER_TIME_S: u64 = 5;
/// How often they are asked again.
const REPETITIONS: usize = 1;
/// How long the addresses of one family wait for those of the other one (RFC 8305 §3).
const RESOLUTION_DELAY_MS: u64 = 50;
/// How often the system's configuration is read again, where names are looked up.
const CONFIGURATION_EVERY: Duration = Duration::from_secs(2);
/// Questions under way on one TCP connection to a name server (used when UDP does not do).
const QUESTIONS_MAX: usize = 1024;
/// Answers that are kept, until their time to live is over.
const CACHE_ANSWERS: u64 = 4096;
/// However long a name server says that an answer lives.
const CACHE_TIME_MAX_S: u64 = 3600;

/// Looks names up.
pub struct Resolver(NameSource);

enum NameSource {
    Configured(Configured),
    Fixed(HashMap<Name, Vec<IpAddr>>),
}

/// The addresses of a host.
#[derive(Debug)]
pub struct Found {
    /// 1 to [`RESOLVED_MAX`] of them.
    pub addresses: Vec<IpAddr>,
    /// Where those of the other family are still asked for.
    others: Option<OpenQuestion>,
}

/// A question under way, which nobody asks any more when it is dropped.
#[derive(Debug)]
struct OpenQuestion(JoinHandle<Result<Vec<IpAddr>, Refusal>>);

impl Future for OpenQuestion {
    type Output = Result<Vec<IpAddr>, Refusal>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready(answer.unwrap_or(Err(Refusal::NameServerFailed)))
    }
}

impl Drop for OpenQuestion {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Found {
    fn all(addresses: Vec<IpAddr>) -> Self {
        Self { addresses, others: None }
    }

    /// Those of the other family, when they are there; none if it has none, or they were there before.
    pub(super) async fn others(self) -> Vec<IpAddr> {
        let Some(others) = self.others else { return Vec::new() };
        let mut found = others.await.unwrap_or_default();
        found.truncate(RESOLVED_MAX);
        found
    }
}

impl Resolver {
    /// One that asks the name servers in the configuration of this system, as it is whenever it is asked. Needs a tokio runtime.
    pub fn system() -> Self {
        Self::configured(read_system_conf)
    }

    fn configured(
        read: impl Fn() -> Result<(ResolverConfig, ResolverOpts), NetError> + Send + Sync + 'static,
    ) -> Self {
        Self(NameSource::Configured(Configured {
            clock: Clock::start(),
            read: Box::new(read),
            last: Mutex::default(),
        }))
    }

    /// One that knows these answers and `localhost`, and asks nobody; for tests.
    pub fn fixed(answers: impl IntoIterator<Item = (Name, Vec<IpAddr>)>) -> Self {
        Self(NameSource::Fixed(answers.into_iter().collect()))
    }

    /// Why it can look up no names now, if it cannot.
    pub fn trouble(&self) -> Option<NoNameServers> {
        match &self.0 {
            NameSource::Configured(configured) => configured.now().err(),
            NameSource::Fixed(_) => None,
        }
    }

    /// The addresses of `host`: itself if it is one, otherwise those of its name, of both families if it has both and the name
    /// servers tell them at about the same time.
    ///
    /// # Errors
    /// [`Refusal::NameNotFound`], [`Refusal::NameServerFailed`] or [`Refusal::TimedOut`].
    pub async fn lookup(&self, host: &Host) -> Result<Found, Refusal> {
        let name = match host {
            Host::Name(name) => name,
            Host::V4(address) => return Ok(Found::all(vec![(*address).into()])),
            Host::V6(address) => return Ok(Found::all(vec![(*address).into()])),
        };
        if is_localhost(name) {
            return Ok(Found::all(vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]));
        }
        let mut found = match &self.0 {
            NameSource::Fixed(answers) => Found::all(answers.get(name).cloned().unwrap_or_default()),
            NameSource::Configured(configured) => {
                let resolver = configured.now().map_err(|_| Refusal::NameServerFailed)?;
                ask_for_both(&resolver, name).await?
            }
        };
        if found.addresses.is_empty() {
            return Err(Refusal::NameNotFound);
        }
        found.addresses = some_of_both(std::mem::take(&mut found.addresses));
        Ok(found)
    }
}

/// What somebody configured, followed as it changes: a laptop that goes from one network to another has other name servers there.
struct Configured {
    clock: Clock,
    read: Box<dyn Fn() -> Result<(ResolverConfig, ResolverOpts), NetError> + Send + Sync>,
    last: Mutex<Option<LastRead>>,
}

struct LastRead {
    at: Time,
    /// In words, to see whether it has changed.
    said: String,
    resolver: Result<Arc<TokioResolver>, NoNameServers>,
}

impl Configured {
    /// As read a moment ago at most. What is not to be read leaves what was read before.
    fn now(&self) -> Result<Arc<TokioResolver>, NoNameServers> {
        let now = self.clock.now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = last.as_ref().filter(|last| now - last.at < CONFIGURATION_EVERY) {
            return last.resolver.clone();
        }
        let read = (self.read)();
        let said = read
            .as_ref()
            .map_or_else(ToString::to_string, |(config, options)| format!("{config:?} {options:?}"));
        if let Some(last) = last.as_mut().filter(|last| last.said == said) {
            last.at = now;
            return last.resolver.clone();
        }
        if let Some(last) = last.as_mut().filter(|last| read.is_err() && last.resolver.is_ok()) {
            last.at = now; // it may be being written
            return last.resolver.clone();
        }
        let resolver = read.and_then(|(config, options)| asking(config, options));
        let resolver = resolver.map(Arc::new).map_err(NoNameServers::because);
        *last = Some(LastRead { at: now, said, resolver: resolver.clone() });
        resolver
    }
}

fn asking(config: ResolverConfig, options: ResolverOpts) -> Result<TokioResolver, NetError> {
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options;
    let options = builder.options_mut();
    options.timeout = Duration::from_secs(ANSWER_TIME_S);
    options.attempts = REPETITIONS;
    options.use_hosts_file = ResolveHosts::Never;
    options.cache_size = CACHE_ANSWERS;
    options.positive_max_ttl = Some(Duration::from_secs(CACHE_TIME_MAX_S));
    options.negative_max_ttl = Some(Duration::from_secs(CACHE_TIME_MAX_S));
    options.max_active_requests = QUESTIONS_MAX;
    options.try_tcp_on_error = true;
    builder.build()
}

/// The addresses of whichever family is known first, with those of the other one if they come soon after it.
async fn ask_for_both(resolver: &Arc<TokioResolver>, name: &Name) -> Result<Found, Refusal> {
    let mut asked = rr::Name::from_ascii(name.reveal()).map_err(|_| Refusal::NameNotFound)?;
    asked.set_fqdn(true); // no search domains
    let ask = |kind| OpenQuestion(tokio::spawn(ask_for_one(Arc::clone(resolver), asked.clone(), kind)));
    let (mut v6, mut v4) = (ask(RecordType::AAAA), ask(RecordType::A));
    let (first, mut second) = tokio::select! {
        biased;
        first = &mut v6 => (first, v4),
        first = &mut v4 => (first, v6),
    };
    let wait = match &first {
        Ok(addresses) if !addresses.is_empty() => Duration::from_millis(RESOLUTION_DELAY_MS),
        // There is nothing to begin with.
        _ => Duration::from_secs(LOOKUP_TIME_S),
    };
    let Ok(other) = timeout(wait, &mut second).await else {
        return first.map(|addresses| Found { addresses, others: Some(second) });
    };
    match (first, other) {
        (Ok(first), Ok(other)) => Ok(Found::all([first, other].concat())),
        (Ok(found), Err(why)) | (Err(why), Ok(found)) if found.is_empty() => Err(why),
        (Ok(found), Err(_)) | (Err(_), Ok(found)) => Ok(Found::all(found)),
        (Err(one), Err(_)) => Err(one),
    }
}

/// Asks for addresses of one family. None if the name has none.
async fn ask_for_one(
    resolver: Arc<TokioResolver>,
    name: rr::Name,
    kind: RecordType,
) -> Result<Vec<IpAddr>, Refusal> {
    match timeout(Duration::from_secs(LOOKUP_TIME_S), resolver.lookup(name, kind)).await {
        Ok(Ok(found)) => Ok(found.answers().iter().filter_map(|record| record.data.ip_addr()).collect()),
        Ok(Err(NetError::Dns(DnsError::NoRecordsFound(_)))) => Ok(Vec::new()),
        Ok(Err(error)) => Err(refusal_of(&error)),
        Err(_) => Err(Refusal::TimedOut),
    }
}

fn refusal_of(error: &NetError) -> Refusal {
    match error {
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
#[derive(Clone, Debug)]
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
             that can be used, and until it does names are not looked up here: {}",
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

    /// A name server on loopback that knows `both.test`, `four.test` and `broken.test`, and nothing else: who
    /// answers what `says` makes of a question.
    async fn name_server(mut says: impl FnMut(&[u8]) -> Option<Vec<u8>> + Send + 'static) -> ResolverConfig {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut connection = ConnectionConfig::udp();
        connection.port = socket.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut query = [0; 1500];
            loop {
                let (length, from) = socket.recv_from(&mut query).await.unwrap();
                if let Some(answer) = says(&query[..length]) {
                    socket.send_to(&answer, from).await.unwrap();
                }
            }
        });
        let server = NameServerConfig::new(IpAddr::from([127, 0, 0, 1]), true, vec![connection]);
        ResolverConfig::from_parts(None, vec![], vec![server])
    }

    fn with(config: ResolverConfig) -> Resolver {
        Resolver::configured(move || Ok((config.clone(), ResolverOpts::default())))
    }

    async fn look_up(resolver: &Resolver, text: &str) -> Result<Vec<IpAddr>, Refusal> {
        let found = resolver.lookup(&Host::from_text(text).unwrap()).await?;
        Ok(found.addresses)
    }

    fn name_end(query: &[u8]) -> usize {
        12 + query[12..].iter().position(|&byte| byte == 0).unwrap() + 1
    }

    /// What is asked for: 1 is A, 28 is AAAA.
    fn kind(query: &[u8]) -> u8 {
        query[name_end(query) + 1]
    }

    /// RFC 1035 §4: header, question, and at most one answer.
    fn answer(query: &[u8]) -> Vec<u8> {
        let name_end = name_end(query);
        let question = &query[12..name_end + 4];
        let kind = kind(query);
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
        let resolver = with(name_server(|query| Some(answer(query))).await);
        let v4 = IpAddr::from([192, 0, 2, 7]);
        let v6: IpAddr = "2001:db8::7".parse().unwrap();
        for (text, found) in [
            ("both.test", Ok(vec![v6, v4])),
            ("four.test", Ok(vec![v4])),
            ("none.test", Err(Refusal::NameNotFound)),
            ("broken.test", Err(Refusal::NameServerFailed)),
        ] {
            assert_eq!(look_up(&resolver, text).await, found, "{text}");
        }
    }

    #[tokio::test]
    async fn a_question_for_one_family_that_nobody_answers_holds_up_nobody() {
        const AAAA: u8 = 28;
        let resolver = with(name_server(|query| (kind(query) != AAAA).then(|| answer(query))).await);
        let found = resolver.lookup(&Host::from_text("both.test").unwrap()).await.unwrap();
        assert_eq!(found.addresses, [IpAddr::from([192, 0, 2, 7])]);
        assert!(found.others.is_some(), "it is still asked for");
    }

    /// The first question is answered late, and no other one; or it is lost, and the next one answered.
    #[tokio::test]
    async fn an_answer_may_come_late_or_to_a_question_that_was_repeated() {
        const LATE: Duration = Duration::from_secs(4);
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let mut connection = ConnectionConfig::udp();
        connection.port = socket.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut query, mut asked) = ([0; 1500], HashMap::<Vec<u8>, u32>::new());
            loop {
                let (length, from) = socket.recv_from(&mut query).await.unwrap();
                let query = query[..length].to_vec();
                let times = asked.entry(query[12..name_end(&query) + 4].to_vec()).or_default();
                *times += 1;
                let is_late = query[13..].starts_with(b"both");
                if *times == if is_late { 1 } else { 2 } {
                    let socket = Arc::clone(&socket);
                    tokio::spawn(async move {
                        tokio::time::sleep(if is_late { LATE } else { Duration::ZERO }).await;
                        socket.send_to(&answer(&query), from).await.unwrap();
                    });
                }
            }
        });
        let server = NameServerConfig::new(IpAddr::from([127, 0, 0, 1]), true, vec![connection]);
        let resolver = with(ResolverConfig::from_parts(None, vec![], vec![server]));
        let (late, lost) = tokio::join!(look_up(&resolver, "both.test"), look_up(&resolver, "four.test"));
        assert_eq!(late.unwrap().len(), 2);
        assert_eq!(lost, Ok(vec![IpAddr::from([192, 0, 2, 7])]));
    }

    #[tokio::test]
    async fn other_name_servers_are_asked_when_the_configuration_names_others() {
        let named: Arc<Mutex<Option<ResolverConfig>>> = Arc::default();
        let read = Arc::clone(&named);
        let resolver = Resolver::configured(move || {
            let config = read.lock().unwrap().clone().ok_or(NetError::Message("no name servers"))?;
            Ok((config, ResolverOpts::default()))
        });
        assert!(resolver.trouble().is_some());
        assert_eq!(look_up(&resolver, "four.test").await, Err(Refusal::NameServerFailed));
        *named.lock().unwrap() = Some(name_server(|query| Some(answer(query))).await);
        while resolver.trouble().is_some() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(look_up(&resolver, "four.test").await, Ok(vec![IpAddr::from([192, 0, 2, 7])]));
    }

    #[tokio::test]
    async fn localhost_is_loopback_without_asking() {
        let resolver = Resolver::fixed([]);
        for text in ["localhost", "LOCALHOST.", "a.b.localhost"] {
            let found = look_up(&resolver, text).await.unwrap();
            assert!(found.iter().all(IpAddr::is_loopback) && found.len() == 2, "{text}");
        }
        assert_eq!(look_up(&resolver, "notlocalhost").await, Err(Refusal::NameNotFound));
    }

    #[tokio::test]
    async fn an_address_is_its_own_answer() {
        let found = look_up(&Resolver::fixed([]), "192.0.2.7").await.unwrap();
        assert_eq!(found, [IpAddr::from([192, 0, 2, 7])]);
    }

    #[tokio::test]
    async fn answers_are_capped_and_keep_both_families() {
        let v6 = (0..20).map(|i| IpAddr::from(Ipv6Addr::new(0x2600, 0, 0, 0, 0, 0, 0, i)));
        let v4 = (0..2).map(|i| IpAddr::from(Ipv4Addr::new(8, 8, 8, i)));
        let name = Name::new("many.example").unwrap();
        let resolver = Resolver::fixed([(name.clone(), v6.chain(v4).collect())]);
        let found = resolver.lookup(&Host::Name(name)).await.unwrap().addresses;
        assert_eq!(found.len(), RESOLVED_MAX);
        assert_eq!(found.iter().filter(|address| address.is_ipv4()).count(), 2);
    }
}
