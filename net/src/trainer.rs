//! SGD over a network's host weights, one step at a time, and its state on disk.

use crate::checkpoint::{
    WeightsFile, f32_bytes, fill_weights, parse_tensors, read_f32, weights_tensors, write_tensors,
};
use crate::error::NetError;
use crate::layout::Layout;
use crate::ops::BN_MOMENTUM;
use crate::tensors::{BatchStats, Mode, Tensors};
use crate::weights::Weights;
use burn::tensor::{Device, Tensor};
use safetensors::tensor::Dtype;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// Names of the optimizer's tensors in a state file.
const VELOCITY: &str = "optimizer.velocity";
const USED: &str = "optimizer.used";

/// What happens to parameters that a step's path does not use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnsampledOps {
    /// Once used, weight decay and momentum act on them in every step, as under PyTorch 1.7, whose
    /// `zero_grad` filled gradients with zeros: the published runs (spec 02-2).
    #[default]
    ZeroFilled,
    /// They are left alone, as under PyTorch 2.
    SkipUnused,
}

/// SGD with momentum (no dampening, no Nesterov) and weight decay on every parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdConfig {
    /// Momentum.
    pub momentum: f32,
    /// Weight decay.
    pub weight_decay: f32,
    /// Largest L2 norm of all gradients together; larger ones are scaled down.
    pub clip: Option<f64>,
    /// Treatment of parameters off the path.
    pub unsampled: UnsampledOps,
}

/// What one step saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Loss of the batch.
    pub loss: f64,
    /// L2 norm of all gradients before clipping.
    pub gradient_norm: f64,
}

/// Where a training run stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainerState {
    /// Epoch of the next step, from 0.
    pub epoch: u64,
    /// Steps already done in that epoch.
    pub step_in_epoch: u64,
    /// Steps done in total.
    pub step: u64,
}

#[derive(Serialize, Deserialize)]
struct StateFile {
    about: WeightsFile,
    state: TrainerState,
    /// Identifies the run's settings: a state of other settings is not continued.
    fingerprint: String,
    /// What the caller keeps: sums of the running epoch, best accuracy.
    #[serde(default)]
    extra: serde_json::Value,
}

/// Weights in training.
#[derive(Debug)]
pub struct Trainer {
    /// The weights.
    pub weights: Weights,
    velocity: Vec<f32>,
    /// Entries that have had a gradient.
    used: Vec<bool>,
    gradients: Vec<f32>,
    /// Where the run stands; the caller moves epochs on.
    pub state: TrainerState,
}

impl Trainer {
    /// Starts from `weights`.
    pub fn new(weights: Weights) -> Self {
        let n = weights.layout().n_parameters();
        let used = vec![false; weights.layout().entries().len()];
        Self {
            weights,
            velocity: vec![0.0; n],
            used,
            gradients: vec![0.0; n],
            state: TrainerState::default(),
        }
    }

    /// One step: `forward` builds the loss (one element) on a gradient-recording `device`.
    ///
    /// A loss or gradient that is not finite is an error and leaves the weights as they were.
    pub fn step(
        &mut self,
        sgd: &SgdConfig,
        rate: f64,
        device: &Device,
        mode: Mode,
        forward: impl FnOnce(&mut Tensors) -> Tensor<1> + Send,
    ) -> Result<StepReport, NetError> {
        let layout = self.weights.layout().clone();
        let mut tensors = Tensors::new(&self.weights, device.clone(), mode);
        let (loss, mut gradients) = genas_kernels::in_pool(|| {
            let loss = forward(&mut tensors);
            let gradients = loss.backward();
            (loss, gradients)
        });
        let loss = f64::from(loss.into_scalar::<f32>());
        self.gradients.fill(0.0);
        let (mut touched, mut square) = (vec![false; self.used.len()], 0.0);
        let host = &mut self.gradients;
        tensors.visit_gradients(&mut gradients, |position, values| {
            touched[position] = true;
            square += genas_kernels::sgd::sum_squares(values);
            host[layout.entries()[position].range()].copy_from_slice(values);
        });
        let statistics = tensors.take_statistics();
        let gradient_norm = square.sqrt();
        for (what, value) in [("loss", loss), ("gradient norm", gradient_norm)] {
            if !value.is_finite() {
                return Err(NetError::NotFinite { what, value, step: self.state.step });
            }
        }
        // PyTorch's clip_grad_norm_.
        let scale = sgd.clip.map_or(1.0, |max| (max / (gradient_norm + 1e-6)).min(1.0)) as f32;
        let config = genas_kernels::sgd::Sgd {
            lr: rate as f32,
            momentum: sgd.momentum,
            weight_decay: sgd.weight_decay,
        };
        for (position, entry) in layout.entries().iter().enumerate().filter(|(_, e)| e.role.is_parameter()) {
            self.used[position] |= touched[position];
            let moves = match sgd.unsampled {
                UnsampledOps::ZeroFilled => self.used[position],
                UnsampledOps::SkipUnused => touched[position],
            };
            if moves {
                let range = entry.range();
                genas_kernels::sgd::step(
                    &mut self.weights.parameters_mut()[range.clone()],
                    &self.gradients[range.clone()],
                    &mut self.velocity[range],
                    scale,
                    config,
                );
            }
        }
        update_statistics(&mut self.weights, &statistics, BN_MOMENTUM as f32);
        self.state.step += 1;
        self.state.step_in_epoch += 1;
        Ok(StepReport { loss, gradient_norm })
    }

