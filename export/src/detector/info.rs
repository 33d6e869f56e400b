//! What a detector's receiver needs besides its graph.

use crate::error::{ExportError, Result};
use crate::metadata::{DETECTOR, check_normalization, json, text, triple};
use crate::options::GraphOptions;
use genas_net::{EvalNet, RetinaNet};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::DetectorForm;

/// What turns a detector's numbers into objects; plain values, so that this crate need not know the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// Pixels of the input per place, for each level of the pyramid.
    pub strides: Vec<usize>,
    /// For each level the boxes around the place (0, 0) with `offset` 0: left, top, right and bottom.
    pub anchors: Vec<Vec<[f32; 4]>>,
    /// Where the first centre is, in strides.
    pub offset: f64,
    /// What the four numbers of a box (dx, dy, dw, dh) are divided by.
    pub box_weights: [f32; 4],
    /// An object is larger than its anchor by this factor at most: dw and dh are cut off at its logarithm.
    pub max_scale: f32,
    /// Scores must lie above this.
    pub score_above: f32,
    /// Pairs of anchor and class that each level passes on, at most.
    pub top_per_level: usize,
    /// Of two boxes of a class whose IoU is larger, the better stays.
    pub nms_iou: f32,
    /// Objects per image, at most.
    pub max_detections: usize,
    /// To how many pixels the shorter side of a picture is resized.
    pub shorter_side: usize,
    /// How many pixels the longer side has then, at most.
    pub longer_side: usize,
    /// The input's sides are multiples of this: pictures are padded, right and bottom, with zeros after normalisation.
    pub divisor: usize,
}

/// What a detector's receiver needs besides its graph. As JSON it stands beside trained weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DetectorInfo {
    /// Names of the classes, in the order of the logits.
    pub class_names: Vec<String>,
    /// Their numbers in the data set.
    pub category_ids: Vec<i64>,
    /// Mean of each colour that was subtracted, red first, pixels in 0 to 1.
    pub mean: [f32; 3],
    /// Standard deviation of each colour that divided.
    pub std: [f32; 3],
    /// From pictures to the input, and from numbers to objects.
    pub detection: Detection,
    /// The data set that the detector was trained on.
    pub training_data: String,
    /// The run or checkpoint that the weights come from.
    pub source_run: String,
}

impl DetectorInfo {
    /// Reads back what a detector's file says.
    pub fn from_metadata(metadata: &BTreeMap<String, String>) -> Result<Self> {
        let kind = metadata.get("kind").map_or("classifier", String::as_str);
        if kind != DETECTOR {
            return Err(ExportError::Info(format!("it is no detector but a {kind}; give a detector's file")));
        }
        Ok(Self {
            class_names: json(metadata, "class_names")?,
            category_ids: json(metadata, "category_ids")?,
            mean: json(metadata, "mean")?,
            std: json(metadata, "std")?,
            detection: json(metadata, "detection")?,
            training_data: text(metadata, "training_data")?.to_owned(),
            source_run: text(metadata, "source_run")?.to_owned(),
        })
    }

    /// Refuses information that cannot belong to the network or the graph.
    pub(super) fn check(&self, net: &RetinaNet, options: &GraphOptions) -> Result<()> {
        let problem = |message: String| Err(ExportError::Info(message));
        let (names, ids) = (self.class_names.len(), self.category_ids.len());
        if names != net.classes || ids != net.classes {
            return problem(format!(
                "{names} class names and {ids} category ids were given for a detector of {} classes; give one of each \
                 per class, in the order of the logits",
                net.classes
            ));
        }
        check_normalization(self.mean, self.std)?;
        if let Some(message) = self.detection.problem(net) {
            return problem(message);
        }
        let divisor = self.detection.divisor;
        for (axis, dim) in [("height", &options.height), ("width", &options.width)] {
            if let Some(size) = dim.fixed().filter(|size| *size == 0 || size % divisor != 0) {
                return problem(format!(
                    "the graph's {axis} is fixed to {size}, which is no multiple of {divisor}; take one, or make the {axis} \
                     dynamic"
                ));
            }
        }
        Ok(())
    }
}

