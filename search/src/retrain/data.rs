//! The images of a retraining: in memory, as the CIFAR recipe wants them, or photos streamed from disk.

use super::Retraining;
use crate::error::SearchError;
use crate::run::data_fingerprint;
use crate::supernet::streams;
use genas_data::{
    AugmentConfig, Batch, CropKind, DataError, ImageSet, Interpolation, Normalization, PhotoAugment,
    PhotoEval, PhotoEvalTransform, PhotoLoader, PhotoSource, Split, TrainLoader, load, normalized,
};
use genas_export::resize_for;
use genas_train::Batches;
use std::path::Path;
use std::sync::Arc;

/// Images per inference call.
const TEST_BATCH: usize = 100;

/// Training and test images.
pub(super) struct Images {
    kind: Kind,
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

enum Kind {
    Resident { train: TrainLoader, test: ImageSet },
    Photos { train: PhotoLoader, test: PhotoEval },
}

impl Images {
    /// What a training needs of its data set. A model that is fine-tuned says how large its images are, and how they
    /// are normalised.
    pub fn open(training: &Retraining) -> Result<Self, SearchError> {
        match training.config.retrain.photos {
            Some(augment) => Self::photos(training, augment),
            None => Self::resident(training),
        }
    }

    fn resident(training: &Retraining) -> Result<Self, SearchError> {
        let (config, path, c) = (training.config, training.data, &training.config.retrain);
        let model = training.pretrained();
        let size = model.map_or(config.data.image_size, |model| model.image_size);
        let (mut train, mut test) = (load(path, Split::Train, size)?, load(path, Split::Test, size)?);
        if let Some(model) = model {
            (train.normalization, test.normalization) = (model.normalization, model.normalization);
        }
        let train = Arc::new(train);
        let augment = AugmentConfig { flip: c.flip, crop_padding: c.crop_padding, cutout: c.cutout };
        let all = Arc::new((0..train.len()).collect());
        let loader = TrainLoader::new(train.clone(), all, augment, c.batch_size, streams(config), "retrain")?;
        Ok(Self {
            kind: Kind::Resident { train: loader, test },
            classes: train.classes.clone(),
            name: train.name.clone(),
            size: [train.height, train.width],
            normalization: train.normalization,
            fingerprint: data_fingerprint(&train),
        })
    }

    fn photos(training: &Retraining, mut augment: PhotoAugment) -> Result<Self, SearchError> {
        let (config, path, c) = (training.config, training.data, &training.config.retrain);
        let model = training.pretrained();
        let normalization = model.map_or(augment.normalization(), |model| model.normalization);
        augment.size = model.map_or(augment.size, |model| model.image_size);
        let source = Arc::new(PhotoSource::open(path, Split::Train)?);
        let test = Arc::new(PhotoSource::open(path, Split::Test)?);
        if test.classes() != source.classes() {
            return Err(SearchError::format(
                path,
                format!(
                    "training and validation photos have different classes ({} and {}); give both the same (shards without \
                     classes.txt have as many as their largest label says)",
                    source.classes().len(),
                    test.classes().len()
                ),
            ));
        }
        let transform = photo_transform(&augment, augment.size);
        let loader =
            PhotoLoader::new(source.clone(), augment, c.batch_size, streams(config), "retrain", c.on_broken)?;
        Ok(Self {
            kind: Kind::Photos {
                train: loader.with_normalization(normalization),
                test: PhotoEval::new(test, transform, TEST_BATCH)?.with_normalization(normalization),
            },
            classes: source.classes().to_vec(),
            name: name(path),
            size: [augment.size; 2],
            normalization,
            fingerprint: source.fingerprint(),
        })
    }

    /// The training batches, of several replicas the part of one.
    pub fn part(&self, rank: usize, world: usize) -> Result<Box<dyn Batches<Batch = Batch>>, SearchError> {
        Ok(match &self.kind {
            Kind::Resident { train, .. } => Box::new(train.clone().with_part(rank, world)?),
            Kind::Photos { train, .. } => Box::new(train.clone().with_part(rank, world)?),
        })
    }

    /// Training images that could not be read so far and were left out: how many, and the names and reasons of the first.
    pub fn skipped(&self) -> (usize, Vec<(String, String)>) {
        match &self.kind {
            Kind::Resident { .. } => (0, Vec::new()),
            Kind::Photos { train, .. } => (train.n_skipped(), train.skipped()),
        }
    }

    /// The test images, in order.
    pub fn test_batches(&self) -> Box<dyn Iterator<Item = Result<Batch, DataError>> + '_> {
        match &self.kind {
            Kind::Resident { test: set, .. } => Box::new((0..set.len().div_ceil(TEST_BATCH)).map(|b| {
                let chosen: Vec<usize> = (b * TEST_BATCH..set.len().min((b + 1) * TEST_BATCH)).collect();
                Ok(Batch {
                    images: normalized(set, &chosen),
                    labels: set.labels_at(&chosen),
                    n: chosen.len(),
                })
            })),
            Kind::Photos { test, .. } => Box::new(test.batches()),
        }
    }
}

/// How test photos become images of this side.
pub(crate) fn photo_transform(augment: &PhotoAugment, side: usize) -> PhotoEvalTransform {
    PhotoEvalTransform {
        resize: resize_for(side),
        crop: side,
        interpolation: match augment.crop {
            CropKind::RandomResized => Interpolation::Pillow,
            CropKind::Square => Interpolation::Opencv,
        },
        normalize: augment.normalize,
    }
}

/// A data set's name: that of its folder.
fn name(path: &Path) -> String {
    let whole = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    whole.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
