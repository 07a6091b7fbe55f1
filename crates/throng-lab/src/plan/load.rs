//! What one user's day requires of all mixes together, and what a mix sends in any case.
//!
//! One model serves both modes; bare, it is the paper's formulas (a test says so). With F and B what a user's circuits
//! carry forward and backward on each link, R what a covered user link carries each way, l hops, and d_s, d_r what the
//! last mix exchanges with the outside:
//!
//! ```text
//!                user link          between mixes     outside
//! no cover       in F, out B        (l−1)·(F + B)     in d_r, out d_s
//! link cover     in R, out R        (l−1)·(F + B)     in d_r, out d_s
//! end to end     in R, out R        (l−1)·2R          in d_r, out d_s
//! ```
//!
//! What is between mixes is both received and sent by mixes. Realistic, all but the outside is counted in cells, each
//! a whole datagram with its IP and UDP headers:
//!
//! * data in payloads less QUIC's own bytes, plus half a cell for the end of each request and reply;
//! * acknowledgements, each a cell the other way, one per so many packets or so long (so one per packet where cover
//!   makes circuits slow);
//! * set-up. Hop k of a circuit costs a datagram on each of the first k links and one back on each, so a circuit of l
//!   hops costs 2·(1 + … + l) = l·(l + 1) datagrams on all links: l each way on the user's, l·(l − 1) between mixes;
//! * questions to idle circuits whether they live, a cell forward and a cell back on every link;
//! * handshakes with first mixes, a datagram each way, even where the link is covered;
//! * data of members of a dynamic network on their own line;
//! * filler between neighbouring mixes, which data between mixes rides in for free: the larger of both counts.
//!
//! The peak factor multiplies all that users cause. Outside, TCP over IPv4 with time stamps puts 1448 bytes into 1500.

use super::formulas::{SECONDS_PER_DAY, end_to_end_bps, link_bps, none_bps};
use super::{CoverScheme, Invalid, MixKind, Mode, Overhead, Question};

/// What must not exceed capacity: `per_user_bps` of each user and `per_mix_bps` of each mix must fit into
/// `capacity_share` of all lines.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bound {
    pub(crate) name: &'static str,
    pub(crate) per_user_bps: f64,
    pub(crate) per_mix_bps: f64,
    pub(crate) capacity_share: f64,
}

/// All bounds of a network with one cover scheme.
pub(crate) struct Bounds {
    pub(crate) bounds: Vec<Bound>,
}

/// Bytes of a full Ethernet packet, and what TCP over IPv4 with time stamps (RFC 7323) carries in it.
const OUTSIDE_EXPANSION: f64 = 1500.0 / 1448.0;

/// Bits a day on one link, each way.
#[derive(Clone, Copy)]
struct Ways {
    forward: f64,
    backward: f64,
}

/// A user's day.
struct Day {
    /// F and B, without set-up.
    circuits: Ways,
    /// R.
    schedule: f64,
    /// d_s forward, d_r backward.
    outside: Ways,
    /// Set-up on the user's link, each way.
    set_up_user: f64,
    /// Set-up between mixes, received and sent.
    set_up_between: f64,
    /// Set-up at the last mix, received and sent.
    set_up_last: f64,
    /// Handshakes with first mixes, each way.
    handshakes: f64,
}

impl Bounds {
    /// The bounds under `cover`, whatever cover the question asks about.
    ///
    /// # Errors
    /// If the cover's schedule is too slow for the data that it must carry.
    pub(crate) fn new(question: &Question, cover: CoverScheme) -> Result<Self, Invalid> {
        let day = Day::new(question, cover);
        if cover != CoverScheme::None {
            day.check_schedule(question)?;
        }
        let peak = match question.mode {
            Mode::Bare => 1.0,
            Mode::Realistic => question.overhead.peak_factor,
        };
        let bps = |bits: f64| peak * bits / SECONDS_PER_DAY;
        let bound = |name, bits, capacity_share| Bound {
            name,
            per_user_bps: bps(bits),
            per_mix_bps: 0.0,
            capacity_share,
        };
        let edge = day.edge(cover);
        let between = day.between(question.hops, cover);
        let own = day.own(question, cover);
        let mut bounds = vec![
            bound("what mixes receive", edge.forward + between + own.backward, 1.0),
            bound("what mixes send", edge.backward + between + own.forward, 1.0),
        ];
        let filler = filler_bps(question);
        if filler > 0.0 {
            let filled = |name, bits| Bound { per_mix_bps: filler, ..bound(name, bits, 1.0) };
            bounds.push(filled("what mixes receive, with filler", edge.forward + own.backward));
            bounds.push(filled("what mixes send, with filler", edge.backward + own.forward));
        }
        let last = day.last(question.hops, cover);
        bounds.push(bound("what exits receive", last.forward, question.exit_share));
        bounds.push(bound("what exits send", last.backward, question.exit_share));
        Ok(Self { bounds })
    }

