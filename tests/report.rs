//! `genas report` and `genas compare` from outside: every number of a page is one of the run's files, and a damaged run
//! still has a page, which names what is damaged.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::{Place, bytes};

/// A search, a training, an export and evaluations, in seconds.
const CONFIG: &str = r#"
seed = 3
[supernet]
channels = 4
layers = 3
epochs = 2
batch-size = 50
[metric]
name = "angle+flatness"
recalibration-images = 100
validation-images = 100
batch-size = 50
[evolution]
generations = 2
population = 5
parents = 3
mutations = 2
crossovers = 1
[retrain]
channels = 4
layers = 3
epochs = 2
batch-size = 50
auxiliary = false
"#;

/// The run, by the commands that a user gives.
fn run() -> Place {
    let place = Place::new(CONFIG);
    place.succeeds(&["search", "--config", "config.toml", "--data", "shapes/cifar10", "--out", "run"]);
    place.succeeds(&["retrain", "--network", "cifar", "--data", "shapes/cifar10", "--out", "run"]);
    fs::create_dir(place.at("run/export")).unwrap();
    place.succeeds(&["export", "--run", "run", "--onnx", "run/export/model.onnx"]);
    for (set, data) in [("cifar10", "shapes/cifar10"), ("folder", "shapes/imagefolder")] {
        place.succeeds(&["evaluate", "run/export/model.onnx", "--set", set, "--data", data, "--out", "run"]);
    }
    place
}

fn json(place: &Place, name: &str) -> Value {
    serde_json::from_slice(&bytes(place, name)).unwrap()
}

