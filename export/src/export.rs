//! A network as a verified file.
//!
//! The model is compared with burn in memory before anything is written, and once more as the file
//! that ONNX Runtime reads back: what stays on disk is known to be right. Its description beside it
//! ([`sidecar_path`]) lives and dies with it.

use crate::calibrate::Calibration;
use crate::error::{ExportError, Result};
use crate::half::{check_activations, to_half};
use crate::metadata::{
    ModelInfo, PARITY_KEY, QUANTIZATION_KEY, model_metadata, network_metadata, read_model,
};
use crate::models::model_proto;
use crate::options::{ExportOptions, GraphOptions, ModelKind, Precision};
use crate::proto::{ModelProto, StringStringEntryProto};
use crate::quantize::{IntegerShare, integer_share, to_int8};
use crate::sidecar::{self, sidecar_path};
use crate::verify::{Parity, Reference, check_weights, compare, open_bytes, open_file};
use genas_net::{EvalNet, Weights, atomic_write};
use genas_runtime::Port;
use prost::Message;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What was written.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExportReport {
    /// The file.
    pub onnx: PathBuf,
    /// Its description.
    pub sidecar: PathBuf,
    /// Its operator set.
    pub opset: i64,
    /// Largest difference of an output between ONNX Runtime and burn.
    pub max_abs_error: f32,
    /// What the model takes.
    pub inputs: Vec<Port>,
    /// What it gives.
    pub outputs: Vec<Port>,
    /// Size of the file.
    pub bytes: u64,
    /// Largest root mean square of an output's differences over that of the output.
    pub relative_rms_error: f32,
    /// Of a model in 8-bit integers: what ONNX Runtime made of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integers: Option<IntegerShare>,
}

/// Writes a classifier in 32 bits; see [`export_model`].
pub fn export_classifier(
    path: &Path,
    net: &EvalNet,
    weights: &Weights,
    info: &ModelInfo,
    options: &GraphOptions,
) -> Result<ExportReport> {
    export_model(path, net, weights, info, &ExportOptions::classifier(options.clone()))
}

/// Writes a network with all that its receiver needs, and verifies it. A file that does not agree with
/// burn is deleted, and its description with it.
///
/// `options.graph.metadata` may add entries to those of [`network_metadata`]; it cannot replace them.
pub fn export_model(
    path: &Path,
    net: &EvalNet,
    weights: &Weights,
    info: &ModelInfo,
    options: &ExportOptions,
) -> Result<ExportReport> {
    info.check(net, &options.graph)?;
    if let (ModelKind::Backbone(_), Some(problem)) = (options.kind, net.backbone_problem()) {
        return Err(ExportError::NoBackbone(problem));
    }
    check_weights(net, options.kind, weights)?;
    sidecar::check_free(&sidecar_path(path))?;
    let mut options = options.clone();
    options.graph.fold_bn |= options.precision != Precision::Fp32;
    let metadata = network_metadata(net, info, &options);
    options.graph.metadata.extend(metadata);
    let GraphOptions { batch, height, width, .. } = &options.graph;
    let (batch, height, width) = (batch.fixed(), height.fixed(), width.fixed());

    let what = path.display().to_string();
    let mut model = model_proto(net, options.kind, weights, &options.graph)?;
    let mut integers = None;
    let references = match (options.precision, &options.calibration) {
        (Precision::Int8, None) => return Err(ExportError::NotCalibrated),
        (Precision::Int8, Some(calibration)) => {
            model = to_int8(&what, model, calibration)?;
            let share = integer_share(&model)?;
            set_metadata(&mut model, QUANTIZATION_KEY, quantization(calibration, share).to_string());
            integers = Some(share);
            vec![Reference::of_calibration(net, options.kind, weights, calibration, batch)?]
        }
        (precision, _) => {
            let references = Reference::all(net, options.kind, weights, info, [batch, height, width])?;
            if let Precision::Fp16 { half_io } = precision {
                let halved = to_half(&what, model.clone(), half_io)?;
                for (images, shape) in references.iter().map(Reference::images) {
                    check_activations(&what, &model, images, shape)?;
                }
                model = halved;
            }
            references
        }
    };
    write_verified(path, model, &references, options.precision, integers, None)
}

/// What a comparison with burn looks at, where it is not the outputs of a model.
pub(crate) type View = fn(&ModelProto) -> ModelProto;

/// Compares a model with burn in memory, writes it with its description, and compares the file.
pub(crate) fn write_verified(
    path: &Path,
    mut model: ModelProto,
    references: &[Reference],
    precision: Precision,
    integers: Option<IntegerShare>,
    view: Option<View>,
) -> Result<ExportReport> {
    let what = path.display().to_string();
    let sidecar = sidecar_path(path);
    let tolerance = precision.tolerance();
    let seen = |model: &ModelProto| match view {
        Some(view) => view(model).encode_to_vec(),
        None => model.encode_to_vec(),
    };
    let mut session = open_bytes(&seen(&model))?;
    let parity = compare(references, &mut session, tolerance)?;
    let parity = parity.check(&what, precision.remedy())?;

    set_metadata(&mut model, PARITY_KEY, format!("{:e}", parity.max_abs_error()));
    let bytes = model.encode_to_vec();
    // A description of an earlier file must not stand beside this one, whatever happens now.
    delete(&sidecar)?;
    atomic_write(path, &bytes)?;

    let described = open_file(path).and_then(|mut session| {
        let parity = match view {
            Some(_) => compare(references, &mut open_bytes(&seen(&read_model(path)?))?, tolerance)?,
            None => compare(references, &mut session, tolerance)?,
        };
        let parity: Parity = parity.check(&what, "the file was deleted; report this as a bug")?;
        let report = ExportReport {
            onnx: path.to_owned(),
            sidecar: sidecar.clone(),
            opset: model.opset_import.first().map_or(0, |set| set.version),
            max_abs_error: parity.max_abs_error(),
            inputs: session.inputs().to_vec(),
            outputs: session.outputs().to_vec(),
            bytes: bytes.len() as u64,
            relative_rms_error: parity.relative_rms_error(),
            integers,
        };
        sidecar::write(&sidecar, &report, &model_metadata(&model))?;
        Ok(report)
    });
    if described.is_err() {
        delete(path)?;
        delete(&sidecar)?;
    }
    described
}

impl Precision {
    /// What to do if a model differs.
    fn remedy(self) -> &'static str {
        match self {
            Self::Int8 => {
                "nothing was written; try another --calibration method or more images like those that the model \
                 will see"
            }
            _ => "nothing was written; report this as a bug",
        }
    }
}

/// What the metadata says of a model in 8-bit integers.
fn quantization(calibration: &Calibration, share: IntegerShare) -> serde_json::Value {
    serde_json::json!({
        "activations": calibration.activations.name(),
        "weights": "int8 per channel",
        "calibration": calibration.method.to_string(),
        "images": calibration.images,
        "convolutions": share.convolutions,
        "integer_convolutions": share.integer,
    })
}

fn set_metadata(model: &mut ModelProto, key: &str, value: String) {
    model.metadata_props.retain(|entry| entry.key != key);
    model.metadata_props.push(StringStringEntryProto { key: key.to_owned(), value });
}

fn delete(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(ExportError::io(path, "delete")(error))
        }
        _ => Ok(()),
    }
}
