//! [`Table`], what metrics say of cells beside the truth, and [`Report`], how well each ranks them (spec 02-8).

use std::collections::BTreeMap;
use std::fmt::Write;

use genas_space::Streams;
use genas_space::nb201::Nb201Cell;
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::bootstrap::Bootstrap;
use super::evolution::Evolutions;
use super::statistics::{StatisticsError, best_cells, precision_at, regret, spearman, tau_b};

/// Resamples of the cells, for intervals.
pub(super) const RESAMPLES: usize = 2000;
/// How many of the best cells are looked for among those that a metric ranks best.
const TOP: [usize; 3] = [1, 10, 50];
/// What metrics must beat to be worth their time: what costs nothing, and what is known without noise.
pub const BASELINES: [&str; 4] = ["accuracy", "loss", "params", "flops"];

/// Scores of cells, higher for better, and their true accuracies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The cells; rows.
    pub cells: Vec<Nb201Cell>,
    /// Accuracy of each, trained alone, in percent.
    pub truth: Vec<f64>,
    /// By metric: its name, and a score for each cell.
    pub metrics: Vec<(String, Vec<f64>)>,
}

impl Table {
    /// As CSV: index, architecture, `truth`, and a column for each metric. Numbers have all their digits.
    pub fn to_csv(&self) -> String {
        let mut text = "index,architecture,truth".to_owned();
        for (name, _) in &self.metrics {
            let _ = write!(text, ",{name}");
        }
        text.push('\n');
        for (n, cell) in self.cells.iter().enumerate() {
            let _ = write!(text, "{},{cell},{}", cell.index(), self.truth[n]);
            for (_, scores) in &self.metrics {
                let _ = write!(text, ",{}", scores[n]);
            }
            text.push('\n');
        }
        text
    }

    /// The rows at `positions`.
    fn rows(&self, positions: &[usize]) -> Table {
        let pick = |values: &[f64]| positions.iter().map(|&n| values[n]).collect::<Vec<f64>>();
        Table {
            cells: positions.iter().map(|&n| self.cells[n]).collect(),
            truth: pick(&self.truth),
            metrics: self.metrics.iter().map(|(name, scores)| (name.clone(), pick(scores))).collect(),
        }
    }
}

/// How well each metric ranks the cells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Over all cells.
    #[serde(flatten)]
    pub all: Ranking,
    /// Over the better half by true accuracy, ties with the last included: where ranking is hard and useful.
    pub better_half: Ranking,
    /// What evolution finds, if it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evolution: Option<Evolutions>,
}

/// How well each metric ranks some cells. Metrics that give all of them one score have no entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// Cells.
    pub n: usize,
    /// Kendall's tau-b, by metric.
    pub tau: BTreeMap<String, f64>,
    /// Its 95 % bootstrap interval over cells.
    pub tau_interval: BTreeMap<String, [f64; 2]>,
    /// Spearman's rank correlation.
    pub spearman: BTreeMap<String, f64>,
    /// Of the k best cells, the share that is among the metric's k best, by k.
    pub precision: BTreeMap<String, BTreeMap<usize, f64>>,
    /// The best accuracy less that of the metric's best cell, in percent points.
    pub regret: BTreeMap<String, f64>,
    /// By metric and baseline: the 95 % interval of the difference of their taus, on the same resamples.
    pub above: BTreeMap<String, BTreeMap<String, [f64; 2]>>,
}

impl Report {
    /// Of at least two cells whose accuracies differ. Resamples are drawn from `streams`.
    ///
    /// # Errors
    ///
    /// If there are fewer, or a score is not a number.
    pub fn new(table: &Table, streams: &Streams) -> Result<Self, StatisticsError> {
        let better = table.rows(&best_cells(&table.truth, 0.5)?);
        Ok(Self {
            all: Ranking::new(table, streams)?,
            better_half: Ranking::new(&better, streams)?,
            evolution: None,
        })
    }
}

