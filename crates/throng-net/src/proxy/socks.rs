//! SOCKS 4, 4a and 5: a parser without sockets, and the conversation around it.
//!
//! Sources: RFC 1928 (SOCKS5), RFC 1929 (its user names and passwords), the SOCKS4 and 4a memos, and Tor's
//! `socks-extensions` for RESOLVE (0xF0) and RESOLVE_PTR (0xF1). User names and passwords open nothing here:
//! they only say which streams may share a circuit.

use std::future::pending;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Dial, Isolation, ProxySettings, within};
use crate::request::{Host, Refusal, Target};
use crate::splice::{Guarded, close, splice};

/// Longest user id and longest host name that a SOCKS4 client may send (it has no length field).
const SOCKS4_TEXT_MAX_BYTES: usize = 255;
/// What is read at once while a request is still incomplete.
const READ_BYTES: usize = 1024;

const VERSION_4: u8 = 4;
const VERSION_5: u8 = 5;
const CREDENTIALS_VERSION: u8 = 1;
const NO_CREDENTIALS: u8 = 0x00;
const CREDENTIALS: u8 = 0x02;
const NO_METHOD: u8 = 0xff;
const CONNECT: u8 = 0x01;
const RESOLVE: u8 = 0xf0;
const ADDRESS_V4: u8 = 1;
const ADDRESS_NAME: u8 = 3;
const ADDRESS_V6: u8 = 4;
const REPLY_DONE: u8 = 0x00;
const REPLY_ADDRESS_UNKNOWN: u8 = 0x08;
const REPLY4_DONE: u8 = 0x5a;
const REPLY4_FAILED: u8 = 0x5b;

/// What an application asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SocksRequest {
    pub(crate) version: Version,
    pub(crate) isolation: Isolation,
    pub(crate) ask: Ask,
}

/// The two things that SOCKS can ask of us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Connect(Target),
    Resolve(Host),
}

/// Which of the two protocols the answer must be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Four,
    Five,
}

/// Where a negotiation stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// More bytes are needed.
    More,
    /// The application has asked; what it sent after that is in [`Negotiation::early`].
    Complete(SocksRequest),
    /// Write what is to be written, and close.
    Close,
}

/// One application's side of a negotiation: bytes in, bytes out, no socket.
pub(crate) struct Negotiation {
    state: Phase,
    unread: Vec<u8>,
    isolation: Isolation,
}

#[derive(Clone, Copy)]
enum Phase {
    Greeting,
    Credentials,
    Request,
    Over,
}

impl Negotiation {
    pub(crate) fn new() -> Self {
        Self { state: Phase::Greeting, unread: Vec::new(), isolation: Isolation::none() }
    }

    /// Takes bytes in whatever pieces they come; appends what must be written to `out`.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Standing {
        self.unread.extend_from_slice(bytes);
        loop {
            let mut rest = self.unread.as_slice();
            let step = match self.state {
                Phase::Greeting => greeting(&mut rest),
                Phase::Credentials => credentials(&mut rest),
                Phase::Request => request5(&mut rest, self.isolation),
                Phase::Over => return Standing::Close,
            };
            let consumed = self.unread.len() - rest.len();
            match step {
                Err(EndsEarly) => return Standing::More,
                Ok(Parsed::Complete(asked)) => {
                    self.consume(consumed);
                    self.state = Phase::Over;
                    return Standing::Complete(asked);
                }
                Ok(Parsed::Close(last_words)) => {
                    out.extend_from_slice(&last_words);
                    self.state = Phase::Over;
                    return Standing::Close;
                }
                Ok(Parsed::Method(method)) => {
                    out.extend_from_slice(&[VERSION_5, method]);
                    self.state = if method == CREDENTIALS { Phase::Credentials } else { Phase::Request };
                    self.consume(consumed);
                }
                Ok(Parsed::Credentials(isolation)) => {
                    out.extend_from_slice(&[CREDENTIALS_VERSION, 0]);
                    self.isolation = isolation;
                    self.state = Phase::Request;
                    self.consume(consumed);
                }
            }
        }
    }

    /// What the application sent after its request, without waiting for our answer.
    pub(crate) fn early(self) -> Vec<u8> {
        self.unread
    }

    fn consume(&mut self, length: usize) {
        self.unread.drain(..length);
    }
}

