//! Detectors as ONNX: RetinaNet's wiring, and behind it, in standard operators, what makes rows of numbers of its
//! maps ([`DetectorForm::Raw`]) or objects ([`DetectorForm::EndToEnd`]). 32 bits only.
//!
//! Both forms compute the same rows under the same names, so that a file of either is compared with burn by its
//! own nodes. What the end-to-end form makes of them is compared with the host's arithmetic by the tests of
//! `genas-transfer`, where that is.

mod info;
mod levels;
mod objects;

use crate::error::{ExportError, Result};
use crate::export::{ExportReport, write_verified};
use crate::graph::{OnnxGraph, Tensor, undeclared};
use crate::import::weights_in;
use crate::metadata::{DETECTOR, json, model_metadata, precision_of, read_model};
use crate::options::{Dim, GraphOptions, Precision};
use crate::proto::{DataType, ModelProto};
use crate::sidecar::{self, sidecar_path};
use crate::verify::{
    PARITY_BATCH, Parity, Reference, burn_outputs, check_layout, compare, noise, open_bytes,
};
use genas_net::{Interpreter, RetinaNet, Weights};
use genas_runtime::Output;
use prost::Message;
use std::path::Path;

pub use info::{Detection, DetectorInfo};
use info::{detector_metadata, exported};
pub(crate) use levels::anchors_by_hand;
use levels::{LEVELS, Rows};

/// Sizes of the images that are compared with burn where the model does not fix them: height and width.
const PARITY_SIZES: [[usize; 2]; 2] = [[64, 96], [160, 96]];

/// What a detector's file gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DetectorForm {
    /// The network's numbers and the anchors, level by level: outputs `logits_p3` `[batch, n, classes]`, `deltas_p3`
    /// `[batch, n, 4]`, `anchors_p3` `[n, 4]`, and so on to `p7`.
    #[default]
    Raw,
    /// Objects: outputs `boxes` `[detections, 4]`, `scores`, `labels` and `batch_index`, `[detections]` each, ordered by
    /// image and falling score.
    EndToEnd,
}

impl DetectorForm {
    /// As the metadata key `form` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::EndToEnd => "end-to-end",
        }
    }
}

/// A detector as the bytes of a file, without comparison.
///
/// `options.metadata` may add entries to those of a detector; it cannot replace them.
pub fn detector_model(
    net: &RetinaNet,
    weights: &Weights,
    info: &DetectorInfo,
    form: DetectorForm,
    options: &GraphOptions,
) -> Result<Vec<u8>> {
    Ok(detector_proto(net, weights, info, form, options)?.encode_to_vec())
}

fn detector_proto(
    net: &RetinaNet,
    weights: &Weights,
    info: &DetectorInfo,
    form: DetectorForm,
    options: &GraphOptions,
) -> Result<ModelProto> {
    info.check(net, options)?;
    if let Some(problem) = net.problem() {
        return Err(ExportError::NoBackbone(problem));
    }
    let net = &exported(net);
    let mut options = options.clone();
    options.metadata.extend(detector_metadata(net, info, form, &options)?);

    let (mut graph, input) = OnnxGraph::new("detector", weights, &options);
    let maps = net.forward(&mut graph, &input);
    let detection = &info.detection;
    let outputs = graph.scope("detect", |graph| {
        let rows: Vec<Rows> = maps
            .into_iter()
            .enumerate()
            .map(|(level, maps)| levels::rows(graph, net, detection, level, maps))
            .collect();
        match form {
            DetectorForm::Raw => raw_outputs(net, &options, &rows),
            DetectorForm::EndToEnd => {
                let input = graph.computed(input);
                objects::objects(graph, net, detection, &rows, &input)
            }
        }
    });
    graph.finish_tensors(&outputs)
}

fn raw_outputs(net: &RetinaNet, options: &GraphOptions, rows: &[Rows]) -> Vec<(Tensor, DataType, Vec<Dim>)> {
    let sizes = options.height.fixed().zip(options.width.fixed());
    let sizes = sizes.map(|(height, width)| RetinaNet::level_sizes([height, width]));
    let mut outputs = Vec::new();
    for (level, rows) in rows.iter().enumerate() {
        let n = match sizes {
            Some(sizes) => Dim::Fixed(sizes[level].iter().product::<usize>() * net.anchors),
            None => Dim::Dynamic(format!("rows_{}", LEVELS[level])),
        };
        let mut output = |tensor: &Tensor, dims| outputs.push((tensor.clone(), DataType::Float, dims));
        output(&rows.logits, vec![options.batch.clone(), n.clone(), Dim::Fixed(net.classes)]);
        output(&rows.deltas, vec![options.batch.clone(), n.clone(), Dim::Fixed(4)]);
        output(&rows.anchors, vec![n, Dim::Fixed(4)]);
    }
    outputs
}

/// Writes a detector with all that its receiver needs, and verifies it as
/// [`export_model`](crate::export_model) does.
pub fn export_detector(
    path: &Path,
    net: &RetinaNet,
    weights: &Weights,
    info: &DetectorInfo,
    form: DetectorForm,
    options: &GraphOptions,
) -> Result<ExportReport> {
    info.check(net, options)?;
    if let Some(problem) = net.problem() {
        return Err(ExportError::NoBackbone(problem));
    }
    check_layout(&exported(net).layout(), weights)?;
    sidecar::check_free(&sidecar_path(path))?;
    let model = detector_proto(net, weights, info, form, options)?;
    let fixed = [&options.batch, &options.height, &options.width].map(Dim::fixed);
    let references = references(&exported(net), weights, info, fixed)?;
    write_verified(path, model, &references, Precision::Fp32, None, Some(with_rows))
}

