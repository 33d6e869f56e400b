//! RetinaNet fine-tuned on a backbone, as Detectron2 trains it (spec 06-3).

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use genas_data::coco::{Annotations, CocoTrainSet, DetectionBatch, annotations_file};
use genas_data::{Normalization, PeriodLoader};
use genas_export::{DetectorForm, DetectorInfo, GraphOptions, ModelInfo, detector_model, export_detector};
use genas_net::{
    Device, Devices, EvalNet, Feature, Freeze, Mode, NetError, Network, RetinaNet, SgdConfig, StepReport,
    Trainer, UnsampledOps, Weights, WeightsFile, atomic_write, read_weights, sigmoid_focal_loss,
    smooth_l1_at,
};
use genas_runtime::SessionOptions;
use genas_space::Streams;
use genas_train::directory::{file_fingerprint, fingerprint};
use genas_train::settings::to_toml;
use genas_train::{Fit, Observer, TrainError};
use serde::Serialize;

use super::anchors::Anchors;
use super::config::{LossConfig, RetinaNetConfig};
use super::normalizer::Normalizer;
use super::targets::{ImageTargets, level_targets};
use super::weights::initial_weights;
use crate::backbone::Backbone;
use crate::coco::{BoxPrecision, category_ids, detect_split, evaluate};
use crate::detector::Detector;
use crate::error::{Result, TransferError};

/// The resolved settings, beside the weights.
pub const CONFIG: &str = "config.toml";
/// The split that is trained on.
pub const TRAIN_SPLIT: &str = "train2017";
/// The split that is evaluated on.
pub const TEST_SPLIT: &str = "val2017";

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
    /// Where ONNX Runtime computes, for the evaluations.
    pub session: SessionOptions,
    /// Continue an interrupted training.
    pub resume: bool,
    /// Progress.
    pub observer: &'a dyn Observer,
}

/// A detector that was trained, as files.
#[derive(Clone, Debug, Serialize)]
pub struct FineTuned {
    /// Weights after the last step.
    pub weights: PathBuf,
    /// From images to objects.
    #[serde(rename = "onnx")]
    pub detector: PathBuf,
    /// From images to the network's numbers.
    #[serde(rename = "onnx_raw")]
    pub raw: PathBuf,
}

