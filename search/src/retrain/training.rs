//! The steps of a retraining, in one replica or several.

use super::Retraining;
use super::data::Images;
use super::validate::validate;
use crate::error::SearchError;
use crate::supernet::streams;
use crate::validation::Validation;
use genas_data::Batch;
use genas_net::{
    AllReduce, Device, Ema, EvalNet, Feature, Mode, NetError, SgdConfig, StepReport, Trainer, UnsampledOps,
    WeightsFile, cross_entropy, drop_path_probability,
};
use genas_train::{Fit, Fitted};
use std::sync::Arc;

/// A training whose network and images are there.
pub(super) struct Training<'a> {
    pub retraining: &'a Retraining<'a>,
    pub net: &'a EvalNet,
    pub images: &'a Images,
    pub fingerprint: &'a str,
    pub about: WeightsFile,
}

/// A replica's number and its way to the others.
pub(super) type Place = (usize, Arc<dyn AllReduce>);

impl Training<'_> {
    /// Trains on a gradient-recording `device`, as one of several replicas if there is a `place`. Replica 0 leads.
    pub fn run(
        &self,
        device: &Device,
        place: Option<Place>,
    ) -> Result<Option<Fitted<Validation>>, SearchError> {
        let Self { retraining, net, images, .. } = *self;
        let c = &retraining.config.retrain;
        let rank = place.as_ref().map_or(0, |(rank, _)| *rank);
        let batches = images.part(rank, c.replicas)?;
        let fit = Fit {
            phase: "retrain",
            period: "epoch",
            directory: retraining.directory,
            epochs: c.epochs,
            batches: &*batches,
            rate: &|state| c.rate(state.epoch as usize),
            about: self.about.clone(),
            fingerprint: self.fingerprint,
            resume: retraining.resume,
            keep_every: c.keep_every,
            observer: retraining.observer,
            replica: (rank, c.replicas),
        };
        let prepare = |trainer: Trainer| {
            let trainer = trainer.with_precision(c.precision);
            match &place {
                Some((_, replicas)) => trainer.with_replicas(replicas.clone(), c.batch_norm),
                None => trainer,
            }
        };
        fit.run(
            || {
                let trainer = Trainer::new(retraining.initial_weights(net, images)?);
                Ok(match c.ema {
                    Some(decay) => trainer.with_ema(Ema { decay }),
                    None => trainer,
                })
            },
            prepare,
            |trainer, (), rate, batch| self.step(trainer, rate, batch, device, rank),
            |weights, epoch| {
                let due = (epoch + 1).is_multiple_of(c.evaluate_every) || epoch + 1 == c.epochs;
                let test = || validate(net, weights, retraining.devices, images.size, images.test_batches());
                due.then(test).transpose()
            },
        )
    }

    fn step(
        &self,
        trainer: &mut Trainer,
        rate: f64,
        batch: Batch,
        device: &Device,
        rank: usize,
    ) -> Result<StepReport, NetError> {
        let config = self.retraining.config;
        let (c, streams) = (&config.retrain, streams(config));
        let [height, width] = self.images.size;
        let drop_path = drop_path_probability(c.drop_path, trainer.state.epoch as usize, c.epochs);
        // Of one replica the parts of 1, so that a batch in one part is a plain step; of several the images, because a
        // replica does not know how many the others have.
        let whole = if c.replicas == 1 { batch.n as f64 } else { 1.0 };
        for (n, part) in parts(batch, c.accumulate).into_iter().enumerate() {
            // One stream per step, and for each part and replica after the first.
            let name = match rank * c.accumulate + n {
                0 => "retrain/drop-path".to_owned(),
                n => format!("retrain/drop-path/{n}"),
            };
            let mode = Mode::Train { drop_path, rng: Box::new(streams.rng(&name, trainer.state.step)) };
            trainer.accumulate(part.n as f64 / whole, device, mode, |i| {
                let x = Feature::from_values(part.images, [part.n, 3, height, width], i.device());
                let (logits, auxiliary) = self.net.forward_with_auxiliary(i, &x);
                let loss = |logits: Feature| cross_entropy(logits.tensor(), &part.labels, c.label_smoothing);
                match auxiliary {
                    Some(a) => loss(logits) + loss(a).mul_scalar(c.auxiliary_weight as f32),
                    None => loss(logits),
                }
            })?;
        }
        let sgd = SgdConfig {
            momentum: c.momentum,
            nesterov: false,
            weight_decay: c.weight_decay,
            norm_weight_decay: c.weight_decay,
            clip: Some(c.clip),
            unsampled: UnsampledOps::ZeroFilled,
        };
        trainer.apply(&sgd, rate)
    }
}

/// The batch in `n` parts whose sizes differ by at most one, fewer if it has fewer images.
fn parts(batch: Batch, n: usize) -> Vec<Batch> {
    let n = n.min(batch.n);
    if n <= 1 {
        return vec![batch];
    }
    let image = batch.images.len() / batch.n;
    let bounds = |k: usize| k * batch.n / n;
    let part = |k: usize| {
        let (from, to) = (bounds(k), bounds(k + 1));
        Batch {
            images: batch.images[from * image..to * image].to_vec(),
            labels: batch.labels[from..to].to_vec(),
            n: to - from,
        }
    };
    (0..n).map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_batch() {
        let batch = Batch { images: (0..14).map(|v| v as f32).collect(), labels: (0..7).collect(), n: 7 };
        for n in 1..10 {
            let parts = parts(batch.clone(), n);
            assert_eq!(parts.len(), n.min(7));
            let sizes: Vec<usize> = parts.iter().map(|p| p.n).collect();
            assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
            assert_eq!(parts.iter().flat_map(|p| p.images.clone()).collect::<Vec<_>>(), batch.images);
            assert_eq!(parts.iter().flat_map(|p| p.labels.clone()).collect::<Vec<_>>(), batch.labels);
        }
    }
}
