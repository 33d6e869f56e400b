//! Losses: cross-entropy, for training (burn) and for scores (host), of single labels and of maps; a detector's focal and
//! box losses.

use crate::extension::{self, FocalTargets, MapTargets};
use burn::tensor::activation::{self, log_softmax};
use burn::tensor::{DType, FloatDType, Int, Tensor, TensorData};
use genas_kernels::cross_entropy::{Average, Targets};
use std::sync::Arc;

/// Mean cross-entropy of logits `[n, classes, 1, 1]`, with label smoothing `s`: the target is
/// `1 - s` on the label plus `s / classes` on every class (spec 04-1).
pub fn cross_entropy(logits: Tensor<4>, labels: &[i64], smoothing: f32) -> Tensor<1> {
    let [n, classes, _, _] = logits.dims();
    if extension::supported(&logits.device()) {
        let (ignore, weights, average) = (None, None, Average::Counted);
        let targets = MapTargets { labels: labels.into(), smoothing, ignore, weights, average };
        return extension::cross_entropy(logits, targets);
    }
    let mut targets = vec![smoothing / classes as f32; n * classes];
    for (row, &label) in labels.iter().enumerate() {
        targets[row * classes + label as usize] += 1.0 - smoothing;
    }
    let targets = Tensor::<2>::from_data(TensorData::new(targets, [n, classes]), &logits.device());
    let log_p = log_softmax(logits.reshape([n, classes]), 1);
    (log_p * targets).sum().div_scalar(-(n as f32))
}

/// What a segmenter's pixels are, for [`cross_entropy_map`].
#[derive(Clone, Debug)]
pub struct PixelLabels {
    /// A class for each pixel `[n, h, w]`, or [`ignore`](Self::ignore). Others panic: whoever reads masks checks them.
    pub labels: Arc<[i64]>,
    /// The label of pixels that have no loss.
    pub ignore: Option<i64>,
    /// A factor for each class's losses, not below 0.
    pub weights: Option<Arc<[f32]>>,
    /// Over which pixels the mean is. MMSegmentation's default is all of them, PyTorch's those that are not ignored.
    pub average: Average,
}

impl PixelLabels {
    /// What the sum of the losses is divided by; 1 where it would be 0.
    pub fn divisor(&self) -> f64 {
        let (ignore, weights, average) = (self.ignore, self.weights.as_deref(), self.average);
        Targets { ignore, weights, average, ..Targets::new(&self.labels) }.divisor()
    }
}

/// Mean cross-entropy of logits `[n, classes, h, w]`, PyTorch's `cross_entropy` with `weight` and `ignore_index`, except
/// that without any labelled pixel it is 0.
pub fn cross_entropy_map(logits: Tensor<4>, pixels: &PixelLabels) -> Tensor<1> {
    if extension::supported(&logits.device()) {
        let PixelLabels { labels, ignore, weights, average } = pixels.clone();
        return extension::cross_entropy(
            logits,
            MapTargets { labels, smoothing: 0.0, ignore, weights, average },
        );
    }
    cross_entropy_map_by_burn(logits, pixels)
}

/// [`cross_entropy_map`] in burn's own operations.
fn cross_entropy_map_by_burn(logits: Tensor<4>, pixels: &PixelLabels) -> Tensor<1> {
    let ([n, _, h, w], device) = (logits.dims(), logits.device());
    let (ignore, weights, divisor) = (pixels.ignore, pixels.weights.as_deref(), pixels.divisor());
    let ignored = |label: &i64| Some(*label) == ignore;
    // An ignored pixel is one of class 0 whose loss counts nothing.
    let classes: Vec<i64> =
        pixels.labels.iter().map(|label| if ignored(label) { 0 } else { *label }).collect();
    let share = |label: &i64| {
        let weight =
            weights.map_or(1.0, |weights| if ignored(label) { 0.0 } else { weights[*label as usize] });
        if ignored(label) { 0.0 } else { (f64::from(weight) / divisor) as f32 }
    };
    let shares: Vec<f32> = pixels.labels.iter().map(share).collect();
    let shape = [n, 1, h, w];
    let classes = Tensor::<4, Int>::from_data(TensorData::new(classes, shape), &device);
    let shares = Tensor::<4>::from_data(TensorData::new(shares, shape), &device);
    (log_softmax(logits, 1).gather(1, classes) * shares).sum().neg()
}

