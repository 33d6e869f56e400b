//! Accuracy of the exported files on data sets, shifted ones too.

use genas_figure::{Axis, Chart, Mark, Point, Series};

use crate::html::{Cell, Section, Table, facts, figure, heading, paragraph};
use crate::html::{code, data};
use crate::model::Run;
use crate::model::evaluations::Evaluated;
use crate::number::{grouped, percent};

pub(crate) fn section(run: &Run) -> Option<Section> {
    let mut html = String::new();
    if let Some(result) = run.retrained.result.get() {
        let share = |value: Option<f64>| value.map(|value| data(value, percent(value, 2)));
        let best = result.best.map(|(epoch, top1)| {
            format!("{} after epoch {}", data(top1, percent(top1, 2)), data(epoch, epoch))
        });
        let known = [
            ("top-1", share(result.top1)),
            ("top-5", share(result.top5)),
            ("guessing", share(result.chance)),
            ("best epoch", best),
        ];
        let pairs: Vec<(&str, String)> =
            known.into_iter().filter_map(|(name, html)| Some((name, html?))).collect();
        html += &heading("After training, in burn");
        html += &facts(&pairs);
        if result.best.is_some() {
            html += &paragraph(
                "<span class=\"quiet\">The best epoch was chosen by the images that it is measured on, so that its accuracy is too \
                 good.</span>",
            );
        }
    }
    let results = run.evaluations.get().map_or(&[][..], Vec::as_slice);
    if !results.is_empty() {
        html += &heading("The exported file, in ONNX Runtime");
        if let Some(chart) = chart(results) {
            html += &figure("accuracies", &chart);
        }
        html += &table(results);
    }
    (!html.is_empty()).then(|| Section::new("accuracy", "Accuracy", html))
}

/// Bars for every model, if there are several results to compare.
fn chart(results: &[Evaluated]) -> Option<Chart> {
    let known: Vec<(&Evaluated, f64)> = results.iter().filter_map(|e| Some((e, e.top1?))).collect();
    if known.len() < 2 {
        return None;
    }
    let mut sets: Vec<&str> = Vec::new();
    let mut models: Vec<&str> = Vec::new();
    for (result, _) in &known {
        for (list, value) in [(&mut sets, result.set.as_str()), (&mut models, result.model.as_str())] {
            if !list.contains(&value) {
                list.push(value);
            }
        }
    }
    let names = sets.iter().map(|set| (*set).to_owned()).collect();
    let mut chart =
        Chart::new("Accuracy by data set", Axis::named("data set", names), Axis::linear("top-1 (%)"));
    for model in models {
        let of_model = known.iter().filter(|(result, _)| result.model == model);
        let points = of_model.filter_map(|(result, top1)| {
            let place = sets.iter().position(|set| *set == result.set)?;
            Some(Point::at(place as f64, 100.0 * top1).named(&result.set))
        });
        chart = chart.with(Series::new(model, Mark::Bars, points.collect()));
    }
    chart.description = "Images whose class the model names first.".to_owned();
    Some(chart)
}

fn table(results: &[Evaluated]) -> String {
    let detection = results.iter().any(|e| e.aupr.is_some());
    let mut head = vec!["set", "top-1", "top-5"];
    if detection {
        head.extend(["AUPR", "AUROC", "FPR95"]);
    }
    head.extend(["images", "images/s", "provider", "model"]);
    let mut table = Table::new("Accuracy of exported files", &head);
    let share = |value| Cell::maybe(value, |value| percent(value, 2));
    for e in results {
        let mut row = vec![Cell::text(&e.set), share(e.top1), share(e.top5)];
        if detection {
            row.extend([share(e.aupr), share(e.auroc), share(e.fpr95)]);
        }
        row.extend([
            Cell::number(e.n, grouped(e.n)),
            Cell::maybe(e.images_per_second, |speed| format!("{speed:.1}")),
            e.provider.as_deref().map_or_else(Cell::none, Cell::text),
            Cell::html(code(&e.model)),
        ]);
        table.row(row);
    }
    table.html()
}
