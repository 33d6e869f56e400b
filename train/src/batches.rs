//! Where a training's batches come from.

use genas_data::coco::DetectionBatch;
use genas_data::segmentation::SegmentationBatch;
use genas_data::{Batch, DataError, PeriodLoader, PhotoLoader, StepSet, TrainLoader};

/// The images of a step, with whatever is to be learned of them.
pub trait Images {
    /// How many.
    fn n(&self) -> usize;
}

impl Images for Batch {
    fn n(&self) -> usize {
        self.n
    }
}

impl Images for DetectionBatch {
    fn n(&self) -> usize {
        self.n
    }
}

impl Images for SegmentationBatch {
    fn n(&self) -> usize {
        self.n
    }
}

/// Training batches, wherever they come from. What an epoch holds depends on the epoch's number alone, so that a
/// resumed training asks for the batch that it stopped at.
pub trait Batches {
    /// What a step gets.
    type Batch: Images;

    /// Batches in an epoch, which is what happens between two validations.
    fn n_batches(&self) -> usize;

    /// Images in an epoch.
    fn n_images(&self) -> usize;

    /// The batches of an epoch, without the first `skip`. An error ends them.
    fn epoch(&self, epoch: u64, skip: usize)
    -> Box<dyn Iterator<Item = Result<Self::Batch, DataError>> + '_>;

    /// Images that could not be read so far and were left out, by choice.
    fn skipped(&self) -> usize {
        0
    }
}

impl Batches for TrainLoader {
    type Batch = Batch;

    fn n_batches(&self) -> usize {
        TrainLoader::n_batches(self)
    }

    fn n_images(&self) -> usize {
        TrainLoader::n_images(self)
    }

    fn epoch(&self, epoch: u64, skip: usize) -> Box<dyn Iterator<Item = Result<Batch, DataError>> + '_> {
        Box::new(TrainLoader::epoch(self, epoch, skip).map(Ok))
    }
}

impl Batches for PhotoLoader {
    type Batch = Batch;

    fn n_batches(&self) -> usize {
        PhotoLoader::n_batches(self)
    }

    fn n_images(&self) -> usize {
        PhotoLoader::n_images(self)
    }

    fn epoch(&self, epoch: u64, skip: usize) -> Box<dyn Iterator<Item = Result<Batch, DataError>> + '_> {
        Box::new(PhotoLoader::epoch(self, epoch, skip))
    }

    fn skipped(&self) -> usize {
        self.n_skipped()
    }
}

impl<S: StepSet> Batches for PeriodLoader<S>
where
    S::Batch: Images,
{
    type Batch = S::Batch;

    fn n_batches(&self) -> usize {
        PeriodLoader::n_batches(self)
    }

    fn n_images(&self) -> usize {
        PeriodLoader::n_images(self)
    }

    fn epoch(&self, epoch: u64, skip: usize) -> Box<dyn Iterator<Item = Result<S::Batch, DataError>> + '_> {
        Box::new(self.period(epoch, skip))
    }
}
