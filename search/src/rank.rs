//! How well metrics rank the cells of NAS-Bench-201 (spec 02-8).

pub mod bootstrap;
pub mod report;
pub mod scatter;
pub mod statistics;
