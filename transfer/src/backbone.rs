//! [`Backbone`]: the trained network that a fine-tuning begins with.

use genas_export::ModelInfo;
use genas_net::{EvalNet, Weights};

/// A trained network whose features a detector or segmenter begins with.
#[derive(Clone, Debug)]
pub struct Backbone {
    /// The network.
    pub net: EvalNet,
    /// Its weights; a classifier's are not needed.
    pub weights: Weights,
    /// How its images were prepared.
    pub info: ModelInfo,
    /// Where it comes from, for people.
    pub source: String,
}
