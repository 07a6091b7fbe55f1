//! Where an exit opens connections to.
//!
//! An exit stands inside somebody's network: a stranger must not reach through it what only that network may
//! reach (its routers, its printers, its cloud's metadata service). So an address is allowed only if it is
//! globally reachable by the IANA special-purpose registries (RFC 6890 and its successors), and an IPv6
//! address that carries an IPv4 address is no better than the one it carries.
//!
//! Nor does it go by where it stands ([`Near`]) or to what its operator denies: that need not look private.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;
use throng_core::Ports;

use super::near::Near;

/// Networks that an operator can deny.
pub const DENIED_NETWORKS_MAX: usize = 1024;

/// What an exit allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitPolicy {
    /// The ports; none means that this is not an exit.
    pub ports: Ports,
    /// Whether loopback, private, link-local and documentation addresses are allowed as well, and the exit's own and those on
    /// its links. Only for a test network on machines of one's own. Metadata services stay refused.
    pub local: bool,
    /// Networks that are refused whatever else is said; at most [`DENIED_NETWORKS_MAX`].
    pub denied: Vec<Network>,
}

impl Default for ExitPolicy {
    /// The web and a short list of other daily ports ([`Ports::reduced`]), on global addresses only.
    fn default() -> Self {
        Self { ports: Ports::reduced(), local: false, denied: Vec::new() }
    }
}

impl ExitPolicy {
    /// Whether connections to `port` are opened.
    pub fn allows_port(&self, port: u16) -> bool {
        self.ports.allows(port)
    }

    /// Whether connections to `address` are opened by an exit that stands there. To be asked of each address that a name
    /// resolved to.
    pub fn allows_addr(&self, address: IpAddr, near: &Near) -> bool {
        let reach = match address {
            IpAddr::V4(address) => reach_v4(address),
            IpAddr::V6(address) => reach_v6(address),
        };
        let denied = |address| self.denied.iter().any(|network| network.contains(address));
        let mut names = names(address);
        match reach {
            AddressReach::Never => false,
            AddressReach::Local if !self.local => false,
            _ => !names.any(|address| denied(address) || (!self.local && near.contains(address))),
        }
    }
}

/// An address, or all that begin like it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    /// Whether `address` is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

impl FromStr for Network {
    type Err = NotANetwork;

    /// Reads an address or a prefix, like `203.0.113.7`, `203.0.113.0/24` or `2001:db8::/32`.
    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let address = text.parse::<IpAddr>().map(IpNet::from);
        let network = address.or_else(|_| text.parse::<IpNet>());
        network.map(|network| Self(network.trunc())).map_err(|_| NotANetwork(text.to_owned()))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// This is neither an address nor a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotANetwork(String);

impl fmt::Display for NotANetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid network `{}`: expected an address, or a prefix like 203.0.113.0/24", self.0)
    }
}

impl std::error::Error for NotANetwork {}

/// Ordered: the minimum of two is the stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum AddressReach {
    /// No connection makes sense there, or none may be made.
    Never,
    /// Inside one machine, network or test bed.
    Local,
    /// The Internet.
    Global,
}

fn reach_v4(address: Ipv4Addr) -> AddressReach {
    if METADATA_V4.contains(&address) {
        return AddressReach::Never;
    }
    match address.octets() {
        [0, ..] => AddressReach::Never, // "this network" (RFC 791); Linux takes 0.0.0.0 for loopback
        [127, ..] => AddressReach::Local, // loopback
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => AddressReach::Local, // private (RFC 1918)
        [169, 254, ..] => AddressReach::Local, // link-local (RFC 3927)
        [100, 64..=127, ..] => AddressReach::Local, // carrier's NAT (RFC 6598)
        [192, 0, 0, _] => AddressReach::Never, // protocol assignments (RFC 6890)
        [192, 88, 99, _] => AddressReach::Never, // 6to4 relays (RFC 7526)
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => AddressReach::Local, // documentation (RFC 5737)
        [198, 18..=19, ..] => AddressReach::Local, // benchmarking (RFC 2544)
        [224..=255, ..] => AddressReach::Never,    // multicast, reserved, broadcast
        _ => AddressReach::Global,
    }
}