/// The weights, network and description in a detector's file of either form, BatchNorm kept.
pub fn detector_from_onnx(path: &Path) -> Result<(Weights, RetinaNet, DetectorInfo)> {
    let model = read_model(path)?;
    let (net, info) = described(path, &model)?;
    let weights = weights_from(path, &model, &net)?;
    Ok((weights, net, info))
}

/// Whether a model's file says that it is a detector.
pub fn is_detector(path: &Path) -> Result<bool> {
    Ok(model_metadata(&read_model(path)?).get("kind").is_some_and(|kind| kind == DETECTOR))
}

/// Compares a detector's file of either form with burn: with the weights that it was written from, or else with
/// those in the file itself. An error if they disagree.
pub fn verify_detector(path: &Path, weights: Option<&Weights>) -> Result<Parity> {
    let model = read_model(path)?;
    let (net, info) = described(path, &model)?;
    let own = match weights {
        Some(_) => None,
        None => Some(weights_from(path, &model, &net)?),
    };
    let Some(weights) = weights.or(own.as_ref()) else {
        return Err(ExportError::Folded { path: path.to_owned() });
    };
    check_layout(&net.layout(), weights)?;
    let mut session = open_bytes(&with_rows(&model).encode_to_vec())?;
    let shape = session.inputs().first().map(|port| port.shape.clone()).unwrap_or_default();
    let [batch, _, height, width] = shape[..] else {
        return Err(ExportError::format(
            path,
            "its input is not a batch of images [batch, 3, height, width]",
        ));
    };
    let references = references(&net, weights, &info, [batch, height, width])?;
    compare(&references, &mut session, Precision::Fp32.tolerance())?
        .check(&path.display().to_string(), "give the weights that it was exported from")
}

/// What a file says of itself.
fn described(path: &Path, model: &ModelProto) -> Result<(RetinaNet, DetectorInfo)> {
    let metadata = model_metadata(model);
    let read = || Ok((DetectorInfo::from_metadata(&metadata)?, json(&metadata, "detector")?));
    let (info, net): (DetectorInfo, RetinaNet) =
        read().map_err(|e: ExportError| ExportError::format(path, e.to_string()))?;
    // A network that someone else described must not be read as far as where its wiring fails.
    info.check(&net, &GraphOptions::any_size()).map_err(|e| ExportError::format(path, e.to_string()))?;
    match net.problem() {
        Some(problem) => Err(ExportError::format(path, problem)),
        None => Ok((net, info)),
    }
}

fn weights_from(path: &Path, model: &ModelProto, net: &RetinaNet) -> Result<Weights> {
    let metadata = model_metadata(model);
    let precision = precision_of(&metadata)?;
    if precision != Precision::Fp32 {
        let problem = format!("it is in {precision}, but detectors are in fp32 only; export it again");
        return Err(ExportError::format(path, problem));
    }
    let folded = metadata.get("batch_norm").is_some_and(|v| v == "folded");
    weights_in(path, model, net.layout(), precision, folded)
}

/// The model with its rows as outputs, which the end-to-end form computes but does not show.
fn with_rows(model: &ModelProto) -> ModelProto {
    let mut model = model.clone();
    if let Some(graph) = model.graph.as_mut() {
        graph.output = (0..LEVELS.len()).flat_map(Rows::names).map(|name| undeclared(&name)).collect();
    }
    model
}

/// One reference for the size that the model fixes, or for each of two.
fn references(
    net: &RetinaNet,
    weights: &Weights,
    info: &DetectorInfo,
    [batch, height, width]: [Option<usize>; 3],
) -> Result<Vec<Reference>> {
    let divisor = info.detection.divisor;
    let batch = batch.unwrap_or(PARITY_BATCH);
    let mut shapes: Vec<[usize; 4]> = Vec::new();
    for [h, w] in PARITY_SIZES {
        let [h, w] = [h, w].map(|side| side.next_multiple_of(divisor));
        shapes.push([batch, 3, height.unwrap_or(h), width.unwrap_or(w)]);
    }
    shapes.dedup();
    shapes.into_iter().map(|shape| reference(net, weights, info, shape)).collect()
}

/// Rows as burn computes them, and anchors by hand.
fn reference(
    net: &RetinaNet,
    weights: &Weights,
    info: &DetectorInfo,
    shape: [usize; 4],
) -> Result<Reference> {
    let images = noise(info.mean, info.std, shape);
    let maps = burn_outputs(weights, &images, shape, |i, x| {
        let levels = net.forward(i, x);
        levels.into_iter().flat_map(|maps| [("logits", maps.logits), ("deltas", maps.deltas)]).collect()
    })?;
    let mut outputs = Vec::new();
    for (level, maps) in maps.chunks_exact(2).enumerate() {
        let size = [maps[0].shape[2], maps[0].shape[3]];
        let anchors = anchors_by_hand(&info.detection, level, size);
        let rows = [channels_last(&maps[0]), channels_last(&maps[1]), anchors];
        for (name, values) in Rows::names(level).into_iter().zip(rows) {
            outputs.push(Output { name, shape: vec![values.len()], values });
        }
    }
    Ok(Reference::of_outputs(images, shape, outputs))
}

/// The values of a map `[n, c, h, w]` in the order `[n, h, w, c]`.
fn channels_last(map: &Output) -> Vec<f32> {
    let (channels, places) = (map.shape[1], map.shape[2] * map.shape[3]);
    let image = |image: &[f32]| {
        (0..places * channels).map(|n| image[n % channels * places + n / channels]).collect::<Vec<_>>()
    };
    map.values.chunks_exact((channels * places).max(1)).flat_map(image).collect()
}
