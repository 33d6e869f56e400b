//! RetinaNet fine-tuned on a backbone, as Detectron2 trains it (spec 06-3).

use std::path::{Path, PathBuf};

use genas_data::Normalization;
use genas_data::coco::{Annotations, CocoLoader, CocoTrainSet, DetectionBatch, annotations_file};
use genas_export::ModelInfo;
use genas_net::{
    Device, Devices, EvalNet, Feature, Freeze, Mode, NetError, Network, RetinaNet, SgdConfig, StepReport,
    Trainer, UnsampledOps, Weights, WeightsFile, sigmoid_focal_loss, smooth_l1_at,
};
use genas_space::Streams;
use genas_train::directory::{file_fingerprint, fingerprint};
use genas_train::{Fit, Observer};

use super::anchors::Anchors;
use super::config::{LossConfig, RetinaNetConfig};
use super::normalizer::Normalizer;
use super::targets::{ImageTargets, level_targets};
use super::weights::initial_weights;
use crate::coco::BoxPrecision;
use crate::error::{Result, TransferError};

/// The split that is trained on.
pub const TRAIN_SPLIT: &str = "train2017";
/// The split that is evaluated on.
pub const TEST_SPLIT: &str = "val2017";

/// A trained network whose features the detector begins with.
#[derive(Clone, Debug)]
pub struct Backbone {
    /// The network.
    pub net: EvalNet,
    /// Its weights; a classifier's are not needed.
    pub weights: Weights,
    /// How its images were prepared.
    pub info: ModelInfo,
    /// Where it comes from, for people.
    pub source: String,
}

/// A fine-tuning, all of it decided.
pub struct FineTuning<'a> {
    /// Where everything goes.
    pub directory: &'a Path,
    /// What it begins with.
    pub backbone: &'a Backbone,
    /// The settings.
    pub config: &'a RetinaNetConfig,
    /// COCO 2017's folder.
    pub data: &'a Path,
    /// Where burn computes.
    pub devices: &'a Devices,
    /// Continue an interrupted training.
    pub resume: bool,
    /// Progress.
    pub observer: &'a dyn Observer,
}

/// A detector that was trained.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The network.
    pub net: RetinaNet,
    /// Its weights after the last step.
    pub weights: PathBuf,
    /// What it was trained on.
    pub classes: Annotations,
}

/// Measures a detector in training on the validation images.
pub type Validate<'a> = dyn FnMut(&RetinaNet, &Weights, &Annotations) -> Result<BoxPrecision> + 'a;

impl FineTuning<'_> {
    /// The detector for `classes` classes.
    pub fn network(&self, classes: usize) -> Result<RetinaNet> {
        let model = &self.config.model;
        let net = RetinaNet {
            backbone: EvalNet { auxiliary: false, ..self.backbone.net.clone() },
            relu_features: model.relu_features,
            channels: model.channels,
            head_convolutions: model.head_convolutions,
            anchors: self.config.anchors_per_cell(),
            classes,
        };
        match net.problem() {
            Some(problem) => Err(TransferError::Request(format!("{}: {problem}", self.backbone.source))),
            None => Ok(net),
        }
    }

    /// Trains, and measures with `validate` after every [`evaluate_every`](super::config::SolverConfig::evaluate_every)
    /// steps.
    pub fn run(&self, validate: &mut Validate) -> Result<Trained> {
        let c = self.config;
        c.check().map_err(TransferError::Request)?;
        let streams = Streams::new(c.seed);
        let ModelInfo { mean, std, .. } = self.backbone.info;
        let normalization = Normalization { mean, std };
        let (set, annotations) =
            CocoTrainSet::open(self.data, TRAIN_SPLIT, c.data.clone(), &normalization, streams)?;
        self.say(&annotations, &set);
        let net = self.network(annotations.classes.len())?;
        let settings = fingerprint(&(
            c,
            &net,
            self.backbone.info.mean,
            self.backbone.info.std,
            fingerprint(&self.backbone.weights.parameters()),
            file_fingerprint(&annotations_file(self.data, TRAIN_SPLIT))?,
        ));
        let loader = CocoLoader::new(set, c.solver.batch_size, c.solver.evaluate_every);
        let steps = Steps { net: &net, config: c, anchors: Anchors::new(&c.anchors), streams };
        let device = self.devices.recording();
        let fit = Fit {
            phase: "coco",
            directory: self.directory,
            period: "period",
            epochs: c.solver.iterations / c.solver.evaluate_every,
            batches: &loader,
            rate: &|state| c.solver.rate(state.step as usize),
            about: WeightsFile {
                network: Network::RetinaNet(net.clone()),
                extra: self.description(&annotations),
            },
            fingerprint: &settings,
            resume: self.resume,
            keep_every: c.solver.keep_every,
            observer: self.observer,
            replica: (0, 1),
        };
        let freeze = freeze(c);
        fit.run::<BoxPrecision, Option<Normalizer>, TransferError>(
            || Ok(Trainer::new(initial_weights(&net, &self.backbone.weights, &c.model, &streams)?)),
            |trainer| trainer.with_precision(c.solver.precision).with_freeze(freeze),
            |trainer, normalizer, rate, batch| steps.step(trainer, normalizer, rate, batch, &device),
            |weights, _| validate(&net, weights, &annotations).map(Some),
        )?;
        Ok(Trained { weights: self.directory.join("final.safetensors"), net, classes: annotations })
    }

    /// What is trained on, and what of it is broken.
    fn say(&self, annotations: &Annotations, set: &CocoTrainSet) {
        let (images, used) = (annotations.images.len(), set.len());
        let classes = annotations.classes.len();
        self.observer
            .message(&format!("training on {used} of {images} images with boxes of {classes} classes"));
        if let Some(first) = annotations.problems.first() {
            let (path, n) = (annotations.path.display(), annotations.problems.len());
            self.observer.message(&format!("{path}: {n} broken boxes are left out, such as {first}"));
        }
    }

    /// What an exported detector will say of its training.
    fn description(&self, annotations: &Annotations) -> serde_json::Map<String, serde_json::Value> {
        let names: Vec<&str> = annotations.classes.iter().map(|class| class.name.as_str()).collect();
        let ids: Vec<i64> = annotations.classes.iter().map(|class| class.id).collect();
        let run = self.directory.parent().unwrap_or(self.directory);
        let facts = serde_json::json!({
            "class_names": names,
            "category_ids": ids,
            "mean": self.backbone.info.mean,
            "std": self.backbone.info.std,
            "training_data": self.data.display().to_string(),
            "source_run": run.display().to_string(),
            "backbone": self.backbone.source,
        });
        facts.as_object().cloned().unwrap_or_default()
    }
}

