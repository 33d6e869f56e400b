//! `genas export`.

mod detector;
mod segmenter;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use genas_export::{
    Activations, Calibration, Dim, ExportOptions, ExportReport, Features, GraphOptions, Method, ModelKind,
    Precision, calibrate, export_model,
};
use genas_transfer::{Classifier, Comparison, Preprocessing, SampleOptions, Samples};
use serde::Serialize;

use crate::args::{
    ActivationsArg, AxisArg, CalibrationArg, ExportArgs, ExportKind, FeaturesArg, FormArg, PrecisionArg,
};
use crate::context::Ctx;
use crate::output::{fields, grouped};
use crate::weights::{self, Trained};

/// Where a run keeps its retrained network.
const RETRAINED: &str = "retrain/final.safetensors";

const FORM_OF_DETECTORS: &str = "--form end-to-end and raw are for detectors; add --kind detector";
const FORM_OF_SEGMENTERS: &str = "--form logits and labels are for segmenters; add --kind segmenter";

pub fn run(ctx: &Ctx, args: &ExportArgs) -> Result<()> {
    match args.kind {
        ExportKind::Detector => return detector::run(ctx, args),
        ExportKind::Segmenter => return segmenter::run(ctx, args),
        ExportKind::Classifier | ExportKind::Backbone => {}
    }
    match args.form {
        None => {}
        Some(FormArg::EndToEnd | FormArg::Raw) => bail!("{FORM_OF_DETECTORS}"),
        Some(FormArg::Logits | FormArg::Labels) => bail!("{FORM_OF_SEGMENTERS}"),
    }
    let (kind, precision) = (kind(args)?, precision(args)?);
    let path = source(args, RETRAINED, "train its cell with `genas retrain --out")?;
    let mut trained = weights::read(&path)?;
    if let Some(file) = &args.classes_file {
        trained.info.class_names = class_names(file)?;
    }
    if let Some(run) = &args.run {
        trained.info.source_run = run.display().to_string();
    }
    let mut options = ExportOptions::new(kind, precision, graph_options(args, [trained.info.input_size; 2]));
    let quantized = match &args.calibrate {
        Some(data) => Some(Quantized::find(args, &trained, data)?),
        None => None,
    };
    ctx.ensure_runtime()?;
    if let Some(run) = &args.run {
        ctx.works_in(run);
    }
    if let Some(quantized) = &quantized {
        options.calibration = Some(Arc::new(quantized.calibrate(ctx, kind, &trained)?));
    }
    let report = export_model(&args.onnx, &trained.net, &trained.weights, &trained.info, &options)?;
    let comparison = match &quantized {
        Some(quantized) if kind == ModelKind::Classifier => Some(quantized.compare(ctx, args, &trained)?),
        _ => None,
    };
    let result = Exported { report: &report, accuracy: comparison.as_ref() };
    ctx.out.result(&result, || {
        let mut pairs = written(&report);
        if let Some(share) = report.integers {
            pairs.push(("root mean square of it", format!("{:.1} %", 100.0 * report.relative_rms_error)));
            pairs.push((
                "integer convolutions",
                format!("{} of {} in ONNX Runtime on this CPU", share.integer, share.convolutions),
            ));
        }
        if let Some(comparison) = &comparison {
            pairs.extend(compared(comparison));
        }
        fields(&pairs)
    })
}

/// A file, for people.
fn written(report: &ExportReport) -> Vec<(&'static str, String)> {
    let list =
        |ports: &[genas_runtime::Port]| ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    vec![
        ("written", report.onnx.display().to_string()),
        ("description", report.sidecar.display().to_string()),
        ("bytes", grouped(report.bytes)),
        ("opset", report.opset.to_string()),
        ("inputs", list(&report.inputs)),
        ("outputs", list(&report.outputs)),
        ("largest difference from burn", format!("{:.1e}", report.max_abs_error)),
    ]
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Exported<'a> {
    #[serde(flatten)]
    report: &'a ExportReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy: Option<&'a Comparison>,
}

/// The images of an export in 8-bit integers, and how they are used.
struct Quantized {
    samples: Samples,
    activations: Activations,
    method: Method,
}

impl Quantized {
    fn find(args: &ExportArgs, trained: &Trained, data: &Path) -> Result<Self> {
        let options = SampleOptions {
            calibration: args.calibration_images,
            measured: args.accuracy_images,
            batch: if args.is_free(AxisArg::Batch) { 16 } else { 1 },
        };
        let samples = Samples::find(&trained.info, data, &options)?;
        if samples.calibration.len() < genas_export::FEWEST_IMAGES {
            let few = genas_export::ExportError::TooFewImages(samples.calibration.len());
            return Err(few).with_context(|| data.display().to_string());
        }
        let activations = match args.activations {
            ActivationsArg::Uint8 => Activations::Uint8,
            ActivationsArg::Int8 => Activations::Int8,
        };
        let method = match args.calibration {
            CalibrationArg::Minmax => Method::MinMax,
            CalibrationArg::Percentile => Method::Percentile(args.percentile),
            CalibrationArg::Entropy => Method::Entropy,
        };
        Ok(Self { samples, activations, method })
    }

