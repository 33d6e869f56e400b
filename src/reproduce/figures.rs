//! Figures 1 to 7. Losses are measured by `genas landscape`, whose command is shown; cells are drawn, times are read.

use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::Parser;
use genas_figure::{Axis, Chart, Mark, NamedCell, Point, Series, cells_svg};
use genas_net::atomic_write;
use genas_report::{Run, phases};
use genas_search::Observer;
use serde_json::json;

use crate::args::{Cli, ReproduceArgs, Verb};
use crate::cell;
use crate::context::Ctx;
use crate::landscape;
use crate::output::{fields, table};

/// Figure 1 is a sketch in the paper. Here the minima are measured: of the cells that angle and flatness found on CIFAR-100.
pub fn minima(ctx: &Ctx, args: &ReproduceArgs) -> Result<()> {
    let [run] = args.run.as_slice() else { bail!("{}", of_supernet(args)) };
    ctx.observer.message(
        "the paper's Figure 1 is a sketch; this one is measured, with the weights of the run's supernet",
    );
    let cells = ["--cell", "RLDARTS_OURS_GT", "--cell", "GENAS_FLATNESS_CIFAR100"];
    measure(ctx, args, &[run], &cells)
}

/// Figure 2: the paper does not say how many cells, which noise and how many draws; all are landscape's defaults.
pub fn best_middle_worst(ctx: &Ctx, args: &ReproduceArgs) -> Result<()> {
    let [run] = args.run.as_slice() else {
        bail!("Figure 2 is of one run of `genas rank`; give it with --run, and its images with --data")
    };
    measure(ctx, args, &[run], &[])
}

/// Figure 3: several runs, each a cell that another metric found and `retrain` trained; or published cells with the weights
/// of one supernet.
pub fn metrics(ctx: &Ctx, args: &ReproduceArgs) -> Result<()> {
    match args.run.as_slice() {
        [] => bail!("{}, or several runs of `genas retrain` to be compared", of_supernet(args)),
        [run] => {
            ctx.observer.message(
                "missing: the cells that angle and angle + accuracy found on CIFAR-10, which nobody published; angle and \
                 angle + flatness on CIFAR-100 stand for them",
            );
            let cells = ["--cell", "RLDARTS_OURS_GT", "--cell", "GENAS_ANGLE_FLATNESS_CIFAR100"];
            measure(ctx, args, &[run], &cells)
        }
        runs => measure(ctx, args, &runs.iter().collect::<Vec<_>>(), &["--of", "retrained"]),
    }
}

fn of_supernet(args: &ReproduceArgs) -> String {
    format!(
        "{} is measured with a supernet's weights; give a run that has one with --run, and its images with --data",
        args.target.title()
    )
}

/// Runs `genas landscape` on the runs, into DIR/figures/NAME.
fn measure(ctx: &Ctx, args: &ReproduceArgs, runs: &[&std::path::PathBuf], more: &[&str]) -> Result<()> {
    let Some(data) = &args.data else {
        bail!("losses are measured on images; give the data set of the run with --data")
    };
    let out = args.out.join("figures").join(args.target.name());
    let mut words: Vec<String> = ["genas", "landscape"].map(str::to_owned).to_vec();
    for run in runs {
        words.extend(["--run".to_owned(), text(run)?]);
    }
    words.extend(["--data".to_owned(), text(data)?, "--out".to_owned(), text(&out)?]);
    words.extend(more.iter().map(|word| (*word).to_owned()));
    words.extend(args.resume.then(|| "--resume".to_owned()));
    ctx.observer.message(&words.join(" "));
    match Cli::try_parse_from(&words)?.verb {
        Verb::Landscape(landscape) => landscape::run(ctx, &landscape),
        _ => unreachable!("the second word is `landscape`"),
    }
}

fn text(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).with_context(|| format!("{} is no text", path.display()))
}

/// Figure 4: the paper's bars have no numbers, so that only the runs' own stand here.
pub fn cost(ctx: &Ctx, args: &ReproduceArgs) -> Result<()> {
    if args.run.is_empty() {
        bail!("Figure 4 is of the times of searches; give their runs with --run");
    }
    let mut costs: Vec<(String, Vec<(String, f64)>)> = Vec::new();
    for path in &args.run {
        let run = Run::read(path)?;
        let parts: Vec<(String, f64)> =
            phases(&run).into_iter().filter(|p| p.is_search()).map(|p| (p.name, p.seconds)).collect();
        if parts.is_empty() {
            bail!(
                "{}: neither supernet/training.csv nor search.jsonl says how long anything took",
                path.display()
            );
        }
        costs.push((run.name, parts));
    }
    let longest = costs.iter().flat_map(|(_, parts)| parts).map(|(_, s)| *s).fold(0.0, f64::max);
    let (unit, factor) = genas_report::time::unit(longest);
    let names: Vec<String> = costs.iter().map(|(name, _)| name.clone()).collect();
    let mut chart = Chart::new("Search cost", Axis::linear(format!("time ({unit})")), Axis::named("", names))
        .described("Time of training the supernet and of scoring candidates, by run.");
    for part in ["supernet", "scoring"] {
        let points = costs.iter().enumerate().filter_map(|(n, (_, parts))| {
            let (_, seconds) = parts.iter().find(|(name, _)| name == part)?;
            Some(Point::at(seconds / factor, n as f64))
        });
        let series = Series::new(part, Mark::Bars, points.collect());
        if !series.points.is_empty() {
            chart = chart.with(series);
        }
    }
    let missing = "the other methods: the paper's bars have no numbers";
    let svg = args.out.join("figures/fig4.svg");
    atomic_write(&svg, chart.svg().as_bytes())?;
    let runs: Vec<_> = costs
        .iter()
        .map(|(name, parts)| {
            let seconds: serde_json::Map<String, _> =
                parts.iter().map(|(part, seconds)| (part.clone(), json!(seconds))).collect();
            json!({ "run": name, "seconds": seconds })
        })
        .collect();
    let result = json!({ "target": args.target, "runs": runs, "missing": [missing], "svg": svg });
    ctx.out.result(&result, || {
        let rows: Vec<Vec<String>> = costs
            .iter()
            .flat_map(|(name, parts)| {
                parts.iter().map(move |(part, s)| vec![name.clone(), part.clone(), format!("{s:.1}")])
            })
            .collect();
        format!(
            "Figure 4: search cost\n{}\nmissing: {missing}\nwritten: {}",
            table(&["run", "part", "seconds"], &rows),
            svg.display()
        )
    })
}

/// Figures 5 to 7: a published cell.
pub fn cell(ctx: &Ctx, args: &ReproduceArgs, name: &str) -> Result<()> {
    let cell: NamedCell = cell::resolve_any(name)?;
    let svg = args.out.join("figures").join(format!("{}.svg", args.target.name()));
    atomic_write(&svg, cells_svg(&[cell]).as_bytes())?;
    let result = json!({ "target": args.target, "cell": name, "svg": svg });
    ctx.out.result(&result, || {
        fields(&[
            ("figure", args.target.title()),
            ("cell", name.to_owned()),
            ("written", svg.display().to_string()),
        ])
    })
}
