//! Weights read back from an ONNX file that genas wrote with BatchNorm kept, bit for bit.

use crate::error::{ExportError, Result};
use crate::graph::{FACTORIZED_HALVES, FACTORIZED_REDUCE, FACTORIZED_TAPS};
use crate::metadata::{ModelFile, ModelInfo, read_model};
use crate::models::layout_of;
use crate::options::Precision;
use crate::proto::{ModelProto, TensorProto};
use genas_net::{Entry, EvalNet, Layout, Weights};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// The weights, network and description in a file. The network has no auxiliary head: it is not
/// exported. The weights of a backbone are those of its layout ([`EvalNet::backbone_layout`]): they lack the
/// classifier's.
pub fn weights_from_onnx(path: &Path) -> Result<(Weights, EvalNet, ModelInfo)> {
    let model = read_model(path)?;
    let file = ModelFile::of(path, &model)?;
    let network = network_of(path, &file)?;
    let weights = weights_of(path, &model, &file, &network)?;
    Ok((weights, network, file.info))
}

/// The file's network.
pub(crate) fn network_of(path: &Path, file: &ModelFile) -> Result<EvalNet> {
    let missing =
        "its metadata has no `network`: genas did not write it; export it with `genas export --onnx`";
    file.network.clone().ok_or_else(|| ExportError::format(path, missing))
}

/// Every entry that a file of its kind holds from the file's initializers.
pub(crate) fn weights_of(
    path: &Path,
    model: &ModelProto,
    file: &ModelFile,
    network: &EvalNet,
) -> Result<Weights> {
    weights_in(path, model, layout_of(network, file.kind), file.precision, file.folded)
}

/// Every entry of a layout from a model's initializers.
pub(crate) fn weights_in(
    path: &Path,
    model: &ModelProto,
    layout: Layout,
    precision: Precision,
    folded: bool,
) -> Result<Weights> {
    let rounded = match precision {
        Precision::Fp32 => None,
        Precision::Fp16 { .. } => Some("half precision"),
        Precision::Int8 => Some("8-bit integers"),
    };
    if let Some(precision) = rounded {
        return Err(ExportError::Rounded { path: path.to_owned(), precision });
    }
    if folded {
        return Err(ExportError::Folded { path: path.to_owned() });
    }
    let initializers = model.graph.iter().flat_map(|graph| &graph.initializer);
    let initializers: HashMap<&str, &TensorProto> = initializers.map(|t| (t.name.as_str(), t)).collect();
    let layout = Arc::new(layout);
    let mut weights = Weights::neutral(layout.clone());
    for entry in layout.entries() {
        let values =
            entry_values(&initializers, entry).map_err(|reason| ExportError::format(path, reason))?;
        weights.slice_mut(entry).copy_from_slice(&values);
    }
    Ok(weights)
}

fn entry_values(initializers: &HashMap<&str, &TensorProto>, entry: &Entry) -> Result<Vec<f32>, String> {
    if let Some(tensor) = initializers.get(entry.name.as_str()) {
        return values(tensor, &entry.shape);
    }
    let absent = || {
        format!(
            "lacks the initializer {}: the file was changed after genas wrote it, by an optimiser perhaps; use the original",
            entry.name
        )
    };
    // `{scope}.conv_1.weight` is the first half of `{scope}.factorized_reduce.weight`, in its first tap.
    let (half, scope) = FACTORIZED_HALVES
        .iter()
        .enumerate()
        .find_map(|(half, suffix)| Some((half, entry.name.strip_suffix(suffix)?)))
        .ok_or_else(absent)?;
    let kernel =
        initializers.get(format!("{scope}{FACTORIZED_REDUCE}.weight").as_str()).ok_or_else(absent)?;
    let [c_half, c_in] = [entry.shape[0], entry.shape[1]];
    let kernel = values(kernel, &[2 * c_half, c_in, 2, 2])?;
    let halves = kernel.as_chunks::<4>().0.chunks_exact(c_half * c_in);
    Ok(halves.skip(half).take(1).flatten().map(|taps| taps[FACTORIZED_TAPS[half]]).collect())
}

/// A float tensor's values, if it has the shape.
fn values(tensor: &TensorProto, shape: &[usize]) -> Result<Vec<f32>, String> {
    if tensor.dims.iter().map(|&d| d as usize).ne(shape.iter().copied()) {
        return Err(format!("{}: shape mismatch, file: {:?}, network: {shape:?}", tensor.name, tensor.dims));
    }
    tensor.to_f32().ok_or_else(|| {
        format!("{} is not a complete f32 tensor; weights are read from fp32 models only", tensor.name)
    })
}
