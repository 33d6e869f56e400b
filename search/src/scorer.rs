//! Scores one candidate (spec 02-4 to 02-7): BatchNorm recalibration, weight noise, validation losses.

use crate::angle::angle;
use crate::config::{Config, LossAverage, ScorerKind, Statistics};
use crate::error::SearchError;
use crate::metric::{AngleScore, Column, Score};
use crate::noise::perturbed;
use crate::supernet::{Halves, streams, train_loader};
use genas_data::{TrainLoader, normalized};
use genas_export::{Dim, GraphOptions, supernet_model};
use genas_net::{
    BN_MOMENTUM, Devices, Feature, Mode, Path, Supernet, Tensors, Weights, cross_entropy_per_sample,
    update_statistics,
};
use genas_runtime::{Provider, Session, SessionOptions};
use genas_space::{Candidate, Streams};
use std::borrow::Cow;
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
        let columns = match &self.images {
            Some(images) => self.prepare(candidate, index)?.measure(&images.all())?,
            None => Vec::new(),
        };
        Ok(self.assemble(candidate, &columns))
    }

    /// Number of validation images per pass; 0 if the metric needs none.
    pub fn n_images(&self) -> usize {
        self.images.as_ref().map_or(0, |images| images.labels.len())
    }

    /// The score whose columns, as [`Prepared::measure`] gives them for all images in order, are these.
    pub fn assemble(&self, candidate: &Candidate, columns: &[Vec<f64>]) -> Score {
        let metric = &self.config.metric;
        let means: Vec<f64> = columns
            .iter()
            .enumerate()
            .map(|(n, column)| match metric.column(n) {
                Column::Hit => average(column, LossAverage::Samples, metric.batch_size),
                Column::Loss(_) => average(column, metric.loss_average, metric.batch_size),
            })
            .collect();
        metric.score(self.angle(candidate), &means)
    }

    /// The angle, if the metric needs it.
    pub fn angle(&self, candidate: &Candidate) -> Option<AngleScore> {
        let metric = &self.config.metric;
        let initial = self.initial.as_ref().filter(|_| metric.name.needs_angle());
        initial.map(|initial| angle(&self.net, candidate, initial, &self.trained, metric.fix_dil_bn))
    }

    /// A candidate whose statistics are recalibrated, with the weights of every pass that the metric needs.
    /// `index` is that of [`Scorer::score`].
    pub fn prepare(&self, candidate: &Candidate, index: u64) -> Result<Prepared<'_>, SearchError> {
        let metric = &self.config.metric;
        let Some(images) = &self.images else {
            return Err(SearchError::Setting(format!("the metric {} measures no images", metric.name)));
        };
        let draw = if metric.common_random_numbers { 0 } else { index };
        let weights = self.recalibrated(candidate, images, draw)?;
        // In the order of the metric's columns.
        let mut passes = Vec::new();
        if metric.name.needs_accuracy() {
            passes.push(weights.clone());
        }
        if metric.name.needs_flatness() {
            passes.extend(perturbed(&weights, metric, &self.streams, draw));
        }
        Ok(Prepared { scorer: self, images, candidate: *candidate, passes })
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
}

/// A recalibrated candidate, ready to be measured on any images.
#[derive(Debug)]
pub struct Prepared<'a> {
    scorer: &'a Scorer,
    images: &'a Images,
    candidate: Candidate,
    /// The weights of each column of the metric. Not sessions: one holds some 20 MB, and a race keeps a generation.
    passes: Vec<Weights>,
}

impl Prepared<'_> {
    /// The metric's columns ([`crate::config::MetricConfig::column`]) for the validation images at `positions`: one
    /// value per image in each.
    pub fn measure(&self, positions: &[usize]) -> Result<Vec<Vec<f64>>, SearchError> {
        let (classes, metric) = (self.scorer.net.classes, &self.scorer.config.metric);
        let labels: Vec<i64> = positions.iter().map(|&p| self.images.labels[p]).collect();
        let column = |(n, weights): (usize, &Weights)| {
            let logits = self.logits(weights, positions)?;
            Ok(match metric.column(n) {
                Column::Hit => hits(&logits, classes, &labels),
                Column::Loss(_) => cross_entropy_per_sample(&logits, classes, &labels),
            })
        };
        self.passes.iter().enumerate().map(column).collect()
    }

    /// Logits of the images at `positions`, row by row.
    fn logits(&self, weights: &Weights, positions: &[usize]) -> Result<Vec<f32>, SearchError> {
        let Self { scorer, images, candidate, .. } = self;
        let [h, w] = images.size;
        let chunks = positions.chunks(CHUNK).map(|chunk| (images.gather(chunk), [chunk.len(), 3, h, w]));
        let mut logits = Vec::with_capacity(positions.len() * scorer.net.classes);
        match scorer.config.metric.scorer {
            ScorerKind::Ort => {
                let options = GraphOptions {
                    batch: Dim::dynamic("batch"),
                    width: Dim::Fixed(w),
                    ..GraphOptions::scoring(CHUNK, h)
                };
                let model = supernet_model(&scorer.net, candidate, weights, &options)?;
                let session =
                    SessionOptions { provider: scorer.provider, intra_threads: 1, ..Default::default() };
                let mut session = Session::from_bytes(&model, &session)?;
                let mut out = Vec::new();
                for (pixels, shape) in chunks {
                    session.run_f32_into(&pixels, &shape, &mut out)?;
                    logits.extend_from_slice(&out);
                }
            }
            ScorerKind::Burn => {
                let mut i = Tensors::new(weights, scorer.devices.plain(), Mode::Inference);
                for (pixels, shape) in chunks {
                    let x = Feature::from_values(pixels.into_owned(), shape, i.device());
                    let y = scorer.net.forward(&mut i, Path::Candidate(candidate), &x).tensor();
                    logits.extend(y.into_data().try_to_vec::<f32>().unwrap_or_default());
                }
            }
        }
        Ok(logits)
    }
}

impl Images {
    /// All positions, in order.
    fn all(&self) -> Vec<usize> {
        (0..self.labels.len()).collect()
    }

    /// The pixels of some images, one after the other; without a copy where they lie so.
    fn gather(&self, positions: &[usize]) -> Cow<'_, [f32]> {
        let one = 3 * self.size[0] * self.size[1];
        let first = positions.first().map_or(0, |&p| p);
        if positions.iter().enumerate().all(|(n, &p)| p == first + n) {
            return Cow::Borrowed(&self.pixels[first * one..][..positions.len() * one]);
        }
        Cow::Owned(positions.iter().flat_map(|&p| &self.pixels[p * one..][..one]).copied().collect())
    }
}

/// 1 for each row of `logits` whose largest value, the first among equals, is the label's, else 0.
fn hits(logits: &[f32], classes: usize, labels: &[i64]) -> Vec<f64> {
    let right = |(row, &label): (&[f32], &i64)| {
        let best = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
        f64::from(best.is_some_and(|(n, _)| n as i64 == label))
    };
    logits.chunks_exact(classes).zip(labels).map(right).collect()
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
        assert_eq!(hits(&[0.0, 1.0, 2.0, 2.0, 2.0, 1.0], 2, &[1, 0, 1]), [1.0, 1.0, 0.0]);
    }
}
