//! `genas evaluate`, `genas bench --csv` and `genas export --precision int8` from outside, on the generated data set
//! in the layouts of CIFAR-10, ImageNet-V2 and -A.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Small and hardly trained: what is measured does not matter.
const RETRAIN: [&str; 23] = [
    "retrain",
    "--cell",
    "DROPNAS",
    "--network",
    "cifar",
    "--config",
    "laptop-cifar10",
    "--data",
    "shapes/cifar10",
    "--out",
    "run",
    "--channels",
    "4",
    "--layers",
    "3",
    "--set",
    "retrain.epochs=1",
    "--set",
    "retrain.batch-size=100",
    "--set",
    "retrain.auxiliary=false",
    "--set",
    "retrain.drop-path=0.0",
];

fn genas(place: &Path, args: &[&str]) -> Output {
    let device = ["--device", "cpu", "--provider", "cpu"];
    Command::new(env!("CARGO_BIN_EXE_genas")).current_dir(place).args(device).args(args).output().unwrap()
}

fn succeeds(place: &Path, args: &[&str]) -> String {
    let output = genas(place, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(place: &Path, args: &[&str]) -> Value {
    serde_json::from_str(&succeeds(place, &[&["--json"], args].concat())).unwrap()
}

#[test]
fn several_models_on_several_sets() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    succeeds(place, &["data", "shapes", "shapes", "--scale", "tiny"]);
    succeeds(place, &RETRAIN);
    succeeds(place, &["export", "--run", "run", "--onnx", "a.onnx"]);
    succeeds(place, &["export", "--run", "run", "--onnx", "b.onnx", "--fold-bn"]);

    let sets = [
        ("cifar10", "shapes/cifar10"),
        ("imagenet-v2", "shapes/imagenet-v2"),
        ("imagenet-a", "shapes/imagenet-a"),
        // The generated set has no strange images; any of the same folders do for the way there.
        ("imagenet-o", "shapes/imagenet-a"),
    ];
    let mut all = vec!["evaluate", "a.onnx", "b.onnx", "--in-distribution", "shapes/imagefolder"];
    let mut alone = Vec::new();
    for (set, data) in sets {
        let one = ["--set", set, "--data", data];
        all.extend(one);
        let known: &[&str] =
            if set == "imagenet-o" { &["--in-distribution", "shapes/imagefolder"] } else { &[] };
        alone.push(json(place, &[&["evaluate", "a.onnx"][..], &one, known].concat()));
    }
    let table = json(place, &[&all[..], &["--csv", "table.csv"]].concat());
    let rows = table["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 8);
    for (row, (set, data)) in rows.iter().zip(sets.iter().chain(&sets)) {
        assert_eq!((row["set"].as_str().unwrap(), row["data"].as_str().unwrap()), (*set, *data));
        assert!(row["images_per_second"].as_f64().unwrap() > 0.0);
    }
    for (row, alone) in rows.iter().zip(&alone) {
        assert_eq!(row["model"], "a.onnx");
        for key in ["top1", "top5", "aupr", "auroc", "fpr95", "n", "provider", "matching"] {
            assert_eq!(row[key], alone[key], "{key} of {row}");
        }
    }
    assert_eq!((&rows[1]["matching"], &rows[2]["matching"]), (&"by-number".into(), &"by-name".into()));
    assert_eq!((rows[1]["n"].as_u64(), rows[3]["n_out"].as_u64()), (Some(100), Some(100)));

    let mut csv = csv::Reader::from_path(place.join("table.csv")).unwrap();
    let head: Vec<String> = csv.headers().unwrap().iter().map(str::to_owned).collect();
    let records: Vec<csv::StringRecord> = csv.records().map(Result::unwrap).collect();
    assert_eq!(records.len(), 8);
    for (record, row) in records.iter().zip(rows) {
        for (name, cell) in head.iter().zip(record) {
            let text = match &row[name.as_str()] {
                Value::String(text) => text.clone(),
                Value::Null => String::new(),
                number => number.as_f64().unwrap().to_string(),
            };
            assert_eq!(cell, text, "{name} of {row}");
        }
    }

    let text = succeeds(
        place,
        &["evaluate", "a.onnx", "b.onnx", "--set", "imagenet-a", "--data", "shapes/imagenet-a"],
    );
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() == 4 && lines[0].starts_with("| model") && !lines[0].contains("AUPR"), "{text}");

    integers(place);

    // The second set is not there: nothing is computed for the first.
    let output = genas(
        place,
        &[
            "evaluate",
            "a.onnx",
            "--set",
            "cifar10",
            "--data",
            "shapes/cifar10",
            "--set",
            "imagenet-a",
            "--data",
            "none",
            "--csv",
            "no.csv",
        ],
    );
    assert_eq!((output.status.code(), place.join("no.csv").exists()), (Some(1), false));

    let bench = ["bench", "a.onnx", "--batch", "1,2", "--seconds", "0", "--csv", "bench.csv"];
    let bench = json(place, &bench);
    let written = fs::read_to_string(place.join("bench.csv")).unwrap();
    let first = written.lines().next().unwrap();
    assert_eq!(first, "model,provider,batch,median_ms,p95_ms,images_per_second,runs");
    assert_eq!(written.lines().count(), 1 + bench["rows"].as_array().unwrap().len());
}

/// An export in 8-bit integers is calibrated with one part of the data and compared with fp32 on another.
fn integers(place: &Path) {
    let int8 = |onnx: &str, data: &str, flags: &[&str]| {
        let export = ["export", "--run", "run", "--precision", "int8", "--onnx", onnx, "--calibrate", data];
        [&["--json"], &export[..], flags].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let run = |args: &[String]| genas(place, &args.iter().map(String::as_str).collect::<Vec<_>>());
    let report = |args: &[String]| -> Value {
        let output = run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    for (data, images, held_out, flags) in [
        ("shapes/cifar10", 20, true, &["--accuracy-images", "20"][..]),
        ("shapes/imagefolder", 20, true, &["--accuracy-images", "20", "--calibration", "entropy"]),
        ("shapes/imagefolder/val", 20, true, &["--calibration-images", "30", "--accuracy-images", "20"]),
        ("shapes/imagenet-v2/0", 10, false, &["--activations", "int8", "--dynamic", "none"]),
    ] {
        let report = report(&int8("int8.onnx", data, flags));
        let accuracy = &report["accuracy"];
        assert_eq!(
            (&accuracy["images"], &accuracy["held_out"]),
            (&images.into(), &held_out.into()),
            "{data}"
        );
        assert!(accuracy["agreement"].as_f64().unwrap() > 0.5, "{data}: {report}");
        // A folder without classes has no accuracy, only agreement.
        assert_eq!(accuracy["top1_after"].is_f64(), data != "shapes/imagenet-v2/0", "{data}: {report}");
        assert!(report["integers"]["integer"].as_u64().unwrap() > 0, "{report}");
    }
    fs::create_dir(place.join("one")).unwrap();
    let some = fs::read_dir(place.join("shapes/imagenet-v2/0")).unwrap().next().unwrap().unwrap().path();
    fs::copy(&some, place.join("one").join(some.file_name().unwrap())).unwrap();
    fs::create_dir(place.join("nothing")).unwrap();
    for (args, parts) in [
        (int8("no.onnx", "one", &[]), &["one", "1 images are too few", "at least 10"][..]),
        (int8("no.onnx", "nothing", &[]), &["nothing", "empty"]),
        (int8("no.onnx", "nowhere", &[]), &["nowhere"]),
    ] {
        let output = run(&args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && !place.join("no.onnx").exists(), "{args:?}");
        assert!(parts.iter().all(|part| error.contains(part)), "{args:?} says: {error}");
    }
}
