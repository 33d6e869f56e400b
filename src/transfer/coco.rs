//! `genas transfer coco`.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use genas_data::coco::{Annotations, annotations_file};
use genas_net::atomic_write;
use genas_search::Observer;
use genas_train::directory::{lock, write_json};
use genas_transfer::Detector;
use genas_transfer::coco::draw::{DrawOptions, draw_split};
use genas_transfer::coco::{
    AveragePrecision, ClassPrecision, CocoDetection, curves_svg, detect_split, evaluate, read_results,
    write_results,
};
use genas_transfer::fine_tuning::{CONFIG, FineTuning};
use genas_transfer::retinanet::training::{DetectorTraining, FineTuned};
use serde::Serialize;

use super::fine_tune;
use crate::args::CocoArgs;
use crate::context::Ctx;
use crate::output::{fields, percent, table};
use crate::presets;

/// The settings that are taken where none are named.
const DEFAULT: &str = "coco-retinanet-1x";
/// Broken annotations that people are shown.
const SHOWN: usize = 5;

/// What is printed.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    result: &'a AveragePrecision,
    #[serde(flatten)]
    ran: Option<Ran<'a>>,
    #[serde(flatten)]
    trained: Option<&'a FineTuned>,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_class: Option<&'a [ClassPrecision]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    curves: Option<&'a PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drawn: Option<Vec<PathBuf>>,
}

/// How a model's detections came about.
#[derive(Serialize)]
struct Ran<'a> {
    model: &'a Path,
    /// Raw or end-to-end.
    form: &'static str,
    images_per_second: f64,
    provider: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    detections: Option<&'a PathBuf>,
}

pub fn run(ctx: &Ctx, args: &CocoArgs) -> Result<()> {
    // Images are found through the folder; an instances file alone is enough for detections that are there already.
    let needs = [
        ("--backbone", args.fine_tune.backbone.is_some()),
        ("--model", args.model.is_some()),
        ("--draw", args.draw.is_some()),
    ];
    if let Some((flag, _)) = needs.iter().find(|(_, given)| *given && !args.data.is_dir()) {
        bail!(
            "{}: {flag} needs the images too: give the folder that holds annotations/instances_{split}.json and \
             {split}/",
            args.data.display(),
            split = args.split
        );
    }
    let (Some(backbone), Some(out)) = (&args.fine_tune.backbone, &args.fine_tune.out) else {
        return measure(ctx, args, None);
    };
    let directory = out.join("coco");
    let trained = train(ctx, args, backbone, out, &directory)?;
    // From here on it is a detector like any other; what is found, curves and pictures go beside it.
    let default = |path: &Option<PathBuf>, name: &str| Some(path.clone().unwrap_or(directory.join(name)));
    let args = CocoArgs {
        model: Some(trained.detector.clone()),
        detections: default(&args.detections, "detections.json"),
        curves: default(&args.curves, "curves.svg"),
        draw: default(&args.draw, "pictures"),
        ..args.clone()
    };
    measure(ctx, &args, Some(&trained)).map_err(fine_tune::after_training)
}

/// Trains a detector in `directory` on the network in `model`.
fn train(ctx: &Ctx, args: &CocoArgs, model: &Path, out: &Path, directory: &Path) -> Result<FineTuned> {
    let own = directory.join(CONFIG);
    let mut config = fine_tune::settings(ctx, &args.fine_tune, &own, DEFAULT, presets::read_coco)?;
    config.seed = ctx.global.seed.unwrap_or(config.seed);
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
    Ok(DetectorTraining { common, data: &args.data }.run()?)
}

