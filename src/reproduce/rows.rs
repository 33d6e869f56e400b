//! Tables 2 to 4: published rows, what their cells cost by our counting, and runs beside them.

use anyhow::Result;
use genas_net::{Cost, EvalNet, NetworkKind};
use genas_report::Run;
use genas_report::compare::{Origin, Row, of_run, published};
use genas_space::zoo;
use genas_train::directory::write_json;
use serde::Serialize;

use super::paper::SOURCE;
use crate::args::{ReproduceArgs, Target};
use crate::context::Ctx;
use crate::output::table;

/// Cells of the published networks.
const LAYERS: usize = 14;
const CLASSES: usize = 1000;

/// One of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// The five metrics, on three search sets.
    Two,
    /// All methods, on CIFAR-10 and CIFAR-100.
    Three,
    /// Shifted sets and other tasks.
    Four,
}

#[derive(Debug, Serialize)]
struct Reproduced {
    target: Target,
    about: &'static str,
    source: &'static str,
    rows: Vec<Line>,
    missing: Vec<String>,
}

/// A row, and what its cell costs by our counting where the cell and its width are known.
#[derive(Debug, Serialize)]
struct Line {
    #[serde(flatten)]
    row: Row,
    counted_params: Option<u64>,
    counted_flops: Option<u64>,
}

pub fn run(ctx: &Ctx, args: &ReproduceArgs, which: Table) -> Result<()> {
    let mut lines = Vec::new();
    for path in &args.run {
        lines.push(Line { row: of_run::row(&Run::read(path)?), counted_params: None, counted_flops: None });
    }
    lines.extend(published::rows().into_iter().filter(|row| belongs(row, which)).map(counted));
    let unknown =
        lines.iter().filter(|l| l.row.origin == Origin::Published && l.counted_params.is_none()).count();
    let mut missing = Vec::new();
    if unknown > 0 {
        missing.push(format!("the cells of {unknown} published rows, or their width: nobody published them, so they cannot be counted"));
    }
    if args.run.is_empty() {
        let needs = match which {
            Table::Two | Table::Three => "`genas retrain --network imagenet`",
            Table::Four => {
                "`genas retrain --network imagenet`, `evaluate`, `transfer coco` and `transfer cityscapes`"
            }
        };
        missing.push(format!("measured accuracies: give runs of {needs} with --run"));
    }
    let about = match which {
        Table::Two => "search metrics, by ImageNet accuracy",
        Table::Three => "methods of the DARTS space, by ImageNet accuracy",
        Table::Four => "shifted sets, detection and segmentation",
    };
    let reproduced = Reproduced { target: args.target, about, source: SOURCE, rows: lines, missing };
    let file = args.out.join("tables").join(format!("{}.json", args.target.name()));
    write_json(&file, &reproduced)?;
    ctx.out.result(&reproduced, || {
        let (head, rows) = text(&reproduced.rows, which);
        let missing: Vec<String> =
            reproduced.missing.iter().map(|line| format!("missing: {line}\n")).collect();
        format!(
            "{}: {about}\n{}\n{}written: {}",
            args.target.title(),
            table(&head, &rows),
            missing.concat(),
            file.display()
        )
    })
}

/// Whether a published row stands in the table.
fn belongs(row: &Row, which: Table) -> bool {
    let set = row.search_set.as_deref();
    let method = row.metric.as_deref().unwrap_or_default();
    match which {
        // Those of one metric or a sum of two, under whatever method's name.
        Table::Two => method.ends_with(')') || set == Some("ImageNet"),
        Table::Three => set != Some("ImageNet") && !method.contains("Accuracy + Flatness"),
        Table::Four => row.coco_ap.is_some(),
    }
}

/// With the cost of its cell in the ImageNet network of the published width.
fn counted(row: Row) -> Line {
    let channels = zoo::find(&row.name).and_then(|entry| entry.channels);
    let cost = row.genotype.clone().zip(channels).map(|(genotype, channels)| {
        let kind = NetworkKind::ImageNet;
        let net = EvalNet { kind, genotype, channels, layers: LAYERS, classes: CLASSES, auxiliary: false };
        let side = EvalNet::default_image_size(kind);
        Cost::of([3, side, side], |i, x| {
            net.forward(i, x);
        })
    });
    Line { row, counted_params: cost.map(|c| c.params), counted_flops: cost.map(|c| c.paper_flops) }
}

fn text(lines: &[Line], which: Table) -> (Vec<&'static str>, Vec<Vec<String>>) {
    let number =
        |value: Option<f64>, digits: usize| value.map_or("-".to_owned(), |v| format!("{v:.digits$}"));
    let percent = |value: Option<f64>| number(value.map(|v| 100.0 * v), 2);
    let mut head =
        vec!["cell or run", "figures", "set", "metric", "params (M)", "counted", "FLOPs (G)", "counted"];
    head.extend(match which {
        Table::Two | Table::Three => &["top-1 (%)", "top-5 (%)"][..],
        Table::Four => &["V2 (%)", "A (%)", "COCO AP (%)", "Cityscapes mIoU (%)"][..],
    });
    let row = |line: &Line| {
        let Line { row, counted_params, counted_flops } = line;
        let word = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let mut cells = vec![
            row.name.clone(),
            row.origin.name().to_owned(),
            word(&row.search_set),
            word(&row.metric),
            number(row.params.map(|p| p / 1e6), 1),
            number(counted_params.map(|p| p as f64 / 1e6), 3),
            number(row.flops.map(|f| f / 1e9), 2),
            number(counted_flops.map(|f| f as f64 / 1e9), 3),
        ];
        cells.extend(match which {
            Table::Two | Table::Three => vec![percent(row.top1), percent(row.top5)],
            Table::Four => vec![
                percent(row.imagenet_v2),
                percent(row.imagenet_a),
                percent(row.coco_ap),
                percent(row.cityscapes_miou),
            ],
        });
        cells
    };
    (head, lines.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_the_papers_rows() {
        let rows = |which| {
            published::rows().into_iter().filter(|row| belongs(row, which)).map(counted).collect::<Vec<_>>()
        };
        // Five metrics on three sets; 14 and 7 methods; seven.
        for (which, n) in [(Table::Two, 15), (Table::Three, 21), (Table::Four, 7)] {
            assert_eq!(rows(which).len(), n, "{which:?}");
        }
        // Costs that are known agree with the published ones within their rounding, or the publisher counted otherwise.
        let known: Vec<Line> = rows(Table::Two).into_iter().filter(|l| l.counted_params.is_some()).collect();
        assert!(known.len() >= 5);
        for line in known {
            let (paper, own) = (line.row.params.unwrap() / 1e6, line.counted_params.unwrap() as f64 / 1e6);
            assert!((paper - own).abs() < 0.06, "{}: {paper} {own}", line.row.name);
        }
    }
}
