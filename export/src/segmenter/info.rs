//! What a segmenter's receiver needs besides its graph.

use crate::error::Result;
use crate::metadata::{SEGMENTER, json, text};
use crate::options::GraphOptions;
use crate::task::check_kind;
use genas_net::DeepLabV3;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};

/// Labels are bytes, and 255 says that a pixel belongs to no class.
const LARGEST_CLASSES: usize = 255;

/// From pictures to the input, and from its numbers to labels; plain values, so that this crate need not know the
/// configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segmentation {
    /// Width and height in pixels that pictures are resized to fit into, their proportions kept, the longer side of a
    /// picture into the longer of the two; without, they stay as they are.
    pub within: Option<[usize; 2]>,
    /// How a picture is cut into windows; it goes through the network as a whole without.
    pub window: Option<SlidingWindow>,
    /// The input's sides are filled up to a multiple of this, right and bottom, with zeros after normalisation; 1 for not
    /// at all.
    pub divisor: usize,
}

/// Windows that cover a picture, row by row. Where they overlap, their logits are averaged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlidingWindow {
    /// Width and height of a window in pixels.
    pub crop: [usize; 2],
    /// Pixels from one window to the next, to the right and downwards.
    pub stride: [usize; 2],
}

/// What a segmenter's receiver needs besides its graph. As JSON it stands beside trained weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmenterInfo {
    /// Names of the classes, in the order of the logits.
    pub class_names: Vec<String>,
    /// Their numbers in the data set's label images.
    pub label_ids: Vec<u8>,
    /// Their colours in pictures: red, green, blue.
    pub colors: Vec<[u8; 3]>,
    /// What all values in the data set's label images mean, as the text of a `classes.toml`; empty where it is not known.
    /// Besides the above it says which values are ignored, and which more belong to a class.
    #[serde(default)]
    pub class_table: String,
    /// Mean of each colour that was subtracted, red first, pixels in 0 to 1.
    pub mean: [f32; 3],
    /// Standard deviation of each colour that divided.
    pub std: [f32; 3],
    /// From pictures to the input, and from numbers to labels.
    pub segmentation: Segmentation,
    /// The data set that the segmenter was trained on.
    pub training_data: String,
    /// The run or checkpoint that the weights come from.
    pub source_run: String,
}

impl SegmenterInfo {
    /// Reads back what a segmenter's file says.
    pub fn from_metadata(metadata: &BTreeMap<String, String>) -> Result<Self> {
        check_kind(metadata, SEGMENTER)?;
        Ok(Self {
            class_names: json(metadata, "class_names")?,
            label_ids: json(metadata, "label_ids")?,
            colors: json(metadata, "colors")?,
            class_table: metadata.get("class_table").cloned().unwrap_or_default(),
            mean: json(metadata, "mean")?,
            std: json(metadata, "std")?,
            segmentation: json(metadata, "segmentation")?,
            training_data: text(metadata, "training_data")?.to_owned(),
            source_run: text(metadata, "source_run")?.to_owned(),
        })
    }
    /// Why this cannot belong to a network, or why there is no such network.
    pub(super) fn problem(&self, net: &DeepLabV3) -> Option<String> {
        let given = [self.class_names.len(), self.label_ids.len(), self.colors.len()];
        if given != [net.classes; 3] {
            let [names, ids, colors] = given;
            return Some(format!(
                "{names} class names, {ids} label ids and {colors} colors were given for a segmenter of {} classes; give \
                 one of each per class, in the order of the logits",
                net.classes
            ));
        }
        if net.classes > LARGEST_CLASSES {
            return Some(format!(
                "a segmenter tells {LARGEST_CLASSES} classes apart at most, not {}: labels are bytes, and 255 is for pixels \
                 of no class",
                net.classes
            ));
        }
        let mut seen = HashSet::new();
        if let Some(id) = self.label_ids.iter().find(|id| !seen.insert(**id)) {
            return Some(format!("the label id {id} belongs to two classes; give each class its own"));
        }
        self.segmentation.problem().or_else(|| net.problem())
    }
}

impl Segmentation {
    /// Why pictures cannot go through a network so.
    fn problem(&self) -> Option<String> {
        if self.divisor == 0 {
            return Some("the divisor of the input's sides is 0; give 1 for sides of any length".to_owned());
        }
        if let Some([width, height]) = self.within.filter(|sides| sides.contains(&0)) {
            return Some(format!("no picture fits into {width}x{height} pixels; give sides of at least 1"));
        }
        let SlidingWindow { crop, stride } = self.window.as_ref()?;
        let fits = |(side, stride): (&usize, &usize)| 0 < *stride && stride <= side;
        (!crop.iter().zip(stride).all(fits)).then(|| {
            format!(
                "windows of {}x{} pixels every {}x{} do not cover a picture; give sides of at least 1, and strides from 1 \
                 to the sides",
                crop[0], crop[1], stride[0], stride[1]
            )
        })
    }

    /// Why a graph of these sizes does not take what pictures become.
    pub(super) fn size_problem(&self, options: &GraphOptions) -> Option<String> {
        let axes = [("width", &options.width), ("height", &options.height)];
        axes.into_iter().enumerate().find_map(|(n, (axis, dim))| {
            let size = dim.fixed()?;
            let (what, side) = match (&self.window, self.within) {
                (Some(window), _) => ("windows have", window.crop[n]),
                (None, Some(within)) => ("pictures have up to", within[n]),
                (None, None) => return None,
            };
            (size < side).then(|| {
                format!(
                    "the graph's {axis} is fixed to {size}, but {what} {side} pixels; fix it to at least that, or make the \
                     {axis} dynamic"
                )
            })
        })
    }
}
