//! `genas retrain`.

use anyhow::Result;
use genas_net::{Cost, EvalNet, NetworkKind};
use genas_search::retrain::{RetrainResult, retrain};
use genas_search::{Config, RunDir};
use genas_space::Genotype;

use crate::args::RetrainArgs;
use crate::cell;
use crate::context::Ctx;
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
        None => RunDir::existing(source)?.1,
    };
    let genotype = match &args.cell {
        Some(text) => cell::resolve(text)?,
        None => cell::read(&source.join("genotype.json"))?,
    };
    let kind: NetworkKind = args.network.into();
    settings.retrain.layers = args.layers.unwrap_or(settings.retrain.layers);
    settings.retrain.channels = args.channels.unwrap_or(settings.retrain.channels);
    if let Some(target) = args.target_flops {
        settings.retrain.channels = width(&genotype, kind, &settings, target);
        ctx.detail(&format!("width for {target} FLOPs: {}", settings.retrain.channels));
    }
    let devices = ctx.devices()?;
    let directory = args.out.join("retrain");
    Ok(retrain(&directory, genotype, kind, &settings, &args.data, &devices, args.resume, &ctx.observer)?)
}

/// The even width whose FLOPs (the paper's count) are nearest to `target`.
fn width(genotype: &Genotype, kind: NetworkKind, settings: &Config, target: u64) -> usize {
    let side = settings.data.image_size;
    let flops = |channels: usize| {
        let genotype = genotype.clone();
        let net = EvalNet { kind, genotype, channels, layers: settings.retrain.layers, classes: 1000, auxiliary: false };
        Cost::of([3, side, side], |i, x| {
            net.forward(i, x);
        })
        .paper_flops
    };
    (1..=512).map(|half| 2 * half).min_by_key(|&c| flops(c).abs_diff(target)).unwrap_or(2)
}
