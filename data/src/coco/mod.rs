//! COCO 2017: boxes on photos (<https://cocodataset.org/#format-data>).
//!
//! [`Annotations`] reads a split's boxes. A [`CocoTrainSet`] prepares batches as Detectron2 does, in the endless
//! order of a [`BatchOrder`]; a [`PeriodLoader`](crate::PeriodLoader) prepares them ahead. A [`DetectionTest`] prepares pictures for a trained
//! detector.

mod annotations;
mod check;
mod image;
mod order;
mod train;
mod transform;

pub use annotations::{Annotations, BoxProblem, CocoClass, CocoImage, CocoObject, annotations_file, splits};
pub(crate) use check::check_coco;
pub(crate) use image::write_planes;
pub use image::{DetectionTest, DetectorInput};
pub use order::BatchOrder;
pub use train::{CocoTrainSet, DetectionBatch};
pub use transform::{DetectionDataConfig, DetectionTransform, resized_size};
