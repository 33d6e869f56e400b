//! Segmenters as ONNX: DeepLab-v3's wiring with logits at the input's size ([`SegmenterForm::Logits`]), or the label of
//! the largest of each pixel ([`SegmenterForm::Labels`]). 32 bits only.

mod info;

pub use info::{Segmentation, SegmenterInfo, SlidingWindow};

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
