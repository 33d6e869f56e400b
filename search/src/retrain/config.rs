//! How a found cell is trained, as TOML: the section `[retrain]`.

use genas_data::{OnBroken, PhotoAugment};
use genas_net::{Precision, ReplicaBatchNorm, Schedule, WarmUp};
use serde::{Deserialize, Serialize};

/// How the learning rate falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleKind {
    /// Half a cosine to `learning-rate-min`, without warm-up.
    #[default]
    Cosine,
    /// The published ImageNet runs': a straight line, a slower one for the last five epochs, and a warm-up of five
    /// (spec 04-2).
    Linear,
}

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
    /// Replicas that each compute a part of every batch: the GPUs 0, 1, ... of this machine, or on the CPU threads of
    /// their own.
    pub replicas: usize,
    /// Which images BatchNorm's statistics are of, where there are several replicas.
    pub batch_norm: ReplicaBatchNorm,
    /// Numbers that are computed with; the weights are kept in f32. bf16 is for GPUs.
    pub precision: Precision,
    /// Learning rate at the start.
    pub learning_rate: f64,
    /// How it falls.
    pub schedule: ScheduleKind,
    /// How the linear schedule begins.
    pub warm_up: WarmUp,
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
    /// What to do about a photo that cannot be read.
    pub on_broken: OnBroken,
    /// Test the network after every this many epochs, and after the last.
    pub evaluate_every: usize,
    /// Photos are read from disk in every epoch and augmented so. Without this section the images are brought to
    /// `data.image-size` once and stay in memory, and `flip`, `crop-padding` and `cutout` augment them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub photos: Option<PhotoAugment>,
}

impl Default for RetrainConfig {
    fn default() -> Self {
        Self {
            channels: 36,
            layers: 20,
            epochs: 600,
            batch_size: 96,
            accumulate: 1,
            replicas: 1,
            batch_norm: ReplicaBatchNorm::PerReplica,
            precision: Precision::F32,
            learning_rate: 0.025,
            schedule: ScheduleKind::Cosine,
            warm_up: WarmUp::PcDarts,
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
            on_broken: OnBroken::Fail,
            evaluate_every: 1,
            photos: None,
        }
    }
}

impl RetrainConfig {
    /// The learning rate's course. DARTS steps its cosine before each epoch.
    pub fn rate(&self, epoch: usize) -> f64 {
        let schedule = match self.schedule {
            ScheduleKind::Cosine => Schedule::Cosine { min: self.learning_rate_min, shifted: true },
            ScheduleKind::Linear => Schedule::Linear { warm_up: self.warm_up },
        };
        schedule.rate(self.learning_rate, epoch, self.epochs, self.batch_size)
    }

    /// Rejects settings that cannot work, naming them.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !(0.0..1.0).contains(&self.drop_path) {
            return Err(format!("retrain.drop-path is {}, but must be in [0, 1)", self.drop_path));
        }
        if !(0.0..1.0).contains(&self.label_smoothing) {
            return Err(format!(
                "retrain.label-smoothing is {}, but must be in [0, 1)",
                self.label_smoothing
            ));
        }
        if self.replicas == 0 || self.replicas > self.batch_size {
            return Err(format!(
                "retrain.replicas is {}, but a batch of {} images has 1 to {} parts",
                self.replicas, self.batch_size, self.batch_size
            ));
        }
        if self.accumulate == 0 || self.accumulate > self.batch_size {
            return Err(format!(
                "retrain.accumulate is {}, but a batch of {} images has 1 to {} parts",
                self.accumulate, self.batch_size, self.batch_size
            ));
        }
        if let Some(decay) = self.ema.filter(|decay| !(0.0..1.0).contains(decay)) {
            return Err(format!("retrain.ema is {decay}, but must be in [0, 1), such as 0.9999"));
        }
        if let Some(photos) = &self.photos {
            photos.check().map_err(|e| format!("retrain.photos: {e}"))?;
        }
        Ok(())
    }
}
