//! A network as a verified file.
//!
//! The model is compared with burn in memory before anything is written, and once more as the file
//! that ONNX Runtime reads back: what stays on disk is known to be right. Its description beside it
//! ([`sidecar_path`]) lives and dies with it.

use crate::error::{ExportError, Result};
use crate::half::{check_activations, to_half};
use crate::metadata::{ModelInfo, PARITY_KEY, model_metadata, network_metadata};
use crate::models::model_proto;
use crate::options::{ExportOptions, GraphOptions, ModelKind, Precision};
use crate::proto::StringStringEntryProto;
use crate::sidecar::{self, sidecar_path};
use crate::verify::{Parity, Reference, compare, open_bytes, open_file};
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
    let sidecar = sidecar_path(path);
    sidecar::check_free(&sidecar)?;
    let mut options = options.clone();
    options.graph.fold_bn |= options.precision != Precision::Fp32;
    let metadata = network_metadata(net, info, &options);
    options.graph.metadata.extend(metadata);
    let GraphOptions { batch, height, width, .. } = &options.graph;
    let sizes = [batch.fixed(), height.fixed(), width.fixed()];
    let references = Reference::all(net, options.kind, weights, info, sizes)?;

    let what = path.display().to_string();
    let mut model = model_proto(net, options.kind, weights, &options.graph)?;
    if let Precision::Fp16 { half_io } = options.precision {
        let halved = to_half(&what, model.clone(), half_io)?;
        for (images, shape) in references.iter().map(Reference::images) {
            check_activations(&what, &model, images, shape)?;
        }
        model = halved;
    }
    let tolerance = options.precision.tolerance();
    let mut session = open_bytes(&model.encode_to_vec())?;
    let parity = compare(&references, &mut session, tolerance)?;
    let parity = parity.check(&what, "nothing was written; report this as a bug")?;

    model.metadata_props.retain(|entry| entry.key != PARITY_KEY);
    let (key, value) = (PARITY_KEY.to_owned(), format!("{:e}", parity.max_abs_error()));
    model.metadata_props.push(StringStringEntryProto { key, value });
    let bytes = model.encode_to_vec();
    // A description of an earlier file must not stand beside this one, whatever happens now.
    delete(&sidecar)?;
    atomic_write(path, &bytes)?;

    let described = open_file(path).and_then(|mut session| {
        let parity = compare(&references, &mut session, tolerance)?;
        let parity: Parity = parity.check(&what, "the file was deleted; report this as a bug")?;
        let report = ExportReport {
            onnx: path.to_owned(),
            sidecar: sidecar.clone(),
            opset: options.graph.opset,
            max_abs_error: parity.max_abs_error(),
            inputs: session.inputs().to_vec(),
            outputs: session.outputs().to_vec(),
            bytes: bytes.len() as u64,
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

fn delete(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(ExportError::io(path, "delete")(error))
        }
        _ => Ok(()),
    }
}
