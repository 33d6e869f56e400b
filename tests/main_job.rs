//! The main job from outside, on a small generated data set: killed at any moment it ends as if undisturbed.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::{Place, bytes};

/// Seconds on two cores for the whole way; several epochs and generations, so that there is much to interrupt.
const CONFIG: &str = r#"
seed = 3
[supernet]
channels = 4
layers = 3
epochs = 3
batch-size = 50
[metric]
recalibration-images = 100
validation-images = 200
batch-size = 50
[evolution]
generations = 3
population = 6
parents = 3
mutations = 2
crossovers = 2
[retrain]
channels = 4
layers = 3
epochs = 3
batch-size = 50
auxiliary = false
drop-path = 0.1
"#;

const SEARCH: [&str; 7] = ["search", "--config", "config.toml", "--data", "shapes/cifar10", "--out", "run"];
const RETRAIN: [&str; 7] = ["retrain", "--network", "cifar", "--data", "shapes/cifar10", "--out", "run"];
const EXPORT: [&str; 5] = ["export", "--run", "run", "--onnx", "model.onnx"];

/// Index and score of every line of `search.jsonl`, in order of the indices.
fn scores(place: &Place) -> Vec<(u64, String)> {
    let text = fs::read_to_string(place.at("run/search.jsonl")).unwrap();
    let line = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        (line["index"].as_u64().unwrap(), format!("{} {}", line["candidate"], line["score"]))
    };
    let mut lines: Vec<_> = text.lines().map(line).collect();
    lines.sort();
    lines
}

/// Exported files.
fn models(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|e| e.unwrap().path());
    entries.filter(|p| p.extension().is_some_and(|e| e == "onnx")).collect()
}

#[test]
fn killed_at_any_moment_it_ends_as_if_undisturbed() {
    let (whole, killed) = (Place::new(CONFIG), Place::new(CONFIG));

    let expected = whole.succeeds(&SEARCH);
    let (found, kills) = killed.survives(&SEARCH, &["--resume"]);
    println!("search: killed {kills} times");
    assert!(kills > 2, "killed only {kills} times");
    for key in ["candidate", "score", "evaluated", "best_by_generation"] {
        assert_eq!(found[key], expected[key], "{key}");
    }
    assert_eq!(scores(&killed), scores(&whole), "each candidate once, with the same score");
    for name in ["run/supernet/final.safetensors", "run/genotype.json", "run/top.json"] {
        assert!(bytes(&killed, name) == bytes(&whole, name), "{name} differs");
    }

    let expected = whole.succeeds(&RETRAIN);
    let (found, kills) = killed.survives(&RETRAIN, &["--resume"]);
    println!("retrain: killed {kills} times");
    assert!(kills > 2, "killed only {kills} times");
    assert_eq!(found["top1"], expected["top1"]);
    let name = "run/retrain/final.safetensors";
    assert!(bytes(&killed, name) == bytes(&whole, name), "{name} differs");

    whole.succeeds(&EXPORT);
    let (_, kills) = killed.survives(&EXPORT, &[]);
    println!("export: killed {kills} times");
    assert!(kills > 0, "not killed");
    assert!(bytes(&killed, "model.onnx") == bytes(&whole, "model.onnx"), "model.onnx differs");
    assert_eq!(models(killed.0.path()), [killed.at("model.onnx")]);

    finished_runs_are_not_overwritten(&whole);
    both_scorers_agree(&whole);
    a_supernet_serves_another_search(&whole);
    accuracy_under_noise_is_a_metric(&whole);
    a_race_ends_as_full_scores_do(&whole);
}

