//! What range each value of a network has, over images: the calibration of 8-bit integers.
//!
//! The network runs in 32 bits with every value as an output. A first pass takes the smallest and the largest
//! number of every value; [`Method::Percentile`] and [`Method::Entropy`] then draw a histogram of 2048 bins over
//! that range, in a second pass, and give up rare large numbers for finer steps.

use crate::activations::open_with_all_values;
use crate::error::{ExportError, Result};
use crate::graph::INPUT;
use crate::metadata::ModelInfo;
use crate::models::model_proto;
use crate::options::{Activations, GraphOptions, ModelKind};
use genas_net::{EvalNet, Weights};
use genas_runtime::Session;
use std::collections::HashMap;
use std::fmt;

/// Fewer images than this say nothing of the others.
pub const FEWEST_IMAGES: usize = 10;
/// The percentile that is taken unless another is asked for.
pub const DEFAULT_PERCENTILE: f64 = 99.99;
const BINS: usize = 2048;
/// Steps of one sign: of a signed 8-bit number, and of an unsigned one.
const SIGNED_STEPS: usize = 128;
const UNSIGNED_STEPS: usize = 256;
/// Probability of what a quantised distribution does not hold (as in Apache MXNet's `_smooth_distribution`).
const SMOOTHING: f64 = 1e-4;
/// Images of the comparison with burn.
const SAMPLE: usize = 4;

/// How ranges are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Method {
    /// From the smallest to the largest number that was seen.
    #[default]
    MinMax,
    /// So that this percentage of the numbers lies below the upper end, and as many above the lower.
    Percentile(f64),
    /// So that the distribution of magnitudes loses the least information (Kullback-Leibler divergence), as
    /// TensorRT does it: Migacz, "8-bit inference with TensorRT", GTC 2017. Exact zeros, which quantisation does
    /// not change, are not counted.
    Entropy,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MinMax => f.pad("minmax"),
            Self::Percentile(percentile) => write!(f, "percentile {percentile}"),
            Self::Entropy => f.pad("entropy"),
        }
    }
}

/// A value's smallest and largest number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Range {
    pub low: f32,
    pub high: f32,
}

impl Range {
    const EMPTY: Self = Self { low: f32::INFINITY, high: f32::NEG_INFINITY };

    fn include(&mut self, values: &[f32]) {
        for &value in values {
            self.low = self.low.min(value);
            self.high = self.high.max(value);
        }
    }

    fn magnitude(self) -> f32 {
        self.high.max(-self.low)
    }
}

/// Ranges of a network's values, and how they were found.
#[derive(Clone, Debug)]
pub struct Calibration {
    /// How ranges were chosen.
    pub method: Method,
    /// How the quantised model will write its activations.
    pub activations: Activations,
    /// How many images were looked at.
    pub images: usize,
    pub(crate) ranges: HashMap<String, Range>,
    /// The first images, normalised, for the comparison with burn.
    pub(crate) sample: Vec<f32>,
    pub(crate) side: usize,
}

/// Looks at `images`, normalised, N x 3 x side x side, of the side `info.input_size`. `progress` is told the images
/// done and the images in all, once for each pass.
#[allow(clippy::too_many_arguments)]
pub fn calibrate(
    net: &EvalNet,
    kind: ModelKind,
    weights: &Weights,
    info: &ModelInfo,
    images: &[f32],
    activations: Activations,
    method: Method,
    progress: &dyn Fn(usize, usize),
) -> Result<Calibration> {
    let side = info.input_size;
    let n = images.len() / (3 * side * side).max(1);
    if n < FEWEST_IMAGES {
        return Err(ExportError::TooFewImages(n));
    }
    if let Method::Percentile(percentile) = method
        && !(50.0..=100.0).contains(&percentile)
    {
        let problem = format!("the percentile {percentile} is not between 50 and 100; 99.99 is usual");
        return Err(ExportError::Info(problem));
    }
    let options = GraphOptions { fold_bn: true, ..GraphOptions::square(side) };
    let model = model_proto(net, kind, weights, &options)?;
    let mut pass = Pass { session: open_with_all_values(&model)?, images, side, n, progress };

    let mut ranges: HashMap<String, Range> = HashMap::new();
    pass.run(|name, values| {
        // `entry` would copy the name for every image.
        match ranges.get_mut(name) {
            Some(range) => range.include(values),
            None => {
                let mut range = Range::EMPTY;
                range.include(values);
                ranges.insert(name.to_owned(), range);
            }
        }
    })?;
    let broken = ranges.iter().filter(|(_, range)| !(range.low.is_finite() && range.high.is_finite()));
    if let Some((name, _)) = broken.min_by_key(|(name, _)| name.as_str()) {
        let problem =
            format!("the value {name} is not a finite number for some image; the weights are damaged");
        return Err(ExportError::Info(problem));
    }
    if method != Method::MinMax {
        let mut histograms: HashMap<String, Histogram> = HashMap::new();
        for (name, &range) in &ranges {
            histograms.insert(name.clone(), Histogram::new(range, method));
        }
        pass.run(|name, values| {
            if let Some(histogram) = histograms.get_mut(name) {
                histogram.include(values);
            }
        })?;
        for (name, histogram) in histograms {
            ranges.insert(name, histogram.range(method, activations));
        }
    }
    let sample = images[..SAMPLE.min(n) * 3 * side * side].to_vec();
    Ok(Calibration { method, activations, images: n, ranges, sample, side })
}

