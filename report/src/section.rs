//! The sections of a report. Each makes its HTML from the run's values, or nothing if it has none.

pub(crate) mod accuracy;
pub(crate) mod cells;
pub(crate) mod commands;
pub(crate) mod configuration;
pub(crate) mod detection;
pub(crate) mod exports;
pub(crate) mod landscape;
pub(crate) mod ranking;
pub(crate) mod search;
pub(crate) mod segmentation;
pub(crate) mod summary;
pub(crate) mod time;
pub(crate) mod training;
