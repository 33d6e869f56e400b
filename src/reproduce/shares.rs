//! Tables 8 to 10: which share of a combined score its second part has, by gamma.
//!
//! The share needs both parts of each candidate's score, which one search recorded; other gammas are computed from the same
//! candidates. The paper searched anew for each gamma.

use std::f64::consts::PI;

use anyhow::{Context, Result, bail};
use genas_report::Run;
use genas_report::model::search::{ACCURACY, ANGLE, FLATNESS, Scored};
use genas_search::RunDir;
use genas_train::directory::write_json;
use serde::Serialize;

use super::paper::{SOURCE, Shares, Sum};
use crate::args::{ReproduceArgs, Target};
use crate::context::Ctx;
use crate::output::table;

/// What stands in no run.
const MISSING: &str =
    "the accuracies of each gamma: they take a search and a training on ImageNet for each row";

#[derive(Debug, Serialize)]
struct Reproduced {
    target: Target,
    about: &'static str,
    source: &'static str,
    run: String,
    /// Candidates with both parts, measured in full.
    n: usize,
    rows: Vec<Line>,
    missing: [&'static str; 1],
}

#[derive(Debug, Serialize)]
struct Line {
    gamma: f64,
    /// In percent, as published.
    paper_share: f64,
    paper_top1: f64,
    paper_top5: f64,
    /// The mean over the run's candidates, in percent.
    share: f64,
}

pub fn run(ctx: &Ctx, args: &ReproduceArgs, paper: &Shares) -> Result<()> {
    let metric = match paper.sum {
        Sum::AngleFlatness => "angle+flatness",
        Sum::AccuracyFlatness => "accuracy+flatness",
        Sum::AngleAccuracy => "angle+accuracy",
    };
    let [path] = args.run.as_slice() else {
        bail!("{} is of one search; give --run RUN of `genas search --metric {metric}`", args.target.title())
    };
    let run = Run::read(path)?;
    let sigma = match paper.sum {
        Sum::AngleAccuracy => 1.0,
        Sum::AngleFlatness | Sum::AccuracyFlatness => {
            let config = RunDir::existing(path, &[])?.1;
            config.metric.sigmas.first().copied().context("the run's metric has no sigma")?
        }
    };
    let parts: Vec<[f64; 2]> = match run.search.candidates.get() {
        Some(scored) => scored.iter().filter_map(|one| parts(one, paper.sum, sigma)).collect(),
        None => Vec::new(),
    };
    if parts.is_empty() {
        bail!(
            "{}: search.jsonl has no candidate with both parts of the score; give a run of `genas search --metric {metric}`",
            path.display()
        );
    }
    let line = |row: &super::paper::Share| Line {
        gamma: row.gamma,
        paper_share: row.percent,
        paper_top1: row.top1,
        paper_top5: row.top5,
        share: 100.0 * share(&parts, row.gamma),
    };
    let reproduced = Reproduced {
        target: args.target,
        about: match paper.sum {
            Sum::AngleFlatness => "share of flatness in angle / pi + gamma / sigma_1 * flatness",
            Sum::AccuracyFlatness => "share of flatness in accuracy + gamma / sigma_1 * flatness",
            Sum::AngleAccuracy => "share of accuracy in angle / pi + gamma * accuracy",
        },
        source: SOURCE,
        run: path.display().to_string(),
        n: parts.len(),
        rows: paper.rows.iter().map(line).collect(),
        missing: [MISSING],
    };
    let file = args.out.join("tables").join(format!("{}.json", args.target.name()));
    write_json(&file, &reproduced)?;
    ctx.out.result(&reproduced, || {
        let rows: Vec<Vec<String>> = reproduced
            .rows
            .iter()
            .map(|row| {
                vec![
                    row.gamma.to_string(),
                    format!("{:.0}", row.paper_share),
                    format!("{:.1}", row.share),
                    format!("{:.2}", row.paper_top1),
                    format!("{:.2}", row.paper_top5),
                ]
            })
            .collect();
        let head = ["gamma", "paper (%)", "measured (%)", "paper top-1 (%)", "paper top-5 (%)"];
        format!(
            "{}: {}\n{}\n{} candidates of {}; the paper searched anew for each gamma\nmissing: {MISSING}\nwritten: {}",
            args.target.title(),
            reproduced.about,
            table(&head, &rows),
            reproduced.n,
            reproduced.run,
            file.display()
        )
    })
}

/// The two parts of a candidate's score, the second without its gamma; nothing where one is missing or an estimate.
fn parts(one: &Scored, sum: Sum, sigma: f64) -> Option<[f64; 2]> {
    if one.partial.is_some() {
        return None;
    }
    let part = |name| one.parts.get(name).copied();
    let found = match sum {
        Sum::AngleFlatness => [part(ANGLE)? / PI, part(FLATNESS)? / sigma],
        Sum::AccuracyFlatness => [part(ACCURACY)?, part(FLATNESS)? / sigma],
        Sum::AngleAccuracy => [part(ANGLE)? / PI, part(ACCURACY)?],
    };
    found.iter().all(|part| part.is_finite()).then_some(found)
}

/// The mean over candidates of the second part's share (spec 02-7).
fn share(parts: &[[f64; 2]], gamma: f64) -> f64 {
    let one = |[first, second]: &[f64; 2]| {
        let weighted = gamma * second;
        if weighted == 0.0 { 0.0 } else { weighted / (first + weighted) }
    };
    parts.iter().map(one).sum::<f64>() / parts.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reproduce::paper::{TABLE_8, TABLE_9, TABLE_10};

    #[test]
    fn shares_are_means_of_shares() {
        assert_eq!(share(&[[0.5, 0.25], [0.5, 0.25]], 2.0), 0.5);
        assert_eq!(share(&[[1.0, 1.0], [1.0, 3.0]], 1.0), 0.625);
        assert_eq!(share(&[[0.0, 0.0]], 0.0), 0.0);
    }

    /// The paper's percentages are those of one ratio of the parts for each table (spec 02-7, its consistency check).
    #[test]
    fn the_papers_shares_hang_together() {
        for (paper, low, high) in [(TABLE_8, 0.48, 0.55), (TABLE_9, 0.34, 0.46), (TABLE_10, 1.3, 1.45)] {
            for row in paper.rows.iter().filter(|row| row.gamma > 0.0) {
                let p = row.percent / 100.0;
                let ratio = p / (1.0 - p) / row.gamma;
                assert!((low..high).contains(&ratio), "gamma {}: {ratio}", row.gamma);
            }
        }
    }
}
