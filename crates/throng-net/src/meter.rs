//! How a running node is, and what it observed of anonymity: numbers that name no user.

use throng_core::cover::Spent;
use throng_core::crypto::Suite;
use throng_core::mixing::Company;
use throng_core::refused::Counts;
use throng_core::{Node, NodeId, OwnCircuit, Sizes, Time};

use crate::pacer::Pacing;

/// How a node is, and what it observed.
#[derive(Clone, Debug)]
pub struct Meter {
    /// What it saw and did.
    pub counts: Counts,
    /// Links and circuits now.
    pub sizes: Sizes,
    /// Packets from circuits that QUIC did not read in time.
    pub unread: u64,
    /// How it kept the slots of covered links.
    pub pacing: Pacing,
    /// Its sticky first hops.
    pub first_hops: Vec<NodeId>,
    /// Its company as a mix, within the last minute.
    pub company: Company,
    /// Cells that had less company than the design asks for, so far.
    pub lonely_cells: u64,
    /// What cover cost so far; nothing where there is none.
    pub spent: Option<Spent>,
    /// Whether cover may cost anything now.
    pub may_cover: bool,
    /// Whether it may not since today's budget is spent.
    pub is_budget_spent: bool,
    /// Its own circuits.
    pub circuits: Vec<OwnCircuit>,
    /// Mixes that it knows.
    pub mixes: usize,
    /// The length of its datagrams, bytes.
    pub datagram: usize,
}

impl Meter {
    pub(crate) fn of<S: Suite>(node: &mut Node<S>, unread: u64, pacing: Pacing, now: Time) -> Self {
        Self {
            counts: node.counts().clone(),
            sizes: node.sizes(),
            unread,
            pacing,
            first_hops: node.first_hops().ids().collect(),
            company: node.company(now),
            lonely_cells: node.lonely_cells(),
            spent: node.spent(),
            may_cover: node.may_cover(now),
            is_budget_spent: node.is_budget_spent(now),
            circuits: node.own_circuits(now),
            mixes: node.view().len(),
            datagram: node.design().geometry.datagram(),
        }
    }
}
