//! `genas landscape` from outside: the pictures and their numbers, resume, what can go wrong.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod support;

use std::fmt::Write;
use std::fs;

use genas_space::nb201::Nb201Cell;
use serde_json::Value;
use support::{Place, bytes};

/// Seconds in all: an untrained supernet would do.
const CONFIG: &str = r#"
seed = 3
[supernet]
channels = 4
layers = 3
epochs = 1
batch-size = 50
[metric]
recalibration-images = 64
validation-images = 60
batch-size = 32
[retrain]
channels = 4
layers = 3
epochs = 1
batch-size = 50
auxiliary = true
"#;

const DATA: &str = "shapes/cifar10";
const CELLS: [&str; 2] = ["GENAS_FLATNESS_CIFAR100", "rldarts_ours_gt"];

fn supernet() -> Place {
    let place = Place::new(CONFIG);
    place.succeeds(&["supernet", "--config", "config.toml", "--data", DATA, "--out", "run"]);
    place
}

fn landscape<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["landscape", "--run", "run", "--data", DATA, "--images", "60"], more].concat()
}

fn of_cells<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let cells = ["--cell", CELLS[0], "--cell", CELLS[1], "--sigmas", "0.01,0.1", "--draws", "3"];
    landscape(&[&cells[..], more].concat())
}

