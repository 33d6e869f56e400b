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
//! | [`export_model`], [`ExportOptions`] | a verified file: classifier or backbone, in 32, 16 or 8 bits |
//! | [`calibrate()`], [`Calibration`] | ranges of values over images, for 8-bit integers |
//! | [`export_detector`], [`DetectorInfo`] | a verified file of a detector: its numbers, or objects |
//! | [`export_segmenter`], [`SegmenterInfo`] | a verified file of a segmenter: its numbers, or labels |
//! | [`sidecar_path`] | its description beside it |
//! | [`metadata`] | what a file says about itself |
//! | [`weights_from_onnx`] | weights out of a file |
//! | [`verify()`] | ONNX Runtime against burn |

mod activations;
mod calibrate;
mod detector;
mod error;
mod export;
mod fold;
mod graph;
mod half;
mod import;
pub mod metadata;
mod models;
mod options;
pub mod proto;
mod quantize;
mod segmenter;
mod sidecar;
mod task;
mod verify;

pub use calibrate::{Calibration, DEFAULT_PERCENTILE, FEWEST_IMAGES, Method, calibrate};
pub use detector::{
    Detection, DetectorForm, DetectorInfo, detector_from_onnx, detector_model, export_detector, is_detector,
    verify_detector,
};
pub use error::{ExportError, Result};
pub use export::{ExportReport, export_classifier, export_model};
pub use graph::{BACKBONE_OUTPUTS, INPUT, LOGITS, OnnxGraph, Value};
pub use import::weights_from_onnx;
pub use metadata::{ModelFile, ModelInfo, network_from_onnx, network_metadata, resize_for};
pub use models::{classifier_model, classifier_proto, nb201_supernet_model, supernet_model};
pub use options::{
    Activations, DEFAULT_OPSET, Dim, ExportOptions, Features, GraphOptions, ModelKind, OPSETS, Precision,
};
pub use quantize::IntegerShare;
pub use segmenter::{
    Segmentation, SegmenterForm, SegmenterInfo, SlidingWindow, export_segmenter, is_segmenter,
    segmenter_from_onnx, segmenter_model, verify_segmenter,
};
pub use sidecar::sidecar_path;
pub use verify::{
    HALF_PARITY_TOLERANCE, INT8_PARITY_TOLERANCE, Measure, OutputParity, PARITY_TOLERANCE, Parity, verify,
};

#[cfg(test)]
mod tests;
