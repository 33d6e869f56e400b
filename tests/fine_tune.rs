//! `genas transfer coco --backbone` from outside: training, interruption, what can go wrong.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod support;

use std::fs;

use serde_json::{Value, json};
use support::{Place, bytes};

/// A step takes milliseconds.
const CONFIG: &str = r#"
seed = 3
[model]
channels = 8
head-convolutions = 1
freeze-batch-norm = false
[anchors]
sizes = [16.0, 32.0, 64.0, 128.0, 256.0]
[data]
shorter-sides = [32, 48]
longer-side = 64
[solver]
batch-size = 4
accumulate = 2
iterations = 9
evaluate-every = 3
milestones = [6]
warmup-iterations = 2
[test]
shorter-side = 48
longer-side = 64
score-above = 0.01
"#;

fn place() -> Place {
    Place::with_backbones(CONFIG)
}

fn coco<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let args = ["transfer", "coco", "--backbone", "backbone.safetensors", "--config", "config.toml"];
    [&args[..], &["--data", "shapes/coco", "--out", out], more].concat()
}

#[test]
fn a_detector_is_trained_exported_and_measured() {
    let place = place();
    let result = place.succeeds(&coco("run", &[]));
    let table = String::from_utf8(bytes(&place, "run/coco/training.csv")).unwrap();
    assert!(table.starts_with("epoch,loss,gradient_norm,ap,seconds,ap50,ap75,ap_small,ap_medium,ap_large,"));
    assert_eq!(table.lines().count(), 4);
    let losses: Vec<f64> =
        table.lines().skip(1).map(|l| l.split(',').nth(1).unwrap().parse().unwrap()).collect();
    assert!(losses.iter().all(|loss| loss.is_finite() && *loss > 0.0), "{losses:?}");
    let rate =
        |line: usize| table.lines().nth(line).unwrap().split(',').nth(10).unwrap().parse::<f64>().unwrap();
    // The last step of each period, after the fall at step 6 a tenth.
    assert_eq!([rate(1), rate(3)], [0.01, 0.001]);
    for file in
        ["detector.onnx", "detector-raw.onnx", "detector.json", "curves.svg", "result.json", "config.toml"]
    {
        assert!(place.at("run/coco").join(file).is_file(), "{file}");
    }
    assert!(result["onnx"].as_str().unwrap().ends_with("detector.onnx"));
    let written: Value = serde_json::from_slice(&bytes(&place, "run/coco/result.json")).unwrap();
    assert_eq!(written, result);
    assert!(fs::read_dir(place.at("run/coco/pictures")).unwrap().count() > 0);

    // Both files, and the detections that were written, are worth the same; so was the last period's.
    let last: f64 = table.lines().nth(3).unwrap().split(',').nth(3).unwrap().parse().unwrap();
    assert!((last - result["ap"].as_f64().unwrap()).abs() < 1e-6, "{last} {}", result["ap"]);
    for (source, file) in [
        ("--model", "run/coco/detector.onnx"),
        ("--model", "run/coco/detector-raw.onnx"),
        ("--results", "run/coco/detections.json"),
    ] {
        let again = place.succeeds(&["transfer", "coco", source, file, "--data", "shapes/coco"]);
        for key in ["ap", "ap50", "ap_large", "ar100"] {
            let (a, b) = (again[key].as_f64().unwrap(), result[key].as_f64().unwrap());
            // The sigmoid of the raw form is the host's: scores differ in the last bits.
            assert!((a - b).abs() < 1e-6, "{file} {key}: {a} and {b}");
        }
    }

    // In another form, and verified with the weights that it was trained to.
    let folded = ["export", "--kind", "detector", "--run", "run", "--onnx", "raw.onnx", "--form", "raw"];
    place.succeeds(&[&folded[..], &["--fold-bn", "--opset", "13"]].concat());
    for args in [
        &["verify", "run/coco/detector.onnx"][..],
        &["verify", "raw.onnx", "--weights", "run/coco/final.safetensors"],
    ] {
        let error = place.succeeds(args)["max_abs_error"].as_f64().unwrap();
        assert!(error < 1e-4, "{args:?}: {error}");
    }
    let again = place.succeeds(&["transfer", "coco", "--model", "raw.onnx", "--data", "shapes/coco"]);
    assert!((again["ap"].as_f64().unwrap() - result["ap"].as_f64().unwrap()).abs() < 1e-4);
    place.fails(
        &["export", "--kind", "detector", "--weights", "raw.onnx", "--onnx", "a.onnx"],
        1,
        &["raw.onnx", "folded"],
    );
    place.succeeds(&[
        "export",
        "--kind",
        "detector",
        "--weights",
        "run/coco/best.safetensors",
        "--onnx",
        "best.onnx",
    ]);
    let best = place.succeeds(&["transfer", "coco", "--model", "best.onnx", "--data", "shapes/coco"]);
    let curve = table.lines().skip(1).map(|line| line.split(',').nth(3).unwrap().parse::<f64>().unwrap());
    assert!((best["ap"].as_f64().unwrap() - curve.fold(0.0, f64::max)).abs() < 1e-6);
    place.fails(&["export", "--run", "run", "--onnx", "a.onnx", "--form", "raw"], 1, &["--kind detector"]);

    // What is finished is exported and measured again, not trained again.
    let again = place.succeeds(&coco("run", &["--resume"]));
    assert_eq!(again["ap"], result["ap"]);
    place.fails(&coco("run", &[]), 1, &["final.safetensors", "--resume", "another --out"]);
    place.fails(&coco("run", &["--resume", "--set", "solver.learning-rate=0.1"]), 1, &["other settings"]);
}

