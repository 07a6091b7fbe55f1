//! How anonymous this is, by measurement, and what limits it. Formulas: docs/cover.md.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use throng_core::cover::{CircuitCover, Cover, UserLinkCover};
use throng_core::mixing::Mixing;
use throng_core::refused::Refused;
use throng_core::{Design, NodeId};
use throng_net::meter::Meter;

use crate::design::needed_company;

/// Shares of mixes, or of links, that an adversary may have.
const ADVERSARIES: [f64; 4] = [0.01, 0.05, 0.10, 0.25];
/// With fewer users at the first mix, timing alone finds one.
const FEW_USERS: u32 = 10;
/// Below this entropy at a mix, a cell's circuit is as good as known.
const FEW_BITS: f64 = 1.0;

/// Everything that `throng status` shows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// What its owner should know and can do something about, the gravest first.
    #[serde(default)]
    pub(crate) notices: Vec<String>,
    /// Seconds since the start.
    pub(crate) up_seconds: u64,
    pub(crate) mixing: String,
    #[serde(default)]
    pub(crate) company: String,
    /// How long mixing waits for company, where the number of users decides that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) needs_company: Option<String>,
    pub(crate) cover: CoverReport,
    /// How the client is, or the mix if this is one.
    #[serde(default)]
    pub(crate) node: NodeReport,
    /// The circuits of the client, if this is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client: Option<ClientReport>,
    /// What the mixes of this process observed.
    pub(crate) mixes: Vec<MixReport>,
    /// What limits anonymity most, in one sentence.
    pub(crate) why_low: String,
}

/// How a node is: what it has, did, refused and was too late for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct NodeReport {
    pub(crate) links: usize,
    /// Circuits of its own, also unfinished ones.
    pub(crate) own_circuits: usize,
    /// Circuits of others.
    pub(crate) relayed_circuits: usize,
    pub(crate) datagrams_in: u64,
    pub(crate) datagrams_out: u64,
    pub(crate) cells_relayed: u64,
    /// Cells dropped because a queue was full, or what they were for was gone.
    pub(crate) cells_dropped: u64,
    pub(crate) circuits_built: u64,
    pub(crate) circuits_failed: u64,
    /// Packets from circuits that were not read in time.
    pub(crate) packets_unread: u64,
    /// What peers sent that was refused, by the rule that was broken.
    pub(crate) refused: BTreeMap<String, u64>,
    /// Slots in which a datagram left; those that left late; those that stayed empty since it was too late for them.
    pub(crate) slots: u64,
    pub(crate) slots_late: u64,
    pub(crate) slots_missed: u64,
    /// The greatest lateness, milliseconds.
    pub(crate) slots_worst_ms: f64,
}

