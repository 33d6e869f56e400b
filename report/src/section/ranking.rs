//! How well metrics rank the cells of NAS-Bench-201.

use genas_figure::{Axis, Chart, Mark, Point, Series};

use crate::html::{Cell, Section, Table, details, figure, heading, paragraph};
use crate::html::{code, data};
use crate::model::Run;
use crate::model::ranking::{Evolutions, Ranking, Scores};
use crate::number::{grouped, percent};

/// Cells in a picture, at most.
const POINTS: usize = 500;
/// Pictures that are open, and pictures in all.
const PICTURES: [usize; 2] = [3, 8];

pub(crate) fn section(run: &Run) -> Option<Section> {
    let mut html = String::new();
    if let Some(outcome) = run.ranked.outcome.get() {
        html += &paragraph(
            "Kendall’s tau says how far a metric orders the cells as their accuracies do, each trained alone: 1 the same \
             order, 0 none in common, −1 upside down. Intervals are of resampled cells.",
        );
        html += &figure("taus", &taus(&outcome.all));
        html += &table(&outcome.all, "All cells");
        html += &paragraph(COLUMNS);
        if let Some(half) = &outcome.better_half {
            html += &heading("The better half");
            html += &paragraph("Among good cells ranking is harder, and matters more.");
            html += &table(half, "The better half of the cells");
        }
        if let Some(evolution) = &outcome.evolution {
            html += &heading("Evolution by a metric");
            html += &evolved(evolution);
        }
    }
    if let Some(scores) = run.ranked.scores.get() {
        html += &heading("Metric against accuracy");
        html += &scatters(scores, run.ranked.outcome.get().map(|outcome| &outcome.all));
    }
    (!html.is_empty()).then(|| Section::new("ranking", "Ranking of NAS-Bench-201", html))
}

fn taus(ranking: &Ranking) -> Chart {
    let order = ranking.order();
    let points = order.iter().enumerate().map(|(n, name)| {
        let point = Point::at(n as f64, ranking.tau[*name]).named(*name);
        ranking.tau_interval.get(*name).map_or(point.clone(), |[low, high]| point.between(*low, *high))
    });
    let names = order.iter().map(|name| (*name).to_owned()).collect();
    let mut chart = Chart::new("Kendall’s tau by metric", Axis::named("metric", names), Axis::linear("tau"))
        .with(Series::new("tau", Mark::Points, points.collect()));
    chart.description =
        format!("Over {} cells; whiskers are 95 % intervals over resampled cells.", grouped(ranking.n));
    chart
}

fn table(ranking: &Ranking, caption: &str) -> String {
    // Of fewer than fifty cells there are no fifty best.
    let known = |k: &str| ranking.precision.values().any(|shares| shares.contains_key(k));
    let tops: Vec<(&str, &str)> =
        [("10", "top 10"), ("50", "top 50")].into_iter().filter(|(k, _)| known(k)).collect();
    let mut head = vec!["metric", "tau", "from", "to", "Spearman"];
    head.extend(tops.iter().map(|(_, name)| *name));
    head.extend(["regret", "above"]);
    let mut table = Table::new(format!("{caption} ({})", grouped(ranking.n)), &head);
    for name in ranking.order() {
        let tau = ranking.tau[name];
        let three = |value: f64| format!("{value:.3}");
        let interval = ranking.tau_interval.get(name);
        let share = |k: &str| ranking.precision.get(name).and_then(|shares| shares.get(k)).copied();
        let above = ranking.above.get(name).map_or_else(String::new, |baselines| {
            let beaten = baselines.iter().filter(|(_, difference)| difference[0] > 0.0);
            beaten.map(|(baseline, _)| baseline.as_str()).collect::<Vec<_>>().join(", ")
        });
        let mut row = vec![
            Cell::html(code(name)),
            Cell::number(tau, three(tau)),
            Cell::maybe(interval.map(|i| i[0]), three),
            Cell::maybe(interval.map(|i| i[1]), three),
            Cell::maybe(ranking.spearman.get(name).copied(), three),
        ];
        row.extend(tops.iter().map(|(k, _)| Cell::maybe(share(k), |share| percent(share, 0))));
        row.push(Cell::maybe(ranking.regret.get(name).copied(), |regret| format!("{regret:.2}")));
        row.push(Cell::text(above));
        table.row(row);
    }
    table.html()
}

