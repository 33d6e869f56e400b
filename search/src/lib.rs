//! The search: supernet training, the metrics that score its sub-networks, evolution, retraining.
//!
//! | module | concept |
//! |---|---|
//! | [`config`] | every setting of a run, as TOML |
//! | [`run`] | the run directory |
//! | [`validation`] | how a classifier does on images that it is not trained on |
//! | [`supernet`] | single-path training of the supernet (spec 02-2) |
//! | [`noise`], [`flatness`], [`angle`] | the metrics' formulae (spec 02-5, 02-6) |
//! | [`metric`] | which metric, and how its parts combine (spec 02-7) |
//! | [`subnet`] | sub-networks of a supernet of any space: pruned, recalibrated, computed |
//! | [`scorer`] | scores one candidate: recalibration, noise, validation losses |
//! | [`race`] | the best of a field without full scores for all, pure |
//! | [`evolution`] | the evolutionary loop (spec 03), pure |
//! | [`journal`] | `search.jsonl`: scores on disk, the search's whole state |
//! | [`search`] | a search from data to genotype |
//! | [`racing`] | the generations of a search as races |
//! | [`rank`] | how well metrics rank the cells of NAS-Bench-201 (spec 02-8) |
//! | [`retrain`] | a found cell from scratch (spec 04-6) |
//! | [`landscape`] | losses around trained weights, along random directions |
//!
//! The epoch loop, its curves and progress are `genas-train`.

pub mod angle;
pub mod config;
pub mod error;
pub mod evolution;
pub mod flatness;
pub mod journal;
pub mod landscape;
mod lines;
pub mod metric;
pub mod noise;
pub mod race;
pub mod racing;
pub mod rank;
pub mod retrain;
pub mod run;
pub mod scorer;
pub mod search;
pub mod subnet;
pub mod supernet;
pub mod validation;

pub use config::Config;
pub use error::SearchError;
pub use genas_train::observer::Observer;
pub use metric::{Metric, Score};
pub use run::RunDir;
