//! Errors of this crate.

use std::path::{Path, PathBuf};

/// What can go wrong in a search or a training.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
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
    /// From the epoch loop and what belongs to it.
    #[error(transparent)]
    Train(#[from] genas_train::TrainError),
    /// From networks and weights.
    #[error(transparent)]
    Net(#[from] genas_net::NetError),
    /// From the data.
    #[error(transparent)]
    Data(#[from] genas_data::DataError),
    /// From ONNX Runtime.
    #[error(transparent)]
    Runtime(#[from] genas_runtime::RuntimeError),
    /// From the ONNX exporter.
    #[error(transparent)]
    Export(#[from] genas_export::ExportError),
}

impl SearchError {
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| SearchError::Io { path, action, source }
    }

    pub(crate) fn format(path: &Path, reason: impl Into<String>) -> Self {
        SearchError::Format { path: path.to_owned(), reason: reason.into() }
    }
}
