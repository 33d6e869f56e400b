//! Files of trained networks.

use std::path::Path;

use anyhow::{Context, Result, bail};
use genas_data::Normalization;
use genas_export::{DetectorInfo, ModelInfo, SegmenterInfo};
use genas_net::{DeepLabV3, EvalNet, Network, NetworkKind, RetinaNet, Weights, read_weights};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// A trained network of one genotype.
pub struct Trained {
    pub net: EvalNet,
    pub weights: Weights,
    pub info: ModelInfo,
}

/// Reads `.safetensors`, or `.onnx` that genas wrote.
pub fn read(path: &Path) -> Result<Trained> {
    match path.extension().and_then(|e| e.to_str()) {
        Some("onnx") => {
            let (weights, net, info) = genas_export::weights_from_onnx(path)?;
            Ok(Trained { net, weights, info })
        }
        Some("pth" | "tar" | "pt") => {
            bail!("{} is a PyTorch checkpoint; read it with `genas import` first", path.display())
        }
        _ => {
            let (weights, about) = read_weights(path)?;
            let Network::Eval(net) = about.network else {
                bail!(
                    "{} holds no network of one cell; give the weights of `genas retrain` or `genas import`",
                    path.display()
                );
            };
            let info = info(&net, &about.extra, path)
                .with_context(|| format!("{}: its description", path.display()))?;
            Ok(Trained { net, weights, info })
        }
    }
}

/// A trained detector.
pub struct TrainedDetector {
    pub net: RetinaNet,
    pub weights: Weights,
    pub info: DetectorInfo,
}

/// Reads a detector's `.safetensors`, or `.onnx`.
pub fn read_detector(path: &Path) -> Result<TrainedDetector> {
    if path.extension().is_some_and(|ending| ending == "onnx") {
        let (weights, net, info) = genas_export::detector_from_onnx(path)?;
        return Ok(TrainedDetector { net, weights, info });
    }
    let (weights, about) = read_weights(path)?;
    let Network::RetinaNet(net) = about.network else {
        bail!("{} holds no detector; give the weights of `genas transfer coco --backbone`", path.display());
    };
    Ok(TrainedDetector { net, weights, info: beside(path, about.extra)? })
}

/// A trained segmenter.
pub struct TrainedSegmenter {
    pub net: DeepLabV3,
    /// With the auxiliary head, if the network has it.
    pub weights: Weights,
    pub info: SegmenterInfo,
}

/// Reads a segmenter's `.safetensors`, or `.onnx`.
pub fn read_segmenter(path: &Path) -> Result<TrainedSegmenter> {
    if path.extension().is_some_and(|ending| ending == "onnx") {
        let (weights, net, info) = genas_export::segmenter_from_onnx(path)?;
        return Ok(TrainedSegmenter { net, weights, info });
    }
    let (weights, about) = read_weights(path)?;
    let Network::DeepLabV3(net) = about.network else {
        bail!(
            "{} holds no segmenter; give the weights of `genas transfer cityscapes --backbone`",
            path.display()
        );
    };
    Ok(TrainedSegmenter { net, weights, info: beside(path, about.extra)? })
}

/// The whole description that stands beside weights.
fn beside<T: DeserializeOwned>(path: &Path, extra: Map<String, Value>) -> Result<T> {
    serde_json::from_value(Value::Object(extra))
        .with_context(|| format!("{}: its description", path.display()))
}

/// What stands beside the weights, with defaults where the writer left something out.
fn info(net: &EvalNet, extra: &Map<String, Value>, path: &Path) -> Result<ModelInfo> {
    let unknown = match net.kind {
        NetworkKind::Cifar => "unknown, of CIFAR's size",
        NetworkKind::ImageNet => "unknown, of ImageNet's size",
    };
    Ok(ModelInfo {
        class_names: entry(extra, "class_names")?
            .unwrap_or_else(|| (0..net.classes).map(|n| format!("class_{n}")).collect()),
        mean: entry(extra, "mean")?.unwrap_or(Normalization::IMAGENET.mean),
        std: entry(extra, "std")?.unwrap_or(Normalization::IMAGENET.std),
        input_size: entry(extra, "input_size")?.unwrap_or_else(|| EvalNet::default_image_size(net.kind)),
        training_data: entry(extra, "training_data")?.unwrap_or_else(|| unknown.to_owned()),
        source_run: entry(extra, "source_run")?.unwrap_or_else(|| path.display().to_string()),
    })
}

fn entry<T: DeserializeOwned>(extra: &Map<String, Value>, key: &str) -> Result<Option<T>> {
    let value = extra.get(key).filter(|value| !value.is_null());
    value
        .map(|value| serde_json::from_value(value.clone()).with_context(|| format!("`{key}` is {value}")))
        .transpose()
}
