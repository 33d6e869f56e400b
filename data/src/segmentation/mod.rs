//! Images with a label for each pixel: Cityscapes, CamVid, one's own.
//!
//! A [`SegmentationFolder`] finds images and label files that belong together; a [`ClassTable`] says what the values in
//! label files mean. A [`SegmentationTrainSet`] prepares batches as MMSegmentation does, with the settings of a
//! [`SegmentationDataConfig`], in an endless order; a [`PeriodLoader`](crate::PeriodLoader) prepares them ahead. A [`SegmentationTest`]
//! prepares pictures for a trained segmenter, whole or in [`sliding_windows`]; what it says becomes a [`LabelMap`], which is
//! written as label ids or in colours.

mod check;
mod classes;
mod config;
mod crop;
mod evaluation;
mod folder;
mod hsv;
mod image;
mod label_map;
mod photometric;
mod prediction;
mod resize;
pub(crate) mod train;
mod transform;

pub(crate) use check::check_segmentation;
pub use classes::{CLASSES_FILE, ClassTable, IGNORED, SegmentationClass};
pub use config::{PhotometricConfig, SegmentationDataConfig};
pub use crop::{draw_varied_window, draw_window, is_varied};
pub use evaluation::{SegmentationTest, SegmenterInput, TestScale, sliding_windows};
pub use folder::{SegmentationFolder, SegmentationLayout, SegmentationPair};
pub use label_map::LabelMap;
pub use photometric::PhotometricChange;
pub use prediction::{OVERLAY_OPACITY, write_whole};
pub use resize::{fitting_size, scaled_size};
pub use train::{ClassPixels, SegmentationBatch, SegmentationTrainSet};
pub use transform::{SegmentationTransform, resized_size};
