//! Weights on disk: safetensors, with the network that they belong to in the file's metadata.

use crate::error::NetError;
use crate::network::Network;
use crate::weights::Weights;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// The one metadata key: a single key keeps the file's bytes deterministic.
const METADATA_KEY: &str = "genas";

/// What stands beside the weights.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WeightsFile {
    /// The network.
    pub network: Network,
    /// What the writer adds: class names, normalisation, training data, source run.
    #[serde(default)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

/// Writes a file so that readers see the old content or the new, never a part.
pub fn atomic_write(path: &Path, bytes: &[u8]) -> Result<(), NetError> {
    let directory = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(directory).map_err(NetError::io(directory, "create"))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = directory.join(format!(".{name}.{}.tmp", std::process::id()));
    let result = fs::File::create(&temporary)
        .and_then(|mut f| f.write_all(bytes).and_then(|()| f.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    result.map_err(|e| {
        let _ = fs::remove_file(&temporary);
        NetError::io(path, "write")(e)
    })
}

/// Writes weights with the network that they belong to.
pub fn write_weights(path: &Path, weights: &Weights, about: &WeightsFile) -> Result<(), NetError> {
    let json = serde_json::to_string(about).map_err(|e| NetError::format(path, e.to_string()))?;
    write_tensors(path, weights_tensors(weights), json)
}

/// A tensor to be written: name, type, shape, little-endian bytes.
pub(crate) type RawTensor = (String, Dtype, Vec<usize>, Vec<u8>);

/// f32 values as bytes.
pub(crate) fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// All entries of `weights`.
pub(crate) fn weights_tensors(weights: &Weights) -> Vec<RawTensor> {
    let entry =
        |e: &crate::layout::Entry| (e.name.clone(), Dtype::F32, e.shape.clone(), f32_bytes(weights.slice(e)));
    weights.layout().entries().iter().map(entry).collect()
}

/// Writes named tensors and one metadata string.
pub(crate) fn write_tensors(path: &Path, tensors: Vec<RawTensor>, metadata: String) -> Result<(), NetError> {
    let format = |e: safetensors::SafeTensorError| NetError::format(path, e.to_string());
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            Ok((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes)?))
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(format)?;
    let metadata = HashMap::from([(METADATA_KEY.to_owned(), metadata)]);
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(format)?;
    atomic_write(path, &bytes)
}

/// Reads weights written by [`write_weights`].
pub fn read_weights(path: &Path) -> Result<(Weights, WeightsFile), NetError> {
    let bytes = fs::read(path).map_err(NetError::io(path, "read"))?;
    let (tensors, metadata) = parse_tensors(path, &bytes)?;
    let about: WeightsFile = serde_json::from_str(&metadata)
        .map_err(|e| NetError::format(path, format!("its metadata does not describe a network ({e})")))?;
    let layout = Arc::new(about.network.layout());
    let weights = fill_weights(path, layout, &tensors, &BTreeSet::new())?;
    Ok((weights, about))
}

/// Parses a safetensors file of ours.
pub(crate) fn parse_tensors<'a>(path: &Path, bytes: &'a [u8]) -> Result<(SafeTensors<'a>, String), NetError> {
    let damaged = |e: safetensors::SafeTensorError| {
        NetError::format(path, format!("not a safetensors file, or damaged ({e}); write it again"))
    };
    let tensors = SafeTensors::deserialize(bytes).map_err(damaged)?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let metadata =
        header.metadata().as_ref().and_then(|m| m.get(METADATA_KEY)).cloned().ok_or_else(|| {
            NetError::format(
                path,
                "a safetensors file that genas did not write: it lacks the description of its network",
            )
        })?;
    Ok((tensors, metadata))
}

/// Takes the entries of `layout` from `tensors`, each accounted for; `others` may stand beside them.
pub(crate) fn fill_weights(
    path: &Path,
    layout: Arc<crate::layout::Layout>,
    tensors: &SafeTensors,
    others: &BTreeSet<&str>,
) -> Result<Weights, NetError> {
    if let Some(name) = tensors.names().into_iter().find(|n| layout.get(n).is_none() && !others.contains(n)) {
        return Err(NetError::format(path, format!("holds a tensor that its network does not have: {name}")));
    }
    let mut weights = Weights::neutral(layout.clone());
    for entry in layout.entries() {
        let tensor = tensors
            .tensor(&entry.name)
            .map_err(|_| NetError::format(path, format!("lacks the tensor {}", entry.name)))?;
        if tensor.dtype() != Dtype::F32 || tensor.shape() != entry.shape {
            return Err(NetError::format(
                path,
                format!(
                    "{} is {:?} {:?}, expected F32 {:?}",
                    entry.name,
                    tensor.dtype(),
                    tensor.shape(),
                    entry.shape
                ),
            ));
        }
        read_f32(tensor.data(), weights.slice_mut(entry));
    }
    Ok(weights)
}

/// Little-endian bytes to f32.
pub(crate) fn read_f32(bytes: &[u8], out: &mut [f32]) {
    for (value, chunk) in out.iter_mut().zip(bytes.chunks_exact(4)) {
        *value = f32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
    }
}
