//! Softmax and cross-entropy over the classes of `[n, classes, hw]`: maps of labels, and with `hw = 1` single ones.
//!
//! As in PyTorch, the target of label smoothing `s` is `1 - s` on the label plus `s / classes` on every class, places with
//! the label to ignore have no loss, and the mean is over the others; with weights of classes it is their weighted mean.
//! Where there are no others the mean is 0 here (PyTorch: NaN), so that a crop without a labelled pixel teaches nothing
//! instead of ending a training. [`Average::AllPlaces`] is MMSegmentation's default instead.
//!
//! What the backward pass needs is the largest logit of a place and the logarithm of its sum of exponentials relative to
//! it. Their sum would be one number less to keep, but logits of ten thousand would leave it three digits behind the point.

use crate::scratch;
use crate::simd::{Kernel, Level, Simd, Tile, fill_pieces, fill_tiles};
use rayon::prelude::*;

/// Logits per task, about.
const TASK: usize = 32 * 1024;
/// Logits per block of a map, about: they stay in the nearest cache.
const BLOCK: usize = 8 * 1024;

/// Shape of the logits `[n, classes, hw]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Samples.
    pub n: usize,
    /// Classes.
    pub classes: usize,
    /// Places of a sample: pixels, or 1.
    pub hw: usize,
}

impl Shape {
    /// Places of all samples.
    pub fn places(&self) -> usize {
        self.n * self.hw
    }

    /// Pixels per block: whole vectors, a good run of memory even for many classes.
    fn block(&self) -> usize {
        (BLOCK / self.classes.max(1) / 64 * 64).clamp(64, 512)
    }
}

/// What the sum of the losses is divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Average {
    /// The number of places that have a loss, or the sum of their classes' weights: PyTorch's mean.
    #[default]
    Counted,
    /// The number of all places, ignored ones included, whatever they weigh: the mean of PyTorch's losses without
    /// reduction.
    AllPlaces,
}

/// What the logits should say.
#[derive(Clone, Copy, Debug)]
pub struct Targets<'a> {
    /// A class for each place, `[n, hw]`.
    pub labels: &'a [i64],
    /// Label smoothing, from 0 to 1.
    pub smoothing: f32,
    /// The label of places that have no loss.
    pub ignore: Option<i64>,
    /// A factor for each class's losses, not below 0. Not together with smoothing.
    pub weights: Option<&'a [f32]>,
    /// Over what losses are averaged.
    pub average: Average,
}

impl<'a> Targets<'a> {
    /// These labels, none of them ignored, all classes alike.
    pub fn new(labels: &'a [i64]) -> Self {
        Self { labels, smoothing: 0.0, ignore: None, weights: None, average: Average::Counted }
    }

    /// The class of a place, or `None` where it has no loss.
    #[inline(always)]
    fn class(&self, place: usize, classes: usize) -> Option<usize> {
        let label = self.labels[place];
        if Some(label) == self.ignore {
            return None;
        }
        assert!((0..classes as i64).contains(&label), "label {label} among {classes} classes");
        Some(label as usize)
    }

    /// Number of places that have a loss.
    pub fn counted(&self) -> usize {
        self.ignore
            .map_or(self.labels.len(), |ignore| self.labels.iter().filter(|label| **label != ignore).count())
    }

    /// What the sum of the losses is divided by; 1 where it would be 0, as nothing is what there is to divide.
    pub fn divisor(&self) -> f64 {
        let divisor = match (self.average, self.weights) {
            (Average::AllPlaces, _) => self.labels.len() as f64,
            (Average::Counted, None) => self.counted() as f64,
            (Average::Counted, Some(weights)) => {
                let counted = (0..self.labels.len()).filter_map(|place| self.class(place, weights.len()));
                counted.map(|class| f64::from(weights[class])).sum()
            }
        };
        if divisor > 0.0 { divisor } else { 1.0 }
    }

    /// The factor of a class's losses.
    #[inline(always)]
    fn weight(&self, class: usize) -> f32 {
        self.weights.map_or(1.0, |weights| weights[class])
    }

