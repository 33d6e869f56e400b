//! `genas landscape`.

mod pictures;
mod source;

use std::path::Path;

use anyhow::{Result, bail};
use clap::CommandFactory;
use clap::error::ErrorKind;
use genas_net::atomic_write;
use genas_search::Observer;
use genas_search::landscape::{Curve, Curves, LandscapeRun, Levels, LossSurface, Place, Square};
use genas_search::noise::NoiseScale;
use genas_train::directory::{lock, write_json};
use serde::Serialize;

use crate::args::{Cli, LandscapeArgs, NoiseScaleArg};
use crate::context::Ctx;
use crate::output::table;
use source::Source;

/// The largest noise level, where none is given: of parameters, and of filter norms. Losses rise visibly up to there, and
/// beyond by orders of magnitude: BatchNorm's statistics fit no longer, layer by layer.
const MOST: f64 = 0.04;
const MOST_OF_FILTERS: f64 = 0.3;

/// What is measured.
enum Plan {
    Curves(Levels),
    Surface(Square),
}

/// What a result is of, in either form.
#[derive(Serialize)]
struct About {
    runs: Vec<String>,
    /// What kind of networks they are.
    of: &'static str,
    noise_scale: NoiseScale,
    /// Images that a loss is of.
    images: usize,
    /// Seed of the directions.
    seed: u64,
    /// Whether BatchNorm was recalibrated after the noise.
    recalibrated: bool,
}

/// What `curves.json` holds.
#[derive(Serialize)]
struct CurvesResult<'a> {
    kind: &'static str,
    #[serde(flatten)]
    about: About,
    sigmas: &'a [f64],
    draws: usize,
    curves: &'a [Curve],
    csv: String,
    svg: String,
    accuracy_svg: String,
}

/// What `surface.json` holds.
#[derive(Serialize)]
struct SurfaceResult<'a> {
    kind: &'static str,
    #[serde(flatten)]
    about: About,
    #[serde(flatten)]
    surface: &'a LossSurface,
    csv: String,
    svg: String,
}

pub fn run(ctx: &Ctx, args: &LandscapeArgs) -> Result<()> {
    let (plan, scale) = plan(args)?;
    let out = args.out.clone().unwrap_or_else(|| args.run[0].join("landscape"));
    let kind = match plan {
        Plan::Curves(_) => "curves",
        Plan::Surface(_) => "surface",
    };
    let at = |name: &str| out.join(name);
    let result = at(&format!("{kind}.json"));
    if result.exists() && !args.resume {
        bail!("{} is there already; replace it with --resume, or use another --out", result.display());
    }
    let Source { subjects, images, of, streams } = source::open(ctx, args)?;
    if let (Plan::Surface(_), true) = (&plan, subjects.len() > 1) {
        bail!("a surface is of one network, and these are {}; give one --cell or one --run", subjects.len());
    }
    let _lock = lock(&out)?;
    if let (None, [run]) = (&args.out, args.run.as_slice()) {
        ctx.works_in(run);
    }
    let places: Vec<Place> = match &plan {
        Plan::Curves(levels) => levels.places(),
        Plan::Surface(square) => square.places(),
    };
    let losses = LandscapeRun {
        directory: &out,
        subjects: &subjects,
        places: &places,
        scale,
        streams: &streams,
        resume: args.resume,
        observer: &ctx.observer,
    }
    .run()?;
    let about = About {
        runs: args.run.iter().map(|run| run.display().to_string()).collect(),
        of,
        noise_scale: scale,
        images,
        seed: streams.seed(),
        recalibrated: args.recalibrate,
    };
    let svg = args.svg.clone().unwrap_or_else(|| at(&format!("{kind}.svg")));
    let csv = args.csv.clone().unwrap_or_else(|| at(&format!("{kind}.csv")));
    let files = Files { svg: &svg, csv: &csv, result: &result };
    match &plan {
        Plan::Curves(levels) => {
            let curves = Curves::new(&subjects, &losses, levels);
            write_curves(ctx, &files, &at("accuracy.svg"), about, levels, &curves)
        }
        Plan::Surface(square) => {
            let surface = LossSurface::new(&subjects[0], &losses[0], square);
            write_surface(ctx, &files, about, &surface)
        }
    }
}

/// Where a result goes.
struct Files<'a> {
    svg: &'a Path,
    csv: &'a Path,
    result: &'a Path,
}

