//! What racing would have done in a full search: `record` keeps the values per image, `replay` races over them.
//!
//! `record RUN DATA FILE [KEY=VALUE ...]` searches with full scores on the trained supernet of RUN and writes, for
//! each candidate, its generation and every column of values per image (f32). `replay RUN FILE ORDERS [KEY=VALUE ...]`
//! takes the same generations, gives each race the parents that full scores chose, and prints as JSON how many of the
//! generations kept the same parents, whether the winner is the same, and the share of the images, for each of ORDERS
//! random orders of the images. KEY=VALUE are settings; those of `record` must be given to `replay` too.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use genas_net::{Devices, Network, read_weights};
use genas_runtime::Provider;
use genas_search::evolution::{evolve, rank};
use genas_search::race::{Columns, Field, Race};
use genas_search::scorer::Scorer;
use genas_search::supernet::{read_halves, streams};
use genas_search::{Config, RunDir, SearchError};
use genas_space::Streams;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde_json::json;

#[global_allocator]
static ALLOCATOR: genas_kernels::memory::Recycling = genas_kernels::memory::Recycling;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["record", run, data, file, set @ ..] => record(run, data, file, set),
        ["replay", run, file, orders, set @ ..] => replay(run, file, orders.parse().context("ORDERS")?, set),
        _ => {
            eprintln!("usage: racing record RUN DATA FILE | replay RUN FILE ORDERS; see benches/README.md");
            Ok(())
        }
    }
}

fn settings(run: &str, set: &[&str]) -> Result<(RunDir, Config)> {
    let mut set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
    set.push("metric.common-random-numbers=true".to_owned());
    Ok(RunDir::existing(Path::new(run), &set)?)
}

fn record(run: &str, data: &str, file: &str, set: &[&str]) -> Result<()> {
    let (run, config) = settings(run, set)?;
    let (trained, about) = read_weights(&run.trained())?;
    let Network::Supernet(net) = about.network else { bail!("{} is no supernet", run.trained().display()) };
    let halves = read_halves(&config, Path::new(data))?;
    genas_runtime::ensure(&|text| eprintln!("{text}"))?;
    let (devices, provider) = (Devices::cpu(), Provider::Cpu);
    let scorer = Scorer::new(net, trained, None, Some(&halves), &config, &devices, provider)?;
    let all: Vec<usize> = (0..scorer.n_images()).collect();
    let mut file = BufWriter::new(File::create(file).with_context(|| file.to_owned())?);
    let clock = Instant::now();
    let outcome = evolve(
        &config.evolution,
        &streams(&config),
        |_| true,
        |tasks, archive| {
            let columns = tasks
                .par_iter()
                .with_max_len(1)
                .map(|task| scorer.prepare(&task.candidate, task.index)?.measure(&all))
                .collect::<Result<Vec<Columns>, SearchError>>()?;
            let scores = tasks
                .iter()
                .zip(&columns)
                .map(|(task, columns)| scorer.assemble(&task.candidate, columns).combined(&config.metric));
            let archive = rank(&config.evolution, tasks, &scores.collect::<Vec<_>>(), archive);
            for (task, columns) in tasks.iter().zip(&columns) {
                let values = columns.iter().flatten().map(|v| *v as f32);
                let row = std::iter::once(task.generation as f32).chain(values);
                let bytes: Vec<u8> = row.flat_map(f32::to_le_bytes).collect();
                file.write_all(&bytes)?;
            }
            eprintln!("generation {} {:.0} s", tasks[0].generation, clock.elapsed().as_secs_f64());
            Ok::<_, anyhow::Error>(archive)
        },
    )?;
    file.flush()?;
    println!("{}", json!({ "winner": outcome.top[0].candidate, "score": outcome.top[0].score }));
    Ok(())
}

/// Recorded candidates, seen in one order of the images.
struct Recorded<'a> {
    config: &'a Config,
    candidates: &'a [Columns],
    order: Vec<usize>,
}

