//! What a finished model is worth: accuracy, latency and throughput of ONNX files.
//!
//! A model is seen only as ONNX Runtime sees it. What it needs besides its graph (class names,
//! normalisation, input size) is read from the file itself.
//!
//! | module | concept |
//! |---|---|
//! | [`model`] | a classifier's file, opened |
//! | [`sets`] | what can be evaluated on |
//! | [`imagenet`] | ImageNet's classes, and the lists of -A and -O |
//! | [`labels`] | classes of a data set as classes of a model |
//! | [`plan`] | images, labels and preparation of an evaluation, checked |
//! | [`evaluate()`] | accuracy on a data set |
//! | [`detector`] | a detector's file, opened |
//! | [`coco`] | average precision of boxes |
//! | [`backbone`] | the trained network that a fine-tuning begins with |
//! | [`fine_tuning`] | what trainings on a backbone have in common |
//! | [`retinanet`] | the detector's arithmetic outside of its network |
//! | [`segmenter`] | a segmenter's file, opened |
//! | [`segmentation`] | mean IoU of segmenters |
//! | [`detection`] | how well strange images are known |
//! | [`Samples`] | images to calibrate and compare a quantised model with |
//! | [`bench()`] | latency and throughput |

pub mod backbone;
mod bench;
mod canvas;
pub mod coco;
pub mod deeplab;
pub mod detection;
pub mod detector;
mod error;
mod evaluate;
pub mod fine_tuning;
mod image_input;
pub mod imagenet;
pub mod labels;
pub mod model;
pub mod plan;
pub mod retinanet;
mod samples;
mod scores;
pub mod segmentation;
pub mod segmenter;
pub mod sets;
mod side_by_side;
mod tally;
#[cfg(test)]
#[path = "../../tests/support/detector.rs"]
mod testing;

pub use backbone::Backbone;
pub use bench::{BenchOptions, BenchReport, BenchRow, bench};
pub use detection::Detection;
pub use detector::Detector;
pub use error::{Result, TransferError};
pub use evaluate::{EvaluateOptions, Evaluation, Outcome, Prediction, evaluate};
pub use fine_tuning::FineTuning;
pub use model::{Classifier, Preprocessing};
pub use plan::Plan;
pub use samples::{Comparison, SampleOptions, Samples};
pub use segmenter::Segmenter;
pub use sets::EvalSet;
