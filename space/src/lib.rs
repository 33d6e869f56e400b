//! Pure values of the search spaces, DARTS and NAS-Bench-201: operations, candidates, genotypes, the ways to write them
//! down, the random draws of the search, and the zoo of published cells.
//!
//! There are no tensors here and no files: everything is a function of its arguments, so that caches,
//! resumed runs and file names can key on these values.
//!
//! | module | concept |
//! |---|---|
//! | [`op`] | the operations of a cell |
//! | [`edges`] | one cell as 14 integers |
//! | [`candidate`] | both cells as 28 integers, the form that evolution works on |
//! | [`genotype`] | both cells as lists of operations, the form that networks are built from |
//! | [`human`], [`json`], [`python`] | the written forms of a genotype |
//! | [`parse`] | recognises any of them, and zoo names |
//! | [`streams`] | named, counted random streams |
//! | [`sampling`], [`operators`] | uniform cells and repair; mutation and crossover |
//! | [`mod@nb201`] | the NAS-Bench-201 space: its cells, their numbers, strings, samples and costs |
//! | [`mod@zoo`] | published cells, with source and published figures |

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod candidate;
pub mod edges;
pub mod error;
pub mod genotype;
pub mod human;
pub mod json;
pub mod nb201;
pub mod op;
pub mod operators;
pub mod parse;
pub mod python;
pub mod sampling;
pub mod streams;
pub mod zoo;

pub use candidate::{CANDIDATE_LEN, Candidate};
pub use edges::{EdgeVector, N_EDGES, N_NODES, edge_index};
pub use error::SpaceError;
pub use genotype::{Cell, Genotype};
pub use nb201::{Nb201Cell, Nb201Op};
pub use op::Op;
pub use operators::{MutateScope, crossover_raw, mutate_raw};
pub use parse::parse_cell;
pub use sampling::{path_for_step, random_candidate, random_edges, raw_random, repair, repair_candidate};
pub use streams::Streams;
pub use zoo::{PaperRow, Unpublished, ZooEntry, find, unpublished, zoo};