fn reach_v6(address: Ipv6Addr) -> AddressReach {
    if METADATA_V6.contains(&address) {
        return AddressReach::Never;
    }
    let groups = address.segments();
    let last = embedded(groups[6], groups[7]);
    match groups {
        [0, 0, 0, 0, 0, 0, 0, 0] => AddressReach::Never, // unspecified
        [0, 0, 0, 0, 0, 0, 0, 1] => AddressReach::Local, // loopback
        [0, 0, 0, 0, 0, 0xffff, _, _] => reach_v4(last), // mapped (RFC 4291)
        [0, 0, 0, 0, 0, 0, _, _] => reach_v4(last),      // compatible (RFC 4291)
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => reach_v4(last), // NAT64 (RFC 6052)
        [0x64, 0xff9b, 1, ..] => reach_v4(last).min(AddressReach::Local), // a network's own NAT64 (RFC 8215)
        [0x2002, high, low, ..] => reach_v4(embedded(high, low)), // 6to4 (RFC 3056)
        // Teredo (RFC 4380): the server's address, and the client's with its bits turned over.
        [0x2001, 0, high, low, ..] => {
            reach_v4(embedded(high, low)).min(reach_v4(embedded(!groups[6], !groups[7])))
        }
        [0xfc00..=0xfdff, ..] => AddressReach::Local, // unique local (RFC 4193)
        [0xfe80..=0xfebf, ..] => AddressReach::Local, // link-local (RFC 4291)
        [0x2001, 0xdb8, ..] => AddressReach::Local,   // documentation (RFC 3849)
        [0x3fff, ..=0xfff, ..] => AddressReach::Local, // documentation (RFC 9637)
        [0x2001, 2, 0, ..] => AddressReach::Local,    // benchmarking (RFC 5180)
        [0x2001, 0x10..=0x2f, ..] => AddressReach::Never, // ORCHID: no addresses at all (RFC 4843, 7343)
        [0x2000..=0x3fff, ..] => AddressReach::Global,
        // All else is not assigned for global unicast: site-local fec0::/10, multicast ff00::/8,
        // discard 100::/64, segment routing 5f00::/16, ...
        _ => AddressReach::Never,
    }
}

/// `address`, and the IPv4 addresses that it carries: whatever leads to one of them leads to a machine that is called so.
fn names(address: IpAddr) -> impl Iterator<Item = IpAddr> {
    let groups = match address {
        IpAddr::V4(_) => [1; 8], // carries none
        IpAddr::V6(address) => address.segments(),
    };
    let carried = match groups {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, .., high, low] => [Some((high, low)), None],
        [0x2002, high, low, ..] => [Some((high, low)), None],
        [0x2001, 0, high, low, .., not_high, not_low] => [Some((high, low)), Some((!not_high, !not_low))],
        _ => [None, None],
    };
    let carried = carried.into_iter().flatten().map(|(high, low)| embedded(high, low).into());
    std::iter::once(address).chain(carried)
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

/// Services that tell a machine in a cloud its secrets: refused even in a test network.
const METADATA_V4: [Ipv4Addr; 5] = [
    Ipv4Addr::new(169, 254, 169, 254), // nearly everybody
    Ipv4Addr::new(169, 254, 170, 2),   // Amazon ECS
    Ipv4Addr::new(100, 100, 100, 200), // Alibaba
    Ipv4Addr::new(168, 63, 129, 16),   // Azure; globally reachable by its number only
    Ipv4Addr::new(192, 0, 0, 192),     // Oracle
];
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), // Amazon
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),  // Google
];

#[cfg(test)]
mod tests {
    use super::*;

    const GLOBAL: &[&str] = &[
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.88.98.255",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2000::1",
        "2001:4860:4860::8888",
        "2606:4700::1111",
        "3ffe::1",
        "3fff:1000::1",
        "::ffff:1.1.1.1",
        "::1.1.1.1",
        "64:ff9b::1.1.1.1",
        "2002:101:101::1",
        // Teredo: server 65.54.227.120, client 192.0.2.45 turned into 1.1.1.1 turned over.
        "2001:0:4136:e378:8000:63bf:fefe:fefe",
    ];

    const LOCAL: &[&str] = &[
        "127.0.0.1",
        "127.255.255.255",
        "10.0.0.0",
        "10.255.255.255",
        "172.16.0.0",
        "172.31.255.255",
        "192.168.0.1",
        "169.254.0.1",
        "100.64.0.0",
        "100.127.255.255",
        "192.0.2.1",
        "198.51.100.1",
        "203.0.113.1",
        "198.18.0.0",
        "198.19.255.255",
        "::1",
        "fc00::1",
        "fdff::1",
        "fe80::1",
        "febf::1",
        "2001:db8::1",
        "2001:2::1",
        "3fff::1",
        "3fff:fff::1",
        "::ffff:127.0.0.1",
        "::ffff:10.1.2.3",
        "::10.1.2.3",
        "64:ff9b::192.168.0.1",
        "64:ff9b:1::1.1.1.1",
        "2002:a00:1::1",
        "2002:7f00:1::1",
        "2001:0:4136:e378:8000:63bf:80ff:fffe", // Teredo with client 127.0.0.1
        "2001:0:a00:1:8000:63bf:fefe:fefe",     // Teredo with server 10.0.0.1
    ];

