//! The anonymity meter of a running node: what it observed, as numbers that name no user.

use throng_core::cover::Spent;
use throng_core::crypto::Suite;
use throng_core::mixing::Company;
use throng_core::{Node, OwnCircuit, Time};

/// What a node observed.
#[derive(Clone, Debug)]
pub struct Meter {
    /// Its company as a mix, within the last minute.
    pub company: Company,
    /// Cells that had less company than the design asks for, so far.
    pub lonely_cells: u64,
    /// What cover cost so far; nothing where there is none.
    pub spent: Option<Spent>,
    /// Its own circuits.
    pub circuits: Vec<OwnCircuit>,
    /// Mixes that it knows.
    pub mixes: usize,
    /// The length of its datagrams, bytes.
    pub datagram: usize,
}

impl Meter {
    pub(crate) fn of<S: Suite>(node: &mut Node<S>, now: Time) -> Self {
        Self {
            company: node.company(now),
            lonely_cells: node.lonely_cells(),
            spent: node.spent(),
            circuits: node.own_circuits(now),
            mixes: node.view().len(),
            datagram: node.design().geometry.datagram(),
        }
    }
}
