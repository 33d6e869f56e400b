//! `genas transfer cityscapes` from outside: training, interruption, evaluation, what can go wrong.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{Place, bytes};

/// A step takes milliseconds.
const CONFIG: &str = r#"
seed = 3
[model]
channels = 8
rates = [1, 2]
output-stride = 16
auxiliary-channels = 4
[loss]
class-weights = "median-frequency"
average = "labelled"
[data]
scale-width = 64
scale-height = 64
crop-height = 32
crop-width = 48
[solver]
batch-size = 4
accumulate = 2
iterations = 9
evaluate-every = 3
[test]
scale = [64, 64]
"#;

fn place() -> Place {
    Place::with_backbones(CONFIG)
}

fn cityscapes<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let args = ["transfer", "cityscapes", "--backbone", "backbone.safetensors", "--config", "config.toml"];
    [&args[..], &["--data", "shapes/cityscapes", "--out", out], more].concat()
}

fn measure<'a>(model: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["transfer", "cityscapes", "--model", model, "--data", "shapes/cityscapes"], more].concat()
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> =
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    found.sort();
    found
}

/// The file of a split whose name ends so, the first.
fn first(place: &Place, part: &str, split: &str, end: &str) -> PathBuf {
    let folder = place.at(&format!("shapes/cityscapes/{part}/{split}"));
    files(&folder).into_iter().find(|file| file.to_string_lossy().ends_with(end)).unwrap()
}

#[test]
fn a_segmenter_is_trained_exported_and_measured() {
    let place = place();
    let result = place.succeeds(&cityscapes("run", &["--per-class"]));
    let table = String::from_utf8(bytes(&place, "run/cityscapes/training.csv")).unwrap();
    let head: Vec<&str> = table.lines().next().unwrap().split(',').collect();
    let column = |name: &str| {
        let at =
            head.iter().position(|column| *column == name).unwrap_or_else(|| panic!("{name} in {head:?}"));
        let cell = |line: &str| line.split(',').nth(at).unwrap().parse::<f64>().unwrap();
        table.lines().skip(1).map(cell).collect::<Vec<f64>>()
    };
    assert!(column("loss").len() == 3 && column("loss").iter().all(|loss| loss.is_finite() && *loss > 0.0));
    // (0.01 - 1e-4) * (1 - step / 9)^0.9 + 1e-4 in the last step of a period.
    for (rate, step) in column("learning_rate").iter().zip([2, 5, 8]) {
        let expected = 0.0099 * (1.0 - f64::from(step) / 9.0).powf(0.9) + 1e-4;
        assert!((rate - expected).abs() < 1e-9, "{rate} in step {step}");
    }
    for file in [
        "segmenter.onnx",
        "segmenter.json",
        "segmenter-labels.onnx",
        "confusion.svg",
        "sheet.png",
        "result.json",
        "config.toml",
    ] {
        assert!(place.at("run/cityscapes").join(file).is_file(), "{file}");
    }
    let written: Value = serde_json::from_slice(&bytes(&place, "run/cityscapes/result.json")).unwrap();
    assert_eq!(written, result);
    let miou = result["miou"].as_f64().unwrap();
    let last = *column("miou").last().unwrap();
    assert!((last - miou).abs() < 1e-6 && (0.0..1.0).contains(&miou), "{last} {miou}");

    // Both files say the same, and so do the label files that are written.
    for (model, out) in
        [("run/cityscapes/segmenter.onnx", "logits"), ("run/cityscapes/segmenter-labels.onnx", "labels")]
    {
        let again = place.succeeds(&measure(model, &["--predictions", out]));
        assert_eq!((&again["miou"], &again["form"]), (&result["miou"], &out.into()), "{model}");
    }
    let [logits, labels] = ["logits", "labels"].map(|folder| files(&place.at(folder)));
    assert!(!logits.is_empty() && logits.len() == labels.len());
    assert!(logits.iter().zip(&labels).all(|(a, b)| fs::read(a).unwrap() == fs::read(b).unwrap()));
    assert_eq!(result["n_images"].as_u64(), Some(logits.len() as u64));

    // Other ways to measure are other numbers, near these.
    let segmenter = "run/cityscapes/segmenter.onnx";
    let many = place.succeeds(&measure(segmenter, &["--scales", "0.5,1", "--flip", "--overlays", "colours"]));
    assert!((many["miou"].as_f64().unwrap() - miou).abs() < 0.2, "{many}");
    assert_eq!(files(&place.at("colours")).len(), logits.len());
    let windows = ["--crop", "64x32", "--stride", "32x32", "--limit", "2"];
    assert_eq!(place.succeeds(&measure(segmenter, &windows))["n_images"], 2);
    place.fails(&measure("run/cityscapes/segmenter-labels.onnx", &["--flip"]), 1, &["--form logits"]);

    for args in [
        &["verify", segmenter][..],
        &["verify", "run/cityscapes/segmenter-labels.onnx", "--weights", "run/cityscapes/final.safetensors"],
    ] {
        let error = place.succeeds(args)["max_abs_error"].as_f64().unwrap();
        assert!(error < 1e-4, "{args:?}: {error}");
    }
    // In another form: the best weights, BatchNorm folded, labels.
    let best = ["export", "--kind", "segmenter", "--weights", "run/cityscapes/best.safetensors"];
    place.succeeds(&[&best[..], &["--onnx", "best.onnx", "--form", "labels", "--fold-bn"]].concat());
    let found = place.succeeds(&measure("best.onnx", &[]))["miou"].as_f64().unwrap();
    assert!((found - column("miou").into_iter().fold(0.0, f64::max)).abs() < 1e-3, "{found}");

    // What is finished is exported and measured again, not trained again.
    let again = place.succeeds(&cityscapes("run", &["--resume"]));
    assert_eq!(again["miou"], result["miou"]);
    place.fails(&cityscapes("run", &[]), 1, &["final.safetensors", "--resume", "another --out"]);
    place.fails(&cityscapes("run", &["--resume", "--set", "solver.power=1"]), 1, &["other settings"]);
}