    fn check(&self, logits: &[f32], shape: &Shape) {
        assert_eq!(logits.len(), shape.n * shape.classes * shape.hw, "logits do not match the shape");
        assert_eq!(self.labels.len(), shape.places(), "a label for each place");
        assert!((0.0..=1.0).contains(&self.smoothing), "label smoothing is from 0 to 1");
        assert!(shape.classes > 0 || shape.places() == 0, "there are classes");
        if let Some(weights) = self.weights {
            assert_eq!(weights.len(), shape.classes, "a weight for each class");
            assert!(weights.iter().all(|weight| *weight >= 0.0), "weights are not below 0");
            assert!(self.smoothing == 0.0, "weights of classes and label smoothing do not go together");
        }
    }
}

/// What [`forward`] finds, all `[n, hw]`.
#[derive(Clone, Debug)]
pub struct Losses {
    /// Losses, times their classes' weights; 0 where the label is ignored.
    pub losses: Vec<f32>,
    /// Their sum over [`Targets::divisor`].
    pub mean: f32,
    /// Largest logit.
    pub max: Vec<f32>,
    /// Logarithm of the sum of `exp(logit - max)`.
    pub log_sum: Vec<f32>,
}

/// Losses of `logits`.
pub fn forward(logits: &[f32], targets: &Targets, shape: Shape) -> Losses {
    targets.check(logits, &shape);
    let places = shape.places();
    let [mut losses, mut max, mut log_sum] = [0, 1, 2].map(|_| vec![0.0; places]);
    let level = Level::current();
    let task =
        if shape.hw == 1 { (TASK / shape.classes.max(1)).max(1) } else { shape.block() * (TASK / BLOCK) };
    let run = |t: usize, losses: &mut [f32], max: &mut [f32], log_sum: &mut [f32]| {
        level.run(Forward { logits, targets, shape, first: t * task, losses, max, log_sum })
    };
    let sums: Vec<f64> = if places <= task {
        vec![run(0, &mut losses, &mut max, &mut log_sum)]
    } else {
        losses
            .par_chunks_mut(task)
            .zip(max.par_chunks_mut(task))
            .zip(log_sum.par_chunks_mut(task))
            .enumerate()
            .map(|(t, ((losses, max), log_sum))| run(t, losses, max, log_sum))
            .collect()
    };
    let mean = sums.into_iter().sum::<f64>() / targets.divisor();
    Losses { losses, mean: mean as f32, max, log_sum }
}

/// Gradient of the logits, of `scale` times the sum of the losses: `scale` is the mean's gradient divided by
/// [`Targets::divisor`]. `max` and `log_sum` are [`forward`]'s.
pub fn backward(
    logits: &[f32],
    targets: &Targets,
    max: &[f32],
    log_sum: &[f32],
    scale: f32,
    shape: Shape,
) -> Vec<f32> {
    targets.check(logits, &shape);
    let Shape { n, classes, hw } = shape;
    assert!(max.len() == shape.places() && log_sum.len() == max.len(), "statistics do not match the shape");
    let level = Level::current();
    if hw == 1 {
        let group = (TASK / classes.max(1)).max(1);
        let row = |_: &mut (), i: usize, out: &mut [f32]| {
            let class = targets.class(i, classes);
            let logits = &logits[i * classes..][..classes];
            let (smoothing, scale) =
                (targets.smoothing, scale * class.map_or(0.0, |class| targets.weight(class)));
            level.run(BackwardRow { logits, class, smoothing, max: max[i], log_sum: log_sum[i], scale, out });
        };
        return fill_pieces(logits.len(), classes, group, || (), row);
    }
    fill_tiles(
        [n, classes, hw],
        classes,
        shape.block(),
        |_| 0.0,
        |image, _, first, tile| {
            let place = image * hw + first;
            let (max, log_sum) = (&max[place..][..tile.columns()], &log_sum[place..][..tile.columns()]);
            let logits = &logits[image * classes * hw..][..classes * hw];
            level.run(BackwardBlock { logits, first, hw, targets, place, max, log_sum, scale, tile });
        },
    )
}

