//! Classes of pixels: what a segmenter on the backbone sees.

use std::fs;

use serde_json::Value;

use crate::html::{Cell, Section, Table, data, escaped, facts, heading, paragraph};
use crate::model::Run;
use crate::model::files::{number, string};
use crate::number::{grouped, percent};
use crate::page::Canvas;
use crate::pictures::{Embedded, drawing, photo};
use crate::section::{detection, training};

/// Width of a picture among others, and of one that stands alone, in pixels.
const WIDTHS: [u32; 2] = [560, 1400];

const CURVES: [(&str, &str); 3] =
    [("miou", "mIoU"), ("pixel_accuracy", "pixel accuracy"), ("mean_accuracy", "mean accuracy")];

pub(crate) fn section(run: &Run, canvas: &mut Canvas) -> Option<Section> {
    let cityscapes = &run.cityscapes;
    if !cityscapes.is_there() {
        return None;
    }
    let mut html = String::new();
    if let Some(result) = cityscapes.result.get() {
        let shares = CURVES.iter().filter_map(|(key, name)| {
            Some((*name, cityscapes.number(key).map(|value| data(value, percent(value, 1)))?))
        });
        let counts =
            [("n_images", "images"), ("n_pixels", "pixels that count"), ("n_ignored", "pixels ignored")];
        let counts = counts.iter().filter_map(|(key, name)| {
            Some((*name, cityscapes.number(key).map(|value| data(value, grouped(value as u64)))?))
        });
        html += &facts(&shares.chain(counts).collect::<Vec<_>>());
        html += &detection::speed(result);
        html += &classes(result);
    }
    let title = "Picture, labels and prediction, row by row";
    html += &pictures(run, canvas, &cityscapes.pictures, title, true);
    let drawn: Vec<&String> = cityscapes.drawings.iter().collect();
    html += &drawings(run, canvas, &drawn, "Confusion of the classes");
    if let Some(curves) = cityscapes.curves.get() {
        html += &heading("Training of the segmenter");
        html += &training::of(curves, "cityscapes", "Segmenter", "period", &CURVES);
    }
    (!html.is_empty()).then(|| Section::new("segmentation", "Segmentation (Cityscapes)", html))
}

fn classes(result: &Value) -> String {
    let Some(classes) = result.get("classes").and_then(Value::as_array) else { return String::new() };
    let mut table = Table::new("Segmentation, class by class", &["class", "IoU", "accuracy", "pixels"]);
    for class in classes {
        let share = |key| Cell::maybe(number(class, key), |value| percent(value, 1));
        table.row(vec![
            Cell::text(string(class, "name").unwrap_or_default()),
            share("iou"),
            share("accuracy"),
            Cell::maybe(number(class, "pixels"), |n| grouped(n as u64)),
        ]);
    }
    table.html()
}

/// Photos of a run, as many as there is room for; `alone` if one takes the whole width.
pub(super) fn pictures(run: &Run, canvas: &mut Canvas, files: &[String], title: &str, alone: bool) -> String {
    let mut items = String::new();
    let before = canvas.budget.left_out;
    for file in files {
        let small = match photo(&run.at(file), WIDTHS[usize::from(alone)]) {
            Ok(small) => small,
            Err(reason) => {
                canvas.fault(file, reason);
                continue;
            }
        };
        let Some(Embedded { uri, size: [width, height] }) = canvas.budget.take(small) else { continue };
        let name = file.rsplit('/').next().unwrap_or(file);
        items += &format!(
            "<li><img src=\"{uri}\" width=\"{width}\" height=\"{height}\" alt=\"{}\"><span>{}</span></li>\n",
            escaped(&format!("{title}: {name}")),
            escaped(name)
        );
    }
    if items.is_empty() && canvas.budget.left_out == before {
        return String::new();
    }
    let class = if alone { "pictures wide" } else { "pictures" };
    let mut html = format!("{}<ul class=\"{class}\">\n{items}</ul>\n", heading(title));
    let left_out = canvas.budget.left_out - before;
    if left_out > 0 {
        html += &paragraph(&format!(
            "{left_out} pictures more are in the run’s folder; they would make this file too large for an e-mail."
        ));
    }
    html
}

/// SVG files of a run.
pub(super) fn drawings(run: &Run, canvas: &mut Canvas, files: &[&String], title: &str) -> String {
    let mut html = String::new();
    for file in files {
        let svg = match fs::read(run.at(file)) {
            Ok(svg) => svg,
            Err(e) => {
                canvas.fault(file, format!("cannot be read: {e}"));
                continue;
            }
        };
        if !String::from_utf8_lossy(&svg).contains("<svg") {
            canvas.fault(file, "is no SVG picture");
            continue;
        }
        let embedded = Embedded { uri: drawing(&svg), size: [0, 0] };
        let Some(Embedded { uri, .. }) = canvas.budget.take(embedded) else {
            html += &paragraph(&format!("{} is too large for this page.", escaped(file)));
            continue;
        };
        let name = file.rsplit('/').next().unwrap_or(file);
        let alt = escaped(&format!("{title}: {name}"));
        html += &format!(
            "<figure class=\"wide\"><img src=\"{uri}\" alt=\"{alt}\"><figcaption>{alt}</figcaption></figure>\n"
        );
    }
    if html.is_empty() { html } else { heading(title) + &html }
}
