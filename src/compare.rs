//! `genas compare`.

use std::path::Path;

use anyhow::{Context, Result, bail};
use genas_export::ModelFile;
use genas_net::{EvalNet, NetworkKind, atomic_write};
use genas_report::Run;
use genas_report::compare::{Comparison, Row, page};
use genas_report::model::Kind;
use genas_search::Observer;

use crate::args::{CompareArgs, PublishedArg};
use crate::cell;
use crate::context::Ctx;
use crate::cost::width_for;
use crate::output::table;

/// FLOPs of the networks that the paper compares; the width of a cell's network comes nearest to it.
const FLOPS: u64 = 600_000_000;

pub fn run(ctx: &Ctx, args: &CompareArgs) -> Result<()> {
    let mut comparison = Comparison::default();
    for item in &args.items {
        add(&mut comparison, item)?;
    }
    match args.published {
        PublishedArg::All => comparison.publish(true),
        PublishedArg::Cells => comparison.publish(false),
        PublishedArg::None => {}
    }
    for run in &comparison.runs {
        for fault in &run.faults {
            ctx.observer.message(&format!("{}: {}", run.at(&fault.file).display(), fault.reason));
        }
    }
    if let Some(path) = &args.html {
        atomic_write(path, page::page(&comparison).as_bytes())?;
    }
    if let Some(path) = &args.csv {
        let (head, rows) = comparison.csv();
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(head)?;
        rows.iter().try_for_each(|row| writer.write_record(row))?;
        let bytes = writer.into_inner().with_context(|| path.display().to_string())?;
        atomic_write(path, &bytes)?;
    }
    ctx.out.result(&comparison, || text(&comparison))
}

/// Adds what a word names: a run, a model file, or a cell.
fn add(comparison: &mut Comparison, item: &str) -> Result<()> {
    let path = Path::new(item);
    if path.is_dir() {
        let run = Run::read(path)?;
        if run.kind == Kind::Ranking {
            bail!(
                "{item} is a ranking of NAS-Bench-201's cells, and has no cell to compare; see `genas report {item}`"
            );
        }
        comparison.run(run);
    } else if path.extension().is_some_and(|ending| ending == "onnx") {
        let model = ModelFile::read(path)?;
        let Some(net) = &model.network else {
            bail!("{item}: {} is not the network of one cell", path.display());
        };
        comparison.rows.push(Row::counted(item, net, model.info.input_size, "the file's own description"));
    } else {
        comparison.rows.push(of_cell(item)?);
    }
    Ok(())
}

/// A cell in the ImageNet network: of the zoo at the width of its published row, else near the paper's FLOPs.
fn of_cell(item: &str) -> Result<Row> {
    let genotype = cell::resolve(item)?;
    let kind = NetworkKind::ImageNet;
    let (layers, classes) = (EvalNet::default_layers(kind), 1000);
    let known = genas_space::find(item);
    let (channels, source) = match known.and_then(|entry| entry.channels) {
        Some(channels) => (channels, "counted at the width of its published row"),
        None => {
            (width_for(&genotype, kind, layers, classes, FLOPS), "counted at the width nearest to 600 MFLOPs")
        }
    };
    let net = EvalNet { kind, genotype, channels, layers, classes, auxiliary: false };
    let name = known.map_or(item, |entry| entry.name);
    Ok(Row::counted(name, &net, EvalNet::default_image_size(kind), source))
}

fn text(comparison: &Comparison) -> String {
    let tables = comparison
        .tables()
        .into_iter()
        .map(|plain| format!("{}\n{}\n", plain.title.replace('’', "'"), table(&plain.head(), &plain.text())));
    tables.collect::<String>()
        + "Figures are measured in a run's folder, counted by genas, or published in the GeNAS paper, there of single \
           trainings on ImageNet.\n"
}
