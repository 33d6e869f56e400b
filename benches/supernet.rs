//! Times supernet steps and scoring of given paths; `supernet.py` runs it in turns with PyTorch.
//!
//! `steps FILE` and `score FILE` read `{"channels", "classes", "paths": [[28 integers], ...], "images"}`, and print
//! a JSON list: milliseconds of each path's training step (batch 64), or of each pair of candidates scored side by
//! side, and at last the number of threads.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use genas_data::{ImageSet, Normalization};
use genas_net::{
    Devices, Feature, Mode, Path, SgdConfig, Supernet, Trainer, UnsampledOps, Weights, cross_entropy,
};
use genas_runtime::Provider;
use genas_search::Config;
use genas_search::scorer::Scorer;
use genas_search::supernet::Halves;
use genas_space::{Candidate, Streams};
use rayon::prelude::*;
use serde::Deserialize;

#[global_allocator]
static ALLOCATOR: genas_kernels::memory::Recycling = genas_kernels::memory::Recycling;

const BATCH: usize = 64;

#[derive(Deserialize)]
struct Task {
    channels: usize,
    classes: usize,
    paths: Vec<Candidate>,
    /// Validation images per pass of a candidate.
    images: usize,
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().filter(|a| a != "--bench").collect();
    let [_, mode, file] = args.as_slice() else {
        // `cargo bench` and `cargo test --benches` without arguments: nothing to time.
        eprintln!("usage: supernet steps|score FILE; see benches/README.md");
        return Ok(());
    };
    let text = std::fs::read_to_string(file).with_context(|| file.clone())?;
    let task: Task = serde_json::from_str(&text).with_context(|| file.clone())?;
    let net = Supernet { channels: task.channels, layers: 8, classes: task.classes };
    let weights = Weights::init(Arc::new(net.layout()), &Streams::new(1));
    let times = match mode.as_str() {
        "steps" => steps(&net, weights, &task.paths)?,
        "score" => score(&net, weights, &task)?,
        other => bail!("{other}: steps or score"),
    };
    println!("{}", serde_json::json!({ "ms": times, "threads": rayon::current_num_threads() }));
    Ok(())
}

/// Values with the spread of a normalised image; what they are does not change the time.
fn noise(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 2_654_435_761) % 4096) as f32 / 1024.0 - 2.0).collect()
}

fn labels(n: usize, classes: usize) -> Vec<i64> {
    (0..n).map(|i| (i * 7 % classes) as i64).collect()
}

fn steps(net: &Supernet, weights: Weights, paths: &[Candidate]) -> Result<Vec<f64>> {
    let device = Devices::cpu().recording();
    let sgd = SgdConfig {
        momentum: 0.9,
        nesterov: false,
        weight_decay: 3e-4,
        norm_weight_decay: 3e-4,
        clip: Some(5.0),
        unsampled: UnsampledOps::ZeroFilled,
    };
    let (images, labels) = (noise(BATCH * 3 * 32 * 32), labels(BATCH, net.classes));
    let mut trainer = Trainer::new(weights);
    let mut times = Vec::new();
    for path in paths {
        let start = Instant::now();
        let mode = Mode::Train { drop_path: 0.0, rng: Box::new(Streams::new(0).rng("drop-path", 0)) };
        trainer.step(&sgd, 0.025, &device, mode, |i| {
            let x = Feature::from_values(images.clone(), [BATCH, 3, 32, 32], i.device());
            cross_entropy(net.forward(i, Path::Candidate(path), &x).tensor(), &labels, 0.0)
        })?;
        times.push(1e3 * start.elapsed().as_secs_f64());
    }
    Ok(times)
}

/// Pairs of candidates side by side, as a search does on two cores; all of it, recalibration to losses.
fn score(net: &Supernet, weights: Weights, task: &Task) -> Result<Vec<f64>> {
    let half = task.images.max(1000);
    let bytes = (0..2 * half * 3 * 32 * 32).map(|i| ((i * 2_654_435_761) >> 7) as u8).collect();
    let set = ImageSet {
        name: "noise".to_owned(),
        classes: (0..net.classes).map(|n| n.to_string()).collect(),
        height: 32,
        width: 32,
        pixels: bytes,
        labels: (0..2 * half).map(|i| (i * 7 % net.classes) as u16).collect(),
        normalization: Normalization { mean: [0.5; 3], std: [0.25; 3] },
    };
    let halves = Halves {
        set: Arc::new(set),
        train: Arc::new((0..half).collect()),
        valid: Arc::new((half..2 * half).collect()),
        fingerprint: String::new(),
    };
    let images = format!("metric.validation-images={}", task.images);
    let config = Config::parse("", &[images]).map_err(anyhow::Error::msg)?;
    genas_runtime::ensure(&|text| eprintln!("{text}"))?;
    let devices = Devices::cpu();
    let scorer = Scorer::new(*net, weights, None, Some(&halves), &config, &devices, Provider::Cpu)?;
    let mut times = Vec::new();
    for pair in task.paths.chunks_exact(2) {
        let start = Instant::now();
        pair.par_iter()
            .with_max_len(1)
            .enumerate()
            .try_for_each(|(n, c)| scorer.score(c, n as u64).map(drop))?;
        times.push(1e3 * start.elapsed().as_secs_f64());
    }
    Ok(times)
}
