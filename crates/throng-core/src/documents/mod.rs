//! Network documents: what the operators of a static network sign, and how nodes get newer ones from each other.

mod document;
pub(crate) mod exchange;

pub use document::{
    Conflict, Document, DocumentError, Roots, Signature, Statement, assemble, sign, take_apart, unsigned,
    validity,
};
