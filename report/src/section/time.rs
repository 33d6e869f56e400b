//! What took how long (the paper's Figure 4).

use genas_figure::{Axis, Chart, Mark, Point, Series};

use crate::html::{Cell, Section, Table, figure, paragraph};
use crate::model::Run;
use crate::model::curves::Curves;
use crate::time::{duration, unit};

/// A part of the work.
#[derive(Clone, Debug)]
pub struct Phase {
    /// What was done.
    pub name: String,
    /// How long it took.
    pub seconds: f64,
    /// Where the figure comes from, and what it counts.
    pub source: &'static str,
}

impl Phase {
    /// Whether it belongs to the search's cost, as the paper's Figure 4 counts it: supernet and scoring.
    pub fn is_search(&self) -> bool {
        [SUPERNET, SCORING].contains(&self.name.as_str())
    }
}

pub(crate) fn section(run: &Run) -> Option<Section> {
    let phases = phases(run);
    if phases.is_empty() {
        return None;
    }
    let longest = phases.iter().map(|phase| phase.seconds).fold(0.0, f64::max);
    let (unit, factor) = unit(longest);
    let names = phases.iter().map(|phase| phase.name.clone()).collect();
    let points = phases.iter().enumerate().map(|(n, phase)| {
        Point::at(n as f64, phase.seconds / factor).named(format!(
            "{}: {}",
            phase.name,
            duration(phase.seconds)
        ))
    });
    let mut chart =
        Chart::new("Time by phase", Axis::named("phase", names), Axis::linear(format!("time ({unit})")))
            .with(Series::new("time", Mark::Bars, points.collect()));
    chart.description =
        "What the run’s files say about time. The search’s cost, as the paper’s Figure 4 counts it, is that \
                         of supernet and scoring."
            .to_owned();
    let mut table = Table::new("Time by phase, and what is counted", &["phase", "time", "seconds", "source"]);
    for phase in &phases {
        table.row(vec![
            Cell::text(&phase.name),
            Cell::text(duration(phase.seconds)),
            Cell::number(phase.seconds, format!("{:.1}", phase.seconds)),
            Cell::text(phase.source),
        ]);
    }
    let cost: f64 = phases.iter().filter(|p| p.is_search()).map(|p| p.seconds).sum();
    let words = if cost > 0.0 {
        paragraph(&format!(
            "The search cost {}: supernet and scoring together.",
            crate::html::data(cost, duration(cost))
        ))
    } else {
        String::new()
    };
    Some(Section::new("time", "Time", words + &figure("time-by-phase", &chart) + &table.html()))
}

const SUPERNET: &str = "supernet";
const SCORING: &str = "scoring";

/// What the run's files say about time, in the order of the work.
pub fn phases(run: &Run) -> Vec<Phase> {
    let mut phases = Vec::new();
    let mut phase = |name: &str, seconds: Option<f64>, source| {
        if let Some(seconds) = seconds.filter(|seconds| *seconds > 0.0) {
            phases.push(Phase { name: name.to_owned(), seconds, source });
        }
    };
    let trained = |curves: Option<&Curves>| curves.and_then(|curves| curves.sum("seconds"));
    let training = "training.csv: wall time of the steps, validation not counted";
    phase(SUPERNET, trained(run.supernet.get()), training);
    match run.search.seconds {
        Some(seconds) => phase(SCORING, Some(seconds), "search.json: wall time over all sittings"),
        None => phase(
            SCORING,
            run.search.core_seconds(),
            "search.jsonl: sum over candidates; several are scored at a time, so that less wall time passes",
        ),
    }
    phase(
        "measuring cells",
        run.ranked.measured.get().map(|measured| measured.core_seconds),
        "cells.jsonl: sum over cells; several are measured at a time, so that less wall time passes",
    );
    phase("retraining", trained(run.retrained.curves.get()), training);
    let evaluated = run.evaluations.get().map(|all| all.iter().filter_map(|e| e.seconds()).sum());
    phase("evaluation", evaluated, "evaluate.jsonl: images over images per second");
    phase("detector", trained(run.coco.curves.get()), training);
    phase("segmenter", trained(run.cityscapes.curves.get()), training);
    phases
}
