//! COCO 2017: boxes on photos (<https://cocodataset.org/#format-data>).
//!
//! [`Annotations`] reads a split's boxes. A [`CocoTrainSet`] prepares batches as Detectron2 does, in the endless
//! order of a [`BatchOrder`]; a [`CocoLoader`] prepares them ahead.

mod annotations;
mod loader;
mod order;
mod train;
mod transform;

pub use annotations::{Annotations, BoxProblem, CocoClass, CocoImage, CocoObject, annotations_file};
pub use loader::CocoLoader;
pub use order::BatchOrder;
pub use train::{CocoTrainSet, DetectionBatch};
pub use transform::{DetectionDataConfig, DetectionTransform, resized_size};
