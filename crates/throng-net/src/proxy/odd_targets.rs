//! Request targets as old pages and scripts write them, with bytes that belong in no URI: `<`, `>`, a Latin-1 letter.
//!
//! Servers take them, and the HTTP library does not. Browsers escape them (WHATWG URL §1.3), and so does this, in the request
//! lines of what an application sends. Where a request line begins is known as long as all lengths are: behind a body in
//! chunks, or another protocol, everything is left as it is.

use bytes::{Buf, Bytes, BytesMut};

/// Enough of a header line to know a length by.
const LINE_KEPT: usize = 64;

/// Escapes request targets in the bytes of one connection.
#[derive(Default)]
pub(super) struct OddTargets {
    part: RequestPart,
    /// The beginning of the header line that we are in.
    line: Vec<u8>,
    /// What the head so far says of the body.
    body: Body,
    /// Escaped, and not yet read.
    ready: BytesMut,
}

#[derive(Default, PartialEq, Eq)]
enum RequestPart {
    #[default]
    Method,
    Target,
    Headers,
    /// So many bytes of a body are to come.
    Body(u64),
    /// Nobody here knows where the next request begins.
    Unknown,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Body {
    #[default]
    None,
    Bytes(u64),
    Unknown,
}

impl OddTargets {
    /// How many of the bytes that come next need not be looked at.
    pub(super) fn plain(&self) -> usize {
        match self.part {
            _ if !self.ready.is_empty() => 0,
            RequestPart::Unknown => usize::MAX,
            RequestPart::Body(left) => usize::try_from(left).unwrap_or(usize::MAX),
            RequestPart::Method | RequestPart::Target | RequestPart::Headers => 0,
        }
    }

    /// So many of them came.
    pub(super) fn passed(&mut self, bytes: usize) {
        if let RequestPart::Body(left) = &mut self.part {
            *left -= bytes as u64;
            if *left == 0 {
                self.part = RequestPart::Method;
            }
        }
    }

    /// Whether something waits to be read.
    pub(super) fn has_some(&self) -> bool {
        !self.ready.is_empty()
    }

    /// As much of what waits as fits; how much that was.
    pub(super) fn read(&mut self, into: &mut [u8]) -> usize {
        let length = into.len().min(self.ready.len());
        self.ready.copy_to_slice(&mut into[..length]);
        length
    }

    /// All that waits.
    pub(super) fn into_unread(self) -> Bytes {
        self.ready.freeze()
    }

    /// Takes what came in. Never more than threefold of it waits.
    pub(super) fn take(&mut self, mut bytes: &[u8]) {
        while let Some(&byte) = bytes.first() {
            let whole = match self.part {
                RequestPart::Unknown => bytes.len(),
                RequestPart::Body(left) => usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len()),
                RequestPart::Method | RequestPart::Target | RequestPart::Headers => {
                    self.take_one(byte);
                    bytes = &bytes[1..];
                    continue;
                }
            };
            let (these, rest) = bytes.split_at(whole);
            self.ready.extend_from_slice(these);
            bytes = rest;
            self.passed(whole);
        }
    }