/// A killed training ends as an undisturbed one: the order of images, dropout and the optimizer go on.
#[test]
fn a_killed_training_goes_on() {
    let (killed, whole) = (place(), place());
    let expected = whole.succeeds(&cityscapes("run", &[]));
    let (found, kills) = killed.survives(&cityscapes("run", &[]), &["--resume"]);
    assert!(kills > 2, "killed only {kills} times");
    assert_eq!(found["miou"], expected["miou"]);
    for name in ["final.safetensors", "segmenter.onnx"] {
        let name = format!("run/cityscapes/{name}");
        assert!(bytes(&killed, &name) == bytes(&whole, &name), "{name} differs");
    }
}

#[test]
fn what_is_wrong_is_said() {
    let place = place();
    let small: Vec<&str> = cityscapes("a", &[])
        .iter()
        .map(|a| if a.starts_with("backbone.") { "small.safetensors" } else { a })
        .collect();
    place.fails(&small, 1, &["small.safetensors", "strides 1, 2 and 4"]);
    let rules = [
        ("solver.evaluate-every=2", "evaluate-every must divide"),
        ("solver.rate=2", "unknown field `rate`"),
        ("model.output-stride=4", "8, 16 or 32"),
        ("loss.class-weights=[1.0]", "class-weights has 1 numbers"),
        ("solver.batch-size=1", "solver.batch-size"),
    ];
    for (setting, part) in rules {
        place.fails(&cityscapes("a", &["--set", setting]), 1, &[part]);
    }
    let no_out =
        ["transfer", "cityscapes", "--backbone", "backbone.safetensors", "--data", "shapes/cityscapes"];
    place.fails(&no_out, 2, &["--out"]);
    let coco = [
        "transfer",
        "cityscapes",
        "--backbone",
        "backbone.safetensors",
        "--data",
        "shapes/coco",
        "--out",
        "a",
    ];
    place.fails(&coco, 1, &["shapes/coco"]);
    place.fails(&cityscapes("a", &["--classes", "nowhere"]), 1, &["no class table nowhere", "camvid"]);
    place.fails(&measure("backbone.safetensors", &[]), 1, &["backbone.safetensors"]);
    place.fails(&cityscapes("a", &["--split", "nowhere"]), 1, &["nowhere"]);

    // Labels outside of the table, an RGB mask, a mask of another size, a missing partner.
    let labels = first(&place, "gtFine", "train", "_labelIds.png");
    let image = first(&place, "leftImg8bit", "train", "_leftImg8bit.png");
    let (good, picture) = (fs::read(&labels).unwrap(), fs::read(&image).unwrap());
    fs::write(&labels, &picture).unwrap();
    place.fails(&cityscapes("b", &[]), 1, &["_labelIds.png"]);
    fs::write(&labels, "text").unwrap();
    place.fails(&cityscapes("b", &[]), 1, &["_labelIds.png"]);
    fs::remove_file(&labels).unwrap();
    place.fails(&cityscapes("b", &[]), 1, &["_leftImg8bit.png", "_labelIds.png"]);
    fs::write(&labels, good).unwrap();
    fs::write(&image, &picture[..picture.len() / 2]).unwrap();
    place.fails(&cityscapes("b", &[]), 1, &["_leftImg8bit.png"]);
}
