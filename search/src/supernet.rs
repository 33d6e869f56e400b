//! Single-path training of the supernet (spec 02-2).

use crate::config::{Config, DataConfig};
use crate::error::SearchError;
use crate::run::{RunDir, data_fingerprint};
use crate::validation::Validation;
use genas_data::{AugmentConfig, ImageSet, Split, TrainLoader, half_split, load, read_split};
use genas_net::{
    Cosine, Devices, Feature, Mode, Network, Path, SgdConfig, Supernet, Tensors, Trainer, Weights,
    WeightsFile, atomic_write, cross_entropy,
};
use genas_space::{Streams, path_for_step};
use genas_train::directory::fingerprint;
use genas_train::fit::{Fit, check_settings};
use genas_train::observer::Observer;
use std::path::Path as FilePath;
use std::sync::Arc;

/// The training images, halved: one half trains the supernet, the other scores candidates.
#[derive(Clone, Debug)]
pub struct Halves {
    /// The images.
    pub set: Arc<ImageSet>,
    /// Images that train.
    pub train: Arc<Vec<usize>>,
    /// Images that validate.
    pub valid: Arc<Vec<usize>>,
    /// Hash of the images.
    pub fingerprint: String,
}

impl Halves {
    /// Batches of the training half under the supernet's augmentation.
    pub fn loader(&self, batch: usize, streams: Streams, stream: &str) -> Result<TrainLoader, SearchError> {
        let augment = AugmentConfig::supernet(self.set.height);
        Ok(TrainLoader::new(self.set.clone(), self.train.clone(), augment, batch, streams, stream)?)
    }
}

/// Reads and halves the training images.
pub fn read_halves(config: &Config, data: &FilePath) -> Result<Halves, SearchError> {
    halve(&config.data, &streams(config), data)
}

/// Reads the training images in `data` and halves them, as `about` says or by the seed of `streams`.
pub fn halve(about: &DataConfig, streams: &Streams, data: &FilePath) -> Result<Halves, SearchError> {
    let set = load(data, Split::Train, about.image_size)?;
    let (train, valid) = match &about.split {
        Some(path) => read_split(path, set.len())?,
        None => half_split(set.len(), streams),
    };
    let fingerprint = data_fingerprint(&set);
    Ok(Halves { set: Arc::new(set), train: Arc::new(train), valid: Arc::new(valid), fingerprint })
}

/// The run's random streams; seed 1 where none is given, as published.
pub fn streams(config: &Config) -> Streams {
    Streams::new(config.seed.unwrap_or(1))
}

/// Batches of the training half under the supernet's augmentation.
pub fn train_loader(
    config: &Config,
    halves: &Halves,
    batch: usize,
    stream: &str,
) -> Result<TrainLoader, SearchError> {
    halves.loader(batch, streams(config), stream)
}

/// The supernet of a configuration.
pub fn network(config: &Config, classes: usize) -> Supernet {
    Supernet { channels: config.supernet.channels, layers: config.supernet.layers, classes }
}

/// Identifies what a supernet's weights depend on.
pub fn settings(config: &Config, halves: &Halves) -> String {
    fingerprint(&(&config.supernet, &config.data, config.seed, &halves.fingerprint))
}

/// Copies the trained supernet of another run, unless `run` has one.
///
/// Only one of the same settings, seed and images will do: another may have been trained on the images that
/// score the candidates.
pub fn adopt(run: &RunDir, source: &RunDir, config: &Config, halves: &Halves) -> Result<(), SearchError> {
    if run.trained().exists() {
        return Ok(());
    }
    check_settings(&source.trained(), &settings(config, halves))?;
    // The trained weights come last: they mark the copy as complete.
    for (from, to) in [(source.initial(), run.initial()), (source.trained(), run.trained())] {
        let bytes = std::fs::read(&from).map_err(SearchError::io(&from, "read"))?;
        atomic_write(&to, &bytes)?;
    }
    Ok(())
}

/// Trains the supernet of `run`, unless it is there.
pub fn train(
    run: &RunDir,
    config: &Config,
    halves: &Halves,
    devices: &Devices,
    resume: bool,
    observer: &dyn Observer,
) -> Result<(), SearchError> {
    let (net, c) = (network(config, halves.set.n_classes()), &config.supernet);
    let streams = streams(config);
    let training = SinglePath {
        directory: &run.root().join("supernet"),
        network: Network::Supernet(net),
        batch_size: c.batch_size,
        schedule: Cosine {
            base: c.learning_rate,
            min: c.learning_rate_min,
            epochs: c.epochs,
            shifted: c.shifted_schedule,
        },
        sgd: SgdConfig {
            momentum: c.momentum,
            nesterov: false,
            weight_decay: c.weight_decay,
            norm_weight_decay: c.weight_decay,
            clip: Some(c.clip),
            unsampled: c.unsampled_ops,
        },
        keep_every: c.keep_every,
        streams: &streams,
        settings: &settings(config, halves),
    };
    training.train(halves, devices, resume, observer, |i, step, x| {
        net.forward(i, Path::Candidate(&path_for_step(&streams, step)), x)
    })
}

/// Training of a supernet of any space, one path per step.
pub(crate) struct SinglePath<'a> {
    /// Where the files go.
    pub directory: &'a FilePath,
    /// The supernet.
    pub network: Network,
    /// Images per step.
    pub batch_size: usize,
    /// Learning rates, and how many epochs.
    pub schedule: Cosine,
    /// The optimizer.
    pub sgd: SgdConfig,
    /// Keep the weights of every this many epochs (0: only the first and the last).
    pub keep_every: usize,
    /// The run's random streams.
    pub streams: &'a Streams,
    /// Identifies what the weights depend on.
    pub settings: &'a str,
}

impl SinglePath<'_> {
    /// Trains, unless it is done. `forward` gives the logits of the path that belongs to a step.
    ///
    /// The supernet is not validated; who scores candidates does that, path by path.
    pub fn train(
        self,
        halves: &Halves,
        devices: &Devices,
        resume: bool,
        observer: &dyn Observer,
        forward: impl Fn(&mut Tensors, u64, &Feature) -> Feature + Sync,
    ) -> Result<(), SearchError> {
        let Self { directory, network, schedule, sgd, streams, .. } = self;
        let loader = halves.loader(self.batch_size, *streams, "supernet")?;
        let layout = Arc::new(network.layout());
        let fit = Fit {
            phase: "supernet",
            period: "epoch",
            directory,
            epochs: schedule.epochs,
            batches: &loader,
            rate: &|state| schedule.at(state.epoch as usize),
            about: WeightsFile { network, extra: Default::default() },
            fingerprint: self.settings,
            resume,
            keep_every: self.keep_every,
            observer,
            replica: (0, 1),
        };
        let device = devices.recording();
        let (height, width) = (halves.set.height, halves.set.width);
        fit.run::<Validation, (), SearchError>(
            || Ok(Trainer::new(Weights::init(layout, streams))),
            |trainer| trainer,
            |trainer, (), rate, batch| {
                let step = trainer.state.step;
                let mode = Mode::Train { drop_path: 0.0, rng: Box::new(streams.rng("drop-path", step)) };
                trainer.step(&sgd, rate, &device, mode, |i| {
                    let x = Feature::from_values(batch.images, [batch.n, 3, height, width], i.device());
                    let logits = forward(i, step, &x);
                    cross_entropy(logits.tensor(), &batch.labels, 0.0)
                })
            },
            |_, _| Ok(None),
        )?;
        Ok(())
    }
}
