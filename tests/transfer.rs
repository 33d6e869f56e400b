//! `genas transfer coco --model` and `genas data check` on boxes from outside, with a detector of a few constants.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

#[path = "support/detector.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod detector;
mod support;

use std::fs;

use detector::{end_to_end, metadata, raw};
use serde_json::Value;
use support::Place;

const ANY: [Option<usize>; 4] = [None, Some(3), None, None];

/// The classes of the generated data, and pictures as they are.
fn of_shapes(annotations: &Value) -> Vec<(&'static str, String)> {
    let column = |key: &str| {
        let categories = annotations["categories"].as_array().unwrap().iter();
        Value::from(categories.map(|c| c[key].clone()).collect::<Vec<_>>()).to_string()
    };
    let mut entries = metadata();
    for (key, value) in &mut entries {
        match *key {
            "class_names" => *value = column("name"),
            "category_ids" => *value = column("id"),
            _ => {}
        }
    }
    entries
}

#[test]
fn a_detector_is_evaluated() {
    let place = Place::new("");
    let annotations = place.at("shapes/coco/annotations/instances_val2017.json");
    let annotations: Value = serde_json::from_slice(&fs::read(annotations).unwrap()).unwrap();
    let images = annotations["images"].as_array().unwrap().len();
    // Everywhere the same; a few boxes will be right.
    let objects = [([2.0, 2.0, 20.0, 20.0], 0, 1.0), ([5.0, 5.0, 19.0, 19.0], 1, 0.5)];
    fs::write(place.at("d.onnx"), end_to_end(&objects, ANY, &of_shapes(&annotations))).unwrap();
    fs::write(place.at("other.onnx"), raw(&objects, ANY, &metadata())).unwrap();
    fs::write(place.at("text.onnx"), "text").unwrap();
    let args = |rest: &[&'static str]| {
        [&["--provider", "cpu", "transfer", "coco", "--data", "shapes/coco"], rest].concat()
    };
    let model = args(&[
        "--model",
        "d.onnx",
        "--detections",
        "new/found.json",
        "--draw",
        "drawn",
        "--draw-images",
        "3",
    ]);
    let result = place.succeeds(&model);
    assert_eq!(result["n_images"].as_u64(), Some(images as u64));
    assert_eq!(
        [&result["model"], &result["provider"], &result["detections"], &result["form"]],
        ["d.onnx", "cpu", "new/found.json", "end-to-end"]
    );
    assert!(result["images_per_second"].as_f64().unwrap() > 0.0);
    assert_eq!(result["drawn"].as_array().unwrap().len(), 3);
    assert_eq!(fs::read_dir(place.at("drawn")).unwrap().count(), 3);

    // The file gives the numbers that were printed.
    let again = place.succeeds(&args(&["--results", "new/found.json"]));
    for (key, value) in again.as_object().unwrap() {
        assert_eq!(&result[key], value, "{key}");
    }
    let few = place.succeeds(&args(&[
        "--model",
        "d.onnx",
        "--limit",
        "2",
        "--split",
        "train2017",
        "--threads",
        "1",
    ]));
    assert_eq!(few["n_images"].as_u64(), Some(2));

    place.fails(&args(&["--model", "other.onnx"]), 1, &["3 cat, 9 dog", "instances_val2017.json"]);
    place.fails(&args(&["--model", "text.onnx"]), 1, &["text.onnx is not an ONNX model"]);
    place.fails(&args(&["--model", "none.onnx"]), 1, &["none.onnx"]);
    place.fails(&args(&["--model", "d.onnx", "--split", "test2017"]), 1, &["instances_test2017.json"]);
    for rest in [
        &[][..],
        &["--model", "d.onnx", "--results", "new/found.json"],
        &["--results", "new/found.json", "--detections", "again.json"],
        &["--results", "new/found.json", "--limit", "3"],
        &["--results", "new/found.json", "--draw-images", "3"],
    ] {
        assert_eq!(place.command(&args(rest)).output().unwrap().status.code(), Some(2), "{rest:?}");
    }
    let alone = "shapes/coco/annotations/instances_val2017.json";
    place.fails(
        &["transfer", "coco", "--data", alone, "--model", "d.onnx"],
        1,
        &["instances_val2017.json: --model needs the images too"],
    );

    let report = place.succeeds(&["data", "check", "shapes/coco"]);
    assert_eq!((&report["kind"], &report["bad"]), (&"coco".into(), &Value::from(Vec::<Value>::new())));
    assert!(report["n_images"].as_u64().unwrap() > images as u64);
    let search = ["search", "--config", "quickstart", "--data", "shapes/coco", "--out", "run"];
    place.fails(&search, 1, &["shapes/coco: this is COCO", "boxes"]);
    let evaluate = ["evaluate", "d.onnx", "--set", "folder", "--data", "shapes/coco"];
    assert_eq!(place.command(&evaluate).output().unwrap().status.code(), Some(1));

    let image = annotations["images"][1]["file_name"].as_str().unwrap();
    fs::write(place.at("shapes/coco/val2017").join(image), "text").unwrap();
    place.fails(&args(&["--model", "d.onnx"]), 1, &[image, "not a JPEG"]);
    let output = place.command(&["data", "check", "shapes/coco"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["bad"][0]["file"].as_str().unwrap().ends_with(image), "{report}");
}