fn finished_runs_are_not_overwritten(place: &Place) {
    place.fails(&SEARCH, 1, &["run/search.jsonl", "--resume"]);
    place.fails(&RETRAIN, 1, &["run/retrain/final.safetensors", "--resume"]);
    let again = place.succeeds(&[&RETRAIN[..], &["--resume"]].concat());
    assert!(again["top1"].is_number());
    let other = [&SEARCH[..], &["--resume", "--set", "supernet.epochs=4"]].concat();
    place.fails(&other, 1, &["run/config.toml", "another configuration"]);
    place.succeeds(&["--seed", "9", "data", "shapes", "other", "--scale", "tiny"]);
    let other = ["search", "--config", "config.toml", "--data", "other/cifar10", "--out", "run", "--resume"];
    place.fails(&other, 1, &["supernet/final.safetensors", "other images"]);
}

/// Losses through ONNX Runtime and through burn, to 1e-4 (relative; they are near 2).
fn both_scorers_agree(place: &Place) {
    let score = |scorer: &str| {
        let set = format!("metric.scorer={scorer}");
        let args = ["score", "--run", "run", "--data", "shapes/cifar10", "--set", &set, "--metric"];
        let cells = ["accuracy+flatness", "--cell", "GENAS_FLATNESS_CIFAR10", "--cell", "DARTS_V2_CIFAR10"];
        place.succeeds(&[&args[..], &cells[..]].concat())["cells"].as_array().unwrap().clone()
    };
    for (ort, burn) in score("ort").iter().zip(&score("burn")) {
        assert_eq!(ort["accuracy"], burn["accuracy"]);
        let losses = |v: &Value| v["flatness"]["losses"].as_array().unwrap().clone();
        assert_eq!(losses(ort).len(), 3);
        for (a, b) in losses(ort).iter().zip(&losses(burn)) {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            assert!((a / b - 1.0).abs() < 1e-4, "ort {a}, burn {b}");
        }
    }
}

fn a_supernet_serves_another_search(place: &Place) {
    let search = |out: &'static str, more: &[&'static str]| {
        let args = ["search", "--config", "config.toml", "--data", "shapes/cifar10", "--supernet", "run"];
        [&args[..], &["--out", out], more].concat()
    };
    let result = place.succeeds(&search("angle", &["--metric", "angle"]));
    assert_eq!(result["metric"], "angle");
    let name = "supernet/final.safetensors";
    assert!(bytes(place, &format!("run/{name}")) == bytes(place, &format!("angle/{name}")));
    place.fails(&search("seed", &["--seed", "4"]), 1, &["run/supernet/final.safetensors", "another seed"]);
    assert!(!place.at("seed/supernet").exists());
}

/// The angle plus the accuracy under noise in proportion to filters, also where candidates race.
fn accuracy_under_noise_is_a_metric(place: &Place) {
    let search = |out: &'static str, more: &[&'static str]| {
        let args = ["search", "--config", "config.toml", "--data", "shapes/cifar10", "--supernet", "run"];
        let noise = ["--set", "metric.scale=filter", "--set", "metric.noise=independent"];
        let metric = ["--metric", "angle+noisy-accuracy", "--set", "metric.sigmas=[0.1, 0.2]"];
        let common = ["--set", "metric.common-random-numbers=true", "--out", out];
        [&args[..], &noise, &metric, &common, more].concat()
    };
    let full = place.succeeds(&search("noisy", &[]));
    let journal = fs::read_to_string(place.at("noisy/search.jsonl")).unwrap();
    for line in journal.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let part = |name: &str, key: &str| line["parts"][name][key].clone();
        let accuracies: Vec<f64> = serde_json::from_value(part("noisy_accuracy", "accuracies")).unwrap();
        let (noisy, angle) = (part("noisy_accuracy", "score"), part("angle", "over_pi"));
        let (noisy, angle) = (noisy.as_f64().unwrap(), angle.as_f64().unwrap());
        assert_eq!((accuracies.len(), noisy), (2, (accuracies[0] + accuracies[1]) / 2.0));
        assert!((line["score"].as_f64().unwrap() - (angle + noisy)).abs() < 1e-12, "{line}");
    }
    let raced = place.succeeds(&search("noisy-raced", &["--racing", "--set", "racing.first-images=100"]));
    assert_eq!(raced["candidate"], full["candidate"]);
    // The same noise, measured otherwise, is another.
    let absolute = place.succeeds(&search("noisy-absolute", &["--set", "metric.scale=absolute"]));
    assert_ne!(absolute["score"], full["score"]);
}

