//! Attacks: what an adversary learns from a recording of the wire, as numbers.
//!
//! An attack gets rows of (time, from, to, length) and nothing else. [`load`] asks whether the wire knows that the
//! network is in use; [`capture`] reads what tcpdump recorded of a real one.

pub mod auc;
pub mod capture;
pub mod load;
