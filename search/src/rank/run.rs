//! `genas rank`: a supernet is trained, cells are measured, metrics are compared with the truth.
//!
//! | file | is |
//! |---|---|
//! | `config.toml` | the settings |
//! | `supernet/` | the training of the supernet |
//! | `cells.jsonl` | a line for each cell that was measured: everything that metrics are computed from |
//! | `scores.csv` | a row for each cell: `truth`, and what each metric says |
//! | `result.json` | tau and the rest, by metric |
//! | `scatter/` | a picture for each metric |

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use genas_net::{Devices, atomic_write};
use genas_runtime::Provider;
use genas_space::nb201::Nb201Cell;
use genas_train::directory::{file_fingerprint, fingerprint, write_json};
use genas_train::observer::Observer;
use genas_train::settings::to_toml;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::config::Nb201Config;
use super::evolution::{Evolutions, evolutions};
use super::measure::{CellMeasurement, Measurer};
use super::metrics::RankMetric;
use super::report::{Report, Table};
use super::scatter::scatter_svg;
use super::statistics::StatisticsError;
use super::supernet;
use crate::error::SearchError;
use crate::lines::Lines;
use crate::supernet::Halves;

/// The cells' measurements.
const CELLS: &str = "cells.jsonl";
/// What metrics say of them.
pub const SCORES: &str = "scores.csv";
/// How well they rank.
pub const RESULT: &str = "result.json";

/// A laboratory, all of it decided.
pub struct RankRun<'a> {
    /// Where everything goes.
    pub directory: &'a Path,
    /// The settings.
    pub config: &'a Nb201Config,
    /// The images.
    pub halves: &'a Halves,
    /// The cells to rank, each once.
    pub cells: &'a [Nb201Cell],
    /// Accuracy of every cell of the space in percent, by official index.
    pub truth: &'a [f64],
    /// Measure one cell of each isomorphism class, and give its numbers to the others. That is an approximation: a
    /// supernet's weights belong to edges, and isomorphic cells use others.
    pub unique: bool,
    /// Evolve by the metric of this name too. Cells that are met on the way are measured and kept as well.
    pub evolve: Option<&'a str>,
    /// Where burn computes.
    pub devices: &'a Devices,
    /// Where ONNX Runtime computes.
    pub provider: Provider,
    /// Continue an interrupted run.
    pub resume: bool,
    /// Progress.
    pub observer: &'a dyn Observer,
}

/// A measured cell, as `cells.jsonl` has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    measurement: CellMeasurement,
    /// Wall time of one core.
    seconds: f64,
    /// What the measurement depends on (a hash).
    settings: String,
}

impl RankRun<'_> {
    /// Trains the supernet unless it is there, measures the cells that are not, and writes what the metrics are worth.
    ///
    /// # Errors
    ///
    /// If the folder holds another run, or the user stops; what is measured by then is kept. A cell that cannot be measured,
    /// because its loss is no number, is said and left out.
    pub fn run(&self) -> Result<Report, SearchError> {
        let config = self.config;
        let metrics = config.ranked_by();
        let evolved = self.evolve.map(|name| find(&metrics, name)).transpose()?;
        let mut measurements = self.measured()?;
        let table = measurements.table(&metrics);
        atomic_write(&self.directory.join(SCORES), table.to_csv().as_bytes())?;
        let mut report = Report::new(&table, &config.streams()).map_err(|e| match e {
            StatisticsError::TooFew { .. } => SearchError::Setting(format!("{e}, with a larger --sample")),
            e => SearchError::Setting(e.to_string()),
        })?;
        for (name, scores) in &table.metrics {
            if let Some(tau) = report.all.tau.get(name) {
                let svg = scatter_svg(name, scores, &table.truth, *tau, report.all.tau_interval[name]);
                let file = format!("{}.svg", name.replace(['/', '\\'], "-"));
                atomic_write(&self.directory.join("scatter").join(file), svg.as_bytes())?;
            }
        }
        if let Some(metric) = evolved {
            let found = evolutions(&config.evolution, &config.streams(), self.truth, |cells| {
                measurements.complete(cells)?;
                let score = |cell| measurements.of(cell).map_or(f64::NAN, |m| metric.score(m));
                Ok(cells.iter().map(score).collect())
            })?;
            report.evolution = Some(Evolutions::new(&metric.name, found));
        }
        write_json(&self.directory.join(RESULT), &report)?;
        Ok(report)
    }

    /// Trains the supernet unless it is there, and measures the cells that are not; no truth is needed. What is found is in the
    /// folder ([`held`]).
    ///
    /// # Errors
    ///
    /// As those of [`run`](Self::run).
    pub fn measure(&self) -> Result<(), SearchError> {
        self.measured().map(drop)
    }

    fn measured(&self) -> Result<Measurements<'_>, SearchError> {
        let config = self.config;
        config.check().map_err(SearchError::Setting)?;
        let folder = self.directory.join("supernet");
        let settings = self.directory.join("config.toml");
        let write_settings = || atomic_write(&settings, to_toml(config).as_bytes());
        if !settings.exists() {
            write_settings()?;
        }
        supernet::train(&folder, config, self.halves, self.devices, self.resume, self.observer)?;
        let mut measurements = Measurements::open(self, &folder)?;
        measurements.complete(self.cells)?;
        // Not refused: these are the run's settings, with other metrics perhaps.
        write_settings()?;
        Ok(measurements)
    }
}