/// With `--racing` the same winner, with the same score; after a kill the same as without.
fn a_race_ends_as_full_scores_do(place: &Place) {
    let search = |out: &'static str, more: &[&'static str]| {
        let args = ["search", "--config", "config.toml", "--data", "shapes/cifar10", "--supernet", "run"];
        [&args[..], &["--out", out], more].concat()
    };
    let full = place.succeeds(&search("full", &["--set", "metric.common-random-numbers=true"]));
    let race = ["--racing", "--set", "racing.first-images=100"];
    let raced = place.succeeds(&search("raced", &race));
    assert_eq!(raced["candidate"], full["candidate"]);
    let (a, b) = (raced["score"].as_f64().unwrap(), full["score"].as_f64().unwrap());
    assert!((a / b - 1.0).abs() < 1e-9, "{a} {b}");

    // A budget leaves partial scores, whatever the images are; the winner's is complete.
    let race = ["--racing", "--set", "racing.first-images=100", "--set", "racing.budget=0.6"];
    let raced = place.succeeds(&search("budget", &race));
    let report = &raced["racing"];
    assert!(report["share"].as_f64().unwrap() < 0.75 && report["partial"].as_u64().unwrap() > 0, "{report}");
    let top: Value = serde_json::from_str(&fs::read_to_string(place.at("budget/top.json")).unwrap()).unwrap();
    assert!(top[0]["images"].is_null() && top[0]["score"] == raced["score"]);

    // Lines of two generations and a piece: the piece's race is run again.
    let journal = fs::read_to_string(place.at("budget/search.jsonl")).unwrap();
    let lines: Vec<Value> = journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|l| l["race"]["images"].as_u64() < l["race"]["of"].as_u64()), "none is partial");
    let early = lines.iter().filter(|l| l["raced_in"].as_u64().unwrap() < 2).count();
    let kept: Vec<&str> = journal.lines().take(early + 2).collect();
    fs::write(place.at("budget/search.jsonl"), kept.join("\n") + "\n{\"index\"").unwrap();
    let resumed = place.succeeds(&search("budget", &[&race[..], &["--resume"]].concat()));
    for key in ["candidate", "score", "best_by_generation", "racing"] {
        assert_eq!(resumed[key], raced[key], "{key}");
    }
    let other = search("other-budget", &["--racing", "--set", "racing.budget=2"]);
    place.fails(&other, 1, &["racing.budget", "(0, 1]"]);
}

/// A search with this data set and output directory.
fn search<'a>(data: &'a str, out: &'a str) -> Vec<&'a str> {
    vec!["search", "--config", "config.toml", "--data", data, "--out", out]
}