impl Detection {
    /// Why this cannot belong to a network, if it cannot.
    fn problem(&self, net: &RetinaNet) -> Option<String> {
        if self.strides != RetinaNet::STRIDES || self.anchors.len() != self.strides.len() {
            return Some(format!(
                "strides {:?} with anchors for {} levels were given; the network's levels have the strides {:?}",
                self.strides,
                self.anchors.len(),
                RetinaNet::STRIDES
            ));
        }
        if let Some(boxes) = self.anchors.iter().find(|boxes| boxes.len() != net.anchors) {
            let (given, needed) = (boxes.len(), net.anchors);
            return Some(format!("a level has {given} anchors; the network has {needed} at every place"));
        }
        if self.divisor == 0 || !self.divisor.is_multiple_of(RetinaNet::DIVISOR) {
            let needed = RetinaNet::DIVISOR;
            return Some(format!(
                "the divisor {} of the input's sides is no multiple of {needed}",
                self.divisor
            ));
        }
        let numbers = self.anchors.iter().flatten().flatten().chain(&self.box_weights);
        let finite = numbers.chain([&self.max_scale]).all(|v| v.is_finite()) && self.offset.is_finite();
        if !finite || !self.box_weights.iter().all(|&w| w > 0.0) || self.max_scale <= 0.0 {
            return Some(
                "anchors, offset, box weights and the largest scale must be finite numbers, the latter two above zero"
                    .to_owned(),
            );
        }
        if !(0.0..1.0).contains(&self.score_above) || !(0.0..=1.0).contains(&self.nms_iou) {
            return Some(format!(
                "scores above {} and an IoU of {} were given; both lie between 0 and 1",
                self.score_above, self.nms_iou
            ));
        }
        (self.top_per_level == 0 || self.max_detections == 0)
            .then(|| "candidates per level and objects per image must be at least one".to_owned())
    }
}

/// The metadata of a detector's file, but for `parity_max_abs_error`.
pub(super) fn detector_metadata(
    net: &RetinaNet,
    info: &DetectorInfo,
    form: DetectorForm,
    options: &GraphOptions,
) -> Result<BTreeMap<String, String>> {
    let genotype = &net.backbone.genotype;
    // Not by way of `json!`, which would show more digits of an `f32` than it has.
    let detection = serde_json::to_string(&info.detection)
        .map_err(|e| ExportError::Info(format!("the detection's settings cannot be written ({e})")))?;
    let entries = [
        ("genas_version", env!("CARGO_PKG_VERSION").to_owned()),
        ("kind", DETECTOR.to_owned()),
        ("form", form.name().to_owned()),
        ("detector", serde_json::json!(exported(net)).to_string()),
        ("genotype", genotype.to_string()),
        ("genotype_json", serde_json::json!(genotype).to_string()),
        ("classes", net.classes.to_string()),
        ("class_names", serde_json::json!(info.class_names).to_string()),
        ("category_ids", serde_json::json!(info.category_ids).to_string()),
        ("channel_order", "RGB".to_owned()),
        ("value_range", "[0, 1]".to_owned()),
        ("mean", triple(info.mean)),
        ("std", triple(info.std)),
        ("detection", detection),
        ("training_data", info.training_data.clone()),
        ("source_run", info.source_run.clone()),
        ("batch_norm", if options.fold_bn { "folded" } else { "kept" }.to_owned()),
        ("precision", "fp32".to_owned()),
        ("opset", options.opset.to_string()),
    ];
    Ok(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// The network as a file holds it.
pub(super) fn exported(net: &RetinaNet) -> RetinaNet {
    RetinaNet { backbone: EvalNet { auxiliary: false, ..net.backbone.clone() }, ..net.clone() }
}
