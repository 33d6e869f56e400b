//! The images of a retraining: in memory, as the CIFAR recipe wants them, or photos streamed from disk.

use crate::batches::Batches;
use crate::config::Config;
use crate::error::SearchError;
use crate::run::data_fingerprint;
use crate::supernet::streams;
use genas_data::{
    AugmentConfig, Batch, DataError, ImageSet, Normalization, Split, TrainLoader, load, normalized,
};
use std::path::Path;
use std::sync::Arc;

/// Images per inference call.
const TEST_BATCH: usize = 100;

/// Training and test images.
pub(super) struct Images {
    train: TrainLoader,
    test: Test,
    /// Names of the classes, in the order of the labels.
    pub classes: Vec<String>,
    /// The data set, for people.
    pub name: String,
    /// Height and width.
    pub size: [usize; 2],
    /// What was subtracted and divided.
    pub normalization: Normalization,
    /// Identifies the training images.
    pub fingerprint: String,
}

enum Test {
    Resident(ImageSet),
}

impl Images {
    /// What `config` wants of the data set in `path`.
    pub fn open(config: &Config, path: &Path) -> Result<Self, SearchError> {
        Self::resident(config, path)
    }

    fn resident(config: &Config, path: &Path) -> Result<Self, SearchError> {
        let c = &config.retrain;
        let train = Arc::new(load(path, Split::Train, config.data.image_size)?);
        let test = load(path, Split::Test, config.data.image_size)?;
        let augment = AugmentConfig { flip: c.flip, crop_padding: c.crop_padding, cutout: c.cutout };
        let all = Arc::new((0..train.len()).collect());
        let loader = TrainLoader::new(train.clone(), all, augment, c.batch_size, streams(config), "retrain")?;
        Ok(Self {
            train: loader,
            test: Test::Resident(test),
            classes: train.classes.clone(),
            name: train.name.clone(),
            size: [train.height, train.width],
            normalization: train.normalization,
            fingerprint: data_fingerprint(&train),
        })
    }

    /// The training batches, of several replicas the part of one.
    pub fn part(&self, rank: usize, world: usize) -> Result<Box<dyn Batches>, SearchError> {
        Ok(Box::new(self.train.clone().with_part(rank, world)?))
    }

    /// Training images that could not be read so far and were left out.
    pub fn skipped(&self) -> usize {
        0
    }

    /// The test images, in order.
    pub fn test_batches(&self) -> Box<dyn Iterator<Item = Result<Batch, DataError>> + '_> {
        match &self.test {
            Test::Resident(set) => Box::new((0..set.len().div_ceil(TEST_BATCH)).map(|b| {
                let chosen: Vec<usize> = (b * TEST_BATCH..set.len().min((b + 1) * TEST_BATCH)).collect();
                Ok(Batch {
                    images: normalized(set, &chosen),
                    labels: set.labels_at(&chosen),
                    n: chosen.len(),
                })
            })),
        }
    }
}
