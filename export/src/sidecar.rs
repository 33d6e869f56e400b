//! `MODEL.json` beside `MODEL.onnx`: what the file says about itself, for readers without ONNX.
//!
//! One flat object. Every key of the metadata is there; values that are JSON in the metadata (numbers,
//! lists, the network) are JSON here and not strings. Besides, in ONNX Runtime's words: `onnx` (the file's
//! name), `inputs`, `outputs`, `max_abs_error` and `bytes`.

use crate::error::{ExportError, Result};
use crate::export::ExportReport;
use genas_net::atomic_write;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Metadata whose values are JSON; all others are text.
pub(crate) const JSON_KEYS: [&str; 22] = [
    "network",
    "detector",
    "segmenter",
    "genotype_json",
    "channels",
    "layers",
    "classes",
    "class_names",
    "category_ids",
    "detection",
    "label_ids",
    "colors",
    "segmentation",
    "input_size",
    "resize",
    "mean",
    "std",
    "strides",
    "feature_channels",
    "opset",
    "quantization",
    "parity_max_abs_error",
];

/// The description's path: `.onnx` becomes `.json`, any other ending stays and gets `.json` behind it.
pub fn sidecar_path(onnx: &Path) -> PathBuf {
    if onnx.extension().is_some_and(|ending| ending == "onnx") {
        return onnx.with_extension("json");
    }
    let mut name = onnx.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

/// Refuses to overwrite a file that is no description.
pub(crate) fn check_free(path: &Path) -> Result<()> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(ExportError::io(path, "read")(error)),
    };
    let ours = serde_json::from_slice::<Map<String, Value>>(&bytes)
        .is_ok_and(|json| json.contains_key("genas_version") && json.contains_key("onnx"));
    if ours { Ok(()) } else { Err(ExportError::Sidecar { path: path.to_owned() }) }
}

/// Writes the description.
pub(crate) fn write(path: &Path, report: &ExportReport, metadata: &BTreeMap<String, String>) -> Result<()> {
    let name = report.onnx.file_name().unwrap_or_default().to_string_lossy();
    let mut object = Map::from_iter([("onnx".to_owned(), json!(name))]);
    for (key, value) in metadata {
        let typed = JSON_KEYS.contains(&key.as_str()).then(|| serde_json::from_str(value).ok()).flatten();
        object.insert(key.clone(), typed.unwrap_or_else(|| json!(value)));
    }
    object.insert("inputs".to_owned(), json!(report.inputs));
    object.insert("outputs".to_owned(), json!(report.outputs));
    object.insert("max_abs_error".to_owned(), json!(report.max_abs_error));
    object.insert("bytes".to_owned(), json!(report.bytes));
    let text = format!("{:#}\n", Value::Object(object));
    Ok(atomic_write(path, text.as_bytes())?)
}
