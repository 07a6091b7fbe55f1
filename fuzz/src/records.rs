//! Bytes as a mix's description of itself; most of them signed, or no fuzzer would get past that.

use throng_core::Time;
use throng_core::crypto::Suite;
use throng_core::id::{Member, NodeId};
use throng_core::limits::RECORD_BYTES_MAX;
use throng_core::membership::{Record, join_family};
use throng_sim::Toy;

const SECRET: [u8; 32] = [9; 32];
const NOW: Time = Time::from_secs(1_000_000);

/// A record as it stands, or with its mix's name and signature in their places.
pub fn run(bytes: &[u8]) {
    is_valid(bytes);
}

/// Whether it is good.
fn is_valid(bytes: &[u8]) -> bool {
    let Some((kind, bytes)) = bytes.split_first() else { return false };
    match kind % 4 {
        0 => check(bytes),
        _ => check(&signed(bytes)),
    }
}

/// Content, signed by the mix that it describes.
pub(super) fn signed(content: &[u8]) -> Vec<u8> {
    let mut content = content.to_vec();
    let identity = Toy::sign_public(&SECRET);
    let has_family = content.get(1) == Some(&1);
    let place = if has_family { 2 + 96 } else { 2 };
    if let Some(place) = content.get_mut(place..place + 32) {
        place.copy_from_slice(&identity);
    }
    if let Some(place) = content.get_mut(2..2 + 96).filter(|_| has_family) {
        let Member { family, signature } = join_family::<Toy>(&[8; 32], NodeId(identity));
        place[..32].copy_from_slice(&family.0);
        place[32..].copy_from_slice(&signature);
    }
    let signature = Toy::sign(&SECRET, &[b"throng record 3\0", &content[..]].concat());
    [&content[..], &signature].concat()
}

fn check(bytes: &[u8]) -> bool {
    let Ok(record) = Record::verify::<Toy>(bytes, NOW) else { return false };
    assert_eq!(record.as_bytes(), bytes);
    let description = record.description().clone();
    assert!((description.from..description.until).contains(&NOW) && bytes.len() <= RECORD_BYTES_MAX);
    assert_eq!(Record::sign::<Toy>(description, &SECRET), record, "one record, one form");
    true
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_fuzzer_begins_with_records_that_are_valid() {
        assert!(super::is_valid(include_bytes!("../corpus/records/one")), "one of a family");
        assert!(super::is_valid(include_bytes!("../corpus/records/two")));
    }
}
