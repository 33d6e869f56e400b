//! Cross-entropy, for training (burn) and for scores (host).

use crate::extension::{self, MapTargets};
use burn::tensor::{Tensor, TensorData, activation::log_softmax};

/// Mean cross-entropy of logits `[n, classes, 1, 1]`, with label smoothing `s`: the target is
/// `1 - s` on the label plus `s / classes` on every class (spec 04-1).
pub fn cross_entropy(logits: Tensor<4>, labels: &[i64], smoothing: f32) -> Tensor<1> {
    let [n, classes, _, _] = logits.dims();
    if extension::supported(&logits.device()) {
        return extension::cross_entropy(
            logits,
            MapTargets { labels: labels.into(), smoothing, ignore: None },
        );
    }
    let mut targets = vec![smoothing / classes as f32; n * classes];
    for (row, &label) in labels.iter().enumerate() {
        targets[row * classes + label as usize] += 1.0 - smoothing;
    }
    let targets = Tensor::<2>::from_data(TensorData::new(targets, [n, classes]), &logits.device());
    let log_p = log_softmax(logits.reshape([n, classes]), 1);
    (log_p * targets).sum().div_scalar(-(n as f32))
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
        let p = burn::tensor::activation::softmax(logits.inner(), 1);
        let target = vec![0.1f32 / 3.0, 0.1 / 3.0, 0.9 + 0.1 / 3.0, 0.1 / 3.0, 0.9 + 0.1 / 3.0, 0.1 / 3.0];
        let target = Tensor::from_data(TensorData::new(target, [2, 3, 1, 1]), &Device::flex());
        let difference: f32 = (gradient - (p - target).mul_scalar(0.2f32)).abs().max().into_scalar();
        assert!(difference < 1e-7, "{difference}");
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