/// What a detector's anchors are, for [`sigmoid_focal_loss`].
#[derive(Clone, Debug)]
pub struct AnchorLabels {
    /// For each anchor, `[n, anchors, h, w]`, its class, [`BACKGROUND`](Self::BACKGROUND) or [`IGNORED`](Self::IGNORED).
    pub labels: Arc<[i32]>,
    /// Number of classes.
    pub classes: usize,
}

impl AnchorLabels {
    /// No object.
    pub const BACKGROUND: i32 = genas_kernels::focal::BACKGROUND;
    /// Not trained.
    pub const IGNORED: i32 = genas_kernels::focal::IGNORED;
}

/// Sum of the focal losses (Lin et al. 2017, equation 5) of logits `[n, anchors * classes, h, w]`, the classes of an anchor
/// side by side, over all anchors that are not ignored.
pub fn sigmoid_focal_loss(logits: Tensor<4>, labels: &AnchorLabels, alpha: f64, gamma: f64) -> Tensor<1> {
    let logits = single(logits);
    if extension::supported(&logits.device()) {
        let (classes, labels) = (labels.classes, labels.labels.clone());
        let targets = FocalTargets { labels, classes, alpha: alpha as f32, gamma: gamma as f32 };
        return extension::focal(logits, targets);
    }
    focal_by_burn(logits, labels, alpha, gamma)
}

/// In single precision: sums over all anchors need more than bfloat16's three digits.
fn single(map: Tensor<4>) -> Tensor<4> {
    if map.dtype() == DType::BF16 { map.cast(FloatDType::F32) } else { map }
}

/// [`sigmoid_focal_loss`] in burn's own operations.
fn focal_by_burn(logits: Tensor<4>, labels: &AnchorLabels, alpha: f64, gamma: f64) -> Tensor<1> {
    let [n, channels, h, w] = logits.dims();
    let (classes, anchors) = (labels.classes, channels / labels.classes);
    let device = logits.device();
    let shape = [n, anchors, 1, h, w];
    let own = Tensor::<5, Int>::from_data(TensorData::new(labels.labels.to_vec(), shape), &device);
    let counted = own.clone().not_equal_elem(AnchorLabels::IGNORED).float();
    let numbers = Tensor::<1, Int>::arange(0..classes as i64, &device).reshape([1, 1, classes, 1, 1]);
    let full = [n, anchors, classes, h, w];
    let object = own.expand(full).equal(numbers.expand(full)).float();
    let x = logits.reshape(full);
    // Background is an object of the opposite logit.
    let x = x * (object.clone().mul_scalar(2.0) - 1.0);
    let weight = object.mul_scalar(2.0 * alpha - 1.0) + (1.0 - alpha);
    // -ln of the probability of what is true, and of what is not.
    let cost = activation::log_sigmoid(x.clone()).neg();
    let counter = activation::log_sigmoid(x.neg()).neg();
    let damp = counter.mul_scalar(-gamma).exp();
    (weight * counted.expand(full) * damp * cost).sum()
}

