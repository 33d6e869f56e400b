//! How well metrics rank the cells of NAS-Bench-201 (spec 02-8).
//!
//! | module | concept |
//! |---|---|
//! | [`config`] | settings of the supernet and of what is measured |
//! | [`supernet`] | single-path training of the supernet (spec 02-3) |
//! | [`hessian`] | the direction in which a cell's loss curves most (spec 02-5) |
//! | [`measure`] | what is measured of a cell, once |
//! | [`metrics`] | scores, computed from measurements |
//! | [`statistics`], [`bootstrap`] | agreement of scores with the truth |
//! | [`agreement`] | the same of the rows of a table |
//! | [`run`] | all of it, in a folder |
//! | [`evolution`] | what a search in the space finds, and its regret (spec 03-5) |
//! | [`report`], [`scatter`] | the same of many metrics, as numbers and as pictures |

pub mod agreement;
pub mod bootstrap;
pub mod config;
pub mod evolution;
pub mod hessian;
pub mod measure;
pub mod metrics;
pub mod report;
pub mod run;
pub mod scatter;
pub mod statistics;
pub mod supernet;
