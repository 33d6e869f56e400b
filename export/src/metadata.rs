//! What a model file says about itself, in its `metadata_props`: enough to evaluate, fine-tune and
//! deploy it without any other file.
//!
//! All values are strings. The keys are stable:
//!
//! | key | value |
//! |---|---|
//! | `genas_version` | version of genas that wrote the file |
//! | `kind` | `classifier`, `backbone`, `detector`, or `segmenter` |
//! | `network` | the network as JSON ([`EvalNet`]), without its auxiliary head, which is not exported |
//! | `genotype` | its cells in the human form |
//! | `genotype_json` | its cells in the JSON form |
//! | `channels`, `layers`, `classes` | width of the first cell, number of cells, number of classes |
//! | `class_names` | JSON array of strings, in the order of the logits; of a backbone, what it was trained to tell apart |
//! | `input_size` | side of the images that the network was trained for |
//! | `resize` | length that the shorter side of a picture is resized to, bilinear with antialias, before the centre is cut out |
//! | `channel_order` | `RGB` |
//! | `value_range` | `[0, 1]`: range of the pixels before `mean` is subtracted and `std` divides |
//! | `mean`, `std` | JSON arrays of three numbers |
//! | `training_data` | the data set |
//! | `source_run` | the run directory or checkpoint |
//! | `batch_norm` | `kept`, or `folded` into the convolutions |
//! | `precision` | `fp32`, `fp16`, or `int8` |
//! | `opset` | operator set |
//! | `parity_max_abs_error` | largest difference of an output between ONNX Runtime and burn when the file was written |
//!
//! A model in 8-bit integers has besides `quantization`, a JSON object:
//!
//! | key | value |
//! |---|---|
//! | `activations` | `uint8`, with zero points, or `int8`, symmetric |
//! | `weights` | `int8 per channel` |
//! | `calibration` | `minmax`, `percentile P` or `entropy` |
//! | `images` | images that it was calibrated with |
//! | `convolutions`, `integer_convolutions` | all of them, and those that ONNX Runtime's CPU provider computes in integers |
//!
//! A backbone has besides:
//!
//! | key | value |
//! |---|---|
//! | `features` | `raw`: as the cells compute them, or `relu`: after a ReLU |
//! | `strides` | JSON array: pixels of the image per pixel of `c2`, `c3`, `c4`, `c5` |
//! | `feature_channels` | JSON array: their channels |
//!
//! A detector has neither `network`, `channels` and `layers` nor `input_size` and `resize`, but besides:
//!
//! | key | value |
//! |---|---|
//! | `form` | `raw`: the network's numbers, or `end-to-end`: objects |
//! | `detector` | the network as JSON ([`RetinaNet`](genas_net::RetinaNet)), its backbone without auxiliary head |
//! | `classes` | number of classes that it detects |
//! | `category_ids` | JSON array of integers: the classes' numbers in the data set |
//! | `detection` | JSON object: from pictures to the input, and from numbers to objects ([`Detection`](crate::Detection)) |
//!
//! A segmenter lacks what a detector lacks, and has besides:
//!
//! | key | value |
//! |---|---|
//! | `form` | `logits`: numbers of each class at every pixel, or `labels`: the class of the largest |
//! | `segmenter` | the network as JSON ([`DeepLabV3`](genas_net::DeepLabV3)), without auxiliary head |
//! | `classes` | number of classes that it tells apart |
//! | `label_ids` | JSON array of integers: the classes' numbers in the data set's label images |
//! | `colors` | JSON array of red, green and blue for each class, 0 to 255: for pictures |
//! | `class_table` | what all values in label images mean, those that are ignored too, as the text of a `classes.toml` |
//! | `segmentation` | JSON object: from pictures to the input, and to labels ([`Segmentation`](crate::Segmentation)) |

use crate::error::{ExportError, Result};
use crate::options::{ExportOptions, Features, GraphOptions, ModelKind, Precision};
use crate::proto::ModelProto;
use genas_net::{EvalNet, Network};
use prost::Message;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::Path;

/// Key of what is known of a model in 8-bit integers.
pub(crate) const QUANTIZATION_KEY: &str = "quantization";
/// What a detector's `kind` is.
pub(crate) const DETECTOR: &str = "detector";
/// What a segmenter's `kind` is.
pub(crate) const SEGMENTER: &str = "segmenter";
/// Key of the largest difference, which is known last.
pub(crate) const PARITY_KEY: &str = "parity_max_abs_error";

/// What the receiver of a model needs besides its graph.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInfo {
    /// Names of the classes, in the order of the logits.
    pub class_names: Vec<String>,
    /// Mean of each colour that was subtracted, red first, pixels in 0 to 1.
    pub mean: [f32; 3],
    /// Standard deviation of each colour that divided.
    pub std: [f32; 3],
    /// Side of the images.
    pub input_size: usize,
    /// The data set that the network was trained on.
    pub training_data: String,
    /// The run or checkpoint that the weights come from.
    pub source_run: String,
}

