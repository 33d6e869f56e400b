//! `genas rank` from outside: resume, files, what can go wrong.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod support;

use std::fmt::Write;
use std::fs;

use genas_space::nb201::Nb201Cell;
use serde_json::Value;
use support::{Place, bytes};

/// Seconds in all.
const CONFIG: &str = r#"
[supernet]
channels = 4
cells-per-stage = 1
epochs = 1
[measure]
common-random-numbers = true
recalibration-images = 64
validation-images = 40
batch-size = 32
[[measure.noises]]
name = "n"
sigmas = [1e-3, 1e-2]
"#;

/// With a table of made-up accuracies of all cells.
fn place() -> Place {
    let place = Place::new(CONFIG);
    let mut table = "arch,c10_test_200\n".to_owned();
    for cell in Nb201Cell::all() {
        let _ = writeln!(table, "{cell},{:.3}", 40.0 + (cell.index() * 7919 % 5003) as f64 / 100.0);
    }
    fs::write(place.at("truth.csv"), table).unwrap();
    place
}

fn rank<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let args = ["rank", "--config", "config.toml", "--data", "shapes/cifar10", "--truth", "truth.csv"];
    [&args[..], &["--sample", "12", "--out", out], more].concat()
}

#[test]
fn metrics_are_ranked_and_written() {
    let place = place();
    let result = place.succeeds(&rank("run", &[]));
    let text = String::from_utf8(bytes(&place, "run/scores.csv")).unwrap();
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap().split(',').collect();
    assert_eq!(head[..3], ["index", "architecture", "truth"]);
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    assert_eq!((rows.len(), &result["n"]), (12, &12.into()));
    for row in &rows {
        let cell: Nb201Cell = row[1].parse().unwrap();
        assert_eq!(row[0], cell.index().to_string());
        assert!(row[2..].iter().all(|value| value.parse::<f64>().unwrap().is_finite()), "{row:?}");
    }
    let tau = result["tau"].as_object().unwrap();
    for metric in ["flatness/n", "noisy-accuracy/n", "loss", "params", "flops"] {
        let value = tau[metric].as_f64().unwrap();
        let column = head.iter().position(|name| *name == metric).unwrap();
        // Kendall's tau-b by its definition.
        let numbers =
            |c: usize| rows.iter().map(move |row| row[c].parse::<f64>().unwrap()).collect::<Vec<_>>();
        let (scores, truth) = (numbers(column), numbers(2));
        let sign = |list: &[f64], a: usize, b: usize| {
            (list[a] - list[b]).total_cmp(&0.0) as i32 * i32::from(list[a] != list[b])
        };
        let (mut sum, mut x, mut y) = (0, 0, 0);
        for a in 0..12 {
            for b in 0..a {
                let (s, t) = (sign(&scores, a, b), sign(&truth, a, b));
                (sum, x, y) = (sum + s * t, x + s * s, y + t * t);
            }
        }
        let expected = f64::from(sum) / (f64::from(x) * f64::from(y)).sqrt();
        assert!((value - expected).abs() < 1e-12, "{metric}: {value}, not {expected}");
        assert!(place.at(&format!("run/scatter/{}.svg", metric.replace('/', "-"))).is_file());
    }
    assert_eq!(result["better_half"]["n"], 6);
    let written: Value = serde_json::from_slice(&bytes(&place, "run/result.json")).unwrap();
    assert_eq!(written, result);

    // More cells go on from those that are there; other settings do not.
    place.fails(&rank("run", &[]), 1, &["cells.jsonl", "--resume"]);
    let mut more = rank("run", &["--resume"]);
    let sample = more.iter().position(|arg| *arg == "12").unwrap();
    more[sample] = "15";
    assert_eq!(place.succeeds(&more)["n"], 15);
    let lines = String::from_utf8(bytes(&place, "run/cells.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 15);
    place.fails(
        &rank("run", &["--resume", "--set", "measure.validation-images=39"]),
        1,
        &["cells.jsonl", "other settings"],
    );
    // Other metrics of the same measurements need none.
    let metric = r#"metrics=[{name="mine",formula="flatness",noise="n",alpha=0.0}]"#;
    let mine = place.succeeds(&rank("run", &["--resume", "--set", metric]));
    assert_eq!(mine["tau"].as_object().unwrap().keys().collect::<Vec<_>>(), ["mine"]);
    // Evolution goes on from the same measurements.
    let sizes = ["generations=2", "population=6", "parents=3", "mutations=3", "crossovers=3", "seeds=2"];
    let sizes = sizes.map(|size| format!("evolution.{size}"));
    let mut evolve = rank("run", &["--resume", "--evolve", "loss"]);
    evolve.extend(sizes.iter().flat_map(|size| ["--set", size]));
    let evolved = place.succeeds(&evolve);
    let found = evolved["evolution"]["found"].as_array().unwrap();
    assert_eq!((found.len(), &evolved["evolution"]["metric"]), (2, &"loss".into()));
    for one in found {
        assert_eq!(one["evaluated"], 12);
        let (regret, accuracy) = (one["regret"].as_f64().unwrap(), one["accuracy"].as_f64().unwrap());
        // The best of the made-up accuracies.
        assert!((regret + accuracy - 90.02).abs() < 1e-9 && regret >= 0.0, "{one}");
    }
    assert_eq!(place.succeeds(&evolve), evolved);
    place.fails(&rank("run", &["--resume", "--evolve", "taste"]), 1, &["no metric taste", "flatness/n"]);
    // Isomorphic cells share a measurement.
    let unique = place.succeeds(&rank("unique", &["--unique"]));
    assert_eq!(unique["n"], 12);
}

/// A batch of ImageNet16 as Python 3 pickles it: a dictionary of a matrix of bytes and a list of labels.
fn pickled(images: usize, first: usize) -> Vec<u8> {
    let text = |text: &str| [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat();
    let number = |n: usize| [b"M", &(n as u16).to_le_bytes()[..]].concat();
    let global = |name: &str| format!("c{name}\n").into_bytes();
    let mut bytes = b"\x80\x03}(".to_vec();
    // numpy's array: an empty one, and its state.
    bytes.extend(
        [text("data"), global("numpy.core.multiarray\n_reconstruct"), global("numpy\nndarray")].concat(),
    );
    bytes.extend(b"K\0\x85C\x01b\x87R(K\x01");
    bytes.extend([number(images), number(768)].concat());
    bytes.extend([b"\x86".to_vec(), global("numpy\ndtype"), text("u1")].concat());
    bytes.extend([b"K\0K\x01\x87R(K\x03".to_vec(), text("|")].concat());
    bytes.extend(b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89B");
    bytes.extend(((images * 768) as u32).to_le_bytes());
    bytes.extend((0..images * 768).map(|n| ((n + first) * 7919 % 251) as u8));
    bytes.extend([b"tb".to_vec(), text("labels"), b"](".to_vec()].concat());
    // Also labels beyond the 120 classes, which are left out.
    (0..images).for_each(|n| bytes.extend(number((first + n) % 130 + 1)));
    bytes.extend(b"eu.");
    bytes
}

#[test]
fn imagenet16_is_ranked_too() {
    let place = place();
    fs::create_dir(place.at("ImageNet16")).unwrap();
    for batch in 1..=10 {
        let file = format!("ImageNet16/train_data_batch_{batch}");
        fs::write(place.at(&file), pickled(26, 26 * batch)).unwrap();
    }
    fs::write(place.at("ImageNet16/val_data"), pickled(13, 0)).unwrap();
    let check = place.succeeds(&["data", "check", "ImageNet16"]);
    // 260 images to train on, of twice 130 labels, and 13 to test with.
    assert_eq!((&check["kind"], &check["n_images"]), (&"imagenet16-120".into(), &253.into()));
    let table = fs::read_to_string(place.at("truth.csv")).unwrap();
    fs::write(place.at("truth.csv"), table.replace("c10_test_200", "in16_test_200")).unwrap();
    let mut args = rank("run", &[]);
    let data = args.iter().position(|arg| *arg == "shapes/cifar10").unwrap();
    args[data] = "ImageNet16";
    place.fails(&args, 1, &["ImageNet16", "16x16, not 32x32", "data.image-size = 16"]);
    args.extend(["--set", "data.image-size=16"]);
    let result = place.succeeds(&args);
    assert_eq!(result["n"], 12);
    assert!(result["tau"]["flatness/n"].is_number());
}

/// A killed run ends as an undisturbed one.
#[test]
fn a_killed_run_goes_on() {
    let (killed, whole) = (place(), place());
    let expected = whole.succeeds(&rank("run", &[]));
    let (found, kills) = killed.survives(&rank("run", &[]), &["--resume"]);
    assert!(kills > 2, "killed only {kills} times");
    assert_eq!(found, expected);
    assert!(bytes(&killed, "run/scores.csv") == bytes(&whole, "run/scores.csv"));
}

#[test]
fn what_is_wrong_is_said() {
    let place = place();
    let table = fs::read_to_string(place.at("truth.csv")).unwrap();
    place.fails(&rank("a", &["--set", "measure.draws=2"]), 1, &["draws"]);
    place.fails(
        &rank("a", &["--set", "measure.validation-images=1000000"]),
        1,
        &["measure.validation-images"],
    );
    place.fails(&rank("a", &["--truth-set", "cifar100"]), 1, &["truth.csv", "c100_test_200", "c10_test_200"]);
    place.fails(&rank("a", &["--set", r#"metrics=[{name="m",formula="flatness"}]"#]), 1, &["needs a noise"]);
    fs::write(place.at("truth.csv"), &table[..table.len() / 2]).unwrap();
    place.fails(&rank("a", &[]), 1, &["truth.csv"]);
    fs::remove_file(place.at("truth.csv")).unwrap();
    place.fails(&rank("a", &[]), 1, &["truth.csv"]);
    let none = place
        .command(&["rank", "--config", "nowhere", "--data", ".", "--truth", ".", "--out", "a"])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&none.stderr).contains("nb201-laptop"));
}
