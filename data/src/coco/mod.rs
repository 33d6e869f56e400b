//! COCO 2017: boxes on photos (<https://cocodataset.org/#format-data>).

mod annotations;

pub use annotations::{Annotations, BoxProblem, CocoClass, CocoImage, CocoObject, annotations_file};