impl Ranking {
    fn new(table: &Table, streams: &Streams) -> Result<Self, StatisticsError> {
        let truth = &table.truth;
        let mut kept: Vec<(&str, &[f64])> = Vec::new();
        for (name, scores) in &table.metrics {
            match tau_b(scores, truth) {
                Ok(_) => kept.push((name, scores)),
                // It ranks nothing, and so has no place.
                Err(StatisticsError::Constant(_)) if scores.windows(2).all(|w| w[0] == w[1]) => {}
                Err(error) => return Err(error),
            }
        }
        let by_metric = |value: &dyn Fn(&[f64]) -> Result<f64, StatisticsError>| {
            let entry = |(name, scores): &(&str, &[f64])| Ok(((*name).to_owned(), value(scores)?));
            kept.iter().map(entry).collect::<Result<BTreeMap<_, _>, StatisticsError>>()
        };
        let lists: Vec<&[f64]> = kept.iter().map(|(_, scores)| *scores).collect();
        let mut rng = streams.rng("rank/bootstrap", 0);
        let bootstrap = Bootstrap::new(&lists, truth, RESAMPLES, tau_b, |n| rng.random_range(0..n))?;
        let mut tau_interval = BTreeMap::new();
        let mut above = BTreeMap::new();
        for (a, (name, _)) in kept.iter().enumerate() {
            let interval = bootstrap.interval(a)?;
            tau_interval.insert((*name).to_owned(), [interval.low, interval.high]);
            let mut differences = BTreeMap::new();
            for (b, (baseline, _)) in kept.iter().enumerate() {
                if a != b && BASELINES.contains(baseline) {
                    let difference = bootstrap.difference(a, b)?;
                    differences.insert((*baseline).to_owned(), [difference.low, difference.high]);
                }
            }
            above.insert((*name).to_owned(), differences);
        }
        let mut precision = BTreeMap::new();
        for (name, scores) in &kept {
            let tops = TOP.into_iter().filter(|k| *k <= truth.len());
            let shares: Result<_, StatisticsError> =
                tops.map(|k| Ok((k, precision_at(k, scores, truth)?))).collect();
            precision.insert((*name).to_owned(), shares?);
        }
        Ok(Self {
            n: truth.len(),
            tau: by_metric(&|scores| tau_b(scores, truth))?,
            tau_interval,
            spearman: by_metric(&|scores| spearman(scores, truth))?,
            precision,
            regret: by_metric(&|scores| regret(scores, truth))?,
            above,
        })
    }

    /// Metrics by falling tau.
    pub fn order(&self) -> Vec<&str> {
        let mut names: Vec<&String> = self.tau.keys().collect();
        names.sort_by(|a, b| self.tau[*b].total_cmp(&self.tau[*a]));
        names.into_iter().map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let cells: Vec<Nb201Cell> = (0..40).map(|n| Nb201Cell::from_index(n * 300).unwrap()).collect();
        let truth: Vec<f64> = (0..40).map(|n| 50.0 + f64::from(n)).collect();
        // The first is the truth itself, the second swaps neighbours, the third is upside down, the fourth says nothing.
        let metrics = vec![
            ("exact".to_owned(), truth.clone()),
            ("accuracy".to_owned(), (0..40).map(|n: u32| f64::from(n ^ 1)).collect()),
            ("params".to_owned(), truth.iter().map(|t| -t).collect()),
            ("constant".to_owned(), vec![1.0; 40]),
        ];
        Table { cells, truth, metrics }
    }

    #[test]
    fn metrics_are_ranked_with_their_baselines() {
        let report = Report::new(&table(), &Streams::new(1)).unwrap();
        let all = &report.all;
        assert_eq!((all.n, report.better_half.n), (40, 20));
        assert_eq!(all.order(), ["exact", "accuracy", "params"]);
        // 20 of 780 pairs are swapped.
        assert_eq!((all.tau["exact"], all.tau["params"]), (1.0, -1.0));
        assert!((all.tau["accuracy"] - (780.0 - 40.0) / 780.0).abs() < 1e-15);
        assert!((report.better_half.tau["accuracy"] - (190.0 - 20.0) / 190.0).abs() < 1e-15);
        assert_eq!((all.precision["exact"][&10], all.precision["params"][&10]), (1.0, 0.0));
        assert_eq!((all.precision["accuracy"][&1], all.precision["accuracy"].len()), (0.0, 2));
        assert_eq!((all.regret["exact"], all.regret["accuracy"], all.regret["params"]), (0.0, 1.0, 39.0));
        let [low, high] = all.tau_interval["accuracy"];
        assert!(low < all.tau["accuracy"] && all.tau["accuracy"] < high && high < 1.0, "{low} {high}");
        assert!(all.above["exact"]["params"].iter().all(|d| (d - 2.0).abs() < 1e-12));
        assert!(all.above["exact"]["accuracy"][0] > 0.0 && !all.above["accuracy"].contains_key("accuracy"));
        assert_eq!(
            Report::new(&table(), &Streams::new(1)).unwrap(),
            report,
            "the same seed, the same intervals"
        );
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!((&json["n"], &json["tau"]["exact"]), (&40.into(), &1.0.into()));
    }

    #[test]
    fn scores_are_written_with_all_digits() {
        let mut table = table();
        table.metrics[1].1[3] = 0.1 + 0.2;
        let text = table.to_csv();
        let line = text.lines().nth(4).unwrap();
        assert!(text.starts_with("index,architecture,truth,exact,accuracy,params,constant\n"), "{text}");
        assert!(line.starts_with("900,|") && line.contains(",0.30000000000000004,"), "{line}");
        table.truth[0] = f64::NAN;
        assert!(Report::new(&table, &Streams::new(1)).is_err());
    }
}
