//! A search from a trained supernet to a genotype.

use crate::config::{Bounds, Config};
use crate::error::SearchError;
use crate::evolution::{Ranked, TOP, Task, evolve, rank};
use crate::journal::{Journal, Line};
use crate::metric::Score;
use crate::racing::{Racing, RacingReport, path_cost};
use crate::run::RunDir;
use crate::scorer::Scorer;
use crate::supernet::{Halves, network, streams};
use genas_net::{Cost, Devices, EvalNet, Supernet, read_weights};
use genas_runtime::Provider;
use genas_space::Candidate;
use genas_train::directory::{file_fingerprint, fingerprint, write_json};
use genas_train::observer::Observer;
use rayon::prelude::*;
use serde::Serialize;
use std::sync::Mutex;
use std::time::Instant;

/// What a search found.
#[derive(Clone, Debug, Serialize)]
pub struct SearchResult {
    /// The winner as a genotype.
    pub genotype: genas_space::Genotype,
    /// The winner as 28 integers.
    pub candidate: Candidate,
    /// Its score.
    pub score: f64,
    /// The metric.
    pub metric: String,
    /// Candidates scored.
    pub evaluated: u64,
    /// Candidates whose scoring failed.
    pub failed: u64,
    /// Best score after each generation.
    pub best_by_generation: Vec<f64>,
    /// Wall time of scoring, over all sittings.
    pub seconds: f64,
    /// What racing saved, if candidates raced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub racing: Option<RacingReport>,
}

/// Evolves over the trained supernet of `run` and writes `search.jsonl`, `top.json`, `genotype.json` and `search.json`, the
/// result.
pub fn search(
    run: &RunDir,
    config: &Config,
    halves: Option<&Halves>,
    devices: &Devices,
    provider: Provider,
    resume: bool,
    observer: &dyn Observer,
) -> Result<SearchResult, SearchError> {
    let clock = Instant::now();
    let (trained, about) = read_weights(&run.trained())?;
    let genas_net::Network::Supernet(net) = about.network else {
        return Err(SearchError::format(&run.trained(), "holds no supernet"));
    };
    if let Some(halves) = halves
        && net != network(config, halves.set.n_classes())
    {
        return Err(SearchError::format(&run.trained(), "belongs to another network or number of classes"));
    }
    let initial = if config.metric.name.needs_angle() { Some(read_weights(&run.initial())?.0) } else { None };
    let settings = fingerprint(&(
        &config.metric,
        &config.evolution,
        config.seed,
        file_fingerprint(&run.trained())?,
        halves.map(|h| &h.fingerprint),
        config.racing.enabled.then_some(&config.racing),
    ));
    let journal = Journal::open(&run.journal(), &settings)?;
    if journal.known() > 0 && !resume {
        return Err(SearchError::format(
            &run.journal(),
            "a search is here already; continue it (or show its result) with --resume, or use another --out",
        ));
    }
    let scorer = Scorer::new(net, trained, initial, halves, config, devices, provider)?;
    let total = (config.evolution.generations * config.evolution.population) as u64;
    let failed = Mutex::new(0);
    observer.begin("search", total, journal.known() as u64);
    let bounds = config.evolution.bounds.as_ref();
    let progress = Mutex::new((0, f64::NEG_INFINITY));
    // One candidate per core: a scorer uses one thread where it counts.
    let score_all = |tasks: &[Task]| {
        let score = |task: &Task| {
            if observer.interrupted() {
                return Err(SearchError::Interrupted);
            }
            let line = match journal.find(task, None)? {
                Some(line) => line.clone(),
                None => {
                    let line = score_task(&scorer, &net, config, task, &settings);
                    journal.append(&line)?;
                    line
                }
            };
            if let Some(reason) = &line.failure {
                *failed.lock().unwrap_or_else(|e| e.into_inner()) += 1;
                observer.message(&format!("candidate {} failed: {reason}", task.index));
            }
            let score = line.score.unwrap_or(f64::NEG_INFINITY);
            let mut progress = progress.lock().unwrap_or_else(|e| e.into_inner());
            progress.0 += 1;
            progress.1 = progress.1.max(score);
            let (generations, best) = (config.evolution.generations, progress.1);
            observer.advance(
                progress.0,
                &format!("generation {}/{generations} best {best:.6}", task.generation + 1),
            );
            Ok(score)
        };
        tasks.par_iter().with_max_len(1).map(score).collect::<Result<Vec<f64>, SearchError>>()
    };
    let races = config.racing.enabled && config.metric.name.needs_data();
    let mut racing = races.then(|| Racing::new(&scorer, &net, config, &journal, &settings, observer));
    let mut outcome = evolve(
        &config.evolution,
        &streams(config),
        |c| admissible(bounds, c),
        |tasks, archive| match &mut racing {
            Some(racing) => racing.generation(tasks, &archive),
            None => Ok(rank(&config.evolution, tasks, &score_all(tasks)?, archive)),
        },
    )?;
    if let Some(racing) = &mut racing {
        outcome.top = racing.last(&outcome.top)?;
    }
    outcome.top.truncate(TOP);
    let racing_report = racing.as_ref().map(Racing::report);
    observer.end();
    let best = outcome.top.first().copied().filter(|r| r.score.is_finite());
    let Some(best) = best else {
        return Err(SearchError::Setting(if outcome.evaluated == 0 {
            "no candidate fits evolution.bounds; widen them".into()
        } else {
            format!("scoring failed for every candidate; see the reasons in {}", run.journal().display())
        }));
    };
    let result = SearchResult {
        genotype: best.candidate.genotype(),
        candidate: best.candidate,
        score: best.score,
        metric: config.metric.name.to_string(),
        evaluated: outcome.evaluated,
        failed: match &racing {
            Some(racing) => racing.failed(),
            None => failed.into_inner().unwrap_or_else(|e| e.into_inner()),
        },
        best_by_generation: outcome.best_by_generation,
        seconds: journal.known_seconds() / rayon::current_num_threads() as f64
            + clock.elapsed().as_secs_f64(),
        racing: racing_report,
    };
    let entry = |Ranked { index, candidate, score }: Ranked| {
        let mut json = candidate.genotype().to_json();
        if let Some(map) = json.as_object_mut() {
            map.insert("candidate".into(), serde_json::json!(candidate));
            map.insert("score".into(), serde_json::json!(score));
            map.insert("metric".into(), serde_json::json!(config.metric.name));
            let standing = racing.as_ref().and_then(|r| r.line(index)).and_then(|l| l.race.as_ref());
            if let Some(s) = standing.filter(|s| s.images < s.of) {
                // A partial score.
                map.insert("standard_error".into(), serde_json::json!(s.standard_error));
                map.insert("images".into(), serde_json::json!(s.images));
                map.insert("of".into(), serde_json::json!(s.of));
            }
        }
        json
    };
    let top: Vec<_> = outcome.top.iter().copied().map(entry).collect();
    write_json(&run.top(), &top)?;
    write_json(&run.genotype(), &entry(best))?;
    write_json(&run.result(), &result)?;
    Ok(result)
}

