//! ONNX files: written from a network's wiring and weights, verified against burn, read back.
//!
//! [`OnnxGraph`] is one more [`Interpreter`](genas_net::Interpreter): it reads the forward that trains
//! and counts, and writes nodes under stable names and initializers under the parameters' names. No
//! protoc and no foreign exporter is involved; the messages are declared in [`proto`].
//!
//! | module | concept |
//! |---|---|
//! | [`proto`] | the ONNX messages |
//! | [`OnnxGraph`], [`GraphOptions`] | wiring to graph |
//! | [`classifier_model`], [`supernet_model`] | models in memory |
//! | [`export_classifier`] | a verified file |
//! | [`metadata`] | what a file says about itself |
//! | [`weights_from_onnx`] | weights out of a file |
//! | [`verify()`] | ONNX Runtime against burn |

mod classifier;
mod error;
mod export;
mod fold;
mod graph;
mod import;
pub mod metadata;
mod options;
pub mod proto;
mod verify;

pub use classifier::{classifier_model, classifier_proto, supernet_model};
pub use error::{ExportError, Result};
pub use export::{ExportReport, export_classifier};
pub use graph::{INPUT, LOGITS, OnnxGraph, Value};
pub use import::weights_from_onnx;
pub use metadata::{ModelFile, ModelInfo, classifier_metadata};
pub use options::{DEFAULT_OPSET, Dim, GraphOptions, OPSETS};
pub use verify::{PARITY_TOLERANCE, Parity, verify};

#[cfg(test)]
mod tests;
