//! DeepLab-v3 fine-tuned on a backbone, as MMSegmentation trains it (spec 06, section 5).

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use genas_data::segmentation::{
    ClassTable, IGNORED, SegmentationBatch, SegmentationFolder, SegmentationPair, SegmentationTrainSet,
};
use genas_data::{Normalization, PeriodLoader};
use genas_export::{
    GraphOptions, ModelInfo, SegmenterForm, SegmenterInfo, export_segmenter, segmenter_model,
};
use genas_net::{
    AuxiliaryHead, DeepLabV3, Device, Devices, EvalNet, Feature, Freeze, Mode, NetError, Network,
    PixelLabels, Probability, SgdConfig, StepReport, Trainer, UnsampledOps, Weights, WeightsFile,
    atomic_write, cross_entropy_map, read_weights,
};
use genas_runtime::SessionOptions;
use genas_space::Streams;
use genas_train::directory::fingerprint;
use genas_train::settings::to_toml;
use genas_train::{Fit, Observer, TrainError};
use serde::Serialize;

use super::config::DeepLabConfig;
use super::weights::initial_weights;
use crate::backbone::Backbone;
use crate::error::{Result, TransferError};
use crate::segmentation::{MeanIou, SegmentOptions, scores, segment_split};
use crate::segmenter::Segmenter;

/// The resolved settings, beside the weights.
pub const CONFIG: &str = "config.toml";
/// The split that is trained on.
pub const TRAIN_SPLIT: &str = "train";
/// The split that is evaluated on.
pub const TEST_SPLIT: &str = "val";

/// A fine-tuning, all of it decided.
pub struct FineTuning<'a> {
    /// Where everything goes.
    pub directory: &'a Path,
    /// What it begins with.
    pub backbone: &'a Backbone,
    /// The settings.
    pub config: &'a DeepLabConfig,
    /// Images and labels.
    pub data: &'a SegmentationFolder,
    /// What the values in label files mean.
    pub classes: &'a ClassTable,
    /// Where burn computes.
    pub devices: &'a Devices,
    /// Where ONNX Runtime computes, for the evaluations.
    pub session: SessionOptions,
    /// Continue an interrupted training.
    pub resume: bool,
    /// Progress.
    pub observer: &'a dyn Observer,
}

/// A segmenter that was trained, as files.
#[derive(Clone, Debug, Serialize)]
pub struct FineTuned {
    /// Weights after the last step.
    pub weights: PathBuf,
    /// From images to logits of their size.
    #[serde(rename = "onnx")]
    pub segmenter: PathBuf,
    /// From images to labels.
    #[serde(rename = "onnx_labels")]
    pub labels: PathBuf,
}