fn write_curves(
    ctx: &Ctx,
    files: &Files,
    accuracy_svg: &Path,
    about: About,
    levels: &Levels,
    curves: &Curves,
) -> Result<()> {
    let [loss, accuracy] =
        pictures::curves(&curves.curves, levels, about.noise_scale, about.of, about.images);
    atomic_write(files.csv, curves.csv().as_bytes())?;
    atomic_write(files.svg, loss.svg().as_bytes())?;
    atomic_write(accuracy_svg, accuracy.svg().as_bytes())?;
    let result = CurvesResult {
        kind: "curves",
        about,
        sigmas: &levels.sigmas,
        draws: levels.draws,
        curves: &curves.curves,
        csv: files.csv.display().to_string(),
        svg: files.svg.display().to_string(),
        accuracy_svg: accuracy_svg.display().to_string(),
    };
    // The last file: it marks the others as complete.
    write_json(files.result, &result)?;
    for curve in &curves.curves {
        if let Some(level) = curve.levels.iter().find(|level| level.loss.is_none()) {
            let (label, sigma) = (&curve.label, level.sigma);
            ctx.observer
                .message(&format!("{label}: at noise {sigma} a loss is no number; it has no mean there"));
        }
    }
    ctx.out.result(&result, || {
        let mean = |spread: Option<f64>| spread.map_or_else(|| "-".to_owned(), |mean| format!("{mean:.4}"));
        let row = |curve: &Curve| {
            let means = curve.levels.iter().map(|level| mean(level.loss.map(|loss| loss.mean)));
            std::iter::once(curve.label.clone()).chain(means).collect()
        };
        let rows: Vec<Vec<String>> = curves.curves.iter().map(row).collect();
        let sigmas: Vec<String> = levels.sigmas.iter().map(|sigma| short(*sigma)).collect();
        let head: Vec<&str> =
            std::iter::once("loss at noise").chain(sigmas.iter().map(String::as_str)).collect();
        format!(
            "{}\nmeans over {} directions\nwritten: {}, {}, {}",
            table(&head, &rows),
            levels.draws,
            files.svg.display(),
            accuracy_svg.display(),
            files.csv.display()
        )
    })
}

fn write_surface(ctx: &Ctx, files: &Files, about: About, surface: &LossSurface) -> Result<()> {
    let picture = pictures::surface(surface, about.of, about.images);
    atomic_write(files.csv, surface.csv().as_bytes())?;
    atomic_write(files.svg, picture.svg().as_bytes())?;
    let result = SurfaceResult {
        kind: "surface",
        about,
        surface,
        csv: files.csv.display().to_string(),
        svg: files.svg.display().to_string(),
    };
    write_json(files.result, &result)?;
    ctx.out.result(&result, || {
        let centre = surface.centre();
        let loss =
            |loss: Option<f64>| loss.map_or_else(|| "no number".to_owned(), |loss| format!("{loss:.4}"));
        let lowest = surface.lowest().map_or_else(String::new, |(least, [first, second])| {
            format!("lowest loss {least:.4}, at {}, {}\n", short(first), short(second))
        });
        format!(
            "{}: loss {}, top-1 {:.1} %\n{lowest}written: {}, {}",
            surface.label,
            loss(centre.loss),
            100.0 * centre.accuracy,
            files.svg.display(),
            files.csv.display()
        )
    })
}

/// A number without the digits that rounding left.
fn short(value: f64) -> String {
    format!("{value:.4}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What is to be measured, and in what.
fn plan(args: &LandscapeArgs) -> Result<(Plan, NoiseScale)> {
    let wrong = |kind, message: String| -> anyhow::Error { Cli::command().error(kind, message).into() };
    let value = |message| wrong(ErrorKind::ValueValidation, message);
    if args.surface {
        if args.noise_scale == Some(NoiseScaleArg::Absolute) {
            let message = "--surface is of filter norms; leave --noise-scale absolute out".to_owned();
            return Err(wrong(ErrorKind::ArgumentConflict, message));
        }
        let square = Square::new(args.max_sigma.unwrap_or(MOST_OF_FILTERS), args.grid);
        return Ok((Plan::Surface(square.map_err(|e| value(format!("--grid: {e}")))?), NoiseScale::Filter));
    }
    let (scale, most) = match args.noise_scale {
        Some(NoiseScaleArg::Filter) => (NoiseScale::Filter, MOST_OF_FILTERS),
        Some(NoiseScaleArg::Absolute) | None => (NoiseScale::Absolute, MOST),
    };
    let levels = if args.sigmas.is_empty() {
        Levels::up_to(args.max_sigma.unwrap_or(most), args.steps, args.draws)
    } else {
        Levels::new(&args.sigmas, args.draws)
    };
    Ok((Plan::Curves(levels.map_err(|e| value(format!("--sigmas: {e}")))?), scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.0, 0.04, 0.015, -0.30000000000000004].map(short), ["0", "0.04", "0.015", "-0.3"]);
    }
}
