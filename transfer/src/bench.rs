//! Latency and throughput of a model file.

use std::path::Path;
use std::time::Instant;

use genas_runtime::{Provider, SessionOptions};
use serde::{Serialize, Serializer};

use crate::error::{Result, TransferError};
use crate::model::{Classifier, Preprocessing};

/// Batch sizes that are measured unless others are asked for.
const DEFAULT_BATCHES: [usize; 3] = [1, 8, 64];

/// What to measure.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// Images per run; none for 1, 8 and 64, or the number that the model fixes.
    pub batches: Vec<usize>,
    /// Runs that are not counted.
    pub warm_up: usize,
    /// Fewest runs that are counted.
    pub runs: usize,
    /// Seconds per batch size after which no further run begins, once there are enough.
    pub seconds: f64,
    /// Side of the images, where the model's file does not say it or leaves it free.
    pub size: Option<usize>,
    /// Where and how to run the model.
    pub session: SessionOptions,
}

impl Default for BenchOptions {
    fn default() -> Self {
        let session = SessionOptions::default();
        Self { batches: Vec::new(), warm_up: 3, runs: 10, seconds: 3.0, size: None, session }
    }
}

/// Times at one batch size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BenchRow {
    /// Images per run.
    pub batch: usize,
    /// Milliseconds that half of the runs stay below.
    pub median_ms: f64,
    /// Milliseconds that 95 of 100 runs stay below.
    pub p95_ms: f64,
    /// Images per second at the median.
    pub images_per_second: f64,
    /// Runs that were counted.
    pub runs: usize,
}

/// Times at every batch size.
#[derive(Clone, Debug, Serialize)]
pub struct BenchReport {
    /// Where the model ran.
    #[serde(serialize_with = "as_text")]
    pub provider: Provider,
    /// Side of the images.
    pub image: usize,
    /// One row per batch size.
    pub rows: Vec<BenchRow>,
}

fn as_text<S: Serializer>(value: &Provider, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Measures a model with images of its own input size, each thread on a core of its own. `progress` is told the batch sizes done and
/// all of them.
///
/// ONNX Runtime must be installed ([`genas_runtime::ensure`]).
pub fn bench(model: &Path, options: &BenchOptions, progress: &dyn Fn(usize, usize)) -> Result<BenchReport> {
    // How images are normalised does not matter here.
    let normalised = options.size.map(|_| [1.0; 3]);
    let preprocessing = Preprocessing { mean: normalised, std: normalised, size: options.size };
    let session = SessionOptions { pinned: true, ..options.session.clone() };
    let mut classifier = Classifier::open_any(model, &preprocessing, &session)?;
    let batches = batches(&classifier, options)?;
    let side = classifier.side();
    let mut rows = Vec::with_capacity(batches.len());
    progress(0, batches.len());
    for (done, &batch) in batches.iter().enumerate() {
        // The values do not matter, but zeros could be faster than images.
        let images: Vec<f32> =
            (0..batch * 3 * side * side).map(|i| (i * 7919 % 509) as f32 / 127.0 - 2.0).collect();
        let mut run = || {
            let started = Instant::now();
            classifier.run(&images, batch, side).map(|_| started.elapsed().as_secs_f64() * 1e3)
        };
        let measure = || -> Result<Vec<f64>> {
            for _ in 0..options.warm_up {
                run()?;
            }
            let started = Instant::now();
            let mut times = Vec::new();
            while times.len() < options.runs.max(1) || started.elapsed().as_secs_f64() < options.seconds {
                times.push(run()?);
            }
            Ok(times)
        };
        let mut times = genas_runtime::pinned(measure)?;
        times.sort_unstable_by(f64::total_cmp);
        let median_ms = quantile(&times, 0.5);
        let images_per_second = batch as f64 * 1e3 / median_ms.max(1e-9);
        rows.push(BenchRow {
            batch,
            median_ms,
            p95_ms: quantile(&times, 0.95),
            images_per_second,
            runs: times.len(),
        });
        progress(done + 1, batches.len());
    }
    Ok(BenchReport { provider: classifier.session().provider_used(), image: side, rows })
}

fn batches(classifier: &Classifier, options: &BenchOptions) -> Result<Vec<usize>> {
    if options.batches.contains(&0) {
        return Err(TransferError::Request("a batch holds at least one image".to_owned()));
    }
    match classifier.fixed_batch() {
        Some(fixed) if options.batches.iter().any(|&b| b != fixed) => Err(TransferError::Request(format!(
            "{}: the model always takes {fixed} images; give --batch {fixed}, or export it with --dynamic batch",
            classifier.path().display()
        ))),
        Some(fixed) => Ok(vec![fixed]),
        None if options.batches.is_empty() => Ok(DEFAULT_BATCHES.to_vec()),
        None => Ok(options.batches.clone()),
    }
}

/// The value below which a fraction of the sorted values lies, between two of them linearly.
fn quantile(sorted: &[f64], fraction: f64) -> f64 {
    let place = (sorted.len() - 1) as f64 * fraction;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    sorted[low] + (sorted[high] - sorted[low]) * (place - low as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_values() {
        assert_eq!(quantile(&[7.0], 0.95), 7.0);
        assert_eq!(quantile(&[1.0, 3.0], 0.5), 2.0);
        assert_eq!(quantile(&[0.0, 1.0, 2.0, 3.0, 4.0], 0.75), 3.0);
    }
}
