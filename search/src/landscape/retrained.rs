//! A network that was trained from scratch as a subject: with the BatchNorm statistics of its training, measured on test
//! images that are drawn once for all networks.

use std::path::Path;
use std::sync::Arc;

use genas_data::{AugmentConfig, ImageSet, PhotoSource, Split, TrainLoader, load};
use genas_net::Devices;
use genas_runtime::Provider;
use genas_space::Streams;
use genas_train::directory::{file_fingerprint, fingerprint};
use rand::seq::SliceRandom;
use rayon::prelude::*;

use super::subject::Subject;
use super::supernet::n_images;
use crate::config::{Config, ScorerKind, Statistics};
use crate::error::SearchError;
use crate::retrain::Pretrained;
use crate::retrain::data::photo_transform;
use crate::run::data_fingerprint;
use crate::subnet::{Images, Recalibration, Subnets};
use crate::supernet::streams;

/// Images that losses are of, where no number is given: small ones, and photos, whose networks are slow.
const IMAGES: usize = 1000;
const PHOTOS: usize = 250;

/// A trained network, and what it is measured on.
pub struct RetrainedRun<'a> {
    /// Its name in tables and pictures.
    pub name: &'a str,
    /// The network; its source is the file of its weights.
    pub model: Pretrained,
    /// How it was trained.
    pub config: &'a Config,
    /// The data set.
    pub data: &'a Path,
    /// How many test images; without a number 1,000, of photos 250, or all that there are.
    pub images: Option<usize>,
    /// Build BatchNorm's statistics anew, from training images, at every place.
    pub recalibrate: bool,
    /// What the images are drawn from.
    pub streams: &'a Streams,
    /// Where burn computes.
    pub devices: &'a Devices,
    /// Where ONNX Runtime computes.
    pub provider: Provider,
}

