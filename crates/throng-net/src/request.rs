//! What a client says first on a stream through a circuit, and what the exit answers.
//!
//! Both are one *frame*: a length (u16, big-endian, in bytes) and that many bytes. After a
//! [`Request::Connect`] the client's data follows, which it may send without waiting for the answer; after
//! [`Reply::Connected`] the far end's data follows.
//!
//! ```text
//! connect   01 host port(u16)        connected  00
//! resolve   02 host                  resolved   01 count(u8) host*      (addresses only)
//! host      01 length(u8) name       refused    02 refusal(u8)
//!           04 address(4)
//!           06 address(16)
//! ```
//!
//! Parsers are total: any bytes give a value or [`NotUnderstood`], and every value has exactly one encoding.
//! Host names and addresses are never shown by `Debug` or `Display`: whoever needs them says `reveal`.

use std::fmt;
use std::io;
use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

mod host;
mod refusal;

pub use host::{Host, LABEL_MAX_BYTES, NAME_MAX_BYTES, Name, Target};
pub use refusal::Refusal;

use host::SCRUBBED;

/// Most addresses in a [`Reply::Resolved`].
pub const RESOLVED_MAX: usize = 8;
/// Longest request without its length field: kind, host kind, name length, name, port.
pub const REQUEST_MAX_BYTES: usize = 1 + 1 + 1 + NAME_MAX_BYTES + 2;
/// Longest reply without its length field: kind, count, addresses with their kinds.
pub const REPLY_MAX_BYTES: usize = 1 + 1 + RESOLVED_MAX * (1 + 16);

const CONNECT: u8 = 1;
const RESOLVE: u8 = 2;
const CONNECTED: u8 = 0;
const RESOLVED: u8 = 1;
const REFUSED: u8 = 2;

/// A stream, or one side of it, that can be ended so that the far end sees an error and not a clean end.
pub trait Abort {
    /// Ends with an error whatever has not ended yet: resets what we send, refuses what we receive.
    ///
    /// A direction that has already ended cleanly (was shut down, or was read to its end) must be left
    /// alone: what it carried may still be under way. Calling it again does nothing.
    fn abort(&mut self);
}

const _: () = assert!(RESOLVED_MAX <= u8::MAX as usize);
const _: () = assert!(REQUEST_MAX_BYTES <= u16::MAX as usize);
const _: () = assert!(REPLY_MAX_BYTES <= u16::MAX as usize);

/// What a client asks of an exit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Open a TCP connection; the stream then carries its data.
    Connect(Target),
    /// Tell the addresses of a host; the stream ends after the answer.
    Resolve(Host),
}

impl Request {
    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        frame(out, |out| match self {
            Self::Connect(target) => {
                out.push(CONNECT);
                target.host.encode(out);
                out.extend_from_slice(&target.port.to_be_bytes());
            }
            Self::Resolve(host) => {
                out.push(RESOLVE);
                host.encode(out);
            }
        });
    }

    /// Parses the inside of a frame, to its last byte.
    ///
    /// # Errors
    /// [`NotUnderstood`] if it is no request.
    pub fn parse(mut bytes: &[u8]) -> Result<Self, NotUnderstood> {
        let bytes = &mut bytes;
        let request = match take_u8(bytes)? {
            CONNECT => {
                let host = Host::parse(bytes)?;
                match u16::from_be_bytes(take::<2>(bytes)?) {
                    0 => return Err(NotUnderstood),
                    port => Self::Connect(Target { host, port }),
                }
            }
            RESOLVE => Self::Resolve(Host::parse(bytes)?),
            _ => return Err(NotUnderstood),
        };
        if bytes.is_empty() { Ok(request) } else { Err(NotUnderstood) }
    }

    /// Reads one frame, and not a byte more. Not cancel-safe.
    ///
    /// # Errors
    /// What `from` gives; `InvalidData` if it is no request.
    pub async fn read<R: AsyncRead + Unpin>(from: &mut R) -> io::Result<Self> {
        let inside = read_frame(from, REQUEST_MAX_BYTES).await?;
        Ok(Self::parse(&inside)?)
    }

    /// Writes the frame and flushes it.
    ///
    /// # Errors
    /// What `to` gives.
    pub async fn write<W: AsyncWrite + Unpin>(&self, to: &mut W) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(2 + REQUEST_MAX_BYTES);
        self.encode(&mut bytes);
        to.write_all(&bytes).await?;
        to.flush().await
    }

    /// The client's side: asks on a fresh stream, and waits for what is not a refusal. Sets no time limit.
    ///
    /// # Errors
    /// The exit's refusal; [`Refusal::CircuitLost`] if the stream ends first; [`Refusal::Failed`] if the
    /// answer is none.
    pub async fn ask<R, W>(&self, recv: &mut R, send: &mut W) -> Result<Reply, Refusal>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        self.write(send).await.map_err(|_| Refusal::CircuitLost)?;
        match (self, Reply::read(recv).await) {
            (_, Ok(Reply::Refused(refusal))) => Err(refusal),
            (Self::Connect(_), Ok(reply @ Reply::Connected)) => Ok(reply),
            (Self::Resolve(_), Ok(reply @ Reply::Resolved(_))) => Ok(reply),
            (_, Err(error)) if error.kind() != io::ErrorKind::InvalidData => Err(Refusal::CircuitLost),
            _ => Err(Refusal::Failed),
        }
    }
}