impl Field for Recorded<'_> {
    type Error = Infallible;

    fn images(&self) -> usize {
        self.order.len()
    }

    fn measure(&mut self, work: &[(u64, Range<usize>)]) -> Result<Vec<Option<Columns>>, Infallible> {
        let one = |(index, range): &(u64, Range<usize>)| {
            let columns = &self.candidates[*index as usize];
            let seen = |column: &Vec<f64>| self.order[range.clone()].iter().map(|&j| column[j]).collect();
            Some(columns.iter().map(seen).collect())
        };
        Ok(work.iter().map(one).collect())
    }

    fn score(&self, _: u64, means: &[f64]) -> f64 {
        self.config.metric.score(None, means).combined(&self.config.metric)
    }
}

fn replay(run: &str, file: &str, orders: u64, set: &[&str]) -> Result<()> {
    let (_, config) = settings(run, set)?;
    let (images, columns) = (config.metric.validation_images, config.metric.columns());
    let bytes = std::fs::read(file).with_context(|| file.to_owned())?;
    let values: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let row = 1 + columns * images;
    ensure!(values.len().is_multiple_of(row), "{file}: not recorded with these settings");
    let (mut generations, mut candidates) = (Vec::<Vec<u64>>::new(), Vec::new());
    for (n, row) in values.chunks_exact(row).enumerate() {
        generations.resize_with(generations.len().max(row[0] as usize + 1), Vec::new);
        generations[row[0] as usize].push(n as u64);
        let columns = row[1..].chunks_exact(images);
        candidates.push(columns.map(|c| c.iter().map(|v| f64::from(*v)).collect()).collect::<Columns>());
    }
    let places = config.evolution.parents;
    let all = Recorded { config: &config, candidates: &candidates, order: (0..images).collect() };
    let full: Vec<f64> = (0..candidates.len())
        .map(|n| {
            let mean = |c: &Vec<f64>| c.iter().sum::<f64>() / images as f64;
            all.score(n as u64, &candidates[n].iter().map(mean).collect::<Vec<_>>())
        })
        .collect();
    // Larger first, the earlier among equals.
    let best = |mut pool: Vec<u64>| {
        pool.sort_by(|a, b| full[*b as usize].total_cmp(&full[*a as usize]).then(a.cmp(b)));
        pool.truncate(places);
        pool
    };
    let mut runs = Vec::new();
    for seed in 0..orders {
        let mut order: Vec<usize> = (0..images).collect();
        order.shuffle(&mut Streams::new(seed).rng("replay", 0));
        let field = Recorded { config: &config, candidates: &candidates, order };
        let mut race = Race::new(field, &config.racing);
        // Each generation meets the parents that the race before it chose, as in a search.
        let (mut parents, mut wanted, mut same) = (Vec::new(), Vec::new(), 0);
        let mut seen: HashMap<u64, usize> = HashMap::new();
        for generation in &generations {
            let pool: Vec<u64> = parents.iter().chain(generation).copied().collect();
            wanted = best(wanted.iter().chain(generation).copied().collect());
            let budget = config.racing.budget * (generation.len() * images) as f64;
            let budget = if config.racing.budget < 1.0 { budget as u64 } else { u64::MAX };
            let Ok(standings) = race.run(&pool, places, budget);
            seen.extend(standings.iter().map(|s| (s.index, s.images)));
            parents = standings.iter().filter(|s| s.kept).map(|s| s.index).collect();
            same += usize::from(parents.iter().all(|p| wanted.contains(p)));
        }
        let Ok(standings) = race.run(&parents, 1, u64::MAX);
        seen.extend(standings.iter().map(|s| (s.index, s.images)));
        let winner = standings.iter().find(|s| s.kept).map_or(0, |s| s.index);
        let average = |of: &[u64]| of.iter().map(|i| full[*i as usize]).sum::<f64>() / of.len() as f64;
        runs.push(json!({
            "same_parents": same,
            "same_winner": winner == wanted[0],
            "share": race.measured() as f64 / (candidates.len() * images) as f64,
            "winner_to_best": full[winner as usize] / full[wanted[0] as usize],
            "parents_to_best": average(&parents) / average(&wanted),
            "full": seen.values().filter(|n| **n == images).count(),
        }));
    }
    println!(
        "{}",
        json!({
            "candidates": candidates.len(),
            "generations": generations.len(),
            "images": images,
            "racing": config.racing,
            "runs": runs,
        })
    );
    Ok(())
}
