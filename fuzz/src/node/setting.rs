//! Who is in the world, and how its network works: made once for each design.

use std::sync::{Arc, LazyLock};

use throng_core::config::Membership;
use throng_core::crypto::Suite;
use throng_core::documents::{Document, Roots, Statement, assemble, sign, unsigned};
use throng_core::membership::Record;
use throng_core::{ClientConfig, Design, NodeConfig, NodeKeys, Ports, Time};
use throng_machine::Maybenot;
use throng_sim::mix_config;

use super::suite::Open;

/// When every world begins.
pub(super) const BEGIN: Time = Time::from_secs(1000);
/// Mixes; behind them come a mix that is also a client, and a client.
pub(super) const MIXES: usize = 4;
/// All hosts.
pub(super) const HOSTS: usize = MIXES + 1;

/// Networks that take different ways through a node.
const DESIGNS: [&str; 12] = [
    "hops = 3",
    "hops = 2\ndatagram = 256",
    "hops = 3\ndatagram = 700\nmixing = slices=50ms",
    "hops = 2\nmixing = exponential=15ms",
    "hops = 2\nmixing = batch=20ms\ncompany = hold=3:20ms",
    "hops = 2\nmixing = pool=1:10:200ms\ncompany = fill=2",
    "hops = 2\ncover = user-link=256kbps,links=1mbps",
    "hops = 2\ncover = user-link=256kbps,links=1mbps,end-to-end=64kbps",
    "hops = 2\ncover = demand-driven=8kbps:2mbps",
    "hops = 2\ncover = mimics=128kbps",
    "hops = 2\ncover = poisson=64kbps:8kbps",
    "hops = 2\ndatagram = 256\nmixing = uniform=20ms\ncover = user-link=64kbps,poisson=32kbps:8kbps",
];

/// A network, and those who take part.
pub(super) struct Setting {
    pub(super) design: Arc<Design>,
    pub(super) configs: Vec<NodeConfig>,
    pub(super) records: Vec<Arc<Record>>,
    /// What its operators sign: in order of their serials, with two of one.
    pub(super) documents: Vec<Arc<Document>>,
}

/// All of them; of each network once with given members, once with a signed document.
pub(super) static SETTINGS: LazyLock<Vec<Setting>> = LazyLock::new(|| {
    DESIGNS.iter().flat_map(|text| [false, true].map(|signed| setting(text, signed))).collect()
});

/// Where a host is at first.
pub(super) fn address(host: usize) -> std::net::SocketAddr {
    ([10, host as u8, 0, 1], 9000).into()
}

fn setting(text: &str, is_signed: bool) -> Setting {
    let design: Arc<Design> = Arc::new(text.parse().expect("the list above is right"));
    let mixes = (0..MIXES).map(|number| {
        let ports = if number < 2 { Ports::none() } else { Ports::reduced() };
        mix_config::<Open>(number as u32, address(number), ports, &design)
    });
    let (mut configs, records): (Vec<_>, Vec<_>) = mixes.unzip();
    let documents =
        [(1, 4), (2, 4), (2, 3), (3, 4)].map(|(serial, mixes)| document(&design, serial, &records[..mixes]));
    let membership = match is_signed {
        true => Membership::Signed { roots: roots(), document: Arc::clone(&documents[0]) },
        false => Membership::Given(records.clone()),
    };
    let client = ClientConfig { spare: 1, ..ClientConfig::default() };
    configs[MIXES - 1].client = Some(client.clone());
    configs.push(NodeConfig {
        keys: NodeKeys::new([77; 32]),
        relays: false,
        is_exit: false,
        client: Some(client),
        defences: Some(Arc::new(Maybenot)),
        ..configs[0].clone()
    });
    configs.iter_mut().for_each(|config| config.membership = membership.clone());
    Setting { design, configs, records, documents: documents.into() }
}

const OPERATOR: [u8; 32] = [55; 32];
const NETWORK: &str = "a network";

fn roots() -> Roots {
    Roots::new(NETWORK.into(), vec![Open::sign_public(&OPERATOR)], 1).expect("one of one signs")
}

fn document(design: &Design, serial: u64, records: &[Arc<Record>]) -> Arc<Document> {
    let until = Time::from_secs(500_000);
    let statement = Statement {
        network: NETWORK.into(),
        serial,
        from: Time::ZERO,
        until,
        before: vec![[0; 32]; serial.saturating_sub(1).min(32) as usize],
        design: design.clone(),
        records: records.to_vec(),
    };
    let (bytes, mut signatures) = (unsigned(&statement), Vec::new());
    sign::<Open>(&bytes, &mut signatures, &OPERATOR);
    let document = Document::verify::<Open>(&assemble(&bytes, &signatures), &roots(), BEGIN);
    Arc::new(document.expect("it was signed"))
}
