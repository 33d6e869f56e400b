//! `genas transfer coco --backbone`: a detector is trained and exported.

use std::path::Path;

use anyhow::{Context, Result};
use genas_net::EvalNet;
use genas_search::Observer;
use genas_train::directory::lock;
use genas_transfer::retinanet::RetinaNetConfig;
use genas_transfer::retinanet::training::{Backbone, CONFIG, FineTuned, FineTuning};

use crate::args::CocoArgs;
use crate::context::Ctx;
use crate::{presets, weights};

/// The settings that are taken where none are named.
const DEFAULT: &str = "coco-retinanet-1x";

/// Trains a detector in `directory` on the network in `model`.
pub fn run(ctx: &Ctx, args: &CocoArgs, model: &Path, directory: &Path) -> Result<FineTuned> {
    let out = args.out.as_deref().context("give --out")?;
    let config = settings(ctx, args, directory)?;
    let trained = weights::read(model)?;
    let backbone = Backbone {
        net: EvalNet { auxiliary: false, ..trained.net },
        weights: trained.weights,
        info: trained.info,
        source: model.display().to_string(),
    };
    let devices = ctx.devices()?;
    ctx.ensure_runtime()?;
    let _lock = lock(out)?;
    let fine_tuning = FineTuning {
        directory,
        backbone: &backbone,
        config: &config,
        data: &args.data,
        devices: &devices,
        session: ctx.session_options(),
        resume: args.resume,
        observer: &ctx.observer,
    };
    Ok(fine_tuning.run()?)
}

/// The settings that `args` names, those of the training that is to be resumed, or the default preset's.
fn settings(ctx: &Ctx, args: &CocoArgs, directory: &Path) -> Result<RetinaNetConfig> {
    let own = directory.join(CONFIG);
    let path = match &args.config {
        Some(path) => path.as_path(),
        None if args.resume && own.is_file() => own.as_path(),
        None => {
            ctx.observer.message(&format!("settings: {DEFAULT}"));
            Path::new(DEFAULT)
        }
    };
    let mut config = presets::read_coco(path, &args.set)?;
    config.seed = ctx.global.seed.unwrap_or(config.seed);
    Ok(config)
}
