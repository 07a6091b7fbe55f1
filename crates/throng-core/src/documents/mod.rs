//! Network documents: what the operators of a static network sign.

mod document;

pub(crate) use document::claim;
#[cfg(test)]
pub(crate) use document::tests;
pub use document::{
    Conflict, Document, DocumentError, Roots, Signature, Statement, assemble, sign, take_apart, unsigned,
    validity,
};
