//! Single-path training of the supernet (spec 02-2).

use crate::config::Config;
use crate::error::SearchError;
use crate::run::{RunDir, data_fingerprint};
use crate::validation::Validation;
use genas_data::{AugmentConfig, ImageSet, Split, TrainLoader, half_split, load, read_split};
use genas_net::{
    Cosine, Devices, Feature, Mode, Network, Path, SgdConfig, Supernet, Trainer, Weights, WeightsFile,
    atomic_write, cross_entropy,
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

/// Reads and halves the training images.
pub fn read_halves(config: &Config, data: &FilePath) -> Result<Halves, SearchError> {
    let set = load(data, Split::Train, config.data.image_size)?;
    let (train, valid) = match &config.data.split {
        Some(path) => read_split(path, set.len())?,
        None => half_split(set.len(), &streams(config)),
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
    let augment = AugmentConfig::supernet(halves.set.height);
    Ok(TrainLoader::new(halves.set.clone(), halves.train.clone(), augment, batch, streams(config), stream)?)
}

/// The supernet of a configuration.
pub fn network(config: &Config, classes: usize) -> Supernet {
    Supernet { channels: config.supernet.channels, layers: config.supernet.layers, classes }
}

/// Identifies what a supernet's weights depend on.
fn settings(config: &Config, halves: &Halves) -> String {
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
    let loader = train_loader(config, halves, c.batch_size, "supernet")?;
    let about = WeightsFile { network: Network::Supernet(net), extra: Default::default() };
    let settings = settings(config, halves);
    let directory = run.root().join("supernet");
    let streams = streams(config);
    let schedule = Cosine {
        base: c.learning_rate,
        min: c.learning_rate_min,
        epochs: c.epochs,
        shifted: c.shifted_schedule,
    };
    let fit = Fit {
        phase: "supernet",
        period: "epoch",
        directory: &directory,
        epochs: c.epochs,
        batches: &loader,
        rate: &|state| schedule.at(state.epoch as usize),
        about,
        fingerprint: &settings,
        resume,
        keep_every: c.keep_every,
        observer,
        replica: (0, 1),
    };
    let sgd = SgdConfig {
        momentum: c.momentum,
        nesterov: false,
        weight_decay: c.weight_decay,
        norm_weight_decay: c.weight_decay,
        clip: Some(c.clip),
        unsampled: c.unsampled_ops,
    };
    let device = devices.recording();
    let (height, width) = (halves.set.height, halves.set.width);
    // The supernet is not validated; the search does that, path by path.
    fit.run::<Validation, (), SearchError>(
        || Ok(Trainer::new(Weights::init(Arc::new(net.layout()), &streams))),
        |trainer| trainer,
        |trainer, (), rate, batch| {
            let candidate = path_for_step(&streams, trainer.state.step);
            let mode =
                Mode::Train { drop_path: 0.0, rng: Box::new(streams.rng("drop-path", trainer.state.step)) };
            trainer.step(&sgd, rate, &device, mode, |i| {
                let x = Feature::from_values(batch.images, [batch.n, 3, height, width], i.device());
                let logits = net.forward(i, Path::Candidate(&candidate), &x);
                cross_entropy(logits.tensor(), &batch.labels, 0.0)
            })
        },
        |_, _| Ok(None),
    )?;
    Ok(())
}
