//! `genas evaluate`.

use std::path::Path;

use anyhow::{Result, bail};
use clap::CommandFactory;
use clap::error::ErrorKind;
use genas_transfer::{Classifier, EvalSet, EvaluateOptions, Evaluation, Plan, Prediction, Preprocessing};
use serde::Serialize;
use serde_json::json;

use crate::args::{Cli, EvaluateArgs};
use crate::context::Ctx;
use crate::output::{fields, markdown, write_csv};
use crate::record::append;

/// Results in a run's folder.
const RESULTS: &str = "evaluate.jsonl";

/// One model on one set.
#[derive(Debug, Serialize)]
pub struct Row<'a> {
    /// The file.
    pub model: &'a Path,
    /// The set.
    pub set: EvalSet,
    /// Where it is.
    pub data: &'a Path,
    /// What was measured.
    #[serde(flatten)]
    pub evaluation: Evaluation,
}

impl Row<'_> {
    /// Adds a line to the results in a run's folder.
    pub fn keep(&self, run: &Path) -> Result<()> {
        append(&run.join(RESULTS), self)
    }
}

pub fn run(ctx: &Ctx, args: &EvaluateArgs) -> Result<()> {
    let sets = sets(args)?;
    if let Some(run) = &args.out
        && !run.is_dir()
    {
        bail!("{}: there is no such run; --out takes the folder of a run that is there", run.display());
    }
    ctx.ensure_runtime()?;
    let preprocessing = Preprocessing { mean: args.mean, std: args.std, size: args.size };
    // Everything is opened and looked through before the first image is read: hours may lie between.
    let mut planned = Vec::new();
    for model in &args.models {
        let classifier = Classifier::open(model, &preprocessing, &ctx.session_options())?;
        let mut plans = Vec::new();
        for &(set, data) in &sets {
            let options = EvaluateOptions {
                set,
                batch_size: args.batch_size,
                ignore_labels: args.ignore_labels,
                in_distribution: args.in_distribution.clone(),
            };
            plans.push((set, data, Plan::new(&classifier, data, &options)?));
        }
        planned.push((model, classifier, plans));
    }
    if let Some(run) = &args.out {
        ctx.works_in(run);
    }
    let mut rows = Vec::new();
    let several = args.models.len() * sets.len() > 1;
    for (model, mut classifier, plans) in planned {
        if rows.is_empty() {
            ctx.say_provider(classifier.session().provider_used());
        }
        for (set, data, plan) in plans {
            let phase = if several { format!("{} on {set}", model.display()) } else { "evaluate".to_owned() };
            let evaluation = plan.run(&mut classifier, &ctx.observer.counter(&phase))?;
            let row = Row { model, set, data, evaluation };
            if let Some(run) = &args.out {
                row.keep(run)?;
            }
            rows.push(row);
        }
    }
    if let (Some(path), [row]) = (&args.predictions, &rows[..]) {
        write_predictions(path, &row.evaluation.predictions)?;
    }
    if let Some(path) = &args.csv {
        let head = csv_head();
        write_csv(path, &head.map(|(name, _)| name), rows.iter().map(|row| head.map(|(_, cell)| cell(row))))?;
    }
    match &rows[..] {
        [row] => ctx.out.result(&row.evaluation, || text(&row.evaluation)),
        rows => ctx.out.result(&json!({ "rows": rows }), || table(rows)),
    }
}

/// Every set with its data.
fn sets(args: &EvaluateArgs) -> Result<Vec<(EvalSet, &Path)>> {
    let wrong = |kind, message: String| Err(Cli::command().error(kind, message).into());
    let (sets, data) = (&args.set, &args.data);
    if data.len() != 1 && data.len() != sets.len() {
        return wrong(
            ErrorKind::WrongNumberOfValues,
            format!(
                "{} sets and {} data folders: give one --data for each --set, in their order, or one for all",
                sets.len(),
                data.len()
            ),
        );
    }
    if args.predictions.is_some() && args.models.len() * sets.len() > 1 {
        return wrong(ErrorKind::ArgumentConflict, "--predictions is for one model on one set".to_owned());
    }
    let of_o = sets.contains(&EvalSet::ImageNetO);
    if of_o && args.in_distribution.is_none() {
        return wrong(
            ErrorKind::MissingRequiredArgument,
            "--set imagenet-o needs --in-distribution DIR: ImageNet's validation images in class folders"
                .to_owned(),
        );
    }
    if !of_o && args.in_distribution.is_some() {
        return wrong(
            ErrorKind::ArgumentConflict,
            "--in-distribution belongs to --set imagenet-o".to_owned(),
        );
    }
    if let Some(set) = sets.iter().find(|set| args.ignore_labels && !set.can_ignore_labels()) {
        return wrong(
            ErrorKind::ArgumentConflict,
            format!(
                "--set {set} is nothing without its labels; for predictions give --set folder --ignore-labels"
            ),
        );
    }
    let data_of = |n: usize| if data.len() == 1 { &data[0] } else { &data[n] };
    Ok(sets.iter().enumerate().map(|(n, &set)| (set, data_of(n).as_path())).collect())
}

