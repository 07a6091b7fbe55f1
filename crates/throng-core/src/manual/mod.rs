//! Prose whose links the documentation build checks.

pub mod glossary;
pub mod invariants;
pub mod life_of_a_cell;
pub mod threat_model;
pub mod why_not;
