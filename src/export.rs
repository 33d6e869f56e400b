//! `genas export`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use genas_export::{Dim, ExportOptions, Features, GraphOptions, ModelKind, Precision, export_model};

use crate::args::{AxisArg, ExportArgs, ExportKind, FeaturesArg, PrecisionArg};
use crate::context::Ctx;
use crate::output::{fields, grouped};
use crate::weights;

/// Where a run keeps its retrained network.
const RETRAINED: &str = "retrain/final.safetensors";

pub fn run(ctx: &Ctx, args: &ExportArgs) -> Result<()> {
    let (kind, precision) = (kind(args)?, precision(args)?);
    let path = source(args)?;
    let mut trained = weights::read(&path)?;
    if let Some(file) = &args.classes_file {
        trained.info.class_names = class_names(file)?;
    }
    if let Some(run) = &args.run {
        trained.info.source_run = run.display().to_string();
    }
    ctx.ensure_runtime()?;
    let options = ExportOptions { kind, precision, graph: graph_options(args, trained.info.input_size) };
    let report = export_model(&args.onnx, &trained.net, &trained.weights, &trained.info, &options)?;
    ctx.out.result(&report, || {
        let list = |ports: &[genas_runtime::Port]| {
            ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        fields(&[
            ("written", report.onnx.display().to_string()),
            ("description", report.sidecar.display().to_string()),
            ("bytes", grouped(report.bytes)),
            ("opset", report.opset.to_string()),
            ("inputs", list(&report.inputs)),
            ("outputs", list(&report.outputs)),
            ("largest difference from burn", format!("{:.1e}", report.max_abs_error)),
        ])
    })
}

fn kind(args: &ExportArgs) -> Result<ModelKind> {
    Ok(match (args.kind, args.features) {
        (ExportKind::Classifier, None) => ModelKind::Classifier,
        (ExportKind::Classifier, Some(_)) => bail!("--features is for backbones; add --kind backbone"),
        (ExportKind::Backbone, None | Some(FeaturesArg::Raw)) => ModelKind::Backbone(Features::Raw),
        (ExportKind::Backbone, Some(FeaturesArg::Relu)) => ModelKind::Backbone(Features::Relu),
    })
}

fn precision(args: &ExportArgs) -> Result<Precision> {
    Ok(match args.precision {
        PrecisionArg::Fp16 => Precision::Fp16 { half_io: args.fp16_io },
        _ if args.fp16_io => bail!("--fp16-io is for half precision; add --precision fp16"),
        PrecisionArg::Fp32 => Precision::Fp32,
        PrecisionArg::Int8 => {
            bail!("--precision int8 is not built yet; what works is --precision fp32 and fp16")
        }
    })
}

/// The file that the weights come from.
fn source(args: &ExportArgs) -> Result<PathBuf> {
    match (&args.weights, &args.run) {
        (Some(weights), _) => Ok(weights.clone()),
        (None, Some(run)) => {
            let path = run.join(RETRAINED);
            if !path.is_file() {
                bail!(
                    "{} has no {RETRAINED}; train its cell with `genas retrain --out {0}` first",
                    run.display()
                );
            }
            Ok(path)
        }
        (None, None) => bail!("give --run or --weights"),
    }
}

fn graph_options(args: &ExportArgs, side: usize) -> GraphOptions {
    let dim = |axis, name, size| {
        if args.dynamic.contains(&axis) { Dim::dynamic(name) } else { Dim::Fixed(size) }
    };
    GraphOptions {
        opset: args.opset,
        fold_bn: args.fold_bn,
        batch: dim(AxisArg::Batch, "batch", 1),
        height: dim(AxisArg::Height, "height", side),
        width: dim(AxisArg::Width, "width", side),
        ..GraphOptions::square(side)
    }
}

fn class_names(path: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect())
}
