//! Files of networks for a task on pictures, detectors and segmenters: described, written, read and verified alike, in 32
//! bits. What they give comes in several forms, and is compared with burn by what all forms compute.

use crate::error::{ExportError, Result};
use crate::export::{ExportReport, write_verified};
use crate::graph::{OnnxGraph, Tensor, Value};
use crate::import::weights_in;
use crate::metadata::{check_normalization, json, model_metadata, precision_of, read_model, triple};
use crate::options::{Dim, GraphOptions, Precision};
use crate::proto::{DataType, ModelProto};
use crate::sidecar::{self, sidecar_path};
use crate::verify::{PARITY_BATCH, Parity, Reference, check_layout, compare, open_bytes};
use genas_net::{Layout, Weights};
use genas_space::Genotype;
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::Path;

/// An output: a tensor that has the output's name, its elements and its shape.
pub(crate) type TaskOutput = (Tensor, DataType, Vec<Dim>);

/// What the receiver of a network for a task needs besides its graph, and how such networks are written.
pub(crate) trait Task: Sized {
    /// The network.
    type Net: Serialize + DeserializeOwned;
    /// What a file gives.
    type Form: Copy;

    /// The metadata's `kind`, and its key of the network.
    const KIND: &'static str;
    /// Height and width of the images that are compared with burn where the model does not fix them; filled up to
    /// multiples of the input's divisor.
    const PARITY_SIZES: [[usize; 2]; 2];

    /// Reads back what a file says; its kind is checked.
    fn from_metadata(metadata: &BTreeMap<String, String>) -> Result<Self>;

    /// What all tasks say.
    fn common<'a>(&'a self, net: &'a Self::Net) -> Common<'a>;

    /// What this task says besides: its form, and further keys.
    fn metadata(&self, net: &Self::Net, form: Self::Form) -> Result<Vec<(&'static str, String)>>;

    /// Why this cannot belong to the network or the graph, or why there is no such network.
    fn problem(&self, net: &Self::Net, options: &GraphOptions) -> Option<String>;

    /// The input's sides are multiples of this.
    fn divisor(&self) -> usize;

    /// The network as a file holds it.
    fn exported(net: &Self::Net) -> Self::Net;

    /// What a network reads of its weights.
    fn layout(net: &Self::Net) -> Layout;

    /// Writes the network and what follows it.
    fn outputs(
        &self,
        graph: &mut OnnxGraph,
        net: &Self::Net,
        input: Value,
        form: Self::Form,
        options: &GraphOptions,
    ) -> Vec<TaskOutput>;

    /// A model of any form with those numbers as outputs that are compared.
    fn compared(model: &ModelProto) -> ModelProto;

    /// The same numbers as burn computes them, for images of a shape.
    fn reference(&self, net: &Self::Net, weights: &Weights, shape: [usize; 4]) -> Result<Reference>;
}

/// What all tasks say of a network.
pub(crate) struct Common<'a> {
    pub genotype: &'a Genotype,
    pub classes: usize,
    pub class_names: &'a [String],
    pub mean: [f32; 3],
    pub std: [f32; 3],
    pub training_data: &'a str,
    pub source_run: &'a str,
}

/// A network as a message.
pub(crate) fn task_proto<T: Task>(
    net: &T::Net,
    weights: &Weights,
    info: &T,
    form: T::Form,
    options: &GraphOptions,
) -> Result<ModelProto> {
    check(net, info, options)?;
    let net = &T::exported(net);
    let mut options = options.clone();
    options.metadata.extend(metadata(net, info, form, &options)?);
    let (mut graph, input) = OnnxGraph::new(T::KIND, weights, &options);
    let outputs = info.outputs(&mut graph, net, input, form, &options);
    graph.finish_tensors(&outputs)
}

/// Writes a network with all that its receiver needs, and verifies it.
pub(crate) fn export_task<T: Task>(
    path: &Path,
    net: &T::Net,
    weights: &Weights,
    info: &T,
    form: T::Form,
    options: &GraphOptions,
) -> Result<ExportReport> {
    check(net, info, options)?;
    let exported = T::exported(net);
    check_layout(&T::layout(&exported), weights)?;
    sidecar::check_free(&sidecar_path(path))?;
    let model = task_proto(net, weights, info, form, options)?;
    let fixed = [&options.batch, &options.height, &options.width].map(Dim::fixed);
    let references = references(&exported, weights, info, fixed)?;
    write_verified(path, model, &references, Precision::Fp32, None, Some(T::compared))
}

/// The weights, network and description in a file of any form, BatchNorm kept.
pub(crate) fn task_from_onnx<T: Task>(path: &Path) -> Result<(Weights, T::Net, T)> {
    let model = read_model(path)?;
    let (net, info) = described::<T>(path, &model)?;
    let weights = weights_from::<T>(path, &model, &net)?;
    Ok((weights, net, info))
}

/// Whether a model's file says that it is of a kind.
pub(crate) fn is_kind(path: &Path, kind: &str) -> Result<bool> {
    Ok(model_metadata(&read_model(path)?).get("kind").is_some_and(|held| held == kind))
}