/// Whether cover is on, and what it costs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct CoverReport {
    pub(crate) scheme: String,
    /// Datagrams in slots of links: real ones, and filler.
    pub(crate) real: u64,
    pub(crate) filler: u64,
    /// Cells in slots of circuits: payloads, and dummies.
    pub(crate) payloads: u64,
    pub(crate) dummies: u64,
    /// Slots that stayed empty because the node was late.
    pub(crate) missed: u64,
    /// The budget is spent, or the connection metered: nothing covers what is sent now.
    #[serde(default)]
    pub(crate) rests: bool,
    /// Bytes of filler and dummies that were sent.
    pub(crate) bytes: u64,
    /// The same per day, at this rate.
    pub(crate) bytes_a_day: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ClientReport {
    pub(crate) circuits: Vec<CircuitReport>,
    /// The expected share of circuits whose first and last mix an adversary has.
    pub(crate) adversaries: Vec<AdversaryReport>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CircuitReport {
    pub(crate) is_used: bool,
    pub(crate) age_seconds: u64,
    /// Names of its mixes, first to last. How many others use them, a client cannot know: mixes tell nobody, since whoever
    /// asked them often could follow single circuits.
    pub(crate) hops: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AdversaryReport {
    pub(crate) share: f64,
    /// How many whole mixes that are: both ends of a circuit take two.
    #[serde(default)]
    pub(crate) mixes: usize,
    pub(crate) with_mixes: f64,
    pub(crate) with_links: f64,
}

/// What a mix observed within the last minute.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct MixReport {
    pub(crate) name: String,
    pub(crate) users: u32,
    pub(crate) circuits: u32,
    pub(crate) cells: u32,
    pub(crate) set: f64,
    pub(crate) bits: f64,
    pub(crate) lonely_cells: u64,
    pub(crate) cover: CoverReport,
    #[serde(default)]
    pub(crate) node: NodeReport,
}

impl Report {
    /// Of a client, and of the mixes that run beside it.
    pub(crate) fn new(
        design: &Design,
        up: Duration,
        client: Option<&Meter>,
        mixes: &[(String, Meter)],
        name: impl Fn(NodeId) -> String,
    ) -> Self {
        let mut report = Self {
            notices: Vec::new(),
            up_seconds: up.as_secs(),
            mixing: design.mixing.to_string(),
            company: design.company.to_string(),
            needs_company: needed_company(design, client.map_or(1, |meter| meter.mixes))
                .filter(|_| client.is_some()),
            cover: cover_report(&design.cover, client.or(mixes.first().map(|(_, meter)| meter)), up),
            node: client.or(mixes.first().map(|(_, meter)| meter)).map(node_report).unwrap_or_default(),
            client: client.map(|meter| client_report(meter, design.route.hops(), &name)),
            mixes: mixes.iter().map(|(name, meter)| mix_report(name, meter, &design.cover, up)).collect(),
            why_low: String::new(),
        };
        report.why_low = why_low(&report, design);
        report
    }

    /// The same with what its owner should know.
    pub(crate) fn with(self, notices: Vec<String>) -> Self {
        Self { notices, ..self }
    }
}

fn node_report(meter: &Meter) -> NodeReport {
    let (counts, sizes, pacing) = (&meter.counts, meter.sizes, &meter.pacing);
    let refused = Refused::ALL.into_iter().map(|why| (format!("{why:?}"), counts.refused(why)));
    NodeReport {
        links: sizes.links,
        own_circuits: sizes.own,
        relayed_circuits: sizes.relayed,
        datagrams_in: counts.datagrams_in,
        datagrams_out: counts.datagrams_out,
        cells_relayed: counts.cells_relayed,
        cells_dropped: counts.cells_dropped,
        circuits_built: counts.circuits_built,
        circuits_failed: counts.circuits_failed,
        packets_unread: meter.unread,
        refused: refused.filter(|(_, count)| *count > 0).collect(),
        slots: pacing.slots,
        slots_late: pacing.late,
        slots_missed: pacing.missed,
        slots_worst_ms: pacing.worst.as_secs_f64() * 1e3,
    }
}

fn cover_report(cover: &Cover, meter: Option<&Meter>, up: Duration) -> CoverReport {
    let spent = meter.and_then(|meter| meter.spent).unwrap_or_default();
    let datagram = meter.map_or(0, |meter| meter.datagram as u64 + 28);
    let bytes = (spent.filler + spent.dummies) * datagram;
    CoverReport {
        scheme: cover.named(&throng_machine::Maybenot).to_string(),
        real: spent.real,
        filler: spent.filler,
        payloads: spent.payloads,
        dummies: spent.dummies,
        missed: spent.missed,
        rests: meter.is_some_and(|meter| meter.spent.is_some() && !meter.may_cover),
        bytes,
        bytes_a_day: (bytes as f64 * 86_400.0 / up.as_secs_f64().max(1.0)) as u64,
    }
}

fn client_report(meter: &Meter, hops: usize, name: impl Fn(NodeId) -> String) -> ClientReport {
    let circuits = meter.circuits.iter().map(|circuit| CircuitReport {
        is_used: circuit.is_used,
        age_seconds: circuit.age.as_secs(),
        hops: circuit.path.iter().map(|mix| name(*mix)).collect(),
    });
    let adversaries = ADVERSARIES.map(|share| AdversaryReport {
        share,
        mixes: (share * meter.mixes as f64) as usize,
        with_mixes: both_ends_of(share, meter.mixes, hops),
        with_links: share * share,
    });
    ClientReport { circuits: circuits.collect(), adversaries: adversaries.to_vec() }
}

/// The probability that an adversary with this share of the mixes has the first and the last of a circuit: without
/// replacement, x (x N - 1) / (N - 1).
fn both_ends_of(share: f64, mixes: usize, hops: usize) -> f64 {
    let (all, theirs) = (mixes as f64, share * mixes as f64);
    match hops {
        0 | 1 => share,
        _ if mixes < 2 => share,
        _ => (share * (theirs - 1.0) / (all - 1.0)).max(0.0),
    }
}

fn mix_report(name: &str, meter: &Meter, cover: &Cover, up: Duration) -> MixReport {
    let company = meter.company;
    MixReport {
        name: name.to_owned(),
        users: company.users,
        circuits: company.circuits,
        cells: company.cells,
        set: company.set.into(),
        bits: company.bits.into(),
        lonely_cells: meter.lonely_cells,
        cover: cover_report(cover, Some(meter), up),
        node: node_report(meter),
    }
}

/// The weakest point, in one sentence.
fn why_low(report: &Report, design: &Design) -> String {
    if report.cover.rests {
        return "cover rests: its budget is spent, or the connection metered, and nothing hides when you send".into();
    }
    let used = report.client.iter().flat_map(|client| &client.circuits).find(|circuit| circuit.is_used);
    let circuit = used.or_else(|| report.client.as_ref()?.circuits.first());
    let Some(circuit) = circuit else {
        return match &report.client {
            Some(_) => "no circuit yet".into(),
            None => "this is a mix: it has no circuits of its own, and reports what it observes".into(),
        };
    };
    // Only mixes in this process say what they observe.
    let observed = |hop: &String| report.mixes.iter().find(|mix| mix.name == *hop);
    if let Some(users) = circuit.hops.first().and_then(observed).map(|mix| mix.users)
        && users < FEW_USERS
    {
        let users = if users == 1 { "1 user".into() } else { format!("{users} users") };
        return format!("{users} at your first mix in the last minute: with so few, timing alone finds you");
    }
    let covers_links = design.cover.user_links != UserLinkCover::None;
    let covers_circuits = design.cover.circuits != CircuitCover::None;
    if design.mixing == Mixing::NONE && !covers_links && !covers_circuits {
        return "cells leave every mix at once and nothing hides when you send: whoever watches both ends of a circuit \
                can link them"
            .into();
    }
    let least = circuit.hops.iter().filter_map(observed).min_by(|a, b| a.bits.total_cmp(&b.bits));
    if let Some(MixReport { set, bits, .. }) = least
        && design.mixing != Mixing::NONE
        && *bits < FEW_BITS
    {
        return format!(
            "one of your mixes observed that a cell hides among only {set:.1} circuits, which is {bits:.1} bits"
        );
    }
    if !covers_circuits {
        return "if one adversary runs both your first and your last mix, timing still links you: no dummies go from end \
                to end"
            .into();
    }
    "if one adversary runs both your first and your last mix, it can still link you by blocking cells and watching for the \
     gap"
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use throng_core::OwnCircuit;
    use throng_core::Sizes;
    use throng_core::cover::Spent;
    use throng_core::mixing::Company;
    use throng_core::refused::Counts;
    use throng_net::pacer::Pacing;

    fn meter(users: u32, bits: f32, circuits: usize) -> Meter {
        let circuit = OwnCircuit {
            path: (1..=3).map(|i| NodeId([i; 32])).collect(),
            age: Duration::from_secs(5),
            is_used: true,
        };
        let spent = Spent { real: 10, filler: 90, payloads: 0, dummies: 10, missed: 1 };
        let mut pacing = Pacing::default();
        (pacing.slots, pacing.late, pacing.missed) = (100, 7, 2);
        Meter {
            counts: Counts::default(),
            sizes: Sizes { links: 4, relayed: 5, own: 6 },
            unread: 8,
            pacing,
            first_hops: Vec::new(),
            company: Company { users, circuits: 3, cells: 100, set: 2.5, bits },
            lonely_cells: 0,
            spent: Some(spent),
            may_cover: true,
            is_budget_spent: false,
            circuits: vec![circuit; circuits],
            mixes: 100,
            datagram: 1280,
        }
    }

    fn why(design: &str, cover: &str, meter: &Meter) -> String {
        let design =
            Design { mixing: design.parse().unwrap(), cover: cover.parse().unwrap(), ..Design::default() };
        let name = |id: NodeId| format!("mix-{}", id.0[0]);
        let mixes: Vec<_> = (1..=3).map(|i| (format!("mix-{i}"), meter.clone())).collect();
        Report::new(&design, Duration::from_secs(100), Some(meter), &mixes, name).why_low
    }

    /// Only a mix in this process says what it observes: others must tell nobody.
    #[test]
    fn nothing_is_claimed_about_mixes_elsewhere() {
        let design = Design { mixing: "batch=20ms".parse().unwrap(), ..Design::default() };
        let name = |id: NodeId| format!("mix-{}", id.0[0]);
        let client = meter(1, 0.1, 1);
        let report = Report::new(&design, Duration::from_secs(100), Some(&client), &[], name);
        assert!(report.why_low.contains("no dummies go from end to end"), "{}", report.why_low);
        let text = crate::status::readable(&report);
        assert!(text.contains("mix-1 → mix-2 → mix-3") && text.contains("tell nobody"), "{text}");
    }

    #[test]
    fn the_weakest_point_is_named() {
        assert!(why("none", "none", &meter(50, 0.0, 0)).contains("no circuit yet"));
        let few = why("none", "none", &meter(3, 0.0, 1));
        assert_eq!(few, "3 users at your first mix in the last minute: with so few, timing alone finds you");
        assert!(why("none", "none", &meter(1, 0.0, 1)).starts_with("1 user at"));
        assert!(why("none", "none", &meter(50, 0.0, 1)).contains("leave every mix at once"));
        assert!(
            why("batch=20ms", "none", &meter(50, 0.4, 1)).contains("only 2.5 circuits, which is 0.4 bits")
        );
        assert!(why("batch=20ms", "user-link", &meter(50, 3.0, 1)).contains("no dummies go from end to end"));
        assert!(why("batch=20ms", "end-to-end", &meter(50, 3.0, 1)).contains("blocking"));
    }

    /// A slot that was missed is counted where people look: lateness may show the load.
    #[test]
    fn what_is_measured_is_shown() {
        let report =
            Report::new(&Design::default(), Duration::from_secs(1), Some(&meter(5, 0.0, 1)), &[], |_| {
                String::new()
            });
        let text = crate::status::readable(&report);
        for shown in [
            "4 links, 6 circuits of its own, 5 of others",
            "slots: 100 left, 7 of them late",
            "2 too late to be sent",
        ] {
            assert!(text.contains(shown), "{shown}: {text}");
        }
        assert_eq!(report.node.packets_unread, 8);
    }

    #[test]
    fn numbers_follow_their_formulas() {
        let design = Design { cover: "user-link".parse().unwrap(), ..Design::default() };
        let client = meter(50, 0.0, 1);
        let report = Report::new(&design, Duration::from_secs(864), Some(&client), &[], |_| String::new());
        assert_eq!(report.cover.bytes, 100 * 1308);
        assert_eq!(report.cover.bytes_a_day, 100 * 100 * 1308);
        let ten = &report.client.unwrap().adversaries[2];
        assert_eq!((ten.share, ten.mixes, ten.with_links), (0.10, 10, 0.10 * 0.10));
        assert!((ten.with_mixes - 0.1 * 9.0 / 99.0).abs() < 1e-12);
        // The paper's 300 hostile mixes of 400: 56.20 % without replacement.
        assert!((both_ends_of(0.75, 400, 3) - 0.5620).abs() < 1e-4);
        assert_eq!(both_ends_of(0.1, 5, 1), 0.1);
        assert_eq!(both_ends_of(0.01, 5, 3), 0.0, "less than two mixes are not both ends");
    }
}
