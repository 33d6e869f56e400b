//! Tables 1, 5, 6 and 7: how flatness ranks the cells of NAS-Bench-201.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use genas_data::{GroundTruth, Nb201Set};
use genas_search::config::{Noise, Position};
use genas_search::noise::{Direction, NoiseScale};
use genas_search::rank::agreement::{Agreement, agreements};
use genas_search::rank::config::{MeasureConfig, Nb201Config, NoiseConfig};
use genas_search::rank::measure::CellMeasurement;
use genas_search::rank::metrics::{Formula, RankMetric};
use genas_search::rank::run::{RankRun, SCORES, held};
use genas_search::rank::supernet;
use genas_search::supernet::halve;
use genas_space::nb201::{Nb201Cell, sample_nb201};
use genas_train::directory::{lock, write_json};
use serde::Serialize;

use super::paper::{SIGMAS, SOURCE, TABLE_1, TABLE_5, TABLE_6, TABLE_7, Taus};
use crate::args::{ReproduceArgs, Target};
use crate::context::Ctx;
use crate::output::table;
use crate::presets;

/// One of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Angle against flatness.
    One,
    /// By sigma.
    Five,
    /// By alpha.
    Six,
    /// By position and direction.
    Seven,
}

/// A table of the paper beside what is measured.
#[derive(Debug, Serialize)]
struct Reproduced {
    target: Target,
    /// What its numbers are.
    about: &'static str,
    /// Where the paper's numbers are from.
    source: &'static str,
    set: Nb201Set,
    /// Cells that were measured.
    n: usize,
    /// Epochs of their supernet; the paper's has 250.
    supernet_epochs: usize,
    rows: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Line {
    row: String,
    /// The paper's tau, where it has one of this data set.
    paper: Option<f64>,
    /// Nothing where all cells have one score.
    #[serde(flatten)]
    measured: Option<Agreement>,
    /// What was computed.
    metric: RankMetric,
}

/// A row before it is measured.
struct Row {
    name: String,
    metric: RankMetric,
    paper: Taus,
}

/// The rows of a table, and which of them others are compared with.
struct Plan {
    about: &'static str,
    rows: Vec<Row>,
    reference: usize,
}

pub fn run(ctx: &Ctx, args: &ReproduceArgs, which: Table) -> Result<()> {
    let config = settings(ctx, args)?;
    let plan = plan(which, &config.measure).map_err(anyhow::Error::msg)?;
    let _lock = lock(&args.out)?;
    ctx.works_in(&args.out);
    let known = truth_of_run(args)?;
    let streams = config.streams();
    let cells: Vec<Nb201Cell> = match (args.sample, &known) {
        (Some(n), _) => sample_nb201(n, &streams)?,
        (None, Some(rows)) => rows.iter().map(|(cell, _)| *cell).collect(),
        (None, None) => Nb201Cell::all().collect(),
    };
    let held: HashMap<Nb201Cell, CellMeasurement> = measured(ctx, args, which, &config, &cells)?;
    let found: Vec<(&Nb201Cell, &CellMeasurement)> =
        cells.iter().filter_map(|cell| Some((cell, held.get(cell)?))).collect();

    let net = supernet::read(&args.out.join("supernet"))?.net;
    let set = match net.classes {
        10 => Nb201Set::Cifar10,
        100 => Nb201Set::Cifar100,
        120 => Nb201Set::Imagenet16,
        n => bail!(
            "{}: its supernet has {n} classes, and the paper's sets 10, 100 or 120; `genas rank` takes others",
            args.out.display()
        ),
    };
    let values: Vec<f64> = match which {
        Table::One => found.iter().map(|(_, cell)| cell.angle.radians).collect(),
        Table::Five | Table::Six | Table::Seven => {
            let truth = truth(args, set, known)?;
            let of = |cell: &Nb201Cell| {
                truth.get(cell).copied().with_context(|| {
                    format!("{} has no accuracy of {cell}; give --truth", args.out.join(SCORES).display())
                })
            };
            found.iter().map(|(cell, _)| of(cell)).collect::<Result<_>>()?
        }
    };
    let scores: Vec<Vec<f64>> =
        plan.rows.iter().map(|row| found.iter().map(|(_, cell)| row.metric.score(cell)).collect()).collect();
    let agreed = agreements(&scores, &values, plan.reference, &streams)
        .with_context(|| format!("{} cells of {}", found.len(), args.out.display()))?;
    let rows = plan.rows.into_iter().zip(agreed).map(|(row, measured)| Line {
        row: row.name,
        paper: row.paper.of(set),
        measured,
        metric: row.metric,
    });
    let reproduced = Reproduced {
        target: args.target,
        about: plan.about,
        source: SOURCE,
        set,
        n: found.len(),
        supernet_epochs: config.supernet.epochs,
        rows: rows.collect(),
    };
    let path = args.out.join("tables").join(format!("{}.json", args.target.name()));
    write_json(&path, &reproduced)?;
    ctx.out
        .result(&reproduced, || format!("{}written: {}", text(&reproduced, plan.reference), path.display()))
}

/// The settings that were given, or those of RUN; if both, they must say the same of what is measured.
fn settings(ctx: &Ctx, args: &ReproduceArgs) -> Result<Nb201Config> {
    let path = args.out.join("config.toml");
    let own = path.exists().then(|| Nb201Config::read(&path, &[])).transpose()?;
    let mut config = match (&args.config, &own) {
        (Some(given), _) => presets::read_nb201(given, &args.set)?,
        (None, Some(_)) => Nb201Config::read(&path, &args.set)?,
        (None, None) => bail!(
            "{}: there is no run yet; give --config, such as nb201-ablations, and --data",
            args.out.display()
        ),
    };
    config.seed = ctx.global.seed.or(config.seed);
    let about = |c: &Nb201Config| (c.seed, c.data.clone(), c.supernet.clone(), c.measure.clone());
    if own.is_some_and(|own| about(&own) != about(&config)) {
        bail!(
            "{} has other settings than those given; leave --config and --set out to go on with it, or use another --out",
            path.display()
        );
    }
    Ok(config)
}

/// The measurements of the cells that have one, after those that are missing were made.
fn measured(
    ctx: &Ctx,
    args: &ReproduceArgs,
    which: Table,
    config: &Nb201Config,
    cells: &[Nb201Cell],
) -> Result<HashMap<Nb201Cell, CellMeasurement>> {
    let known = || -> Result<HashMap<Nb201Cell, CellMeasurement>> {
        Ok(held(&args.out)?.into_iter().map(|measurement| (measurement.cell, measurement)).collect())
    };
    let there = known()?;
    let missing = cells.iter().filter(|cell| !there.contains_key(*cell)).count();
    if missing == 0 {
        return Ok(there);
    }
    let Some(data) = &args.data else {
        bail!(
            "{}: {missing} of {} cells are not measured; give --data to measure them, or a smaller --sample",
            args.out.display(),
            cells.len()
        )
    };
    let halves = halve(&config.data, &config.streams(), data)?;
    let set = match halves.set.n_classes() {
        10 => Nb201Set::Cifar10,
        100 => Nb201Set::Cifar100,
        120 => Nb201Set::Imagenet16,
        n => bail!("{}: these images have {n} classes, and the paper's sets 10, 100 or 120", data.display()),
    };
    // Before hours are spent.
    let truth = args.truth.as_deref().map(GroundTruth::read).transpose()?;
    let truth = truth.as_ref().map(|truth| truth.accuracies(set)).transpose()?;
    if truth.is_none() && which != Table::One {
        bail!("give --truth, the accuracies that flatness is compared with");
    }
    let devices = ctx.devices()?;
    ctx.ensure_runtime()?;
    let run = RankRun {
        directory: &args.out,
        config,
        halves: &halves,
        cells,
        truth: truth.unwrap_or_default(),
        unique: false,
        evolve: None,
        devices: &devices,
        provider: ctx.global.provider,
        resume: args.resume,
        observer: &ctx.observer,
    };
    match truth {
        Some(_) => drop(run.run()?),
        None => run.measure()?,
    }
    known()
}

/// Cells and their true accuracies in RUN/scores.csv, if it is there.
fn truth_of_run(args: &ReproduceArgs) -> Result<Option<Vec<(Nb201Cell, f64)>>> {
    let path = args.out.join(SCORES);
    if !path.exists() {
        return Ok(None);
    }
    let damaged = || format!("{} is damaged; remove it, and give --sample and --truth", path.display());
    let mut rows = Vec::new();
    for record in csv::Reader::from_path(&path).with_context(damaged)?.records() {
        let record = record.with_context(damaged)?;
        let index = record.get(0).and_then(|text| text.parse().ok());
        let index = index.and_then(|index| Nb201Cell::from_index(index).ok());
        let truth = record.get(2).and_then(|text| text.parse().ok());
        rows.push(index.zip(truth).with_context(damaged)?);
    }
    Ok(Some(rows))
}

fn truth(
    args: &ReproduceArgs,
    set: Nb201Set,
    known: Option<Vec<(Nb201Cell, f64)>>,
) -> Result<HashMap<Nb201Cell, f64>> {
    match (&args.truth, known) {
        (Some(path), _) => {
            let truth = GroundTruth::read(path)?;
            let accuracies = truth.accuracies(set)?;
            Ok(Nb201Cell::all().map(|cell| (cell, accuracies[cell.index()])).collect())
        }
        (None, Some(rows)) => Ok(rows.into_iter().collect()),
        (None, None) => bail!("give --truth, the accuracies that flatness is compared with"),
    }
}

/// The rows of a table from what is measured. Every row is of one draw, as published.
fn plan(which: Table, measured: &MeasureConfig) -> Result<Plan, String> {
    let flatness = |what: &str, sigmas: &[f64], position: Position, direction: Direction| {
        let fits = |noise: &&NoiseConfig| {
            noise.sigmas == sigmas
                && noise.position == position
                && noise.direction == direction
                && noise.noise == Noise::Cumulative
                && noise.scale == NoiseScale::Absolute
                && !noise.recalibrate
        };
        let noise = measured.noises.iter().find(fits).ok_or_else(|| {
            format!(
                "the noise of the row {what:?} is not measured: cumulative and absolute, with sigmas {sigmas:?}; the preset \
                 nb201-ablations has all of them"
            )
        })?;
        Ok::<_, String>(RankMetric {
            draws: Some(1),
            ..RankMetric::of_noise(what, Formula::Flatness, &noise.name)
        })
    };
    let paper = |what: &str| flatness(what, &SIGMAS, Position::All, Direction::Random);
    let row = |metric: RankMetric, paper: Taus| Row { name: metric.name.clone(), metric, paper };
    let (about, reference) = match which {
        Table::One => ("tau between angle and flatness", 0),
        Table::Five => ("tau of flatness with the true accuracies, by sigma", 2),
        Table::Six => ("tau of flatness with the true accuracies, by alpha", 3),
        Table::Seven => ("tau of flatness with the true accuracies, by position and direction", 0),
    };
    let rows = match which {
        Table::One => vec![row(paper("angle, flatness")?, TABLE_1)],
        Table::Five => {
            let one = |(sigmas, tau): ([f64; 3], Taus)| {
                let [a, b, c] = sigmas;
                let name = format!("{a:e}, {b:e}, {c:e}");
                Ok(row(flatness(&name, &sigmas, Position::All, Direction::Random)?, tau))
            };
            TABLE_5.into_iter().map(one).collect::<Result<_, String>>()?
        }
        Table::Six => {
            let one = |(alpha, tau): (f64, Taus)| {
                Ok(row(RankMetric { alpha, ..paper(&format!("alpha {alpha}"))? }, tau))
            };
            TABLE_6.into_iter().map(one).collect::<Result<_, String>>()?
        }
        Table::Seven => {
            let one = |(position, direction, tau): (Position, Direction, Taus)| {
                let position_name = match position {
                    Position::All => "all weights",
                    Position::Cells => "search cells",
                };
                let direction_name = match direction {
                    Direction::Random => "random",
                    Direction::Hessian => "Hessian",
                };
                let name = format!("{position_name}, {direction_name}");
                Ok(row(flatness(&name, &SIGMAS, position, direction)?, tau))
            };
            TABLE_7.into_iter().map(one).collect::<Result<_, String>>()?
        }
    };
    Ok(Plan { about, rows, reference })
}

fn text(reproduced: &Reproduced, reference: usize) -> String {
    let Reproduced { about, set, n, supernet_epochs, rows, .. } = reproduced;
    let set = match set {
        Nb201Set::Cifar10 => "CIFAR-10",
        Nb201Set::Cifar100 => "CIFAR-100",
        Nb201Set::Imagenet16 => "ImageNet16-120",
    };
    let interval =
        |of: Option<[f64; 2]>| of.map_or("-".to_owned(), |[low, high]| format!("{low:.3} to {high:.3}"));
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|line| {
            let found = line.measured;
            vec![
                line.row.clone(),
                line.paper.map_or("-".to_owned(), |tau| format!("{tau:.4}")),
                found.map_or("-".to_owned(), |found| format!("{:.4}", found.tau)),
                interval(found.map(|found| found.interval)),
                interval(found.and_then(|found| found.less_reference)),
            ]
        })
        .collect();
    let less = format!("less {} (95 %)", rows[reference].row);
    let head = ["row", "paper", "measured", "95 %", less.as_str()];
    // A table of one row has nothing to be compared with.
    let head = if rows.len() > 1 { &head[..] } else { &head[..4] };
    let lines: Vec<Vec<String>> = lines.into_iter().map(|line| line[..head.len()].to_vec()).collect();
    format!(
        "{}: {about}, {set}\n{}\n{n} cells, a supernet of {supernet_epochs} epochs; the paper's values are of 15,625 cells and 250 \
         epochs\n",
        reproduced.target.title(),
        table(head, &lines)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(preset: &str) -> MeasureConfig {
        presets::read_nb201(std::path::Path::new(preset), &[]).unwrap().measure
    }

    #[test]
    fn the_ablations_have_every_row() {
        for preset in ["nb201-ablations", "nb201-ablations-cifar10"] {
            let measured = measured(preset);
            for (target, rows) in [(Table::One, 1), (Table::Five, 4), (Table::Six, 6), (Table::Seven, 3)] {
                let plan = plan(target, &measured).unwrap();
                assert_eq!(plan.rows.len(), rows);
                assert!(plan.reference < rows);
                for row in &plan.rows {
                    row.metric.check(&measured).unwrap();
                    assert_eq!(row.metric.draws, Some(1));
                }
                // The row that the paper repeats in each table.
                let reference = &plan.rows[plan.reference].metric;
                assert_eq!((reference.noise.as_deref(), reference.alpha), (Some("paper"), 1.0));
            }
            let hessian = plan(Table::Seven, &measured).unwrap();
            let noises: Vec<_> =
                hessian.rows.iter().map(|row| row.metric.noise.as_deref().unwrap()).collect();
            assert_eq!(noises, ["paper", "cells", "hessian"]);
        }
        let error = plan(Table::Seven, &measured("nb201-laptop")).err().unwrap();
        assert!(error.contains("search cells, random") && error.contains("nb201-ablations"), "{error}");
    }
}