enum Parsed {
    Method(u8),
    Credentials(Isolation),
    Complete(SocksRequest),
    Close(Vec<u8>),
}

/// The bytes end before the message does.
struct EndsEarly;

fn greeting(bytes: &mut &[u8]) -> Result<Parsed, EndsEarly> {
    match take_u8(bytes)? {
        VERSION_5 => {
            let count = take_u8(bytes)?;
            let offered = take_slice(bytes, count.into())?;
            Ok(match [CREDENTIALS, NO_CREDENTIALS].into_iter().find(|method| offered.contains(method)) {
                Some(method) => Parsed::Method(method),
                None => Parsed::Close(vec![VERSION_5, NO_METHOD]),
            })
        }
        VERSION_4 => request4(bytes),
        _ => Ok(Parsed::Close(Vec::new())),
    }
}

/// RFC 1929. Anything is accepted, also what the RFC forbids (an empty user name).
fn credentials(bytes: &mut &[u8]) -> Result<Parsed, EndsEarly> {
    if take_u8(bytes)? != CREDENTIALS_VERSION {
        return Ok(Parsed::Close(vec![CREDENTIALS_VERSION, 1]));
    }
    let length = take_u8(bytes)?;
    let user = take_slice(bytes, length.into())?;
    let length = take_u8(bytes)?;
    let password = take_slice(bytes, length.into())?;
    Ok(Parsed::Credentials(Isolation::socks5(user, password)))
}

/// RFC 1928 §4.
fn request5(bytes: &mut &[u8], isolation: Isolation) -> Result<Parsed, EndsEarly> {
    if take_u8(bytes)? != VERSION_5 {
        return Ok(close5(Refusal::Malformed.socks5_reply()));
    }
    let command = take_u8(bytes)?;
    let _reserved = take_u8(bytes)?;
    let host = match take_u8(bytes)? {
        ADDRESS_V4 => Some(Host::V4(take::<4>(bytes)?.into())),
        ADDRESS_V6 => Some(Host::V6(take::<16>(bytes)?.into())),
        ADDRESS_NAME => {
            let length = take_u8(bytes)?;
            host_from_bytes(take_slice(bytes, length.into())?)
        }
        _ => return Ok(close5(REPLY_ADDRESS_UNKNOWN)),
    };
    let port = u16::from_be_bytes(take::<2>(bytes)?);
    Ok(match ask(command, host, port) {
        Ok(ask) => Parsed::Complete(SocksRequest { version: Version::Five, isolation, ask }),
        Err(refusal) => close5(refusal.socks5_reply()),
    })
}

/// The SOCKS4 request, after its version; with 4a's host name if the address is 0.0.0.x.
fn request4(bytes: &mut &[u8]) -> Result<Parsed, EndsEarly> {
    let command = take_u8(bytes)?;
    let port = u16::from_be_bytes(take::<2>(bytes)?);
    let address = take::<4>(bytes)?;
    let Some(user) = take_text4(bytes)? else {
        return Ok(close4());
    };
    let isolation = Isolation::socks4(user);
    let host = match address {
        [0, 0, 0, 1..=255] => match take_text4(bytes)? {
            Some(text) => host_from_bytes(text),
            None => return Ok(close4()),
        },
        octets => Some(Host::V4(octets.into())),
    };
    Ok(match ask(command, host, port) {
        Ok(ask) => Parsed::Complete(SocksRequest { version: Version::Four, isolation, ask }),
        Err(_) => close4(),
    })
}

fn ask(command: u8, host: Option<Host>, port: u16) -> Result<Ask, Refusal> {
    match (command, host, port) {
        (RESOLVE, Some(host), _) => Ok(Ask::Resolve(host)),
        (CONNECT, Some(host), 1..) => Ok(Ask::Connect(Target { host, port })),
        (RESOLVE | CONNECT, ..) => Err(Refusal::Malformed),
        // BIND, UDP ASSOCIATE, RESOLVE_PTR and whatever else there may be.
        _ => Err(Refusal::Unsupported),
    }
}

fn host_from_bytes(bytes: &[u8]) -> Option<Host> {
    std::str::from_utf8(bytes).ok().and_then(|text| Host::from_text(text).ok())
}

fn close5(reply: u8) -> Parsed {
    Parsed::Close(reply5(reply, None))
}

