//! The search: scores over generations, the parts of the score against each other, cost against score, and the ten best.

use genas_figure::{Axis, Chart, Mark, Point, Series};

use crate::html::{Cell, Section, Table, escaped, figure, heading, paragraph};
use crate::model::Run;
use crate::model::search::{ACCURACY, ANGLE, FLATNESS, Generation, LOSS, Scored, Winner};
use crate::number::{significant, tau};
use crate::section::summary::metric;

/// More points than this in a chart are not told apart, and make the page heavy.
const POINTS: usize = 1000;

pub(crate) fn section(run: &Run) -> Option<Section> {
    let scored = run.search.candidates.get().map_or(&[][..], Vec::as_slice);
    let top = run.search.top.get().map_or(&[][..], Vec::as_slice);
    if scored.is_empty() && top.is_empty() {
        return None;
    }
    let score = metric(run).map_or_else(|| "score".to_owned(), |metric| format!("score ({metric})"));
    let mut html = String::new();
    if !run.search.generations.is_empty() {
        html += &figure("generations", &over_generations(&run.search.generations, &score));
    }
    if let Some(chart) = cost(scored, run.winner.get(), &score) {
        html += &figure("cost", &chart);
    }
    let pairs: Vec<Chart> = PAIRS.iter().filter_map(|pair| against(scored, pair)).collect();
    if !pairs.is_empty() {
        html += &heading("Metric against metric");
        for (n, chart) in pairs.iter().enumerate() {
            html += &figure(&format!("metrics-{n}"), chart);
        }
    }
    let failures: Vec<&Scored> = scored.iter().filter(|c| c.score.is_none()).collect();
    if !top.is_empty() {
        html += &heading("The best");
        html += &best(top, scored);
    }
    if !failures.is_empty() {
        html += &heading("Failed");
        html += &failed(&failures);
    }
    Some(Section::new("search", "Search", html))
}

fn over_generations(generations: &[Generation], score: &str) -> Chart {
    let x = |g: &Generation| (g.generation + 1) as f64;
    let points = |value: &dyn Fn(&Generation) -> Point| generations.iter().map(value).collect::<Vec<_>>();
    let mut chart = Chart::new("Score over generations", Axis::linear("generation"), Axis::linear(score))
        .with(Series::new("best so far", Mark::Line, points(&|g| Point::at(x(g), g.best_so_far))))
        .with(Series::new("best of the generation", Mark::Points, points(&|g| Point::at(x(g), g.best))))
        .with(Series::new(
            "median, with the middle half",
            Mark::Line,
            points(&|g| Point::at(x(g), g.quartiles[1]).between(g.quartiles[0], g.quartiles[2])),
        ));
    chart.description =
        "The candidates that were new in each generation: their best and median score, and between which \
                         scores the middle half of them lies. Higher is better."
            .to_owned();
    chart
}

/// A name that tells a candidate from others when it is pointed at.
fn named(candidate: &Scored) -> String {
    let estimate = if candidate.partial.is_some() { ", an estimate" } else { "" };
    format!("candidate {} of generation {}{estimate}", candidate.index, candidate.generation + 1)
}

/// At most so many, evenly from all.
fn thinned<T>(points: Vec<T>) -> Vec<T> {
    let step = points.len().div_ceil(POINTS).max(1);
    points.into_iter().step_by(step).collect()
}

/// Says that not all are drawn.
fn drawn(shown: usize, of: usize) -> String {
    if shown < of { format!(" {shown} of {of} are drawn, evenly chosen.") } else { String::new() }
}

fn cost(scored: &[Scored], winner: Option<&Winner>, score: &str) -> Option<Chart> {
    let known: Vec<(&Scored, f64, f64)> =
        scored.iter().filter_map(|c| Some((c, c.flops? / 1e6, c.score?))).collect();
    if known.len() < 2 {
        return None;
    }
    let front = pareto(&known);
    let point =
        |(candidate, cost, score): &(&Scored, f64, f64)| Point::at(*cost, *score).named(named(candidate));
    let points = thinned(known.iter().map(point).collect());
    let shown = points.len();
    let of_winner: Vec<Point> = known
        .iter()
        .filter(|(candidate, _, _)| winner.is_some_and(|w| candidate.genotype.as_ref() == Some(&w.genotype)))
        .map(point)
        .collect();
    let mut chart = Chart::new(
        "Cost against score",
        Axis::linear("FLOPs of the path through the supernet (M)"),
        Axis::linear(score),
    )
    .with(Series::new("candidates", Mark::Points, points))
    .with(Series::new("Pareto front", Mark::Dashed, front.iter().map(point).collect()));
    if !of_winner.is_empty() {
        chart = chart.with(Series::new("the winner", Mark::Rings, of_winner));
    }
    chart.description = format!(
        "Each candidate’s cost, by the paper’s count for one image, and its score. On the Pareto front are those that no \
         cheaper one equals.{}",
        drawn(shown, known.len())
    );
    Some(chart)
}

/// Those for which nothing costs as little and scores as high, by rising cost.
fn pareto<'a>(known: &[(&'a Scored, f64, f64)]) -> Vec<(&'a Scored, f64, f64)> {
    let mut sorted = known.to_vec();
    sorted.sort_by(|a, b| a.1.total_cmp(&b.1).then(b.2.total_cmp(&a.2)));
    let mut best = f64::NEG_INFINITY;
    sorted.retain(|(_, _, score)| {
        let better = *score > best;
        best = best.max(*score);
        better
    });
    sorted
}

/// A part of the score: its key, its axis, and what multiplies it.
type PartOf = (&'static str, &'static str, f64);