/// The rows of a table, without its head.
fn rows(place: &Place, name: &str) -> Vec<Vec<String>> {
    let text = String::from_utf8(bytes(place, name)).unwrap();
    text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

/// Curves are the means of the table, which begins without noise at what `score` measures; the lines of the journal serve
/// other levels, and surfaces. Nothing depends on the number of threads.
#[test]
fn curves_and_surfaces_of_cells() {
    let place = supernet();
    let result = place.succeeds(&of_cells(&["--threads", "1"]));
    assert_eq!(
        (&result["kind"], &result["noise_scale"], &result["images"]),
        (&"curves".into(), &"absolute".into(), &60.into())
    );
    assert_eq!(result["sigmas"], serde_json::json!([0.0, 0.01, 0.1]));
    let table = rows(&place, "run/landscape/curves.csv");
    assert_eq!(table.len(), 2 * 3 * 3);
    let curves = result["curves"].as_array().unwrap();
    assert_eq!(curves.len(), 2);
    for (curve, name) in curves.iter().zip(["GENAS_FLATNESS_CIFAR100", "RLDARTS_OURS_GT"]) {
        assert_eq!((&curve["label"], &curve["networks"][0]), (&name.into(), &name.into()));
        for (level, sigma) in curve["levels"].as_array().unwrap().iter().zip(["0", "0.01", "0.1"]) {
            let of = |column: usize| -> Vec<f64> {
                let found = table.iter().filter(|row| row[0] == name && row[1] == sigma);
                found.map(|row| row[column].parse().unwrap()).collect()
            };
            for (key, values) in [("loss", of(3)), ("accuracy", of(4))] {
                assert_eq!(values.len(), 3);
                let mean = values.iter().sum::<f64>() / 3.0;
                assert!((level[key]["mean"].as_f64().unwrap() - mean).abs() < 1e-12, "{name} {sigma} {key}");
                // Directions are one without noise; with it, accuracies of few images may still be the same.
                if sigma == "0" || key == "loss" {
                    assert_eq!(
                        values.iter().all(|v| *v == values[0]),
                        sigma == "0",
                        "{name} {sigma}: {values:?}"
                    );
                }
            }
        }
        // The same images, the same recalibration, no noise.
        let accuracy = place
            .succeeds(&["score", "--cell", name, "--run", "run", "--metric", "accuracy", "--data", DATA]);
        let without = &curve["levels"][0]["accuracy"];
        assert_eq!((&without["mean"], &without["deviation"]), (&accuracy["accuracy"], &0.0.into()));
    }
    let written: Value = serde_json::from_slice(&bytes(&place, "run/landscape/curves.json")).unwrap();
    assert_eq!(written, result);
    for name in ["curves.svg", "accuracy.svg"] {
        assert!(
            String::from_utf8(bytes(&place, &format!("run/landscape/{name}"))).unwrap().starts_with("<svg")
        );
    }

    // Any number of threads, and elsewhere.
    let more = ["--threads", "3", "--out", "other", "--svg", "loss.svg", "--csv", "loss.csv"];
    place.succeeds(&of_cells(&more));
    assert!(bytes(&place, "loss.csv") == bytes(&place, "run/landscape/curves.csv"));
    assert!(bytes(&place, "loss.svg") == bytes(&place, "run/landscape/curves.svg"));
    assert!(!place.at("other/curves.csv").exists());

    // What is there is not replaced unasked; other levels of the same directions go on from it.
    place.fails(&of_cells(&[]), 1, &["curves.json", "--resume"]);
    let lines = || String::from_utf8(bytes(&place, "run/landscape/landscape.jsonl")).unwrap().lines().count();
    let before = lines();
    assert_eq!(before, 2 * (1 + 3 * 2));
    let again = landscape(&["--cell", CELLS[0], "--sigmas", "0,0.1,0.2", "--draws", "2", "--resume"]);
    let less = place.succeeds(&again);
    assert_eq!(lines(), before + 2);
    assert_eq!(less["curves"][0]["levels"][0], curves[0]["levels"][0]);
    assert_eq!(less["sigmas"].as_array().unwrap().len(), 3);

    // A surface has its middle at the same network, and needs one.
    let surface = ["--cell", CELLS[0], "--surface", "--grid", "3", "--max-sigma", "0.5"];
    let found = place.succeeds(&landscape(&surface));
    assert_eq!((&found["kind"], &found["noise_scale"]), (&"surface".into(), &"filter".into()));
    assert_eq!(found["steps"], serde_json::json!([-0.5, 0.0, 0.5]));
    assert_eq!(found["losses"][1][1], curves[0]["levels"][0]["loss"]["mean"]);
    let table = rows(&place, "run/landscape/surface.csv");
    assert_eq!(table.len(), 9);
    for (n, row) in table.iter().enumerate() {
        assert_eq!(row[3].parse::<f64>().unwrap(), found["losses"][n / 3][n % 3].as_f64().unwrap());
    }
    let svg = String::from_utf8(bytes(&place, "run/landscape/surface.svg")).unwrap();
    assert_eq!(svg.matches("<title>").count() - svg.matches("class=\"iso\"").count(), 9);
    // The first direction of a surface is that of a curve.
    let along =
        ["--cell", CELLS[0], "--noise-scale", "filter", "--sigmas", "0.5", "--draws", "1", "--resume"];
    let curve = place.succeeds(&landscape(&along));
    assert_eq!(curve["curves"][0]["levels"][1]["loss"]["mean"], found["losses"][1][2]);

    // BatchNorm that is built anew under noise sees other values, and the same without.
    let anew = ["--cell", CELLS[0], "--sigmas", "0.1", "--draws", "1", "--recalibrate", "--out", "anew"];
    let anew = place.succeeds(&landscape(&anew));
    let levels = |curve: &Value, n: usize| curve["curves"][0]["levels"][n]["loss"]["mean"].as_f64().unwrap();
    assert_eq!(levels(&anew, 0), levels(&result, 0));
    assert_ne!(levels(&anew, 1), levels(&less, 1));
}

/// Killed at any moment, the files are those of an undisturbed call.
#[test]
fn a_killed_landscape_goes_on() {
    let (whole, killed) = (supernet(), supernet());
    let more = ["--max-sigma", "0.05", "--steps", "6", "--draws", "4"];
    let args = landscape(&[&["--cell", CELLS[0], "--cell", CELLS[1]], &more[..]].concat());
    let expected = whole.succeeds(&args);
    let (found, kills) = killed.survives(&args, &["--resume"]);
    assert!(kills > 2, "killed only {kills} times");
    assert_eq!(found, expected);
    for name in ["curves.csv", "curves.svg", "accuracy.svg", "curves.json"] {
        let name = format!("run/landscape/{name}");
        assert!(bytes(&killed, &name) == bytes(&whole, &name), "{name} differs");
    }
}

/// Networks trained from scratch, side by side, at the accuracy that their training ended with.
#[test]
fn retrained_networks_are_compared() {
    let place = Place::new(CONFIG);
    let train = |cell: &str, out: &str| {
        let args =
            ["retrain", "--network", "cifar", "--cell", cell, "--config", "config.toml", "--data", DATA];
        place.succeeds(&[&args[..], &["--out", out]].concat())
    };
    let trained = [train(CELLS[0], "a"), train(CELLS[1], "b")];
    let n = fs::metadata(place.at("shapes/cifar10/test_batch.bin")).unwrap().len() / 3073;
    let n = n.to_string();
    let of = ["landscape", "--run", "a", "--run", "b", "--data", DATA, "--sigmas", "0.02", "--draws", "2"];
    let result = place.succeeds(&[&of[..], &["--images", &n, "--svg", "f.svg"]].concat());
    assert_eq!(result["of"], "retrained networks");
    for (trained, curve) in trained.iter().zip(result["curves"].as_array().unwrap()) {
        let without = &curve["levels"][0];
        let close = |key: &str, value: &Value| {
            (without[key]["mean"].as_f64().unwrap() - value.as_f64().unwrap()).abs() < 1e-5
        };
        assert!(
            close("accuracy", &trained["top1"]) && close("loss", &trained["loss"]),
            "{without} {trained}"
        );
    }
    assert!(place.at("a/landscape/curves.csv").is_file() && place.at("f.svg").is_file());
    // BatchNorm of training images instead of that of the training.
    let anew = place.succeeds(&[&of[..], &["--images", "50", "--recalibrate", "--out", "anew"]].concat());
    assert_ne!(anew["curves"][0]["levels"][0], result["curves"][0]["levels"][0]);
    let of = [&of[..], &["--out", "c"]].concat();
    place.fails(&[&of[..], &["--run", "a"]].concat(), 1, &["--run a is given twice"]);
    place.fails(&[&of[..], &["--images", "1000000"]].concat(), 1, &["--images is 1000000", "test set has"]);
    place.fails(&[&of[..], &["--cell", CELLS[0]]].concat(), 1, &["a has no supernet"]);
    place.fails(&[&of[..], &["--surface"]].concat(), 2, &["--surface"]);
    place.fails(
        &["landscape", "--run", "a", "--run", "b", "--data", DATA, "--surface", "--out", "c"],
        1,
        &["a surface is of one network, and these are 2"],
    );
    place.fails(
        &["landscape", "--run", "shapes", "--data", DATA],
        1,
        &["shapes has no supernet and no retrained"],
    );
}

/// Photos are read as the training's test reads them.
#[test]
fn networks_of_photos() {
    let place =
        Place::new(&CONFIG.replace("auxiliary = true", "auxiliary = false\n[retrain.photos]\nsize = 48"));
    let data = "shapes/imagefolder";
    let args = ["retrain", "--network", "imagenet", "--cell", CELLS[0], "--config", "config.toml"];
    let trained = place.succeeds(&[&args[..], &["--data", data, "--out", "run"]].concat());
    let folders = fs::read_dir(place.at("shapes/imagefolder/val")).unwrap();
    let n: usize = folders.map(|folder| fs::read_dir(folder.unwrap().path()).unwrap().count()).sum();
    let (n, of) =
        (n.to_string(), ["landscape", "--run", "run", "--data", data, "--sigmas", "0.02", "--draws", "1"]);
    let result = place.succeeds(&[&of[..], &["--images", &n]].concat());
    let without = &result["curves"][0]["levels"][0];
    for (key, value) in [("accuracy", &trained["top1"]), ("loss", &trained["loss"])] {
        let (found, expected) = (without[key]["mean"].as_f64().unwrap(), value.as_f64().unwrap());
        assert!((found - expected).abs() < 1e-5, "{key}: {found} {expected}");
    }
    place.fails(&[&of[..], &["--recalibrate", "--out", "anew"]].concat(), 1, &["--recalibrate", "photos"]);
    let cifar = ["landscape", "--run", "run", "--data", DATA, "--out", "other"];
    place.fails(&cifar, 1, &["shapes/cifar10"]);
}

/// The best, middle and worst cells of a ranking.
#[test]
fn cells_of_a_ranking() {
    let place = Place::new(
        "[supernet]\nchannels = 4\ncells-per-stage = 1\nepochs = 1\n[measure]\nrecalibration-images = 64\n\
         validation-images = 40\nbatch-size = 32\n[[measure.noises]]\nname = \"n\"\nsigmas = [1e-2]\n",
    );
    let mut table = "arch,c10_test_200\n".to_owned();
    for cell in Nb201Cell::all() {
        let _ = writeln!(table, "{cell},{:.3}", 40.0 + (cell.index() * 7919 % 5003) as f64 / 100.0);
    }
    fs::write(place.at("truth.csv"), table).unwrap();
    let rank = ["rank", "--config", "config.toml", "--data", DATA, "--truth", "truth.csv", "--sample", "8"];
    place.succeeds(&[&rank[..], &["--out", "run"]].concat());
    let scores = rows(&place, "run/scores.csv");
    for (by, column) in [("truth", 2), ("params", 3)] {
        let groups =
            ["--top-middle-bottom", "2", "--by", by, "--sigmas", "0.05", "--draws", "2", "--out", by];
        let result = place.succeeds(&landscape(&groups));
        let curves = result["curves"].as_array().unwrap();
        let labels: Vec<&str> = curves.iter().map(|curve| curve["label"].as_str().unwrap()).collect();
        assert_eq!(labels, ["top 2", "middle 2", "bottom 2"].map(|group| format!("{group} by {by}")));
        let value = |cell: &Value| -> f64 {
            scores.iter().find(|row| cell == row[1].as_str()).unwrap()[column].parse().unwrap()
        };
        let values: Vec<Vec<f64>> =
            curves.iter().map(|c| c["networks"].as_array().unwrap().iter().map(value).collect()).collect();
        let mut sorted: Vec<f64> = scores.iter().map(|row| row[column].parse().unwrap()).collect();
        sorted.sort_by(|a, b| b.total_cmp(a));
        assert_eq!(values, [&sorted[..2], &sorted[3..5], &sorted[6..]]);
        assert_eq!(rows(&place, &format!("{by}/curves.csv")).len(), 6 * 2 * 2);
    }
    place.fails(&landscape(&["--top-middle-bottom", "3"]), 1, &["scores.csv", "8 cells; 2 is the most"]);
    place.fails(&landscape(&["--by", "taste"]), 1, &["no column taste", "flatness/n"]);
    place.fails(&landscape(&["--cell", "|nor_conv"]), 1, &["--cell |nor_conv"]);
    let one = place.succeeds(&landscape(&["--cell", "1462", "--surface", "--grid", "3", "--out", "one"]));
    assert_eq!((&one["label"], one["losses"].as_array().unwrap().len()), (&"cell 1462".into(), 3));
}

#[test]
fn what_is_wrong_is_said() {
    let place = supernet();
    place.fails(&landscape(&[]), 1, &["run has no winner yet", "--cell"]);
    place.fails(&landscape(&["--cell", "GENAS_FLATNES_CIFAR100"]), 1, &["GENAS_FLATNESS_CIFAR100"]);
    place.fails(&landscape(&["--cell", CELLS[0], "--cell", CELLS[0]]), 1, &["given twice"]);
    for sigmas in ["0.2,0.1", "0.1,0.1", "-0.1,0.1", "0", "nan"] {
        let sigmas = format!("--sigmas={sigmas}");
        place.fails(&landscape(&["--cell", CELLS[0], &sigmas]), 2, &["--sigmas", "strictly increasing"]);
    }
    place.fails(&landscape(&["--cell", CELLS[0], "--surface", "--grid", "4"]), 2, &["--grid", "such as 5"]);
    place.fails(&landscape(&["--grid", "5"]), 2, &["--surface"]);
    let absolute = ["--cell", CELLS[0], "--surface", "--noise-scale", "absolute"];
    place.fails(&landscape(&absolute), 2, &["--noise-scale absolute"]);
    place.fails(&landscape(&["--top-middle-bottom", "2"]), 1, &["no run of `genas rank`"]);
    place.fails(&landscape(&["--of", "retrained"]), 1, &["run has no retrained network"]);
    place.fails(&landscape(&["--of", "retrained", "--cell", CELLS[0]]), 1, &["--of is retrained"]);
    let many = ["landscape", "--run", "run", "--data", DATA, "--cell", CELLS[0], "--images", "1000000"];
    place.fails(&many, 1, &["--images is 1000000", "validation half has"]);
    // Other images may be the ones that the supernet was trained on.
    place.succeeds(&["data", "shapes", "more", "--scale", "small"]);
    let other = ["landscape", "--run", "run", "--data", "more/cifar10", "--cell", CELLS[0]];
    place.fails(&other, 1, &["run/supernet/final.safetensors", "not trained on the images in more/cifar10"]);
    fs::write(place.at("run/supernet/final.safetensors"), b"damaged").unwrap();
    place.fails(&landscape(&["--cell", CELLS[0]]), 1, &["run/supernet/final.safetensors", "damaged"]);
    fs::remove_dir_all(place.at("run/supernet")).unwrap();
    place.fails(&landscape(&["--cell", CELLS[0]]), 1, &["run has no supernet"]);
    assert!(!place.at("run/landscape/curves.json").exists());
}