/// Networks for larger images see a part of the picture only.
const LARGEST_WHOLE: usize = 64;

/// Length of a picture's shorter side before a centre square of side `input` is cut out; see [`ModelInfo::resize`].
pub fn resize_for(input: usize) -> usize {
    if input <= LARGEST_WHOLE { input } else { (input as f64 * 256.0 / 224.0).round() as usize }
}

impl ModelInfo {
    /// Length of a picture's shorter side before the centre is cut out: 8/7 of the input (256 for 224, spec 06,
    /// section 1); the input itself up to 64 pixels, as such networks are trained.
    pub fn resize(&self) -> usize {
        resize_for(self.input_size)
    }

    /// Reads back what [`network_metadata`] wrote.
    pub fn from_metadata(metadata: &BTreeMap<String, String>) -> Result<Self> {
        if let Some(kind) = metadata.get("kind").filter(|kind| [DETECTOR, SEGMENTER].contains(&kind.as_str()))
        {
            let problem = "and this takes classifiers and backbones; give the file of one";
            return Err(ExportError::Info(format!("it is a {kind}, {problem}")));
        }
        Ok(Self {
            class_names: json(metadata, "class_names")?,
            mean: json(metadata, "mean")?,
            std: json(metadata, "std")?,
            input_size: json(metadata, "input_size")?,
            training_data: text(metadata, "training_data")?.to_owned(),
            source_run: text(metadata, "source_run")?.to_owned(),
        })
    }

    /// Refuses information that cannot belong to the network or the graph.
    pub(crate) fn check(&self, net: &EvalNet, options: &GraphOptions) -> Result<()> {
        let problem = |message: String| Err(ExportError::Info(message));
        if self.class_names.len() != net.classes {
            return problem(format!(
                "{} class names were given for a network of {} classes; give one name per class, in the order of the logits",
                self.class_names.len(),
                net.classes
            ));
        }
        check_normalization(self.mean, self.std)?;
        for (axis, dim) in [("height", &options.height), ("width", &options.width)] {
            if dim.fixed().is_some_and(|size| size != self.input_size) {
                return problem(format!(
                    "the graph's {axis} is fixed to another size than the model's input size {}; make them equal, or the {axis} dynamic",
                    self.input_size
                ));
            }
        }
        Ok(())
    }
}

/// Refuses numbers that cannot normalise images.
pub(crate) fn check_normalization(mean: [f32; 3], std: [f32; 3]) -> Result<()> {
    if std.iter().all(|&s| s > 0.0 && s.is_finite()) && mean.iter().all(|m| m.is_finite()) {
        return Ok(());
    }
    Err(ExportError::Info(format!(
        "mean {mean:?} and std {std:?} cannot normalise images; give finite numbers, std above zero"
    )))
}

/// A model file's description.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelFile {
    /// Classes and preprocessing.
    pub info: ModelInfo,
    /// The network, if genas wrote the file.
    pub network: Option<EvalNet>,
    /// What it is for.
    pub kind: ModelKind,
    /// Its number format.
    pub precision: Precision,
    /// Whether BatchNorm is folded into the convolutions.
    pub folded: bool,
    /// Everything, by key.
    pub metadata: BTreeMap<String, String>,
}

impl ModelFile {
    /// From the metadata of a model that was loaded already.
    pub fn from_metadata(metadata: &BTreeMap<String, String>) -> Result<Self> {
        Ok(Self {
            info: ModelInfo::from_metadata(metadata)?,
            network: metadata.contains_key("network").then(|| json(metadata, "network")).transpose()?,
            kind: kind_of(metadata)?,
            precision: precision_of(metadata)?,
            folded: metadata.get("batch_norm").is_some_and(|v| v == "folded"),
            metadata: metadata.clone(),
        })
    }

    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self> {
        Self::of(path, &read_model(path)?)
    }

    /// Of a file that was read already.
    pub(crate) fn of(path: &Path, model: &ModelProto) -> Result<Self> {
        Self::from_metadata(&model_metadata(model)).map_err(|e| ExportError::format(path, e.to_string()))
    }
}

/// The network that a file was written from, whatever its kind, form and precision.
pub fn network_from_onnx(path: &Path) -> Result<Network> {
    let metadata = model_metadata(&read_model(path)?);
    let network = match metadata.get("kind").map(String::as_str) {
        Some(DETECTOR) => json(&metadata, "detector").map(Network::RetinaNet),
        Some(SEGMENTER) => json(&metadata, "segmenter").map(Network::DeepLabV3),
        _ => json(&metadata, "network").map(Network::Eval),
    };
    network.map_err(|e| ExportError::format(path, e.to_string()))
}