/// Scores a task, twice if need be; a failure becomes a line without a score.
fn score_task(scorer: &Scorer, net: &Supernet, config: &Config, task: &Task, settings: &str) -> Line {
    let clock = Instant::now();
    let attempt = || {
        let parts = scorer.score(&task.candidate, task.index).map_err(|e| e.to_string())?;
        let score = parts.combined(&config.metric);
        if score.is_finite() { Ok((parts, score)) } else { Err(format!("the score is {score}")) }
    };
    let result = attempt().or_else(|_: String| attempt());
    let (parts, score, failure) = match result {
        Ok((parts, score)) => (parts, Some(score), None),
        Err(reason) => (Score::default(), None, Some(reason)),
    };
    Line {
        index: task.index,
        generation: task.generation,
        candidate: task.candidate,
        score,
        failure,
        raced_in: None,
        race: None,
        parts,
        cost: path_cost(net, config, &task.candidate),
        seconds: clock.elapsed().as_secs_f64(),
        settings: settings.to_owned(),
    }
}

/// Whether the network that a candidate will become keeps the limits on cost.
fn admissible(bounds: Option<&Bounds>, candidate: &Candidate) -> bool {
    let Some(b) = bounds else { return true };
    let net = EvalNet {
        kind: b.network,
        genotype: candidate.genotype(),
        channels: b.channels,
        layers: b.layers.unwrap_or(EvalNet::default_layers(b.network)),
        classes: if b.network == genas_net::NetworkKind::ImageNet { 1000 } else { 10 },
        auxiliary: false,
    };
    let side = EvalNet::default_image_size(b.network);
    let cost = Cost::of([3, side, side], |i, x| {
        net.forward(i, x);
    });
    let within = |value: u64, min: Option<f64>, max: Option<f64>| {
        min.is_none_or(|m| value as f64 >= m) && max.is_none_or(|m| value as f64 <= m)
    };
    within(cost.paper_flops, b.min_flops, b.max_flops) && within(cost.params, b.min_params, b.max_params)
}
