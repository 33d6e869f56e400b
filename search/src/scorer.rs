//! Scores one candidate (spec 02-4 to 02-7): BatchNorm recalibration, weight noise, validation losses.

use crate::angle::angle;
use crate::config::{Config, LossAverage, ScorerKind, Statistics};
use crate::error::SearchError;
use crate::flatness::flatness;
use crate::metric::{FlatnessScore, Score};
use crate::noise::perturbed;
use crate::supernet::{Halves, streams, train_loader};
use genas_data::{TrainLoader, normalized};
use genas_export::{GraphOptions, supernet_model};
use genas_net::{
    BN_MOMENTUM, Devices, Feature, Mode, Path, Supernet, Tensors, Weights, cross_entropy_per_sample,
    update_statistics,
};
use genas_runtime::{Provider, Session, SessionOptions};
use genas_space::{Candidate, Streams};
use std::sync::Arc;

/// Images per inference call: small batches stay in the cache (burn-notes.md).
const CHUNK: usize = 25;

/// Whether there are images enough for the metric: known before the supernet is trained.
pub fn check_images(config: &Config, halves: Option<&Halves>) -> Result<(), SearchError> {
    let metric = &config.metric;
    match halves {
        _ if !metric.name.needs_data() => Ok(()),
        None => Err(SearchError::Setting(format!("the metric {} needs images; give --data", metric.name))),
        Some(halves) if metric.validation_images > halves.valid.len() => {
            let (wanted, there) = (metric.validation_images, halves.valid.len());
            Err(SearchError::Setting(format!(
                "metric.validation-images is {wanted}, but the validation half has {there} images; \
                 lower it (--set metric.validation-images={there})"
            )))
        }
        Some(_) => Ok(()),
    }
}

/// Images that a scorer needs.
#[derive(Debug)]
struct Images {
    loader: TrainLoader,
    pixels: Vec<f32>,
    labels: Vec<i64>,
    size: [usize; 2],
}

/// Scores candidates of one trained supernet. Candidates can be scored in parallel.
#[derive(Debug)]
pub struct Scorer {
    net: Supernet,
    trained: Weights,
    initial: Option<Weights>,
    images: Option<Images>,
    config: Config,
    streams: Streams,
    devices: Devices,
    provider: Provider,
}

impl Scorer {
    /// `initial` is needed for the angle, `halves` for accuracy and flatness.
    pub fn new(
        net: Supernet,
        trained: Weights,
        initial: Option<Weights>,
        halves: Option<&Halves>,
        config: &Config,
        devices: &Devices,
        provider: Provider,
    ) -> Result<Self, SearchError> {
        let metric = config.metric.name;
        if metric.needs_angle() && initial.is_none() {
            return Err(SearchError::Setting(format!(
                "the metric {metric} needs the supernet's initial weights"
            )));
        }
        check_images(config, halves)?;
        if let Some(there) = halves.map(|h| h.set.n_classes()).filter(|n| *n != net.classes) {
            return Err(SearchError::Setting(format!(
                "the supernet has {} classes, the data {there}; give the data that it was trained for",
                net.classes
            )));
        }
        let images = match halves {
            Some(halves) if metric.needs_data() => {
                let chosen = &halves.valid[..config.metric.validation_images];
                Some(Images {
                    loader: train_loader(config, halves, config.metric.batch_size, "recalibration")?,
                    pixels: normalized(&halves.set, chosen),
                    labels: halves.set.labels_at(chosen),
                    size: [halves.set.height, halves.set.width],
                })
            }
            _ => None,
        };
        Ok(Self {
            net,
            trained,
            initial,
            images,
            config: config.clone(),
            streams: streams(config),
            devices: devices.clone(),
            provider,
        })
    }

    /// Scores a candidate; `index` counts independent draws of noise and recalibration batches.
    pub fn score(&self, candidate: &Candidate, index: u64) -> Result<Score, SearchError> {
        let metric = self.config.metric.name;
        let mut score = Score::default();
        if let (true, Some(initial)) = (metric.needs_angle(), &self.initial) {
            score.angle =
                Some(angle(&self.net, candidate, initial, &self.trained, self.config.metric.fix_dil_bn));
        }
        if let Some(images) = &self.images {
            let draw = if self.config.metric.common_random_numbers { 0 } else { index };
            let weights = self.recalibrated(candidate, images, draw)?;
            if metric.needs_accuracy() {
                let logits = self.logits(candidate, &weights, images)?;
                score.accuracy = Some(accuracy(&logits, self.net.classes, &images.labels));
            }
            if metric.needs_flatness() {
                score.flatness = Some(self.flatness(candidate, &weights, images, draw)?);
            }
        }
        Ok(score)
    }

