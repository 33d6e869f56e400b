//! Objects: what a detector on the backbone finds.

use serde_json::Value;

use crate::html::{Cell, Section, Table, code, data, details, escaped, facts, heading, paragraph};
use crate::model::Run;
use crate::model::files::{number, string};
use crate::number::{grouped, percent};
use crate::page::Canvas;
use crate::section::{segmentation, training};

/// The twelve numbers of COCO.
const NUMBERS: [(&str, &str); 12] = [
    ("ap", "AP, IoU 0.50 to 0.95"),
    ("ap50", "AP at IoU 0.50"),
    ("ap75", "AP at IoU 0.75"),
    ("ap_small", "AP of small objects"),
    ("ap_medium", "AP of medium objects"),
    ("ap_large", "AP of large objects"),
    ("ar1", "AR, 1 detection per image"),
    ("ar10", "AR, 10 detections"),
    ("ar100", "AR, 100 detections"),
    ("ar_small", "AR of small objects"),
    ("ar_medium", "AR of medium objects"),
    ("ar_large", "AR of large objects"),
];

const CURVES: [(&str, &str); 3] = [("ap", "AP"), ("ap50", "AP50"), ("ap75", "AP75")];

pub(crate) fn section(run: &Run, canvas: &mut Canvas) -> Option<Section> {
    let coco = &run.coco;
    if !coco.is_there() {
        return None;
    }
    let mut html = String::new();
    if let Some(result) = coco.result.get() {
        let shares = NUMBERS.iter().filter(|(key, _)| result.get(key).is_some()).map(|(key, name)| {
            (*name, coco.number(key).map_or_else(|| "–".to_owned(), |value| data(value, percent(value, 1))))
        });
        let counts = [("n_images", "images"), ("n_objects", "objects"), ("n_detections", "detections")];
        let counts = counts.iter().filter_map(|(key, name)| {
            Some((*name, coco.number(key).map(|value| data(value, grouped(value as u64)))?))
        });
        html += &facts(&shares.chain(counts).collect::<Vec<_>>());
        html += &speed(result);
        html += &classes(result);
    }
    html += &segmentation::pictures(
        run,
        canvas,
        &coco.pictures,
        "Detections; what there is to find is dashed",
        false,
    );
    let drawings: Vec<&String> = coco.drawings.iter().collect();
    html += &segmentation::drawings(run, canvas, &drawings, "Precision against recall");
    if let Some(curves) = coco.curves.get() {
        html += &heading("Training of the detector");
        html += &training::of(curves, "coco", "Detector", "period", &CURVES);
    }
    (!html.is_empty()).then(|| Section::new("detection", "Detection (COCO)", html))
}

/// What was measured, and where, in a line.
pub(super) fn speed(result: &Value) -> String {
    let Some(speed) = number(result, "images_per_second") else { return String::new() };
    let model = string(result, "model").map_or_else(|| "The file".to_owned(), |model| code(&model));
    let on =
        string(result, "provider").map_or_else(String::new, |provider| format!(" ({})", escaped(&provider)));
    paragraph(&format!(
        "<span class=\"quiet\">{model} in ONNX Runtime{on}: {} images per second.</span>",
        data(speed, format!("{speed:.1}"))
    ))
}

fn classes(result: &Value) -> String {
    let Some(classes) = result.get("per_class").and_then(Value::as_array) else { return String::new() };
    let mut table = Table::new("Detection, class by class", &["class", "AP", "AP50", "objects"]);
    for class in classes {
        let share = |key| {
            let value = number(class, key).filter(|value| *value >= 0.0);
            Cell::maybe(value, |value| percent(value, 1))
        };
        let objects = number(class, "n_objects");
        table.row(vec![
            Cell::text(string(class, "name").unwrap_or_default()),
            share("ap"),
            share("ap50"),
            Cell::maybe(objects, |n| grouped(n as u64)),
        ]);
    }
    details("Class by class", &table.html())
}
