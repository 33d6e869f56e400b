//! `result.json`, `scores.csv` and `cells.jsonl` of `genas rank`: how well metrics rank NAS-Bench-201's cells.

use std::collections::BTreeMap;

use genas_space::Nb201Cell;
use serde::{Deserialize, Serialize};

use super::Part;
use super::files::Reader;

/// How well each metric ranks some cells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// Cells.
    pub n: u64,
    /// Kendall's tau-b, by metric.
    pub tau: BTreeMap<String, f64>,
    /// Its 95 % interval.
    #[serde(default)]
    pub tau_interval: BTreeMap<String, [f64; 2]>,
    /// Spearman's rank correlation.
    #[serde(default)]
    pub spearman: BTreeMap<String, f64>,
    /// Of the k best cells, the share among the metric's k best, by k.
    #[serde(default)]
    pub precision: BTreeMap<String, BTreeMap<String, f64>>,
    /// The best accuracy less that of the metric's best cell, in percent points.
    #[serde(default)]
    pub regret: BTreeMap<String, f64>,
    /// By metric and baseline: the 95 % interval of the difference of their taus.
    #[serde(default)]
    pub above: BTreeMap<String, BTreeMap<String, [f64; 2]>>,
}

impl Ranking {
    /// Metrics by falling tau.
    pub fn order(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.tau.keys().map(String::as_str).collect();
        names.sort_by(|a, b| self.tau[*b].total_cmp(&self.tau[*a]));
        names
    }
}

/// `result.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Over all cells.
    #[serde(flatten)]
    pub all: Ranking,
    /// Over the better half.
    pub better_half: Option<Ranking>,
    /// What evolution by a metric found.
    pub evolution: Option<Evolutions>,
}

/// Evolutions by a metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evolutions {
    /// The metric.
    pub metric: String,
    /// Mean regret, in percent points.
    pub regret: f64,
    /// The same of random search.
    pub random_regret: f64,
    /// One by one.
    pub found: Vec<Found>,
}

/// What one evolution found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Number of the evolution.
    pub seed: u64,
    /// Cells that were scored.
    pub evaluated: u64,
    /// What the metric thinks best.
    pub cell: String,
    /// Its accuracy trained alone, in percent.
    pub accuracy: f64,
    /// How far that is from the best.
    pub regret: f64,
}

/// `scores.csv`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// The cells.
    pub cells: Vec<String>,
    /// Accuracy of each, trained alone, in percent.
    pub truth: Vec<f64>,
    /// Scores by metric.
    pub metrics: BTreeMap<String, Vec<f64>>,
}

/// What a ranking left.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Ranked {
    /// `result.json`.
    pub outcome: Part<Outcome>,
    /// `scores.csv`.
    #[serde(skip)]
    pub scores: Part<Scores>,
    /// Cells that were measured, and the time of the cores that measured them: of `cells.jsonl`.
    pub measured: Part<Measured>,
}

/// The cells of `cells.jsonl`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// How many.
    pub cells: usize,
    /// Seconds of one core.
    pub core_seconds: f64,
}

#[derive(Deserialize)]
struct Line {
    seconds: f64,
}

impl Ranked {
    /// Reads the files.
    pub fn read(files: &Reader) -> Self {
        let measured = files.lines::<Line>("cells.jsonl").map(|lines| Measured {
            cells: lines.len(),
            core_seconds: lines.iter().map(|line| line.seconds).sum(),
        });
        Self { outcome: files.json("result.json"), scores: scores(files), measured }
    }
}

fn scores(files: &Reader) -> Part<Scores> {
    let file = "scores.csv";
    let bytes = match files.bytes(file) {
        Part::Present(bytes) => bytes,
        Part::Absent => return Part::Absent,
        Part::Damaged(fault) => return Part::Damaged(fault),
    };
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes.as_slice());
    let head: Vec<String> =
        reader.headers().map(|head| head.iter().map(str::to_owned).collect()).unwrap_or_default();
    let place = |names: &[&str]| head.iter().position(|name| names.contains(&name.as_str()));
    // Records keep the number of a cell only, which says as much.
    let cell = place(&["architecture", "arch"]).or(place(&["index"]));
    let (Some(cell), Some(truth)) = (cell, place(&["truth"])) else {
        let fault =
            files.fault(file, "its first line names no `architecture` and `truth`: these are no scores");
        return Part::Damaged(fault);
    };
    let metrics: Vec<usize> =
        (0..head.len()).filter(|n| ![cell, truth].contains(n) && head[*n] != "index").collect();
    let (mut scores, mut broken) = (Scores::default(), 0);
    let mut columns: Vec<Vec<f64>> = vec![Vec::new(); metrics.len()];
    for record in reader.records() {
        let row = record.ok().and_then(|record| {
            let number = |n: usize| record.get(n)?.parse::<f64>().ok();
            let numbers: Option<Vec<f64>> = metrics.iter().map(|n| number(*n)).collect();
            Some((name(record.get(cell)?), number(truth)?, numbers?))
        });
        let Some((cell, truth, numbers)) = row else {
            broken += 1;
            continue;
        };
        scores.cells.push(cell);
        scores.truth.push(truth);
        columns.iter_mut().zip(&numbers).for_each(|(column, number)| column.push(*number));
    }
    if broken > 0 {
        let fault = files.fault(
            file,
            format!("{broken} of {} rows are damaged and left out", broken + scores.cells.len()),
        );
        if scores.cells.is_empty() {
            return Part::Damaged(fault);
        }
    }
    scores.metrics = metrics.iter().map(|n| head[*n].clone()).zip(columns).collect();
    Part::Present(scores)
}

/// A cell as it is written, also of its number.
fn name(cell: &str) -> String {
    let numbered = cell.parse().ok().and_then(|index| Nb201Cell::from_index(index).ok());
    numbered.map_or_else(|| cell.to_owned(), |cell| cell.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::files::tests::folder;

    #[test]
    fn scores_and_taus_are_read() {
        let (_dir, files) = folder(&[
            ("scores.csv", b"index,architecture,truth,loss\n3,|a|,50.5,0.25\n4,|b|,x,1\n5,|c|,60,NaN\n6,|d|\n"),
            ("cells.jsonl", b"{\"seconds\":1.5,\"cell\":\"x\"}\n"),
            (
                "result.json",
                br#"{"n":2,"tau":{"loss":0.5,"angle":0.75},"precision":{"loss":{"10":0.5}},"better_half":{"n":1,"tau":{}}}"#,
            ),
        ]);
        let first = Nb201Cell::from_index(0).unwrap().to_string();
        assert_eq!((name("x"), name("0"), name(&first)), ("x".to_owned(), first.clone(), first));
        let ranked = Ranked::read(&files);
        let scores = ranked.scores.get().unwrap();
        assert_eq!((scores.cells.len(), scores.truth[0], scores.metrics["loss"][0]), (2, 50.5, 0.25));
        assert!(scores.metrics["loss"][1].is_nan() && files.faults()[0].reason.contains("2 of 4"));
        assert_eq!(ranked.measured, Part::Present(Measured { cells: 1, core_seconds: 1.5 }));
        let outcome = ranked.outcome.get().unwrap();
        assert_eq!(outcome.all.order(), ["angle", "loss"]);
        assert_eq!(outcome.all.precision["loss"]["10"], 0.5);
        assert!(outcome.evolution.is_none() && outcome.better_half.is_some());
    }
}
