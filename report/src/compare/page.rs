//! A comparison as a page.

use std::collections::BTreeMap;

use genas_figure::{Axis, Chart, Mark, Point, Series};

use super::{Comparison, Origin, Plain};
use crate::html::{Cell, Section, Table, Width, document, figure, heading, paragraph, verbatim};
use crate::model::Run;
use crate::section::summary;

/// The page of a comparison.
pub fn page(comparison: &Comparison) -> String {
    let runs: Vec<&str> = comparison
        .rows
        .iter()
        .filter(|row| row.origin != Origin::Published)
        .map(|row| row.name.as_str())
        .collect();
    let title = match runs.len() {
        0..=3 => runs.join(", "),
        n => format!("{} and {} more", runs[..2].join(", "), n - 2),
    };
    let sections: Vec<Section> =
        [Some(tables(comparison)), charts(comparison), cells(comparison)].into_iter().flatten().collect();
    let values = serde_json::to_value(comparison).unwrap_or_default();
    document(
        &format!("Compared: {title}"),
        "<p>Runs and cells side by side, by genas.</p>\n",
        &sections,
        &values,
        Width::Tables,
    )
}

fn tables(comparison: &Comparison) -> Section {
    let mut html = paragraph(
        "Figures are <em>measured</em> in a run’s folder, <em>counted</em> by genas without a training, or \
         <em>published</em> in the GeNAS paper. Published accuracies are of single trainings on ImageNet; those that were \
         measured on other data are not to be compared with them. Nobody published the cells of rows with <em>no cell</em>.",
    );
    for table in comparison.tables() {
        html += &as_html(&table);
    }
    Section::new("tables", "Tables", html)
}

fn as_html(plain: &Plain) -> String {
    let mut table = Table::new(plain.title, &plain.head());
    let mut published = false;
    for row in &plain.rows {
        let cells = plain.columns.iter().map(|(name, of)| match of(row) {
            None => Cell::none(),
            Some((Some(value), shown)) => Cell::number(value, shown),
            Some((None, word)) if *name == "figures" => {
                Cell::html(format!("<span class=\"tag {word}\">{word}</span>"))
            }
            Some((None, text)) => Cell::text(text),
        });
        if row.origin == Origin::Published && !std::mem::replace(&mut published, true) {
            table.group("Published in the GeNAS paper, of single trainings on ImageNet");
        }
        table.row(cells.collect());
    }
    table.html()
}

fn charts(comparison: &Comparison) -> Option<Section> {
    let mut html = String::new();
    for (n, chart) in accuracy(comparison).iter().enumerate() {
        html += &figure(&format!("accuracy-{n}"), chart);
    }
    let searches = searches(&comparison.runs);
    for (n, chart) in searches.iter().enumerate() {
        html += &figure(&format!("search-{n}"), chart);
    }
    let trained: Vec<Series> = comparison
        .runs
        .iter()
        .filter_map(|run| {
            let points = run.retrained.curves.get()?.column("top1");
            let points: Vec<Point> = points.into_iter().map(|(x, y)| Point::at(x, 100.0 * y)).collect();
            (!points.is_empty()).then(|| Series::new(&run.name, Mark::Line, points))
        })
        .collect();
    if !trained.is_empty() {
        let mut chart = Chart::new("Training from scratch", Axis::linear("epoch"), Axis::linear("top-1 (%)"));
        chart.description =
            "Accuracy on the test images after each epoch. Runs on different data are not to be compared."
                .to_owned();
        chart.series = trained;
        html += &figure("trained", &chart);
    }
    (!html.is_empty()).then(|| Section::new("charts", "Charts", html))
}

/// Accuracy against cost, for each set that was tested on; published rows, in another shape, where that is ImageNet.
fn accuracy(comparison: &Comparison) -> Vec<Chart> {
    let mut by_set: BTreeMap<&str, [Vec<Point>; 2]> = BTreeMap::new();
    for row in &comparison.rows {
        let (Some(flops), Some(top1), Some(set)) = (row.flops, row.top1, &row.tested_on) else { continue };
        let set = if set.eq_ignore_ascii_case("imagenet") { "ImageNet" } else { set };
        let published = usize::from(row.origin == Origin::Published);
        by_set.entry(set).or_default()[published].push(Point::at(flops / 1e9, 100.0 * top1).named(&row.name));
    }
    let worth_it = by_set
        .into_iter()
        .filter(|(_, [measured, published])| !measured.is_empty() && measured.len() + published.len() > 1);
    let chart = |(set, [measured, published]): (&str, [Vec<Point>; 2])| {
        let mut chart = Chart::new(
            format!("Accuracy on {set} against cost"),
            Axis::linear("FLOPs (G)"),
            Axis::linear("top-1 (%)"),
        )
        .with(Series::new("measured", Mark::Points, measured));
        if !published.is_empty() {
            chart = chart.with(Series::new("published", Mark::Rings, published));
            chart.description = "Published points are of single trainings.".to_owned();
        }
        chart
    };
    worth_it.map(chart).collect()
}

/// The best score so far, in a chart for each metric: scores of different metrics are not on one scale.
fn searches(runs: &[Run]) -> Vec<Chart> {
    let mut by_metric: BTreeMap<String, Vec<Series>> = BTreeMap::new();
    for run in runs.iter().filter(|run| !run.search.generations.is_empty()) {
        let points =
            run.search.generations.iter().map(|g| Point::at((g.generation + 1) as f64, g.best_so_far));
        let series = Series::new(&run.name, Mark::Line, points.collect());
        by_metric.entry(summary::metric(run).unwrap_or_else(|| "score".to_owned())).or_default().push(series);
    }
    let chart = |(metric, series): (String, Vec<Series>)| {
        Chart {
        description: "The best score up to each generation. Runs on different supernets or data are not to be compared."
            .to_owned(),
        series,
        ..Chart::new(format!("Best by {metric}"), Axis::linear("generation"), Axis::linear(metric))
    }
    };
    by_metric.into_iter().map(chart).collect()
}

/// The cells that were asked for.
fn cells(comparison: &Comparison) -> Option<Section> {
    let mut html = String::new();
    for (n, row) in comparison.rows.iter().filter(|row| row.origin != Origin::Published).enumerate() {
        let Some(genotype) = &row.genotype else { continue };
        html += &heading(&row.name);
        html += &crate::drawing::genotype(genotype, &row.name, &format!("cell-{n}"));
        html += &verbatim(&format!("Genotype of {}", row.name), &genotype.to_string().replace("; ", "\n"));
    }
    (!html.is_empty()).then(|| Section::new("cells", "Cells", html))
}
