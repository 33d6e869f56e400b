//! `result.json`, `scores.csv` and `cells.jsonl` of `genas rank`: how well metrics rank NAS-Bench-201's cells.

use std::collections::BTreeMap;

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
    let head: Vec<String> = match reader.headers() {
        Ok(head) if head.iter().take(3).eq(["index", "architecture", "truth"]) => {
            head.iter().map(str::to_owned).collect()
        }
        _ => {
            let fault = files
                .fault(file, "its first line is not `index,architecture,truth,...`: these are no scores");
            return Part::Damaged(fault);
        }
    };
    let (mut scores, mut broken) = (Scores::default(), 0);
    let mut columns: Vec<Vec<f64>> = vec![Vec::new(); head.len() - 3];
    for record in reader.records() {
        let numbers = record.ok().and_then(|record| {
            let numbers: Option<Vec<f64>> = record.iter().skip(2).map(|cell| cell.parse().ok()).collect();
            Some((record.get(1)?.to_owned(), numbers.filter(|n| n.len() == head.len() - 2)?))
        });
        let Some((cell, numbers)) = numbers else {
            broken += 1;
            continue;
        };
        scores.cells.push(cell);
        scores.truth.push(numbers[0]);
        columns.iter_mut().zip(&numbers[1..]).for_each(|(column, number)| column.push(*number));
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
    scores.metrics = head[3..].iter().cloned().zip(columns).collect();
    Part::Present(scores)
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