/// What the settings leave as it is.
fn freeze(config: &RetinaNetConfig) -> Freeze {
    let part = |frozen: bool, name: &str| {
        if frozen { vec![format!("{}.{name}", RetinaNet::BACKBONE)] } else { Vec::new() }
    };
    Freeze {
        parameters: part(config.model.freeze_stem, "stem0."),
        batch_norm: part(config.model.freeze_batch_norm, ""),
    }
}

/// The steps of a training.
struct Steps<'a> {
    net: &'a RetinaNet,
    config: &'a RetinaNetConfig,
    anchors: Anchors,
    streams: Streams,
}

impl Steps<'_> {
    fn step(
        &self,
        trainer: &mut Trainer,
        normalizer: &mut Option<Normalizer>,
        rate: f64,
        batch: DetectionBatch,
        device: &Device,
    ) -> Result<StepReport, NetError> {
        let (config, solver) = (self.config, &self.config.solver);
        let size = [batch.height, batch.width];
        let anchors = self.anchors.all(batch.height, batch.width);
        let targets = ImageTargets::of_batch(&anchors, &batch.objects, config);
        let positives = targets.iter().map(ImageTargets::positives).sum();
        let divisor =
            normalizer.get_or_insert_with(|| Normalizer::new(&config.loss)).update(positives, &config.loss);
        let parts = solver.accumulate.min(batch.n);
        let image = batch.images.len() / batch.n;
        for part in 0..parts {
            let (from, to) = (part * batch.n / parts, (part + 1) * batch.n / parts);
            let images = batch.images[from * image..to * image].to_vec();
            let targets = level_targets(&targets[from..to], &self.anchors, size, self.net.classes, config);
            let rng = Box::new(self.streams.rng("coco/drop-path", trainer.state.step));
            // The mean over parts of so many times a part's loss is the batch's, whatever the parts' sizes.
            let factor = parts as f64 / divisor;
            trainer.accumulate(1.0, device, Mode::Train { drop_path: 0.0, rng }, |i| {
                let x = Feature::from_values(images, [to - from, 3, size[0], size[1]], i.device());
                let levels = self.net.forward(i, &x).into_iter().zip(&targets);
                let losses = levels.map(|(maps, targets)| {
                    let LossConfig { focal_alpha, focal_gamma, smooth_l1_beta, .. } = config.loss;
                    let (logits, deltas) = (maps.logits.tensor(), maps.deltas.tensor());
                    sigmoid_focal_loss(logits, &targets.labels, focal_alpha, focal_gamma)
                        + smooth_l1_at(deltas, &targets.places, &targets.deltas, smooth_l1_beta)
                });
                losses.reduce(|sum, loss| sum + loss).expect("a pyramid has levels").mul_scalar(factor)
            })?;
        }
        let sgd = SgdConfig {
            momentum: solver.momentum as f32,
            weight_decay: solver.weight_decay as f32,
            norm_weight_decay: solver.norm_weight_decay as f32,
            clip: solver.clip,
            unsampled: UnsampledOps::ZeroFilled,
        };
        trainer.apply(&sgd, rate)
    }
}
