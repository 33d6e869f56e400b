//! What a segmenter is worth: mean intersection over union (spec 06, section 5).
//!
//! | module or item | concept |
//! |---|---|
//! | [`ConfusionMatrix`] | pixels by true and predicted class |
//! | [`scores`] | mean IoU and accuracies |
//! | [`confusion_svg`] | the matrix, drawn |
//! | [`SegmentOptions`] | whole or in windows, at one scale or several, mirrored |
//! | [`segment_split`] | a segmenter on a split |
//! | [`write_prediction`], [`write_overlay`] | what was seen, as files |
//! | [`ContactSheet`] | the first pictures on one page |
//! | [`MeanIou`] | what a training keeps of the scores |

mod confusion;
mod contact_sheet;
mod heat_map;
mod inference;
mod logits;
mod measure;
mod predictions;
mod segment;
#[cfg(test)]
pub(crate) mod testing;

pub use confusion::{ClassScore, ConfusionMatrix, SegmentationScores, scores};
pub use contact_sheet::ContactSheet;
pub use heat_map::confusion_svg;
pub(crate) use inference::window_problem;
pub use inference::{SegmentOptions, WindowChoice};
pub(crate) use logits::LogitMap;
pub use measure::MeanIou;
pub use predictions::{prediction_path, write_overlay, write_prediction};
pub use segment::{Segmented, segment_split, train_ids};
