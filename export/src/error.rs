//! Errors of this crate.

use std::path::{Path, PathBuf};

/// What can go wrong while ONNX files are written, verified and read.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The operator set is not supported.
    #[error("opset {0} is not supported; choose one from 13 to 21 (17 is the default)")]
    Opset(i64),
    /// The network does not fit the input.
    #[error("an input of {height}x{width} is too small for this network at {at}; choose a larger input size")]
    TooSmall {
        /// Height of the value that a window does not fit.
        height: usize,
        /// Its width.
        width: usize,
        /// The layer.
        at: String,
    },
    /// The wiring reads a tensor that the weights do not hold.
    #[error("the weights hold no {name}: they belong to another network, width or cell")]
    MissingWeight {
        /// The tensor.
        name: String,
    },
    /// A tensor has another shape than the wiring says.
    #[error(
        "{name}: shape mismatch, weights: {found:?}, network: {expected:?}: the weights belong to another network, width or cell"
    )]
    WeightShape {
        /// The tensor.
        name: String,
        /// Shape in the weights.
        found: Vec<usize>,
        /// Shape in the network.
        expected: Vec<usize>,
    },
    /// The model information contradicts the network.
    #[error("{0}")]
    Info(String),
    /// A file could not be read, written or deleted.
    #[error("{path}: cannot {action}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// `read`, `write` or `delete`.
        action: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not an ONNX model, or not one that can be used here.
    #[error("{path}: {reason}", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The weights of a folded model cannot be read back.
    #[error("{path}: BatchNorm is folded into the convolutions, so the weights cannot be read back; export without --fold-bn", path = path.display())]
    Folded {
        /// The file.
        path: PathBuf,
    },
    /// The weights of a model in half precision or in integers cannot be read back.
    #[error("{path}: it is in {precision}, rounded and with BatchNorm folded, so the weights cannot be read back; give the weights that it was exported from, or its fp32 export", path = path.display())]
    Rounded {
        /// The file.
        path: PathBuf,
        /// Its number format.
        precision: &'static str,
    },
    /// There are no ranges to quantise by.
    #[error("8-bit integers need the ranges of the network's values: give images with --calibrate DIR")]
    NotCalibrated,
    /// The images say nothing of the ranges of others.
    #[error(
        "{0} images are too few to calibrate 8-bit integers: give at least 10, better 100 to 500, of those that the model will see"
    )]
    TooFewImages(usize),
    /// A backbone was given where a classifier is needed.
    #[error(
        "the weights hold no classifier (classifier.weight): they come from a backbone; give the weights or the classifier that it was exported from, or export a backbone"
    )]
    NoClassifier,
    /// The network has no feature maps at a backbone's strides.
    #[error("no backbone can be exported: {0}")]
    NoBackbone(String),
    /// Half precision cannot hold a weight or an activation.
    #[error(
        "{what}: half precision cannot hold {tensor}, which reaches {value:.3e} (the largest number is 65504); export with --precision fp32; {outcome}"
    )]
    HalfOverflow {
        /// The file or model.
        what: String,
        /// What is too large: an initializer or the output of a node.
        tensor: String,
        /// Its largest value.
        value: f32,
        /// What became of the file.
        outcome: &'static str,
    },
    /// A file that is no description of a model stands where the description would be written.
    #[error("{path} is in the way: the model's description would be written there, and that file is none; choose another name for the model", path = path.display())]
    Sidecar {
        /// The file.
        path: PathBuf,
    },
    /// ONNX Runtime computes something else than burn.
    #[error("{what}: ONNX Runtime and burn disagree in {output}; {outcome}")]
    Parity {
        /// The file or model.
        what: String,
        /// The output, by how much, and what is allowed.
        output: String,
        /// What became of the file.
        outcome: &'static str,
    },
    /// From the networks' crate.
    #[error(transparent)]
    Net(#[from] genas_net::NetError),
    /// From ONNX Runtime.
    #[error(transparent)]
    Runtime(#[from] genas_runtime::RuntimeError),
}

impl ExportError {
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| ExportError::Io { path, action, source }
    }

    pub(crate) fn format(path: &Path, reason: impl Into<String>) -> Self {
        ExportError::Format { path: path.to_owned(), reason: reason.into() }
    }
}

/// Result of this crate.
pub type Result<T, E = ExportError> = std::result::Result<T, E>;
