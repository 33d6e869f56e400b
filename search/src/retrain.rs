//! A found cell trained from scratch (spec 04), or a trained network fine-tuned on other images.

pub mod config;
pub(crate) mod data;
mod training;
mod validate;

use crate::config::Config;
use crate::error::SearchError;
use crate::supernet::streams;
use crate::validation::Validation;
use data::Images;
use genas_data::Normalization;
use genas_net::{
    Cost, CostReport, Device, Devices, EvalNet, Network, NetworkKind, Weights, WeightsFile, atomic_write,
    read_weights, run_replicas,
};
use genas_space::Genotype;
use genas_train::directory::{fingerprint, write_json};
use genas_train::fit::{best, read_table};
use genas_train::observer::Observer;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use training::Training;
use validate::validate;

/// The resolved settings, beside the weights.
pub const CONFIG: &str = "config.toml";
/// How the trained network does, beside its weights.
pub const RESULT: &str = "result.json";

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
    /// The network.
    pub network: EvalNet,
    /// What it costs for one image of the test set.
    #[serde(flatten)]
    pub cost: CostReport,
    /// The data set.
    pub data: String,
    /// Side of the images.
    pub image_size: usize,
    /// The epoch with the best top-1, if the test images were looked at during the training. Chosen by the images that
    /// it is measured on, and so too good (spec 08, 37).
    pub best: Option<BestEpoch>,
    /// Images that could not be read and were left out.
    pub skipped_images: usize,
    /// Names of the first of them, and reasons.
    pub skipped: Vec<(String, String)>,
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
    /// Side of the images that it was trained on.
    pub image_size: usize,
    /// How they were normalised.
    pub normalization: Normalization,
    /// Where it comes from, for people.
    pub source: String,
}

impl Pretrained {
    /// Whether its classifier can be kept for these classes. A backbone has none.
    fn knows(&self, classes: &[String]) -> bool {
        self.classes == classes && self.weights.get("classifier.weight").is_some()
    }
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
        let c = &self.config.retrain;
        let images = Images::open(self)?;
        let net = self.network(images.classes.len());
        let about = WeightsFile { network: Network::Eval(net.clone()), extra: self.description(&images) };
        let settings =
            fingerprint(&(c, &self.config.data, self.config.seed, &net, &images.fingerprint, self.origin()));
        // A finished or unfinished training keeps its own settings, whatever is wanted now: it may be refused below.
        let kept = ["final.safetensors", "latest"].map(|name| self.directory.join(name));
        if !kept.iter().any(|path| path.exists()) {
            atomic_write(&self.directory.join(CONFIG), self.config.to_toml().as_bytes())?;
            self.say_start(&images);
        }
        let training =
            Training { retraining: self, net: &net, images: &images, fingerprint: &settings, about };
        let trained = if c.replicas == 1 {
            training.run(&self.devices.recording(), None)?
        } else {
            let devices = self.devices.several(c.replicas)?;
            let lead = |rank, device: &Device, replicas| training.run(device, Some((rank, replicas)));
            run_replicas(&devices, lead)?.into_iter().next().flatten()
        };
        let test =
            |weights: &Weights| validate(&net, weights, self.devices, images.size, images.test_batches());
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
        let (skipped_images, skipped) = images.skipped();
        let best = best(&rows).map(|(epoch, v)| BestEpoch {
            epoch: epoch + 1,
            top1: v.top1,
            top5: v.top5,
            weights: self.directory.join("best.safetensors"),
        });
        let result = RetrainResult {
            top1: last.top1,
            top5: last.top5,
            loss: last.loss,
            chance: 1.0 / net.classes as f64,
            epochs: c.epochs,
            weights: path,
            cost: Cost::of([3, images.size[0], images.size[1]], |i, x| {
                net.forward(i, x);
            }),
            network: net,
            data: images.name.clone(),
            image_size: images.size[0],
            best,
            skipped_images,
            skipped,
        };
        write_json(&self.directory.join(RESULT), &result)?;
        Ok(result)
    }

    fn pretrained(&self) -> Option<&Pretrained> {
        match &self.start {
            Start::Cell(..) => None,
            Start::Model(model) => Some(model),
        }
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
        self.pretrained().map(|model| fingerprint(&model.weights.parameters()))
    }

    /// New weights, with those of the model in their places.
    fn initial_weights(&self, net: &EvalNet, images: &Images) -> Result<Weights, SearchError> {
        let mut weights = Weights::init(Arc::new(net.layout()), &streams(self.config));
        let Start::Model(model) = &self.start else { return Ok(weights) };
        let same_classes = model.knows(&images.classes);
        let layout = weights.layout().clone();
        for entry in layout.entries() {
            let Some(values) = model.weights.get(&entry.name) else { continue };
            if (same_classes || !entry.name.starts_with("classifier.")) && values.len() == entry.len() {
                weights.slice_mut(entry).copy_from_slice(values);
            }
        }
        Ok(weights)
    }

    /// What is taken over from a model, for the user.
    fn say_start(&self, images: &Images) {
        let Some(model) = self.pretrained() else { return };
        let classifier = if model.knows(&images.classes) {
            "those of the model, whose classifier is kept"
        } else {
            "and a new classifier"
        };
        let (n, source) = (images.classes.len(), &model.source);
        self.observer.message(&format!("fine-tuning {source}: {n} classes, {classifier}"));
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