fn close4() -> Parsed {
    Parsed::Close(reply4(REPLY4_FAILED, None))
}

/// RFC 1928 §6. We have no address to tell, unless it was asked for (RESOLVE).
fn reply5(reply: u8, address: Option<IpAddr>) -> Vec<u8> {
    let mut out = vec![VERSION_5, reply, 0];
    match address.unwrap_or(Ipv4Addr::UNSPECIFIED.into()) {
        IpAddr::V4(address) => {
            out.push(ADDRESS_V4);
            out.extend_from_slice(&address.octets());
        }
        IpAddr::V6(address) => {
            out.push(ADDRESS_V6);
            out.extend_from_slice(&address.octets());
        }
    }
    out.extend_from_slice(&[0, 0]);
    out
}

fn reply4(reply: u8, address: Option<Ipv4Addr>) -> Vec<u8> {
    let mut out = vec![0, reply, 0, 0];
    out.extend_from_slice(&address.unwrap_or(Ipv4Addr::UNSPECIFIED).octets());
    out
}

impl Version {
    fn connected(self) -> Vec<u8> {
        match self {
            Self::Four => reply4(REPLY4_DONE, None),
            Self::Five => reply5(REPLY_DONE, None),
        }
    }

    fn refused(self, refusal: Refusal) -> Vec<u8> {
        match self {
            Self::Four => reply4(REPLY4_FAILED, None),
            Self::Five => reply5(refusal.socks5_reply(), None),
        }
    }

    /// One address, as there is room for one: IPv4 if there is any, as an application that asks for one
    /// address can more likely use it (and SOCKS4 has no other).
    fn resolved(self, addresses: &[IpAddr]) -> Vec<u8> {
        let v4 = addresses.iter().find_map(|address| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        });
        match (self, v4, addresses.first()) {
            (Self::Four, Some(v4), _) => reply4(REPLY4_DONE, Some(v4)),
            (Self::Five, Some(v4), _) => reply5(REPLY_DONE, Some(v4.into())),
            (Self::Five, None, Some(&v6)) => reply5(REPLY_DONE, Some(v6)),
            _ => self.refused(Refusal::NameNotFound),
        }
    }
}

/// Serves one application connection, to its end.
pub(crate) async fn serve<D: Dial>(mut tcp: TcpStream, dial: Arc<D>, settings: ProxySettings) {
    let mut negotiation = Negotiation::new();
    let asked = match timeout(settings.handshake_time, negotiate(&mut tcp, &mut negotiation)).await {
        Ok(Ok(Some(asked))) => asked,
        Ok(Ok(None)) => return close(&mut tcp).await,
        // The application is gone, or too slow: there is nobody to tell.
        Ok(Err(_)) | Err(_) => return,
    };
    let SocksRequest { version, isolation, ask } = asked;
    match ask {
        Ask::Connect(target) => match within(settings.dial_time, dial.connect(isolation, target)).await {
            Ok(stream) => {
                if tell(&mut tcp, &version.connected(), settings).await {
                    let (mut recv, mut send) = tokio::io::split(Guarded::new(stream));
                    let (early, idle) = (negotiation.early(), settings.idle_time);
                    // No `lost`: an application that reads slowly may have what has arrived, also when the circuit is gone.
                    splice(&mut tcp, &mut recv, &mut send, &early, idle, pending()).await;
                }
            }
            Err(refusal) => finish(&mut tcp, &version.refused(refusal), settings).await,
        },
        Ask::Resolve(host) => {
            let answer = match host.address() {
                Some(address) => Ok(vec![address]),
                None => within(settings.dial_time, dial.resolve(isolation, host)).await,
            };
            let reply = match answer {
                Ok(addresses) => version.resolved(&addresses),
                Err(refusal) => version.refused(refusal),
            };
            finish(&mut tcp, &reply, settings).await;
        }
    }
}

/// Reads and answers until the application has asked, or nothing more is to be said (`None`).
async fn negotiate(tcp: &mut TcpStream, negotiation: &mut Negotiation) -> io::Result<Option<SocksRequest>> {
    let mut buffer = [0; READ_BYTES];
    let mut out = Vec::new();
    loop {
        let length = tcp.read(&mut buffer).await?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let progress = negotiation.push(&buffer[..length], &mut out);
        tcp.write_all(&out).await?;
        out.clear();
        match progress {
            Standing::More => {}
            Standing::Complete(asked) => return Ok(Some(asked)),
            Standing::Close => return Ok(None),
        }
    }
}

