//! Which networks a landscape is of.

use std::path::Path;

use anyhow::{Context, Result, bail};
use genas_data::Normalization;
use genas_search::config::ScorerKind;
use genas_search::landscape::Subject;
use genas_search::landscape::groups::top_middle_bottom;
use genas_search::landscape::retrained::RetrainedRun;
use genas_search::landscape::supernet::{AnySupernet, NamedCell};
use genas_search::rank::run::SCORES;
use genas_search::retrain::Pretrained;
use genas_search::{Config, Observer};
use genas_space::nb201::{Nb201Cell, parse_nb201};
use genas_space::{Candidate, Streams, zoo};

use crate::args::{LandscapeArgs, SourceArg};
use crate::context::Ctx;
use crate::{cell, weights};

/// Cells in each group of a ranking, where no number is given.
const GROUP: usize = 3;
/// Letters of a name that a picture shows.
const LONGEST: usize = 28;

/// Networks, and what they have in common.
pub struct Source {
    pub subjects: Vec<Subject>,
    /// Images that a loss is of.
    pub images: usize,
    /// What they are, for people.
    pub of: &'static str,
    /// What directions are drawn from.
    pub streams: Streams,
}

/// Reads what `args` names, and prepares its images.
pub fn open(ctx: &Ctx, args: &LandscapeArgs) -> Result<Source> {
    let [first, rest @ ..] = &args.run[..] else { bail!("give a run (--run RUN)") };
    let wants_cells = !args.cell.is_empty() || args.top_middle_bottom.is_some();
    let supernet = match args.of {
        Some(SourceArg::Retrained) if wants_cells => {
            bail!("cells are of a supernet, and --of is retrained; leave one of them out")
        }
        Some(SourceArg::Retrained) => None,
        None if !rest.is_empty() && !wants_cells => None,
        _ => AnySupernet::read(first)?,
    };
    match supernet {
        Some(_) if !rest.is_empty() => {
            bail!("cells are of one supernet, and these are {} runs; give one --run", args.run.len())
        }
        Some(AnySupernet::Darts(_)) if args.top_middle_bottom.is_some() || args.by != "truth" => bail!(
            "{}: --top-middle-bottom and --by are of a ranking, and this is no run of `genas rank`; give cells (--cell)",
            first.display()
        ),
        Some(supernet) => cells(ctx, args, first, supernet),
        None if args.of == Some(SourceArg::Supernet) || wants_cells => {
            bail!("{} has no supernet; give a run of `genas supernet`, `search` or `rank`", first.display())
        }
        None => retrained(ctx, args),
    }
}

/// Cells of a supernet.
fn cells(ctx: &Ctx, args: &LandscapeArgs, run: &Path, supernet: AnySupernet) -> Result<Source> {
    let streams = ctx.global.seed.map_or(supernet.streams(), Streams::new);
    let devices = ctx.devices()?;
    if supernet.engine() == ScorerKind::Ort {
        ctx.ensure_runtime()?;
    }
    let (data, images, again, provider) = (&args.data, args.images, args.recalibrate, ctx.global.provider);
    let ((subjects, images), of) = match supernet {
        AnySupernet::Darts(supernet) => {
            let cells = distinct(darts_cells(args, run)?)?;
            let found = supernet.subjects(&cells, data, images, again, &devices, provider)?;
            (found, "cells of a supernet")
        }
        AnySupernet::Nb201(supernet) => {
            let cells = distinct(nb201_cells(ctx, args, run)?)?;
            let found = supernet.subjects(&cells, data, images, again, &devices, provider)?;
            (found, "cells of a NAS-Bench-201 supernet")
        }
    };
    Ok(Source { subjects, images, of, streams })
}

/// The cells that are asked for, or the winner.
fn darts_cells(args: &LandscapeArgs, run: &Path) -> Result<Vec<NamedCell<Candidate>>> {
    if args.cell.is_empty() {
        let file = run.join("genotype.json");
        if !file.is_file() {
            bail!("{} has no winner yet; give cells (--cell), or finish its search", run.display());
        }
        let cell = Candidate::try_from(&cell::read(&file)?)?;
        return Ok(vec![NamedCell { name: "winner".to_owned(), label: "winner".to_owned(), cell }]);
    }
    let named = |text: &String| {
        let cell = Candidate::try_from(&cell::resolve(text)?).with_context(|| format!("--cell {text}"))?;
        // A file of that name is read first.
        let known = zoo::find(text).filter(|_| !Path::new(text).exists());
        let name = known.map_or(text.as_str(), |entry| entry.name);
        Ok(NamedCell { name: name.to_owned(), label: shortened(name), cell })
    };
    let mut cells: Vec<NamedCell<Candidate>> = args.cell.iter().map(named).collect::<Result<_>>()?;
    let labels: Vec<String> = cells.iter().map(|cell| cell.label.clone()).collect();
    for cell in &mut cells {
        // Cells of one label would be one curve.
        if labels.iter().filter(|label| **label == cell.label).count() > 1 {
            cell.label.clone_from(&cell.name);
        }
    }
    Ok(cells)
}

