//! What a finished model is worth: accuracy, latency and throughput of ONNX files.
//!
//! A model is seen only as ONNX Runtime sees it. What it needs besides its graph (class names,
//! normalisation, input size) is read from the file itself.
//!
//! | module | concept |
//! |---|---|
//! | [`model`] | a classifier's file, opened |
//! | [`labels`] | classes of a data set as classes of a model |
//! | [`evaluate()`] | accuracy on a data set |
//! | [`bench()`] | latency and throughput |

mod bench;
mod error;
mod evaluate;
pub mod labels;
pub mod model;

pub use bench::{BenchOptions, BenchReport, BenchRow, bench};
pub use error::{Result, TransferError};
pub use evaluate::{EvalSet, EvaluateOptions, Evaluation, Prediction, evaluate, write_predictions};
