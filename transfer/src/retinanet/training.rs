//! RetinaNet fine-tuned on a backbone, as Detectron2 trains it (spec 06-3).

use std::path::{Path, PathBuf};

use genas_data::coco::{Annotations, CocoTrainSet, DetectionBatch, annotations_file};
use genas_data::{Normalization, PeriodLoader};
use genas_export::{DetectorForm, DetectorInfo, GraphOptions, ModelInfo, detector_model, export_detector};
use genas_net::{
    Device, EvalNet, Feature, Mode, NetError, Network, RetinaNet, SgdConfig, StepReport, Trainer,
    UnsampledOps, Weights, read_weights, sigmoid_focal_loss, smooth_l1_at,
};
use genas_runtime::SessionOptions;
use genas_space::Streams;
use genas_train::Fit;
use genas_train::directory::{file_fingerprint, fingerprint};
use serde::Serialize;

use super::anchors::Anchors;
use super::config::{LossConfig, RetinaNetConfig};
use super::normalizer::Normalizer;
use super::targets::{ImageTargets, level_targets};
use super::weights::initial_weights;
use crate::coco::{BoxPrecision, category_ids, detect_split, evaluate};
use crate::detector::Detector;
use crate::error::{Result, TransferError};
use crate::fine_tuning::{FineTuning, freeze, training_data};

/// The split that is trained on.
pub const TRAIN_SPLIT: &str = "train2017";
/// The split that is evaluated on.
pub const TEST_SPLIT: &str = "val2017";

/// A detector's fine-tuning, all of it decided.
pub struct DetectorTraining<'a> {
    /// Where and how.
    pub common: FineTuning<'a, RetinaNetConfig>,
    /// COCO 2017's folder.
    pub data: &'a Path,
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

impl DetectorTraining<'_> {
    /// The detector for `classes` classes.
    pub fn network(&self, classes: usize) -> Result<RetinaNet> {
        let model = &self.common.config.model;
        let net = RetinaNet {
            backbone: EvalNet { auxiliary: false, ..self.common.backbone.net.clone() },
            relu_features: model.relu_features,
            batch_norm: model.batch_norm,
            channels: model.channels,
            head_convolutions: model.head_convolutions,
            anchors: self.common.config.anchors_per_cell(),
            classes,
        };
        match net.problem() {
            Some(problem) => {
                Err(TransferError::Request(format!("{}: {problem}", self.common.backbone.source)))
            }
            None => Ok(net),
        }
    }

    /// Trains, measures every [`evaluate_every`](super::config::SolverConfig::evaluate_every) steps, and exports. ONNX
    /// Runtime must be installed ([`genas_runtime::ensure`]).
    pub fn run(&self) -> Result<FineTuned> {
        let c = self.common.config;
        c.check().map_err(TransferError::Request)?;
        let streams = Streams::new(c.seed);
        let ModelInfo { mean, std, .. } = self.common.backbone.info;
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
            fingerprint(&self.common.backbone.weights.parameters()),
            file_fingerprint(&annotations_file(self.data, TRAIN_SPLIT))?,
        ));
        self.common.begin(|| self.say(&annotations, &set))?;
        let loader = PeriodLoader::new(set, c.solver.batch_size, c.solver.evaluate_every);
        let steps = Steps { net: &net, config: c, anchors: Anchors::new(&c.anchors), streams };
        let device = self.common.devices.recording();
        let fit = Fit {
            phase: "coco",
            directory: self.common.directory,
            period: "period",
            epochs: c.solver.iterations / c.solver.evaluate_every,
            batches: &loader,
            rate: &|state| c.solver.rate(state.step as usize),
            about: self.common.about(Network::RetinaNet(net.clone()), &info),
            fingerprint: &settings,
            resume: self.common.resume,
            keep_every: c.solver.keep_every,
            observer: self.common.observer,
            replica: (0, 1),
        };
        let freeze = freeze(RetinaNet::BACKBONE, c.model.freeze_stem, c.model.freeze_batch_norm);
        let fitted = fit.run::<BoxPrecision, Option<Normalizer>, TransferError>(
            || Ok(Trainer::new(initial_weights(&net, &self.common.backbone.weights, &c.model, &streams)?)),
            |trainer| trainer.with_precision(c.solver.precision).with_freeze(freeze),
            |trainer, normalizer, rate, batch| steps.step(trainer, normalizer, rate, batch, &device),
            |weights, period| self.measure(&net, weights, &info, &test, period).map(Some),
        )?;
        self.common.check_finished(fitted.is_none())?;
        self.export(&net, &self.common.weights(), &info)
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
        let steps = (period + 1) * self.common.config.solver.evaluate_every;
        let (folder, session) = (self.data.join(TEST_SPLIT), &self.common.session);
        let found =
            self.common.watched("AP", steps, |watch| detect_split(open, test, &folder, session, watch))?;
        Ok(BoxPrecision::from(&evaluate(test, &found.detections)))
    }

    /// Writes the trained detector in both forms.
    fn export(&self, net: &RetinaNet, path: &Path, info: &DetectorInfo) -> Result<FineTuned> {
        let (weights, _) = read_weights(path)?;
        let write = |name: &str, form| {
            let file = self.common.directory.join(name);
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
        self.common
            .observer
            .message(&format!("training on {used} of {images} images with boxes of {classes} classes"));
        if let Some(first) = annotations.problems.first() {
            let (path, n) = (annotations.path.display(), annotations.problems.len());
            self.common.observer.message(&format!("{path}: {n} broken boxes are left out, such as {first}"));
        }
    }

    /// What the detector's files say about themselves.
    fn info(&self, annotations: &Annotations) -> DetectorInfo {
        DetectorInfo {
            class_names: annotations.classes.iter().map(|class| class.name.clone()).collect(),
            category_ids: annotations.classes.iter().map(|class| class.id).collect(),
            mean: self.common.backbone.info.mean,
            std: self.common.backbone.info.std,
            detection: self.common.config.detection(),
            training_data: training_data(self.data, TRAIN_SPLIT),
            source_run: self.common.source_run(),
        }
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
            nesterov: false,
            weight_decay: solver.weight_decay as f32,
            norm_weight_decay: solver.norm_weight_decay as f32,
            clip: solver.clip,
            unsampled: UnsampledOps::ZeroFilled,
        };
        trainer.apply(&sgd, rate)
    }
}