/// Average precision of a detector, which may have been trained just now, or of detections.
fn measure(ctx: &Ctx, args: &CocoArgs, trained: Option<&FineTuned>) -> Result<()> {
    let mut annotations = Annotations::read(&annotations_file(&args.data, &args.split))?;
    if let Some(n) = args.limit {
        annotations = annotations.limited(n);
    }
    say_problems(ctx, &annotations);
    let (detections, ran) = match (&args.model, &args.results) {
        (Some(model), _) => {
            let (detections, ran) = of_model(ctx, args, model, &annotations)?;
            (detections, Some(ran))
        }
        (None, Some(results)) => (read_results(results, &annotations)?, None),
        (None, None) => bail!("give --model or --results"),
    };
    let result = evaluate(&annotations, &detections);
    if result.n_not_counted > 0 {
        let (n, path) = (result.n_not_counted, annotations.path.display());
        ctx.observer
            .message(&format!("{n} detections of categories that {path} does not have are not counted"));
    }
    if let Some(path) = &args.curves {
        atomic_write(path, curves_svg(&result).as_bytes())?;
    }
    let drawn = match &args.draw {
        Some(out) => {
            let options = DrawOptions { images: args.draw_images, score_above: args.draw_above };
            Some(draw_split(&annotations, &args.data.join(&args.split), &detections, out, &options)?)
        }
        None => None,
    };
    let per_class = args.per_class.then_some(&result.classes[..]);
    let report = Report { result: &result, ran, trained, per_class, curves: args.curves.as_ref(), drawn };
    if let Some(trained) = trained {
        write_json(&trained.detector.with_file_name("result.json"), &report)?;
    }
    ctx.out.result(&report, || text(&report))
}

/// Runs a detector on the images, and writes what it found where that is asked for.
fn of_model<'a>(
    ctx: &Ctx,
    args: &'a CocoArgs,
    model: &'a Path,
    annotations: &Annotations,
) -> Result<(Vec<CocoDetection>, Ran<'a>)> {
    ctx.ensure_runtime()?;
    let options = ctx.session_options();
    let detector = Detector::open(model, &options)?;
    ctx.say_provider(detector.provider());
    let form = detector.form().name();
    drop(detector);
    let counter = ctx.observer.counter("detect");
    let progress = |done, total| {
        counter(done, total);
        if ctx.observer.interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let folder = args.data.join(&args.split);
    let found =
        detect_split(|options| Detector::open(model, options), annotations, &folder, &options, &progress)?;
    if let Some(path) = &args.detections {
        write_results(path, &found.detections)?;
    }
    let ran = Ran {
        model,
        form,
        images_per_second: found.images_per_second(),
        provider: found.provider.to_string(),
        detections: args.detections.as_ref(),
    };
    Ok((found.detections, ran))
}

fn say_problems(ctx: &Ctx, annotations: &Annotations) {
    let (path, problems) = (annotations.path.display(), &annotations.problems);
    for problem in problems.iter().take(SHOWN) {
        ctx.observer.message(&format!("{path}: {problem}"));
    }
    if problems.len() > SHOWN {
        ctx.observer.message(&format!("{path}: and {} broken annotations more", problems.len() - SHOWN));
    }
}

fn text(report: &Report) -> String {
    let result = report.result;
    let mut pairs = vec![
        ("AP", percent(result.ap)),
        ("AP50", percent(result.ap50)),
        ("AP75", percent(result.ap75)),
        ("AP small", percent(result.ap_small)),
        ("AP medium", percent(result.ap_medium)),
        ("AP large", percent(result.ap_large)),
        ("AR 1, 10, 100", [result.ar1, result.ar10, result.ar100].map(percent).join(", ")),
        ("images", result.n_images.to_string()),
        ("objects", result.n_objects.to_string()),
        ("detections", result.n_detections.to_string()),
    ];
    if let Some(ran) = &report.ran {
        pairs.push(("images per second", format!("{:.2}", ran.images_per_second)));
        pairs.push(("provider", ran.provider.clone()));
        pairs.push(("detector", ran.model.display().to_string()));
    }
    let mut text = fields(&pairs);
    if let Some(classes) = report.per_class {
        let rows: Vec<Vec<String>> = classes
            .iter()
            .map(|c| vec![c.name.clone(), percent(c.ap), percent(c.ap50), c.n_objects.to_string()])
            .collect();
        text.push('\n');
        text.push_str(&table(&["class", "AP", "AP50", "objects"], &rows));
    }
    text
}
