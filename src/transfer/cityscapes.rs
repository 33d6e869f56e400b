//! `genas transfer cityscapes`.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use genas_data::Picture;
use genas_data::segmentation::{ClassTable, LabelMap, SegmentationFolder, SegmentationPair};
use genas_export::{SegmenterInfo, SlidingWindow};
use genas_net::atomic_write;
use genas_runtime::SessionOptions;
use genas_search::Observer;
use genas_train::directory::{lock, write_json};
use genas_transfer::Segmenter;
use genas_transfer::deeplab::training::{FineTuned, SegmenterTraining};
use genas_transfer::fine_tuning::{CONFIG, FineTuning};
use genas_transfer::segmentation::{
    ContactSheet, SegmentOptions, SegmentationScores, WindowChoice, confusion_svg, scores, segment_split,
    write_overlay, write_prediction,
};
use serde::Serialize;

use super::fine_tune;
use crate::args::CityscapesArgs;
use crate::context::Ctx;
use crate::output::{fields, percent, table};
use crate::presets;

/// The settings that are taken where none are named.
const DEFAULT: &str = "cityscapes-deeplabv3-40k";

/// Width of the sheet's columns in pixels, at most.
const SHEET_COLUMN: usize = 480;

/// What is printed.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    result: &'a SegmentationScores,
    split: &'a str,
    model: &'a Path,
    /// Logits or labels.
    form: &'static str,
    images_per_second: f64,
    provider: String,
    #[serde(flatten)]
    trained: Option<&'a FineTuned>,
    #[serde(flatten)]
    written: &'a Written,
}

/// Files and folders that were asked for.
#[derive(Clone, Debug, Serialize)]
struct Written {
    #[serde(skip_serializing_if = "Option::is_none")]
    predictions: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overlays: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confusion: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sheet: Option<PathBuf>,
}

pub fn run(ctx: &Ctx, args: &CityscapesArgs) -> Result<()> {
    let Some(folder) = SegmentationFolder::find(&args.data) else {
        bail!(
            "{}: no images with label files are here: give a folder that holds leftImg8bit and gtFine (Cityscapes), SPLIT \
             and SPLITannot, or images/SPLIT and labels/SPLIT",
            args.data.display()
        );
    };
    let mut written = Written {
        predictions: args.predictions.clone(),
        overlays: args.overlays.clone(),
        confusion: args.confusion.clone(),
        sheet: args.sheet.clone(),
    };
    if let Some(model) = &args.model {
        return measure(ctx, args, &folder, model, &written, None);
    }
    let (Some(backbone), Some(out)) = (&args.fine_tune.backbone, &args.fine_tune.out) else {
        bail!("give --model, or --backbone and --out");
    };
    // What comes after the training should not fail for want of it.
    folder.pairs(&args.split)?;
    let directory = out.join("cityscapes");
    let trained = train(ctx, args, &folder, backbone, out, &directory)?;
    // From here on it is a segmenter like any other; the drawings go beside it.
    written.confusion.get_or_insert(directory.join("confusion.svg"));
    written.sheet.get_or_insert(directory.join("sheet.png"));
    let model = trained.segmenter.clone();
    measure(ctx, args, &folder, &model, &written, Some(&trained)).map_err(fine_tune::after_training)
}

/// The classes that the user named, or those of the data, or else of the `model`.
fn classes(
    args: &CityscapesArgs,
    folder: &SegmentationFolder,
    model: Option<&SegmenterInfo>,
) -> Result<ClassTable> {
    if let Some(choice) = &args.classes {
        return Ok(ClassTable::given(choice)?);
    }
    let own = || ClassTable::from_toml(&model?.class_table).ok();
    match folder.classes_if_any()?.or_else(own) {
        Some(classes) => Ok(classes),
        None => Ok(folder.classes()?),
    }
}

