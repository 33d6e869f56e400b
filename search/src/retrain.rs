//! A found cell trained from scratch (spec 04), or a trained network fine-tuned on other images.

pub mod config;
mod data;
mod validate;

use crate::config::Config;
use crate::error::SearchError;
use crate::fit::{Fit, Validation, best, read_table};
use crate::observer::Observer;
use crate::run::fingerprint;
use crate::supernet::streams;
use data::Images;
use genas_data::Batch;
use genas_net::{
    Devices, Ema, EvalNet, Feature, Mode, Network, NetworkKind, SgdConfig, Trainer, UnsampledOps, Weights,
    WeightsFile, atomic_write, cross_entropy, drop_path_probability, read_weights,
};
use genas_space::Genotype;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use validate::validate;

/// The resolved settings, beside the weights.
pub const CONFIG: &str = "config.toml";

/// How a retrained network does.
#[derive(Clone, Debug, Serialize)]
pub struct RetrainResult {
    /// Top-1 accuracy of the last epoch's weights on the test images, a fraction.
    pub top1: f64,
    /// Top-5 accuracy.
    pub top5: f64,
    /// Mean cross-entropy.
    pub loss: f64,
    /// Accuracy of guessing.
    pub chance: f64,
    /// Epochs.
    pub epochs: usize,
    /// The weights.
    pub weights: PathBuf,
    /// The epoch with the best top-1, if the test images were looked at during the training. Chosen by the images that
    /// it is measured on, and so too good (spec 08, 37).
    pub best: Option<BestEpoch>,
    /// Images that could not be read and were left out.
    pub skipped_images: usize,
}

/// The best of the epochs that were tested.
#[derive(Clone, Debug, Serialize)]
pub struct BestEpoch {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Top-1 accuracy.
    pub top1: f64,
    /// Top-5 accuracy of the same epoch.
    pub top5: f64,
    /// Its weights.
    pub weights: PathBuf,
}

/// The batch in `n` parts, as equal as they can be.
fn parts(batch: Batch, n: usize) -> Vec<Batch> {
    if n == 1 {
        return vec![batch];
    }
    let size = batch.n.div_ceil(n).max(1);
    let image = batch.images.len() / batch.n.max(1);
    let part = |(images, labels): (&[f32], &[i64])| Batch {
        images: images.to_vec(),
        labels: labels.to_vec(),
        n: labels.len(),
    };
    batch.images.chunks(size * image.max(1)).zip(batch.labels.chunks(size)).map(part).collect()
}

/// What a training starts from.
#[derive(Clone, Debug)]
pub enum Start {
    /// A cell in a network of this kind, with new weights.
    Cell(Genotype, NetworkKind),
    /// A trained network: what fits is taken over, and the classifier too if the classes are the same.
    Model(Box<Pretrained>),
}

/// A trained network.
#[derive(Clone, Debug)]
pub struct Pretrained {
    /// The network.
    pub net: EvalNet,
    /// Its weights.
    pub weights: Weights,
    /// Names of its classes, in the order of its logits.
    pub classes: Vec<String>,
    /// Where it comes from, for people.
    pub source: String,
}

/// A training, all of it decided.
pub struct Retraining<'a> {
    /// Where everything goes.
    pub directory: &'a Path,
    /// Cell or model.
    pub start: Start,
    /// The settings; `[retrain]`, `[data]` and the seed matter.
    pub config: &'a Config,
    /// The data set.
    pub data: &'a Path,
    /// Where burn computes.
    pub devices: &'a Devices,
    /// Continue an interrupted training.
    pub resume: bool,
    /// Progress.
    pub observer: &'a dyn Observer,
}

