//! `genas reproduce` from outside: the paper's tables beside what a run measures.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod support;

use std::fmt::Write;
use std::fs;

use genas_space::nb201::Nb201Cell;
use serde_json::Value;
use support::{Place, bytes};

/// Every noise of the tables, on a supernet that takes seconds.
const CONFIG: &str = r#"
[supernet]
channels = 4
cells-per-stage = 1
epochs = 1
[measure]
common-random-numbers = true
recalibration-images = 64
validation-images = 40
fewer-images = [20]
batch-size = 32
[[measure.noises]]
name = "1e-5"
sigmas = [1e-6, 5e-6, 1e-5]
[[measure.noises]]
name = "2e-3"
sigmas = [5e-4, 1e-3, 2e-3]
[[measure.noises]]
name = "paper"
sigmas = [2e-3, 1e-2, 2e-2]
[[measure.noises]]
name = "4e-2"
sigmas = [2e-3, 2e-2, 4e-2]
[[measure.noises]]
name = "cells"
sigmas = [2e-3, 1e-2, 2e-2]
position = "cells"
[[measure.noises]]
name = "hessian"
sigmas = [2e-3, 1e-2, 2e-2]
direction = "hessian"
hessian-images = 16
hessian-iterations = 3
[[metrics]]
name = "angle"
formula = "angle"
[[metrics]]
name = "flatness/paper"
formula = "flatness"
noise = "paper"
[[metrics]]
name = "flatness/hessian"
formula = "flatness"
noise = "hessian"
[[metrics]]
name = "sharpness"
formula = "sharpness"
noise = "hessian"
[[metrics]]
name = "loss/20"
formula = "loss"
validation-images = 20
"#;

fn place() -> Place {
    let place = Place::new(CONFIG);
    let mut table = "arch,c10_test_200\n".to_owned();
    for cell in Nb201Cell::all() {
        let _ = writeln!(table, "{cell},{:.3}", 40.0 + (cell.index() * 7919 % 5003) as f64 / 100.0);
    }
    fs::write(place.at("truth.csv"), table).unwrap();
    place
}

const MEASURE: [&str; 8] =
    ["--config", "config.toml", "--data", "shapes/cifar10", "--truth", "truth.csv", "--sample", "12"];

fn rows(table: &Value) -> &Vec<Value> {
    table["rows"].as_array().unwrap()
}

#[test]
fn tables_are_printed_beside_the_papers() {
    let place = place();
    let args = [&["reproduce", "table5", "--out", "run"][..], &MEASURE].concat();
    let five = place.succeeds(&args);
    let written: Value = serde_json::from_slice(&bytes(&place, "run/tables/table5.json")).unwrap();
    assert_eq!(written, five);
    assert_eq!((&five["n"], &five["set"]), (&12.into(), &"cifar10".into()));
    let paper: Vec<f64> = rows(&five).iter().map(|row| row["paper"].as_f64().unwrap()).collect();
    assert_eq!(paper, [0.5756, 0.5770, 0.6047, 0.5416]);
    // The row of the paper's sigma is what rank says of the same cells.
    let ranked: Value = serde_json::from_slice(&bytes(&place, "run/result.json")).unwrap();
    let row = &rows(&five)[2];
    assert_eq!(row["row"], "2e-3, 1e-2, 2e-2");
    assert_eq!(row["tau"], ranked["tau"]["flatness/paper"]);
    assert_eq!(row["interval"], ranked["tau_interval"]["flatness/paper"]);
    assert!(row.get("less_reference").is_none() && rows(&five)[3]["less_reference"].is_array());
    assert!(ranked["tau"]["sharpness"].is_number() && ranked["tau"]["loss/20"].is_number());

    // Figure 2 is of the same run's cells; the command that measures it is said.
    let fig2 = ["reproduce", "fig2", "--run", "run", "--data", "shapes/cifar10", "--out", "paper"];
    let figure = place.succeeds(&fig2);
    let groups: Vec<&str> =
        figure["curves"].as_array().unwrap().iter().map(|c| c["label"].as_str().unwrap()).collect();
    assert_eq!(groups.len(), 3, "{groups:?}");
    assert!(place.at("paper/figures/fig2/curves.svg").exists());
    place.fails(&["reproduce", "fig2", "--run", "run", "--out", "paper"], 1, &["--data"]);

    // The others are of the same cells: nothing is measured, and nothing needed.
    fs::rename(place.at("shapes"), place.at("away")).unwrap();
    let cells = bytes(&place, "run/cells.jsonl");
    for (target, n) in [("table1", 1), ("table5", 4), ("table6", 6), ("table7", 3)] {
        let table = place.succeeds(&["reproduce", target, "--out", "run"]);
        assert_eq!((rows(&table).len(), &table["n"]), (n, &12.into()), "{target}");
        for row in rows(&table) {
            let (tau, interval) = (row["tau"].as_f64().unwrap(), row["interval"].as_array().unwrap());
            assert!((-1.0..=1.0).contains(&tau) && interval.len() == 2, "{target}: {row}");
        }
        if target == "table5" {
            assert_eq!(table, five);
        }
    }
    assert!(bytes(&place, "run/cells.jsonl") == cells);
    let seven = place.succeeds(&["reproduce", "table7", "--out", "run"]);
    assert_eq!(rows(&seven)[2]["row"], "all weights, Hessian");
    assert_eq!(rows(&seven)[2]["tau"], ranked["tau"]["flatness/hessian"]);
    // A part of the sample.
    assert_eq!(place.succeeds(&["reproduce", "table7", "--out", "run", "--sample", "9"])["n"], 9);

    place.fails(&["reproduce", "table7", "--out", "run", "--sample", "13"], 1, &["1 of 13 cells", "--data"]);
    let other = ["reproduce", "table5", "--out", "run", "--set", "measure.validation-images=39"];
    place.fails(&other, 1, &["config.toml", "other settings"]);
    place.fails(&["reproduce", "table5", "--out", "none"], 1, &["none", "--config", "nb201-ablations"]);
    place.fails(&["reproduce", "table4711", "--out", "run"], 2, &["table5"]);
}