/// One look at every image.
struct Pass<'a> {
    session: Session,
    images: &'a [f32],
    side: usize,
    n: usize,
    progress: &'a dyn Fn(usize, usize),
}

impl Pass<'_> {
    fn run(&mut self, mut take: impl FnMut(&str, &[f32])) -> Result<()> {
        let len = 3 * self.side * self.side;
        // All values of a run are in memory at once: one large image, or several small ones.
        let batch = (128 * 128 / (self.side * self.side).max(1)).clamp(1, 16);
        let mut done = 0;
        (self.progress)(0, self.n);
        for images in self.images.chunks(batch * len) {
            let shape = [images.len() / len, 3, self.side, self.side];
            take(INPUT, images);
            self.session.run_f32_each(images, &shape, &mut take)?;
            done += shape[0];
            (self.progress)(done, self.n);
        }
        Ok(())
    }
}

/// How often numbers lie in each of equally wide bins.
struct Histogram {
    /// Of the numbers themselves, or of their magnitudes.
    of_magnitudes: bool,
    seen: Range,
    start: f32,
    /// Bins per unit.
    density: f32,
    counts: Vec<u64>,
}

impl Histogram {
    fn new(seen: Range, method: Method) -> Self {
        let of_magnitudes = method == Method::Entropy;
        let (start, end) = if of_magnitudes { (0.0, seen.magnitude()) } else { (seen.low, seen.high) };
        let width = end - start;
        let density = if width > 0.0 { BINS as f32 / width } else { 0.0 };
        Self { of_magnitudes, seen, start, density, counts: vec![0; BINS] }
    }

    fn include(&mut self, values: &[f32]) {
        for &value in values {
            if self.of_magnitudes && value == 0.0 {
                continue;
            }
            let value = if self.of_magnitudes { value.abs() } else { value };
            let bin = ((value - self.start) * self.density) as usize;
            self.counts[bin.min(BINS - 1)] += 1;
        }
    }

    fn edge(&self, bin: usize) -> f32 {
        if self.density > 0.0 { self.start + bin as f32 / self.density } else { self.start }
    }

    fn range(&self, method: Method, activations: Activations) -> Range {
        let Range { low, high } = self.seen;
        match method {
            Method::MinMax => self.seen,
            Method::Percentile(percentile) => {
                let outside = (1.0 - percentile / 100.0).max(0.0);
                let above = self.skip(outside, self.counts.iter().rev());
                let below = self.skip(outside, self.counts.iter());
                Range { low: self.edge(below).max(low), high: self.edge(BINS - above).min(high) }
            }
            Method::Entropy => {
                let unsigned = low >= 0.0 && activations == Activations::Uint8;
                let steps = if unsigned { UNSIGNED_STEPS } else { SIGNED_STEPS };
                let threshold = self.edge(least_divergent(&self.counts, steps));
                Range { low: low.max(-threshold), high: high.min(threshold) }
            }
        }
    }

    /// How many of these bins can be left out so that no more than a fraction of all numbers is.
    fn skip<'c>(&self, fraction: f64, counts: impl Iterator<Item = &'c u64>) -> usize {
        let total: u64 = self.counts.iter().sum();
        let allowed = (total as f64 * fraction) as u64;
        let mut left_out = 0;
        counts
            .take_while(|&&count| {
                left_out += count;
                left_out <= allowed
            })
            .count()
            .min(BINS - 1)
    }
}

