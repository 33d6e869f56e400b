//! `genas data`.

use std::path::Path;

use anyhow::{Result, bail};
use genas_data::shapes::{Scale, write_shapes};
use genas_data::{BadFile, CheckReport, check};
use serde_json::json;

use crate::args::{DataAction, DataArgs};
use crate::context::Ctx;
use crate::output::fields;

/// Broken files that people are shown.
const SHOWN: usize = 20;

pub fn run(ctx: &Ctx, args: &DataArgs) -> Result<()> {
    match &args.action {
        DataAction::Shapes { dir, scale } => shapes(ctx, dir, *scale),
        DataAction::Check { dir } => check_data(ctx, dir),
    }
}

fn shapes(ctx: &Ctx, dir: &Path, scale: Scale) -> Result<()> {
    let seed = ctx.global.seed.unwrap_or(0);
    let paths = write_shapes(dir, scale, seed, &ctx.observer.counter("shapes"))?;
    ctx.out.result(&json!({ "paths": paths, "scale": scale, "seed": seed }), || {
        let pairs = [
            ("imagefolder", &paths.imagefolder),
            ("cifar10", &paths.cifar10),
            ("imagenet-v2", &paths.imagenet_v2),
            ("imagenet-a", &paths.imagenet_a),
            ("coco", &paths.coco),
            ("cityscapes", &paths.cityscapes),
        ];
        fields(&pairs.map(|(name, path)| (name, path.display().to_string())))
    })
}

fn check_data(ctx: &Ctx, dir: &Path) -> Result<()> {
    let report = check(dir)?;
    print(ctx, &report)?;
    match report.bad.as_slice() {
        [] => Ok(()),
        [BadFile { file, reason }] => bail!("{}: {reason}", place(dir, file)),
        [BadFile { file, .. }, rest @ ..] => {
            bail!("{} and {} others are broken", place(dir, file), rest.len())
        }
    }
}

/// A broken file's path; the data set itself has none.
fn place(dir: &Path, file: &Path) -> String {
    if file.as_os_str().is_empty() { dir.display().to_string() } else { file.display().to_string() }
}

fn print(ctx: &Ctx, report: &CheckReport) -> Result<()> {
    ctx.out.result(report, || {
        let mut text = fields(&[
            ("kind", report.kind.to_string()),
            ("images", report.n_images.to_string()),
            ("classes", report.n_classes.to_string()),
            ("bad", report.bad.len().to_string()),
        ]);
        for BadFile { file, reason } in report.bad.iter().take(SHOWN) {
            text.push_str(&match file.as_os_str().is_empty() {
                true => format!("  {reason}\n"),
                false => format!("  {}: {reason}\n", file.display()),
            });
        }
        if report.bad.len() > SHOWN {
            text.push_str(&format!("  and {} more: --json lists all\n", report.bad.len() - SHOWN));
        }
        text
    })
}