async fn tell(tcp: &mut TcpStream, reply: &[u8], settings: ProxySettings) -> bool {
    matches!(timeout(settings.handshake_time, tcp.write_all(reply)).await, Ok(Ok(())))
}

async fn finish(tcp: &mut TcpStream, reply: &[u8], settings: ProxySettings) {
    if tell(tcp, reply, settings).await {
        close(tcp).await;
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], EndsEarly> {
    let (taken, rest) = bytes.split_first_chunk::<N>().ok_or(EndsEarly)?;
    *bytes = rest;
    Ok(*taken)
}

fn take_u8(bytes: &mut &[u8]) -> Result<u8, EndsEarly> {
    take::<1>(bytes).map(|[byte]| byte)
}

fn take_slice<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], EndsEarly> {
    let (taken, rest) = bytes.split_at_checked(length).ok_or(EndsEarly)?;
    *bytes = rest;
    Ok(taken)
}

/// A text that ends with a zero byte; `None` if it is too long.
fn take_text4<'a>(bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, EndsEarly> {
    let all = *bytes;
    let window = &all[..all.len().min(SOCKS4_TEXT_MAX_BYTES + 1)];
    match window.iter().position(|&byte| byte == 0) {
        Some(length) => {
            *bytes = &all[length + 1..];
            Ok(Some(&all[..length]))
        }
        None if window.len() > SOCKS4_TEXT_MAX_BYTES => Ok(None),
        None => Err(EndsEarly),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Everything that comes of `pieces`: what is written, where it ends, what is left over.
    fn converse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, Standing, Vec<u8>) {
        let (mut negotiation, mut out, mut early) = (Negotiation::new(), Vec::new(), Vec::new());
        let mut progress = Standing::More;
        for piece in pieces {
            match progress {
                Standing::More => progress = negotiation.push(piece, &mut out),
                _ => early.extend_from_slice(piece),
            }
        }
        let left = if matches!(progress, Standing::Complete(_)) {
            [negotiation.early(), early].concat()
        } else {
            Vec::new()
        };
        (out, progress, left)
    }

    fn asked(bytes: &[u8]) -> SocksRequest {
        match converse([bytes]).1 {
            Standing::Complete(asked) => asked,
            progress => panic!("{progress:?}"),
        }
    }

    fn connect_to(text: &str, port: u16) -> Ask {
        Ask::Connect(Target { host: Host::from_text(text).unwrap(), port })
    }

    #[test]
    fn a_name_an_ipv4_and_an_ipv6_address_are_understood() {
        let name = b"\x05\x01\x00\x05\x01\x00\x03\x0bExample.ORG\x01\xbb";
        assert_eq!(asked(name).ask, connect_to("example.org", 443));
        let v4 = b"\x05\x01\x00\x05\x01\x00\x01\x01\x02\x03\x04\x00\x50";
        assert_eq!(asked(v4).ask, connect_to("1.2.3.4", 80));
        let mut v6 = b"\x05\x01\x00\x05\x01\x00\x04".to_vec();
        v6.extend_from_slice(&[0; 15]);
        v6.extend_from_slice(&[1, 0, 80]);
        assert_eq!(asked(&v6).ask, connect_to("::1", 80));
        let literal = b"\x05\x01\x00\x05\x01\x00\x03\x071.2.3.4\x00\x50";
        assert_eq!(asked(literal).ask, connect_to("1.2.3.4", 80));
    }

    #[test]
    fn credentials_are_preferred_and_anything_is_accepted() {
        let plain = b"\x05\x02\x00\x02\x01\x01u\x01p\x05\x01\x00\x03\x01a\x00\x01";
        let (out, progress, _) = converse([&plain[..]]);
        assert_eq!(out, [5, 2, 1, 0]);
        let Standing::Complete(one) = progress else { panic!() };
        assert_eq!(one.isolation, Isolation::socks5(b"u", b"p"));
        let empty = b"\x05\x01\x02\x01\x00\x00\x05\x01\x00\x03\x01a\x00\x01";
        assert_eq!(asked(empty).isolation, Isolation::none());
    }

    #[test]
    fn a_method_that_we_lack_is_refused_by_name() {
        assert_eq!(converse([&b"\x05\x02\x01\x80"[..]]), (vec![5, 0xff], Standing::Close, vec![]));
        assert_eq!(converse([&b"\x05\x00"[..]]), (vec![5, 0xff], Standing::Close, vec![]));
    }

    #[test]
    fn what_is_not_offered_is_answered_at_once() {
        for (command, address, reply) in
            [(2, 1, 7), (3, 1, 7), (0xf1, 1, 7), (0, 1, 7), (9, 1, 7), (1, 2, 8), (1, 0, 8)]
        {
            let bytes = [5, 1, 0, 5, command, 0, address, 9, 9, 9, 9, 0, 53];
            let (out, progress, _) = converse([&bytes[..]]);
            assert_eq!(progress, Standing::Close);
            assert_eq!(out, [&[5, 0], reply5(reply, None).as_slice()].concat(), "{command} {address}");
        }
    }

    #[test]
    fn a_name_that_is_none_is_refused_as_malformed() {
        for tail in [
            &b"\x03\x00\x00\x50"[..],
            b"\x03\x03a b\x00\x50",
            b"\x03\x02\xff\xff\x00\x50",
            b"\x01\x01\x01\x01\x01\x00\x00",
        ] {
            let (out, progress, _) = converse([&b"\x05\x01\x00\x05\x01\x00"[..], tail]);
            assert_eq!((out[3], progress), (1, Standing::Close));
        }
    }

    #[test]
    fn socks4_and_4a_are_understood() {
        let four = asked(b"\x04\x01\x00\x50\x01\x02\x03\x04\x00");
        assert_eq!((four.ask, four.version), (connect_to("1.2.3.4", 80), Version::Four));
        assert_eq!(four.isolation, Isolation::none());
        let named = asked(b"\x04\x01\x00\x50\x00\x00\x00\x07me\x00a.example\x00");
        assert_eq!(named.ask, connect_to("a.example", 80));
        assert_eq!(named.isolation, Isolation::socks4(b"me"));
        let resolve = asked(b"\x04\xf0\x00\x00\x00\x00\x00\x07\x00a.example\x00");
        assert_eq!(resolve.ask, Ask::Resolve(Host::from_text("a.example").unwrap()));
        let bind = converse([&b"\x04\x02\x00\x50\x01\x02\x03\x04\x00"[..]]);
        assert_eq!(bind, (reply4(0x5b, None), Standing::Close, vec![]));
    }

    #[test]
    fn a_socks4_text_without_end_is_cut() {
        let mut bytes = b"\x04\x01\x00\x50\x01\x02\x03\x04".to_vec();
        bytes.extend_from_slice(&[b'a'; SOCKS4_TEXT_MAX_BYTES]);
        assert_eq!(converse([bytes.as_slice()]).1, Standing::More);
        bytes.push(b'a');
        assert_eq!(converse([bytes.as_slice()]).1, Standing::Close);
    }

    /// Bytes that get some way into a negotiation, and then on.
    fn any_conversation() -> impl Strategy<Value = Vec<u8>> {
        let start = prop_oneof![
            Just(vec![]),
            Just(vec![5]),
            Just(vec![4, 1, 0, 80, 1, 2, 3, 4]),
            Just(vec![4, 0xf0, 0, 80, 0, 0, 0, 4, 0]),
            Just(vec![5, 1, 2, 1, 1, b'u', 1, b'p', 5, 1, 0]),
            Just(b"\x05\x01\x00\x05\x01\x00\x03\x03a.b\x00\x50".to_vec()),
        ];
        (start, proptest::collection::vec(any::<u8>(), 0..600))
            .prop_map(|(start, rest)| [start, rest].concat())
    }

    proptest! {
        #[test]
        fn the_pieces_do_not_matter(bytes in any_conversation(), cuts in proptest::collection::vec(1usize..40, 1..64)) {
            let whole = converse([bytes.as_slice()]);
            prop_assert_eq!(&converse(bytes.chunks(1)), &whole);
            let (mut pieces, mut rest) = (Vec::new(), bytes.as_slice());
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            pieces.push(rest);
            prop_assert_eq!(&converse(pieces), &whole);
        }
    }
}