/// The number of bins, from zero, that 8 bits should cover: where the distribution that quantisation with `steps`
/// leaves diverges least from the one that was cut there, its tail gathered in the last bin.
fn least_divergent(counts: &[u64], steps: usize) -> usize {
    let mut best = (f64::INFINITY, counts.len());
    let mut beyond: u64 = counts.iter().sum();
    let mut covered = 0;
    for bins in (steps..=counts.len()).step_by(8) {
        beyond -= counts[covered..bins].iter().sum::<u64>();
        covered = bins;
        let divergence = divergence(&counts[..bins], beyond, steps);
        if divergence < best.0 {
            best = (divergence, bins);
        }
    }
    best.1
}

/// Kullback-Leibler divergence of a quantised distribution from the cut one.
fn divergence(counts: &[u64], tail: u64, steps: usize) -> f64 {
    let total = counts.iter().sum::<u64>() as f64;
    let all = total + tail as f64;
    if total == 0.0 {
        return f64::INFINITY;
    }
    let mut sum = 0.0;
    for step in 0..steps {
        let (from, to) = (step * counts.len() / steps, (step + 1) * counts.len() / steps);
        let bins = &counts[from..to];
        let filled = bins.iter().filter(|&&count| count > 0).count();
        if filled == 0 {
            continue;
        }
        // Each step's numbers are spread evenly over its bins that hold any.
        let q = bins.iter().sum::<u64>() as f64 / filled as f64 / total;
        for (bin, &count) in bins.iter().enumerate().filter(|(_, count)| **count > 0) {
            let gathered = if from + bin + 1 == counts.len() { tail } else { 0 };
            let p = (count + gathered) as f64 / all;
            sum += p * (p / q).ln();
        }
    }
    if counts.last() == Some(&0) {
        // The tail has no bin in the quantised distribution; it gets the probability that the usual smoothing gives.
        let p = tail as f64 / all;
        sum += p * (p / SMOOTHING).ln().max(0.0);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: &[f32], method: Method) -> Histogram {
        let mut range = Range::EMPTY;
        range.include(values);
        let mut histogram = Histogram::new(range, method);
        histogram.include(values);
        histogram
    }

    /// A bell around zero with one number far out.
    fn with_outlier(signed: bool) -> Vec<f32> {
        let mut values: Vec<f32> = (0..20_000)
            .map(|n| {
                // The sum of four evenly spread numbers.
                let spread = |k: u32| (n * k % 1999) as f32 / 1998.0 - 0.5;
                let value = spread(1) + spread(7) + spread(31) + spread(101);
                if signed { value } else { value.abs() }
            })
            .collect();
        values.push(40.0);
        values
    }

    #[test]
    fn methods_give_up_outliers_but_not_more() {
        for (signed, activations) in
            [(true, Activations::Uint8), (true, Activations::Int8), (false, Activations::Uint8)]
        {
            let values = with_outlier(signed);
            let bulk = values[..20_000].iter().fold(0.0f32, |max, v| max.max(v.abs()));
            for method in [Method::Percentile(99.99), Method::Entropy] {
                let range = histogram(&values, method).range(method, activations);
                let what = format!("{method} {activations:?} {signed}: {range:?} of {bulk}");
                assert!(range.high < 0.3 * 40.0 && range.high > 0.5 * bulk, "{what}");
                assert!(if signed { range.low < -0.5 * bulk } else { range.low >= 0.0 }, "{what}");
            }
            let all =
                histogram(&values, Method::Percentile(100.0)).range(Method::Percentile(100.0), activations);
            assert!((all.high - 40.0).abs() < 1e-3, "{all:?}");
        }
    }

    #[test]
    fn values_that_do_not_vary_have_a_range() {
        for method in [Method::Percentile(99.9), Method::Entropy] {
            for value in [0.0, 3.0, -2.0] {
                let range = histogram(&[value; 50], method).range(method, Activations::Uint8);
                assert!(
                    range.low <= range.high && range.low.is_finite() && range.high.is_finite(),
                    "{range:?}"
                );
                assert!(range.low <= value && value <= range.high + 1e-6, "{method} {value}: {range:?}");
            }
        }
    }

    #[test]
    fn evenly_filled_bins_are_kept_whole() {
        assert_eq!(least_divergent(&[5; BINS], SIGNED_STEPS), BINS);
        let mut counts = vec![1000; BINS];
        counts[BINS / 2..].fill(0);
        counts[BINS - 1] = 1;
        let bins = least_divergent(&counts, SIGNED_STEPS);
        assert!((BINS / 2 - 16..=BINS / 2 + 16).contains(&bins), "{bins}");
    }
}
