//! BatchNorm over the parts of a batch that several replicas hold.

use crate::error::NetError;
use crate::replicas::AllReduce;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The replicas of one micro-batch's pass, and whether they still agree.
#[derive(Debug)]
pub(crate) struct Synchroniser {
    replicas: Arc<dyn AllReduce>,
    /// The first failure. An operation inside burn cannot return it: it goes on with NaN, and the trainer asks afterwards.
    failed: Mutex<Option<NetError>>,
}

impl Synchroniser {
    pub(crate) fn new(replicas: Arc<dyn AllReduce>) -> Self {
        Self { replicas, failed: Mutex::new(None) }
    }

    /// What went wrong, if something did.
    pub(crate) fn take_failure(&self) -> Option<NetError> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Sums over the replicas for the `layer`-th BatchNorm; NaN after a failure.
    fn sum(&self, layer: usize, values: &mut Vec<f64>) {
        // All replicas must be at the same layer: burn promises no order of the backward pass, and layers may be alike.
        // All the numbers are equal if their mean's square is the mean of their squares.
        let (layer, world) = (layer as f64, self.replicas.world() as f64);
        values.extend([layer, layer * layer]);
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_none() {
            *failed = self.replicas.sum_f64(values).err();
            let (sum, squares) = (values[values.len() - 2], values[values.len() - 1]);
            if failed.is_none() && sum * sum != squares * world {
                *failed =
                    Some(NetError::Replica("the replicas are at different layers of the network".into()));
            }
        }
        values.truncate(values.len() - 2);
        if failed.is_some() {
            values.fill(f64::NAN);
        }
    }
}

/// One BatchNorm of a pass.
#[derive(Debug)]
pub(crate) struct SharedBatch {
    synchroniser: Arc<Synchroniser>,
    layer: usize,
    /// Values per channel of the whole batch, known after the forward.
    count: OnceLock<f64>,
}

impl SharedBatch {
    pub(crate) fn new(synchroniser: Arc<Synchroniser>, layer: usize) -> Self {
        Self { synchroniser, layer, count: OnceLock::new() }
    }

    /// Values per channel of the whole batch.
    pub(crate) fn count(&self) -> f64 {
        self.count.get().copied().unwrap_or(f64::NAN)
    }

    /// Means and biased variances of the whole batch from those of this part of `count` values.
    pub(crate) fn statistics(&self, moments: &[(f64, f64)], count: f64) -> (Vec<f32>, Vec<f32>) {
        let mut sums = vec![count];
        sums.extend(moments.iter().flat_map(|(mean, var)| [count * mean, count * (var + mean * mean)]));
        self.synchroniser.sum(self.layer, &mut sums);
        let total = *self.count.get_or_init(|| sums[0]);
        let whole = |pair: &[f64]| {
            let (mean, square) = (pair[0] / total, pair[1] / total);
            let var = square - mean * mean;
            (mean as f32, if var < 0.0 { 0.0 } else { var as f32 })
        };
        sums[1..].chunks_exact(2).map(whole).unzip()
    }

    /// Makes the backward pass's sums those of the whole batch, and returns its number of values per channel.
    pub(crate) fn gradients(&self, sums: &mut [(f64, f64)]) -> f64 {
        let mut values: Vec<f64> = sums.iter().flat_map(|&(sum, dot)| [sum, dot]).collect();
        self.synchroniser.sum(self.layer, &mut values);
        for (sum, whole) in sums.iter_mut().zip(values.chunks_exact(2)) {
            *sum = (whole[0], whole[1]);
        }
        self.count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replicas::InProcess;
    use crate::tensors::{Mode, Tensors};
    use crate::weights::Weights;

    /// Each replica's numbers for one layer, together.
    fn sums(layers: [usize; 2]) -> Vec<(Vec<f64>, Option<String>)> {
        let group = InProcess::group(2);
        std::thread::scope(|scope| {
            let one = |rank: usize| {
                let place = group[rank].clone();
                scope.spawn(move || {
                    let synchroniser = Synchroniser::new(Arc::new(place));
                    let mut values = vec![1.0 + rank as f64];
                    synchroniser.sum(layers[rank], &mut values);
                    (values, synchroniser.take_failure().map(|e| e.to_string()))
                })
            };
            [one(0), one(1)].into_iter().filter_map(|thread| thread.join().ok()).collect()
        })
    }

    #[test]
    fn replicas_at_different_layers_are_told() {
        assert_eq!(sums([7, 7]), vec![(vec![3.0], None); 2]);
        for (values, failure) in sums([7, 8]) {
            assert!(values[0].is_nan() && failure.is_some_and(|f| f.contains("different layers")));
        }
    }

    #[test]
    fn other_devices_refuse_it() {
        let weights = Weights::neutral(Arc::default());
        let place: Arc<dyn AllReduce> = Arc::new(InProcess::group(1).remove(0));
        let tensors = || Tensors::new(&weights, burn::tensor::Device::flex(), Mode::BatchStatistics);
        assert!(tensors().synchronised(Arc::new(Synchroniser::new(place.clone()))).is_ok());
        // As where the CPU kernels do not run.
        let refused = tensors().with_burn_operations().synchronised(Arc::new(Synchroniser::new(place)));
        assert!(refused.is_err_and(|e| e.to_string().contains("BatchNorm per replica")));
    }
}
