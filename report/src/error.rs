//! What can fail: a damaged run does not, a folder that is no run does.

use std::path::PathBuf;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The folder holds no file of a run.
    #[error("{path}: {reason}", path = path.display())]
    NoRun {
        /// The folder.
        path: PathBuf,
        /// What is there instead, and what to give.
        reason: String,
    },
}

/// The crate's results.
pub type Result<T> = std::result::Result<T, ReportError>;
