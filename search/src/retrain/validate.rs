//! How a network in training does on images that it is not trained on, through burn.

use crate::error::SearchError;
use crate::validation::Validation;
use genas_data::{Batch, DataError};
use genas_net::{Devices, EvalNet, Feature, Mode, Tensors, Weights, cross_entropy_per_sample};

/// Loss (without label smoothing), top-1 and top-5 of `weights` on `batches` of images of height and width `size`.
pub(super) fn validate(
    net: &EvalNet,
    weights: &Weights,
    devices: &Devices,
    size: [usize; 2],
    batches: impl Iterator<Item = Result<Batch, DataError>>,
) -> Result<Validation, SearchError> {
    let mut i = Tensors::new(weights, devices.plain(), Mode::Inference);
    let (mut loss, mut hits, mut n) = (0.0, [0usize; 2], 0);
    for batch in batches {
        let batch = batch?;
        let x = Feature::from_values(batch.images, [batch.n, 3, size[0], size[1]], i.device());
        let logits = net.forward(&mut i, &x).tensor().into_data().try_to_vec::<f32>().unwrap_or_default();
        loss += cross_entropy_per_sample(&logits, net.classes, &batch.labels).iter().sum::<f64>();
        for (row, &label) in logits.chunks_exact(net.classes).zip(&batch.labels) {
            let rank = rank(row, label as usize);
            hits[0] += usize::from(rank < 1);
            hits[1] += usize::from(rank < 5);
        }
        n += batch.n;
    }
    let part = |count: usize| count as f64 / n.max(1) as f64;
    Ok(Validation { loss: loss / n.max(1) as f64, top1: part(hits[0]), top5: part(hits[1]) })
}

/// How many classes come before `label`: those with a larger logit, and earlier ones with the same. A label whose
/// logit is no number comes last.
fn rank(logits: &[f32], label: usize) -> usize {
    let own = logits[label];
    if own.is_nan() {
        return logits.len();
    }
    logits.iter().enumerate().filter(|&(n, &v)| v > own || (v == own && n < label)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_logits_wins() {
        assert_eq!(rank(&[1.0, 3.0, 3.0], 1), 0);
        assert_eq!(rank(&[1.0, 3.0, 3.0], 2), 1);
        assert_eq!(rank(&[1.0, 3.0, 3.0], 0), 2);
        assert_eq!(rank(&[f32::NAN, 3.0], 0), 2);
    }
}
