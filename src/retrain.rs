//! `genas retrain`.

use std::path::Path;

use anyhow::{Context, Result, bail};
use genas_data::Normalization;
use genas_net::NetworkKind;
use genas_search::Observer;
use genas_search::retrain::{Pretrained, RetrainResult, Retraining, Start};
use genas_search::{Config, RunDir};

use crate::args::RetrainArgs;
use crate::context::Ctx;
use crate::cost::width_for;
use crate::output::fields;
use crate::supernet::{config, seeded};
use crate::{cell, presets, weights};

pub fn run(ctx: &Ctx, args: &RetrainArgs) -> Result<()> {
    let result = train(ctx, args)?;
    ctx.out.result(&result, || text(&result))
}

/// The result for people.
pub fn text(result: &RetrainResult) -> String {
    let mut rows = vec![
        ("top-1", format!("{:.2} % (chance {:.2} %)", 100.0 * result.top1, 100.0 * result.chance)),
        ("top-5", format!("{:.2} %", 100.0 * result.top5)),
        ("epochs", result.epochs.to_string()),
        ("weights", result.weights.display().to_string()),
    ];
    if let Some(best) = &result.best {
        let text =
            format!("{:.2} % after epoch {}, {}", 100.0 * best.top1, best.epoch, best.weights.display());
        rows.push(("best top-1", text));
    }
    if result.skipped_images > 0 {
        let first =
            result.skipped.first().map(|(_, reason)| format!(", such as {reason}")).unwrap_or_default();
        rows.push(("left out", format!("{} images that could not be read{first}", result.skipped_images)));
    }
    fields(&rows)
}

/// Trains what `args` names.
fn train(ctx: &Ctx, args: &RetrainArgs) -> Result<RetrainResult> {
    let directory = args.out.join("retrain");
    let (start, mut settings) = match &args.fine_tune {
        Some(model) => fine_tuning(ctx, args, &directory, model)?,
        None => from_scratch(ctx, args, &directory)?,
    };
    settings.retrain.replicas = args.replicas.unwrap_or(settings.retrain.replicas);
    settings.check().map_err(anyhow::Error::msg)?;
    let devices = ctx.devices()?;
    let _lock = genas_train::directory::lock(&args.out)?;
    ctx.works_in(&args.out);
    let retraining = Retraining {
        directory: &directory,
        start,
        config: &settings,
        data: &args.data,
        devices: &devices,
        resume: args.resume,
        observer: &ctx.observer,
    };
    Ok(retraining.run()?)
}

/// A cell, and settings for it.
fn from_scratch(ctx: &Ctx, args: &RetrainArgs, directory: &Path) -> Result<(Start, Config)> {
    let network = args.network.context("give --network or --fine-tune")?;
    let kind: NetworkKind = network.into();
    let source = args.run.as_ref().unwrap_or(&args.out);
    let mut settings = match given(ctx, args, directory)? {
        Some(settings) => settings,
        None if kind == NetworkKind::ImageNet => preset(ctx, args, "imagenet")?,
        None => seeded(ctx, RunDir::existing(source, &args.set)?.1),
    };
    let genotype = match &args.cell {
        Some(text) => cell::resolve(text)?,
        None => cell::read(&source.join("genotype.json"))?,
    };
    settings.retrain.layers = args.layers.unwrap_or(settings.retrain.layers);
    settings.retrain.channels = args.channels.unwrap_or(settings.retrain.channels);
    if let Some(target) = args.target_flops {
        let classes = if kind == NetworkKind::ImageNet { 1000 } else { 10 };
        settings.retrain.channels = width_for(&genotype, kind, settings.retrain.layers, classes, target);
        ctx.detail(&format!("width for {target} FLOPs: {}", settings.retrain.channels));
    }
    Ok((Start::Cell(genotype, kind), settings))
}

/// A trained model, and settings that keep its network and what its images look like.
fn fine_tuning(ctx: &Ctx, args: &RetrainArgs, directory: &Path, model: &Path) -> Result<(Start, Config)> {
    let trained = weights::read(model)?;
    let mut settings = match given(ctx, args, directory)? {
        Some(settings) => settings,
        None => preset(ctx, args, "fine-tune")?,
    };
    settings.retrain.layers = trained.net.layers;
    settings.retrain.channels = trained.net.channels;
    let pretrained = Pretrained {
        net: trained.net,
        weights: trained.weights,
        classes: trained.info.class_names,
        image_size: trained.info.input_size,
        normalization: Normalization { mean: trained.info.mean, std: trained.info.std },
        source: model.display().to_string(),
    };
    Ok((Start::Model(Box::new(pretrained)), settings))
}

/// The settings that `args` names, or those of the training that is to be resumed.
fn given(ctx: &Ctx, args: &RetrainArgs, directory: &Path) -> Result<Option<Config>> {
    if let Some(path) = &args.config {
        return config(ctx, path, &args.set).map(Some);
    }
    let own = directory.join(genas_search::retrain::CONFIG);
    if args.resume && own.is_file() {
        return config(ctx, &own, &args.set).map(Some);
    }
    Ok(None)
}

fn preset(ctx: &Ctx, args: &RetrainArgs, name: &str) -> Result<Config> {
    ctx.observer.message(&format!("recipe: {name}"));
    match presets::preset(name, &args.set) {
        Some(preset) => Ok(seeded(ctx, preset?)),
        None => bail!("the preset {name} is part of the binary"),
    }
}
