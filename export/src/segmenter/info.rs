//! What a segmenter's receiver needs besides its graph.

use crate::error::{ExportError, Result};
use crate::metadata::{SEGMENTER, json, text};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// From pictures to the input, and from its numbers to labels; plain values, so that this crate need not know the
/// configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segmentation {
    /// Width and height in pixels that pictures are resized to fit into, their proportions kept; as they are without.
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
        let kind = metadata.get("kind").map_or("classifier", String::as_str);
        if kind != SEGMENTER {
            return Err(ExportError::Info(format!(
                "it is no segmenter but a {kind}; give a segmenter's file"
            )));
        }
        Ok(Self {
            class_names: json(metadata, "class_names")?,
            label_ids: json(metadata, "label_ids")?,
            colors: json(metadata, "colors")?,
            mean: json(metadata, "mean")?,
            std: json(metadata, "std")?,
            segmentation: json(metadata, "segmentation")?,
            training_data: text(metadata, "training_data")?.to_owned(),
            source_run: text(metadata, "source_run")?.to_owned(),
        })
    }
}
