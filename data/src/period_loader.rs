//! [`PeriodLoader`]: the batches of a training that counts steps, prepared ahead.

use std::sync::Arc;

use crate::DataError;
use crate::coco::BatchOrder;
use crate::prefetch::{Last, Prefetch, Workers};

/// Training images that are asked for in batches, each a function of its step alone.
pub trait StepSet: Send + Sync + 'static {
    /// What a step gets.
    type Batch: Send + 'static;

    /// The endless order of batches.
    fn order(&self, batch_size: usize) -> BatchOrder;

    /// The batch of a step, counted from 0, of these images.
    ///
    /// # Errors
    ///
    /// If an image or what is known of it cannot be read.
    fn batch(&self, step: usize, images: &[usize]) -> Result<Self::Batch, DataError>;
}

/// The endless order of batches, cut into periods of equal numbers of steps.
///
/// What a step trains on is a function of (seed, step) alone, wherever a period begins.
#[derive(Debug)]
pub struct PeriodLoader<S> {
    set: Arc<S>,
    batch_size: usize,
    steps: usize,
    workers: Workers,
}

impl<S: StepSet> PeriodLoader<S> {
    /// Periods of `steps` batches of `batch_size` images.
    pub fn new(set: S, batch_size: usize, steps: usize) -> Self {
        Self { set: Arc::new(set), batch_size, steps, workers: Workers::shared() }
    }

    /// Batches in a period.
    pub fn n_batches(&self) -> usize {
        self.steps
    }

    /// Images in a period.
    pub fn n_images(&self) -> usize {
        self.steps * self.batch_size
    }

    /// The batches of a period, counted from 0, without the first `skip`. An error ends them.
    pub fn period(
        &self,
        period: u64,
        skip: usize,
    ) -> impl Iterator<Item = Result<S::Batch, DataError>> + use<S> {
        let first = period as usize * self.steps;
        let mut order = self.set.order(self.batch_size).starting_at(first + skip);
        let (set, workers) = (self.set.clone(), self.workers.clone());
        Prefetch::new(first + skip..first + self.steps, move |step| {
            let images = order.batch();
            let batch = workers.run(|| set.batch(step, &images));
            let last = if batch.is_err() { Last::Yes } else { Last::No };
            (batch, last)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segmentation::SegmentationBatch;
    use crate::segmentation::train::tests::{set, write};

    #[test]
    fn periods_continue_each_other_and_can_be_resumed() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "train", 3);
        let loader = |steps| PeriodLoader::new(set(dir.path()).unwrap(), 2, steps);
        let batches = |steps, period, skip| -> Vec<SegmentationBatch> {
            loader(steps).period(period, skip).map(Result::unwrap).collect()
        };
        let all = batches(6, 0, 0);
        assert_eq!((all.len(), loader(6).n_batches(), loader(6).n_images()), (6, 6, 12));
        assert_eq!(batches(2, 1, 0), all[2..4]);
        assert_eq!(batches(3, 1, 2), all[5..]);
        // A file that cannot be read ends them.
        std::fs::write(dir.path().join("train/1.png"), "text").unwrap();
        let broken: Vec<bool> = loader(6).period(0, 0).map(|batch| batch.is_ok()).collect();
        assert_eq!(broken.iter().filter(|ok| !**ok).count(), 1);
        assert_eq!(broken.last(), Some(&false));
    }
}