fn write_predictions(path: &Path, predictions: &[Prediction]) -> Result<()> {
    let rows = predictions.iter().map(|p| {
        let label = p.label.map_or_else(String::new, |label| label.to_string());
        [p.file.clone(), label, p.top1.to_string(), p.score.to_string()]
    });
    write_csv(path, &["file", "label", "top1", "score"], rows)
}

fn percent(fraction: Option<f64>) -> String {
    fraction.map_or("-".to_owned(), |f| format!("{:.2} %", 100.0 * f))
}

/// One result, for people.
fn text(evaluation: &Evaluation) -> String {
    let mut pairs = match evaluation.detection() {
        Some(found) => vec![
            ("AUPR", percent(Some(found.aupr))),
            ("AUROC", percent(Some(found.auroc))),
            ("FPR at 95 % recall", percent(Some(found.fpr95))),
            ("strange images", found.n_out.to_string()),
        ],
        None => vec![("top-1", percent(evaluation.top1())), ("top-5", percent(evaluation.top5()))],
    };
    pairs.extend([
        ("images", format!("{} ({})", evaluation.n, evaluation.matching)),
        ("images per second", format!("{:.1}", evaluation.images_per_second)),
        ("provider", evaluation.provider.to_string()),
    ]);
    fields(&pairs)
}

/// Several results, for people: a Markdown table. Columns that no row has are left out.
fn table(rows: &[Row]) -> String {
    let detection = |row: &Row| row.evaluation.detection();
    type Column<'a> = (&'a str, fn(&Row) -> Option<f64>);
    let measures: [Column; 5] = [
        ("top-1", |row| row.evaluation.top1()),
        ("top-5", |row| row.evaluation.top5()),
        ("AUPR", |row| row.evaluation.detection().map(|d| d.aupr)),
        ("AUROC", |row| row.evaluation.detection().map(|d| d.auroc)),
        ("FPR95", |row| row.evaluation.detection().map(|d| d.fpr95)),
    ];
    let any_accuracy = rows.iter().any(|row| detection(row).is_none());
    let any_detection = rows.iter().any(|row| detection(row).is_some());
    let measures = measures
        .iter()
        .filter(|(name, _)| if name.starts_with("top") { any_accuracy } else { any_detection });
    let measures: Vec<&Column> = measures.collect();
    let mut head = vec!["model", "set"];
    head.extend(measures.iter().map(|(name, _)| *name));
    head.extend(["images", "images/s"]);
    let cells = rows.iter().map(|row| {
        let mut cells = vec![row.model.display().to_string(), row.set.to_string()];
        cells.extend(measures.iter().map(|(_, value)| percent(value(row))));
        cells.extend([row.evaluation.n.to_string(), format!("{:.1}", row.evaluation.images_per_second)]);
        cells
    });
    markdown(&head, &cells.collect::<Vec<_>>())
}

type CsvColumn = (&'static str, fn(&Row) -> String);

/// Names and values of the columns of `--csv`; a measure that a set does not have is empty.
fn csv_head() -> [CsvColumn; 12] {
    fn number(value: Option<f64>) -> String {
        value.map_or_else(String::new, |value| value.to_string())
    }
    [
        ("model", |row| row.model.display().to_string()),
        ("set", |row| row.set.to_string()),
        ("data", |row| row.data.display().to_string()),
        ("top1", |row| number(row.evaluation.top1())),
        ("top5", |row| number(row.evaluation.top5())),
        ("aupr", |row| number(row.evaluation.detection().map(|d| d.aupr))),
        ("auroc", |row| number(row.evaluation.detection().map(|d| d.auroc))),
        ("fpr95", |row| number(row.evaluation.detection().map(|d| d.fpr95))),
        ("n", |row| row.evaluation.n.to_string()),
        ("n_out", |row| row.evaluation.detection().map_or_else(String::new, |d| d.n_out.to_string())),
        ("images_per_second", |row| row.evaluation.images_per_second.to_string()),
        ("provider", |row| row.evaluation.provider.to_string()),
    ]
}
