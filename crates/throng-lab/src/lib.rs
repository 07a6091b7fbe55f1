//! The lab: questions about mix-networks, answered without running one.
//!
//! [`plan`] is the planner: the formulas of Rennhard and Plattner, "Practical Anonymity for the Masses with
//! Mix-Networks" (WETICE 2003, below "the paper"), forwards and backwards, bare as printed and with what a real
//! network adds. [`attack`] plays adversaries against recordings of a wire. [`report`] shows results: tables, CSV, charts. Everything here is a pure function.

pub mod attack;
pub mod plan;
pub mod report;
