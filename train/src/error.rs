//! Errors of this crate.

use std::path::{Path, PathBuf};

/// What can go wrong in a training.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A file could not be read or written.
    #[error("{path}: cannot {action}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// `read`, `write`, ...
        action: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A file holds something else than expected.
    #[error("{path}: {reason}", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A setting that cannot work.
    #[error("{0}")]
    Setting(String),
    /// The user asked to stop; the state is saved.
    #[error("interrupted; the state is saved, continue with --resume")]
    Interrupted,
    /// From networks and weights.
    #[error(transparent)]
    Net(#[from] genas_net::NetError),
    /// From the data.
    #[error(transparent)]
    Data(#[from] genas_data::DataError),
}

impl TrainError {
    /// For `map_err`: `path` could not be read, written, ... (`action`).
    pub fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, action, source }
    }

    /// `path` holds something else than expected.
    pub fn format(path: &Path, reason: impl Into<String>) -> Self {
        Self::Format { path: path.to_owned(), reason: reason.into() }
    }
}