    /// The candidate's weights with statistics of its own (spec 02-4).
    fn recalibrated(
        &self,
        candidate: &Candidate,
        images: &Images,
        draw: u64,
    ) -> Result<Weights, SearchError> {
        let mut weights = self.trained.restrict(Arc::new(self.net.candidate_layout(candidate)));
        let metric = &self.config.metric;
        let batches = metric.recalibration_images.div_ceil(metric.batch_size);
        if batches == 0 {
            return Ok(weights);
        }
        weights.reset_statistics();
        for (n, batch) in images.loader.batches(draw, 0..batches).enumerate() {
            let mut i = Tensors::new(&weights, self.devices.plain(), Mode::BatchStatistics);
            let [h, w] = images.size;
            let x = Feature::from_values(batch.images, [batch.n, 3, h, w], i.device());
            self.net.forward(&mut i, Path::Candidate(candidate), &x);
            let momentum = match metric.recalibration_statistics {
                Statistics::Ema => BN_MOMENTUM as f32,
                Statistics::Average => 1.0 / (n + 1) as f32,
            };
            let statistics = i.take_statistics();
            update_statistics(&mut weights, &statistics, momentum);
        }
        Ok(weights)
    }

    fn flatness(
        &self,
        candidate: &Candidate,
        weights: &Weights,
        images: &Images,
        draw: u64,
    ) -> Result<FlatnessScore, SearchError> {
        let metric = &self.config.metric;
        let losses = perturbed(weights, metric, &self.streams, draw)
            .map(|noisy| {
                let logits = self.logits(candidate, &noisy, images)?;
                let losses = cross_entropy_per_sample(&logits, self.net.classes, &images.labels);
                Ok(average(&losses, metric.loss_average, metric.batch_size))
            })
            .collect::<Result<Vec<f64>, SearchError>>()?;
        let score = flatness(&metric.sigmas, &losses, metric.alpha, metric.eps);
        Ok(FlatnessScore { score, losses, sigmas: metric.sigmas.clone() })
    }

    /// Logits of all validation images, row by row.
    fn logits(
        &self,
        candidate: &Candidate,
        weights: &Weights,
        images: &Images,
    ) -> Result<Vec<f32>, SearchError> {
        let [h, w] = images.size;
        let mut logits = Vec::with_capacity(images.labels.len() * self.net.classes);
        let chunks = images.pixels.chunks(CHUNK * 3 * h * w);
        match self.config.metric.scorer {
            ScorerKind::Ort => {
                let options = GraphOptions {
                    batch: genas_export::Dim::dynamic("batch"),
                    ..GraphOptions::scoring(CHUNK, h)
                };
                let options = GraphOptions { width: genas_export::Dim::Fixed(w), ..options };
                let model = supernet_model(&self.net, candidate, weights, &options)?;
                let session =
                    SessionOptions { provider: self.provider, intra_threads: 1, ..Default::default() };
                let mut session = Session::from_bytes(&model, &session)?;
                let mut out = Vec::new();
                for chunk in chunks {
                    session.run_f32_into(chunk, &[chunk.len() / (3 * h * w), 3, h, w], &mut out)?;
                    logits.extend_from_slice(&out);
                }
            }
            ScorerKind::Burn => {
                let mut i = Tensors::new(weights, self.devices.plain(), Mode::Inference);
                for chunk in chunks {
                    let n = chunk.len() / (3 * h * w);
                    let x = Feature::from_values(chunk.to_vec(), [n, 3, h, w], i.device());
                    let y = self.net.forward(&mut i, Path::Candidate(candidate), &x).tensor();
                    logits.extend(y.into_data().try_to_vec::<f32>().unwrap_or_default());
                }
            }
        }
        Ok(logits)
    }
}

/// Top-1 accuracy as a fraction.
pub fn accuracy(logits: &[f32], classes: usize, labels: &[i64]) -> f64 {
    let right = |(row, &label): (&[f32], &i64)| {
        let best = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
        best.is_some_and(|(n, _)| n as i64 == label)
    };
    let hits = logits.chunks_exact(classes).zip(labels).filter(|p| right(*p)).count();
    hits as f64 / labels.len() as f64
}

/// Average of the losses: over images, or of the means of `batch` images each.
fn average(losses: &[f64], kind: LossAverage, batch: usize) -> f64 {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    match kind {
        LossAverage::Samples => mean(losses),
        LossAverage::Batches => mean(&losses.chunks(batch).map(mean).collect::<Vec<_>>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_last_batch_weighs_as_much_as_a_full_one() {
        let losses = [1.0, 1.0, 4.0];
        assert_eq!(average(&losses, LossAverage::Batches, 2), 2.5);
        assert_eq!(average(&losses, LossAverage::Samples, 2), 2.0);
    }

    #[test]
    fn accuracy_counts_the_first_of_equal_logits() {
        assert_eq!(accuracy(&[0.0, 1.0, 2.0, 2.0], 2, &[1, 0]), 1.0);
    }
}
