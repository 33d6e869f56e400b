//! The generations of a search as races (`--racing`).
//!
//! A generation and its parents race for the parents' places; at the end the parents race for the first place, and
//! the winner is measured in full. The journal gets the lines of a race when it is over: one that was interrupted is
//! repeated, with the same result, because the images' order and the noise come from the run's seed.

use crate::config::{Config, LossAverage};
use crate::error::SearchError;
use crate::evolution::{Ranked, Task};
use crate::journal::{Journal, Line};
use crate::metric::{AngleScore, Column, Score};
use crate::race::{Columns, Field, Race, Standing};
use crate::scorer::{Prepared, Scorer};
use crate::supernet::streams;
use genas_net::{Cost, Path, Supernet};
use genas_space::Candidate;
use genas_train::observer::Observer;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// What racing saved and how certain its choices are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RacingReport {
    /// Images measured, over all candidates.
    pub images: u64,
    /// Images of full scores of the same candidates.
    pub of: u64,
    /// Their ratio.
    pub share: f64,
    /// Candidates whose score is partial.
    pub partial: u64,
    /// Candidates whose place was still open when a generation's budget was used up.
    pub undecided: u64,
    /// Standard errors at which a place was decided.
    pub standard_errors: f64,
    /// The confidence of one such decision, if the estimate's error is normal.
    pub confidence: f64,
}

/// Runs the races of a search, or reads them from the journal.
pub(crate) struct Racing<'a> {
    config: &'a Config,
    journal: &'a Journal,
    net: &'a Supernet,
    settings: &'a str,
    race: Race<Candidates<'a>>,
    /// The last line of every candidate.
    lines: BTreeMap<u64, Line>,
    /// Whether the race holds what the lines say: not after a resumption, until somebody races again.
    restored: bool,
}

impl<'a> Racing<'a> {
    pub(crate) fn new(
        scorer: &'a Scorer,
        net: &'a Supernet,
        config: &'a Config,
        journal: &'a Journal,
        settings: &'a str,
        observer: &'a dyn Observer,
    ) -> Self {
        let mut order: Vec<usize> = (0..scorer.n_images()).collect();
        order.shuffle(&mut streams(config).rng("racing/images", 0));
        let field = Candidates {
            scorer,
            config,
            order,
            runners: BTreeMap::new(),
            observer,
            phase: String::new(),
            known: 0,
            fresh: AtomicU64::new(0),
        };
        let race = Race::new(field, &config.racing);
        Self { config, journal, net, settings, race, lines: BTreeMap::new(), restored: false }
    }

    /// The candidates that keep a place after a generation, best first.
    pub(crate) fn generation(
        &mut self,
        tasks: &[Task],
        archive: &[Ranked],
    ) -> Result<Vec<Ranked>, SearchError> {
        let Some(generation) = tasks.first().map(|t| t.generation) else { return Ok(archive.to_vec()) };
        let share = self.config.racing.budget;
        let full = (tasks.len() * self.race.field.images()) as f64;
        let budget = if share < 1.0 { (share * full) as u64 } else { u64::MAX };
        self.compete(generation, tasks, archive, self.config.evolution.parents, budget, false)
    }

    /// The best of the archive first, its score complete.
    pub(crate) fn last(&mut self, archive: &[Ranked]) -> Result<Vec<Ranked>, SearchError> {
        let generation = self.config.evolution.generations;
        let winner = self.compete(generation, &[], archive, 1, u64::MAX, true)?;
        let rest = archive.iter().filter(|r| winner.iter().all(|w| w.index != r.index)).map(|r| {
            let score = self.lines.get(&r.index).and_then(|l| l.score).unwrap_or(f64::NEG_INFINITY);
            Ranked { score, ..*r }
        });
        let mut rest: Vec<Ranked> = rest.collect();
        rest.sort_by(|a, b| b.score.total_cmp(&a.score));
        Ok(winner.into_iter().chain(rest).collect())
    }

    /// The last line of a candidate.
    pub(crate) fn line(&self, index: u64) -> Option<&Line> {
        self.lines.get(&index)
    }

    /// Number of candidates that could not be measured.
    pub(crate) fn failed(&self) -> u64 {
        self.lines.values().filter(|l| l.failure.is_some()).count() as u64
    }

    /// What was saved so far.
    pub(crate) fn report(&self) -> RacingReport {
        let standings = || self.lines.values().filter_map(|l| l.race.as_ref());
        let images = standings().map(|s| s.images as u64).sum();
        let of = standings().map(|s| s.of as u64).sum();
        let z = self.config.racing.standard_errors;
        RacingReport {
            images,
            of,
            share: images as f64 / (of as f64).max(1.0),
            partial: standings().filter(|s| s.images < s.of).count() as u64,
            undecided: standings().filter(|s| !s.decided).count() as u64,
            standard_errors: z,
            confidence: 1.0 - 0.5 * libm::erfc(z / std::f64::consts::SQRT_2),
        }
    }

