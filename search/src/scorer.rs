//! Scores one candidate (spec 02-4 to 02-7): BatchNorm recalibration, weight noise, validation losses.

use crate::angle::angle;
use crate::config::{Config, LossAverage};
use crate::error::SearchError;
use crate::metric::{AngleScore, Column, Score};
use crate::noise::perturbed;
use crate::subnet::{Images, Recalibration, Subnets};
use crate::supernet::{Halves, streams, train_loader};
use genas_net::{Devices, Supernet, Weights, cross_entropy_per_sample};
use genas_runtime::Provider;
use genas_space::{Candidate, Streams};

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

/// Scores candidates of one trained supernet. Candidates can be scored in parallel.
#[derive(Debug)]
pub struct Scorer {
    subnets: Subnets<Supernet>,
    initial: Option<Weights>,
    images: Option<Images>,
    config: Config,
    streams: Streams,
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
                let loader = train_loader(config, halves, config.metric.batch_size, "recalibration")?;
                Some(Images::new(halves, config.metric.validation_images, loader))
            }
            _ => None,
        };
        let engine = config.metric.scorer;
        let subnets = Subnets { net, trained, engine, devices: devices.clone(), provider };
        Ok(Self { subnets, initial, images, config: config.clone(), streams: streams(config) })
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
                Column::Hit | Column::NoisyHit(_) => average(column, LossAverage::Samples, metric.batch_size),
                Column::Loss(_) => average(column, metric.loss_average, metric.batch_size),
            })
            .collect();
        metric.score(self.angle(candidate), &means)
    }

    /// The angle, if the metric needs it.
    pub fn angle(&self, candidate: &Candidate) -> Option<AngleScore> {
        let (metric, Subnets { net, trained, .. }) = (&self.config.metric, &self.subnets);
        let initial = self.initial.as_ref().filter(|_| metric.name.needs_angle());
        initial.map(|initial| angle(net, candidate, initial, trained, metric.fix_dil_bn))
    }

    /// A candidate whose statistics are recalibrated, with the weights of every pass that the metric needs.
    /// `index` is that of [`Scorer::score`].
    pub fn prepare(&self, candidate: &Candidate, index: u64) -> Result<Prepared<'_>, SearchError> {
        let metric = &self.config.metric;
        let Some(images) = &self.images else {
            return Err(SearchError::Setting(format!("the metric {} measures no images", metric.name)));
        };
        let draw = if metric.common_random_numbers { 0 } else { index };
        let recalibration = Recalibration {
            images: metric.recalibration_images,
            batch_size: metric.batch_size,
            statistics: metric.recalibration_statistics,
        };
        let weights = self.subnets.recalibrated(candidate, images, &recalibration, draw);
        // In the order of the metric's columns.
        let mut passes = Vec::new();
        if metric.name.needs_accuracy() {
            passes.push(weights.clone());
        }
        if metric.name.needs_flatness() || metric.name.needs_noisy_accuracy() {
            passes.extend(perturbed(&weights, metric, &self.streams, draw));
        }
        Ok(Prepared { scorer: self, images, candidate: *candidate, passes })
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
        let Scorer { subnets, config, .. } = self.scorer;
        let (classes, metric) = (subnets.net.classes, &config.metric);
        let labels: Vec<i64> = positions.iter().map(|&p| self.images.labels[p]).collect();
        let column = |(n, weights): (usize, &Weights)| {
            let logits = subnets.logits(&self.candidate, weights, self.images, positions)?;
            Ok(match metric.column(n) {
                Column::Hit | Column::NoisyHit(_) => hits(&logits, classes, &labels),
                Column::Loss(_) => cross_entropy_per_sample(&logits, classes, &labels),
            })
        };
        self.passes.iter().enumerate().map(column).collect()
    }
}

/// 1 for each row of `logits` whose largest value, the first among equals, is the label's, else 0.
pub(crate) fn hits(logits: &[f32], classes: usize, labels: &[i64]) -> Vec<f64> {
    let right = |(row, &label): (&[f32], &i64)| {
        let best = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
        f64::from(best.is_some_and(|(n, _)| n as i64 == label))
    };
    logits.chunks_exact(classes).zip(labels).map(right).collect()
}

/// Average of the losses: over images, or of the means of `batch` images each.
pub(crate) fn average(losses: &[f64], kind: LossAverage, batch: usize) -> f64 {
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
