//! SGD over a network's host weights, one step at a time, and its state on disk.
//!
//! A step is one or more micro-batches ([`Trainer::accumulate`]) and an update ([`Trainer::apply`]). Until the update
//! nothing of the weights, their statistics or the optimizer has changed, so a step that fails leaves no trace.

use crate::checkpoint::{
    WeightsFile, f32_bytes, fill_weights, parse_tensors, read_f32, weights_tensors, write_tensors,
};
use crate::ema::{Average, Ema, EmaState};
use crate::error::NetError;
use crate::freeze::Freeze;
use crate::layout::{Layout, Role};
use crate::ops::BN_MOMENTUM;
use crate::replicas::{AllReduce, ReplicaBatchNorm};
use crate::synchronised::Synchroniser;
use crate::tensors::{BatchStats, Mode, Precision, Tensors};
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
/// Names of the averaged weights in a state file.
const EMA_PARAMETERS: &str = "ema.parameters";
const EMA_BUFFERS: &str = "ema.buffers";

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

/// SGD with momentum (no dampening) and weight decay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdConfig {
    /// Momentum.
    pub momentum: f32,
    /// Whether steps look ahead by one step of momentum (Nesterov).
    pub nesterov: bool,
    /// Weight decay of all parameters but those of BatchNorm.
    pub weight_decay: f32,
    /// Weight decay of BatchNorm's scales and shifts.
    pub norm_weight_decay: f32,
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
    /// Settings and age of the averaged weights, if the run keeps them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ema: Option<EmaState>,
    /// What the caller keeps: sums of the running epoch, best accuracy.
    #[serde(default)]
    extra: serde_json::Value,
}

/// What the micro-batches of a step have left, besides the gradients.
#[derive(Debug, Default)]
struct Pending {
    /// Entries that have a gradient.
    touched: Vec<bool>,
    /// Sum of the shares.
    share: f64,
    /// Sum of the losses, each times its share.
    loss: f64,
    /// BatchNorm statistics, in the order of the micro-batches.
    statistics: Vec<BatchStats>,
}