fn lines(place: &Place, name: &str) -> Vec<Value> {
    let text = String::from_utf8(bytes(place, name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A CSV file's numbers by column; empty cells are none.
fn columns(place: &Place, name: &str) -> BTreeMap<String, Vec<Option<f64>>> {
    let text = String::from_utf8(bytes(place, name)).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let head = lines.next().unwrap();
    let rows: Vec<Vec<&str>> = lines.collect();
    let column = |n: usize| rows.iter().map(|row| row[n].parse().ok()).collect();
    head.iter().enumerate().map(|(n, name)| ((*name).to_owned(), column(n))).collect()
}

/// The text between two others, behind a third.
fn between<'t>(text: &'t str, behind: &str, from: &str, to: &str) -> &'t str {
    let at = text.find(behind).unwrap_or_else(|| panic!("{behind} is missing"));
    let start = at + text[at..].find(from).unwrap_or_else(|| panic!("{from} is missing")) + from.len();
    &text[start..start + text[start..].find(to).unwrap()]
}

/// What the page carries along for programs.
fn values(page: &str) -> Value {
    serde_json::from_str(between(page, "id=\"genas-report\"", ">", "</script>")).unwrap()
}

/// Every number of the page that people read in fewer digits.
fn data(page: &str) -> Vec<(f64, String)> {
    let parts = page.split("<data value=\"").skip(1);
    let number = |part: &str| {
        let (value, rest) = part.split_once("\">").unwrap();
        (value.parse().unwrap(), rest.split("</data>").next().unwrap().to_owned())
    };
    parts.map(number).collect()
}

/// The table with a caption: cells as text, without markup.
fn table(page: &str, caption: &str) -> Vec<Vec<String>> {
    let body = between(page, &format!("<caption>{caption}</caption>"), "</thead>", "</table>");
    let cells = |row: &str| -> Vec<String> {
        let cells = row.split("</t").filter_map(|cell| {
            let start = cell.rfind("<th").max(cell.rfind("<td"))?;
            let inner = &cell[start + cell[start..].find('>')? + 1..];
            let mut text = String::new();
            let mut inside = false;
            for char in inner.chars() {
                match char {
                    '<' => inside = true,
                    '>' => inside = false,
                    char if !inside => text.push(char),
                    _ => {}
                }
            }
            Some(text)
        });
        cells.collect()
    };
    body.split("<tr>").skip(1).map(cells).collect()
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

#[test]
fn a_report_says_what_the_files_say() {
    let place = run();
    let result = place.succeeds(&["report", "run"]);
    assert_eq!((&result["report"], &result["faults"]), (&"run/report.html".into(), &Value::Array(vec![])));
    assert_eq!(result["missing"], Value::Array(vec![]));
    let page = String::from_utf8(bytes(&place, "run/report.html")).unwrap();
    assert_eq!(result["bytes"], page.len());
    self_contained(&page);

    // What the page carries along is what the files say.
    let said = values(&page);
    let journal = lines(&place, "run/search.jsonl");
    let mut scored: Vec<(u64, f64, f64, f64)> = journal
        .iter()
        .map(|l| {
            let part = |pointer: &str| l.pointer(pointer).unwrap().as_f64().unwrap();
            let index = l["index"].as_u64().unwrap();
            (index, part("/score"), part("/parts/angle/radians"), part("/parts/flatness/score"))
        })
        .collect();
    scored.sort_by_key(|line| line.0);
    let candidates = said.pointer("/search/candidates/present").unwrap().as_array().unwrap();
    let told: Vec<(u64, f64, f64, f64)> = candidates
        .iter()
        .map(|c| {
            let part = |name: &str| c["parts"][name].as_f64().unwrap();
            (c["index"].as_u64().unwrap(), c["score"].as_f64().unwrap(), part("angle"), part("flatness"))
        })
        .collect();
    assert_eq!((told.len(), told), (10, scored.clone()));
    let winner = json(&place, "run/genotype.json");
    assert_eq!(said.pointer("/winner/present/score"), Some(&winner["score"]));
    let retrained = json(&place, "run/retrain/result.json");
    for key in ["top1", "top5", "chance", "params", "macs", "paper_flops", "epochs", "data", "image_size"] {
        assert_eq!(said["retrained"]["result"]["present"][key], retrained[key], "{key}");
        assert!(!retrained[key].is_null(), "{key}");
    }
    let evaluated = lines(&place, "run/evaluate.jsonl");
    assert_eq!(evaluated.len(), 2);
    for (told, line) in said["evaluations"]["present"].as_array().unwrap().iter().zip(&evaluated) {
        for key in ["model", "set", "data", "top1", "top5", "n", "images_per_second", "provider"] {
            assert_eq!(told[key], line[key], "{key}");
        }
    }
    let sidecar = json(&place, "run/export/model.json");
    assert_eq!(said["exports"][0]["about"]["present"]["max_abs_error"], sidecar["max_abs_error"]);
    let commands = said["commands"]["present"].as_array().unwrap();
    let verbs: Vec<&str> = commands.iter().map(|c| c["command"][3].as_str().unwrap()).collect();
    assert_eq!(verbs, ["search", "retrain", "export", "evaluate", "evaluate"]);
    assert!(commands.iter().all(|c| c["outcome"] == "done" && c["seconds"].as_f64().unwrap() > 0.0));

    // And so is what people read. Curves:
    for name in ["supernet", "retrain"] {
        let file = format!("{name}/training.csv");
        let of_file = columns(&place, &format!("run/{file}"));
        let title = if name == "supernet" { "Supernet" } else { "Training from scratch" };
        let rows = table(&page, &format!("{title}: every epoch of {file}"));
        let head = between(&page, &format!("every epoch of {file}</caption>"), "<tr>", "</tr>");
        for (n, column) in head.split("</th>").filter(|cell| !cell.is_empty()).enumerate() {
            let column = column.rsplit('>').next().unwrap();
            let told: Vec<Option<f64>> = rows.iter().map(|row| number(&row[n])).collect();
            assert_eq!(told, of_file[column], "{file}: {column}");
        }
        assert_eq!(rows.len(), 2);
    }
    // Scores over generations, by their definitions:
    let generations = said["search"]["generations"].as_array().unwrap();
    assert_eq!(generations.len(), 2);
    let mut so_far = f64::NEG_INFINITY;
    for generation in generations {
        let n = generation["generation"].as_u64().unwrap();
        let mut scores: Vec<f64> = journal
            .iter()
            .filter(|line| line["generation"] == n)
            .map(|line| line["score"].as_f64().unwrap())
            .collect();
        scores.sort_by(f64::total_cmp);
        so_far = so_far.max(scores[4]);
        assert_eq!(scores.len(), 5);
        assert_eq!(generation["quartiles"], serde_json::json!([scores[1], scores[2], scores[3]]));
        assert_eq!(
            (generation["best"].as_f64(), generation["best_so_far"].as_f64()),
            (Some(scores[4]), Some(so_far))
        );
    }
    // The tables behind the charts hold every candidate with all digits:
    charts(&page, &journal, &scored);
    // Times:
    let seconds = |file: &str| columns(&place, file)["seconds"].iter().flatten().sum::<f64>();
    let times = table(&page, "Time by phase, and what is counted");
    let phases: Vec<&str> = times.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(phases, ["supernet", "scoring", "retraining", "evaluation"]);
    let known = data(&page);
    let search = json(&place, "run/search.json")["seconds"].as_f64().unwrap();
    for seconds in [seconds("run/supernet/training.csv"), search, seconds("run/retrain/training.csv")] {
        assert!(known.iter().any(|(value, _)| *value == seconds), "{seconds}");
    }
    // Every number with fewer digits is the one beside it, rounded.
    for value in [&winner["score"], &retrained["top1"], &evaluated[1]["top1"], &sidecar["max_abs_error"]] {
        let value = value.as_f64().unwrap();
        assert!(known.iter().any(|(number, _)| *number == value), "{value}");
    }
    for (value, shown) in &known {
        rounded(*value, shown);
    }
    compared(&place, &retrained, &evaluated);
}

/// Points of the charts against the journal.
fn charts(page: &str, journal: &[Value], scored: &[(u64, f64, f64, f64)]) {
    let numbers = |caption: &str| -> Vec<Vec<f64>> {
        let rows = table(page, caption);
        rows.iter().map(|row| row.iter().filter_map(|cell| number(cell)).collect()).collect()
    };
    let has = |rows: &[Vec<f64>], a: f64, b: f64| rows.iter().any(|row| row.contains(&a) && row.contains(&b));
    let cost = numbers("Values of: Cost against score");
    let parts = numbers("Values of: Angle and flatness");
    for line in journal {
        let flops = line["cost"]["paper_flops"].as_f64().unwrap() / 1e6;
        let score = line["score"].as_f64().unwrap();
        assert!(has(&cost, flops, score), "{flops} {score} is not in {cost:?}");
    }
    for (_, _, angle, flatness) in scored {
        assert!(has(&parts, *angle, *flatness), "{angle} {flatness} is not in {parts:?}");
    }
}

/// Whether a shown number can have come from a value by rounding it, as percent, in millions or as a duration.
fn rounded(value: f64, shown: &str) {
    let digits: String = shown.chars().filter(|c| *c != ',').collect();
    let (number, unit) =
        digits.split_once(' ').map_or((digits.as_str(), ""), |(number, unit)| (number, unit));
    // Durations in two units and dates are tested where they are made.
    if unit.contains(' ') {
        return;
    }
    let decimals = number.split_once('.').map_or(0, |(_, d)| d.split('e').next().unwrap().len());
    let shown: f64 = number.parse().unwrap_or_else(|_| panic!("{shown:?} is no number"));
    let exponent = number.split_once('e').map_or(0, |(_, e)| e.parse::<i32>().unwrap());
    let tolerance = 0.5000001 * 10_f64.powi(exponent - decimals as i32);
    let scales = [1.0, 100.0, 1e-3, 1e-6, 1e-9];
    // Ordinals count from 1.
    let fits = scales.iter().any(|scale| (value * scale - shown).abs() <= tolerance) || value + 1.0 == shown;
    assert!(fits, "{value} is shown as {number} {unit}");
}

/// Nothing outside of the page is asked for.
fn self_contained(page: &str) {
    for forbidden in ["http://", "https://", "//cdn", "@import", "url(", "<iframe", "<object", "<embed"] {
        // The name of SVG's language is no address that is asked.
        let rest = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!rest.contains(forbidden), "{forbidden}");
    }
    for attribute in ["src=\"", "href=\""] {
        for part in page.split(attribute).skip(1) {
            assert!(part.starts_with("data:") || part.starts_with('#'), "{}", &part[..part.len().min(60)]);
        }
    }
    for part in [
        "<html lang=\"en\">",
        "<main id=\"content\"",
        "<nav aria-label",
        "class=\"skip\"",
        "name=\"viewport\"",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

/// The run beside published rows, in every form.
fn compared(place: &Place, retrained: &Value, evaluated: &[Value]) {
    let cells = ["GENAS_FLATNESS_CIFAR100", "run/export/model.onnx"];
    let files = ["--html", "compared.html", "--csv", "compared.csv"];
    let args = [&["compare", "run"], &cells[..], &["--published", "cells"], &files[..]].concat();
    let result = place.succeeds(&args);
    let rows = result["rows"].as_array().unwrap();
    let origins: Vec<&str> = rows.iter().map(|row| row["origin"].as_str().unwrap()).collect();
    assert_eq!(origins, ["measured", "counted", "counted", "published"]);
    let run = &rows[0];
    assert_eq!(
        (run["params"].as_f64(), run["flops"].as_f64()),
        (retrained["params"].as_f64(), retrained["paper_flops"].as_f64())
    );
    assert_eq!(
        (&run["params"], &run["flops"]),
        (&rows[2]["params"], &rows[2]["flops"]),
        "the file is that network"
    );
    // The last that was measured.
    assert_eq!((&run["top1"], &run["tested_on"]), (&evaluated[1]["top1"], &"folder".into()));
    assert_eq!((&run["metric"], &run["search_set"]), (&"angle+flatness".into(), &"cifar10".into()));
    assert_eq!(rows[1]["params"], 5_195_205.0);
    assert_eq!((&rows[3]["top1"], &rows[3]["imagenet_v2"]), (&0.7605.into(), &0.6338.into()));
    let page = String::from_utf8(bytes(place, "compared.html")).unwrap();
    self_contained(&page);
    assert_eq!(values(&page)["rows"], result["rows"]);
    let text = String::from_utf8(bytes(place, "compared.csv")).unwrap();
    assert_eq!(text.lines().count(), 5);
    assert!(text.lines().nth(4).unwrap().contains("published"), "{text}");
    let all = place.succeeds(&["compare", "run"]);
    assert!(all["rows"].as_array().unwrap().len() > 25);
    place.fails(&["compare", "shapes"], 1, &["shapes", "no file of a run"]);
    place.fails(&["compare", "NOT_A_CELL"], 1, &["NOT_A_CELL"]);
}

#[test]
fn a_damaged_run_has_a_report_that_says_so() {
    let place = run();
    let copy = |name: &str| {
        let status =
            Command::new("cp").args(["-r", "run", name]).current_dir(place.0.path()).status().unwrap();
        assert!(status.success());
    };
    let damage = |name: &str, content: &[u8]| fs::write(place.at(name), content).unwrap();
    copy("damaged");
    let journal = bytes(&place, "run/search.jsonl");
    damage("damaged/search.jsonl", &journal[..journal.len() * 2 / 3]);
    fs::remove_file(place.at("damaged/genotype.json")).unwrap();
    damage("damaged/config.toml", b"[metric\nname = ???\xff");
    damage("damaged/retrain/training.csv", b"\x00\x01garbage,,,\n1,2\n");
    damage("damaged/supernet/training.csv", b"epoch,loss,seconds\n0,NaN,1\nx,y,z\n");
    damage("damaged/evaluate.jsonl", b"{\"model\":1}\nnot json\n");
    damage("damaged/top.json", b"{\"a\":");
    damage("damaged/retrain/result.json", b"[]");
    damage("damaged/search.json", b"\xff");
    damage("damaged/export/model.json", b"<html>");
    damage("damaged/commands.jsonl", b"{}\n");
    fs::create_dir_all(place.at("damaged/coco/pictures")).unwrap();
    damage("damaged/coco/pictures/1.png", b"no picture");
    damage("damaged/coco/result.json", b"7");
    fs::create_dir_all(place.at("damaged/landscape")).unwrap();
    damage("damaged/landscape/curves.csv", b"a,b\n1\n");
    damage("damaged/landscape/curves.svg", b"nothing");
    let result = place.succeeds(&["report", "damaged"]);
    let page = String::from_utf8(bytes(&place, "damaged/report.html")).unwrap();
    self_contained(&page);
    let named = |list: &str| -> Vec<String> {
        let all = result[list].as_array().unwrap();
        all.iter().map(|fault| fault["file"].as_str().unwrap().to_owned()).collect()
    };
    let faults = named("faults");
    for file in [
        "search.jsonl",
        "config.toml",
        "retrain/training.csv",
        "supernet/training.csv",
        "evaluate.jsonl",
        "top.json",
        "search.json",
        "export/model.json",
        "commands.jsonl",
        "coco/pictures/1.png",
        "coco/result.json",
        "landscape/curves.csv",
        "landscape/curves.svg",
    ] {
        assert!(faults.iter().any(|fault| fault == file), "{file} is not among {faults:?}");
        assert!(page.contains(&format!("<li><code>{file}</code>:")), "{file}");
    }
    assert!(named("missing").contains(&"genotype.json".to_owned()), "{result}");
    assert!(page.contains("<code>genotype.json</code>"));
    // What is whole is shown: two thirds of the candidates.
    let candidates = values(&page);
    let candidates = candidates.pointer("/search/candidates/present").unwrap().as_array().unwrap().len();
    assert!((5..10).contains(&candidates), "{candidates}");

    // A search that stopped half-way.
    copy("half");
    for name in ["genotype.json", "top.json", "search.json", "evaluate.jsonl"] {
        fs::remove_file(place.at("half").join(name)).unwrap();
    }
    let third =
        journal.split_inclusive(|byte| *byte == b'\n').take(3).flatten().copied().collect::<Vec<u8>>();
    damage("half/search.jsonl", &third);
    for folder in ["retrain", "export"] {
        fs::remove_dir_all(place.at("half").join(folder)).unwrap();
    }
    let half = place.succeeds(&["report", "half", "--out", "half.html"]);
    assert_eq!(half["faults"], Value::Array(vec![]));
    let reason = half["missing"][0]["reason"].as_str().unwrap();
    assert!(half["missing"][0]["file"] == "genotype.json" && reason.contains("3 of 10"), "{half}");
    assert!(place.at("half.html").is_file() && !place.at("half/report.html").exists());

    // Nothing of a run, or a folder around one.
    place.fails(&["report", "nowhere"], 1, &["nowhere", "no such folder"]);
    place.fails(&["report", "shapes"], 1, &["shapes", "holds no file of a run", "--out"]);
    fs::create_dir(place.at("around")).unwrap();
    fs::rename(place.at("half"), place.at("around/run")).unwrap();
    place.fails(&["report", "around"], 1, &["around", Path::new("around/run").to_str().unwrap()]);
    let missing = [
        "evaluate",
        "run/export/model.onnx",
        "--set",
        "cifar10",
        "--data",
        "shapes/cifar10",
        "--out",
        "nowhere",
    ];
    place.fails(&missing, 1, &["nowhere", "no such run"]);
}
