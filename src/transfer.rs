//! `genas transfer`.

use std::path::PathBuf;

use anyhow::Result;
use genas_data::coco::{Annotations, annotations_file};
use genas_net::atomic_write;
use genas_search::Observer;
use genas_transfer::coco::{AveragePrecision, ClassPrecision, curves_svg, evaluate, read_results};
use serde::Serialize;

use crate::args::{CocoArgs, TransferAction, TransferArgs};
use crate::context::Ctx;
use crate::output::{fields, table};

/// Broken annotations that people are shown.
const SHOWN: usize = 5;

/// What is printed.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    result: &'a AveragePrecision,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_class: Option<&'a [ClassPrecision]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    curves: Option<&'a PathBuf>,
}

pub fn run(ctx: &Ctx, args: &TransferArgs) -> Result<()> {
    match &args.action {
        TransferAction::Coco(args) => coco(ctx, args),
    }
}

fn coco(ctx: &Ctx, args: &CocoArgs) -> Result<()> {
    let annotations = Annotations::read(&annotations_file(&args.data, "val2017"))?;
    say_problems(ctx, &annotations);
    let detections = read_results(&args.results, &annotations)?;
    let result = evaluate(&annotations, &detections);
    if result.n_not_counted > 0 {
        let (n, path) = (result.n_not_counted, annotations.path.display());
        ctx.observer
            .message(&format!("{n} detections of categories that {path} does not have are not counted"));
    }
    if let Some(path) = &args.curves {
        atomic_write(path, curves_svg(&result).as_bytes())?;
    }
    let per_class = args.per_class.then_some(&result.classes[..]);
    let report = Report { result: &result, per_class, curves: args.curves.as_ref() };
    ctx.out.result(&report, || text(&result, per_class))
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

fn percent(fraction: Option<f64>) -> String {
    fraction.map_or("-".to_owned(), |f| format!("{:.1}", 100.0 * f))
}

fn text(result: &AveragePrecision, per_class: Option<&[ClassPrecision]>) -> String {
    let mut text = fields(&[
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
    ]);
    if let Some(classes) = per_class {
        let rows: Vec<Vec<String>> = classes
            .iter()
            .map(|c| vec![c.name.clone(), percent(c.ap), percent(c.ap50), c.n_objects.to_string()])
            .collect();
        text.push('\n');
        text.push_str(&table(&["class", "AP", "AP50", "objects"], &rows));
    }
    text
}