/// Losses of places `first..`, and their sum.
struct Forward<'a> {
    logits: &'a [f32],
    targets: &'a Targets<'a>,
    shape: Shape,
    first: usize,
    losses: &'a mut [f32],
    max: &'a mut [f32],
    log_sum: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = f64;
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) -> f64 {
        if self.shape.hw == 1 {
            self.rows(s);
        } else {
            let (hw, block) = (self.shape.hw, self.shape.block());
            let mut buffer = scratch::take_aligned(self.shape.classes * block);
            let (mut at, len) = (0, self.losses.len());
            while at < len {
                let pixel = (self.first + at) % hw;
                let width = block.min(hw - pixel).min(len - at);
                self.block(s, at, width, &mut buffer);
                at += width;
            }
        }
        // Sixteen sums, so that one addition need not wait for the one before it.
        let mut sums = [0.0f64; 16];
        let (whole, rest) = self.losses.as_chunks::<16>();
        for losses in whole {
            for (sum, loss) in sums.iter_mut().zip(losses) {
                *sum += f64::from(*loss);
            }
        }
        sums.iter().sum::<f64>() + rest.iter().map(|loss| f64::from(*loss)).sum::<f64>()
    }
}

impl Forward<'_> {
    /// Single labels: the classes lie side by side.
    #[inline(always)]
    fn rows<S: Simd>(&mut self, s: S) {
        let classes = self.shape.classes;
        let padded = classes.next_multiple_of(S::LANES);
        let mut row = scratch::take_aligned(padded);
        // Behind the classes are some that cannot be.
        row[classes..].fill(f32::NEG_INFINITY);
        for i in 0..self.losses.len() {
            let logits = &self.logits[(self.first + i) * classes..][..classes];
            row[..classes].copy_from_slice(logits);
            let mut largest = s.load(&row, 0);
            for at in (S::LANES..padded).step_by(S::LANES) {
                largest = s.max(largest, s.load(&row, at));
            }
            let mut lanes = [f32::NEG_INFINITY; 16];
            s.store(largest, &mut lanes, 0);
            let max = lanes.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
            let splat = s.splat(max);
            let mut sum = s.zero();
            for at in (0..padded).step_by(S::LANES) {
                sum = s.add(sum, s.exp_of_negative(s.sub(s.load(&row, at), splat)));
            }
            let log_sum = s.sum(sum).ln();
            (self.max[i], self.log_sum[i]) = (max, log_sum);
            self.losses[i] = self.targets.class(self.first + i, classes).map_or(0.0, |class| {
                let smoothing = self.targets.smoothing;
                let loss = log_sum + (1.0 - smoothing) * (max - logits[class]);
                if smoothing == 0.0 {
                    return weighted(self.targets.weight(class), loss);
                }
                let whole = classes / S::LANES * S::LANES;
                let mut total = s.zero();
                for at in (0..whole).step_by(S::LANES) {
                    total = s.add(total, s.sub(splat, s.load(logits, at)));
                }
                let rest: f32 = logits[whole..].iter().map(|logit| max - logit).sum();
                loss + smoothing / classes as f32 * (s.sum(total) + rest)
            });
        }
    }

    /// Pixels of one image, side by side: `width` from the `at`th on.
    #[inline(always)]
    fn block<S: Simd>(&mut self, s: S, at: usize, width: usize, buffer: &mut [f32]) {
        let Shape { classes, hw, .. } = self.shape;
        let block = buffer.len() / classes;
        let place = self.first + at;
        let image = &self.logits[place / hw * classes * hw..][..classes * hw];
        let smoothing = self.targets.smoothing;
        let max = &mut self.max[at..][..width];
        let log_sum = &mut self.log_sum[at..][..width];
        let losses = &mut self.losses[at..][..width];
        // Rows of a large map are often a power of two apart, which is where a cache has few places: they are copied.
        for c in 0..classes {
            let row = &image[c * hw + place % hw..][..width];
            let copy = &mut buffer[c * block..][..block];
            for v in (0..width).step_by(S::LANES) {
                let logits = s.load_part(row, v, width - v);
                s.store(logits, copy, v);
                let largest = if c == 0 { logits } else { s.max(s.load_part(max, v, width - v), logits) };
                s.store_part(largest, max, v, width - v);
            }
        }
        let share = s.splat(smoothing / classes as f32);
        for v in (0..width).step_by(S::LANES) {
            let largest = s.load_part(max, v, width - v);
            let (mut sum, mut total) = (s.zero(), s.zero());
            for c in 0..classes {
                let below = s.sub(s.load(buffer, c * block + v), largest);
                sum = s.add(sum, s.exp_of_negative(below));
                total = s.sub(total, below);
            }
            let log = s.ln(sum);
            s.store_part(log, log_sum, v, width - v);
            // No smoothing of an infinite logit is nothing, not NaN.
            let loss = if smoothing == 0.0 { log } else { s.fma(share, total, log) };
            s.store_part(loss, losses, v, width - v);
        }
        for (i, loss) in losses.iter_mut().enumerate() {
            *loss = self.targets.class(place + i, classes).map_or(0.0, |class| {
                let own = *loss + (1.0 - smoothing) * (max[i] - buffer[class * block + i]);
                weighted(self.targets.weight(class), own)
            });
        }
    }
}