impl RetrainedRun<'_> {
    /// The network as a subject, and how many images measure it.
    ///
    /// # Errors
    ///
    /// If the images have other classes, or there are not as many.
    pub fn subject(self) -> Result<(Subject, usize), SearchError> {
        let Self { name, data, config, recalibrate, .. } = self;
        let weights = Path::new(&self.model.source);
        let (set, chosen, fingerprint_of_set) = self.test_images()?;
        let loader = if recalibrate { Some(self.training_images(config)?) } else { None };
        let images = Images::chosen(&set, &chosen, loader.as_ref().map(|(loader, _)| loader.clone()));
        let recalibration = Recalibration {
            images: if recalibrate { config.metric.recalibration_images } else { 0 },
            batch_size: config.metric.batch_size,
            // The published moving average remembers its initial values, which a trained network has left behind.
            statistics: Statistics::Average,
        };
        if recalibrate && recalibration.images == 0 {
            return Err(SearchError::Setting(format!(
                "--recalibrate has no images: the settings of {} recalibrate on none",
                weights.display()
            )));
        }
        let about = (file_fingerprint(weights)?, fingerprint_of_set, &chosen, data_of(&loader));
        let identity = fingerprint(&("retrained", about, recalibration.images, recalibration.batch_size));
        let net = self.model.net;
        let n = chosen.len();
        if net.classes != set.n_classes() {
            return Err(SearchError::format(
                weights,
                format!(
                    "its network has {} classes, the images in {} have {}; give the data set that it was trained for",
                    net.classes,
                    data.display(),
                    set.n_classes()
                ),
            ));
        }
        let subnets = Subnets {
            net,
            trained: self.model.weights,
            engine: ScorerKind::Ort,
            devices: self.devices.clone(),
            provider: self.provider,
        };
        let names = [name.to_owned(), name.to_owned(), identity];
        let subject =
            Subject::new(names, Arc::new(subnets), (), Arc::new(images), [recalibration, recalibration]);
        Ok((subject, n))
    }

    /// A set, the positions in it that measure, and a hash of it.
    fn test_images(&self) -> Result<(ImageSet, Vec<usize>, String), SearchError> {
        let model = &self.model;
        let Some(augment) = &self.config.retrain.photos else {
            let mut set = load(self.data, Split::Test, model.image_size)?;
            set.normalization = model.normalization;
            self.check_classes(&set.classes)?;
            let n = n_images(self.images, IMAGES, set.len(), "the test set")?;
            let chosen = draw(set.len(), n, self.streams);
            let fingerprint = data_fingerprint(&set);
            return Ok((set, chosen, fingerprint));
        };
        let source = PhotoSource::open(self.data, Split::Test)?;
        self.check_classes(source.classes())?;
        let n = n_images(self.images, PHOTOS, source.len(), "the validation set")?;
        let transform = photo_transform(augment, model.image_size);
        let chosen = draw(source.len(), n, self.streams);
        let photo = |&n: &usize| -> Result<Vec<u8>, SearchError> {
            let broken = |reason| SearchError::format(self.data, format!("{}: {reason}", source.name(n)));
            transform.apply(&source.picture(n)?).map_err(broken)
        };
        let photos: Vec<Vec<u8>> = chosen.par_iter().map(photo).collect::<Result<_, _>>()?;
        let set = ImageSet {
            name: self.data.display().to_string(),
            classes: source.classes().to_vec(),
            height: transform.crop,
            width: transform.crop,
            pixels: photos.concat(),
            labels: chosen.iter().map(|&n| source.label(n)).collect(),
            normalization: model.normalization,
        };
        let fingerprint = data_fingerprint(&set);
        Ok((set, (0..n).collect(), fingerprint))
    }

    /// The training images under the augmentation of the training, and a hash of them.
    fn training_images(&self, config: &Config) -> Result<(TrainLoader, String), SearchError> {
        let c = &config.retrain;
        if c.photos.is_some() {
            return Err(SearchError::Setting(
                "--recalibrate needs training images in memory, and photos are read from disk; leave it out"
                    .to_owned(),
            ));
        }
        let mut set = load(self.data, Split::Train, self.model.image_size)?;
        set.normalization = self.model.normalization;
        let fingerprint = data_fingerprint(&set);
        let augment = AugmentConfig { flip: c.flip, crop_padding: c.crop_padding, cutout: c.cutout };
        let all = Arc::new((0..set.len()).collect());
        let batch = config.metric.batch_size;
        let loader = TrainLoader::new(Arc::new(set), all, augment, batch, streams(config), "recalibration")?;
        Ok((loader, fingerprint))
    }

    fn check_classes(&self, classes: &[String]) -> Result<(), SearchError> {
        if self.model.classes == classes {
            return Ok(());
        }
        Err(SearchError::format(
            Path::new(&self.model.source),
            format!(
                "knows the classes {}, and the images in {} are of {}; give the data set that it was trained for",
                few(&self.model.classes),
                self.data.display(),
                few(classes)
            ),
        ))
    }
}

fn data_of(loader: &Option<(TrainLoader, String)>) -> Option<&str> {
    loader.as_ref().map(|(_, fingerprint)| fingerprint.as_str())
}

/// The first of some names.
fn few(names: &[String]) -> String {
    let shown = names.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > 3 { format!("{shown}, ... ({})", names.len()) } else { shown }
}

/// Positions of `n` out of `of` images, drawn evenly, because folders lie class by class; in order.
fn draw(of: usize, n: usize, streams: &Streams) -> Vec<usize> {
    let mut order: Vec<usize> = (0..of).collect();
    order.shuffle(&mut streams.rng("landscape/images", 0));
    order.truncate(n);
    order.sort_unstable();
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_drawn_from_everywhere() {
        let streams = Streams::new(1);
        let drawn = draw(1000, 100, &streams);
        assert!(drawn.windows(2).all(|pair| pair[0] < pair[1]) && drawn.len() == 100);
        // A tenth of each tenth, more or less.
        for tenth in 0..10 {
            let n = drawn.iter().filter(|&&n| n / 100 == tenth).count();
            assert!((2..=22).contains(&n), "{n} of the tenth {tenth}");
        }
        assert_eq!(draw(5, 5, &streams), [0, 1, 2, 3, 4]);
        assert_eq!(few(&["a".to_owned(), "b".to_owned()]), "a, b");
        assert_eq!(few(&["a", "b", "c", "d"].map(str::to_owned)), "a, b, c, ... (4)");
    }
}