/// A killed training ends as an undisturbed one: the normaliser, the order of images and the optimizer go on.
#[test]
fn a_killed_training_goes_on() {
    let (killed, whole) = (place(), place());
    let expected = whole.succeeds(&coco("run", &[]));
    let (found, kills) = killed.survives(&coco("run", &[]), &["--resume"]);
    assert!(kills > 2, "killed only {kills} times");
    assert_eq!(found["ap"], expected["ap"]);
    for name in ["final.safetensors", "detector.onnx", "detections.json"] {
        let name = format!("run/coco/{name}");
        assert!(bytes(&killed, &name) == bytes(&whole, &name), "{name} differs");
    }
}

/// Changes the annotations of a split.
fn annotations(place: &Place, split: &str, change: impl FnOnce(&mut Value)) {
    let path = place.at(&format!("shapes/coco/annotations/instances_{split}.json"));
    let mut json: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut json);
    fs::write(&path, json.to_string()).unwrap();
}

#[test]
fn what_is_wrong_is_said_before_training() {
    let place = place();
    let small: Vec<&str> = coco("a", &[])
        .iter()
        .map(|a| if a.starts_with("backbone.") { "small.safetensors" } else { a })
        .collect();
    place.fails(&small, 1, &["small.safetensors", "strides 1, 2 and 4"]);
    place.fails(
        &coco("a", &["--set", "solver.evaluate-every=2"]),
        1,
        &["config.toml", "evaluate-every must divide"],
    );
    place.fails(&coco("a", &["--set", "solver.rate=2"]), 1, &["unknown field `rate`"]);
    place.fails(
        &["transfer", "coco", "--backbone", "backbone.safetensors", "--data", "shapes/coco"],
        2,
        &["--out"],
    );

    // Boxes without area are left out and named; nothing but such boxes is an error.
    annotations(&place, "train2017", |json| json["annotations"][0]["bbox"][2] = json!(0));
    let output = place.command(&coco("b", &[])).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && said.contains("1 broken boxes are left out, such as annotation"),
        "{said}"
    );
    annotations(&place, "train2017", |json| {
        json["annotations"].as_array_mut().unwrap().iter_mut().for_each(|a| a["bbox"][3] = json!(0));
    });
    place.fails(&coco("c", &[]), 1, &["instances_train2017.json", "none of its 60 images has a box"]);

    // A missing image is named, whichever split it is of.
    let whole = self::place();
    let first = fs::read_dir(whole.at("shapes/coco/train2017")).unwrap().next().unwrap().unwrap().path();
    for file in fs::read_dir(whole.at("shapes/coco/train2017")).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    whole.fails(&coco("d", &[]), 1, &["train2017/", ".jpg"]);
    assert!(first.starts_with(whole.at("shapes")));
    annotations(&whole, "val2017", |json| json["categories"][0]["name"] = json!("else"));
    annotations(&whole, "val2017", |json| json["categories"][0]["id"] = json!(99));
    whole.fails(&coco("e", &[]), 1, &["classes"]);
    fs::remove_file(whole.at("shapes/coco/annotations/instances_val2017.json")).unwrap();
    whole.fails(&coco("f", &[]), 1, &["instances_val2017.json"]);
}