/// The cells that are asked for, or the best, middle and worst.
fn nb201_cells(ctx: &Ctx, args: &LandscapeArgs, run: &Path) -> Result<Vec<NamedCell<Nb201Cell>>> {
    if !args.cell.is_empty() {
        let named = |text: &String| {
            let cell = parse_nb201(text).with_context(|| format!("--cell {text}"))?;
            Ok(NamedCell { name: cell.to_string(), label: format!("cell {}", cell.index()), cell })
        };
        return args.cell.iter().map(named).collect();
    }
    let k = args.top_middle_bottom.unwrap_or(GROUP);
    if args.top_middle_bottom.is_none() {
        let by = &args.by;
        ctx.observer
            .message(&format!("the {k} best, middle and worst cells by {by} (--top-middle-bottom, --cell)"));
    }
    let file = run.join(SCORES);
    let (cells, scores) = ranking(&file, &args.by)?;
    let groups = top_middle_bottom(&scores, k).map_err(|e| anyhow::anyhow!("{}: {e}", file.display()))?;
    let named = groups.into_iter().flat_map(|(group, members)| {
        let label = format!("{group} by {}", args.by);
        let cells = &cells;
        members.into_iter().map(move |n| {
            let cell = cells[n];
            NamedCell { name: cell.to_string(), label: label.clone(), cell }
        })
    });
    Ok(named.collect())
}

/// The cells of a table of scores, and one of its columns.
fn ranking(file: &Path, column: &str) -> Result<(Vec<Nb201Cell>, Vec<f64>)> {
    let context = || format!("{}: no table of scores; finish `genas rank`", file.display());
    let mut reader = csv::Reader::from_path(file).with_context(context)?;
    let head = reader.headers().with_context(context)?.clone();
    let at = |name: &str| head.iter().position(|found| found == name);
    let architecture = at("architecture").with_context(context)?;
    let Some(score) = at(column).filter(|&n| n != architecture && head.get(n) != Some("index")) else {
        let known: Vec<&str> = head.iter().filter(|name| !["index", "architecture"].contains(name)).collect();
        bail!("{} has no column {column} (--by); there are {}", file.display(), known.join(", "));
    };
    let (mut cells, mut scores) = (Vec::new(), Vec::new());
    for row in reader.records() {
        let row = row.with_context(context)?;
        let field = |n: usize| row.get(n).unwrap_or_default();
        cells.push(field(architecture).parse().with_context(context)?);
        scores.push(field(score).parse().with_context(context)?);
    }
    Ok((cells, scores))
}

/// Networks that were trained from scratch.
fn retrained(ctx: &Ctx, args: &LandscapeArgs) -> Result<Source> {
    let mut opened = Vec::new();
    for run in &args.run {
        let file = run.join("retrain/final.safetensors");
        if !file.is_file() {
            let lacks = match args.of {
                None if args.run.len() == 1 => "supernet and no retrained network",
                _ => "retrained network",
            };
            bail!("{} has no {lacks}; give a run of `genas retrain`, or one with a supernet", run.display());
        }
        let config = Config::read(&run.join("retrain").join(genas_search::retrain::CONFIG), &[])?;
        opened.push((run.display().to_string(), weights::read(&file)?, file, config));
    }
    let names: Vec<&str> = opened.iter().map(|(name, ..)| name.as_str()).collect();
    if let Some(twice) = repeated(&names) {
        bail!("--run {twice} is given twice");
    }
    let streams = Streams::new(ctx.global.seed.or(opened[0].3.seed).unwrap_or(1));
    let devices = ctx.devices()?;
    ctx.ensure_runtime()?;
    let mut subjects = Vec::new();
    let mut images = 0;
    for (name, trained, file, config) in opened {
        let model = Pretrained {
            net: trained.net,
            weights: trained.weights,
            classes: trained.info.class_names,
            image_size: trained.info.input_size,
            normalization: Normalization { mean: trained.info.mean, std: trained.info.std },
            source: file.display().to_string(),
        };
        let run = RetrainedRun {
            name: &name,
            model,
            config: &config,
            data: &args.data,
            images: args.images,
            recalibrate: args.recalibrate,
            streams: &streams,
            devices: &devices,
            provider: ctx.global.provider,
        };
        let (subject, n) = run.subject()?;
        // Of photos and small images in one call: unlike losses are not put side by side.
        if images != 0 && n != images {
            bail!("{name} is measured on {n} images and the others on {images}; give one number (--images)");
        }
        images = n;
        subjects.push(subject);
    }
    Ok(Source { subjects, images, of: "retrained networks", streams })
}

/// The cells, if none is there twice.
fn distinct<C>(cells: Vec<NamedCell<C>>) -> Result<Vec<NamedCell<C>>> {
    let names: Vec<&str> = cells.iter().map(|cell| cell.name.as_str()).collect();
    if let Some(twice) = repeated(&names) {
        bail!("--cell {twice} is given twice");
    }
    Ok(cells)
}

fn repeated<'a>(names: &[&'a str]) -> Option<&'a str> {
    names.iter().enumerate().find(|(n, name)| names[..*n].contains(name)).map(|(_, name)| *name)
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= LONGEST {
        return name.to_owned();
    }
    name.chars().take(LONGEST - 3).chain("...".chars()).collect()
}