    /// One race of new tasks and an archive: from the journal if it is there.
    fn compete(
        &mut self,
        raced_in: usize,
        tasks: &[Task],
        archive: &[Ranked],
        places: usize,
        budget: u64,
        complete_best: bool,
    ) -> Result<Vec<Ranked>, SearchError> {
        let parents = archive.iter().map(|r| {
            let generation = self.lines.get(&r.index).map_or(0, |l| l.generation);
            Task { index: r.index, generation, candidate: r.candidate }
        });
        let pool: Vec<Task> = parents.chain(tasks.iter().copied()).collect();
        let known: Vec<Option<Line>> = pool
            .iter()
            .map(|task| Ok(self.journal.find(task, Some(raced_in))?.cloned()))
            .collect::<Result<_, SearchError>>()?;
        let lines = match known.into_iter().collect::<Option<Vec<Line>>>() {
            Some(lines) => lines,
            None => {
                let lines = self.run(raced_in, &pool, places, budget, complete_best)?;
                self.journal.append_all(&lines)?;
                lines
            }
        };
        let mut kept: Vec<Ranked> = lines
            .iter()
            .filter(|line| line.race.as_ref().is_some_and(|r| r.kept))
            .map(|line| Ranked {
                index: line.index,
                candidate: line.candidate,
                score: line.score.unwrap_or(f64::NEG_INFINITY),
            })
            .collect();
        kept.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.index.cmp(&b.index)));
        for line in lines {
            if let Some(reason) = line.failure.as_ref().filter(|_| !self.lines.contains_key(&line.index)) {
                self.race.field.observer.message(&format!("candidate {} failed: {reason}", line.index));
            }
            self.lines.insert(line.index, line);
        }
        self.progress(raced_in, kept.first());
        Ok(kept)
    }

    fn phase(&self, raced_in: usize) -> String {
        let generations = self.config.evolution.generations;
        match raced_in < generations {
            true => format!("generation {}/{generations}", raced_in + 1),
            false => "final".to_owned(),
        }
    }

    fn progress(&self, raced_in: usize, best: Option<&Ranked>) {
        let best = best.map_or(f64::NEG_INFINITY, |r| r.score);
        let share = 100.0 * self.report().share;
        let phase = self.phase(raced_in);
        let note = format!("{phase} best {best:.6} {share:.1} % of the images");
        self.race.field.observer.advance(self.lines.len() as u64, &note);
    }

    fn run(
        &mut self,
        raced_in: usize,
        pool: &[Task],
        places: usize,
        budget: u64,
        complete_best: bool,
    ) -> Result<Vec<Line>, SearchError> {
        let (phase, known) = (self.phase(raced_in), self.lines.len() as u64);
        let field = &mut self.race.field;
        (field.phase, field.known, field.fresh) = (phase, known, AtomicU64::new(0));
        for task in pool {
            field.enter(task);
        }
        if !self.restored {
            // What an earlier run had measured of those that still count is measured again.
            let counts = |line: &&Line| line.race.as_ref().is_some_and(|r| r.kept || r.panel);
            for line in self.lines.values().filter(counts) {
                let Line { index, generation, candidate, .. } = *line;
                self.race.field.enter(&Task { index, generation, candidate });
            }
            let state: Vec<_> = self
                .lines
                .values()
                .filter(counts)
                .filter_map(|l| l.race.as_ref().map(|r| (l.index, r.images, r.panel)))
                .filter(|(index, _, panel)| *panel || pool.iter().any(|t| t.index == *index))
                .collect();
            self.race.restore(&state)?;
            self.race.field.runners.values_mut().for_each(|r| r.seconds = 0.0);
            self.restored = true;
        }
        let indices: Vec<u64> = pool.iter().map(|t| t.index).collect();
        let mut standings = self.race.run(&indices, places, budget)?;
        if complete_best {
            for standing in standings.iter_mut().filter(|s| s.kept) {
                *standing = Standing { decided: standing.decided, ..self.race.complete(standing.index)? };
            }
        }
        let lines = pool.iter().zip(standings).map(|(task, s)| self.describe(raced_in, task, s)).collect();
        let gone: Vec<u64> =
            self.race.field.runners.keys().copied().filter(|index| !self.race.holds(*index)).collect();
        gone.iter().for_each(|index| drop(self.race.field.runners.remove(index)));
        Ok(lines)
    }

    fn describe(&mut self, raced_in: usize, task: &Task, standing: Standing) -> Line {
        let runner = self.race.field.runners.get_mut(&task.index);
        let (seconds, failure, angle) = match runner {
            Some(r) => (std::mem::take(&mut r.seconds), r.failure.clone(), r.angle),
            None => (0.0, None, None),
        };
        let score = Some(standing.score).filter(|s| s.is_finite());
        let parts = match score {
            Some(_) => self.config.metric.score(angle, &standing.means),
            None => Score::default(),
        };
        Line {
            index: task.index,
            generation: task.generation,
            candidate: task.candidate,
            score,
            failure,
            raced_in: Some(raced_in),
            race: Some(standing),
            parts,
            cost: path_cost(self.net, self.config, &task.candidate),
            seconds,
            settings: self.settings.to_owned(),
        }
    }
}

