//! The feed that `throng status` reads: JSON over HTTP, on this machine only.

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use throng_core::{Design, NodeId, Time};
use throng_net::clock::Clock;
use throng_net::driver::Asking;
use throng_net::notices::Notices;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::report::Report;

/// The feed's default port.
pub(crate) const DEFAULT_PORT: u16 = 9451;
/// The report's path on it.
pub(super) const PATH: &str = "/status.json";
/// The longest that a request may take.
pub(super) const TIME_MAX: Duration = Duration::from_secs(5);
/// Simultaneous requests.
const QUESTIONS_MAX: usize = 16;

/// Gathers a report on request.
pub(crate) trait Gather: Send + Sync + 'static {
    fn gather(&self) -> impl Future<Output = Option<Report>> + Send;
}

/// Binds the feed: to the given port, or to the default one, or if that is in use to any.
pub(crate) async fn listen(port: Option<u16>) -> Result<TcpListener> {
    let at = |port| TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port)));
    match port {
        Some(port) => {
            at(port).await.with_context(|| format!("binding the status feed to port {port} (--status-port)"))
        }
        None => match at(DEFAULT_PORT).await {
            Ok(listener) => Ok(listener),
            Err(_) => at(0).await.context("binding the status feed"),
        },
    }
}

/// Serves the feed of one node where its file says; if it does not say, not at all.
pub(crate) async fn of_one(
    at: Option<SocketAddr>,
    file: &Path,
    node: OneNode,
) -> Result<Option<JoinHandle<()>>> {
    let Some(at) = at else { return Ok(None) };
    if !at.ip().is_loopback() {
        bail!(
            "`status` in {}: {at} is not a loopback address, and only this machine may read the feed",
            file.display()
        );
    }
    match TcpListener::bind(at).await {
        Ok(listener) => {
            if let Ok(at) = listener.local_addr() {
                tell!("`throng status --at {at}` says how it is");
            }
            Ok(Some(tokio::spawn(serve(listener, Arc::new(node)))))
        }
        Err(error) => {
            // A node is worth running without its feed.
            tell!("throng: no status feed on {at} (`status` in {}): {error}", file.display());
            Ok(None)
        }
    }
}

/// Asks one node what it observed.
pub(crate) struct OneNode {
    pub(crate) design: Design,
    pub(crate) clock: Clock,
    pub(crate) started: Time,
    pub(crate) node: Asking,
    /// Its name, if it is a mix; a client has none.
    pub(crate) mix: Option<String>,
    pub(crate) notices: Notices,
}

impl Gather for OneNode {
    async fn gather(&self) -> Option<Report> {
        let meter = self.node.ask().await?;
        let up = self.clock.now() - self.started;
        let name = |id: NodeId| id.fingerprint().to_string();
        let report = match &self.mix {
            None => Report::new(&self.design, up, Some(&meter), &[], name),
            Some(mix) => Report::new(&self.design, up, None, &[(mix.clone(), meter)], name),
        };
        Some(report.with(self.notices.holding()))
    }
}

/// Answers requests until it is dropped.
pub(crate) async fn serve(listener: TcpListener, source: Arc<impl Gather>) {
    let places = Arc::new(Semaphore::new(QUESTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else { continue };
        let source = Arc::clone(&source);
        tokio::spawn(async move {
            let answer = |request| answer(request, Arc::clone(&source));
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(TIME_MAX).keep_alive(false);
            let served = http.serve_connection(TokioIo::new(stream), hyper::service::service_fn(answer));
            let _ = timeout(TIME_MAX, served).await; // a client that hangs up needs no answer
            drop(place);
        });
    }
}

async fn answer<B>(
    request: Request<B>,
    source: Arc<impl Gather>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let refused = |status: StatusCode, why: &'static str| {
        let mut response = Response::new(Full::from(why));
        *response.status_mut() = status;
        Ok(response)
    };
    // DNS rebinding: a web page must not read this by a name of its own that resolves to here.
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !is_ours(host) {
        return refused(StatusCode::FORBIDDEN, "the host must be 127.0.0.1 or localhost\n");
    }
    if request.method() != Method::GET || request.uri().path() != PATH {
        return refused(StatusCode::NOT_FOUND, "only /status.json exists\n");
    }
    let Some(report) = source.gather().await else {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "the node has stopped\n");
    };
    let json = serde_json::to_vec(&report).unwrap_or_default();
    let mut response = Response::new(Full::from(json));
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-store"));
    Ok(response)
}

fn is_ours(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, port)| {
        if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host }
    });
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_answered() {
        for ours in ["localhost", "127.0.0.1", "127.0.0.1:9451", "localhost:1", "[::1]:9451", "[::1]"] {
            assert!(is_ours(ours), "{ours}");
        }
        for others in [
            "",
            "evil.example",
            "evil.example:9451",
            "127.0.0.1.evil.example",
            "192.168.1.1",
            "localhost.evil",
        ] {
            assert!(!is_ours(others), "{others}");
        }
    }
}