    const NEVER: &[&str] = &[
        "0.0.0.0",
        "0.1.2.3",
        "192.0.0.1",
        "192.88.99.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "169.254.169.254",
        "169.254.170.2",
        "100.100.100.200",
        "168.63.129.16",
        "fd00:ec2::254",
        "fd20:ce::254",
        "::",
        "ff02::1",
        "fec0::1",
        "feff::1",
        "100::1",
        "5f00::1",
        "4000::1",
        "2001:10::1",
        "2001:20::1",
        "::ffff:0.0.0.0",
        "::ffff:169.254.169.254",
        "::ffff:0:1.1.1.1",
        "::a9fe:a9fe",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::169.254.169.254",
        "64:ff9b:2::1.1.1.1",
        "2002:a9fe:a9fe::1",
        "2001:0:4136:e378:8000:63bf:5601:5601", // Teredo with client 169.254.169.254
    ];

    fn allowed(policy: &ExitPolicy, text: &str) -> bool {
        policy.allows_addr(text.parse().unwrap(), &Near::default())
    }

    #[test]
    fn an_exit_reaches_the_internet_and_nothing_beside_it() {
        let policy = ExitPolicy { ports: Ports::all(), ..ExitPolicy::default() };
        for text in GLOBAL {
            assert!(allowed(&policy, text), "{text}");
        }
        for text in LOCAL.iter().chain(NEVER) {
            assert!(!allowed(&policy, text), "{text}");
        }
    }

    #[test]
    fn a_local_exit_reaches_its_own_network_but_no_metadata_service() {
        let policy = ExitPolicy { ports: Ports::all(), local: true, denied: Vec::new() };
        for text in GLOBAL.iter().chain(LOCAL) {
            assert!(allowed(&policy, text), "{text}");
        }
        for text in NEVER {
            assert!(!allowed(&policy, text), "{text}");
        }
    }

    /// The same machine by its other names: mapped, NAT64, 6to4, Teredo.
    const AS_8_8_4_4: &[&str] =
        &["8.8.4.4", "::ffff:8.8.4.4", "64:ff9b::8.8.4.4", "2002:808:404::1", "2001:0:808:404::fefe:fefe"];

    #[test]
    fn a_denied_network_is_refused_whatever_it_is_called_and_also_by_a_local_exit() {
        let denied = ["8.8.4.0/24", "2606:4700::/32", "10.1.2.3"].map(|text| text.parse().unwrap()).to_vec();
        for local in [false, true] {
            let policy = ExitPolicy { ports: Ports::all(), local, denied: denied.clone() };
            for text in AS_8_8_4_4.iter().chain(&["2606:4700::1111", "10.1.2.3"]) {
                assert!(!allowed(&policy, text), "{text}");
            }
            for text in ["8.8.5.0", "2606:4701::1", "::ffff:8.8.3.255"] {
                assert!(allowed(&policy, text), "{text}");
            }
            assert_eq!(allowed(&policy, "10.1.2.4"), local);
        }
    }

    #[test]
    fn where_it_stands_is_refused_whatever_it_is_called_but_not_by_a_local_exit() {
        let near =
            Near::of([("8.8.4.4", 24), ("2606:4700::7", 128)].map(|(ip, bits)| (ip.parse().unwrap(), bits)));
        let policy = ExitPolicy { ports: Ports::all(), ..ExitPolicy::default() };
        let local = ExitPolicy { local: true, ..policy.clone() };
        for text in AS_8_8_4_4.iter().chain(&["8.8.4.200", "2606:4700::7", "2606:4700::1:2:3:4"]) {
            assert!(!policy.allows_addr(text.parse().unwrap(), &near), "{text}");
            assert!(local.allows_addr(text.parse().unwrap(), &near), "{text}");
        }
        for text in ["8.8.5.4", "2606:4700:0:1::7"] {
            assert!(policy.allows_addr(text.parse().unwrap(), &near), "{text}");
        }
    }

    #[test]
    fn a_network_is_an_address_or_a_prefix_and_anything_else_is_named() {
        for (text, printed) in [
            ("192.0.2.7", "192.0.2.7/32"),
            ("192.0.2.7/24", "192.0.2.0/24"),
            ("2001:db8::1", "2001:db8::1/128"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
        ] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), printed);
        }
        for text in
            ["", "example.org", "192.0.2/24", "192.0.2.0/33", "2001:db8::/129", "192.0.2.0/", "192.0.2.0/-1"]
        {
            let error = text.parse::<Network>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")), "{error}");
        }
    }

    #[test]
    fn a_port_is_allowed_only_if_it_is_listed() {
        let policy = ExitPolicy::default();
        assert!(policy.allows_port(80) && policy.allows_port(443));
        assert!(!policy.allows_port(25) && !policy.allows_port(0) && !policy.local);
    }
}
