//! How a found cell is trained, as TOML: the section `[retrain]`.

use serde::{Deserialize, Serialize};

/// Training of a found cell (spec 04-6).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct RetrainConfig {
    /// Width of the first cell.
    pub channels: usize,
    /// Number of cells.
    pub layers: usize,
    /// Epochs.
    pub epochs: usize,
    /// Images per step.
    pub batch_size: usize,
    /// Parts of a batch that are computed one after the other, their gradients added: for batches that do not fit into
    /// memory. BatchNorm sees one part at a time.
    pub accumulate: usize,
    /// Learning rate at the start.
    pub learning_rate: f64,
    /// Learning rate at the end of the cosine.
    pub learning_rate_min: f64,
    /// SGD momentum.
    pub momentum: f32,
    /// Weight decay on every parameter.
    pub weight_decay: f32,
    /// Largest global gradient norm.
    pub clip: f64,
    /// Whether there is an auxiliary head.
    pub auxiliary: bool,
    /// Weight of its loss.
    pub auxiliary_weight: f64,
    /// Drop path at the end of training; it rises linearly from 0.
    pub drop_path: f64,
    /// Side of the square that cutout blanks.
    pub cutout: Option<usize>,
    /// Padding of the random crop.
    pub crop_padding: usize,
    /// Random horizontal flips.
    pub flip: bool,
    /// Label smoothing.
    pub label_smoothing: f32,
    /// Decay of a moving average of the weights, which is then what is tested and kept; without one, there is none.
    pub ema: Option<f64>,
    /// Keep the weights of every this many epochs (0: the first, the best and the last).
    pub keep_every: usize,
    /// Test the network after every this many epochs, and after the last.
    pub evaluate_every: usize,
}

impl Default for RetrainConfig {
    fn default() -> Self {
        Self {
            channels: 36,
            layers: 20,
            epochs: 600,
            batch_size: 96,
            accumulate: 1,
            learning_rate: 0.025,
            learning_rate_min: 0.0,
            momentum: 0.9,
            weight_decay: 3e-4,
            clip: 5.0,
            auxiliary: true,
            auxiliary_weight: 0.4,
            drop_path: 0.2,
            cutout: Some(16),
            crop_padding: 4,
            flip: true,
            label_smoothing: 0.0,
            ema: None,
            keep_every: 0,
            evaluate_every: 1,
        }
    }
}

impl RetrainConfig {
    /// The learning rate's course. DARTS steps its schedule before each epoch.
    pub fn schedule(&self) -> genas_net::Cosine {
        genas_net::Cosine {
            base: self.learning_rate,
            min: self.learning_rate_min,
            epochs: self.epochs,
            shifted: true,
        }
    }
}
