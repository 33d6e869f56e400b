//! `genas export --kind segmenter` and `genas verify` from outside, with a segmenter that no one trained.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

#[path = "support/segmenter.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod segmenter;
mod support;

use std::fs;

use genas_export::{Segmentation, SegmenterForm, SlidingWindow};
use segmenter::{info, model, write_trained};
use serde_json::{Value, json};
use support::{Place, bytes};

/// A segmenter's weights as the run `run` keeps them.
fn place() -> Place {
    let place = Place::new("");
    write_trained(&place.at("run/cityscapes/final.safetensors"), &info(5));
    place
}

fn export<'a>(from: [&'a str; 2], onnx: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["export", "--kind", "segmenter", "--onnx", onnx], &from[..], more].concat()
}

const RUN: [&str; 2] = ["--run", "run"];
const FINAL: [&str; 2] = ["--weights", "run/cityscapes/final.safetensors"];

#[test]
fn a_segmenter_is_exported_in_both_forms_and_verified() {
    let place = place();
    let result = place.succeeds(&export(RUN, "logits.onnx", &[]));
    assert_eq!((&result["opset"], &result["sidecar"]), (&17.into(), &"logits.json".into()));
    assert_eq!(result["inputs"][0]["shape"], json!([null, 3, null, null]));
    assert_eq!(result["outputs"][0]["shape"], json!([null, 5, null, null]));

    let args = export(FINAL, "labels.onnx", &["--form", "labels", "--fold-bn", "--opset", "13"]);
    let result = place.succeeds(&args);
    assert_eq!((&result["opset"], &result["outputs"][0]["name"]), (&13.into(), &"labels".into()));
    let sidecar: Value = serde_json::from_slice(&bytes(&place, "labels.json")).unwrap();
    assert_eq!(sidecar["segmentation"], json!({"within": null, "window": null, "divisor": 32}));

    place.succeeds(&export(["--weights", "logits.onnx"], "again.onnx", &["--form", "labels"]));
    for args in [
        &["verify", "logits.onnx"][..],
        &["verify", "again.onnx"],
        &["verify", "again.onnx", "--weights", "logits.onnx"],
        &["verify", "labels.onnx", "--weights", FINAL[1]],
    ] {
        let result = place.succeeds(args);
        assert!(result["max_abs_error"].as_f64().unwrap() < 1e-3, "{args:?}: {result}");
        assert_eq!(result["outputs"][0]["output"], "logits", "{args:?}");
    }
    // Its network can be drawn from any of its files.
    for file in ["logits.onnx", "labels.onnx", FINAL[1]] {
        let drawn = place.succeeds(&["draw", "--model", file, "--svg", "segmenter.svg"]);
        let blocks = drawn["blocks"].as_array().unwrap();
        let dilated = blocks.iter().filter(|b| b["what"].as_str().unwrap().contains("dilation")).count();
        // Of rates 1, 2 and 3.
        assert_eq!(dilated, 2, "{file}: {drawn}");
        assert!(String::from_utf8(bytes(&place, "segmenter.svg")).unwrap().contains("head.bottleneck"));
    }
    place.fails(&["verify", "labels.onnx"], 1, &["labels.onnx", "folded"]);
    place.fails(&export(["--weights", "labels.onnx"], "a.onnx", &[]), 1, &["labels.onnx", "folded"]);
}

#[test]
fn fixed_sizes_hold_windows() {
    let place = place();
    let batch = ["--dynamic", "batch"];
    place.fails(&export(RUN, "a.onnx", &batch), 1, &["final.safetensors", "--dynamic"]);
    let window = SlidingWindow { crop: [97, 65], stride: [60, 40] };
    let segmentation = Segmentation { within: Some([256, 128]), window: Some(window), divisor: 32 };
    let mut described = info(5);
    for (segmentation, [height, width]) in [
        (segmentation.clone(), [96, 128]),
        (Segmentation { within: Some([120, 64]), window: None, ..segmentation }, [64, 128]),
    ] {
        described.segmentation = segmentation;
        write_trained(&place.at("w.safetensors"), &described);
        let result = place.succeeds(&export(["--weights", "w.safetensors"], "a.onnx", &batch));
        assert_eq!(result["inputs"][0]["shape"], json!([null, 3, height, width]));
    }
}

#[test]
fn what_is_mixed_up_is_said() {
    let place = place();
    for (args, parts) in [
        (export(RUN, "a.onnx", &["--form", "raw"]), ["--kind detector", "--form"]),
        (export(RUN, "a.onnx", &["--precision", "fp16"]), ["--precision fp16", "segmenters"]),
        (export(RUN, "a.onnx", &["--features", "raw"]), ["--features", "segmenters"]),
        (export(["--run", "none"], "a.onnx", &[]), ["none has no cityscapes/final", "transfer cityscapes"]),
        (export(["--weights", "config.toml"], "a.onnx", &[]), ["config.toml", "safetensors"]),
    ] {
        place.fails(&args, 1, &parts);
    }
    let labels = ["export", "--run", "run", "--onnx", "a.onnx", "--form", "labels"];
    place.fails(&labels, 1, &["--kind segmenter"]);
    place.fails(&[&labels[..], &["--kind", "detector"]].concat(), 1, &["--kind segmenter"]);
    let weights = ["export", "--onnx", "a.onnx", FINAL[0], FINAL[1]];
    place.fails(&weights, 1, &["final.safetensors", "no network of one cell"]);
    place.fails(&[&weights[..], &["--kind", "detector"]].concat(), 1, &["holds no detector"]);

    fs::write(place.at("s.onnx"), model(&info(5), SegmenterForm::Logits)).unwrap();
    place.fails(&["export", "--onnx", "a.onnx", "--weights", "s.onnx"], 1, &["s.onnx: it is a segmenter"]);
    place.fails(&["verify", "s.onnx", "--weights", "s.json"], 1, &["s.json"]);
    let evaluate = ["evaluate", "s.onnx", "--set", "folder", "--data", "shapes"];
    place.fails(&evaluate, 1, &["s.onnx", "it is a segmenter"]);
    assert!(!place.at("a.onnx").exists());
}
