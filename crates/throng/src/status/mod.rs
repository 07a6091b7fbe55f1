//! `throng status`, and the feed that it reads: JSON over HTTP on this machine only.

pub(crate) mod meter;

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use throng_core::{Design, NodeId, Time};
use throng_net::clock::Clock;
use throng_net::driver::Asking;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::cli::StatusOptions;
use meter::{CoverReport, Report};

/// Where the feed is, if nobody says otherwise.
pub(crate) const DEFAULT_PORT: u16 = 9451;
/// Whoever asks for longer is left.
const TIME_MAX: Duration = Duration::from_secs(5);
/// Questions at once.
const QUESTIONS_MAX: usize = 16;
/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// What gathers a report when somebody asks.
pub(crate) trait Gather: Send + Sync + 'static {
    fn gather(&self) -> impl Future<Output = Option<Report>> + Send;
}

/// Listens where the feed is to be; if the usual port is taken, on any other.
pub(crate) async fn listen(port: Option<u16>) -> Result<TcpListener> {
    let at = |port| TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port)));
    match port {
        Some(port) => {
            at(port).await.with_context(|| format!("the status feed on port {port} (--status-port)"))
        }
        None => match at(DEFAULT_PORT).await {
            Ok(listener) => Ok(listener),
            Err(_) => at(0).await.context("the status feed"),
        },
    }
}

/// The feed of one node, where its file says; none if it says nothing.
pub(crate) async fn of_one(
    at: Option<SocketAddr>,
    file: &Path,
    node: OneNode,
) -> Result<Option<JoinHandle<()>>> {
    let Some(at) = at else { return Ok(None) };
    if !at.ip().is_loopback() {
        bail!("`status` in {}: {at} is not on this machine, and nobody else is to read it", file.display());
    }
    match TcpListener::bind(at).await {
        Ok(listener) => Ok(Some(tokio::spawn(serve(listener, Arc::new(node))))),
        Err(error) => {
            // A node is worth more than what is told of it.
            eprintln!("throng: no status feed on {at} (`status` in {}): {error}", file.display());
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
}

impl Gather for OneNode {
    async fn gather(&self) -> Option<Report> {
        let meter = self.node.ask().await?;
        let up = self.clock.now() - self.started;
        let name = |id: NodeId| id.fingerprint().to_string();
        Some(match &self.mix {
            None => Report::new(&self.design, up, Some(&meter), &[], name),
            Some(mix) => Report::new(&self.design, up, None, &[(mix.clone(), meter)], name),
        })
    }
}

/// Answers questions until it is dropped.
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
            let _ = timeout(TIME_MAX, served).await; // whoever hangs up need not be told
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
    // A web page must not read this by a name of its own that leads here.
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !is_ours(host) {
        return refused(StatusCode::FORBIDDEN, "ask by 127.0.0.1 or localhost\n");
    }
    if request.method() != Method::GET || request.uri().path() != "/status.json" {
        return refused(StatusCode::NOT_FOUND, "there is /status.json\n");
    }
    let Some(report) = source.gather().await else {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "the node has ended\n");
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

/// Prints what a running Throng says of itself.
pub(crate) fn run(options: &StatusOptions) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    let bytes = runtime
        .block_on(async { timeout(TIME_MAX, ask(options.at)).await.context("it did not answer in time")? })?;
    let text = if options.json {
        String::from_utf8(bytes.to_vec()).context("the answer is not text")? + "\n"
    } else {
        readable(
            &serde_json::from_slice(&bytes)
                .context("the answer is not what a Throng of this version says")?,
        )
    };
    use std::io::Write;
    std::io::stdout().write_all(text.as_bytes()).context("writing to stdout")
}

async fn ask(at: SocketAddr) -> Result<Bytes> {
    let stream = TcpStream::connect(at).await.with_context(|| {
        format!(
            "no Throng says its status on {at}: is one running? `--at` says where, as it printed at its start"
        )
    })?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.context("speaking HTTP")?;
    tokio::spawn(connection);
    let request = Request::get("/status.json").header(HOST, at.to_string()).body(Full::<Bytes>::default());
    let response = sender.send_request(request.context("asking")?).await.context("asking")?;
    if response.status() != StatusCode::OK {
        bail!("{at} answered {}", response.status());
    }
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    Ok(body.map_err(|error| anyhow::anyhow!("reading the answer: {error}"))?.to_bytes())
}

fn readable(report: &Report) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    let _ = writeln!(text, "up {} s, mixing {}", report.up_seconds, report.mixing);
    let _ = writeln!(text, "{}", cover_line(&report.cover));
    if let Some(client) = &report.client {
        let _ =
            writeln!(text, "\nYour circuits, and what their mixes said of the minute before they joined:\n");
        for circuit in &client.circuits {
            let kind = if circuit.is_used { "in use" } else { "in store" };
            let _ = writeln!(text, "  {kind}, {} s old", circuit.age_seconds);
            for hop in &circuit.hops {
                let _ = writeln!(
                    text,
                    "    {:<18} {:>5} users {:>6} circuits; a cell among {:>6.1} circuits, {:>5.2} bits",
                    hop.mix, hop.users, hop.circuits, hop.set, hop.bits
                );
            }
        }
        let _ = writeln!(text, "\nOf your circuits, this share has its two ends with an adversary who has\n");
        for adversary in &client.adversaries {
            let _ = writeln!(
                text,
                "  {:>4.0} % of the mixes {:>8.4} %      {:>4.0} % of the links {:>8.4} %",
                adversary.share * 100.0,
                adversary.with_mixes * 100.0,
                adversary.share * 100.0,
                adversary.with_links * 100.0
            );
        }
    }
    if !report.mixes.is_empty() {
        let _ = writeln!(text, "\nMixes here, in the last minute:\n");
        for mix in &report.mixes {
            let _ = writeln!(
                text,
                "  {:<18} {:>5} users {:>6} circuits {:>8} cells; a cell among {:>6.1} circuits, {:>5.2} bits; {} lonely",
                mix.name, mix.users, mix.circuits, mix.cells, mix.set, mix.bits, mix.lonely_cells
            );
        }
    }
    let _ = writeln!(text, "\nWhy it is low: {}.", report.why_low);
    text
}

fn cover_line(cover: &CoverReport) -> String {
    if cover.scheme == "none" {
        return "cover is off, and costs nothing".into();
    }
    format!(
        "cover {}: {} datagrams and {} payloads real, {} filler and {} dummies; {:.1} MB of cover so far, {:.1} MB a day; {} slots missed",
        cover.scheme,
        cover.real,
        cover.payloads,
        cover.filler,
        cover.dummies,
        cover.bytes as f64 / 1e6,
        cover.bytes_a_day as f64 / 1e6,
        cover.missed
    )
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