/// The metadata of a file, but for `parity_max_abs_error`.
pub fn network_metadata(
    net: &EvalNet,
    info: &ModelInfo,
    options: &ExportOptions,
) -> BTreeMap<String, String> {
    let exported = EvalNet { auxiliary: false, ..net.clone() };
    let mut entries = vec![
        ("genas_version", env!("CARGO_PKG_VERSION").to_owned()),
        ("kind", options.kind.name().to_owned()),
        ("network", serde_json::json!(exported).to_string()),
        ("genotype", net.genotype.to_string()),
        ("genotype_json", serde_json::json!(net.genotype).to_string()),
        ("channels", net.channels.to_string()),
        ("layers", net.layers.to_string()),
        ("classes", net.classes.to_string()),
        ("class_names", serde_json::json!(info.class_names).to_string()),
        ("input_size", info.input_size.to_string()),
        ("resize", info.resize().to_string()),
        ("channel_order", "RGB".to_owned()),
        ("value_range", "[0, 1]".to_owned()),
        ("mean", triple(info.mean)),
        ("std", triple(info.std)),
        ("training_data", info.training_data.clone()),
        ("source_run", info.source_run.clone()),
        ("batch_norm", if options.graph.fold_bn { "folded" } else { "kept" }.to_owned()),
        ("precision", options.precision.name().to_owned()),
        ("opset", options.graph.opset.to_string()),
    ];
    if let ModelKind::Backbone(features) = options.kind {
        entries.push(("features", features.name().to_owned()));
        entries.push(("strides", serde_json::json!(EvalNet::BACKBONE_STRIDES).to_string()));
        entries.push(("feature_channels", serde_json::json!(net.backbone_channels()).to_string()));
    }
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Files of earlier versions do not say their kind: they are classifiers.
fn kind_of(metadata: &BTreeMap<String, String>) -> Result<ModelKind> {
    let value = |key: &str| metadata.get(key).map(String::as_str);
    match (value("kind"), value("features")) {
        (None | Some("classifier"), _) => Ok(ModelKind::Classifier),
        (Some("backbone"), Some("raw")) => Ok(ModelKind::Backbone(Features::Raw)),
        (Some("backbone"), Some("relu")) => Ok(ModelKind::Backbone(Features::Relu)),
        (Some("backbone"), features) => Err(unknown("features", features)),
        (kind, _) => Err(unknown("kind", kind)),
    }
}

/// Files of earlier versions do not say their precision: they are in 32 bits.
pub(crate) fn precision_of(metadata: &BTreeMap<String, String>) -> Result<Precision> {
    match metadata.get("precision").map(String::as_str) {
        None | Some("fp32") => Ok(Precision::Fp32),
        // Whether inputs and outputs are 16-bit too is said by their types.
        Some("fp16") => Ok(Precision::Fp16 { half_io: false }),
        Some("int8") => Ok(Precision::Int8),
        precision => Err(unknown("precision", precision)),
    }
}

fn unknown(key: &str, value: Option<&str>) -> ExportError {
    ExportError::Info(format!(
        "the model's metadata `{key}` is {}, which this version of genas does not know; export the model again with `genas export --onnx`",
        value.map_or_else(|| "missing".to_owned(), |value| format!("`{value}`"))
    ))
}

/// Three numbers as JSON, each in the fewest digits that give the same `f32` again.
pub(crate) fn triple([r, g, b]: [f32; 3]) -> String {
    format!("[{r:?}, {g:?}, {b:?}]")
}

pub(crate) fn text<'m>(metadata: &'m BTreeMap<String, String>, key: &str) -> Result<&'m str> {
    metadata.get(key).map(String::as_str).ok_or_else(|| {
        ExportError::Info(format!(
            "the model's metadata has no `{key}`: genas did not write it; export it again with `genas export --onnx`"
        ))
    })
}

pub(crate) fn json<T: DeserializeOwned>(metadata: &BTreeMap<String, String>, key: &str) -> Result<T> {
    let value = text(metadata, key)?;
    serde_json::from_str(value).map_err(|e| {
        ExportError::Info(format!(
            "the model's metadata `{key}` cannot be read ({e}); export the model again with `genas export --onnx`"
        ))
    })
}

/// The metadata of a model.
pub(crate) fn model_metadata(model: &ModelProto) -> BTreeMap<String, String> {
    model.metadata_props.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect()
}

/// Reads and decodes an ONNX file.
pub(crate) fn read_model(path: &Path) -> Result<ModelProto> {
    let bytes = std::fs::read(path).map_err(ExportError::io(path, "read"))?;
    let remedy = "give a file that `genas export --onnx` wrote";
    let model = ModelProto::decode(bytes.as_slice())
        .map_err(|e| ExportError::format(path, format!("not an ONNX model, or damaged ({e}); {remedy}")))?;
    if model.graph.is_none() {
        return Err(ExportError::format(path, format!("not an ONNX model: it holds no graph; {remedy}")));
    }
    Ok(model)
}
