//! What a detector's receiver needs besides its graph.

use crate::error::Result;
use crate::metadata::{DETECTOR, json, text};
use crate::task::check_kind;
use genas_net::RetinaNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
        check_kind(metadata, DETECTOR)?;
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

    /// Why this cannot belong to a network, or why there is no such network.
    pub(super) fn problem(&self, net: &RetinaNet) -> Option<String> {
        let (names, ids) = (self.class_names.len(), self.category_ids.len());
        if names != net.classes || ids != net.classes {
            return Some(format!(
                "{names} class names and {ids} category ids were given for a detector of {} classes; give one of each \
                 per class, in the order of the logits",
                net.classes
            ));
        }
        self.detection.problem(net).or_else(|| net.problem())
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