impl FineTuning<'_> {
    /// The detector for `classes` classes.
    pub fn network(&self, classes: usize) -> Result<RetinaNet> {
        let model = &self.config.model;
        let net = RetinaNet {
            backbone: EvalNet { auxiliary: false, ..self.backbone.net.clone() },
            relu_features: model.relu_features,
            batch_norm: model.batch_norm,
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

    /// Trains, measures every [`evaluate_every`](super::config::SolverConfig::evaluate_every) steps, and exports. ONNX
    /// Runtime must be installed ([`genas_runtime::ensure`]).
    pub fn run(&self) -> Result<FineTuned> {
        let c = self.config;
        c.check().map_err(TransferError::Request)?;
        let streams = Streams::new(c.seed);
        let ModelInfo { mean, std, .. } = self.backbone.info;
        let (set, annotations) = CocoTrainSet::open(
            self.data,
            TRAIN_SPLIT,
            c.data.clone(),
            &Normalization { mean, std },
            streams,
        )?;
        let test = Annotations::read(&annotations_file(self.data, TEST_SPLIT))?;
        let info = self.info(&annotations);
        // That the classes are the same is better known before the training than after its first period.
        category_ids(&info, &test)?;
        let net = self.network(annotations.classes.len())?;
        let settings = fingerprint(&(
            c,
            &net,
            (mean, std),
            fingerprint(&self.backbone.weights.parameters()),
            file_fingerprint(&annotations_file(self.data, TRAIN_SPLIT))?,
        ));
        let weights = self.directory.join("final.safetensors");
        // A finished or unfinished training keeps its own settings, whatever is wanted now: it may be refused below.
        if !weights.exists() && !self.directory.join("latest").exists() {
            atomic_write(&self.directory.join(CONFIG), to_toml(c).as_bytes())?;
            self.say(&annotations, &set);
        }
        let loader = PeriodLoader::new(set, c.solver.batch_size, c.solver.evaluate_every);
        let steps = Steps { net: &net, config: c, anchors: Anchors::new(&c.anchors), streams };
        let device = self.devices.recording();
        let fit = Fit {
            phase: "coco",
            directory: self.directory,
            period: "period",
            epochs: c.solver.iterations / c.solver.evaluate_every,
            batches: &loader,
            rate: &|state| c.solver.rate(state.step as usize),
            about: WeightsFile { network: Network::RetinaNet(net.clone()), extra: self.description(&info) },
            fingerprint: &settings,
            resume: self.resume,
            keep_every: c.solver.keep_every,
            observer: self.observer,
            replica: (0, 1),
        };
        let freeze = freeze(c);
        let fitted = fit.run::<BoxPrecision, Option<Normalizer>, TransferError>(
            || Ok(Trainer::new(initial_weights(&net, &self.backbone.weights, &c.model, &streams)?)),
            |trainer| trainer.with_precision(c.solver.precision).with_freeze(freeze),
            |trainer, normalizer, rate, batch| steps.step(trainer, normalizer, rate, batch, &device),
            |weights, period| self.measure(&net, weights, &info, &test, period).map(Some),
        )?;
        if fitted.is_none() && !self.resume {
            return Err(TransferError::Request(format!(
                "{}: a finished training is here; use --resume to export and evaluate it again, or another --out",
                weights.display()
            )));
        }
        self.export(&net, &weights, &info)
    }

    /// Average precision of a detector after a period, counted from 0, as its file would have it.
    fn measure(
        &self,
        net: &RetinaNet,
        weights: &Weights,
        info: &DetectorInfo,
        test: &Annotations,
        period: usize,
    ) -> Result<BoxPrecision> {
        let options = GraphOptions { fold_bn: true, ..GraphOptions::any_size() };
        let bytes = detector_model(net, weights, info, DetectorForm::EndToEnd, &options)?;
        let open =
            |options: &SessionOptions| Detector::from_bytes("the detector in training", &bytes, options);
        let steps = ((period + 1) * self.config.solver.evaluate_every) as u64;
        let watch = |done, total| {
            let stands = format!("measuring AP: image {done}/{total}");
            self.observer.advance(steps, &stands);
            self.observer.dashboard(&[stands]);
            if self.observer.interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let found = detect_split(open, test, &self.data.join(TEST_SPLIT), &self.session, &watch);
        let found = found.map_err(|error| match error {
            // The loop saves its state when this fails.
            TransferError::Interrupted => TrainError::Interrupted.into(),
            error => error,
        })?;
        Ok(BoxPrecision::from(&evaluate(test, &found.detections)))
    }

    /// Writes the trained detector in both forms.
    fn export(&self, net: &RetinaNet, path: &Path, info: &DetectorInfo) -> Result<FineTuned> {
        let (weights, _) = read_weights(path)?;
        let write = |name: &str, form| {
            let file = self.directory.join(name);
            export_detector(&file, net, &weights, info, form, &GraphOptions::any_size())?;
            Ok::<_, TransferError>(file)
        };
        Ok(FineTuned {
            weights: path.to_owned(),
            detector: write("detector.onnx", DetectorForm::EndToEnd)?,
            raw: write("detector-raw.onnx", DetectorForm::Raw)?,
        })
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

    /// What the detector's files say about themselves.
    fn info(&self, annotations: &Annotations) -> DetectorInfo {
        let whole = std::fs::canonicalize(self.data).unwrap_or_else(|_| self.data.to_owned());
        let name = whole.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        DetectorInfo {
            class_names: annotations.classes.iter().map(|class| class.name.clone()).collect(),
            category_ids: annotations.classes.iter().map(|class| class.id).collect(),
            mean: self.backbone.info.mean,
            std: self.backbone.info.std,
            detection: self.config.detection(),
            training_data: format!("{name} {TRAIN_SPLIT}"),
            source_run: self.directory.parent().unwrap_or(self.directory).display().to_string(),
        }
    }

    /// What stands beside the weights.
    fn description(&self, info: &DetectorInfo) -> serde_json::Map<String, serde_json::Value> {
        let mut facts = match serde_json::to_value(info) {
            Ok(serde_json::Value::Object(facts)) => facts,
            _ => serde_json::Map::new(),
        };
        facts.insert("backbone".to_owned(), self.backbone.source.clone().into());
        facts
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
