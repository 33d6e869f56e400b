//! Where a training's batches come from.

use genas_data::{Batch, DataError, PhotoLoader, TrainLoader};

/// Training batches, wherever they come from. What an epoch holds depends on the epoch's number alone, so that a
/// resumed training asks for the batch that it stopped at.
pub trait Batches {
    /// Batches in an epoch.
    fn n_batches(&self) -> usize;

    /// Images in an epoch.
    fn n_images(&self) -> usize;

    /// The batches of an epoch, without the first `skip`. An error ends them.
    fn epoch(&self, epoch: u64, skip: usize) -> Box<dyn Iterator<Item = Result<Batch, DataError>> + '_>;

    /// Images that could not be read so far and were left out, by choice.
    fn skipped(&self) -> usize {
        0
    }
}

impl Batches for TrainLoader {
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
