//! Errors of this crate.

use std::path::PathBuf;

/// What can go wrong while a model is measured.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The model, the data and the options do not go together.
    #[error("{0}")]
    Request(String),
    /// The model's file does not describe itself.
    #[error(
        "{path}: {source}; for the model of another program, `evaluate` takes --mean R,G,B --std R,G,B \
         --size PIXELS, and `bench` --size PIXELS",
        path = path.display()
    )]
    Description {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: genas_export::ExportError,
    },
    /// A file of detections is not what it should be.
    #[error("{}: {problem}; {remedy}", path.display())]
    Results {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What to do about it.
        remedy: String,
    },
    /// Whoever watches the progress asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// From the epoch loop and what belongs to it.
    #[error(transparent)]
    Train(#[from] genas_train::TrainError),
    /// From the data.
    #[error(transparent)]
    Data(#[from] genas_data::DataError),
    /// From networks and weights.
    #[error(transparent)]
    Net(#[from] genas_net::NetError),
    /// From the exporter.
    #[error(transparent)]
    Export(#[from] genas_export::ExportError),
    /// From ONNX Runtime.
    #[error(transparent)]
    Runtime(#[from] genas_runtime::RuntimeError),
}

/// Result of this crate.
pub type Result<T, E = TransferError> = std::result::Result<T, E>;
