//! Errors of this crate.

use std::path::PathBuf;

/// What can go wrong while a model is measured.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The model, the data and the options do not go together.
    #[error("{0}")]
    Request(String),
    /// The model's description cannot be used.
    #[error("{path}: {source}", path = path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: genas_export::ExportError,
    },
    /// The table of predictions could not be written.
    #[error("{path}: cannot write the predictions: {source}", path = path.display())]
    Predictions {
        /// The file.
        path: PathBuf,
        /// Why.
        source: csv::Error,
    },
    /// From the data.
    #[error(transparent)]
    Data(#[from] genas_data::DataError),
    /// From ONNX Runtime.
    #[error(transparent)]
    Runtime(#[from] genas_runtime::RuntimeError),
}

/// Result of this crate.
pub type Result<T, E = TransferError> = std::result::Result<T, E>;