    fn calibrate(&self, ctx: &Ctx, kind: ModelKind, trained: &Trained) -> Result<Calibration> {
        let Trained { net, weights, info } = trained;
        let pixels = self.samples.calibration.pixels(&ctx.observer.counter("read images"))?;
        let progress = ctx.observer.counter("calibrate");
        Ok(calibrate(net, kind, weights, info, &pixels, self.activations, self.method, &progress)?)
    }

    /// What the file gives up against the same network in 32 bits.
    fn compare(&self, ctx: &Ctx, args: &ExportArgs, trained: &Trained) -> Result<Comparison> {
        let Trained { net, weights, info } = trained;
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let whole = folder.path().join("fp32.onnx");
        let graph = GraphOptions { fold_bn: true, ..graph_options(args, [info.input_size; 2]) };
        export_model(&whole, net, weights, info, &ExportOptions::classifier(graph))?;
        let open = |path: &Path| Classifier::open(path, &Preprocessing::default(), &ctx.session_options());
        let (mut before, mut after) = (open(&whole)?, open(&args.onnx)?);
        Ok(self.samples.compare(&mut before, &mut after, &ctx.observer.counter("compare with fp32"))?)
    }
}

/// A comparison, for people.
fn compared(comparison: &Comparison) -> Vec<(&'static str, String)> {
    let percent = |fraction: f64| format!("{:.2} %", 100.0 * fraction);
    let images = format!(
        "{} images{}",
        comparison.images,
        if comparison.held_out { "" } else { ", those of the calibration: there are no others" }
    );
    let mut pairs = vec![("same class as fp32", format!("{} of {images}", percent(comparison.agreement)))];
    if let (Some(before), Some(after)) = (comparison.top1_before, comparison.top1_after) {
        let drop = 100.0 * (before - after);
        pairs.push((
            "top-1",
            format!("{} (fp32: {}, drop {drop:.2} points)", percent(after), percent(before)),
        ));
    }
    pairs
}

/// What a network of one genotype becomes; detectors and segmenters go another way.
fn kind(args: &ExportArgs) -> Result<ModelKind> {
    Ok(match (args.kind, args.features) {
        (ExportKind::Backbone, None | Some(FeaturesArg::Raw)) => ModelKind::Backbone(Features::Raw),
        (ExportKind::Backbone, Some(FeaturesArg::Relu)) => ModelKind::Backbone(Features::Relu),
        (_, None) => ModelKind::Classifier,
        (_, Some(_)) => bail!("--features is for backbones; add --kind backbone"),
    })
}

/// Refuses options that say nothing to detectors or segmenters.
fn refuse_others(args: &ExportArgs, kind: &str) -> Result<()> {
    let others = [
        ("--features", args.features.is_some()),
        ("--calibrate", args.calibrate.is_some()),
        ("--classes-file", args.classes_file.is_some()),
        ("--precision fp16 or int8", args.precision != PrecisionArg::Fp32),
        ("--fp16-io", args.fp16_io),
    ];
    match others.iter().find(|(_, given)| *given) {
        Some((flag, _)) => bail!("{flag} is not for {kind}, which are written in fp32"),
        None => Ok(()),
    }
}

fn precision(args: &ExportArgs) -> Result<Precision> {
    Ok(match args.precision {
        PrecisionArg::Fp32 | PrecisionArg::Fp16 if args.calibrate.is_some() => {
            bail!("--calibrate is for 8-bit integers; add --precision int8")
        }
        PrecisionArg::Fp16 => Precision::Fp16 { half_io: args.fp16_io },
        _ if args.fp16_io => bail!("--fp16-io is for half precision; add --precision fp16"),
        PrecisionArg::Fp32 => Precision::Fp32,
        PrecisionArg::Int8 if args.calibrate.is_none() => {
            return Err(genas_export::ExportError::NotCalibrated.into());
        }
        PrecisionArg::Int8 => Precision::Int8,
    })
}

/// The file that the weights come from: of a run, `trained`, which the command `train` writes.
fn source(args: &ExportArgs, trained: &str, train: &str) -> Result<PathBuf> {
    match (&args.weights, &args.run) {
        (Some(weights), _) => Ok(weights.clone()),
        (None, Some(run)) => {
            let path = run.join(trained);
            if !path.is_file() {
                bail!("{0} has no {trained}; {train} {0}` first", run.display());
            }
            Ok(path)
        }
        (None, None) => bail!("give --run or --weights"),
    }
}

fn graph_options(args: &ExportArgs, [height, width]: [usize; 2]) -> GraphOptions {
    let dim = |axis, name, size| {
        if args.is_free(axis) { Dim::dynamic(name) } else { Dim::Fixed(size) }
    };
    GraphOptions {
        opset: args.opset,
        fold_bn: args.fold_bn,
        batch: dim(AxisArg::Batch, "batch", 1),
        height: dim(AxisArg::Height, "height", height),
        width: dim(AxisArg::Width, "width", width),
        ..GraphOptions::any_size()
    }
}

fn class_names(path: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect())
}