/// Compares a file of any form with burn: with the weights that it was written from, or else with those in the file
/// itself. An error if they disagree.
pub(crate) fn verify_task<T: Task>(path: &Path, weights: Option<&Weights>) -> Result<Parity> {
    let model = read_model(path)?;
    let (net, info) = described::<T>(path, &model)?;
    let own = match weights {
        Some(_) => None,
        None => Some(weights_from::<T>(path, &model, &net)?),
    };
    let Some(weights) = weights.or(own.as_ref()) else {
        return Err(ExportError::Folded { path: path.to_owned() });
    };
    check_layout(&T::layout(&net), weights)?;
    let mut session = open_bytes(&T::compared(&model).encode_to_vec())?;
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

/// Refuses the file of another kind.
pub(crate) fn check_kind(metadata: &BTreeMap<String, String>, kind: &str) -> Result<()> {
    let held = metadata.get("kind").map_or("classifier", String::as_str);
    if held == kind {
        return Ok(());
    }
    Err(ExportError::Info(format!("it is no {kind} but a {held}; give a {kind}'s file")))
}

/// Refuses a description that cannot belong to the network or the graph.
fn check<T: Task>(net: &T::Net, info: &T, options: &GraphOptions) -> Result<()> {
    if let Some(problem) = info.problem(net, options) {
        return Err(ExportError::Info(problem));
    }
    let Common { mean, std, .. } = info.common(net);
    check_normalization(mean, std)?;
    let divisor = info.divisor();
    for (axis, dim) in [("height", &options.height), ("width", &options.width)] {
        if let Some(size) = dim.fixed().filter(|size| *size == 0 || size % divisor != 0) {
            return Err(ExportError::Info(format!(
                "the graph's {axis} is fixed to {size}, which is no multiple of {divisor}; take one, or make the {axis} \
                 dynamic"
            )));
        }
    }
    Ok(())
}

/// The metadata of a file, but for `parity_max_abs_error`.
fn metadata<T: Task>(
    net: &T::Net,
    info: &T,
    form: T::Form,
    options: &GraphOptions,
) -> Result<BTreeMap<String, String>> {
    let common = info.common(net);
    let entries = [
        ("genas_version", env!("CARGO_PKG_VERSION").to_owned()),
        ("kind", T::KIND.to_owned()),
        (T::KIND, serde_json::json!(net).to_string()),
        ("genotype", common.genotype.to_string()),
        ("genotype_json", serde_json::json!(common.genotype).to_string()),
        ("classes", common.classes.to_string()),
        ("class_names", serde_json::json!(common.class_names).to_string()),
        ("channel_order", "RGB".to_owned()),
        ("value_range", "[0, 1]".to_owned()),
        ("mean", triple(common.mean)),
        ("std", triple(common.std)),
        ("training_data", common.training_data.to_owned()),
        ("source_run", common.source_run.to_owned()),
        ("batch_norm", if options.fold_bn { "folded" } else { "kept" }.to_owned()),
        ("precision", Precision::Fp32.name().to_owned()),
        ("opset", options.opset.to_string()),
    ];
    let own = info.metadata(net, form)?;
    Ok(entries.into_iter().chain(own).map(|(key, value)| (key.to_owned(), value)).collect())
}

/// Settings as JSON. Not by way of `json!`, which would show more digits of an `f32` than it has.
pub(crate) fn settings(settings: &impl Serialize) -> Result<String> {
    serde_json::to_string(settings)
        .map_err(|e| ExportError::Info(format!("the settings of the task cannot be written ({e})")))
}

/// What a file says of itself.
fn described<T: Task>(path: &Path, model: &ModelProto) -> Result<(T::Net, T)> {
    let metadata = model_metadata(model);
    let read = || {
        let (info, net) = (T::from_metadata(&metadata)?, json(&metadata, T::KIND)?);
        // A network that someone else described must not be read as far as where its wiring fails.
        check(&net, &info, &GraphOptions::any_size())?;
        Ok((net, info))
    };
    read().map_err(|e: ExportError| ExportError::format(path, e.to_string()))
}

fn weights_from<T: Task>(path: &Path, model: &ModelProto, net: &T::Net) -> Result<Weights> {
    let metadata = model_metadata(model);
    let precision = precision_of(&metadata)?;
    if precision != Precision::Fp32 {
        let problem = format!("it is in {precision}, but {}s are in fp32 only; export it again", T::KIND);
        return Err(ExportError::format(path, problem));
    }
    let folded = metadata.get("batch_norm").is_some_and(|v| v == "folded");
    weights_in(path, model, T::layout(net), precision, folded)
}

/// One reference for the size that the model fixes, or for each of two.
fn references<T: Task>(
    net: &T::Net,
    weights: &Weights,
    info: &T,
    [batch, height, width]: [Option<usize>; 3],
) -> Result<Vec<Reference>> {
    let divisor = info.divisor();
    let batch = batch.unwrap_or(PARITY_BATCH);
    let mut shapes: Vec<[usize; 4]> = Vec::new();
    for size in T::PARITY_SIZES {
        let [h, w] = size.map(|side| side.next_multiple_of(divisor));
        shapes.push([batch, 3, height.unwrap_or(h), width.unwrap_or(w)]);
    }
    shapes.dedup();
    shapes.into_iter().map(|shape| info.reference(net, weights, shape)).collect()
}
