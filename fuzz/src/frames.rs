//! Bytes as what clients and exits say to each other, and as names of hosts.

use throng_net::request::{Host, REPLY_MAX_BYTES, REQUEST_MAX_BYTES, Reply, Request};

/// Each kind of frame, and a text as a host.
pub fn run(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 3 {
        0 => {
            let Ok(request) = Request::parse(bytes) else { return };
            assert_eq!(
                written(|out| request.encode(out), REQUEST_MAX_BYTES),
                bytes,
                "every value has one encoding"
            );
        }
        1 => {
            let Ok(reply) = Reply::parse(bytes) else { return };
            let again = written(|out| reply.encode(out), REPLY_MAX_BYTES);
            // A refusal that this program does not know is one that it knows.
            assert!(
                Reply::parse(&again) == Ok(reply.clone())
                    && (again == bytes || matches!(reply, Reply::Refused(_)))
            );
        }
        _ => {
            let Ok(host) = Host::from_text(&String::from_utf8_lossy(bytes)) else { return };
            assert_eq!(Host::from_text(&host.reveal()), Ok(host.clone()), "a host is read as it is shown");
            let request = Request::Resolve(host);
            assert_eq!(Request::parse(&written(|out| request.encode(out), REQUEST_MAX_BYTES)), Ok(request));
        }
    }
}

/// The inside of a frame.
fn written(encode: impl FnOnce(&mut Vec<u8>), at_most: usize) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out);
    let inside = out.split_off(2);
    assert_eq!(
        usize::from(u16::from_be_bytes([out[0], out[1]])),
        inside.len(),
        "a frame says how long it is"
    );
    assert!(inside.len() <= at_most, "and is not too long");
    inside
}
