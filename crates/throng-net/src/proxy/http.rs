//! HTTP: CONNECT (RFC 9110 §9.3.6), and plain requests in absolute form (RFC 9112 §3.2.2).
//!
//! Nothing is added that says who we are (no `Via`, no `X-Forwarded-For`, no `Date`), and what is meant for
//! a proxy is taken out. Bodies are streamed, never held.

use std::collections::HashSet;
use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::{Authority, Scheme};
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::expecting::Expecting;
use super::listener::Listener;
use super::{
    Dial, HTTP_EXPECT_TIME_MS, HTTP_HEADER_MAX_LINES, HTTP_KEEP_ALIVE_TIMES, Isolation, ProxySettings, within,
};
use crate::request::{Abort, Host, Refusal, Target};
use crate::splice::{Guarded, LAST_WORDS_TIME, close, splice};

type ReplyBody = Either<Carried, Full<Bytes>>;
/// Where the far end waits for when the answer is written and the application's connection is handed over.
type Tunnel<S> = Arc<Mutex<Option<(OnUpgrade, FarEnd<S>)>>>;

/// What an application's connection is joined with.
enum FarEnd<S: Abort> {
    /// The stream of a CONNECT.
    Stream(Guarded<S>),
    /// The connection of a request after which both sides speak another protocol (RFC 9110 §7.8), and who drives it.
    Upgraded(OnUpgrade, CutWithOwner),
}

/// Serves one application connection, to its end.
pub(crate) async fn serve<D: Dial>(tcp: TcpStream, dial: Arc<D>, settings: ProxySettings) {
    let tunnel: Tunnel<D::Stream> = Arc::default();
    let (listener, listening) = Listener::new(tcp);
    let understood = listening.understood();
    let service = service_fn(|request| {
        understood();
        let (dial, tunnel) = (dial.clone(), tunnel.clone());
        async move { Ok::<_, Infallible>(answer(request, dial, settings, tunnel).await) }
    });
    let mut connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        // Also between two requests, as peers do.
        .header_read_timeout(settings.handshake_time * HTTP_KEEP_ALIVE_TIMES)
        .max_buf_size(settings.http_header_max_bytes)
        .max_headers(HTTP_HEADER_MAX_LINES)
        .preserve_header_case(true)
        .auto_date_header(false)
        // Who has said everything may still listen.
        .half_close(true)
        .serve_connection(TokioIo::new(listener), service)
        .with_upgrades();
    let is_cut = tokio::select! {
        // A body that we passed on was cut off.
        served = &mut connection => served.is_err_and(|error| error.is_user()),
        () = listening.is_over(settings.http_half_closed_time) => true,
    };
    if is_cut {
        sleep(LAST_WORDS_TIME).await;
        return listening.reset(); // it must not look complete
    }
    drop(listening);
    let parts = connection.into_parts();
    let left = tunnel.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (left, parts.and_then(|parts| parts.io.into_inner().into_inner())) {
        (Some((upgrade, far)), _) => join(upgrade, far, settings).await,
        // What it still sends, and nobody reads, must not have the kernel break off our last words.
        (None, Some((mut tcp, _))) => close(&mut tcp).await,
        (None, None) => {}
    }
}

/// Joins the connection of an application with its far end.
async fn join<S>(upgrade: OnUpgrade, far: FarEnd<S>, settings: ProxySettings)
where
    S: AsyncRead + AsyncWrite + Abort + Unpin + Send + 'static,
{
    let Ok(upgraded) = upgrade.await else { return };
    let Ok(parts) = upgraded.downcast::<TokioIo<Listener>>() else { return };
    let Some((mut tcp, unread)) = parts.io.into_inner().into_inner() else { return };
    let early = [parts.read_buf, unread].concat();
    let (stream, said, _driver) = match far {
        FarEnd::Stream(stream) => (stream, Bytes::new(), None),
        FarEnd::Upgraded(upgrade, driver) => {
            let upgraded = upgrade.await.ok().and_then(|far| far.downcast::<TokioIo<Guarded<S>>>().ok());
            let Some(parts) = upgraded else {
                let _ = tcp.set_zero_linger();
                return;
            };
            (parts.io.into_inner(), parts.read_buf, Some(driver))
        }
    };
    if tcp.write_all(&said).await.is_err() {
        return;
    }
    let (mut recv, mut send) = tokio::io::split(stream);
    // No `lost`: an application that reads slowly may have what has arrived, also when the circuit is gone.
    splice(&mut tcp, &mut recv, &mut send, &early, settings.idle_time, pending()).await;
}