    /// What one user needs of lines whose mean is `line_bps`, and which bound says so.
    pub(crate) fn one_user_bps(&self, line_bps: f64) -> (f64, &'static str) {
        let need = |bound: &Bound| {
            bound.per_user_bps / (bound.capacity_share * (1.0 - bound.per_mix_bps / line_bps))
        };
        let mut worst = (0.0, "");
        for bound in &self.bounds {
            if need(bound) > worst.0 {
                worst = (need(bound), bound.name);
            }
        }
        worst
    }
}

impl Day {
    fn new(question: &Question, cover: CoverScheme) -> Self {
        let demand = question.demand();
        let data = Ways { forward: demand.sent_bits_per_day, backward: demand.received_bits_per_day };
        let schedule = question.schedule().bits_per_day();
        match question.mode {
            Mode::Bare => Self {
                circuits: data,
                schedule,
                outside: data,
                set_up_user: 0.0,
                set_up_between: 0.0,
                set_up_last: 0.0,
                handshakes: 0.0,
            },
            Mode::Realistic => Self::realistic(question, cover, data, schedule),
        }
    }

    fn realistic(question: &Question, cover: CoverScheme, data: Ways, schedule: f64) -> Self {
        let overhead = &question.overhead;
        let hops = f64::from(question.hops);
        let wire = overhead.wire_bits();
        let useful = overhead.useful_bits();
        let exchanges = question.received_mb_per_day * 1e6 / overhead.reply_bytes;
        let full = |bits: f64| if bits > 0.0 { bits / useful + exchanges / 2.0 } else { 0.0 };
        let (forward, backward) = (full(data.forward), full(data.backward));
        let speed_mbps = match cover {
            CoverScheme::None => overhead.burst_mbps,
            CoverScheme::Link | CoverScheme::EndToEnd => {
                overhead.burst_mbps.min(question.cover_rate_kbps / 1e3)
            }
        };
        let acks = 1.0 / overhead.packets_answered_at_once(speed_mbps);
        let probes =
            question.online_hours_per_day * 3600.0 / overhead.probe_seconds * overhead.spare_circuits;
        let circuits = question.online_hours_per_day * overhead.circuits_per_online_hour;
        let handshakes = question.online_hours_per_day * overhead.link_handshakes_per_online_hour;
        Self {
            circuits: Ways {
                forward: (forward + acks * backward + probes) * wire,
                backward: (backward + acks * forward + probes) * wire,
            },
            schedule: schedule * wire / useful,
            outside: Ways {
                forward: data.forward * OUTSIDE_EXPANSION,
                backward: data.backward * OUTSIDE_EXPANSION,
            },
            set_up_user: circuits * hops * wire,
            set_up_between: circuits * hops * (hops - 1.0) * wire,
            set_up_last: circuits * wire,
            handshakes: handshakes * wire,
        }
    }

    /// Cover must be able to hold what it hides.
    fn check_schedule(&self, question: &Question) -> Result<(), Invalid> {
        let needed = self.circuits.forward.max(self.circuits.backward) + self.set_up_user;
        if self.schedule >= needed {
            return Ok(());
        }
        let rate = question.cover_rate_kbps * needed / self.schedule;
        let why = format!(
            "at least {rate:.3}: the data of a day must fit into {} hours online",
            question.online_hours_per_day
        );
        Err(Invalid::new("cover_rate_kbps", question.cover_rate_kbps, why))
    }

    /// Received (forward) and sent (backward) by mixes on user links and outside.
    fn edge(&self, cover: CoverScheme) -> Ways {
        let (in_, out) = match cover {
            CoverScheme::None => {
                (self.circuits.forward + self.set_up_user, self.circuits.backward + self.set_up_user)
            }
            CoverScheme::Link | CoverScheme::EndToEnd => (self.schedule, self.schedule),
        };
        Ways {
            forward: in_ + self.handshakes + self.outside.backward,
            backward: out + self.handshakes + self.outside.forward,
        }
    }

    /// Received, and sent, between mixes.
    fn between(&self, hops: u32, cover: CoverScheme) -> f64 {
        let carried = match cover {
            CoverScheme::None | CoverScheme::Link => self.circuits.forward + self.circuits.backward,
            CoverScheme::EndToEnd => 2.0 * self.schedule,
        };
        (f64::from(hops) - 1.0) * carried + self.set_up_between
    }

    /// Received (forward) and sent (backward) by last mixes.
    fn last(&self, hops: u32, cover: CoverScheme) -> Ways {
        if hops == 1 {
            return self.edge(cover);
        }
        let circuits = match cover {
            CoverScheme::None | CoverScheme::Link => self.circuits,
            CoverScheme::EndToEnd => Ways { forward: self.schedule, backward: self.schedule },
        };
        Ways {
            forward: circuits.forward + self.set_up_last + self.outside.backward,
            backward: circuits.backward + self.set_up_last + self.outside.forward,
        }
    }

    /// Sent (forward) and received (backward) by a member for itself.
    fn own(&self, question: &Question, cover: CoverScheme) -> Ways {
        if question.kind == MixKind::Static || question.mode == Mode::Bare {
            return Ways { forward: 0.0, backward: 0.0 };
        }
        match cover {
            CoverScheme::None => Ways {
                forward: self.circuits.forward + self.set_up_user + self.handshakes,
                backward: self.circuits.backward + self.set_up_user + self.handshakes,
            },
            CoverScheme::Link | CoverScheme::EndToEnd => {
                let each = self.schedule + self.handshakes;
                Ways { forward: each, backward: each }
            }
        }
    }
}

