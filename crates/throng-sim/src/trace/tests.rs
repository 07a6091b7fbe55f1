use super::*;
use proptest::prelude::*;

fn example(rows: usize) -> Trace {
    let mut trace = Trace::new(5, 1280);
    for i in 0..rows as u64 {
        let row = Row {
            at: i * 31_000_017 % 7_000_000_000,
            from: (i % 9) as u32,
            to: (i * 7 % 9) as u32,
            length: 1280,
        };
        let inside = Inside {
            user: (i % 4) as u32,
            exchange: i as u32 / 3,
            kind: (i % 4) as u8 + 1,
            number: i as u32,
        };
        trace.push(row, (i % 3 != 0).then_some(inside));
    }
    trace.deeds.push(Deed {
        at: 7,
        what: What::Began,
        user: 1,
        exchange: 2,
        exit: 3,
        up: 300,
        down: 1 << 40,
    });
    trace.deeds.push(Deed {
        at: 9,
        what: What::Failed,
        user: 1,
        exchange: 2,
        exit: u32::MAX,
        up: 0,
        down: 0,
    });
    trace.sort();
    trace
}

#[test]
fn a_trace_is_read_as_it_was_written_and_takes_little_room() {
    let trace = example(5000);
    let (seen, truth) = (trace.seen_to_bytes(), trace.truth_to_bytes());
    let mut read = Trace::seen_from_bytes(&seen).unwrap();
    assert_eq!(read.seen, trace.seen);
    assert_eq!(read.deeds, [], "what was seen says nothing of the truth");
    read.add_truth(&truth).unwrap();
    assert_eq!(read, trace);
    assert!(seen.len() < 5000 * 8, "{} bytes a row", seen.len() / 5000);
}

#[test]
fn what_is_no_trace_or_of_another_version_or_cut_off_or_changed_is_refused() {
    let trace = example(3000);
    let (seen, truth) = (trace.seen_to_bytes(), trace.truth_to_bytes());
    assert_eq!(Trace::seen_from_bytes(b"hello"), Err(Unreadable::NotATrace));
    assert_eq!(Trace::seen_from_bytes(&truth), Err(Unreadable::NotATrace));
    let mut newer = seen.clone();
    newer[8] = 2;
    assert_eq!(Trace::seen_from_bytes(&newer), Err(Unreadable::UnknownVersion(2)));
    for keep in [9, 12, 30, seen.len() / 2, seen.len() - 1] {
        assert_eq!(Trace::seen_from_bytes(&seen[..keep]), Err(Unreadable::Truncated), "{keep}");
    }
    for keep in [9, 12, 30, truth.len() / 2, truth.len() - 1] {
        assert_eq!(trace.clone().add_truth(&truth[..keep]), Err(Unreadable::Truncated), "{keep}");
    }
    let mut changed = seen.clone();
    changed[seen.len() / 2] ^= 4;
    assert_eq!(Trace::seen_from_bytes(&changed), Err(Unreadable::Changed));
    let mut other = example(2999);
    assert_eq!(other.add_truth(&truth), Err(Unreadable::Changed), "the truth of another trace");
}

#[test]
fn a_pcap_has_headers_that_add_up() {
    let pcap = example(10).to_pcap();
    assert_eq!(pcap.len(), 24 + 10 * (16 + 28));
    let first = &pcap[24..24 + 44];
    assert_eq!(u32::from_le_bytes(first[8..12].try_into().unwrap()), 28);
    assert_eq!(u32::from_le_bytes(first[12..16].try_into().unwrap()), 1308);
    let ip = &first[16..36];
    let sum: u32 = ip.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "the checksum of RFC 791");
    assert_eq!(ip[2..4], 1308u16.to_be_bytes());
}

#[test]
fn a_csv_has_a_line_for_each_row() {
    let csv = example(10).to_csv();
    assert_eq!(csv.lines().count(), 11);
    assert!(csv.starts_with("time_ns,from,to,length\n0,0,0,1280\n"));
}

#[test]
fn the_truth_has_tables_of_its_own() {
    let trace = example(10);
    let (seen, truth, deeds) = (trace.to_csv(), trace.truth_to_csv(), trace.deeds_to_csv());
    assert_eq!(seen.lines().count(), truth.lines().count(), "line by line");
    assert!(truth.starts_with("user,exchange,kind,segment\n,,,\n1,0,answer,1\n"), "{truth}");
    assert!(deeds.ends_with("\n7,began,1,2,3,300,1099511627776\n9,failed,1,2,,0,0\n"), "{deeds}");
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), fix: bool) {
        if fix {
            // Past the front: as if somebody had made a file on purpose.
            let mut head = SEEN_MAGIC.to_vec();
            head.extend(VERSION.to_le_bytes());
            head.extend([0; 8]);
            head.extend(&bytes);
            bytes = TraceWriter(head).check();
        }
        let _ = Trace::seen_from_bytes(&bytes);
    }
}

#[test]
fn what_fits_into_no_datagram_and_who_has_no_address_is_refused() {
    for (row, is_read) in [
        (Row { at: 1, from: 0, to: 1, length: PAYLOAD_MAX }, true),
        (Row { at: 1, from: 0, to: 1, length: PAYLOAD_MAX + 1 }, false),
        (Row { at: 1, from: u32::MAX, to: 1, length: 1280 }, false),
        (Row { at: 1, from: 0, to: u32::MAX, length: 1280 }, false),
    ] {
        let mut trace = Trace::new(5, 1280);
        trace.seen.push(row);
        let read = Trace::seen_from_bytes(&trace.seen_to_bytes());
        assert_eq!(read.map(|trace| trace.to_pcap().len() - 24).ok(), is_read.then_some(44), "{row:?}");
    }
}