/// What an exit answers.
#[derive(Clone, PartialEq, Eq)]
pub enum Reply {
    /// The TCP connection is open.
    Connected,
    /// The addresses of the host, at most [`RESOLVED_MAX`]; further ones are not sent.
    Resolved(Vec<IpAddr>),
    /// It was not done.
    Refused(Refusal),
}

impl Reply {
    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        frame(out, |out| match self {
            Self::Connected => out.push(CONNECTED),
            Self::Resolved(addresses) => {
                let sent = &addresses[..addresses.len().min(RESOLVED_MAX)];
                out.extend_from_slice(&[RESOLVED, sent.len() as u8]);
                for &address in sent {
                    Host::from(address).encode(out);
                }
            }
            Self::Refused(refusal) => out.extend_from_slice(&[REFUSED, refusal.code()]),
        });
    }

    /// Parses the inside of a frame, to its last byte.
    ///
    /// # Errors
    /// [`NotUnderstood`] if it is no reply.
    pub fn parse(mut bytes: &[u8]) -> Result<Self, NotUnderstood> {
        let bytes = &mut bytes;
        let reply = match take_u8(bytes)? {
            CONNECTED => Self::Connected,
            RESOLVED => {
                let count = usize::from(take_u8(bytes)?);
                if count > RESOLVED_MAX {
                    return Err(NotUnderstood);
                }
                let address = |_| Host::parse(bytes)?.address().ok_or(NotUnderstood);
                Self::Resolved((0..count).map(address).collect::<Result<_, _>>()?)
            }
            REFUSED => Self::Refused(Refusal::from_code(take_u8(bytes)?)),
            _ => return Err(NotUnderstood),
        };
        if bytes.is_empty() { Ok(reply) } else { Err(NotUnderstood) }
    }

    /// Reads one frame, and not a byte more. Not cancel-safe.
    ///
    /// # Errors
    /// What `from` gives; `InvalidData` if it is no reply.
    pub async fn read<R: AsyncRead + Unpin>(from: &mut R) -> io::Result<Self> {
        let inside = read_frame(from, REPLY_MAX_BYTES).await?;
        Ok(Self::parse(&inside)?)
    }

    /// Writes the frame and flushes it.
    ///
    /// # Errors
    /// What `to` gives.
    pub async fn write<W: AsyncWrite + Unpin>(&self, to: &mut W) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(2 + REPLY_MAX_BYTES);
        self.encode(&mut bytes);
        to.write_all(&bytes).await?;
        to.flush().await
    }
}

/// Bytes or a text that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotUnderstood;

impl fmt::Display for NotUnderstood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed")
    }
}

impl std::error::Error for NotUnderstood {}

impl From<NotUnderstood> for io::Error {
    fn from(malformed: NotUnderstood) -> Self {
        Self::new(io::ErrorKind::InvalidData, malformed)
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected => f.write_str("Connected"),
            Self::Resolved(_) => write!(f, "Resolved({SCRUBBED})"),
            Self::Refused(refusal) => write!(f, "Refused({refusal:?})"),
        }
    }
}

fn frame(out: &mut Vec<u8>, inside: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 2]);
    inside(out);
    // The insides are bounded by REQUEST_MAX_BYTES and REPLY_MAX_BYTES, which fit (asserted above).
    let length = (out.len() - start - 2) as u16;
    out[start..start + 2].copy_from_slice(&length.to_be_bytes());
}

