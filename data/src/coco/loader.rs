//! [`CocoLoader`]: the batches of a training that counts steps, prepared ahead.

use std::sync::Arc;

use super::train::{CocoTrainSet, DetectionBatch};
use crate::prefetch::{Last, Prefetch, Workers};
use crate::{DataError, coco::BatchOrder};

/// The endless order of batches, cut into periods of equal numbers of steps.
///
/// What a step trains on is a function of (seed, step) alone, wherever a period begins.
#[derive(Clone, Debug)]
pub struct CocoLoader {
    set: Arc<CocoTrainSet>,
    batch_size: usize,
    steps: usize,
    workers: Workers,
}

impl CocoLoader {
    /// Periods of `steps` batches of `batch_size` images.
    pub fn new(set: CocoTrainSet, batch_size: usize, steps: usize) -> Self {
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
    ) -> impl Iterator<Item = Result<DetectionBatch, DataError>> + use<> {
        let first = period as usize * self.steps;
        let mut order: BatchOrder = self.set.order(self.batch_size).starting_at(first + skip);
        let (set, workers) = (self.set.clone(), self.workers.clone());
        Prefetch::new(first + skip..first + self.steps, move |step| {
            let images = order.batch();
            let batch = workers.run(|| set.batch(step, &images));
            let last = if batch.is_err() { Last::Yes } else { Last::No };
            (batch, last)
        })
    }
}