    /// A byte of a head.
    fn take_one(&mut self, byte: u8) {
        if self.part == RequestPart::Target && is_odd(byte) {
            let digit =
                |half: u8| char::from_digit(half.into(), 16).map_or(b'0', |c| c.to_ascii_uppercase() as u8);
            return self.ready.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
        self.ready.extend_from_slice(&[byte]);
        match (&self.part, byte) {
            (RequestPart::Method, b' ') => {
                // What follows a CONNECT is not ours.
                self.body = if self.line == b"CONNECT" { Body::Unknown } else { Body::None };
                self.part = RequestPart::Target;
            }
            // Empty lines before a request are no request (RFC 9112 §2.2).
            (RequestPart::Method, b'\r' | b'\n') => self.line.clear(),
            (RequestPart::Target, b'\n') => self.begin_header(),
            (RequestPart::Headers, b'\n') => self.end_header(),
            (RequestPart::Method | RequestPart::Headers, _) if self.line.len() < LINE_KEPT => {
                self.line.push(byte)
            }
            _ => {}
        }
    }

    fn begin_header(&mut self) {
        self.line.clear();
        self.part = RequestPart::Headers;
    }

    fn end_header(&mut self) {
        if self.line.trim_ascii().is_empty() {
            self.line.clear();
            self.part = match self.body {
                Body::None | Body::Bytes(0) => RequestPart::Method,
                Body::Bytes(length) => RequestPart::Body(length),
                Body::Unknown => RequestPart::Unknown,
            };
            return;
        }
        let colon = self.line.iter().position(|byte| *byte == b':').unwrap_or(self.line.len());
        let (name, value) = self.line.split_at(colon);
        let is = |other: &[u8]| name.trim_ascii().eq_ignore_ascii_case(other);
        if is(b"content-length") {
            self.body = match (self.body, length_of(value)) {
                (Body::None, Some(length)) if self.line.len() < LINE_KEPT => Body::Bytes(length),
                // Two lengths, none, or a cut one: whatever the library makes of it.
                _ => Body::Unknown,
            };
        } else if is(b"transfer-encoding") || is(b"upgrade") {
            self.body = Body::Unknown;
        }
        self.begin_header();
    }
}

/// What a header line says behind its colon, if it is a length.
fn length_of(value: &[u8]) -> Option<u64> {
    let digits = value.strip_prefix(b":")?.trim_ascii();
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
}

/// Whether a byte that a target may not have is sent in one, and means no other thing to the library.
fn is_odd(byte: u8) -> bool {
    matches!(byte, b'<' | b'>' | b'`' | 0x80..)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out, whatever pieces it came in.
    fn through(bytes: &[u8]) -> Vec<u8> {
        let read = |pieces: usize| {
            let mut targets = OddTargets::default();
            let mut out = Vec::new();
            for piece in bytes.chunks(pieces) {
                targets.take(piece);
                let mut some = [0; 7];
                while targets.has_some() {
                    let length = targets.read(&mut some);
                    out.extend_from_slice(&some[..length]);
                }
            }
            out
        };
        let whole = read(bytes.len());
        assert!((1..20).all(|pieces| read(pieces) == whole));
        whole
    }

    #[test]
    fn only_targets_are_escaped() {
        let odd = b"GET http://h/<x>?`\xe4 HTTP/1.1\r\nA: <x>\xe4\r\n\r\n";
        let escaped = b"GET http://h/%3Cx%3E?%60%E4 HTTP/1.1\r\nA: <x>\xe4\r\n\r\n";
        assert_eq!(through(odd), escaped);
        assert_eq!(
            through(&[&odd[..], odd].concat()),
            [&escaped[..], escaped].concat(),
            "also in the next request"
        );
        assert_eq!(
            through(b"\r\nGET /< HTTP/1.1\n\nGET /< HTTP/1.1\n\n"),
            b"\r\nGET /%3C HTTP/1.1\n\nGET /%3C HTTP/1.1\n\n"
        );
    }

    #[test]
    fn bodies_and_what_follows_an_unknown_length_are_left_as_they_are() {
        let body =
            b"POST /< HTTP/1.1\r\nContent-Length: 17\r\n\r\nGET /< HTTP/1.1\r\nPUT /> HTTP/1.1\r\n\r\n";
        let kept =
            b"POST /%3C HTTP/1.1\r\nContent-Length: 17\r\n\r\nGET /< HTTP/1.1\r\nPUT /%3E HTTP/1.1\r\n\r\n";
        assert_eq!(through(body), kept);
        for head in [
            &b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"[..],
            b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 0000000000000000000000000000000000000000000000000000000003\r\n\r\n",
            b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
            b"CONNECT h:443 HTTP/1.1\r\n\r\n",
        ] {
            let all = [head, b"abcGET /< HTTP/1.1\r\n\r\n"].concat();
            assert_eq!(through(&all), all);
        }
    }

    #[test]
    fn lines_without_an_end_take_no_memory() {
        let mut targets = OddTargets::default();
        for _ in 0..10_000 {
            targets.take(&[b'x'; 1000]);
            targets.read(&mut [0; 1000]);
        }
        assert!(targets.line.len() <= LINE_KEPT && targets.ready.capacity() < 10_000);
    }
}