impl Retraining<'_> {
    /// Trains and tests.
    pub fn run(&self) -> Result<RetrainResult, SearchError> {
        let (c, streams) = (&self.config.retrain, streams(self.config));
        let images = Images::open(self.config, self.data)?;
        let net = self.network(images.classes.len());
        let about = WeightsFile { network: Network::Eval(net.clone()), extra: self.description(&images) };
        let settings =
            fingerprint(&(c, &self.config.data, self.config.seed, &net, &images.fingerprint, self.origin()));
        // Only of a training that is new or the same: a finished or unfinished one of other settings keeps its own.
        let config = self.directory.join(CONFIG);
        if !config.exists() {
            atomic_write(&config, self.config.to_toml().as_bytes())?;
        }
        let fit = Fit {
            phase: "retrain",
            directory: self.directory,
            epochs: c.epochs,
            batches: &*images.batches,
            rate: &|epoch| c.rate(epoch),
            about,
            fingerprint: &settings,
            resume: self.resume,
            keep_every: c.keep_every,
            observer: self.observer,
            leads: true,
        };
        let sgd = SgdConfig {
            momentum: c.momentum,
            weight_decay: c.weight_decay,
            clip: Some(c.clip),
            unsampled: UnsampledOps::ZeroFilled,
        };
        let device = self.devices.recording();
        let [height, width] = images.size;
        let test =
            |weights: &Weights| validate(&net, weights, self.devices, images.size, images.test_batches());
        let trained = fit.run(
            || {
                let trainer = Trainer::new(self.initial_weights(&net, &images)?);
                Ok(match c.ema {
                    Some(decay) => trainer.with_ema(Ema { decay }),
                    None => trainer,
                })
            },
            |trainer, rate, batch| {
                let drop_path = drop_path_probability(c.drop_path, trainer.state.epoch as usize, c.epochs);
                let whole = batch.n as f64;
                for (n, part) in parts(batch, c.accumulate).into_iter().enumerate() {
                    // One stream per step, and per part after the first.
                    let name = if n == 0 {
                        "retrain/drop-path".to_owned()
                    } else {
                        format!("retrain/drop-path/{n}")
                    };
                    let rng = Box::new(streams.rng(&name, trainer.state.step));
                    trainer.accumulate(
                        part.n as f64 / whole,
                        &device,
                        Mode::Train { drop_path, rng },
                        |i| {
                            let x = Feature::from_values(part.images, [part.n, 3, height, width], i.device());
                            let (logits, auxiliary) = net.forward_with_auxiliary(i, &x);
                            let loss = |logits: Feature| {
                                cross_entropy(logits.tensor(), &part.labels, c.label_smoothing)
                            };
                            match auxiliary {
                                Some(a) => loss(logits) + loss(a).mul_scalar(c.auxiliary_weight as f32),
                                None => loss(logits),
                            }
                        },
                    )?;
                }
                trainer.apply(&sgd, rate)
            },
            |weights, epoch| {
                let due = (epoch + 1).is_multiple_of(c.evaluate_every) || epoch + 1 == c.epochs;
                due.then(|| test(weights)).transpose()
            },
        )?;
        let path = self.directory.join("final.safetensors");
        let (last, rows) = match trained {
            Some(fitted) => (fitted.rows.last().and_then(|row| row.validation), fitted.rows),
            None if !self.resume => {
                return Err(SearchError::format(
                    &path,
                    "a finished training is here; use --resume to test it again, or another --out",
                ));
            }
            None => (None, read_table(&self.directory.join("training.csv"))?),
        };
        let last: Validation = match last {
            Some(last) => last,
            None => test(&read_weights(&path)?.0)?,
        };
        let best = best(&rows).map(|(epoch, v)| BestEpoch {
            epoch: epoch + 1,
            top1: v.top1,
            top5: v.top5,
            weights: self.directory.join("best.safetensors"),
        });
        Ok(RetrainResult {
            top1: last.top1,
            top5: last.top5,
            loss: last.loss,
            chance: 1.0 / net.classes as f64,
            epochs: c.epochs,
            weights: path,
            best,
            skipped_images: images.batches.skipped(),
        })
    }

    /// The network that is trained, for data of `classes` classes.
    fn network(&self, classes: usize) -> EvalNet {
        let c = &self.config.retrain;
        match &self.start {
            Start::Cell(genotype, kind) => EvalNet {
                kind: *kind,
                genotype: genotype.clone(),
                channels: c.channels,
                layers: c.layers,
                classes,
                auxiliary: c.auxiliary,
            },
            Start::Model(model) => EvalNet { classes, auxiliary: c.auxiliary, ..model.net.clone() },
        }
    }

    /// What the start adds to the identity of the training.
    fn origin(&self) -> Option<String> {
        match &self.start {
            Start::Cell(..) => None,
            Start::Model(model) => Some(fingerprint(&model.weights.parameters())),
        }
    }

    /// New weights, with those of the model in their places.
    fn initial_weights(&self, net: &EvalNet, images: &Images) -> Result<Weights, SearchError> {
        let mut weights = Weights::init(Arc::new(net.layout()), &streams(self.config));
        let Start::Model(model) = &self.start else { return Ok(weights) };
        // A backbone has no classifier.
        let same_classes =
            model.classes == images.classes && model.weights.get("classifier.weight").is_some();
        let layout = weights.layout().clone();
        for entry in layout.entries() {
            let Some(values) = model.weights.get(&entry.name) else { continue };
            if (same_classes || !entry.name.starts_with("classifier.")) && values.len() == entry.len() {
                weights.slice_mut(entry).copy_from_slice(values);
            }
        }
        self.observer.message(&format!(
            "fine-tuning {}: {} classes, {}",
            model.source,
            images.classes.len(),
            if same_classes {
                "those of the model, whose classifier is kept"
            } else {
                "and a new classifier"
            }
        ));
        Ok(weights)
    }

    /// What an exported model will say of its training.
    fn description(&self, images: &Images) -> serde_json::Map<String, serde_json::Value> {
        let run = self.directory.parent().unwrap_or(self.directory);
        let facts = serde_json::json!({
            "class_names": images.classes,
            "mean": images.normalization.mean,
            "std": images.normalization.std,
            "input_size": images.size[0],
            "training_data": images.name,
            "source_run": run.display().to_string(),
        });
        facts.as_object().cloned().unwrap_or_default()
    }
}
