//! Curves of the supernet's training and of the training from scratch.

use genas_figure::{Axis, Chart, Mark, Point, Series};

use crate::html::{Cell, Section, Table, details, figure, heading};
use crate::model::Run;
use crate::model::curves::Curves;

pub(crate) fn section(run: &Run) -> Option<Section> {
    let mut html = String::new();
    if let Some(curves) = run.supernet.get() {
        html += &heading("Supernet");
        html += &of(curves, "supernet", "Supernet", "epoch", &[]);
    }
    if let Some(curves) = run.retrained.curves.get() {
        html += &heading("Training from scratch");
        html +=
            &of(curves, "retrain", "Training from scratch", "epoch", &[("top1", "top-1"), ("top5", "top-5")]);
    }
    (!html.is_empty()).then(|| Section::new("training", "Training", html))
}

/// Charts of losses and of measures that are fractions, and the whole table. `whose` makes their titles differ.
pub(super) fn of(curves: &Curves, id: &str, whose: &str, period: &str, measures: &[(&str, &str)]) -> String {
    let points = |name: &str, factor: f64| -> Vec<Point> {
        curves.column(name).into_iter().map(|(x, y)| Point::at(x, factor * y)).collect()
    };
    let mut html = String::new();
    let mut loss = Chart::new(format!("{whose}: loss"), Axis::linear(period), Axis::linear("cross-entropy"))
        .with(Series::new("training", Mark::Line, points("loss", 1.0)));
    if !measures.is_empty() && !measures.iter().any(|(name, _)| *name == "top1") {
        loss.y = Axis::linear("loss");
    }
    let validation = points("validation_loss", 1.0);
    if !validation.is_empty() {
        loss = loss.with(Series::new("test images", Mark::Line, validation));
    }
    loss.description = format!("Mean loss of the steps of each {period}.");
    html += &figure(&format!("{id}-loss"), &loss);
    let mut measured =
        Chart::new(format!("{whose}: {}", words(measures)), Axis::linear(period), Axis::linear("%"));
    for (name, title) in measures {
        let points = points(name, 100.0);
        if !points.is_empty() {
            measured = measured.with(Series::new(*title, Mark::Line, points));
        }
    }
    if !measured.series.is_empty() {
        measured.description = format!("Measured on images that are not trained on, after every {period}.");
        html += &figure(&format!("{id}-measures"), &measured);
    }
    let head: Vec<&str> = curves.columns.iter().map(String::as_str).collect();
    let mut table = Table::new(format!("{whose}: every {period} of {}", curves.file), &head);
    for row in &curves.rows {
        table.row(row.iter().map(|cell| cell.map_or_else(Cell::none, Cell::digits)).collect());
    }
    html + &details(&format!("{whose}: every column of {}", curves.file), &table.html())
}

fn words(measures: &[(&str, &str)]) -> String {
    measures.iter().map(|(_, title)| *title).collect::<Vec<_>>().join(", ")
}