/// What the columns of a ranking are.
const COLUMNS: &str = "<span class=\"quiet\">From and to: the 95 % interval of tau. Top 10: the share of the ten best cells \
                       among the metric’s ten best. Regret: the best accuracy less that of the metric’s best cell, in percent \
                       points. Above: baselines whose tau is lower with 95 % certainty.</span>";

fn evolved(evolution: &Evolutions) -> String {
    let mut table = Table::new(
        format!("What evolution by {} found", evolution.metric),
        &["evolution", "scored", "accuracy (%)", "regret (points)", "cell"],
    );
    for found in &evolution.found {
        table.row(vec![
            Cell::number(found.seed, found.seed + 1),
            Cell::number(found.evaluated, grouped(found.evaluated)),
            Cell::number(found.accuracy, format!("{:.2}", found.accuracy)),
            Cell::number(found.regret, format!("{:.2}", found.regret)),
            Cell::html(code(&found.cell)),
        ]);
    }
    let two = |value: f64| data(value, format!("{value:.2}"));
    paragraph(&format!(
        "Evolution by {} ends {} percent points below the best cell in the mean, random search {}.",
        code(&evolution.metric),
        two(evolution.regret),
        two(evolution.random_regret)
    )) + &table.html()
}

/// A picture for each metric, the best first.
fn scatters(scores: &Scores, ranking: Option<&Ranking>) -> String {
    let names: Vec<&str> = match ranking {
        Some(ranking) => ranking.order(),
        None => scores.metrics.keys().map(String::as_str).collect(),
    };
    let (mut html, mut more) = (String::new(), String::new());
    let known = names.iter().filter_map(|name| Some((*name, scores.metrics.get(*name)?)));
    let known: Vec<(&str, &Vec<f64>)> = known.collect();
    for (n, (name, values)) in known.iter().take(PICTURES[1]).enumerate() {
        let tau = ranking.and_then(|ranking| ranking.tau.get(*name));
        let picture = figure(&format!("rank-{n}"), &scatter(scores, name, values, tau));
        if n < PICTURES[0] { html += &picture } else { more += &picture }
    }
    if !more.is_empty() {
        html += &details("Other metrics", &more);
    }
    if known.len() > PICTURES[1] {
        html += &paragraph(&format!(
            "{} metrics more are in <code>scores.csv</code> and <code>scatter/</code>.",
            known.len() - PICTURES[1]
        ));
    }
    html
}

fn scatter(scores: &Scores, name: &str, values: &[f64], tau: Option<&f64>) -> Chart {
    let (across, up) = (ranks(values), ranks(&scores.truth));
    let n = scores.cells.len();
    let step = n.div_ceil(POINTS).max(1);
    let points: Vec<Point> = (0..n)
        .step_by(step)
        .map(|at| {
            let label =
                format!("{}: score {}, accuracy {} %", scores.cells[at], values[at], scores.truth[at]);
            Point::at(across[at], up[at]).named(label)
        })
        .collect();
    let drawn = points.len();
    let mut chart = Chart::new(
        format!("{name} and the accuracy trained alone"),
        Axis::linear(format!("rank by {name}, the best at the right")),
        Axis::linear("rank by accuracy trained alone"),
    )
    .with(Series::new("cells", Mark::Points, points));
    let tau = tau.map_or_else(String::new, |tau| format!(" Kendall’s tau is {tau:.3}."));
    let part =
        if drawn < n { format!(" {drawn} of {n} cells are drawn, evenly chosen.") } else { String::new() };
    chart.description = format!("Ranks, because accuracies crowd at the top.{tau}{part}");
    chart
}

/// From 1 for the lowest; equal scores share the mean of their ranks.
fn ranks(scores: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let mut ranks = vec![0.0; scores.len()];
    let mut before = 0;
    for equal in order.chunk_by(|&a, &b| scores[a].total_cmp(&scores[b]).is_eq()) {
        let rank = before as f64 + (equal.len() + 1) as f64 / 2.0;
        equal.iter().for_each(|&n| ranks[n] = rank);
        before += equal.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_scores_share_a_rank() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
        assert_eq!(ranks(&[]), [0.0; 0]);
    }
}