/// Cost of a candidate's path through the supernet.
pub(crate) fn path_cost(net: &Supernet, config: &Config, candidate: &Candidate) -> genas_net::CostReport {
    Cost::of([3, config.data.image_size, config.data.image_size], |i, x| {
        net.forward(i, Path::Candidate(candidate), x);
    })
}

/// Candidates of the supernet, measured on the validation images in random order.
struct Candidates<'a> {
    scorer: &'a Scorer,
    config: &'a Config,
    /// Position of each image of the race's order in the validation half.
    order: Vec<usize>,
    runners: BTreeMap<u64, Runner<'a>>,
    observer: &'a dyn Observer,
    /// The race that is under way, for the user.
    phase: String,
    /// Candidates that have lines: those of later indices are new.
    known: u64,
    /// New candidates that were measured.
    fresh: AtomicU64,
}

/// A candidate of a race.
struct Runner<'a> {
    candidate: Candidate,
    prepared: Option<Prepared<'a>>,
    angle: Option<AngleScore>,
    failure: Option<String>,
    /// Time spent on it since its last line.
    seconds: f64,
}

impl<'a> Candidates<'a> {
    fn enter(&mut self, task: &Task) {
        self.runners.entry(task.index).or_insert_with(|| Runner {
            candidate: task.candidate,
            prepared: None,
            angle: self.scorer.angle(&task.candidate),
            failure: None,
            seconds: 0.0,
        });
    }

    /// Weight of an image in a column's average over all, times their number.
    fn weight(&self, column: usize, position: usize) -> f64 {
        let metric = &self.config.metric;
        let (all, batch) = (self.order.len(), metric.batch_size);
        match (metric.column(column), metric.loss_average) {
            (Column::Hit | Column::NoisyHit(_), _) | (_, LossAverage::Samples) => 1.0,
            (Column::Loss(_), LossAverage::Batches) => {
                let start = position / batch * batch;
                all as f64 / (all.div_ceil(batch) * batch.min(all - start)) as f64
            }
        }
    }

    fn measure_one(
        &self,
        index: u64,
        range: Range<usize>,
        runner: &mut Runner<'a>,
    ) -> Result<Columns, SearchError> {
        let positions = &self.order[range];
        let prepared = match runner.prepared.take() {
            Some(prepared) => prepared,
            None => self.scorer.prepare(&runner.candidate, index)?,
        };
        let mut columns = prepared.measure(positions)?;
        for (n, column) in columns.iter_mut().enumerate() {
            column.iter_mut().zip(positions).for_each(|(value, &p)| *value *= self.weight(n, p));
        }
        if columns.iter().flatten().any(|v| !v.is_finite()) {
            return Err(SearchError::Setting("a loss is not finite".into()));
        }
        runner.prepared = Some(prepared);
        Ok(columns)
    }
}

impl<'a> Field for Candidates<'a> {
    type Error = SearchError;

    fn images(&self) -> usize {
        self.order.len()
    }

    fn measure(&mut self, work: &[(u64, Range<usize>)]) -> Result<Vec<Option<Columns>>, SearchError> {
        let mut runners = std::mem::take(&mut self.runners);
        let jobs: Vec<_> =
            work.iter().map(|(index, range)| (*index, range.clone(), runners.remove(index))).collect();
        let this = &*self;
        let measure = |(index, range, runner): (u64, Range<usize>, Option<Runner<'a>>)| {
            if this.observer.interrupted() {
                return Err(SearchError::Interrupted);
            }
            let Some(mut runner) = runner else { return Ok(None) };
            let clock = Instant::now();
            // Once more if it failed, as in a search without races.
            let attempt = |runner: &mut Runner<'a>| this.measure_one(index, range.clone(), runner);
            let columns = attempt(&mut runner).or_else(|_| attempt(&mut runner));
            runner.seconds += clock.elapsed().as_secs_f64();
            let fresh = u64::from(range.start == 0 && index >= this.known);
            let done = this.known + this.fresh.fetch_add(fresh, Ordering::Relaxed) + fresh;
            let (phase, racing, image) = (&this.phase, work.len(), range.end);
            this.observer.advance(done, &format!("{phase} {racing} candidates to image {image}"));
            let columns = columns.map_err(|e| runner.failure = Some(e.to_string())).ok();
            Ok(Some((index, runner, columns)))
        };
        // One candidate per core: an engine uses one thread where it counts.
        let done =
            jobs.into_par_iter().with_max_len(1).map(measure).collect::<Result<Vec<_>, SearchError>>()?;
        let mut columns = Vec::with_capacity(done.len());
        for item in done {
            columns.push(item.and_then(|(index, runner, columns)| {
                runners.insert(index, runner);
                columns
            }));
        }
        self.runners = runners;
        Ok(columns)
    }

    fn score(&self, contestant: u64, means: &[f64]) -> f64 {
        let angle = self.runners.get(&contestant).and_then(|r| r.angle);
        self.config.metric.score(angle, means).combined(&self.config.metric)
    }
}
