//! RetinaNet's training, and its arithmetic outside of the network (spec 06, section 3): Detectron2's defaults, on plain
//! slices.
//!
//! Boxes are `[left, top, right, bottom]` in pixels of the network's input, in 32 bits as in Detectron2, so that
//! thresholds and ties fall the same way. Recorded values of torchvision's functions are in `testdata`;
//! `tests/torchvision_detection.py` made them.
//!
//! | module | concept |
//! |---|---|
//! | [`config`] | every constant, by name |
//! | [`anchors`] | the boxes that the network corrects |
//! | [`boxes`] | overlap, clipping |
//! | [`matcher`] | which anchor is taught which object |
//! | [`coding`] | an object as a correction of its anchor, and back |
//! | [`losses`] | the losses as formulae, with their gradients: what tests compare tensors with |
//! | [`normalizer`] | what the losses are divided by |
//! | [`detections`] | from the network's numbers to objects |
//! | [`targets`] | what the network should say to a batch |
//! | [`weights`] | before training |
//! | [`training`] | the fine-tuning of a backbone |

pub mod anchors;
pub mod boxes;
pub mod coding;
pub mod config;
pub mod detections;
#[cfg(test)]
mod exported;
pub mod losses;
pub mod matcher;
pub mod normalizer;
#[cfg(test)]
mod recorded;
pub mod targets;
pub mod training;
pub mod weights;

pub use anchors::Anchors;
pub use boxes::Corners;
pub use config::RetinaNetConfig;
pub use detections::{Found, Level, detect, in_original};
pub use matcher::{Label, match_anchors};
pub use normalizer::Normalizer;