/// A class without weight has no loss, not even an infinite one.
#[inline(always)]
fn weighted(weight: f32, loss: f32) -> f32 {
    if weight == 0.0 { 0.0 } else { weight * loss }
}

/// Gradient of a single label's logits.
struct BackwardRow<'a> {
    logits: &'a [f32],
    class: Option<usize>,
    smoothing: f32,
    max: f32,
    log_sum: f32,
    scale: f32,
    /// Zeros.
    out: &'a mut [f32],
}

impl Kernel for BackwardRow<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Some(class) = self.class.filter(|_| self.scale != 0.0) else { return };
        let len = self.out.len();
        let (max, log_sum, scale) = (s.splat(self.max), s.splat(self.log_sum), s.splat(self.scale));
        let share = s.splat(self.smoothing / len as f32);
        for at in (0..len).step_by(S::LANES) {
            let logits = s.load_part(self.logits, at, len - at);
            let p = s.exp_of_negative(s.sub(s.sub(logits, max), log_sum));
            s.store_part(s.mul(s.sub(p, share), scale), self.out, at, len - at);
        }
        self.out[class] -= self.scale * (1.0 - self.smoothing);
    }
}

/// Gradient of the logits of some pixels of an image.
struct BackwardBlock<'a, 'b> {
    /// The image's.
    logits: &'a [f32],
    /// The first pixel.
    first: usize,
    hw: usize,
    targets: &'a Targets<'a>,
    /// The first pixel among those of all images.
    place: usize,
    max: &'a [f32],
    log_sum: &'a [f32],
    scale: f32,
    tile: &'a mut Tile<'b>,
}

impl Kernel for BackwardBlock<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (classes, width) = (self.tile.rows(), self.tile.columns());
        // Classes counted from 1 as numbers, 0 where the label is ignored: the label's share is taken off in vectors, as
        // the rows of a large map are often a power of two apart, which is where a cache has few places.
        let [mut numbers, mut scales] = [(), ()].map(|()| scratch::take_aligned(width));
        for (i, (number, scale)) in numbers.iter_mut().zip(scales.iter_mut()).enumerate() {
            let class = self.targets.class(self.place + i, classes);
            let weight = class.map_or(0.0, |class| self.targets.weight(class));
            *scale = self.scale * weight;
            // Without weight it is as good as ignored.
            *number = class.filter(|_| weight > 0.0).map_or(0.0, |class| (class + 1) as f32);
        }
        let share = s.splat(self.targets.smoothing / classes as f32);
        let (own, half) = (s.splat(1.0 - self.targets.smoothing), s.splat(0.5));
        for c in 0..classes {
            let logits = &self.logits[c * self.hw + self.first..][..width];
            let out = self.tile.row(c);
            let this = s.splat((c + 1) as f32);
            for v in (0..width).step_by(S::LANES) {
                let left = width - v;
                let below = s.sub(s.load_part(logits, v, left), s.load_part(self.max, v, left));
                let p = s.exp_of_negative(s.sub(below, s.load_part(self.log_sum, v, left)));
                let number = s.load_part(&numbers, v, left);
                // Positive for the label only.
                let same = s.sub(half, s.mul(s.sub(number, this), s.sub(number, this)));
                let target = s.add(share, s.relu_mask(same, own));
                // 0 where the label is ignored, whatever the logits are.
                let g = s.relu_mask(number, s.mul(s.sub(p, target), s.load_part(&scales, v, left)));
                s.store_part(g, out, v, left);
            }
        }
    }
}
