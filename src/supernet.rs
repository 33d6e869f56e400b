//! `genas supernet`.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use genas_search::supernet::{read_halves, train};
use genas_search::{Config, RunDir};
use serde::Serialize;

use crate::args::SupernetArgs;
use crate::context::Ctx;
use crate::output::fields;
use crate::presets;

/// What `--json` prints.
#[derive(Serialize)]
struct Trained {
    run: String,
    epochs: usize,
    seconds: f64,
}

pub fn run(ctx: &Ctx, args: &SupernetArgs) -> Result<()> {
    let clock = Instant::now();
    let config = config(ctx, &args.run.config, &args.run.set)?;
    let halves = read_halves(&config, &args.run.data)?;
    // What can fail at once does so before the run directory is taken.
    let devices = ctx.devices()?;
    let run = RunDir::open(&args.run.out, &config)?;
    ctx.works_in(run.root());
    train(&run, &config, &halves, &devices, args.run.resume, &ctx.observer)?;
    let result = Trained {
        run: args.run.out.display().to_string(),
        epochs: config.supernet.epochs,
        seconds: clock.elapsed().as_secs_f64(),
    };
    ctx.out.result(&result, || {
        fields(&[
            ("supernet", run.trained().display().to_string()),
            ("epochs", result.epochs.to_string()),
            ("seconds", format!("{:.1}", result.seconds)),
        ])
    })
}

/// Reads a configuration, a file's or a preset's; `--seed` overrides its seed.
pub fn config(ctx: &Ctx, path: &Path, set: &[String]) -> Result<Config> {
    Ok(seeded(ctx, presets::read(path, set)?))
}

/// A configuration under `--seed`.
pub fn seeded(ctx: &Ctx, mut config: Config) -> Config {
    config.seed = ctx.global.seed.or(config.seed);
    config
}
