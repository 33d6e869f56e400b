//! Tests of the crate: random cells through every reading.

mod cost;
mod files;
mod graphs;
mod parity;
mod samples;