#[test]
fn bad_input_is_named() {
    let place = Place::new(CONFIG);
    let copy = |from: &str, to: &str| {
        let status = Command::new("cp").arg("-r").arg(place.at(from)).arg(place.at(to)).status().unwrap();
        assert!(status.success());
    };
    let good = search("shapes/cifar10", "run");

    // Data.
    place.fails(&search("nowhere", "run"), 1, &["nowhere"]);
    copy("shapes/cifar10", "missing");
    fs::remove_file(place.at("missing/data_batch_3.bin")).unwrap();
    place.fails(&search("missing", "run"), 1, &["missing/data_batch_3.bin", "again"]);
    copy("shapes/cifar10", "truncated");
    fs::write(place.at("truncated/data_batch_2.bin"), [0; 10_000]).unwrap();
    place.fails(&search("truncated", "run"), 1, &["truncated/data_batch_2.bin", "truncated or"]);
    copy("shapes/imagefolder", "empty");
    fs::remove_dir_all(place.at("empty/train/cross")).unwrap();
    fs::create_dir(place.at("empty/train/cross")).unwrap();
    place.fails(&search("empty", "run"), 1, &["empty/train/cross", "no .jpg", "remove the folder"]);
    copy("shapes/imagefolder", "text");
    let photo = fs::read_dir(place.at("text/train/ring")).unwrap().next().unwrap().unwrap();
    fs::write(photo.path(), "hello").unwrap();
    let name = format!("text/train/ring/{}", photo.file_name().display());
    place.fails(&search("text", "run"), 1, &[&name, "not a JPEG or PNG"]);

    // Settings.
    fs::write(place.at("typo.toml"), "epocs = 3").unwrap();
    place.fails(
        &["search", "--config", "typo.toml", "--data", "shapes/cifar10", "--out", "run"],
        1,
        &["typo.toml", "epocs"],
    );
    for (set, part) in [
        ("metric.sigmas=[1e-3, 1e-3]", "strictly increasing"),
        ("metric.validation-images=501", "validation half has 500"),
        ("supernet.channels=5", "even"),
        ("supernet.learning-rate=-1", "positive"),
        ("metric.nmae=angle", "nmae"),
    ] {
        let out = format!("run-{part}");
        place.fails(&[&search("shapes/cifar10", &out)[..], &["--set", set]].concat(), 1, &[part]);
    }
    place.fails(&[&good[..], &["--metric", "sharpness"]].concat(), 2, &["sharpness", "flatness"]);

    // A directory of a preset's name is not in the way of the preset; a misspelt one is named.
    fs::create_dir(place.at("laptop-cifar10")).unwrap();
    let preset = |name| ["search", "--config", name, "--data", "nowhere", "--out", "run"];
    place.fails(&preset("laptop-cifar10"), 1, &["nowhere"]);
    place.fails(&preset("laptop-cifar100"), 1, &["laptop-cifar100", "presets are", "darts-cifar100"]);

    // The machine.
    let without = [("GENAS_NO_INSTALL", "1"), ("GENAS_HOME", "none"), ("ORT_DYLIB_PATH", "")];
    place.fails_with(&without, &good, 1, &["genas runtime install"]);
    let not_a_library = [("ORT_DYLIB_PATH", "config.toml")];
    place.fails_with(&not_a_library, &good, 1, &["config.toml", "ORT_DYLIB_PATH"]);
    place.fails(&[&["--device", "cuda"][..], &good].concat(), 2, &["--device"]);
    fs::write(place.at("file"), "in the way").unwrap();
    place.fails(&search("shapes/cifar10", "file/run"), 1, &["file/run", "another --out"]);

    assert!(!place.at("run").exists(), "nothing was begun");

    // A trained network and other classes.
    place
        .succeeds(&[&good[..], &["--set", "supernet.epochs=1", "--set", "evolution.generations=1"]].concat());
    place.succeeds(&[&RETRAIN[..], &["--set", "retrain.epochs=1"]].concat());
    place.succeeds(&EXPORT);
    place.fails(&["export", "--run", "run", "--onnx", "file/model.onnx"], 1, &["file", "cannot"]);
    copy("shapes/imagefolder", "nine");
    for part in ["train", "val"] {
        fs::remove_dir_all(place.at("nine").join(part).join("arrow")).unwrap();
        fs::rename(place.at("nine").join(part).join("cross"), place.at("nine").join(part).join("zebra"))
            .unwrap();
    }
    let evaluate = ["evaluate", "model.onnx", "--set", "folder", "--data", "nine"];
    place.fails(&evaluate, 1, &["nine", "class"]);
    let score = ["score", "--run", "run", "--cell", "DROPNAS", "--data", "nine"];
    place.fails(&[&score[..], &["--set", "metric.validation-images=50"]].concat(), 1, &["10 classes", "9"]);
}
