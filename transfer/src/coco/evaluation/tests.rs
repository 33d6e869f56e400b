//! Against pycocotools: recorded by tests/pycocotools_evaluation.py, and its official example where the shared
//! data is.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::*;
use crate::coco::{curves_svg, read_results};

/// Largest difference that counts as rounding.
const ROUNDING: f64 = 1e-12;

fn assert_stats(name: &str, result: &AveragePrecision, want: &Value, tolerance: f64) {
    let got = serde_json::to_value(result).unwrap();
    for (key, want) in want.as_object().unwrap() {
        let (got, want) = (got[key].as_f64().unwrap(), want.as_f64().unwrap());
        assert!((got - want).abs() <= tolerance, "{name}: {key} is {got}, not {want}");
    }
}

#[test]
fn recorded_sets_score_as_in_pycocotools() {
    let cases: Value = serde_json::from_str(include_str!("pycocotools.json")).unwrap();
    for case in cases.as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let text = case["annotations"].to_string();
        let annotations = Annotations::parse(Path::new(name), text.as_bytes()).unwrap();
        let detections: Vec<CocoDetection> = serde_json::from_value(case["detections"].clone()).unwrap();
        let result = evaluate(&annotations, &detections);
        assert_stats(name, &result, &case["stats"], ROUNDING);
        for class in &result.classes {
            let want = &case["per_class"][class.id.to_string()];
            for (got, want) in [(class.ap, &want[0]), (class.ap50, &want[1])] {
                let (got, want) = (got.unwrap_or(-1.0), want.as_f64().unwrap());
                assert!((got - want).abs() <= ROUNDING, "{name}: class {}: {got}, not {want}", class.id);
            }
        }
        let curve = result.precision();
        let area = curve.iter().flatten().sum::<f64>() / (IOU_THRESHOLDS * RECALLS) as f64;
        assert!((area - result.ap.unwrap()).abs() < ROUNDING, "{name}: the curves' area is the AP");
        assert!(curve.iter().all(|line| line.windows(2).all(|pair| pair[0] >= pair[1])), "{name}: they fall");
    }
}

/// The printed table of the official example, with the digits that its README gives.
#[test]
fn the_official_example() {
    let Some(shared) = std::env::var_os("GENAS_SHARED").map(PathBuf::from) else {
        eprintln!("skipped: GENAS_SHARED is not set");
        return;
    };
    let dir = shared.join("data/coco-eval");
    let annotations = Annotations::read(&dir.join("instances_val2014_100.json")).unwrap();
    let found = read_results(&dir.join("instances_val2014_fakebbox100_results.json"), &annotations).unwrap();
    let want = serde_json::json!({
        "ap": 0.504581, "ap50": 0.696973, "ap75": 0.572982, "ap_small": 0.585626, "ap_medium": 0.519400,
        "ap_large": 0.501398, "ar1": 0.386813, "ar10": 0.593680, "ar100": 0.595353, "ar_small": 0.639811,
        "ar_medium": 0.566421, "ar_large": 0.564291,
    });
    assert_stats("official example", &evaluate(&annotations, &found), &want, 5.1e-7);
}

#[test]
fn nothing_to_find_has_no_average() {
    let text = br#"{"images": [{"id": 4, "file_name": "4.jpg", "width": 80, "height": 60}],
        "annotations": [{"id": 1, "image_id": 4, "category_id": 3, "bbox": [1, 1, 9, 9], "iscrowd": 1}],
        "categories": [{"id": 3, "name": "a"}]}"#;
    let annotations = Annotations::parse(Path::new("a.json"), text).unwrap();
    let found = CocoDetection { image_id: 4, category_id: 3, bbox: [1.0, 1.0, 9.0, 9.0], score: 1.0 };
    for detections in [&[][..], &[found]] {
        let result = evaluate(&annotations, detections);
        assert_eq!((result.ap, result.ar100, result.n_objects), (None, None, 0));
        assert_eq!(serde_json::to_value(&result).unwrap()["ap"], -1.0);
        assert_eq!(result.precision(), Vec::<[f64; RECALLS]>::new());
        assert!(curves_svg(&result).ends_with("</svg>\n"));
    }
    let other = [CocoDetection { category_id: 5, ..found }, CocoDetection { image_id: 9, ..found }];
    let result = evaluate(&annotations, &other);
    assert_eq!((result.n_detections, result.n_not_counted), (0, 2));
}

#[test]
fn thresholds_are_those_of_numpy() {
    // numpy.linspace(.5, .95, 10)[[0, 1, 2, 5, 9]] and numpy.linspace(0, 1, 101)[[0, 7, 29, 58, 100]]
    let ious = [0, 1, 2, 5, 9].map(iou_threshold);
    assert_eq!(ious, [0.5, 0.55, 0.6, 0.75, 0.95]);
    assert_eq!([0, 7, 29, 58, 100].map(recall_level), [0.0, 0.07, 0.29, 0.58, 1.0]);
}
