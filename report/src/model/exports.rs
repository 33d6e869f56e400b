//! ONNX files of a run, and the descriptions beside them.

use std::collections::BTreeSet;
use std::fs;

use genas_net::EvalNet;
use serde::Serialize;
use serde_json::Value;

use super::Part;
use super::files::{Reader, number, string};

/// Folders of a run in which models lie.
const FOLDERS: [&str; 4] = ["", "export", "coco", "cityscapes"];

/// A model file.
#[derive(Clone, Debug, Serialize)]
pub struct Export {
    /// The file, in the run's folder.
    pub file: String,
    /// Its size; none if there is only its description.
    pub bytes: Option<u64>,
    /// What the file beside it says.
    pub about: Part<About>,
}

/// What a model says about itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct About {
    /// `classifier`, `backbone`, ...
    pub kind: Option<String>,
    /// `end-to-end`, `raw`, `logits` or `labels`, of detectors and segmenters.
    pub form: Option<String>,
    /// Number format.
    pub precision: Option<String>,
    /// `kept` or `folded`.
    pub batch_norm: Option<String>,
    /// Operator set.
    pub opset: Option<u64>,
    /// Inputs in ONNX Runtime's words.
    pub inputs: Vec<String>,
    /// Outputs.
    pub outputs: Vec<String>,
    /// Largest difference of an output from burn, when it was written.
    pub max_abs_error: Option<f64>,
    /// Its size when it was written.
    pub bytes: Option<u64>,
    /// What it was trained on.
    pub training_data: Option<String>,
    /// Side of the images.
    pub input_size: Option<u64>,
    /// The version of genas that wrote it.
    pub genas: Option<String>,
    /// The network of a classifier or a backbone.
    #[serde(skip)]
    pub network: Option<EvalNet>,
}

impl About {
    fn new(value: &Value) -> Self {
        let count = |key: &str| value.get(key).and_then(Value::as_u64);
        let ports = |key: &str| -> Vec<String> {
            value
                .get(key)
                .and_then(Value::as_array)
                .map_or_else(Vec::new, |all| all.iter().map(port).collect())
        };
        Self {
            kind: string(value, "kind"),
            form: string(value, "form"),
            precision: string(value, "precision"),
            batch_norm: string(value, "batch_norm"),
            opset: count("opset"),
            inputs: ports("inputs"),
            outputs: ports("outputs"),
            max_abs_error: number(value, "max_abs_error"),
            bytes: count("bytes"),
            training_data: string(value, "training_data"),
            input_size: count("input_size"),
            genas: string(value, "genas_version"),
            network: value.get("network").and_then(|net| serde_json::from_value(net.clone()).ok()),
        }
    }
}

/// An input or an output: `images: float32, free x 3 x 32 x 32`.
fn port(value: &Value) -> String {
    let text = |key| value.get(key).and_then(Value::as_str).unwrap_or("?");
    let size = |size: &Value| size.as_u64().map_or_else(|| "free".to_owned(), |size| size.to_string());
    let shape = value.get("shape").and_then(Value::as_array);
    let sizes = shape.map_or_else(Vec::new, |shape| shape.iter().map(size).collect::<Vec<_>>());
    format!("{}: {}, {}", text("name"), text("dtype"), sizes.join(" x "))
}

/// Every model in the run's folder, and every description of one that is not there.
pub fn read(files: &Reader) -> Vec<Export> {
    let mut exports = Vec::new();
    for folder in FOLDERS {
        let models: BTreeSet<String> = files.list(folder, ".onnx").into_iter().collect();
        for file in models {
            let bytes = fs::metadata(files.path(&file)).ok().map(|about| about.len());
            let beside = format!("{}.json", file.trim_end_matches(".onnx"));
            let about = files.json::<Value>(&beside).map(|value| About::new(&value));
            if let (Some(bytes), Some(written)) = (bytes, about.get().and_then(|about| about.bytes))
                && bytes != written
            {
                files.fault(
                    &file,
                    format!("has {bytes} bytes, and {beside} says {written}: it is cut off, or another file"),
                );
            }
            exports.push(Export { file, bytes, about });
        }
    }
    exports
}
