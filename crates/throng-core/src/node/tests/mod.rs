//! Tests of several rooms together.

mod building;
mod cells;
