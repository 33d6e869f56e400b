//! `genas retrain`.

use anyhow::Result;
use genas_net::NetworkKind;
use genas_search::retrain::{RetrainResult, retrain};
use genas_search::{Config, RunDir};

use crate::args::RetrainArgs;
use crate::cell;
use crate::context::Ctx;
use crate::cost::width_for;
use crate::output::fields;
use crate::supernet::config;

pub fn run(ctx: &Ctx, args: &RetrainArgs) -> Result<()> {
    let result = train(ctx, args)?;
    ctx.out.result(&result, || text(&result))
}

/// The result for people.
pub fn text(result: &RetrainResult) -> String {
    fields(&[
        ("top-1", format!("{:.2} % (chance {:.2} %)", 100.0 * result.top1, 100.0 * result.chance)),
        ("top-5", format!("{:.2} %", 100.0 * result.top5)),
        ("epochs", result.epochs.to_string()),
        ("weights", result.weights.display().to_string()),
    ])
}

/// Trains the cell that `args` names.
pub fn train(ctx: &Ctx, args: &RetrainArgs) -> Result<RetrainResult> {
    let source = args.run.as_ref().unwrap_or(&args.out);
    let mut settings: Config = match &args.config {
        Some(path) => config(ctx, path, &args.set)?,
        None => RunDir::existing(source, &args.set)?.1,
    };
    let genotype = match &args.cell {
        Some(text) => cell::resolve(text)?,
        None => cell::read(&source.join("genotype.json"))?,
    };
    let kind: NetworkKind = args.network.into();
    settings.retrain.layers = args.layers.unwrap_or(settings.retrain.layers);
    settings.retrain.channels = args.channels.unwrap_or(settings.retrain.channels);
    if let Some(target) = args.target_flops {
        let classes = if kind == NetworkKind::ImageNet { 1000 } else { 10 };
        settings.retrain.channels = width_for(&genotype, kind, settings.retrain.layers, classes, target);
        ctx.detail(&format!("width for {target} FLOPs: {}", settings.retrain.channels));
    }
    let devices = ctx.devices()?;
    let directory = args.out.join("retrain");
    let _lock = genas_search::run::lock(&args.out)?;
    Ok(retrain(&directory, genotype, kind, &settings, &args.data, &devices, args.resume, &ctx.observer)?)
}
