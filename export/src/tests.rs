//! Tests of the crate: random cells through every reading.

mod backbones;
mod cost;
mod detectors;
mod files;
mod graphs;
mod halves;
mod integers;
mod parity;
mod samples;
mod segmenters;