    /// Writes everything that a bit-identical continuation needs.
    pub fn save(
        &self,
        path: &Path,
        about: &WeightsFile,
        fingerprint: &str,
        extra: &serde_json::Value,
    ) -> Result<(), NetError> {
        let mut tensors = weights_tensors(&self.weights);
        tensors.push((VELOCITY.into(), Dtype::F32, vec![self.velocity.len()], f32_bytes(&self.velocity)));
        let used: Vec<u8> = self.used.iter().map(|&u| u8::from(u)).collect();
        tensors.push((USED.into(), Dtype::U8, vec![used.len()], used));
        let file = StateFile {
            about: about.clone(),
            state: self.state,
            fingerprint: fingerprint.to_owned(),
            extra: extra.clone(),
        };
        let json = serde_json::to_string(&file).map_err(|e| NetError::format(path, e.to_string()))?;
        write_tensors(path, tensors, json)
    }

    /// Reads what [`Trainer::save`] wrote, for a network of `layout` in a run of `fingerprint`.
    /// Returns the trainer and the caller's `extra`.
    pub fn load(
        path: &Path,
        layout: Arc<Layout>,
        fingerprint: &str,
    ) -> Result<(Self, serde_json::Value), NetError> {
        let bytes = std::fs::read(path).map_err(NetError::io(path, "read"))?;
        let (tensors, json) = parse_tensors(path, &bytes)?;
        let file: StateFile = serde_json::from_str(&json)
            .map_err(|e| NetError::format(path, format!("not the state of a training run ({e})")))?;
        if file.fingerprint != fingerprint {
            return Err(NetError::format(
                path,
                "belongs to a run with other settings; use its configuration, or another --out",
            ));
        }
        let weights = fill_weights(path, layout, &tensors, &BTreeSet::from([VELOCITY, USED]))?;
        let mut trainer = Self::new(weights);
        let part = |name: &str, bytes: usize| match tensors.tensor(name) {
            Ok(t) if t.data().len() == bytes => Ok(t.data().to_vec()),
            _ => Err(NetError::format(
                path,
                format!("its optimizer state {name} is missing or of another size"),
            )),
        };
        read_f32(&part(VELOCITY, 4 * trainer.velocity.len())?, &mut trainer.velocity);
        let used = part(USED, trainer.used.len())?;
        trainer.used = used.iter().map(|&u| u != 0).collect();
        trainer.state = file.state;
        Ok((trainer, file.extra))
    }
}

/// Moves running statistics towards those of a batch: `(1 - momentum) * old + momentum * new`.
pub fn update_statistics(weights: &mut Weights, statistics: &[BatchStats], momentum: f32) {
    let layout = weights.layout().clone();
    for stats in statistics {
        for (entry, values) in [(stats.mean_entry, &stats.mean), (stats.mean_entry + 1, &stats.variance)] {
            for (old, new) in weights.slice_mut(&layout.entries()[entry]).iter_mut().zip(values) {
                *old += momentum * (new - *old);
            }
        }
    }
}
