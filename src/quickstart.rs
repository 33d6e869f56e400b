//! `genas quickstart`: the main job on generated data.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use genas_data::shapes::{Scale, write_shapes};
use genas_export::{GraphOptions, export_classifier};
use genas_report::model::commands::Outcome;
use genas_runtime::Session;
use genas_search::RunDir;
use genas_search::retrain::{Retraining, Start};
use genas_search::search::search;
use genas_search::supernet::{read_halves, streams, train};
use genas_transfer::{EvalSet, EvaluateOptions, evaluate as measure};
use serde_json::json;

use crate::args::QuickstartArgs;
use crate::context::Ctx;
use crate::output::table;
use crate::presets;
use crate::supernet::seeded;
use crate::{evaluate, report, weights};

pub fn run(ctx: &Ctx, args: &QuickstartArgs) -> Result<()> {
    let clock = Instant::now();
    // Whatever lies in the current directory: the preset itself.
    let preset = presets::preset("quickstart", &[]).context("the preset quickstart is part of the binary")?;
    let config = seeded(ctx, preset?);
    ctx.ensure_runtime()?;
    let devices = ctx.devices()?;
    let data = args.out.join("shapes");
    let seed = streams(&config).seed();
    let paths = write_shapes(&data, Scale::Small, seed, &ctx.observer.counter("shapes"))?;
    let cifar: &Path = &paths.cifar10;
    let run = RunDir::open(&args.out.join("run"), &config)?;
    ctx.works_in(run.root());
    let halves = read_halves(&config, cifar)?;
    train(&run, &config, &halves, &devices, args.resume, &ctx.observer)?;
    let searched = Instant::now();
    let found =
        search(&run, &config, Some(&halves), &devices, ctx.global.provider, args.resume, &ctx.observer)?;
    let search_seconds = searched.elapsed().as_secs_f64();
    let directory = run.root().join("retrain");
    let kind = genas_net::NetworkKind::Cifar;
    let retraining = Retraining {
        directory: &directory,
        start: Start::Cell(found.genotype.clone(), kind),
        config: &config,
        data: cifar,
        devices: &devices,
        resume: args.resume,
        observer: &ctx.observer,
    };
    retraining.run()?;
    let onnx = run.root().join("export/model.onnx");
    std::fs::create_dir_all(run.root().join("export")).with_context(|| onnx.display().to_string())?;
    let trained = weights::read(&run.retrained())?;
    let options = GraphOptions::square(trained.info.input_size);
    let report = export_classifier(&onnx, &trained.net, &trained.weights, &trained.info, &options)?;
    drop(Session::from_file(&onnx, &ctx.session_options())?);
    let options = EvaluateOptions::new(EvalSet::Cifar10);
    let progress = ctx.observer.counter("evaluate");
    let evaluation = measure(&onnx, cifar, &options, &ctx.session_options(), &progress)?;
    let (top1, chance) = (evaluation.top1().unwrap_or_default(), 1.0 / trained.net.classes as f64);
    evaluate::Row { model: &onnx, set: options.set, data: cifar, evaluation }.keep(run.root())?;
    // So that the report knows how it ended and how long it took.
    ctx.ended(Outcome::Done);
    let (page, _, _) = report::write(run.root(), None)?;
    let seconds = clock.elapsed().as_secs_f64();
    let result = json!({
        "run": run.root(),
        "genotype": found.genotype,
        "candidate": found.candidate,
        "score": found.score,
        "onnx": onnx,
        "max_abs_error": report.max_abs_error,
        "top1": top1,
        "chance": chance,
        "report": page,
        "seconds": seconds,
    });
    ctx.out.result(&result, || {
        let row = |name: &str, value: String| vec![name.to_owned(), value];
        table(
            &["what", "result"],
            &[
                row("genotype", found.genotype.to_string()),
                row("score", format!("{:.6e} ({}, {} cells)", found.score, found.metric, found.evaluated)),
                row("scoring", format!("{search_seconds:.1} s")),
                row("top-1 of the ONNX model", format!("{:.1} %", 100.0 * top1)),
                row(
                    "chance",
                    format!("{:.1} %; the network is {:.1} times better", 100.0 * chance, top1 / chance),
                ),
                row("ONNX against burn", format!("{:.1e} at most", report.max_abs_error)),
                row("total", format!("{seconds:.1} s")),
                row("run", run.root().display().to_string()),
                row("model", onnx.display().to_string()),
                row("report", page.display().to_string()),
            ],
        )
    })
}