const OF_ANGLE: PartOf = (ANGLE, "angle (radians)", 1.0);
const OF_ACCURACY: PartOf = (ACCURACY, "accuracy in the supernet (%)", 100.0);
const OF_FLATNESS: PartOf = (FLATNESS, "flatness", 1.0);
const OF_LOSS: PartOf = (LOSS, "validation loss at the smallest noise", 1.0);

const PAIRS: [[PartOf; 2]; 5] = [
    [OF_ANGLE, OF_FLATNESS],
    [OF_ACCURACY, OF_FLATNESS],
    [OF_ANGLE, OF_ACCURACY],
    [OF_LOSS, OF_FLATNESS],
    [OF_LOSS, OF_ACCURACY],
];

/// One part against another, if candidates have both.
fn against(scored: &[Scored], [x, y]: &[PartOf; 2]) -> Option<Chart> {
    let value = |c: &Scored, part: &PartOf| c.parts.get(part.0).map(|value| value * part.2);
    let known: Vec<(f64, f64, &Scored)> =
        scored.iter().filter_map(|c| Some((value(c, x)?, value(c, y)?, c))).collect();
    if known.len() < 2 {
        return None;
    }
    let pairs: Vec<(f64, f64)> = known.iter().map(|(x, y, _)| (*x, *y)).collect();
    let correlation = tau(&pairs).map_or_else(String::new, |tau| format!(" Kendall’s tau is {tau:.2}."));
    let n = known.len();
    let points = thinned(known.into_iter().map(|(x, y, c)| Point::at(x, y).named(named(c))).collect());
    let shown = points.len();
    let mut chart = Chart::new(
        format!("{} and {}", short(x), short(y).to_lowercase()),
        Axis::linear(x.1),
        Axis::linear(y.1),
    )
    .with(Series::new("candidates", Mark::Points, points));
    chart.description =
        format!("Two measurements of the same {n} candidates.{correlation}{}", drawn(shown, n));
    Some(chart)
}

/// A part's name without its unit.
fn short(part: &PartOf) -> &'static str {
    match part.0 {
        ANGLE => "Angle",
        ACCURACY => "Accuracy",
        LOSS => "Loss",
        _ => "Flatness",
    }
}

fn best(top: &[Winner], scored: &[Scored]) -> String {
    let estimates = top.iter().any(|winner| winner.partial.is_some());
    let mut head = vec!["rank", "score", "FLOPs (M)", "parameters (k)"];
    if estimates {
        head.push("images");
    }
    head.push("cells");
    let mut table = Table::new("The best candidates, by their score", &head);
    for (n, winner) in top.iter().enumerate() {
        let of = scored.iter().find(|c| c.genotype.as_ref() == Some(&winner.genotype));
        let mut row = vec![
            Cell::number(n + 1, n + 1),
            Cell::maybe(winner.score, |score| significant(score, 6)),
            Cell::maybe(of.and_then(|c| c.flops), |flops| format!("{:.2}", flops / 1e6)),
            Cell::maybe(of.and_then(|c| c.params), |params| format!("{:.1}", params / 1e3)),
        ];
        if estimates {
            row.push(match winner.partial {
                Some([seen, of]) => Cell::text(format!("{seen} of {of}")),
                None => Cell::text("all"),
            });
        }
        row.push(Cell::html(escaped(&winner.genotype.to_string()).replace("; ", "<br>")));
        table.row(row);
    }
    paragraph("FLOPs and parameters are those of the path through the supernet.") + &table.html()
}

fn failed(failures: &[&Scored]) -> String {
    let mut table = Table::new("Candidates whose scoring failed", &["candidate", "generation", "reason"]);
    for candidate in failures.iter().take(50) {
        table.row(vec![
            Cell::number(candidate.index, candidate.index),
            Cell::number(candidate.generation + 1, candidate.generation + 1),
            Cell::text(candidate.failure.as_deref().unwrap_or("not said")),
        ]);
    }
    table.html()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(index: u64, flops: f64, score: f64) -> Scored {
        Scored {
            index,
            generation: 0,
            genotype: None,
            score: Some(score),
            failure: None,
            partial: None,
            parts: [(ANGLE, score), (FLATNESS, -score)].into(),
            flops: Some(flops * 1e6),
            params: None,
            seconds: 0.0,
        }
    }

    #[test]
    fn the_front_holds_what_nothing_beats() {
        let scored: Vec<Scored> = [(1.0, 1.0), (2.0, 3.0), (2.0, 2.0), (3.0, 3.0), (4.0, 5.0), (5.0, 4.0)]
            .iter()
            .zip(0..)
            .map(|((flops, score), n)| candidate(n, *flops, *score))
            .collect();
        let chart = cost(&scored, None, "score").unwrap();
        assert_eq!(chart.series[0].points.len(), 6);
        let front: Vec<(f64, f64)> = chart.series[1].points.iter().map(|p| (p.x, p.y)).collect();
        assert_eq!(front, [(1.0, 1.0), (2.0, 3.0), (4.0, 5.0)]);
        let chart = against(&scored, &PAIRS[0]).unwrap();
        assert!(chart.description.contains("tau is -1.00"), "{}", chart.description);
        assert!(against(&scored, &PAIRS[1]).is_none());
    }

    #[test]
    fn large_searches_are_thinned() {
        let points = thinned((0..4000).collect());
        assert!(points.len() <= POINTS && points.len() > POINTS / 2, "{}", points.len());
        assert_eq!(drawn(points.len(), 4000), " 1000 of 4000 are drawn, evenly chosen.");
    }
}