/// Weights in training.
#[derive(Debug)]
pub struct Trainer {
    /// The weights.
    pub weights: Weights,
    velocity: Vec<f32>,
    /// Entries that have had a gradient.
    used: Vec<bool>,
    /// Sum over the micro-batches, each times its share.
    gradients: Vec<f32>,
    pending: Pending,
    average: Option<Average>,
    replicas: Option<(Arc<dyn AllReduce>, ReplicaBatchNorm)>,
    precision: Precision,
    freeze: Arc<Freeze>,
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
            pending: Pending::default(),
            average: None,
            replicas: None,
            precision: Precision::default(),
            freeze: Arc::default(),
            state: TrainerState::default(),
        }
    }

    /// Also keeps an average of the weights. A trainer that was loaded with one goes on with it, under this `ema`.
    #[must_use]
    pub fn with_ema(mut self, ema: Ema) -> Self {
        match &mut self.average {
            Some(average) => average.state.ema = ema,
            None => self.average = Some(Average::new(ema, &self.weights)),
        }
        self
    }

    /// The averaged weights, if this trainer keeps them.
    pub fn ema(&self) -> Option<&Weights> {
        self.average.as_ref().map(|average| &average.weights)
    }

    /// Computes in `precision`; the weights here stay in single precision.
    #[must_use]
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Keeps a part of the network as it is: frozen parameters have no gradient, and never move.
    #[must_use]
    pub fn with_freeze(mut self, freeze: Freeze) -> Self {
        self.freeze = Arc::new(freeze);
        self
    }

    /// Makes this trainer one of several replicas ([`run_replicas`](crate::run_replicas)): each has a part of every batch,
    /// and all must start from the same weights or state. They stay equal to the bit; replica 0 saves for all.
    ///
    /// [`apply`](Self::apply) averages the gradients over all micro-batches of all replicas, by their shares. With equal
    /// parts, [`step`](Self::step) can be used as it is.
    #[must_use]
    pub fn with_replicas(mut self, replicas: Arc<dyn AllReduce>, batch_norm: ReplicaBatchNorm) -> Self {
        self.replicas = (replicas.world() > 1).then_some((replicas, batch_norm));
        self
    }

    /// One step of one batch: [`accumulate`](Self::accumulate) and [`apply`](Self::apply).
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
        self.accumulate(1.0, device, mode, forward)?;
        self.apply(sgd, rate)
    }

    /// Adds the gradient of a micro-batch's mean loss, `share` times, to those of the running step, and returns the loss.
    ///
    /// `forward` builds the loss (one element) on a gradient-recording `device`. Shares are in proportion to the numbers of
    /// images: [`apply`](Self::apply) divides by their sum, so parts of the batch and counts of images do the same. As in
    /// PyTorch, BatchNorm normalises each micro-batch by itself, and its running statistics move once for each.
    ///
    /// A loss that is not finite is an error; the step's micro-batches are then forgotten.
    pub fn accumulate(
        &mut self,
        share: f64,
        device: &Device,
        mode: Mode,
        forward: impl FnOnce(&mut Tensors) -> Tensor<1> + Send,
    ) -> Result<f64, NetError> {
        assert!(share > 0.0 && share.is_finite(), "a micro-batch has a positive share, not {share}");
        let result = self.micro_batch(share, device, mode, forward);
        if result.is_err() {
            self.pending = Pending::default();
        }
        result
    }

    fn micro_batch(
        &mut self,
        share: f64,
        device: &Device,
        mode: Mode,
        forward: impl FnOnce(&mut Tensors) -> Tensor<1> + Send,
    ) -> Result<f64, NetError> {
        let mut tensors = Tensors::new(&self.weights, device.clone(), mode)
            .with_precision(self.precision)?
            .with_freeze(self.freeze.clone());
        let mut synchroniser = None;
        if let Some((replicas, ReplicaBatchNorm::Synchronised)) = &self.replicas {
            let synchronises = Arc::new(Synchroniser::new(replicas.clone()));
            tensors = tensors.synchronised(synchronises.clone())?;
            synchroniser = Some(synchronises);
        }
        let (loss, mut gradients) = genas_kernels::in_pool(|| {
            let loss = forward(&mut tensors);
            // The share goes in here, not into the gradients afterwards, so that what crosses replicas on the way back
            // (synchronised BatchNorm) is weighted too.
            let shared = if share == 1.0 { loss.clone() } else { loss.clone().mul_scalar(share as f32) };
            (loss, shared.backward())
        });
        if let Some(error) = synchroniser.and_then(|s| s.take_failure()) {
            return Err(error);
        }
        let loss = f64::from(loss.into_scalar::<f32>());
        self.finite("loss", loss)?;
        let pending = &mut self.pending;
        if pending.share == 0.0 {
            pending.touched = vec![false; self.used.len()];
            self.gradients.fill(0.0);
        }
        let (host, layout) = (&mut self.gradients, self.weights.layout());
        tensors.visit_gradients(&mut gradients, |position, values| {
            let sum = &mut host[layout.entries()[position].range()];
            if std::mem::replace(&mut pending.touched[position], true) {
                sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            } else {
                sum.copy_from_slice(values);
            }
        });
        pending.statistics.extend(tensors.take_statistics());
        pending.share += share;
        pending.loss += share * loss;
        Ok(loss)
    }

    fn finite(&self, what: &'static str, value: f64) -> Result<(), NetError> {
        if value.is_finite() {
            Ok(())
        } else {
            Err(NetError::NotFinite { what, value, step: self.state.step })
        }
    }

    /// Ends a step: clips the gradients that [`accumulate`](Self::accumulate) has summed, and moves the weights, their
    /// BatchNorm statistics and the average.
    ///
    /// A gradient that is not finite is an error, and so is a replica that has stopped; both leave all of these as they
    /// were, and the step is forgotten.
    pub fn apply(&mut self, sgd: &SgdConfig, rate: f64) -> Result<StepReport, NetError> {
        let layout = self.weights.layout().clone();
        let mut pending = std::mem::take(&mut self.pending);
        assert!(pending.share > 0.0, "a step has at least one micro-batch");
        let buffers = self.moved_buffers(&pending.statistics);
        let buffers = self.reduce(&mut pending, buffers)?;
        let positions = || (0..self.used.len()).filter(|&position| pending.touched[position]);
        let squares = positions()
            .map(|p| genas_kernels::sgd::sum_squares(&self.gradients[layout.entries()[p].range()]));
        let gradient_norm = squares.sum::<f64>().sqrt() / pending.share;
        self.finite("gradient norm", gradient_norm)?;
        // PyTorch's clip_grad_norm_; the sum of shares is divided out in the same pass.
        let clip = sgd.clip.map_or(1.0, |max| (max / (gradient_norm + 1e-6)).min(1.0));
        let scale = (clip / pending.share) as f32;
        let config = genas_kernels::sgd::Sgd {
            lr: rate as f32,
            momentum: sgd.momentum,
            weight_decay: sgd.weight_decay,
            nesterov: sgd.nesterov,
        };
        for (position, entry) in layout.entries().iter().enumerate().filter(|(_, e)| e.role.is_parameter()) {
            self.used[position] |= pending.touched[position];
            let moves = match sgd.unsampled {
                UnsampledOps::ZeroFilled => self.used[position],
                UnsampledOps::SkipUnused => pending.touched[position],
            };
            let norm = matches!(entry.role, Role::Gamma | Role::Beta);
            let weight_decay = if norm { sgd.norm_weight_decay } else { sgd.weight_decay };
            if moves {
                let range = entry.range();
                genas_kernels::sgd::step(
                    &mut self.weights.parameters_mut()[range.clone()],
                    &self.gradients[range.clone()],
                    &mut self.velocity[range],
                    scale,
                    genas_kernels::sgd::Sgd { weight_decay, ..config },
                );
            }
        }
        self.weights.parts_mut().1.copy_from_slice(&buffers);
        if let Some(average) = &mut self.average {
            average.update(&self.weights);
        }
        self.state.step += 1;
        self.state.step_in_epoch += 1;
        Ok(StepReport { loss: pending.loss / pending.share, gradient_norm })
    }

    /// The BatchNorm statistics as they will be; the weights keep the old ones.
    fn moved_buffers(&mut self, statistics: &[BatchStats]) -> Vec<f32> {
        let mut before = self.weights.buffers().to_vec();
        update_statistics(&mut self.weights, statistics, BN_MOMENTUM as f32);
        self.weights.parts_mut().1.swap_with_slice(&mut before);
        before
    }

    /// Sums over the replicas. BatchNorm statistics become those of replica 0: the others add zeros.
    fn reduce(&mut self, pending: &mut Pending, mut buffers: Vec<f32>) -> Result<Vec<f32>, NetError> {
        let Some((replicas, _)) = &self.replicas else { return Ok(buffers) };
        let (step, world) = (self.state.step as f64, replicas.world() as f64);
        let mut sums = [pending.share, pending.loss, step, step * step];
        replicas.sum_f64(&mut sums)?;
        if sums[2] != step * world || sums[3] != step * step * world {
            return Err(NetError::Replica(format!(
                "replica {} is at step {step}, and others are not; start all of them from the same state",
                replicas.rank()
            )));
        }
        (pending.share, pending.loss) = (sums[0], sums[1]);
        replicas.sum(&mut self.gradients)?;
        if replicas.rank() > 0 {
            buffers.fill(0.0);
        }
        let n = buffers.len();
        buffers.extend(pending.touched.iter().map(|&touched| f32::from(u8::from(touched))));
        replicas.sum(&mut buffers)?;
        for (touched, count) in pending.touched.iter_mut().zip(buffers.drain(n..)) {
            *touched = count > 0.0;
        }
        Ok(buffers)
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
        for (name, values) in self.averaged() {
            tensors.push((name.into(), Dtype::F32, vec![values.len()], f32_bytes(values)));
        }
        let file = StateFile {
            about: about.clone(),
            state: self.state,
            fingerprint: fingerprint.to_owned(),
            ema: self.average.as_ref().map(|average| average.state),
            extra: extra.clone(),
        };
        let json = serde_json::to_string(&file).map_err(|e| NetError::format(path, e.to_string()))?;
        write_tensors(path, tensors, json)
    }

    /// The averaged weights' parts in a state file.
    fn averaged(&self) -> Vec<(&'static str, &[f32])> {
        let Some(weights) = self.ema() else { return Vec::new() };
        vec![(EMA_PARAMETERS, weights.parameters()), (EMA_BUFFERS, weights.buffers())]
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
        let others = BTreeSet::from([VELOCITY, USED, EMA_PARAMETERS, EMA_BUFFERS]);
        let weights = fill_weights(path, layout, &tensors, &others)?;
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
        if let Some(state) = file.ema {
            let mut average = Average { state, weights: trainer.weights.clone() };
            let (parameters, buffers) = average.weights.parts_mut();
            read_f32(&part(EMA_PARAMETERS, 4 * parameters.len())?, parameters);
            read_f32(&part(EMA_BUFFERS, 4 * buffers.len())?, buffers);
            trainer.average = Some(average);
        }
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
