//! DeepLab-v3 fine-tuned on a backbone, as MMSegmentation trains it (spec 06, section 5).

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
    AuxiliaryHead, DeepLabV3, Device, EvalNet, Feature, Mode, NetError, Network, PixelLabels, Probability,
    SgdConfig, StepReport, Trainer, UnsampledOps, Weights, cross_entropy_map, read_weights,
};
use genas_runtime::SessionOptions;
use genas_space::Streams;
use genas_train::Fit;
use genas_train::directory::fingerprint;
use serde::Serialize;

use super::config::DeepLabConfig;
use super::weights::initial_weights;
use crate::error::{Result, TransferError};
use crate::fine_tuning::{FineTuning, freeze, training_data};
use crate::segmentation::{MeanIou, SegmentOptions, scores, segment_split};
use crate::segmenter::Segmenter;

/// The split that is trained on.
pub const TRAIN_SPLIT: &str = "train";
/// The split that is evaluated on.
pub const TEST_SPLIT: &str = "val";

/// A segmenter's fine-tuning, all of it decided.
pub struct SegmenterTraining<'a> {
    /// Where and how.
    pub common: FineTuning<'a, DeepLabConfig>,
    /// Images and labels.
    pub data: &'a SegmentationFolder,
    /// What the values in label files mean.
    pub classes: &'a ClassTable,
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

impl SegmenterTraining<'_> {
    /// The segmenter, its auxiliary head included.
    pub fn network(&self) -> Result<DeepLabV3> {
        let model = &self.common.config.model;
        let channels = model.auxiliary_channels;
        let net = DeepLabV3 {
            backbone: EvalNet { auxiliary: false, ..self.common.backbone.net.clone() },
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
        if let Some(problem) = c.loss.class_weights.problem(self.classes.len()) {
            return Err(TransferError::Request(problem));
        }
        let net = self.network()?;
        let streams = Streams::new(c.seed);
        let ModelInfo { mean, std, .. } = self.common.backbone.info;
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
            fingerprint(&self.common.backbone.weights.parameters()),
            set.files()?,
        ));
        self.common.begin(|| {
            let (images, classes, others) = (set.len(), self.classes.len(), test.len());
            self.common.observer.message(&format!(
                "training on {images} images of {classes} classes, measuring on {others} others"
            ));
        })?;
        let class_weights = c.loss.class_weights.factors(|| set.pixels_of_classes())?.map(Arc::from);
        let loader = PeriodLoader::new(set, c.solver.batch_size, c.solver.evaluate_every);
        let steps = Steps { net: &net, config: c, class_weights, streams };
        let device = self.common.devices.recording();
        let schedule = c.solver.schedule();
        let fit = Fit {
            phase: "cityscapes",
            directory: self.common.directory,
            period: "period",
            epochs: c.solver.iterations / c.solver.evaluate_every,
            batches: &loader,
            rate: &|state| schedule.at(state.step as usize),
            about: self.common.about(Network::DeepLabV3(net.clone()), &info),
            fingerprint: &settings,
            resume: self.common.resume,
            keep_every: c.solver.keep_every,
            observer: self.common.observer,
            replica: (0, 1),
        };
        let freeze = freeze(DeepLabV3::BACKBONE, c.model.freeze_stem, c.model.freeze_batch_norm);
        let std = c.model.classifier_std;
        let fitted = fit.run::<MeanIou, (), TransferError>(
            || Ok(Trainer::new(initial_weights(&net, &self.common.backbone.weights, std, &streams)?)),
            |trainer| trainer.with_precision(c.solver.precision).with_freeze(freeze),
            |trainer, (), rate, batch| steps.step(trainer, rate, batch, &device),
            |weights, period| self.measure(&net, weights, &info, &test, period).map(Some),
        )?;
        self.common.check_finished(fitted.is_none())?;
        self.export(&net, &self.common.weights(), &info)
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
        let steps = (period + 1) * self.common.config.solver.evaluate_every;
        let (how, session) = (SegmentOptions::default(), &self.common.session);
        let found = self.common.watched("mIoU", steps, |watch| {
            segment_split(open, test, self.classes, &how, session, &|_, _, _| Ok(()), watch)
        })?;
        Ok(MeanIou::from(&scores(&found.matrix, &self.classes.names())))
    }

    /// Writes the trained segmenter in both forms.
    fn export(&self, net: &DeepLabV3, path: &Path, info: &SegmenterInfo) -> Result<FineTuned> {
        let (weights, _) = read_weights(path)?;
        let write = |name: &str, form| {
            let file = self.common.directory.join(name);
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
        let classes = self.classes.classes();
        SegmenterInfo {
            class_names: self.classes.names(),
            label_ids: classes.iter().map(|class| class.labels[0]).collect(),
            colors: classes.iter().map(|class| class.color).collect(),
            class_table: self.classes.to_toml(),
            mean: self.common.backbone.info.mean,
            std: self.common.backbone.info.std,
            segmentation: (&self.common.config.test).into(),
            training_data: training_data(&self.data.dir, TRAIN_SPLIT),
            source_run: self.common.source_run(),
        }
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
            nesterov: false,
            weight_decay: solver.weight_decay as f32,
            norm_weight_decay: solver.norm_weight_decay as f32,
            clip: solver.clip,
            unsampled: UnsampledOps::ZeroFilled,
        };
        trainer.apply(&sgd, rate)
    }
}