impl Overhead {
    /// A datagram with its headers, bits.
    fn wire_bits(&self) -> f64 {
        (self.geometry().datagram() as f64 + self.ip_udp_bytes) * 8.0
    }

    /// What an application gets into it, bits.
    pub(crate) fn useful_bits(&self) -> f64 {
        (self.geometry().packet() as f64 - self.quic_bytes) * 8.0 / self.geometry().packet_cells() as f64
    }

    /// An acknowledgement answers so many packets: as many as come before it is due, at least one.
    fn packets_answered_at_once(&self, speed_mbps: f64) -> f64 {
        let within_delay = speed_mbps * 1e3 * self.ack_delay_ms / self.useful_bits();
        within_delay.clamp(1.0, self.packets_per_ack)
    }
}

/// What a mix sends, and receives, on its filled links at all times.
pub(crate) fn filler_bps(question: &Question) -> f64 {
    let Overhead { filler_kbps, filler_links, .. } = question.overhead;
    if question.mode == Mode::Bare {
        return 0.0;
    }
    let online = match question.kind {
        MixKind::Static => 1.0,
        MixKind::Dynamic => question.classes().iter().map(|class| class.share * class.online_share).sum(),
    };
    let expansion = question.overhead.wire_bits() / question.overhead.useful_bits();
    online * filler_kbps * 1e3 * filler_links * expansion
}

/// The paper's formula for one user.
pub(crate) fn printed_one_user_bps(question: &Question, cover: CoverScheme) -> f64 {
    let (demand, schedule) = (question.demand(), question.schedule());
    match cover {
        CoverScheme::None => none_bps(1.0, demand),
        CoverScheme::Link => link_bps(1.0, demand, schedule),
        CoverScheme::EndToEnd => end_to_end_bps(1.0, demand, schedule),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bare_it_is_the_papers_formulas(hops in 1..9u32, sent in 0.0..50.0f64, received in 0.01..50.0f64, hours in 1.0..24.0f64, rate in 200.0..5000.0f64) {
            let question = Question { mode: Mode::Bare, hops, sent_mb_per_day: sent, received_mb_per_day: received, online_hours_per_day: hours, cover_rate_kbps: rate, ..Question::default() };
            for cover in CoverScheme::ALL {
                let (found, _) = Bounds::new(&question, cover).unwrap().one_user_bps(1e6);
                let printed = printed_one_user_bps(&question, cover);
                prop_assert!((found / printed - 1.0).abs() < 1e-12, "{cover:?}: {found} against {printed}");
            }
        }

        #[test]
        fn realistic_is_never_less(hops in 1..9u32, sent in 0.0..5.0f64, received in 0.01..5.0f64, hours in 1.0..24.0f64, peak in 1.0..10.0f64, filler in 0.0..10.0f64) {
            let mut question = Question { mode: Mode::Bare, hops, sent_mb_per_day: sent, received_mb_per_day: received, online_hours_per_day: hours, cover_rate_kbps: 500.0, ..Question::default() };
            question.overhead.peak_factor = peak;
            question.overhead.filler_kbps = filler;
            for cover in CoverScheme::ALL {
                let bare = Bounds::new(&question, cover).unwrap().one_user_bps(1e6).0;
                let realistic = Question { mode: Mode::Realistic, ..question.clone() };
                let found = Bounds::new(&realistic, cover).unwrap().one_user_bps(1e6).0;
                prop_assert!(found >= bare, "{cover:?}: {found} below {bare}");
            }
        }
    }

    #[test]
    fn a_circuit_costs_l_times_l_plus_1_datagrams() {
        for hops in 1..=8 {
            let question = Question { mode: Mode::Realistic, hops, ..Question::default() };
            let day = Day::new(&question, CoverScheme::None);
            let circuits = question.overhead.circuits_per_online_hour;
            let datagrams =
                (2.0 * day.set_up_user + day.set_up_between) / question.overhead.wire_bits() / circuits;
            assert!((datagrams - f64::from(hops * (hops + 1))).abs() < 1e-9, "{hops} hops: {datagrams}");
        }
    }

    #[test]
    fn a_cell_of_1308_bytes_carries_1190() {
        let overhead = Overhead::default();
        assert_eq!((overhead.wire_bits() / 8.0, overhead.useful_bits() / 8.0), (1308.0, 1190.0));
    }

    #[test]
    fn fewer_exits_than_one_in_l_are_the_bottleneck() {
        let at = |exit_share| {
            let question = Question { mode: Mode::Bare, exit_share, ..Question::default() };
            Bounds::new(&question, CoverScheme::None).unwrap().one_user_bps(1e6)
        };
        assert_eq!(at(1.0).0, at(0.26).0);
        assert!(at(0.1).0 > 2.4 * at(1.0).0);
        assert!(at(0.1).1.contains("exits"));
    }
}
