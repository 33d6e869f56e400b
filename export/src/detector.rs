//! Detectors as ONNX: RetinaNet's wiring, and behind it, in standard operators, what makes rows of numbers of its
//! maps ([`DetectorForm::Raw`]) or objects ([`DetectorForm::EndToEnd`]). 32 bits only.
//!
//! Both forms compute the same rows under the same names, so that a file of either is compared with burn by its
//! own nodes. What the end-to-end form makes of them is compared with the host's arithmetic by the tests of
//! `genas-transfer`, where that is.

mod info;
mod levels;
mod objects;

use crate::error::Result;
use crate::export::ExportReport;
use crate::graph::{OnnxGraph, Tensor, Value, undeclared};
use crate::metadata::DETECTOR;
use crate::options::{Dim, GraphOptions};
use crate::proto::{DataType, ModelProto};
use crate::task::{
    Common, Task, TaskOutput, export_task, is_kind, settings, task_from_onnx, task_proto, verify_task,
};
use crate::verify::{Parity, Reference, burn_outputs, noise};
use genas_net::{EvalNet, Interpreter, Layout, RetinaNet, Weights};
use genas_runtime::Output;
use prost::Message;
use std::collections::BTreeMap;
use std::path::Path;

pub use info::{Detection, DetectorInfo};
pub(crate) use levels::anchors_by_hand;
use levels::{LEVELS, Rows};

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
    Ok(task_proto(net, weights, info, form, options)?.encode_to_vec())
}

impl Task for DetectorInfo {
    type Net = RetinaNet;
    type Form = DetectorForm;

    const KIND: &'static str = DETECTOR;
    const PARITY_SIZES: [[usize; 2]; 2] = [[64, 96], [160, 96]];

    fn from_metadata(metadata: &BTreeMap<String, String>) -> Result<Self> {
        Self::from_metadata(metadata)
    }

    fn common<'a>(&'a self, net: &'a RetinaNet) -> Common<'a> {
        Common {
            genotype: &net.backbone.genotype,
            classes: net.classes,
            class_names: &self.class_names,
            mean: self.mean,
            std: self.std,
            training_data: &self.training_data,
            source_run: &self.source_run,
        }
    }

    fn metadata(&self, _: &RetinaNet, form: DetectorForm) -> Result<Vec<(&'static str, String)>> {
        Ok(vec![
            ("form", form.name().to_owned()),
            ("category_ids", serde_json::json!(self.category_ids).to_string()),
            ("detection", settings(&self.detection)?),
        ])
    }

    fn problem(&self, net: &RetinaNet, _: &GraphOptions) -> Option<String> {
        self.problem(net)
    }

    fn divisor(&self) -> usize {
        self.detection.divisor
    }

    fn exported(net: &RetinaNet) -> RetinaNet {
        RetinaNet { backbone: EvalNet { auxiliary: false, ..net.backbone.clone() }, ..net.clone() }
    }

    fn layout(net: &RetinaNet) -> Layout {
        net.layout()
    }

    fn outputs(
        &self,
        graph: &mut OnnxGraph,
        net: &RetinaNet,
        input: Value,
        form: DetectorForm,
        options: &GraphOptions,
    ) -> Vec<TaskOutput> {
        let detection = &self.detection;
        let filled = graph.filled_up(input, detection.divisor);
        let maps = net.forward(graph, &filled);
        graph.scope("detect", |graph| {
            let rows: Vec<Rows> = maps
                .into_iter()
                .enumerate()
                .map(|(level, maps)| levels::rows(graph, net, detection, level, maps))
                .collect();
            match form {
                DetectorForm::Raw => raw_outputs(net, options, &rows),
                DetectorForm::EndToEnd => {
                    let input = graph.computed(input);
                    objects::objects(graph, net, detection, &rows, &input)
                }
            }
        })
    }

    /// With its rows, which the end-to-end form computes but does not show.
    fn compared(model: &ModelProto) -> ModelProto {
        let mut model = model.clone();
        if let Some(graph) = model.graph.as_mut() {
            graph.output = (0..LEVELS.len()).flat_map(Rows::names).map(|name| undeclared(&name)).collect();
        }
        model
    }

    /// Rows as burn computes them, and anchors by hand.
    fn reference(&self, net: &RetinaNet, weights: &Weights, shape: [usize; 4]) -> Result<Reference> {
        let images = noise(self.mean, self.std, shape);
        let maps = burn_outputs(weights, &images, shape, |i, x| {
            let levels = net.forward(i, x);
            levels.into_iter().flat_map(|maps| [("logits", maps.logits), ("deltas", maps.deltas)]).collect()
        })?;
        let mut outputs = Vec::new();
        for (level, maps) in maps.chunks_exact(2).enumerate() {
            let size = [maps[0].shape[2], maps[0].shape[3]];
            let anchors = anchors_by_hand(&self.detection, level, size);
            let rows = [channels_last(&maps[0]), channels_last(&maps[1]), anchors];
            for (name, values) in Rows::names(level).into_iter().zip(rows) {
                outputs.push(Output { name, shape: vec![values.len()], values });
            }
        }
        Ok(Reference::of_outputs(images, shape, outputs))
    }
}

fn raw_outputs(net: &RetinaNet, options: &GraphOptions, rows: &[Rows]) -> Vec<TaskOutput> {
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
    export_task(path, net, weights, info, form, options)
}

/// The weights, network and description in a detector's file of either form, BatchNorm kept.
pub fn detector_from_onnx(path: &Path) -> Result<(Weights, RetinaNet, DetectorInfo)> {
    task_from_onnx(path)
}

/// Whether a model's file says that it is a detector.
pub fn is_detector(path: &Path) -> Result<bool> {
    is_kind(path, DETECTOR)
}

/// Compares a detector's file of either form with burn: with the weights that it was written from, or else with
/// those in the file itself. An error if they disagree.
pub fn verify_detector(path: &Path, weights: Option<&Weights>) -> Result<Parity> {
    verify_task::<DetectorInfo>(path, weights)
}

/// The values of a map `[n, c, h, w]` in the order `[n, h, w, c]`.
fn channels_last(map: &Output) -> Vec<f32> {
    let (channels, places) = (map.shape[1], map.shape[2] * map.shape[3]);
    let image = |image: &[f32]| {
        (0..places * channels).map(|n| image[n % channels * places + n / channels]).collect::<Vec<_>>()
    };
    map.values.chunks_exact((channels * places).max(1)).flat_map(image).collect()
}
