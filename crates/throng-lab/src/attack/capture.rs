//! What `tcpdump -w` recorded, as rows.
//!
//! Classic pcap files, of either byte order, in microseconds or nanoseconds; packets from Ethernet, from Linux's "any"
//! device in both its forms, or bare IP. UDP over IPv4 counts, all else is passed over. Times are those of the capture.
//!
//! Two things distort what is recorded. "any" has a datagram as often as it passes an interface, so it is better to
//! record one. And what leaves with one system call goes through loopback and virtual wires as one packet, which shows
//! as one long row, unless `ip link set … gso_max_segs 1` makes the kernel cut it up, as network cards do.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

use throng_sim::Row;

/// The hosts of several captures, so that one has the same number in each: 0 who was seen first.
#[derive(Clone, Debug, Default)]
pub struct Hosts(Vec<SocketAddrV4>);

impl Hosts {
    /// Whose number this is.
    pub fn address(&self, number: u32) -> Option<SocketAddrV4> {
        self.0.get(number as usize).copied()
    }

    /// The number of a host, which is known from now on.
    pub fn number(&mut self, address: SocketAddrV4) -> u32 {
        let known = self.0.iter().position(|host| *host == address);
        known.unwrap_or_else(|| {
            self.0.push(address);
            self.0.len() - 1
        }) as u32
    }
}

/// What was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    /// Datagrams in the order of time.
    pub rows: Vec<Row>,
    /// Packets that are no UDP over IPv4, fragments, or too short to tell.
    pub passed_over: u64,
    /// Whether the last packet is not there as a whole: tcpdump was still writing, or was killed.
    pub is_cut_off: bool,
}

/// Why these bytes are no capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotACapture {
    /// They do not begin as a classic pcap file does.
    NotPcap,
    /// They end within the file's header.
    Truncated,
    /// Its packets are from a kind of device that this program does not know.
    UnknownDevice(u32),
    /// A packet says that it is longer than any.
    Damaged,
}

impl fmt::Display for NotACapture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPcap => write!(f, "this is no pcap file, as `tcpdump -w` writes it"),
            Self::Truncated => write!(f, "this file ends too early"),
            Self::UnknownDevice(kind) => {
                write!(f, "this was recorded from an unknown kind of device ({kind})")
            }
            Self::Damaged => write!(f, "this file is damaged"),
        }
    }
}

impl std::error::Error for NotACapture {}

/// Reads a capture; its hosts are added to those that are known.
///
/// # Errors
/// [`NotACapture`].
pub fn read_pcap(bytes: &[u8], hosts: &mut Hosts) -> Result<Capture, NotACapture> {
    let (header, mut rest) = bytes.split_first_chunk::<FILE_HEADER>().ok_or(match bytes.get(..4) {
        Some(magic) if Format::of(magic).is_none() => NotACapture::NotPcap,
        _ => NotACapture::Truncated,
    })?;
    let format = Format::of(&header[..4]).ok_or(NotACapture::NotPcap)?;
    let device = Device::of(format.word(header, 5))?;
    let mut capture = Capture::default();
    while let Some((header, packets)) = rest.split_first_chunk::<PACKET_HEADER>() {
        let length = format.word(header, 2) as usize;
        if length > PACKET_BYTES_MAX {
            return Err(NotACapture::Damaged);
        }
        let Some((packet, behind)) = packets.split_at_checked(length) else { break };
        rest = behind;
        match device.datagram(packet) {
            Some(datagram) => {
                let (from, to) = (hosts.number(datagram.from), hosts.number(datagram.to));
                let at = format.time(header);
                capture.rows.push(Row { at, from, to, length: datagram.length });
            }
            None => capture.passed_over += 1,
        }
    }
    capture.is_cut_off = !rest.is_empty();
    capture.rows.sort_by_key(|row| row.at);
    Ok(capture)
}

const FILE_HEADER: usize = 24;
const PACKET_HEADER: usize = 16;
/// What tcpdump itself takes for the longest (its MAXIMUM_SNAPLEN).
const PACKET_BYTES_MAX: usize = 262_144;

/// How numbers are written.
#[derive(Clone, Copy)]
struct Format {
    is_big_endian: bool,
    /// Of the smaller unit of time.
    nanoseconds: u64,
}

impl Format {
    fn of(magic: &[u8]) -> Option<Self> {
        let (is_big_endian, nanoseconds) = match magic {
            [0xd4, 0xc3, 0xb2, 0xa1] => (false, 1000),
            [0xa1, 0xb2, 0xc3, 0xd4] => (true, 1000),
            [0x4d, 0x3c, 0xb2, 0xa1] => (false, 1),
            [0xa1, 0xb2, 0x3c, 0x4d] => (true, 1),
            _ => return None,
        };
        Some(Self { is_big_endian, nanoseconds })
    }