/// Trains a segmenter in `directory` on the network in `model`.
fn train(
    ctx: &Ctx,
    args: &CityscapesArgs,
    folder: &SegmentationFolder,
    model: &Path,
    out: &Path,
    directory: &Path,
) -> Result<FineTuned> {
    let own = directory.join(CONFIG);
    let mut config = fine_tune::settings(ctx, &args.fine_tune, &own, DEFAULT, presets::read_cityscapes)?;
    config.seed = ctx.global.seed.unwrap_or(config.seed);
    let classes = classes(args, folder, None)?;
    let backbone = fine_tune::backbone(model)?;
    let devices = ctx.devices()?;
    ctx.ensure_runtime()?;
    let _lock = lock(out)?;
    ctx.works_in(out);
    let common = FineTuning {
        directory,
        backbone: &backbone,
        config: &config,
        devices: &devices,
        session: ctx.session_options(),
        resume: args.fine_tune.resume,
        observer: &ctx.observer,
    };
    Ok(SegmenterTraining { common, data: folder, classes: &classes }.run()?)
}

fn options(args: &CityscapesArgs) -> SegmentOptions {
    let window = match (args.crop, args.stride) {
        (Some(crop), Some(stride)) => WindowChoice::Sliding(SlidingWindow { crop, stride }),
        _ if args.whole => WindowChoice::Whole,
        _ => WindowChoice::Own,
    };
    SegmentOptions { scales: args.scales.clone(), flip: args.flip, window }
}

/// Mean IoU of a segmenter, which may have been trained just now.
fn measure(
    ctx: &Ctx,
    args: &CityscapesArgs,
    folder: &SegmentationFolder,
    model: &Path,
    written: &Written,
    trained: Option<&FineTuned>,
) -> Result<()> {
    let mut pairs = folder.pairs(&args.split)?;
    pairs.truncate(args.limit.unwrap_or(usize::MAX));
    ctx.ensure_runtime()?;
    let session = ctx.session_options();
    let segmenter = Segmenter::open(model, &session)?;
    ctx.say_provider(segmenter.provider());
    let form = segmenter.form().name();
    let classes = classes(args, folder, Some(segmenter.info()))?;
    drop(segmenter);
    let counter = ctx.observer.counter("segment");
    let progress = |done, total| {
        counter(done, total);
        if ctx.observer.interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let sheet = ContactSheet::new(&pairs, args.sheet_images, &classes, SHEET_COLUMN);
    let each = |pair: &SegmentationPair, picture: &Picture, predicted: &LabelMap| {
        if let Some(folder) = &written.predictions {
            write_prediction(folder, pair, predicted, &classes)?;
        }
        if let Some(folder) = &written.overlays {
            write_overlay(folder, pair, picture, predicted, &classes)?;
        }
        if written.sheet.is_some() { sheet.add(pair, picture, predicted) } else { Ok(()) }
    };
    let open = |options: &SessionOptions| Segmenter::open(model, options);
    let found = segment_split(open, &pairs, &classes, &options(args), &session, &each, &progress)?;
    let names = classes.names();
    let result = scores(&found.matrix, &names);
    if let Some(path) = &written.confusion {
        atomic_write(path, confusion_svg(&found.matrix, &names).as_bytes())?;
    }
    if let Some(path) = &written.sheet {
        sheet.write(path)?;
    }
    let report = Report {
        result: &result,
        split: &args.split,
        model,
        form,
        images_per_second: found.images_per_second(),
        provider: found.provider.to_string(),
        trained,
        written,
    };
    if let Some(trained) = trained {
        write_json(&trained.segmenter.with_file_name("result.json"), &report)?;
    }
    ctx.out.result(&report, || text(&report, args.per_class))
}

fn text(report: &Report, per_class: bool) -> String {
    let result = report.result;
    let mut text = fields(&[
        ("mIoU", percent(Some(result.miou))),
        ("pixel accuracy", percent(Some(result.pixel_accuracy))),
        ("mean accuracy", percent(Some(result.mean_accuracy))),
        ("images", result.n_images.to_string()),
        ("pixels", result.n_pixels.to_string()),
        ("pixels ignored", result.n_ignored.to_string()),
        ("images per second", format!("{:.2}", report.images_per_second)),
        ("provider", report.provider.clone()),
        ("segmenter", report.model.display().to_string()),
    ]);
    if per_class {
        let rows: Vec<Vec<String>> = result
            .classes
            .iter()
            .map(|c| vec![c.name.clone(), percent(c.iou), percent(c.accuracy), c.pixels.to_string()])
            .collect();
        text.push('\n');
        text.push_str(&table(&["class", "IoU", "accuracy", "pixels"], &rows));
    }
    text
}