async fn answer<D: Dial>(
    mut request: Request<Incoming>,
    dial: Arc<D>,
    settings: ProxySettings,
    tunnel: Tunnel<D::Stream>,
) -> Response<ReplyBody> {
    let user = request.headers().get(header::PROXY_AUTHORIZATION);
    let isolation = user.map_or(Isolation::none(), |value| Isolation::http(value.as_bytes()));
    let is_asked = settings.ask_for_user && user.is_none();
    if request.method() == Method::CONNECT {
        let Some(target) = request.uri().authority().and_then(|authority| target_of(authority, None)) else {
            return refuse(Refusal::Malformed);
        };
        if is_asked {
            return ask_for_user();
        }
        return match within(settings.dial_time, dial.connect(isolation, target)).await {
            Ok(stream) => {
                let upgrade = hyper::upgrade::on(&mut request);
                *tunnel.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some((upgrade, FarEnd::Stream(Guarded::new(stream))));
                Response::new(Either::Right(Full::default()))
            }
            Err(refusal) => not_dialled(refusal, &*dial),
        };
    }
    match (request.uri().scheme(), request.uri().authority()) {
        (Some(scheme), Some(authority)) if *scheme == Scheme::HTTP => match target_of(authority, Some(80)) {
            Some(_) if is_asked => ask_for_user(),
            Some(target) => pass_on(request, dial, (isolation, target), settings, tunnel).await,
            None => refuse(Refusal::Malformed),
        },
        (Some(_), _) => say(StatusCode::NOT_IMPLEMENTED, HTTP_ONLY),
        (None, _) => say(StatusCode::BAD_REQUEST, THIS_IS_A_PROXY),
    }
}

fn target_of(authority: &Authority, default_port: Option<u16>) -> Option<Target> {
    // User names in a URI would end up in no header: better to say no than to drop them.
    if authority.as_str().contains('@') {
        return None;
    }
    let port = match authority.port() {
        Some(port) => port.as_u16(),
        // `host:` and `host:99999` have no port either, but are not what they seem.
        None if authority.as_str() == authority.host() => default_port?,
        None => return None,
    };
    let host = Host::from_text(authority.host()).ok()?;
    (port != 0).then_some(Target { host, port })
}

/// Sends a plain request through a stream of its own, and gives the answer back.
async fn pass_on<D: Dial>(
    mut request: Request<Incoming>,
    dial: Arc<D>,
    (isolation, target): (Isolation, Target),
    settings: ProxySettings,
    tunnel: Tunnel<D::Stream>,
) -> Response<ReplyBody> {
    let (wants_upgrade, is_current) = (wants_upgrade(&request), request.version() == Version::HTTP_11);
    let application = wants_upgrade.then(|| hyper::upgrade::on(&mut request));
    if !to_origin_form(&mut request, wants_upgrade) {
        return refuse(Refusal::Malformed);
    }
    let stream = match within(settings.dial_time, dial.connect(isolation, target)).await {
        Ok(stream) => TokioIo::new(Guarded::new(stream)),
        Err(refusal) => return not_dialled(refusal, &*dial),
    };
    let shaken = hyper::client::conn::http1::Builder::new()
        .preserve_header_case(true)
        .max_buf_size(settings.http_header_max_bytes)
        .max_headers(HTTP_HEADER_MAX_LINES)
        // What browsers take, and what a proxy has to put right (RFC 9112 §5.1, §5.2).
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .ignore_invalid_headers_in_responses(true)
        .handshake(stream)
        .await;
    let Ok((mut sender, connection)) = shaken else { return refuse(Refusal::CircuitLost) };
    let driver = CutWithOwner(Some(tokio::spawn(async move {
        let _ = connection.with_upgrades().await;
    })));
    let (request, expectation) =
        Expecting::body_of(request, is_current, Duration::from_millis(HTTP_EXPECT_TIME_MS));
    let mut response = match sender.send_request(request).await {
        Ok(response) => response,
        Err(error) => return refuse(refusal_of(&error)),
    };
    let is_other_protocol = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let upgraded = is_other_protocol.then(|| hyper::upgrade::on(&mut response));
    strip_hop_by_hop(response.headers_mut(), is_other_protocol);
    *response.version_mut() = Version::HTTP_11;
    match (upgraded, application) {
        (Some(upgraded), Some(application)) => {
            let far = FarEnd::Upgraded(upgraded, driver);
            *tunnel.lock().unwrap_or_else(PoisonError::into_inner) = Some((application, far));
            response.map(|_| Either::Right(Full::default()))
        }
        // We asked for no upgrade; who upgrades anyway does not speak HTTP.
        (Some(_), None) => refuse(Refusal::AnswerMalformed),
        (None, _) => {
            let is_cut_short = expectation.is_some_and(|expectation| expectation.is_needless());
            if is_cut_short {
                // The application may send the body that nobody wants, or another request: nobody can know.
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            response
                .map(|body| Either::Left(Carried { body, ended: false, is_cut_short, failed: None, driver }))
        }
    }
}

/// Whether a request asks for another protocol, as for a WebSocket (RFC 6455 §4.1).
fn wants_upgrade(request: &Request<Incoming>) -> bool {
    let headers = request.headers();
    let named = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let asks =
        named.flat_map(|value| value.split(',')).any(|name| name.trim().eq_ignore_ascii_case("upgrade"));
    request.version() == Version::HTTP_11 && asks && headers.contains_key(header::UPGRADE)
}

/// Whose fault it is that there is no answer.
fn refusal_of(error: &hyper::Error) -> Refusal {
    if error.is_parse() {
        Refusal::AnswerMalformed
    } else if error.is_incomplete_message() {
        Refusal::NoAnswer
    } else {
        Refusal::CircuitLost
    }
}

/// Makes of a request to a proxy one to the origin; `false` if that cannot be done.
fn to_origin_form(request: &mut Request<Incoming>, wants_upgrade: bool) -> bool {
    let uri = request.uri();
    // RFC 9112 §3.2.2: the target decides, whatever the Host header says.
    let host = uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let path = match (path.starts_with('/'), request.method() == Method::OPTIONS) {
        (true, _) => path.parse::<Uri>(),
        // RFC 9112 §3.2.4: OPTIONS without a path is for the server as a whole.
        (false, true) => "*".parse(),
        (false, false) => format!("/{path}").parse(),
    };
    let (Some(host), Ok(path)) = (host, path) else { return false };
    *request.uri_mut() = path;
    *request.version_mut() = Version::HTTP_11;
    strip_hop_by_hop(request.headers_mut(), wants_upgrade);
    request.headers_mut().insert(header::HOST, host);
    true
}

/// Takes out what is meant for the next hop only (RFC 9110 §7.6.1), but for the wish for another protocol, if that is passed on.
/// Framing is redone by hyper.
fn strip_hop_by_hop(headers: &mut HeaderMap, is_upgrade: bool) {
    // A set: a server may name thousands.
    let named: HashSet<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name| !END_TO_END.contains(name))
        .collect();
    // Built anew, as removing would disturb the order, which tells a browser's make and a proxy's presence.
    let mut current = None;
    for (name, value) in std::mem::take(headers) {
        current = name.or(current);
        match &current {
            Some(name) if is_upgrade && *name == header::UPGRADE => {
                headers.append(name, value);
            }
            Some(name) if is_upgrade && *name == header::CONNECTION => {
                headers.insert(name, HeaderValue::from_static("Upgrade"));
            }
            Some(name) if !HOP_BY_HOP.contains(name) && !named.contains(name) => {
                headers.append(name, value);
            }
            _ => {}
        }
    }
}

static HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What no `Connection` header may take out, as the message would mean something else without it.
static END_TO_END: [HeaderName; 3] = [header::HOST, header::CONTENT_LENGTH, header::CONTENT_TYPE];

fn refuse(refusal: Refusal) -> Response<ReplyBody> {
    let status = StatusCode::from_u16(refusal.http_status()).unwrap_or(StatusCode::BAD_GATEWAY);
    say(status, &format!("{refusal}\n"))
}

/// The same where there is no stream: with the reason, if there is no circuit.
fn not_dialled(refusal: Refusal, dial: &impl Dial) -> Response<ReplyBody> {
    match dial.trouble().filter(|_| refusal == Refusal::NoCircuit) {
        Some(trouble) => say(StatusCode::SERVICE_UNAVAILABLE, &format!("There is no circuit: {trouble}.\n")),
        None => refuse(refusal),
    }
}

fn say(status: StatusCode, text: &str) -> Response<ReplyBody> {
    let mut response = Response::new(Either::Right(Full::from(text.to_owned())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Some programs give credentials only when they are asked (RFC 9110 §11.7.1).
fn ask_for_user() -> Response<ReplyBody> {
    let mut response = say(StatusCode::PROXY_AUTHENTICATION_REQUIRED, ANY_USER_WILL_DO);
    let challenge =
        HeaderValue::from_static("Basic realm=\"Any user name will do: each has circuits of its own\"");
    response.headers_mut().insert(header::PROXY_AUTHENTICATE, challenge);
    response
}

const ANY_USER_WILL_DO: &str = "\
This proxy was told to ask for a user name. Any name and password will do: different ones never share a circuit.
";

const THIS_IS_A_PROXY: &str = include_str!("this_is_a_proxy.txt");

const HTTP_ONLY: &str = "\
A plain proxy request can only be for an http:// address. For https:// a program must use CONNECT, or SOCKS5.
";

/// A response body, and the task that drives the connection it comes from.
struct Carried {
    body: Incoming,
    ended: bool,
    /// The request's body was never asked for: its connection ends with the answer.
    is_cut_short: bool,
    failed: Option<hyper::Error>,
    driver: CutWithOwner,
}

impl Drop for Carried {
    fn drop(&mut self) {
        if !self.is_cut_short && (self.ended || self.body.is_end_stream()) {
            // Nothing is missing: the connection may end by itself, and cleanly.
            self.driver.0 = None;
        }
    }
}

impl Body for Carried {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.ended |= frame.is_none();
        if let Some(Err(error)) = frame {
            // What came before it is written first.
            self.failed = Some(error);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A task that is cut when its owner goes.
struct CutWithOwner(Option<JoinHandle<()>>);

impl Drop for CutWithOwner {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

#[cfg(all(feature = "fuzzing", not(test)))]
#[path = "../../../../fuzz/src/net/http.rs"]
pub mod fuzzing;
