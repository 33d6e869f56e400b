//! What a detector is worth on COCO (spec 06, section 4).
//!
//! | module | concept |
//! |---|---|
//! | [`results`] | detections in the format that COCO's tools exchange |
//! | [`detect_split`] | a detector's detections on a split |
//! | [`matching`] | which detection found which object |
//! | [`evaluate()`] | average precision and recall, as pycocotools computes them |
//! | [`curves_svg`] | precision against recall, drawn |
//! | [`draw`] | detections and objects on their images, drawn |

mod curves;
mod detect;
pub mod draw;
mod evaluation;
pub mod matching;
mod measure;
pub mod results;

pub use curves::curves_svg;
pub use detect::{Detections, category_ids, detect_split};
pub use evaluation::{
    AveragePrecision, ClassPrecision, IOU_THRESHOLDS, RECALLS, evaluate, iou_threshold, recall_level,
};
pub use measure::BoxPrecision;
pub use results::{CocoDetection, read_results, write_results};