impl FineTuning<'_> {
    /// The segmenter, its auxiliary head included.
    pub fn network(&self) -> Result<DeepLabV3> {
        let model = &self.config.model;
        let channels = model.auxiliary_channels;
        let net = DeepLabV3 {
            backbone: EvalNet { auxiliary: false, ..self.backbone.net.clone() },
            output_stride: model.output_stride,
            exact_dilation: model.exact_dilation,
            relu_features: model.relu_features,
            channels: model.channels,
            rates: model.rates.clone(),
            classes: self.classes.len(),
            auxiliary: (channels > 0).then_some(AuxiliaryHead { channels }),
            dropout: Probability::new(model.dropout).ok_or_else(|| {
                TransferError::Request(format!("model.dropout is {}, no probability", model.dropout))
            })?,
            align_corners: model.align_corners,
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
        if let Some(problem) = c.loss.class_weights.problem(self.classes.len()) {
            return Err(TransferError::Request(problem));
        }
        let net = self.network()?;
        let streams = Streams::new(c.seed);
        let ModelInfo { mean, std, .. } = self.backbone.info;
        let normalization = Normalization { mean, std };
        let set = SegmentationTrainSet::open(
            self.data,
            TRAIN_SPLIT,
            self.classes.clone(),
            c.data.clone(),
            &normalization,
            streams,
        )?;
        let test = self.data.pairs(TEST_SPLIT)?;
        let info = self.info();
        let settings = fingerprint(&(
            c,
            &net,
            (mean, std),
            self.classes.to_toml(),
            fingerprint(&self.backbone.weights.parameters()),
            set.files()?,
        ));
        let weights = self.directory.join("final.safetensors");
        // A finished or unfinished training keeps its own settings, whatever is wanted now: it may be refused below.
        if !weights.exists() && !self.directory.join("latest").exists() {
            atomic_write(&self.directory.join(CONFIG), to_toml(c).as_bytes())?;
            let (images, classes, others) = (set.len(), self.classes.len(), test.len());
            self.observer.message(&format!(
                "training on {images} images of {classes} classes, measuring on {others} others"
            ));
        }
        let class_weights = c.loss.class_weights.factors(|| set.pixels_of_classes())?.map(Arc::from);
        let loader = PeriodLoader::new(set, c.solver.batch_size, c.solver.evaluate_every);
        let steps = Steps { net: &net, config: c, class_weights, streams };
        let device = self.devices.recording();
        let schedule = c.solver.schedule();
        let fit = Fit {
            phase: "cityscapes",
            directory: self.directory,
            period: "period",
            epochs: c.solver.iterations / c.solver.evaluate_every,
            batches: &loader,
            rate: &|state| schedule.at(state.step as usize),
            about: WeightsFile { network: Network::DeepLabV3(net.clone()), extra: self.description(&info) },
            fingerprint: &settings,
            resume: self.resume,
            keep_every: c.solver.keep_every,
            observer: self.observer,
            replica: (0, 1),
        };
        let freeze = freeze(c);
        let std = c.model.classifier_std;
        let fitted = fit.run::<MeanIou, (), TransferError>(
            || Ok(Trainer::new(initial_weights(&net, &self.backbone.weights, std, &streams)?)),
            |trainer| trainer.with_precision(c.solver.precision).with_freeze(freeze),
            |trainer, (), rate, batch| steps.step(trainer, rate, batch, &device),
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

    /// Mean IoU of a segmenter after a period, counted from 0, as its file would have it.
    fn measure(
        &self,
        net: &DeepLabV3,
        weights: &Weights,
        info: &SegmenterInfo,
        test: &[SegmentationPair],
        period: usize,
    ) -> Result<MeanIou> {
        let options = GraphOptions { fold_bn: true, ..GraphOptions::any_size() };
        let bytes = segmenter_model(net, weights, info, SegmenterForm::Logits, &options)?;
        let open =
            |options: &SessionOptions| Segmenter::from_bytes("the segmenter in training", &bytes, options);
        let steps = ((period + 1) * self.config.solver.evaluate_every) as u64;
        let watch = |done, total| {
            let stands = format!("measuring mIoU: image {done}/{total}");
            self.observer.advance(steps, &stands);
            self.observer.dashboard(&[stands]);
            if self.observer.interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let how = SegmentOptions::default();
        let found = segment_split(open, test, self.classes, &how, &self.session, &|_, _, _| Ok(()), &watch);
        let found = found.map_err(|error| match error {
            // The loop saves its state when this fails.
            TransferError::Interrupted => TrainError::Interrupted.into(),
            error => error,
        })?;
        Ok(MeanIou::from(&scores(&found.matrix, &self.classes.names())))
    }

    /// Writes the trained segmenter in both forms.
    fn export(&self, net: &DeepLabV3, path: &Path, info: &SegmenterInfo) -> Result<FineTuned> {
        let (weights, _) = read_weights(path)?;
        let write = |name: &str, form| {
            let file = self.directory.join(name);
            export_segmenter(&file, net, &weights, info, form, &GraphOptions::any_size())?;
            Ok::<_, TransferError>(file)
        };
        Ok(FineTuned {
            weights: path.to_owned(),
            segmenter: write("segmenter.onnx", SegmenterForm::Logits)?,
            labels: write("segmenter-labels.onnx", SegmenterForm::Labels)?,
        })
    }

    /// What the segmenter's files say about themselves.
    fn info(&self) -> SegmenterInfo {
        let dir = &self.data.dir;
        let whole = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.clone());
        let name = whole.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let classes = self.classes.classes();
        SegmenterInfo {
            class_names: self.classes.names(),
            label_ids: classes.iter().map(|class| class.labels[0]).collect(),
            colors: classes.iter().map(|class| class.color).collect(),
            class_table: self.classes.to_toml(),
            mean: self.backbone.info.mean,
            std: self.backbone.info.std,
            segmentation: (&self.config.test).into(),
            training_data: format!("{name} {TRAIN_SPLIT}"),
            source_run: self.directory.parent().unwrap_or(self.directory).display().to_string(),
        }
    }

    /// What stands beside the weights.
    fn description(&self, info: &SegmenterInfo) -> serde_json::Map<String, serde_json::Value> {
        let mut facts = match serde_json::to_value(info) {
            Ok(serde_json::Value::Object(facts)) => facts,
            _ => serde_json::Map::new(),
        };
        facts.insert("backbone".to_owned(), self.backbone.source.clone().into());
        facts
    }
}

/// What the settings leave as it is.
fn freeze(config: &DeepLabConfig) -> Freeze {
    let part = |frozen: bool, name: &str| {
        if frozen { vec![format!("{}.{name}", DeepLabV3::BACKBONE)] } else { Vec::new() }
    };
    Freeze {
        parameters: part(config.model.freeze_stem, "stem0."),
        batch_norm: part(config.model.freeze_batch_norm, ""),
    }
}

/// The steps of a training.
struct Steps<'a> {
    net: &'a DeepLabV3,
    config: &'a DeepLabConfig,
    class_weights: Option<Arc<[f32]>>,
    streams: Streams,
}

impl Steps<'_> {
    fn pixels(&self, labels: &[i64]) -> PixelLabels {
        PixelLabels {
            labels: labels.into(),
            ignore: Some(i64::from(IGNORED)),
            weights: self.class_weights.clone(),
            average: self.config.loss.average.into(),
        }
    }

    fn step(
        &self,
        trainer: &mut Trainer,
        rate: f64,
        batch: SegmentationBatch,
        device: &Device,
    ) -> Result<StepReport, NetError> {
        let (loss, solver) = (&self.config.loss, &self.config.solver);
        let parts = solver.accumulate.min(batch.n);
        let (image, map) = (3 * batch.height * batch.width, batch.height * batch.width);
        let whole = self.pixels(&batch.labels).divisor();
        for part in 0..parts {
            let (from, to) = (part * batch.n / parts, (part + 1) * batch.n / parts);
            let images = batch.images[from * image..to * image].to_vec();
            let pixels = self.pixels(&batch.labels[from * map..to * map]);
            // Parts have unlike numbers of labelled pixels. The mean over parts of so many times a part's mean is the
            // batch's.
            let factor = parts as f64 * pixels.divisor() / whole;
            let rng = self.streams.rng(&format!("cityscapes/dropout/{part}"), trainer.state.step);
            trainer.accumulate(1.0, device, Mode::Train { drop_path: 0.0, rng: Box::new(rng) }, |i| {
                let x = Feature::from_values(images, [to - from, 3, batch.height, batch.width], i.device());
                let (logits, auxiliary) = self.net.forward(i, &x);
                let main = cross_entropy_map(self.net.resize(i, &logits, &x).tensor(), &pixels);
                let total = match auxiliary {
                    Some(logits) => {
                        let other = cross_entropy_map(self.net.resize(i, &logits, &x).tensor(), &pixels);
                        main + other.mul_scalar(loss.auxiliary_weight)
                    }
                    None => main,
                };
                total.mul_scalar(factor)
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
