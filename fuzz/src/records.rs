//! Bytes as a mix's description of itself; most of them signed, or no fuzzer would get past that.

use throng_core::Time;
use throng_core::crypto::Suite;
use throng_core::limits::RECORD_BYTES_MAX;
use throng_core::membership::Record;
use throng_sim::Toy;

const SECRET: [u8; 32] = [9; 32];
const NOW: Time = Time::from_secs(1_000_000);

/// A record as it stands, or with its mix's name and signature in their places.
pub fn run(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 4 {
        0 => check(bytes),
        _ => check(&signed(bytes)),
    }
}

/// Content, signed by the mix that it describes.
pub(super) fn signed(content: &[u8]) -> Vec<u8> {
    let mut content = content.to_vec();
    if let Some(identity) = content.get_mut(2..34) {
        identity.copy_from_slice(&Toy::sign_public(&SECRET));
    }
    let signature = Toy::sign(&SECRET, &[b"throng record 1\0", &content[..]].concat());
    [&content[..], &signature].concat()
}

fn check(bytes: &[u8]) {
    let Ok(record) = Record::verify::<Toy>(bytes, NOW) else { return };
    assert_eq!(record.as_bytes(), bytes);
    let description = record.description().clone();
    assert!((description.from..description.until).contains(&NOW) && bytes.len() <= RECORD_BYTES_MAX);
    assert_eq!(Record::sign::<Toy>(description, &SECRET), record, "one record, one form");
}
