//! Bytes as what is on a wire: whatever is read is written as it was meant, and read again.

use throng_core::wire::cell::CellHeader;
use throng_core::wire::control::Control;
use throng_core::wire::datagram::Datagram;
use throng_core::wire::message::{MESSAGE_AUTH_BYTES, Message, is_recognised};

/// Each kind of bytes that a node reads.
pub fn run(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 3 {
        0 => {
            let _ = Datagram::parse(bytes);
            let Ok(header) = CellHeader::parse(bytes) else { return };
            let mut again = bytes.to_vec();
            header.write(&mut again);
            assert_eq!(again, bytes, "a header has one form");
        }
        1 => {
            let Ok(message) = Control::parse(bytes) else { return };
            let mut again = vec![0xAA; bytes.len()];
            message.write(&mut again);
            assert_eq!(Control::parse(&again), Ok(message));
        }
        _ => {
            let body = [&[0; MESSAGE_AUTH_BYTES], bytes].concat();
            assert!(is_recognised(&body));
            let Ok(message) = Message::parse(&body) else { return };
            let mut again = vec![0xAA; body.len()];
            message.write(&mut again);
            assert_eq!(Message::parse(&again), Ok(message));
        }
    }
}
