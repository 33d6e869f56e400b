//! A classifier as a verified file.
//!
//! The model is compared with burn in memory before anything is written, and once more as the file
//! that ONNX Runtime reads back: what stays on disk is known to be right.

use crate::classifier::classifier_proto;
use crate::error::{ExportError, Result};
use crate::metadata::{ModelInfo, classifier_metadata};
use crate::options::GraphOptions;
use crate::proto::StringStringEntryProto;
use crate::verify::{PARITY_BATCH, Reference, open_bytes, open_file};
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
    /// Its operator set.
    pub opset: i64,
    /// Largest difference of a logit between ONNX Runtime and burn.
    pub max_abs_error: f32,
    /// What the model takes.
    pub inputs: Vec<Port>,
    /// What it gives.
    pub outputs: Vec<Port>,
    /// Size of the file.
    pub bytes: u64,
}

/// Writes a classifier with all that its receiver needs, and verifies it. A file that does not
/// agree with burn is deleted.
///
/// `options.metadata` may add entries to those of [`classifier_metadata`]; it cannot replace them.
pub fn export_classifier(
    path: &Path,
    net: &EvalNet,
    weights: &Weights,
    info: &ModelInfo,
    options: &GraphOptions,
) -> Result<ExportReport> {
    info.check(net, options)?;
    let mut options = options.clone();
    let metadata = classifier_metadata(net, info, &options);
    options.metadata.extend(metadata);
    let mut model = classifier_proto(net, weights, &options)?;

    let size = [&options.height, &options.width].map(|dim| dim.fixed().unwrap_or(info.input_size));
    let batch = options.batch.fixed().unwrap_or(PARITY_BATCH);
    let reference = Reference::new(net, weights, info, batch, size)?;
    let what = path.display().to_string();
    let mut session = open_bytes(&model.encode_to_vec())?;
    let parity =
        reference.compare(&mut session)?.check(&what, "nothing was written; report this as a bug")?;

    let key = "parity_max_abs_error".to_owned();
    model.metadata_props.retain(|entry| entry.key != key);
    let value = format!("{:e}", parity.max_abs_error);
    model.metadata_props.push(StringStringEntryProto { key, value });
    let bytes = model.encode_to_vec();
    atomic_write(path, &bytes)?;

    let written = open_file(path).and_then(|mut session| {
        let parity = reference.compare(&mut session)?;
        let parity = parity.check(&what, "the file was deleted; report this as a bug")?;
        Ok((session, parity))
    });
    let (session, parity) = match written {
        Ok(written) => written,
        Err(error) => {
            std::fs::remove_file(path).map_err(ExportError::io(path, "delete"))?;
            return Err(error);
        }
    };
    Ok(ExportReport {
        onnx: path.to_owned(),
        opset: options.opset,
        max_abs_error: parity.max_abs_error,
        inputs: session.inputs().to_vec(),
        outputs: session.outputs().to_vec(),
        bytes: bytes.len() as u64,
    })
}
