//! Of what a user's need is made: one cause after the other is let in.

use serde::Serialize;

use super::capacity::usable_mean_bps;
use super::load::Bounds;
use super::{MixKind, Mode, Overhead, Question};

/// What one cause adds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Share {
    /// The cause.
    pub what: &'static str,
    /// Capacity that it adds to a user's need, Mb/s.
    pub per_user_mbps: f64,
}

/// The parts of the need under the stated scheme, in the order in which they are let in; they sum to it. (A later part
/// can be 0 because it rides in an earlier one: acknowledgements in end-to-end cover.)
pub(crate) fn breakdown(question: &Question) -> Vec<Share> {
    let line_bps = usable_mean_bps(question.classes(), question.choice);
    let mut parts: Vec<Share> = Vec::new();
    let mut sum = 0.0;
    for (what, stage) in stages(question) {
        let Ok(load) = Bounds::new(&stage, stage.cover) else { continue };
        let need_mbps = load.one_user_bps(line_bps).0 / 1e6;
        parts.push(Share { what, per_user_mbps: need_mbps - sum });
        sum = need_mbps;
    }
    parts
}

fn stages(question: &Question) -> Vec<(&'static str, Question)> {
    let mut stages =
        vec![("the paper's formula", Question { mode: Mode::Bare, exit_share: 1.0, ..question.clone() })];
    if question.mode == Mode::Bare {
        stages.push(("too few exits", question.clone()));
        return stages;
    }
    let real = question.overhead;
    let mut stage = Question {
        kind: MixKind::Static, // no data of members' own
        exit_share: 1.0,
        overhead: Overhead {
            peak_factor: 1.0,
            packets_per_ack: f64::INFINITY,
            ack_delay_ms: f64::INFINITY,
            circuits_per_online_hour: 0.0,
            link_handshakes_per_online_hour: 0.0,
            spare_circuits: 0.0,
            filler_kbps: 0.0,
            ..real
        },
        ..question.clone()
    };
    let mut let_in = |what, change: &dyn Fn(&mut Question)| {
        change(&mut stage);
        stages.push((what, stage.clone()));
    };
    let_in("headers and padding of cells", &|_| {});
    let_in("acknowledgements", &|q| {
        q.overhead.packets_per_ack = real.packets_per_ack;
        q.overhead.ack_delay_ms = real.ack_delay_ms;
    });
    let_in("set-up of circuits and links", &|q| {
        q.overhead.circuits_per_online_hour = real.circuits_per_online_hour;
        q.overhead.link_handshakes_per_online_hour = real.link_handshakes_per_online_hour;
    });
    let_in("asking idle circuits whether they live", &|q| q.overhead.spare_circuits = real.spare_circuits);
    let_in("the members' own data on their lines", &|q| q.kind = question.kind);
    let_in("filler between mixes", &|q| q.overhead.filler_kbps = real.filler_kbps);
    let_in("too few exits", &|q| q.exit_share = question.exit_share);
    let_in("peaks", &|q| q.overhead.peak_factor = real.peak_factor);
    stages
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{CoverScheme, SchemeCapacity, presets};

    #[test]
    fn the_parts_sum_to_the_need() {
        let mut filled = Question { users: Some(1), exit_share: 0.1, ..Question::default() };
        filled.overhead.filler_kbps = 20.0;
        for base in [filled, presets::fc04().question(), presets::home_2026().question()] {
            for cover in CoverScheme::ALL {
                for mode in [Mode::Bare, Mode::Realistic] {
                    let question = Question { cover, mode, ..base.clone() };
                    question.validate().unwrap();
                    let parts = breakdown(&question);
                    let sum: f64 = parts.iter().map(|part| part.per_user_mbps).sum();
                    let need = SchemeCapacity::new(&question, cover).per_user_mbps.unwrap();
                    assert!((sum / need - 1.0).abs() < 1e-9, "{sum} against {need}");
                    assert!(parts.iter().all(|part| part.per_user_mbps >= -1e-12), "{parts:?}");
                }
            }
        }
    }
}