async fn read_frame<R: AsyncRead + Unpin>(from: &mut R, max_bytes: usize) -> io::Result<Vec<u8>> {
    let length = usize::from(from.read_u16().await?);
    if length > max_bytes {
        return Err(NotUnderstood.into());
    }
    let mut inside = vec![0; length];
    from.read_exact(&mut inside).await?;
    Ok(inside)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], NotUnderstood> {
    let (taken, rest) = bytes.split_first_chunk::<N>().ok_or(NotUnderstood)?;
    *bytes = rest;
    Ok(*taken)
}

fn take_u8(bytes: &mut &[u8]) -> Result<u8, NotUnderstood> {
    take::<1>(bytes).map(|[byte]| byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    fn inside(frame: &[u8]) -> &[u8] {
        let (length, inside) = frame.split_first_chunk::<2>().unwrap();
        assert_eq!(usize::from(u16::from_be_bytes(*length)), inside.len());
        inside
    }

    #[test]
    fn no_debug_output_tells_where_somebody_goes() {
        let host = Host::from_text("secret.example").unwrap();
        let target = Target { host: host.clone(), port: 4433 };
        let shown = [
            format!("{:?}", Name::new("secret.example").unwrap()),
            format!("{host:?} {target:?} {:?}", Request::Connect(target.clone())),
            format!("{:?}", Request::Resolve(Host::V4(Ipv4Addr::new(9, 8, 7, 6)))),
            format!("{:?}", Reply::Resolved(vec![Ipv4Addr::new(9, 8, 7, 6).into()])),
        ];
        for text in shown {
            assert!(text.contains(SCRUBBED), "{text}");
            assert!(!text.contains("secret") && !text.contains("9.8") && !text.contains("4433"), "{text}");
        }
    }

    #[test]
    fn a_second_spelling_of_a_name_is_malformed() {
        for text in [&b"A.b"[..], b"a.b.", b"1.2.3.4"] {
            let mut bytes = vec![RESOLVE, host::HOST_NAME, text.len() as u8];
            bytes.extend_from_slice(text);
            assert_eq!(Request::parse(&bytes), Err(NotUnderstood));
        }
    }

    #[tokio::test]
    async fn reading_a_request_leaves_the_data_after_it() {
        let request = Request::Connect(Target { host: Host::from_text("a.b").unwrap(), port: 80 });
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        bytes.extend_from_slice(b"early");
        let mut from = bytes.as_slice();
        assert_eq!(Request::read(&mut from).await.unwrap(), request);
        assert_eq!(from, b"early");
    }

    #[tokio::test]
    async fn a_frame_over_the_bound_is_malformed_before_it_is_read() {
        let bytes = [0xff, 0xff];
        let error = Request::read(&mut bytes.as_slice()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let error = Reply::read(&mut [0, 5, 0].as_slice()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    fn any_host() -> impl Strategy<Value = Host> {
        prop_oneof![
            "[a-z0-9_-]{1,63}(\\.[a-z_-]{1,63}){0,2}".prop_map(|text| Host::from_text(&text).unwrap()),
            any::<[u8; 4]>().prop_map(|octets| Host::V4(octets.into())),
            any::<[u8; 16]>().prop_map(|octets| Host::V6(octets.into())),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            host in any_host(),
            port in 1u16..,
            addresses in proptest::collection::vec(any::<IpAddr>(), 0..=RESOLVED_MAX),
            code in any::<u8>(),
        ) {
            for request in [Request::Connect(Target { host: host.clone(), port }), Request::Resolve(host)] {
                let mut bytes = Vec::new();
                request.encode(&mut bytes);
                prop_assert_eq!(Request::parse(inside(&bytes)).unwrap(), request);
                prop_assert!(bytes.len() <= 2 + REQUEST_MAX_BYTES);
            }
            let refused = Reply::Refused(Refusal::from_code(code));
            for reply in [Reply::Connected, Reply::Resolved(addresses), refused] {
                let mut bytes = Vec::new();
                reply.encode(&mut bytes);
                prop_assert_eq!(Reply::parse(inside(&bytes)).unwrap(), reply);
                prop_assert!(bytes.len() <= 2 + REPLY_MAX_BYTES);
            }
        }

        #[test]
        fn any_bytes_parse_or_are_malformed(bytes in proptest::collection::vec(any::<u8>(), 0..64), kind in 0u8..4) {
            let mut marked = vec![kind];
            marked.extend_from_slice(&bytes);
            for bytes in [&bytes, &marked] {
                if let Ok(request) = Request::parse(bytes) {
                    let mut again = Vec::new();
                    request.encode(&mut again);
                    prop_assert_eq!(inside(&again), bytes.as_slice());
                }
                let _ = Reply::parse(bytes);
            }
        }
    }
}