/// The cells that a run's folder holds, whatever they were measured for. Nothing is written.
///
/// # Errors
///
/// If a line is damaged, or some were measured with other settings than others.
pub fn held(directory: &Path) -> Result<Vec<CellMeasurement>, SearchError> {
    let path = directory.join(CELLS);
    let lines: Vec<Line> = Lines::read(&path)?;
    if lines.windows(2).any(|pair| pair[0].settings != pair[1].settings) {
        return Err(SearchError::format(
            &path,
            "holds cells that were measured with different settings; use another --out",
        ));
    }
    Ok(lines.into_iter().map(|line| line.measurement).collect())
}

fn find<'m>(metrics: &'m [RankMetric], name: &str) -> Result<&'m RankMetric, SearchError> {
    metrics.iter().find(|metric| metric.name == name).ok_or_else(|| {
        let names: Vec<&str> = metrics.iter().map(|metric| metric.name.as_str()).collect();
        SearchError::Setting(format!(
            "there is no metric {name} to evolve by; there are {}",
            names.join(", ")
        ))
    })
}

/// The cells that were measured, in memory and on disk.
struct Measurements<'a> {
    run: &'a RankRun<'a>,
    supernet: PathBuf,
    /// What they depend on (a hash).
    settings: String,
    lines: Lines,
    known: HashMap<Nb201Cell, CellMeasurement>,
    /// Made when the first cell is missing.
    measurer: Option<Measurer>,
}

impl<'a> Measurements<'a> {
    fn open(run: &'a RankRun<'a>, supernet: &Path) -> Result<Self, SearchError> {
        let settings = fingerprint(&(
            &run.config.measure,
            run.config.seed,
            file_fingerprint(&supernet.join("final.safetensors"))?,
            &run.halves.fingerprint,
        ));
        let path = run.directory.join(CELLS);
        let (lines, held) = Lines::open::<Line>(&path)?;
        if held.iter().any(|line| line.settings != settings) {
            return Err(SearchError::format(
                &path,
                "holds cells that were measured with other settings, data or supernet; use the same configuration, or \
                 another --out",
            ));
        }
        if !held.is_empty() && !run.resume {
            return Err(SearchError::format(
                &path,
                "cells were measured here already; continue (or show the result) with --resume, or use another --out",
            ));
        }
        let known = held.into_iter().map(|line| (line.measurement.cell, line.measurement)).collect();
        Ok(Self { run, supernet: supernet.to_owned(), settings, lines, known, measurer: None })
    }

    /// The cell whose measurement stands for a cell.
    fn stands_for(&self, cell: &Nb201Cell) -> Nb201Cell {
        if self.run.unique { cell.representative() } else { *cell }
    }

    /// The measurement of a cell, if it has one.
    fn of(&self, cell: &Nb201Cell) -> Option<&CellMeasurement> {
        self.known.get(&self.stands_for(cell))
    }

    /// Measures those of the cells that were not.
    fn complete(&mut self, cells: &[Nb201Cell]) -> Result<(), SearchError> {
        let RankRun { halves, config, devices, provider, observer, .. } = *self.run;
        let mut wanted: Vec<Nb201Cell> = cells.iter().map(|cell| self.stands_for(cell)).collect();
        wanted.sort_by_key(Nb201Cell::index);
        wanted.dedup();
        let missing: Vec<Nb201Cell> =
            wanted.iter().filter(|cell| !self.known.contains_key(*cell)).copied().collect();
        if missing.is_empty() {
            return Ok(());
        }
        let measurer = match &mut self.measurer {
            Some(measurer) => &*measurer,
            none => none.insert(Measurer::new(
                supernet::read(&self.supernet)?,
                halves,
                config,
                devices,
                provider,
            )?),
        };
        let done = (wanted.len() - missing.len()) as u64;
        observer.begin("cells", wanted.len() as u64, done);
        let progress = Mutex::new(done);
        let (lines, settings) = (&self.lines, &self.settings);
        // One cell per core: measuring uses one thread where it counts.
        let measure = |cell: &Nb201Cell| {
            if observer.interrupted() {
                return Err(SearchError::Interrupted);
            }
            let clock = Instant::now();
            let measurement = match measurer.measure(cell) {
                Ok(measurement) => measurement,
                // Of this cell alone; whatever else fails would fail for all of them.
                Err(SearchError::Setting(reason)) => {
                    observer.message(&format!("left out: {reason}"));
                    return Ok(None);
                }
                Err(error) => return Err(error),
            };
            let line =
                Line { measurement, seconds: clock.elapsed().as_secs_f64(), settings: settings.clone() };
            lines.append(std::slice::from_ref(&line))?;
            let mut progress = progress.lock().unwrap_or_else(|e| e.into_inner());
            *progress += 1;
            let accuracy = 100.0 * line.measurement.accuracy;
            observer.advance(*progress, &format!("{cell}: accuracy {accuracy:.1} %"));
            Ok(Some(line.measurement))
        };
        let found: Vec<Option<CellMeasurement>> =
            missing.par_iter().with_max_len(1).map(measure).collect::<Result<_, SearchError>>()?;
        observer.end();
        self.known.extend(found.into_iter().flatten().map(|measurement| (measurement.cell, measurement)));
        Ok(())
    }

    /// What the metrics say of the run's cells that were measured.
    fn table(&self, metrics: &[RankMetric]) -> Table {
        let mut table = Table {
            metrics: metrics.iter().map(|metric| (metric.name.clone(), Vec::new())).collect(),
            ..Table::default()
        };
        for cell in self.run.cells {
            let Some(measurement) = self.of(cell) else { continue };
            table.cells.push(*cell);
            table.truth.push(self.run.truth[cell.index()]);
            for (metric, (_, scores)) in metrics.iter().zip(&mut table.metrics) {
                scores.push(metric.score(measurement));
            }
        }
        table
    }
}
