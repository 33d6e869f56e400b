//! A found cell trained from scratch (spec 04-6), on images that stay in memory.

use crate::config::Config;
use crate::error::SearchError;
use crate::fit::{EpochRow, Fit};
use crate::observer::Observer;
use crate::run::{data_fingerprint, fingerprint};
use crate::scorer::accuracy;
use crate::supernet::streams;
use genas_data::{AugmentConfig, ImageSet, Split, TrainLoader, load, normalized};
use genas_net::{
    Cosine, Devices, EvalNet, Feature, Mode, Network, NetworkKind, SgdConfig, Tensors, Trainer, UnsampledOps,
    Weights, WeightsFile, cross_entropy, drop_path_probability, read_weights,
};
use genas_space::Genotype;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Images per inference call.
const TEST_BATCH: usize = 100;

/// How a retrained network does.
#[derive(Clone, Debug, Serialize)]
pub struct RetrainResult {
    /// Top-1 accuracy on the test images, a fraction.
    pub top1: f64,
    /// Top-5 accuracy.
    pub top5: f64,
    /// Accuracy of guessing.
    pub chance: f64,
    /// Epochs.
    pub epochs: usize,
    /// The weights.
    pub weights: PathBuf,
}

/// Trains `genotype` on the data in `data` and tests it; everything goes to `directory`.
#[allow(clippy::too_many_arguments)]
pub fn retrain(
    directory: &Path,
    genotype: Genotype,
    kind: NetworkKind,
    config: &Config,
    data: &Path,
    devices: &Devices,
    resume: bool,
    observer: &dyn Observer,
) -> Result<RetrainResult, SearchError> {
    let c = &config.retrain;
    let train = Arc::new(load(data, Split::Train, config.data.image_size)?);
    let test = load(data, Split::Test, config.data.image_size)?;
    let net = EvalNet {
        kind,
        genotype,
        channels: c.channels,
        layers: c.layers,
        classes: train.n_classes(),
        auxiliary: c.auxiliary,
    };
    let about = WeightsFile { network: Network::Eval(net.clone()), extra: about_data(&train, directory) };
    let settings = fingerprint(&(c, &config.data, config.seed, &net, data_fingerprint(&train)));
    let augment = AugmentConfig { flip: c.flip, crop_padding: c.crop_padding, cutout: c.cutout };
    let all = Arc::new((0..train.len()).collect());
    let streams = streams(config);
    let loader = TrainLoader::new(train.clone(), all, augment, c.batch_size, streams, "retrain")?;
    let fit = Fit {
        phase: "retrain",
        directory,
        epochs: c.epochs,
        loader: &loader,
        about,
        fingerprint: &settings,
        resume,
        keep_every: 0,
        observer,
    };
    // DARTS steps its schedule before each epoch.
    let schedule =
        Cosine { base: c.learning_rate, min: c.learning_rate_min, epochs: c.epochs, shifted: true };
    let sgd = SgdConfig {
        momentum: c.momentum,
        weight_decay: c.weight_decay,
        clip: Some(c.clip),
        unsampled: UnsampledOps::ZeroFilled,
    };
    let device = devices.recording();
    let trained: Option<(Trainer, Vec<EpochRow>)> = fit.run(
        || Trainer::new(Weights::init(Arc::new(net.layout()), &streams)),
        |trainer, epoch, batch| {
            let drop_path = drop_path_probability(c.drop_path, epoch as usize, c.epochs);
            let mode = Mode::Train {
                drop_path,
                rng: Box::new(streams.rng("retrain/drop-path", trainer.state.step)),
            };
            trainer.step(&sgd, schedule.at(epoch as usize), &device, mode, |i| {
                let shape = [batch.n, 3, train.height, train.width];
                let x = Feature::from_values(batch.images.clone(), shape, i.device());
                let (logits, auxiliary) = net.forward_with_auxiliary(i, &x);
                let loss = cross_entropy(logits.tensor(), &batch.labels, c.label_smoothing);
                match auxiliary {
                    Some(a) => {
                        loss + cross_entropy(a.tensor(), &batch.labels, c.label_smoothing)
                            .mul_scalar(c.auxiliary_weight as f32)
                    }
                    None => loss,
                }
            })
        },
        |trainer, epoch| {
            let due = (epoch + 1).is_multiple_of(c.evaluate_every) && epoch + 1 < c.epochs;
            Ok(due.then(|| test_accuracy(&net, &trainer.weights, &test, devices)[0]))
        },
    )?;
    let path = directory.join("final.safetensors");
    let weights = match trained {
        Some((trainer, _)) => trainer.weights,
        None if !resume => {
            return Err(SearchError::format(
                &path,
                "a finished training is here; use --resume to test it again, or another --out",
            ));
        }
        None => read_weights(&path)?.0,
    };
    let [top1, top5] = test_accuracy(&net, &weights, &test, devices);
    Ok(RetrainResult { top1, top5, chance: 1.0 / net.classes as f64, epochs: c.epochs, weights: path })
}

/// What an exported model will say of its training.
fn about_data(set: &ImageSet, directory: &Path) -> serde_json::Map<String, serde_json::Value> {
    let facts = serde_json::json!({
        "class_names": set.classes,
        "mean": set.normalization.mean,
        "std": set.normalization.std,
        "input_size": set.height,
        "training_data": set.name,
        "source_run": directory.parent().unwrap_or(directory).display().to_string(),
    });
    facts.as_object().cloned().unwrap_or_default()
}

/// Top-1 and top-5 accuracy on a set, through burn.
fn test_accuracy(net: &EvalNet, weights: &Weights, set: &ImageSet, devices: &Devices) -> [f64; 2] {
    let mut i = Tensors::new(weights, devices.plain(), Mode::Inference);
    let all: Vec<usize> = (0..set.len()).collect();
    let (mut logits, mut labels) = (Vec::new(), Vec::new());
    for chunk in all.chunks(TEST_BATCH) {
        let shape = [chunk.len(), 3, set.height, set.width];
        let x = Feature::from_values(normalized(set, chunk), shape, i.device());
        let y = net.forward(&mut i, &x).tensor();
        logits.extend(y.into_data().try_to_vec::<f32>().unwrap_or_default());
        labels.extend(set.labels_at(chunk));
    }
    let top5 = logits.chunks_exact(net.classes).zip(&labels).filter(|(row, label)| {
        let own = row[**label as usize];
        row.iter().filter(|v| **v > own).count() < 5
    });
    [accuracy(&logits, net.classes, &labels), top5.count() as f64 / labels.len() as f64]
}
