//! Segmenters as ONNX: DeepLab-v3's wiring with logits at the input's size ([`SegmenterForm::Logits`]), and behind it the
//! class of the largest at each pixel ([`SegmenterForm::Labels`]). 32 bits only.
//!
//! Both forms compute the logits under the same name, and are compared with burn by them.

mod info;

use crate::error::Result;
use crate::export::ExportReport;
use crate::graph::{LOGITS, OnnxGraph, Value, undeclared};
use crate::metadata::SEGMENTER;
use crate::options::{Dim, GraphOptions};
use crate::proto::{AttributeProto, DataType, ModelProto};
use crate::task::{
    Common, Task, TaskOutput, export_task, is_kind, settings, task_from_onnx, task_proto, verify_task,
};
use crate::verify::{Parity, Reference, burn_outputs, noise};
use genas_net::{DeepLabV3, EvalNet, Layout, Weights};
use prost::Message;
use std::collections::BTreeMap;
use std::path::Path;

pub use info::{Segmentation, SegmenterInfo, SlidingWindow};

/// Name of the output of [`SegmenterForm::Labels`].
const LABELS: &str = "labels";

/// What a segmenter's file gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SegmenterForm {
    /// Output `logits` `[batch, classes, height, width]`, f32, at the input's size.
    #[default]
    Logits,
    /// Output `labels` `[batch, height, width]`, int64: the class of the largest logit, the lower of equal ones.
    Labels,
}

impl SegmenterForm {
    /// As the metadata key `form` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Logits => "logits",
            Self::Labels => "labels",
        }
    }
}

/// A segmenter as the bytes of a file, without comparison.
///
/// `weights` may hold the auxiliary head, which is not exported. `options.metadata` may add entries to those of a
/// segmenter; it cannot replace them.
pub fn segmenter_model(
    net: &DeepLabV3,
    weights: &Weights,
    info: &SegmenterInfo,
    form: SegmenterForm,
    options: &GraphOptions,
) -> Result<Vec<u8>> {
    Ok(task_proto(net, weights, info, form, options)?.encode_to_vec())
}

/// Writes a segmenter with all that its receiver needs, and verifies it as
/// [`export_model`](crate::export_model) does.
///
/// `weights` may hold the auxiliary head, which is not exported.
pub fn export_segmenter(
    path: &Path,
    net: &DeepLabV3,
    weights: &Weights,
    info: &SegmenterInfo,
    form: SegmenterForm,
    options: &GraphOptions,
) -> Result<ExportReport> {
    export_task(path, net, weights, info, form, options)
}

/// The weights, network and description in a segmenter's file of either form, BatchNorm kept. The network has no
/// auxiliary head ([`DeepLabV3::without_auxiliary`]).
pub fn segmenter_from_onnx(path: &Path) -> Result<(Weights, DeepLabV3, SegmenterInfo)> {
    task_from_onnx(path)
}

/// Whether a model's file says that it is a segmenter.
pub fn is_segmenter(path: &Path) -> Result<bool> {
    is_kind(path, SEGMENTER)
}

/// Compares a segmenter's file of either form with burn: with the weights that it was written from, or else with those in
/// the file itself. An error if they disagree.
pub fn verify_segmenter(path: &Path, weights: Option<&Weights>) -> Result<Parity> {
    verify_task::<SegmenterInfo>(path, weights)
}

impl Task for SegmenterInfo {
    type Net = DeepLabV3;
    type Form = SegmenterForm;

    const KIND: &'static str = SEGMENTER;
    /// The second is no multiple of a stride, as windows of 769 pixels are not.
    const PARITY_SIZES: [[usize; 2]; 2] = [[64, 96], [97, 65]];

    fn from_metadata(metadata: &BTreeMap<String, String>) -> Result<Self> {
        Self::from_metadata(metadata)
    }

    fn common<'a>(&'a self, net: &'a DeepLabV3) -> Common<'a> {
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

    fn metadata(&self, _: &DeepLabV3, form: SegmenterForm) -> Result<Vec<(&'static str, String)>> {
        Ok(vec![
            ("form", form.name().to_owned()),
            ("label_ids", serde_json::json!(self.label_ids).to_string()),
            ("colors", serde_json::json!(self.colors).to_string()),
            ("class_table", self.class_table.clone()),
            ("segmentation", settings(&self.segmentation)?),
        ])
    }

    fn problem(&self, net: &DeepLabV3, options: &GraphOptions) -> Option<String> {
        self.problem(net).or_else(|| self.segmentation.size_problem(options))
    }

    fn divisor(&self) -> usize {
        self.segmentation.divisor
    }

    fn exported(net: &DeepLabV3) -> DeepLabV3 {
        let backbone = EvalNet { auxiliary: false, ..net.backbone.clone() };
        DeepLabV3 { backbone, ..net.without_auxiliary() }
    }

    fn layout(net: &DeepLabV3) -> Layout {
        net.layout()
    }

    fn outputs(
        &self,
        graph: &mut OnnxGraph,
        net: &DeepLabV3,
        input: Value,
        form: SegmenterForm,
        options: &GraphOptions,
    ) -> Vec<TaskOutput> {
        let logits = net.segment(graph, &input);
        let logits = graph.computed(logits);
        let logits = graph.rename(&logits, LOGITS);
        let GraphOptions { batch, height, width, .. } = options.clone();
        match form {
            SegmenterForm::Logits => {
                vec![(logits, DataType::Float, vec![batch, Dim::Fixed(net.classes), height, width])]
            }
            SegmenterForm::Labels => {
                // Of equal logits the first, which is the standard's default.
                let attributes = vec![AttributeProto::int("axis", 1), AttributeProto::int("keepdims", 0)];
                let labels = graph.operator("ArgMax", LABELS, &[&logits], attributes);
                vec![(graph.rename(&labels, LABELS), DataType::Int64, vec![batch, height, width])]
            }
        }
    }

    fn compared(model: &ModelProto) -> ModelProto {
        let mut model = model.clone();
        if let Some(graph) = model.graph.as_mut() {
            graph.output = vec![undeclared(LOGITS)];
        }
        model
    }

    fn reference(&self, net: &DeepLabV3, weights: &Weights, shape: [usize; 4]) -> Result<Reference> {
        let images = noise(self.mean, self.std, shape);
        let outputs = burn_outputs(weights, &images, shape, |i, x| vec![(LOGITS, net.segment(i, x))])?;
        Ok(Reference::of_outputs(images, shape, outputs))
    }
}