/// Sum of the smooth L1 losses of chosen numbers of a map: half the square up to `beta`, straight from there on; with
/// `beta` 0 plain L1. `places` are positions in the map's values, row-major.
pub fn smooth_l1_at(map: Tensor<4>, places: &[i64], targets: &[f32], beta: f64) -> Tensor<1> {
    assert_eq!(places.len(), targets.len(), "a target for each place");
    let map = single(map);
    let (n, device) = (map.shape().num_elements(), map.device());
    // A map without objects still takes part, with a place that costs nothing: its gradient is zeros, not missing.
    let (places, targets, weight) =
        if places.is_empty() { (&[0][..], &[0.0][..], 0.0) } else { (places, targets, 1.0) };
    let at = Tensor::<1, Int>::from_data(TensorData::new(places.to_vec(), [places.len()]), &device);
    let targets = Tensor::<1>::from_data(TensorData::new(targets.to_vec(), [targets.len()]), &device);
    let size = (map.reshape([n]).select(0, at) - targets).abs();
    let loss = if beta > 0.0 {
        let near = size.clone().clamp_max(beta);
        near.clone().powi_scalar(2).mul_scalar(0.5 / beta) + (size - near)
    } else {
        size
    };
    loss.sum().mul_scalar(weight)
}

/// Cross-entropy of each row of `logits` (`[n, classes]`, row-major), in f64.
pub fn cross_entropy_per_sample(logits: &[f32], classes: usize, labels: &[i64]) -> Vec<f64> {
    let one = |(row, &label): (&[f32], &i64)| {
        let max = row.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
        let sum: f64 = row.iter().map(|&v| f64::from(v - max).exp()).sum();
        // A NaN logit must give a NaN loss; `max` alone would skip it.
        sum.ln() - f64::from(row[label as usize] - max)
    };
    logits.chunks_exact(classes).zip(labels).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn gradients_are_probabilities_less_targets() {
        let logits = TensorData::new(vec![0.3f32, -1.0, 2.0, 0.0, 0.0, 0.5], [2, 3, 1, 1]);
        let logits = Tensor::<4>::from_data(logits, &Device::flex().autodiff()).require_grad();
        // A factor behind the loss reaches the logits.
        let loss = cross_entropy(logits.clone(), &[2, 1], 0.1).mul_scalar(0.4f32);
        let gradient = logits.grad(&loss.backward()).expect("logits have a gradient");
        let p = activation::softmax(logits.inner(), 1);
        let target = vec![0.1f32 / 3.0, 0.1 / 3.0, 0.9 + 0.1 / 3.0, 0.1 / 3.0, 0.9 + 0.1 / 3.0, 0.1 / 3.0];
        let target = Tensor::from_data(TensorData::new(target, [2, 3, 1, 1]), &Device::flex());
        let difference: f32 = (gradient - (p - target).mul_scalar(0.2f32)).abs().max().into_scalar();
        assert!(difference < 1e-7, "{difference}");
    }

    fn map(values: Vec<f32>, shape: [usize; 4]) -> Tensor<4> {
        Tensor::from_data(TensorData::new(values, shape), &Device::flex().autodiff()).require_grad()
    }

    /// A loss, and the gradient of 0.3 of it.
    fn loss_and_gradient(x: &Tensor<4>, loss: Tensor<1>) -> (f32, Vec<f32>) {
        let gradient = x.grad(&loss.clone().mul_scalar(0.3).backward()).expect("it depends on the map");
        (loss.into_scalar(), gradient.into_data().try_to_vec().expect("f32"))
    }

    #[test]
    fn focal_loss_is_the_same_everywhere() {
        let (shape, classes) = ([2, 6, 3, 5], 3);
        let values: Vec<f32> = (0..180).map(|i| ((i * 37 % 101) as f32 - 60.0) / 12.0).collect();
        let labels: Vec<i32> = (0..60).map(|i| i * i % 5 - 2).collect();
        let labels = AnchorLabels { labels: labels.into(), classes };
        for gamma in [0.0, 2.0] {
            let one = map(values.clone(), shape);
            let (kernel, kernel_gradient) =
                loss_and_gradient(&one, sigmoid_focal_loss(one.clone(), &labels, 0.25, gamma));
            let two = map(values.clone(), shape);
            let (burn, gradient) = loss_and_gradient(&two, focal_by_burn(two.clone(), &labels, 0.25, gamma));
            assert!((kernel - burn).abs() < 1e-5 * burn, "{kernel} {burn}");
            for (a, b) in kernel_gradient.iter().zip(&gradient) {
                assert!((a - b).abs() < 1e-5, "{a} {b}");
            }
        }
    }

    #[test]
    fn losses_of_maps_are_the_same_everywhere() {
        let (shape, classes) = ([2, 4, 3, 5], 4);
        let values: Vec<f32> = (0..120).map(|i| ((i * 37 % 101) as f32 - 50.0) / 12.0).collect();
        let labels: Arc<[i64]> = (0..30).map(|i| [255, i * i % classes][usize::from(i % 4 > 0)]).collect();
        let some: Arc<[f32]> = [0.5, 2.0, 0.0, 1.25].into();
        for average in [Average::Counted, Average::AllPlaces] {
            for weights in [None, Some(some.clone())] {
                let pixels = PixelLabels { labels: labels.clone(), ignore: Some(255), weights, average };
                let one = map(values.clone(), shape);
                let (kernel, kernel_gradient) =
                    loss_and_gradient(&one, cross_entropy_map(one.clone(), &pixels));
                let two = map(values.clone(), shape);
                let (burn, gradient) =
                    loss_and_gradient(&two, cross_entropy_map_by_burn(two.clone(), &pixels));
                assert!((kernel - burn).abs() < 1e-5 * burn, "{kernel} {burn}");
                for (a, b) in kernel_gradient.iter().zip(&gradient) {
                    assert!((a - b).abs() < 1e-6, "{a} {b}");
                }
            }
        }
    }

    #[test]
    fn box_loss_is_smooth_l1_of_the_chosen_places() {
        let values = vec![1.0f32, -2.0, 0.5, 3.0];
        // beta, loss of 3.0 against 1.0, of -2.0 against -1.9, and their slopes
        for (beta, want, slopes) in
            [(0.0, 2.0 + 0.1, [-1.0, 1.0]), (0.5, 1.75 + 0.5 * 0.01 / 0.5, [-0.2, 1.0])]
        {
            let x = map(values.clone(), [1, 1, 2, 2]);
            let loss = smooth_l1_at(x.clone(), &[3, 1], &[1.0, -1.9], beta);
            let (loss, gradient) = loss_and_gradient(&x, loss);
            assert!((loss - want as f32).abs() < 1e-6, "{loss}, not {want}");
            let want = [0.0, 0.3 * slopes[0], 0.0, 0.3 * slopes[1]];
            assert!(gradient.iter().zip(want).all(|(a, b)| (a - b as f32).abs() < 1e-6), "{gradient:?}");
        }
        let x = map(values, [1, 1, 2, 2]);
        let nothing = smooth_l1_at(x.clone(), &[], &[], 0.0);
        assert_eq!(loss_and_gradient(&x, nothing), (0.0, vec![0.0; 4]));
    }

    #[test]
    fn both_agree_and_smoothing_is_the_published_one() {
        let logits = [0.3f32, -1.0, 2.0, 0.0, 0.0, 0.5];
        let labels = [2, 1];
        let host = cross_entropy_per_sample(&logits, 3, &labels);
        let tensor = Tensor::<4>::from_data(TensorData::new(logits.to_vec(), [2, 3, 1, 1]), &Device::flex());
        let plain: f32 = cross_entropy(tensor.clone(), &labels, 0.0).into_scalar();
        assert!((f64::from(plain) - (host[0] + host[1]) / 2.0).abs() < 1e-6);
        // target = 0.9 * one-hot + 0.1 / 3: a mixture of the losses against every class.
        let mean_over_classes: f64 = (0..3)
            .map(|c| cross_entropy_per_sample(&logits, 3, &[c, c]).iter().sum::<f64>() / 2.0 / 3.0)
            .sum();
        let smooth: f32 = cross_entropy(tensor, &labels, 0.1).into_scalar();
        assert!((f64::from(smooth) - (0.9 * f64::from(plain) + 0.1 * mean_over_classes)).abs() < 1e-6);
        assert!(cross_entropy_per_sample(&[f32::NAN, 0.0], 2, &[1])[0].is_nan());
    }
}