    /// The word in this place of a header.
    fn word(self, header: &[u8], place: usize) -> u32 {
        let bytes = *header[4 * place..].first_chunk().expect("headers have that many words");
        if self.is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    fn time(self, header: &[u8]) -> u64 {
        u64::from(self.word(header, 0)) * 1_000_000_000 + u64::from(self.word(header, 1)) * self.nanoseconds
    }
}

/// Where the IP packet is in what a device recorded (tcpdump.org/linktypes.html).
#[derive(Clone, Copy)]
enum Device {
    /// In front of it there are so many bytes, and at this place of them two that say whether it is IPv4.
    Framed { header: usize, kind_at: usize },
    /// There is nothing else.
    Bare,
}

impl Device {
    fn of(number: u32) -> Result<Self, NotACapture> {
        match number & 0xffff {
            1 => Ok(Self::Framed { header: 14, kind_at: 12 }), // Ethernet
            113 => Ok(Self::Framed { header: 16, kind_at: 14 }), // Linux "any"
            276 => Ok(Self::Framed { header: 20, kind_at: 0 }), // the same, version 2
            101 => Ok(Self::Bare),
            other => Err(NotACapture::UnknownDevice(other)),
        }
    }

    fn datagram(self, packet: &[u8]) -> Option<Ipv4Datagram> {
        match self {
            Self::Bare => Ipv4Datagram::parse(packet),
            Self::Framed { header, kind_at } => {
                let (header, ip) = packet.split_at_checked(header)?;
                (header[kind_at..kind_at + 2] == IPV4).then(|| Ipv4Datagram::parse(ip))?
            }
        }
    }
}

const IPV4: [u8; 2] = [8, 0];
const UDP: u8 = 17;
const UDP_HEADER: u16 = 8;

struct Ipv4Datagram {
    from: SocketAddrV4,
    to: SocketAddrV4,
    length: u16,
}

impl Ipv4Datagram {
    /// From as much of an IP packet as was recorded: the payload need not be there.
    fn parse(ip: &[u8]) -> Option<Self> {
        let fixed = ip.first_chunk::<20>()?;
        let header = usize::from(fixed[0] & 15) * 4;
        let is_fragment = fixed[6] & 0x3f != 0 || fixed[7] != 0;
        if fixed[0] >> 4 != 4 || header < 20 || fixed[9] != UDP || is_fragment {
            return None;
        }
        let [a, b, c, d, e, f, ..] = *ip.get(header..)?.first_chunk::<8>()?;
        let ip_at = |at: usize| Ipv4Addr::new(fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]);
        Some(Self {
            from: SocketAddrV4::new(ip_at(12), u16::from_be_bytes([a, b])),
            to: SocketAddrV4::new(ip_at(16), u16::from_be_bytes([c, d])),
            length: u16::from_be_bytes([e, f]).checked_sub(UDP_HEADER)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use throng_sim::Trace;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// The IPv4 packet of a datagram without its content: 10.0.0.`from`:9 to 10.0.0.`to`:9.
    fn ip(from: u8, to: u8, length: u16) -> Vec<u8> {
        let mut ip = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, UDP, 0, 0, 10, 0, 0, from, 10, 0, 0, to];
        ip.extend([0, 9, 0, 9]);
        ip.extend((length + UDP_HEADER).to_be_bytes());
        ip.extend([0, 0]);
        ip
    }

    fn file(device: u32, packets: &[(u32, u32, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
        bytes.extend([0; 8]);
        bytes.extend(65_535u32.to_le_bytes());
        bytes.extend(device.to_le_bytes());
        for (seconds, micros, packet) in packets {
            let length = packet.len() as u32;
            for word in [*seconds, *micros, length, length + 1280] {
                bytes.extend(word.to_le_bytes());
            }
            bytes.extend(packet);
        }
        bytes
    }

    fn behind(header: &[u8], ip: Vec<u8>) -> Vec<u8> {
        [header, &ip].concat()
    }

    fn read(bytes: &[u8]) -> Result<Capture, NotACapture> {
        read_pcap(bytes, &mut Hosts::default())
    }

    #[test]
    fn each_kind_of_device_shows_the_same() {
        let ethernet = [&[0; 12][..], &IPV4].concat();
        let any = [&[0; 14][..], &IPV4].concat();
        let any_2 = [&IPV4[..], &[0; 18]].concat();
        for (device, header) in [(1, ethernet), (113, any), (276, any_2), (101, Vec::new())] {
            let packets = [(1, 250, behind(&header, ip(1, 2, 1280))), (2, 0, behind(&header, ip(2, 1, 1)))];
            let capture = read(&file(device, &packets)).unwrap();
            let rows = [
                Row { at: SECOND + 250_000, from: 0, to: 1, length: 1280 },
                Row { at: 2 * SECOND, from: 1, to: 0, length: 1 },
            ];
            assert_eq!(capture, Capture { rows: rows.to_vec(), passed_over: 0, is_cut_off: false });
        }
        assert_eq!(read(&file(147, &[])), Err(NotACapture::UnknownDevice(147)));
    }

    #[test]
    fn what_a_trace_exports_is_read_again() {
        let mut trace = Trace::new(2, 1280);
        for (at, from, to) in [(5, 0, 1), (SECOND + 7, 1, 2), (2 * SECOND, 2, 1)] {
            trace.push(Row { at, from, to, length: 1280 }, None);
        }
        let mut hosts = Hosts::default();
        let capture = read_pcap(&trace.to_pcap(), &mut hosts).unwrap();
        assert_eq!(capture.rows, trace.seen);
        assert_eq!(hosts.address(2), Some("100.0.0.0:9000".parse().unwrap()));
    }

    #[test]
    fn a_host_has_one_number_in_all_captures() {
        let mut hosts = Hosts::default();
        let first = read_pcap(&file(101, &[(0, 0, ip(1, 2, 9))]), &mut hosts).unwrap();
        let second = read_pcap(&file(101, &[(0, 0, ip(3, 1, 9))]), &mut hosts).unwrap();
        assert_eq!((first.rows[0].from, first.rows[0].to), (0, 1));
        assert_eq!((second.rows[0].from, second.rows[0].to), (2, 0));
        assert_eq!(hosts.address(2), Some("10.0.0.3:9".parse().unwrap()));
        assert_eq!(hosts.address(3), None);
    }

    #[test]
    fn what_is_no_datagram_is_passed_over() {
        let mut tcp = ip(1, 2, 9);
        tcp[9] = 6;
        let mut fragment = ip(1, 2, 9);
        fragment[6] = 0x20;
        let mut impossible = ip(1, 2, 9);
        impossible[25] = 7;
        let mut six = ip(1, 2, 9);
        six[0] = 0x65;
        let others = [tcp, fragment, impossible, six, vec![], ip(1, 2, 9)[..27].to_vec()];
        let packets: Vec<_> = others.into_iter().map(|packet| (0, 0, packet)).collect();
        let capture = read(&file(101, &packets)).unwrap();
        assert_eq!((capture.rows.len(), capture.passed_over), (0, 6));
        let arp = behind(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 6], ip(1, 2, 9));
        assert_eq!(read(&file(1, &[(0, 0, arp)])).unwrap().passed_over, 1);
    }

    #[test]
    fn a_file_may_end_anywhere() {
        let packets = [(0, 1, ip(1, 2, 9)), (0, 2, ip(1, 2, 9)), (0, 3, ip(1, 2, 9))];
        let bytes = file(101, &packets);
        let packet = PACKET_HEADER + 28;
        for length in 0..=bytes.len() {
            let capture = read(&bytes[..length]);
            let Some(behind) = length.checked_sub(FILE_HEADER) else {
                assert_eq!(capture, Err(NotACapture::Truncated), "{length}");
                continue;
            };
            let capture = capture.unwrap();
            assert_eq!(capture.rows.len(), behind / packet);
            assert_eq!(capture.is_cut_off, behind % packet != 0);
        }
    }

    #[test]
    fn other_files_and_damaged_ones_are_refused() {
        assert_eq!(read(b"THRONGSE and more"), Err(NotACapture::NotPcap));
        assert_eq!(read(&[0x0a; 100]), Err(NotACapture::NotPcap)); // pcapng begins so
        let mut bytes = file(101, &[(0, 0, ip(1, 2, 9))]);
        bytes[FILE_HEADER + 8..FILE_HEADER + 12].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(read(&bytes), Err(NotACapture::Damaged));
    }

    #[test]
    fn both_byte_orders_and_both_units_of_time_are_read() {
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
        let packet = ip(1, 2, 9);
        let mut bytes = words(&[0xa1b2_3c4d, 0x0002_0004, 0, 0, 65_535, 101]);
        bytes.extend(words(&[3, 5, packet.len() as u32, 37]));
        bytes.extend(&packet);
        assert_eq!(read(&bytes).unwrap().rows[0].at, 3 * SECOND + 5);
        bytes[2..4].copy_from_slice(&[0xc3, 0xd4]);
        assert_eq!(read(&bytes).unwrap().rows[0].at, 3 * SECOND + 5000);
    }
}