/// What needs no training, and no images.
#[test]
fn what_is_known_already() {
    let place = Place(tempfile::tempdir().unwrap());
    for (target, n) in [("table2", 15), ("table3", 21), ("table4", 7)] {
        let table = place.succeeds(&["reproduce", target, "--out", "paper"]);
        assert_eq!(rows(&table).len(), n, "{target}");
        assert!(table["missing"][1].as_str().unwrap().contains("--run"), "{target}: {table}");
        let known = rows(&table).iter().find(|row| row["name"] == "GENAS_FLATNESS_CIFAR100").unwrap();
        assert_eq!((&known["origin"], &known["counted_params"]), (&"published".into(), &5_195_205.into()));
        assert!(place.at(&format!("paper/tables/{target}.json")).exists());
    }
    for figure in ["fig5", "fig6", "fig7"] {
        place.succeeds(&["reproduce", figure, "--out", "paper"]);
        let svg = String::from_utf8(bytes(&place, &format!("paper/figures/{figure}.svg"))).unwrap();
        assert_eq!(svg.matches("<path class=\"edge").count(), 24, "{figure}");
    }
    for (target, part) in
        [("table8", "angle+flatness"), ("fig1", "--run"), ("fig3", "--run"), ("fig4", "--run")]
    {
        place.fails(&["reproduce", target, "--out", "paper"], 1, &[part]);
    }

    // Of a search that recorded both parts: 0.5 of angle / pi, and a flatness of 0.00025 at a sigma of 0.001.
    fs::create_dir(place.at("search")).unwrap();
    fs::write(
        place.at("search/config.toml"),
        "[metric]\nname = \"angle+flatness\"\nsigmas = [1e-3, 3e-3, 6e-3]\n",
    )
    .unwrap();
    let line = |index: u64, race: &str| {
        let candidate = vec!["4"; 28].join(",");
        format!(
            "{{\"index\":{index},\"generation\":0,\"candidate\":[{candidate}],\"score\":1.0,{race}\"parts\":{{\"angle\":\
             {{\"radians\":{},\"over_pi\":0.5,\"vector_length\":1}},\"flatness\":{{\"score\":0.00025,\"losses\":[1,2,3],\
             \"sigmas\":[0.001,0.003,0.006]}}}},\"cost\":{{\"params\":1,\"macs\":1,\"paper_flops\":1}},\"seconds\":1.0,\
             \"settings\":\"\"}}\n",
            std::f64::consts::FRAC_PI_2
        )
    };
    // An estimate does not count.
    let lines = line(0, "") + &line(1, "\"race\":{\"images\":1,\"of\":2},");
    fs::write(place.at("search/search.jsonl"), lines).unwrap();
    let eight = place.succeeds(&["reproduce", "table8", "--run", "search", "--out", "paper"]);
    assert_eq!(eight["n"], 1);
    for (row, gamma) in rows(&eight).iter().zip([0.0, 0.5, 1.5, 6.0, 16.0]) {
        let want = 100.0 * gamma * 0.25 / (0.5 + gamma * 0.25);
        assert!((row["share"].as_f64().unwrap() - want).abs() < 1e-9, "{row}");
    }
    place.fails(
        &["reproduce", "table10", "--run", "search", "--out", "paper"],
        1,
        &["search.jsonl", "angle+accuracy"],
    );
    place.fails(&["reproduce", "fig4", "--run", "nothing", "--out", "paper"], 1, &["nothing"]);
}

/// Table 1 compares two metrics, and needs no truth; and what cannot be compared is said before anything is trained.
#[test]
fn what_a_table_needs() {
    let place = place();
    let measure = |target, more: &[&'static str]| {
        let all =
            ["reproduce", target, "--out", "run", "--config", "config.toml", "--data", "shapes/cifar10"];
        [&all[..], &["--sample", "6"], more].concat()
    };
    place.fails(&measure("table6", &[]), 1, &["--truth"]);
    place.fails(
        &measure("table6", &["--set", "measure.noises=[]", "--set", "metrics=[]"]),
        1,
        &["not measured"],
    );
    assert!(!place.at("run/supernet").exists());
    let one = place.succeeds(&measure("table1", &[]));
    assert_eq!((&one["n"], &rows(&one)[0]["paper"]), (&6.into(), &0.4302.into()));
    assert!(!place.at("run/scores.csv").exists());
    place.fails(&["reproduce", "table6", "--out", "run", "--sample", "6"], 1, &["--truth"]);
    let six =
        place.succeeds(&["reproduce", "table6", "--out", "run", "--sample", "6", "--truth", "truth.csv"]);
    assert_eq!(rows(&six)[0]["paper"], 0.1777);
}
